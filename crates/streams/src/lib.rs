//! Streams over HTTP: what an app has, reading by cursor with long poll, consumer groups.
//!
//! Any consumer, in any language, needs two calls: `poll` and `commit`. Delivery is at least once, in
//! order; what a group has committed never comes to it again.

mod api;

use angarium_kit::{Slice, fleet::Role};

pub fn slice() -> Slice {
    Slice {
        name: "streams",
        migrations: &[],
        streams: &[],
        codes: angarium_journal::CODES,
        served_by: Role::Api,
        routes: api::routes(),
        direct: None,
        workers: Vec::new(),
        eraser: None,
        redrive: None,
    }
}
