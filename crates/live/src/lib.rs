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
mod ending;
mod filter;
mod native;
mod page;
mod reader;
mod rendered;
mod seats;
mod socket;
mod sse;

pub use seats::CODES;

use angarium_kit::{Slice, fleet::Role};
use rendered::Shelf;
use seats::Seats;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Readers that read from where streams are stored at a time, each some of it for itself.
const CATCHING_UP: usize = 64;

/// What all readers of a server share.
struct Live {
    shelf: Shelf,
    seats: Arc<Seats>,
    catching_up: Arc<Semaphore>,
}

pub fn slice() -> Slice {
    let live = Arc::new(Live {
        shelf: Shelf::default(),
        seats: Arc::default(),
        catching_up: Arc::new(Semaphore::new(CATCHING_UP)),
    });
    Slice {
        name: "live",
        migrations: &[],
        streams: &[],
        codes: CODES,
        served_by: Role::Live,
        routes: api::routes().with(live).merge(page::routes()),
        direct: None,
        workers: Vec::new(),
    }
}
