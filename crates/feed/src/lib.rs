//! The feed port: live fan-out between processes. Best effort, keeps nothing, counts what it drops.
//!
//! ```text
//!  publish ──▶ subscribers of this process, at once
//!      └─────▶ outbox (bounded) ──▶ engine ──▶ other processes' subscribers
//! ```
//!
//! Promises, each with its test in `tests/contract.rs`:
//! * [`Feed::publish`] never waits and never fails; with the engine gone, everything local goes on;
//! * a subscriber of this process gets a message of this process exactly once, of another one at most once;
//! * messages of one publisher on one topic arrive in order;
//! * a slow subscriber loses the oldest, and is told how many ([`Delivery::Lagged`]);
//! * a subscriber that may have missed messages of other processes is told ([`Delivery::Reconnected`]): once
//!   the engine knows its topic, and whenever the connection was lost and is back;
//! * every queue is bounded in count and in bytes, and [`Status`] counts what did not fit.
//!
//! Nothing is promised about a message that was on its way when the connection broke: it is not sent again.
//!
//! | Engine | [`Target`] | Says |
//! |---|---|---|
//! | local | `local` | [`hub`] alone |
//! | Redis ≥ 6, Valkey | `redis://`, `rediss://` | pub/sub, one connection a process |
//! | PostgreSQL | `postgres://` | LISTEN/NOTIFY, one connection a process; large messages in parts |
//!
//! [`limits`] is the rate limiter that processes share by the same Redis.

mod codes;
mod frame;
mod hub;
pub mod limits;
mod line;
mod outbox;
mod postgres;
mod redis;
mod subscription;
mod target;
mod tls;

pub use codes::{CODES, INVALID_FEED};
pub use outbox::{OUTBOX_AGE, OUTBOX_BYTES, OUTBOX_MESSAGES};
pub use subscription::{Delivery, MAILBOX_BYTES, MAILBOX_MESSAGES, Subscription};
pub use target::Target;

use angarium_base::{Clock, Result, clock::Millis};
use bytes::Bytes;
use hub::Hub;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// The largest message; a larger one is dropped, on every engine alike.
pub const MESSAGE_MAX_BYTES: usize = 1 << 20;

/// How long [`Feed::close`] waits for what is still to be sent.
const CLOSING: Duration = Duration::from_secs(1);

/// A handle on the feed. Cloning it is cheap. When the last one goes the feed is closed at once; only
/// [`Feed::close`] waits for what is still to be sent.
#[derive(Clone)]
pub struct Feed {
    open: Arc<Open>,
}

struct Open {
    hub: Arc<Hub>,
    shared_limits: Option<redis::Shared>,
    clock: Clock,
    task: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

/// How the feed is doing. Counters are since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `local`, `redis` or `postgres`.
    pub engine: &'static str,
    /// Whether messages go to other processes and come from them; always so on `local`.
    pub connected: bool,
    /// Since when `connected` is what it is.
    pub since: Millis,
    /// Topics that somebody in this process listens to.
    pub topics: usize,
    /// Messages that were given to [`Feed::publish`].
    pub published: u64,
    /// Messages that came from other processes.
    pub received: u64,
    /// Messages that did not go to other processes: too large, no room, waited too long, or lost with the connection.
    pub dropped: u64,
    /// Messages that slow subscribers of this process did not get.
    pub lagged: u64,
}

impl Feed {
    /// Opens the feed, inside of a runtime. A server that is away is no error: it is connected in the background.
    ///
    /// `namespace` keeps installations that share a server apart: up to 64 letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// `invalid_feed` when the URL or the namespace is not one.
    pub async fn open(target: &Target, namespace: &str, clock: Clock) -> Result<Feed> {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if namespace.is_empty() || namespace.len() > 64 || !namespace.bytes().all(is_name) {
            return Err(INVALID_FEED.err("a namespace has 1 to 64 letters, digits, - and _"));
        }
        let hub = Arc::new(Hub::new(target.engine(), *target != Target::Local, clock.clone()));
        let (task, shared_limits) = match target {
            Target::Local => (None, None),
            Target::Redis(url) => {
                let engine = redis::Engine::new(url, namespace)?;
                let shared = engine.shared();
                (Some(tokio::spawn(line::run(Arc::clone(&hub), engine))), Some(shared))
            }
            Target::Postgres(url) => {
                let engine = postgres::Engine::new(url, namespace)?;
                (Some(tokio::spawn(line::run(Arc::clone(&hub), engine))), None)
            }
        };
        Ok(Feed { open: Arc::new(Open { hub, shared_limits, clock, task: parking_lot::Mutex::new(task) }) })
    }

    /// Gives `message` to everybody who listens to `topic`: at once in this process, soon in others.
    pub fn publish(&self, topic: &str, message: Bytes) {
        self.open.hub.publish(topic, message);
    }

    /// Listens to `topic` from now on; see [`Delivery::Reconnected`] for when other processes are heard.
    pub fn subscribe(&self, topic: &str) -> Subscription {
        let (topic, mailbox) = self.open.hub.subscribe(topic);
        Subscription::new(Arc::clone(&self.open.hub), topic, mailbox)
    }

    pub fn status(&self) -> Status {
        self.open.hub.status()
    }

    /// A rate limiter: shared by all processes when the engine is Redis, of this process alone otherwise.
    pub fn limiter(&self) -> limits::Limiter {
        limits::Limiter::new(self.open.clock.clone(), self.open.shared_limits.clone())
    }

    /// Sends what waits (for a second at most), disconnects, and ends the subscriptions.
    pub async fn close(&self) {
        self.open.hub.empty_outbox(CLOSING).await;
        self.open.hub.close();
        let task = self.open.task.lock().take();
        if let Some(task) = task {
            task.abort();
            // It was told to end; how it ended says nothing.
            let _ = task.await;
            self.open.hub.set_connected(false);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.hub.close();
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}
