//! Tenants: apps, who has which role in them, the keys to them, and who changed what.
//!
//! The first start of a data directory makes one app and three keys: a secret key (`admin`), a write key (`ingest`)
//! and one that only looks (`viewer`), shown once. Apps, grants and keys live in the store and, for checks without
//! I/O, in the kit's directory; whatever changes the one has the other read anew, here at once, in other processes when
//! the feed tells them and at the latest after [`LOOK`].
//!
//! Invariants: a key's secret is nowhere but in its owner's hands; a key belongs to one app for ever; an app keeps at
//! least one admin, which a condition in the statement that takes one away holds; every change is in the audit, in the
//! transaction that makes it; of a deleted app nothing is reachable, and its data goes.

mod api;
mod deletion;
mod first_start;
pub mod model;
pub mod operations;
pub mod rules;
mod store;

pub use first_start::{BUNDLE_ID, FirstStart, Making, first_start, has_app};

use angarium_base::{Code, Result};
use angarium_db::{Db, Migration};
use angarium_kit::{Kit, Runs, Slice, access::Directory, audit::AUDIT, fleet::Role};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The part of the schema that is this slice's.
pub const MIGRATIONS: &[Migration] = &[
    Migration::new("tenants_0001", include_str!("../migrations/0001_tenants.sql")),
    Migration::new("tenants_0002", include_str!("../migrations/0002_grants.sql")),
    Migration::new("tenants_0003", include_str!("../migrations/0003_makers.sql")),
];

/// Every error code of this slice.
pub const CODES: &[Code] = rules::CODES;

pub fn slice() -> Slice {
    Slice {
        name: "tenants",
        migrations: MIGRATIONS,
        streams: &[AUDIT],
        codes: CODES,
        served_by: Role::Api,
        routes: api::routes(),
        direct: None,
        workers: vec![
            (Runs::Everywhere, Box::new(|kit, stop| Box::pin(follow_others(kit, stop)))),
            (Runs::Everywhere, Box::new(|kit, stop| Box::pin(note_uses(kit, stop)))),
            (Runs::Alone("app deletion"), Box::new(|kit, stop| Box::pin(deletion::run(kit, stop)))),
        ],
        eraser: None,
        redrive: None,
    }
}

/// The feed's topic on which processes tell each other that apps, grants or keys have changed.
const CHANGED: &str = "tenants";
/// How often a process looks for what others changed, should it not have been told: a revoked key is good in another
/// process for so long at most, if the store can be asked.
pub const LOOK: Duration = Duration::from_secs(5);
/// How often it is written when keys were last used.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// Keys of which it is remembered what was written, at least.
const REMEMBERED: usize = 10_000;

/// Fills the directory from the store.
///
/// # Errors
/// `unavailable` when the store cannot be asked.
pub async fn load(db: &Db, directory: &Directory) -> Result<()> {
    directory.replace(db.read(store::everything).await?);
    Ok(())
}

/// Keeps the directory up with what other processes of a fleet change.
async fn follow_others(kit: Kit, stop: CancellationToken) {
    if !kit.db.is_shared() {
        return;
    }
    let mut changed = kit.feed.subscribe(CHANGED);
    let (mut failing, mut seen) = (false, 0);
    while stop.run_until_cancelled(tokio::time::timeout(LOOK, changed.next())).await.is_some() {
        match look(&kit, &mut seen).await {
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

/// Reads anew, if something has changed since version `seen`.
async fn look(kit: &Kit, seen: &mut i64) -> Result<()> {
    let version = kit.db.read(store::version).await?;
    if version != *seen {
        load(&kit.db, &kit.directory).await?;
        *seen = version;
    }
    Ok(())
}

/// Writes now and then when keys were last used.
async fn note_uses(kit: Kit, stop: CancellationToken) {
    let mut written = std::collections::HashMap::new();
    loop {
        let goes_on = stop.run_until_cancelled(tokio::time::sleep(NOTE_EVERY)).await.is_some();
        let mut uses = kit.directory.last_uses();
        uses.retain(|(_, key, at)| written.get(key) != Some(at));
        // Keys that are gone are remembered no longer than others.
        if written.len() > 2 * REMEMBERED.max(uses.len()) {
            written.clear();
        }
        let noted = uses.clone();
        let writing = kit
            .db
            .write(move |tx| uses.iter().try_for_each(|(app, key, at)| store::use_key(tx, app, key, *at)));
        match writing.await {
            Ok(()) => written.extend(noted.into_iter().map(|(_, key, at)| (key, at))),
            Err(error) => tracing::debug!(?error, keys = noted.len(), "when keys were used was not written"),
        }
        if !goes_on {
            return;
        }
    }
}
