//! How every route takes a request and answers it.

pub mod address;
mod body;
mod browser;
pub mod doc;
mod inflate;
mod layer;
pub mod openapi;
mod params;
mod problem;
mod routes;

pub use address::TrustedProxies;
pub use body::{Budget, Content, Held, read_body, read_json, read_raw};
pub use doc::Doc;
pub use layer::{Inside, RequestName, around, attend, client_of_parts};
pub use params::{Params, parse_duration};
pub use problem::{Answer, Problem, problem_body};
pub use routes::{Arguments, Operation, Routes};

use std::{net::SocketAddr, time::Duration};

/// Who is at the other end of the connection; the server puts it into every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Every limit of the HTTP side, in one table.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Headers of a request.
    pub headers: usize,
    /// Bytes of a request body, as sent and after inflating.
    pub body_bytes: usize,
    /// Bytes of one event.
    pub event_bytes: usize,
    /// Bytes of all request bodies in memory together.
    pub bodies_bytes: usize,
    /// A body must be there within this time.
    pub body_timeout: Duration,
    /// Nothing may be silent for longer than this in the middle of a body.
    pub body_idle: Duration,
    /// A long poll waits at most this long.
    pub wait: Duration,
    /// Records a live reader may be behind before it is moved ahead, with a gap frame.
    /// Bytes of one message.
    pub message_bytes: usize,
    pub live_backlog: u64,
    /// Live readers at a time.
    pub live_readers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            headers: 100,
            body_bytes: 16 << 20,
            event_bytes: 64 << 10,
            bodies_bytes: 64 << 20,
            body_timeout: Duration::from_secs(30),
            body_idle: Duration::from_secs(10),
            wait: Duration::from_secs(60),
            message_bytes: 1 << 20,
            live_backlog: 10_000,
            live_readers: 10_000,
        }
    }
}
