//! Tenants: apps and the keys to them.
//!
//! The first start of a data directory makes one app and three keys: a secret key (`admin`), a write key
//! (`ingest`) and one that only looks (`viewer`), shown once. Apps and keys live in the store and, for
//! checks without I/O, in the kit's directory; whatever changes the one replaces the other.
//!
//! Invariants: a key's secret is nowhere but in its owner's hands; a key belongs to one app for ever.

mod api;
mod first_start;
mod store;

pub use first_start::{FirstStart, first_start, load};

use angarium_db::Migration;
use angarium_kit::{Kit, Runs, Slice, fleet::Role};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The part of the schema that is this slice's.
pub const MIGRATIONS: &[Migration] =
    &[Migration::new("tenants_0001", include_str!("../migrations/0001_tenants.sql"))];

pub fn slice() -> Slice {
    Slice {
        name: "tenants",
        migrations: MIGRATIONS,
        streams: &[],
        codes: angarium_kit::access::CODES,
        served_by: Role::Api,
        routes: api::routes(),
        direct: None,
        workers: vec![(Runs::Everywhere, Box::new(|kit, stop| Box::pin(follow_others(kit, stop))))],
    }
}

/// The feed's topic on which processes tell each other that apps or keys have changed.
const CHANGED: &str = "tenants";
/// How often a process looks for what others changed, should it not have been told.
const LOOK: Duration = Duration::from_secs(5);

/// Keeps the directory up with what other processes of a fleet change.
async fn follow_others(kit: Kit, stop: CancellationToken) {
    if !kit.db.is_shared() {
        return;
    }
    let mut changed = kit.feed.subscribe(CHANGED);
    let mut failing = false;
    while stop.run_until_cancelled(tokio::time::timeout(LOOK, changed.next())).await.is_some() {
        match load(&kit.db, &kit.directory).await {
            Ok(()) => failing = false,
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(
                    ?error,
                    "changes of apps and keys cannot be read at the moment; will try again"
                );
            }
            Err(_) => {}
        }
    }
}

/// Makes the directory say what the store says, here and in other processes.
async fn refresh(kit: &Kit) -> angarium_base::Result<()> {
    kit.feed.publish(CHANGED, bytes::Bytes::new());
    load(&kit.db, &kit.directory).await
}
