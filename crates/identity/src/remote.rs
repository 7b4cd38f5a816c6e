//! The keys of an issuer that publishes a key set.
//!
//! ```text
//!  none ──first token──▶ fetching ──▶ had ──age, or a kid that is not among them──▶ fetching ──▶ had
//!    ▲                       │ failed              (tokens go on with what is had)      │ failed: had, as before
//!    └── 503 until the floor ┘
//! ```
//!
//! Everybody who waits for a fetch waits for the same one, and it goes on when they do not. Each set that differs from
//! the one before has a higher epoch; what was remembered under another epoch is void.

use crate::{
    Fetching,
    codes::IDENTITY_KEYS_UNAVAILABLE,
    fetch::{Failure, Place},
    key::KeySet,
};
use angarium_base::{Clock, Error, Result, clock::Millis};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// How an issuer's key set is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetState {
    /// Usable keys at hand; `None` before the first fetch that succeeded.
    pub keys: Option<usize>,
    /// When the set at hand was fetched.
    pub fetched_at: Option<Millis>,
    /// When it was tried last, and what came in between; `None` when the last fetch succeeded.
    pub failure: Option<(Millis, String)>,
}

/// A key set, and which one in the row.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub keys: Arc<KeySet>,
    pub epoch: u64,
}

pub(crate) struct Remote {
    issuer: String,
    place: Place,
    clock: Clock,
    refresh_after_ms: Millis,
    floor_ms: Millis,
    /// From when on the set is to be fetched again; never, as long as there is none.
    due_at: AtomicI64,
    /// That of `state`, to be read without its lock.
    epoch: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    snapshot: Option<Snapshot>,
    fetched_at: Option<Millis>,
    tried_at: Option<Millis>,
    failure: Option<String>,
    /// Closed when the fetch is over, however it ended.
    in_flight: Option<watch::Receiver<()>>,
}

impl Remote {
    pub fn new(issuer: &str, place: Place, fetching: Fetching, clock: Clock) -> Arc<Remote> {
        Arc::new(Remote {
            issuer: issuer.to_owned(),
            place,
            clock,
            refresh_after_ms: millis(fetching.refresh_after),
            floor_ms: millis(fetching.floor),
            due_at: AtomicI64::new(Millis::MAX),
            epoch: AtomicU64::new(0),
            state: Mutex::default(),
        })
    }

    /// Which set is at hand.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether the set at hand is to be fetched again.
    pub fn is_due(&self, now: Millis) -> bool {
        now >= self.due_at.load(Ordering::Acquire)
    }

    /// Begins a fetch in the background if it is time; for nobody to wait.
    pub fn refresh_if_due(self: &Arc<Self>) {
        let now = self.clock.now();
        if self.is_due(now) {
            self.begin(&mut self.state.lock(), now);
        }
    }

    /// The keys at hand, or the first ones there are.
    ///
    /// # Errors
    /// `identity_keys_unavailable` when there were never any and cannot be had now.
    pub async fn keys(self: &Arc<Self>) -> Result<Snapshot> {
        self.refresh_if_due();
        let waiting = {
            let mut state = self.state.lock();
            if let Some(snapshot) = &state.snapshot {
                return Ok(snapshot.clone());
            }
            self.begin(&mut state, self.clock.now())
        };
        finished(waiting).await;
        let state = self.state.lock();
        state.snapshot.clone().ok_or_else(|| self.unavailable(&state))
    }

    /// A set that came after `epoch`, fetched if the floor allows it; `None` if there is none.
    pub async fn newer_than(self: &Arc<Self>, epoch: u64) -> Option<Snapshot> {
        let newer = |state: &State| state.snapshot.clone().filter(|snapshot| snapshot.epoch > epoch);
        let waiting = {
            let mut state = self.state.lock();
            if let Some(snapshot) = newer(&state) {
                return Some(snapshot);
            }
            self.begin(&mut state, self.clock.now())
        };
        finished(waiting).await;
        newer(&self.state.lock())
    }

    /// Fetches, or waits for who does, unless the floor forbids it.
    pub async fn refresh(self: &Arc<Self>) {
        let waiting = self.begin(&mut self.state.lock(), self.clock.now());
        finished(waiting).await;
    }

    pub fn state(&self) -> KeySetState {
        let state = self.state.lock();
        KeySetState {
            keys: state.snapshot.as_ref().map(|snapshot| snapshot.keys.0.len()),
            fetched_at: state.fetched_at,
            failure: state.tried_at.zip(state.failure.clone()),
        }
    }

    /// The fetch that is under way, begun here if none is; `None` when it is too early for another.
    fn begin(self: &Arc<Self>, state: &mut State, now: Millis) -> Option<watch::Receiver<()>> {
        if let Some(running) = state.in_flight.as_ref().filter(|running| running.has_changed().is_ok()) {
            return Some(running.clone());
        }
        // An instant ahead of now is from a clock that was set back.
        if state.tried_at.is_some_and(|tried_at| (0..self.floor_ms).contains(&(now - tried_at))) {
            return None;
        }
        state.tried_at = Some(now);
        if state.snapshot.is_some() {
            self.due_at.store(now.saturating_add(self.floor_ms), Ordering::Release);
        }
        let (running, waiting) = watch::channel(());
        state.in_flight = Some(waiting.clone());
        let remote = Arc::clone(self);
        tokio::spawn(async move {
            let fetched = remote.place.get().await;
            remote.settle(fetched);
            drop(running);
        });
        Some(waiting)
    }

    fn settle(&self, fetched: Result<KeySet, Failure>) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.in_flight = None;
        let keys = match fetched {
            Ok(keys) => keys,
            Err(failure) => {
                let (issuer, has_keys) = (&self.issuer, state.snapshot.is_some());
                let source = failure.source.as_ref().map(tracing::field::display);
                tracing::warn!(%issuer, has_keys, source, "{}", failure.what);
                state.failure = Some(failure.what);
                return;
            }
        };
        state.failure = None;
        state.fetched_at = Some(now);
        if state.snapshot.as_ref().is_none_or(|had| *had.keys != keys) {
            let epoch = self.epoch() + 1;
            tracing::info!(issuer = %self.issuer, keys = keys.0.len(), "a new key set");
            state.snapshot = Some(Snapshot { keys: Arc::new(keys), epoch });
            self.epoch.store(epoch, Ordering::Release);
        }
        self.due_at.store(now.saturating_add(self.refresh_after_ms), Ordering::Release);
    }

    fn unavailable(&self, state: &State) -> Error {
        let left =
            state.tried_at.map_or(0, |tried_at| tried_at.saturating_add(self.floor_ms) - self.clock.now());
        let seconds = (left.clamp(1, self.floor_ms.max(1)) - 1) / 1000 + 1;
        IDENTITY_KEYS_UNAVAILABLE
            .err("the keys of the token's issuer cannot be fetched at the moment; try again later")
            .with_retry_after_s(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

async fn finished(fetch: Option<watch::Receiver<()>>) {
    if let Some(mut fetch) = fetch {
        // Nothing is ever sent: the channel closes when the fetch is over.
        let _ = fetch.changed().await;
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
