//! Tracking: events in, enriched, durable before the answer; and the consumer's view of them.
//!
//! ```text
//!  POST /v1/apps/{app}/events ─┐                 ┌▶ agent (cache)     ┐
//!  GET|POST /t/{type}?params ──┼▶ rules::check ──┼▶ address           ├▶ record ─▶ journal "events" ─▶ 202
//!  Segment's and PostHog's ─────┘ (wires)        └▶ place (mapped file)┘
//! ```
//!
//! Invariants: a good event of a batch is kept whatever its neighbours are; an event whose id was seen
//! within the window is not kept twice; nothing is assumed about types and parameters; enrichment never
//! refuses an event and does no I/O. A new kind of enrichment goes to [`enrich`] (what it finds out), gets
//! a field in [`record::Origin`] (what an event carries of it) and, if consumers see it, a key in [`line`].

mod api;
pub mod enrich;
pub mod line;
pub mod query;
pub mod record;
pub mod rules;
pub mod wires;

use angarium_base::{Code, Result};
use angarium_kit::{Runs, Slice, fleet::Role, http::address::TrustedProxies};
use enrich::{Agents, Geo};
use std::{path::Path, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// The stream that events go to.
pub const EVENTS: &str = "events";

/// Distinct user agents whose parse is kept.
const AGENTS_KEPT: usize = 10_000;
/// How often the geo database's file is looked at.
const GEO_EVERY: Duration = Duration::from_secs(10);

/// What the slice needs beyond the kit.
pub struct Tracker {
    agents: Agents,
    geo: Geo,
    trusted: TrustedProxies,
}

impl Tracker {
    /// # Errors
    /// `geo_database` when the file cannot be used; `trusted_proxy` for an entry that is not a network.
    pub fn new(geoip: Option<&Path>, trusted_proxies: &[String]) -> Result<Tracker> {
        Ok(Tracker {
            agents: Agents::new(AGENTS_KEPT),
            geo: Geo::open(geoip)?,
            trusted: TrustedProxies::parse(trusted_proxies)?,
        })
    }
}

/// Every error code of this slice.
pub const CODES: &[&[Code]] = &[rules::CODES, wires::CODES, enrich::CODES];

pub fn slice(tracker: Tracker) -> Slice {
    let tracker = Arc::new(tracker);
    let reloading = tracker.clone();
    Slice {
        name: "tracking",
        migrations: &[],
        streams: &[EVENTS],
        codes: rules::CODES,
        served_by: Role::Api,
        routes: api::routes().with(tracker.clone()),
        direct: Some(api::direct(tracker)),
        workers: vec![(
            Runs::On(Role::Api),
            Box::new(move |_, stop| Box::pin(reload_geo(reloading.clone(), stop))),
        )],
        eraser: None,
        redrive: None,
    }
}

/// Takes over a new geo database file while the server runs.
async fn reload_geo(tracker: Arc<Tracker>, stop: CancellationToken) {
    let mut failing = false;
    while stop.run_until_cancelled(tokio::time::sleep(GEO_EVERY)).await.is_some() {
        let tracker = tracker.clone();
        let reloaded = tokio::task::spawn_blocking(move || tracker.geo.reload_if_changed()).await;
        match reloaded {
            Ok(Ok(reloaded)) => {
                failing = false;
                if reloaded {
                    tracing::info!("the geo database was reloaded");
                }
            }
            // Said once, not with every look.
            Ok(Err(error)) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(?error, "the new geo database is not used; the old one stays");
            }
            Ok(Err(_)) => {}
            Err(error) => tracing::error!(%error, "reloading the geo database ended in a panic"),
        }
    }
}
