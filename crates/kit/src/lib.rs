//! What a slice is made with.
//!
//! | Module | Idea |
//! |---|---|
//! | [`Kit`] | the handles a slice works with: clock, store, journal, feed, blobs, who may do what, metrics |
//! | [`Slice`] | what a slice brings: routes, workers and where they run, schema, error codes |
//! | [`access`] | [`access::Allowed`], the only way a handler comes by an app's id |
//! | [`audit`] | who changed what in an app |
//! | [`dead_letters`] | what was given up, with its reason, and how it is run again |
//! | [`fleet`] | the processes that share a store: roles, who there is, what one does at a time |
//! | [`gate`] | rate limits |
//! | [`http`] | routes and their document, problems, bodies, parameters, the layer around every route |
//! | [`idempotency`] | the same request twice has one effect and one answer |
//! | [`records`] | records of a stream as the JSON that every route gives out |
//! | [`secrets`] | secrets at rest, sealed |
//! | [`metrics`] | what is counted, without a process-wide registry |

pub mod access;
pub mod audit;
pub mod dead_letters;
pub mod fleet;
pub mod gate;
pub mod http;
pub mod idempotency;
pub mod metrics;
pub mod records;
pub mod secrets;

pub use gate::RATE_LIMITED;

use angarium_base::{AppId, Clock, Code, Result};
use angarium_blobs::Blobs;
use angarium_db::{Db, Migration, Tx};
use angarium_feed::Feed;
use angarium_identity::Verifier;
use angarium_journal::Journal;
use axum::{extract::Request, response::Response};
use std::{collections::HashMap, pin::Pin, sync::Arc};
use tokio_util::sync::CancellationToken;

/// The handles a slice works with. Cloning it is cheap.
#[derive(Clone)]
pub struct Kit(Arc<Handles>);

/// What a [`Kit`] holds.
pub struct Handles {
    pub clock: Clock,
    pub db: Db,
    pub journal: Journal,
    pub feed: Feed,
    pub blobs: Blobs,
    pub fleet: fleet::Fleet,
    pub directory: access::Directory,
    /// Whose tokens are believed.
    pub identity: Verifier,
    /// A proxy that names users, if one is trusted to.
    pub proxy: Option<access::Proxy>,
    pub secrets: secrets::Secrets,
    /// Rate limits.
    pub gate: gate::Gate,
    /// Requests with an `Idempotency-Key` that are being answered.
    pub under_way: idempotency::UnderWay,
    /// Whose word on a client's address is taken.
    pub trusted_proxies: http::TrustedProxies,
    pub metrics: metrics::Metrics,
    pub limits: http::Limits,
    /// Bytes of request bodies in memory, over all requests.
    pub budget: http::Budget,
    /// Which route families anonymous callers may use, for the default app.
    pub anonymous: access::Anonymous,
    pub parts: Parts,
    /// Cancelled when the server begins to stop: long polls and feeds end then.
    pub stop: CancellationToken,
}

impl Kit {
    pub fn new(handles: Handles) -> Kit {
        Kit(Arc::new(handles))
    }
}

impl std::ops::Deref for Kit {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.0
    }
}

/// What the slices bring to each other through the kit.
#[derive(Default)]
pub struct Parts {
    /// The streams that they write: every app has them, also before their first record.
    pub streams: Vec<&'static str>,
    pub erasers: Vec<Eraser>,
    /// How dead letters are run again, by their kind.
    pub redrives: HashMap<&'static str, dead_letters::Redrive>,
}

impl Parts {
    pub fn of(slices: &[Slice]) -> Parts {
        Parts {
            streams: slices.iter().flat_map(|slice| slice.streams).copied().collect(),
            erasers: slices.iter().filter_map(|slice| slice.eraser).collect(),
            redrives: slices.iter().filter_map(|slice| slice.redrive).collect(),
        }
    }
}

/// Removes a piece of what a slice keeps of a deleted app; returns how many rows went, 0 when nothing is left.
pub type Eraser = fn(&mut Tx<'_>, &AppId) -> Result<u64>;

/// A background task of a slice: runs until the token is cancelled. One under a lease may be dropped at any await.
pub type Worker = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts a [`Worker`]; one that runs under a lease is started whenever the lease is had.
pub type StartWorker = Box<dyn Fn(Kit, CancellationToken) -> Worker + Send + Sync>;

/// Which processes of a fleet run a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    Everywhere,
    /// Those with this role.
    On(fleet::Role),
    /// One of those with the role `timer`: who holds the lease of this name.
    Alone(&'static str),
    /// One of those with this role.
    OneOf(fleet::Role, &'static str),
}

/// A route that is tried before the router, because a router's boxes cost as much as the whole of its work.
/// The same route is in the router too.
#[derive(Clone)]
pub struct Direct {
    /// Whether this request is the route's own.
    pub takes: fn(&Request) -> bool,
    pub answer: Arc<dyn Fn(Kit, Request) -> Answering + Send + Sync>,
}

/// A response on its way.
pub type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What a slice brings to the server.
pub struct Slice {
    pub name: &'static str,
    pub migrations: &'static [Migration],
    /// The streams it writes.
    pub streams: &'static [&'static str],
    pub codes: &'static [Code],
    /// The role whose processes serve its routes; others answer them with a problem that says so.
    pub served_by: fleet::Role,
    pub routes: http::Routes,
    pub direct: Option<Direct>,
    pub workers: Vec<(Runs, StartWorker)>,
    /// Removes what the slice's tables hold of an app.
    pub eraser: Option<Eraser>,
    /// The kind of dead letters that it makes, and how they are run again.
    pub redrive: Option<(&'static str, dead_letters::Redrive)>,
}
