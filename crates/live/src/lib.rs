//! The live feed: records of an app's streams as they become durable, by WebSocket and by SSE; and the page
//! that shows them.
//!
//! ```text
//!  commit ─▶ the journal's tail in memory ─▶ rendered (once for all) ─▶ reader (cursor, filter) ─▶ socket
//!                                                                         │ too far behind
//!                                                                         └▶ moved ahead and told by a gap frame
//!                                                                            how far, or sent away, as it asked for
//! ```
//!
//! A reader is a cursor into the stream, not a queue: a slow one costs no memory and delays nobody. One
//! that resumes from a cursor gets everything since, out of the stream, and then what comes: at the seam
//! nothing is repeated and nothing is missing.
//!
//! | Module | Idea |
//! |---|---|
//! | [`api`] | the route, and what may be asked for |
//! | [`reader`] | where a reader stands, and what comes next |
//! | [`rendered`] | records as they go out, made once for all readers |
//! | [`filter`] | which records a reader wants |
//! | [`native`], [`sse`] | what is next put on a connection, and what happens when it has no room |
//! | [`socket`] | the server's side of a WebSocket |
//! | [`seats`] | who is connected, and how many may be |
//! | [`ending`] | when a feed ends that its reader does not end |

mod api;
mod centrifugo;
mod ending;
mod filter;
mod native;
mod page;
mod pass;
mod presence;
mod reader;
mod rendered;
mod seats;
mod socket;
mod sse;
mod store;
mod tokens;

pub(crate) use pass::{INVALID_LIVE_TOKEN, LIVE_TOKEN_EXPIRED};

use angarium_base::Code;
use angarium_db::Migration;
use angarium_kit::{Runs, Slice, fleet::Role};
use presence::Presence;
use rendered::Shelf;
use seats::Seats;
use std::sync::Arc;
use tokens::Tokens;
use tokio::sync::Semaphore;

/// The part of the schema that is this slice's.
pub const MIGRATIONS: &[Migration] =
    &[Migration::new("live_0001", include_str!("../migrations/0001_live.sql"))];

/// Every error code of this slice.
pub const CODES: &[&[Code]] = &[seats::CODES, pass::CODES];

/// Readers that read from where streams are stored at a time, each some of it for itself.
const CATCHING_UP: usize = 64;

/// What all readers of a server share.
pub(crate) struct Live {
    /// The key of live tokens.
    pub tokens: Tokens,
    pub presence: Presence,
    shelf: Shelf,
    seats: Arc<Seats>,
    catching_up: Arc<Semaphore>,
}

pub fn slice() -> Slice {
    let live = Arc::new(Live {
        tokens: Tokens::default(),
        presence: Presence::default(),
        shelf: Shelf::default(),
        seats: Arc::default(),
        catching_up: Arc::new(Semaphore::new(CATCHING_UP)),
    });
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
        codes: seats::CODES,
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
