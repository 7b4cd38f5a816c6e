//! The live feed: records of an app's streams as they become durable, by WebSocket and by SSE; and the page
//! that shows them.
//!
//! ```text
//!  commit ─▶ the journal's tail in memory ─▶ reader (cursor, filter) ─▶ frame ─▶ socket
//!                                              │ too far behind
//!                                              └▶ moved ahead, and told by a gap frame how far
//! ```
//!
//! A reader is a cursor into the stream, not a queue: a slow one costs no memory and delays nobody. One
//! that resumes from a cursor gets everything since, out of the stream, and then what comes: at the seam
//! nothing is repeated and nothing is missing.

mod api;
mod centrifugo;
mod page;
mod pass;
mod presence;
mod reader;
mod store;
mod tokens;

pub(crate) use pass::{INVALID_LIVE_TOKEN, LIVE_TOKEN_EXPIRED};

use angarium_base::Code;
use angarium_db::Migration;
use angarium_kit::{Runs, Slice, fleet::Role};
use presence::Presence;
use tokens::Tokens;

/// The part of the schema that is this slice's.
pub const MIGRATIONS: &[Migration] =
    &[Migration::new("live_0001", include_str!("../migrations/0001_live.sql"))];

/// Every error code of this slice.
pub const CODES: &[&[Code]] = &[reader::CODES, pass::CODES];

/// What the routes share: the key of live tokens, and who is connected.
#[derive(Clone, Default)]
pub(crate) struct Live {
    pub tokens: Tokens,
    pub presence: Presence,
}

pub fn slice() -> Slice {
    let live = Live::default();
    let presence = live.presence.clone();
    let routes = api::routes()
        .merge(centrifugo::routes())
        .merge(tokens::routes())
        .merge(presence::routes())
        .with(live)
        .merge(page::routes());
    Slice {
        name: "live",
        migrations: MIGRATIONS,
        streams: &[],
        codes: reader::CODES,
        served_by: Role::Live,
        routes,
        direct: None,
        workers: vec![(
            Runs::On(Role::Live),
            Box::new(move |kit, stop| Box::pin(presence::publish(kit, presence.clone(), stop))),
        )],
        eraser: Some(store::erase),
        redrive: None,
    }
}
