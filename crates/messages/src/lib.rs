//! Messages: any JSON documents, taken in, persisted, listed, shown live.
//!
//! ```text
//!  POST ─▶ stream `messages` (durable) ─▶ 202
//!              ├─▶ live feed
//!              └─▶ persister (one process at a time) ─▶ table `messages`, in the stream's order
//!                     └─ the store refuses one ─▶ retries ─▶ persisted, or a dead letter ─▶ redriven: retries again
//! ```
//!
//! Invariants: a message is in the table once, whatever dies in between: the place in the stream moves in the transaction
//! that writes the rows. `seq`, the order of the list, is given under a lock that is held until the commit, so a reader
//! that follows the list never has one appear behind it. One message that cannot be persisted holds up no other.

mod api;
mod bounds;
mod model;
mod persist;
mod retry;
mod rules;
mod schema;
mod store;

use angarium_base::{Code, clock::Millis};
use angarium_db::Migration;
use angarium_kit::{Kit, Runs, Slice, fleet::Role};
use schema::Schemas;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The part of the schema that is this slice's.
pub const MIGRATIONS: &[Migration] =
    &[Migration::new("messages_0001", include_str!("../migrations/0001_messages.sql"))];

/// Every error code of this slice.
pub const CODES: &[Code] = rules::CODES;

/// The stream, as messages were taken in.
pub const MESSAGES: &str = "messages";
/// The kind of dead letters that this slice makes.
pub const KIND: &str = "message";

/// What may be set.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often it is tried to persist a message before it becomes a dead letter.
    pub attempts: i64,
    /// For how long a message is kept in the table; `None`: for ever.
    pub keep_ms: Option<Millis>,
}

/// What the routes and the workers of one server share.
pub(crate) struct Shared {
    settings: Settings,
    schemas: Schemas,
    /// An app of this process may have its first message.
    first: Notify,
}

pub fn slice(settings: Settings) -> Slice {
    let shared = Arc::new(Shared { settings, schemas: Schemas::default(), first: Notify::new() });
    let (persisting, retrying, schemas) = (shared.clone(), shared.clone(), shared.clone());
    Slice {
        name: "messages",
        migrations: MIGRATIONS,
        streams: &[MESSAGES],
        codes: CODES,
        served_by: Role::Api,
        routes: api::routes().with(shared),
        direct: None,
        workers: vec![
            (
                Runs::OneOf(Role::Worker, "messages"),
                Box::new(move |kit, stop| Box::pin(persist::run(kit, persisting.clone(), stop))),
            ),
            (
                Runs::OneOf(Role::Worker, "message retries"),
                Box::new(move |kit, stop| Box::pin(retry::run(kit, retrying.clone(), stop))),
            ),
            (
                Runs::Everywhere,
                Box::new(move |kit, stop| Box::pin(schema::follow(kit, schemas.clone(), stop))),
            ),
            (
                Runs::Alone("message retention"),
                Box::new(move |kit, stop| Box::pin(expire(kit, settings, stop))),
            ),
        ],
        eraser: Some(store::erase),
        redrive: Some((KIND, retry::redrive)),
    }
}

/// How often it is looked for messages that are not to be kept any longer.
const EXPIRE_EVERY: Duration = Duration::from_secs(30);

/// Removes messages that are older than they are kept.
async fn expire(kit: Kit, settings: Settings, stop: CancellationToken) {
    let Some(keep_ms) = settings.keep_ms else { return stop.cancelled().await };
    while stop.run_until_cancelled(tokio::time::sleep(EXPIRE_EVERY)).await.is_some() {
        let before = kit.clock.now() - keep_ms;
        for app in kit.directory.apps() {
            loop {
                let id = app.id.clone();
                match kit.db.write(move |tx| store::expire(tx, &id, before)).await {
                    Ok(0) => break,
                    Ok(_) if stop.is_cancelled() => return,
                    // Leaves the writer to those who wait for an answer.
                    Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                    Err(error) => {
                        tracing::warn!(?error, "old messages could not be removed; will try again");
                        break;
                    }
                }
            }
        }
    }
}
