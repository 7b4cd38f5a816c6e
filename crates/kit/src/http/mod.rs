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
mod whole;

pub use address::TrustedProxies;
pub use body::{Budget, Content, Held, read_body, read_json, read_raw};
pub use doc::Doc;
pub use layer::{Inside, RequestName, around, attend, client_of_parts};
pub use params::{Params, parse_duration};
pub use problem::{Answer, Problem, problem_body};
pub use routes::{Arguments, Operation, Routes};
pub use whole::Whole;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

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
    /// Bytes of one message.
    pub message_bytes: usize,
    pub live: LiveLimits,
}

/// The limits of the live feed.
#[derive(Clone, Debug)]
pub struct LiveLimits {
    /// Bytes of records that a reader may be behind.
    pub backlog_bytes: u64,
    /// What happens to one that is further behind, if it does not ask for something else.
    pub slow: Slow,
    /// Readers at a time; in one app; of one principal in an app.
    pub readers: usize,
    pub per_app: usize,
    pub per_principal: usize,
    /// How long an EventSource waits before it comes again.
    pub retry: Duration,
}

/// What happens to a reader of the live feed that is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// It is moved ahead, and told how far.
    Gap,
    /// It is disconnected, and told where to resume.
    Disconnect,
}

impl Slow {
    /// `gap` or `disconnect`.
    pub fn parse(text: &str) -> Option<Slow> {
        match text {
            "gap" => Some(Slow::Gap),
            "disconnect" => Some(Slow::Disconnect),
            _ => None,
        }
    }
}

impl Default for LiveLimits {
    fn default() -> Self {
        LiveLimits {
            backlog_bytes: 1 << 20,
            slow: Slow::Gap,
            readers: 10_000,
            per_app: 10_000,
            per_principal: 1_000,
            retry: Duration::from_secs(2),
        }
    }
}

/// How a connection is borne with. The server puts it into every request, and a route asks for what suits its answer.
#[derive(Clone, Debug)]
pub struct Patience(Arc<Bearing>);

#[derive(Debug)]
struct Bearing {
    stall_s: AtomicU32,
    ends_with_speech: AtomicBool,
}

impl Patience {
    /// For how long the other side may take nothing of what it is sent.
    pub fn new(patience: Duration) -> Patience {
        let stall_s = AtomicU32::new(patience.as_secs() as u32);
        Patience(Arc::new(Bearing { stall_s, ends_with_speech: AtomicBool::new(false) }))
    }

    /// For a route that is kind to slow readers.
    pub fn ask_for(&self, patience: Duration) {
        self.0.stall_s.fetch_max(patience.as_secs() as u32, Relaxed);
    }

    pub fn get(&self) -> Duration {
        Duration::from_secs(self.0.stall_s.load(Relaxed).into())
    }

    /// For an answer without an end that has a connection to itself: who will say nothing more is taken to have gone, and
    /// what it says meanwhile is not read. Of any other answer, the other side may have closed its own direction once it
    /// had asked, and still reads.
    pub fn end_with_speech(&self) {
        self.0.ends_with_speech.store(true, Relaxed);
    }

    pub fn ends_with_speech(&self) -> bool {
        self.0.ends_with_speech.load(Relaxed)
    }
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
            live: LiveLimits::default(),
        }
    }
}
