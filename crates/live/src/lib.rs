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
mod page;
mod reader;
mod socket;

pub use reader::CODES;

use angarium_kit::{Slice, fleet::Role};

pub fn slice() -> Slice {
    Slice {
        name: "live",
        migrations: &[],
        streams: &[],
        codes: reader::CODES,
        served_by: Role::Live,
        routes: api::routes().merge(page::routes()),
        direct: None,
        workers: Vec::new(),
    }
}
