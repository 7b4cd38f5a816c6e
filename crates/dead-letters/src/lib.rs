//! Dead letters over HTTP: one inbox an app for what was given up; listed, read, run again, deleted.
//!
//! ```text
//!  letter ─┬─ redrive ─────────▶ due again, with its own id, in one transaction
//!          ├─ a redrive (many) ─▶ running ─┬─▶ done       pieces, each one transaction, at a rate
//!          │                               └─▶ stopped
//!          ├─ delete
//!          └─ older than `dead_letters.keep` ─▶ expired
//! ```
//!
//! Invariants: a letter is taken out by the statement that finds it, so of two who want it one has it; what becomes of
//! it is in the stream `dead_letters` in the same transaction; a redrive touches no letter that came after it was asked
//! for, hence not one that it has run itself and that was given up again; it goes on where its row says, whoever runs it.

mod api;
pub mod model;
pub mod operations;
pub mod rules;
mod store;
mod upkeep;
mod worker;

pub use upkeep::{expire_once, measure_once};
pub use worker::run as run_redrives;

use angarium_base::Code;
use angarium_db::Migration;
use angarium_kit::{Runs, Slice, dead_letters::DEAD_LETTERS, fleet::Role};
use std::time::Duration;

/// The part of the schema that is this slice's.
pub const MIGRATIONS: &[Migration] =
    &[Migration::new("redrives_0001", include_str!("../migrations/0001_redrives.sql"))];

/// Every error code of this slice.
pub const CODES: &[Code] = rules::CODES;

/// The slice; letters that were given up longer than `keep` ago are removed.
pub fn slice(keep: Duration) -> Slice {
    Slice {
        name: "dead letters",
        migrations: MIGRATIONS,
        streams: &[DEAD_LETTERS],
        codes: CODES,
        served_by: Role::Api,
        routes: api::routes(),
        direct: None,
        workers: vec![
            (Runs::OneOf(Role::Worker, "redrives"), Box::new(|kit, stop| Box::pin(worker::run(kit, stop)))),
            (
                Runs::Alone("dead letter retention"),
                Box::new(move |kit, stop| Box::pin(upkeep::expire(kit, keep, stop))),
            ),
            (Runs::Everywhere, Box::new(|kit, stop| Box::pin(upkeep::measure(kit, stop)))),
        ],
        eraser: Some(store::erase),
        redrive: None,
    }
}
