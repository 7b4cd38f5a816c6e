//! The parts list: what this program is made of. A new capability is a crate and a line here.

use crate::config::Config;
use angarium_base::{Code, Result};
use angarium_db::Migration;
use angarium_kit::Slice;
use angarium_tracking::Tracker;

pub fn all(config: &Config) -> Result<Vec<Slice>> {
    let tracker = Tracker::new(config.tracking.geoip.as_deref(), &config.http.trusted_proxies)
        .map_err(|error| config.about_geoip(error))?;
    Ok(vec![
        angarium_tenants::slice(),
        angarium_tracking::slice(tracker),
        angarium_messages::slice(config.messages()),
        angarium_streams::slice(),
        angarium_live::slice(),
        angarium_dead_letters::slice(config.dead_letters.keep.0),
    ])
}

/// The whole schema, in the order in which it is applied.
pub fn migrations() -> Vec<Migration> {
    [
        angarium_journal::MIGRATIONS,
        angarium_tenants::MIGRATIONS,
        angarium_live::MIGRATIONS,
        angarium_messages::MIGRATIONS,
        angarium_kit::fleet::MIGRATIONS,
        angarium_kit::idempotency::MIGRATIONS,
        angarium_kit::dead_letters::MIGRATIONS,
        angarium_dead_letters::MIGRATIONS,
    ]
    .concat()
}

/// Every error code there is, for the documentation.
pub fn codes() -> Vec<Code> {
    let mut codes: Vec<Code> = [
        angarium_base::error::CODES,
        angarium_blobs::CODES,
        angarium_db::CODES,
        angarium_dead_letters::CODES,
        angarium_feed::CODES,
        angarium_journal::CODES,
        angarium_kafka::CODES,
        angarium_identity::CODES,
        angarium_kit::access::CODES,
        angarium_kit::gate::CODES,
        angarium_kit::http::address::CODES,
        angarium_kit::idempotency::CODES,
        angarium_kit::secrets::CODES,
        angarium_messages::CODES,
        angarium_tenants::CODES,
        crate::config::CODES,
        crate::api::CODES,
        crate::listen::CODES,
    ]
    .concat();
    codes.extend(angarium_live::CODES.concat());
    codes.extend(angarium_tracking::CODES.concat());
    codes.sort_by_key(|code| code.name);
    codes
}
