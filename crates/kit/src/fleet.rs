//! The processes that share a store: what each does, which there are, and what only one does at a time.
//!
//! ```text
//!  enter ─▶ a row in `processes` ─▶ a sign of life every 5 s ─▶ leave: the row is gone
//!                                        └ none for 30 s: shown as gone; none for a day: forgotten
//! ```
//!
//! | Module | Idea |
//! |---|---|
//! | [`Role`] | a part of the work |
//! | [`Member`] | what a process says of itself |
//! | [`Process`] | a process as the fleet sees it |
//! | [`Fleet::run_alone`] | leases; the clock that decides is described in `fleet/lease.rs` |

mod lease;
mod member;
mod process;
mod role;
mod store;

pub use lease::{Timing, Watched};
pub use member::Member;
pub use process::{GONE_AFTER_MS, Process};
pub use role::Role;

use angarium_base::{Clock, ProcessId, Result, clock::Millis};
use angarium_db::{Db, Migration};
use angarium_feed::Feed;
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The part of the schema that is the fleet's.
pub const MIGRATIONS: &[Migration] =
    &[Migration::new("fleet_0001", include_str!("../migrations/0001_fleet.sql"))];

/// How often a process gives a sign of life.
const BEAT_EVERY: Duration = Duration::from_secs(5);

/// A handle on the fleet, as the process in it that this is. Cloning it is cheap.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    member: Member,
    db: Db,
    feed: Feed,
    clock: Clock,
    timing: Timing,
    lag_ms: AtomicI64,
    /// The leases for which jobs of this process wait or run.
    jobs: Mutex<BTreeSet<&'static str>>,
    beating: Mutex<Option<(CancellationToken, JoinHandle<()>)>>,
    /// Ends the signs of life with the last handle.
    _end: DropGuard,
}

impl Fleet {
    /// Enters `member` among the processes of the store, inside of a runtime, and keeps it there until [`Fleet::leave`].
    ///
    /// A store that one process has at a time knows no other: those of before, and their leases, are forgotten.
    ///
    /// # Errors
    /// `unavailable` when the store cannot be written to.
    pub async fn enter(db: &Db, feed: &Feed, clock: Clock, member: Member, timing: Timing) -> Result<Fleet> {
        let end = CancellationToken::new();
        let fleet = Fleet(Arc::new(Inner {
            member,
            db: db.clone(),
            feed: feed.clone(),
            clock,
            timing,
            lag_ms: AtomicI64::new(0),
            jobs: Mutex::default(),
            beating: Mutex::default(),
            _end: end.clone().drop_guard(),
        }));
        if !db.is_shared() {
            db.write(store::forget_all).await?;
        }
        fleet.0.beat().await?;
        let task = tokio::spawn(keep_beating(Arc::downgrade(&fleet.0), end.clone()));
        *fleet.0.beating.lock() = Some((end, task));
        Ok(fleet)
    }

    /// Takes this process off the table. Leases are given back by those who run under them.
    pub async fn leave(&self) {
        let Some((end, task)) = self.0.beating.lock().take() else { return };
        end.cancel();
        // It was told to end; a sign of life must not come after the farewell.
        let _ = task.await;
        let id = self.id().clone();
        if let Err(error) = self.db().write(move |tx| store::delete_process(tx, id.as_str())).await {
            tracing::debug!(
                ?error,
                "this process could not be taken off the table; it will be shown as gone"
            );
        }
    }

    /// Every process that was seen within the last day, the oldest first.
    ///
    /// # Errors
    /// `unavailable` when the store cannot be asked.
    pub async fn processes(&self) -> Result<Vec<Process>> {
        self.db().read(store::processes).await
    }

    /// What this process says of itself.
    pub fn member(&self) -> &Member {
        &self.0.member
    }

    pub fn id(&self) -> &ProcessId {
        &self.0.member.id
    }

    pub fn has(&self, role: Role) -> bool {
        self.0.member.has(role)
    }

    /// How late the last sign of life of this process reached the store.
    pub fn lag_ms(&self) -> Millis {
        self.0.lag_ms.load(Relaxed)
    }

    fn db(&self) -> &Db {
        &self.0.db
    }

    fn feed(&self) -> &Feed {
        &self.0.feed
    }

    fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn timing(&self) -> &Timing {
        &self.0.timing
    }

    /// Marks that a job for the lease runs; `None` when one does already.
    fn begin(&self, name: &'static str) -> Option<Running<'_>> {
        self.0.jobs.lock().insert(name).then(|| Running(self, name))
    }
}

/// A job of this process, for as long as it waits or runs.
struct Running<'a>(&'a Fleet, &'static str);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.jobs.lock().remove(self.1);
    }
}

impl Inner {
    /// One sign of life.
    async fn beat(&self) -> Result<()> {
        let (member, now, lag_ms) = (self.member.clone(), self.clock.now(), self.lag_ms.load(Relaxed));
        let detail = feed_trouble(&self.feed);
        self.db
            .write(move |tx| {
                store::see_process(tx, &member, now, lag_ms, detail)?;
                store::forget_processes(tx, now - process::FORGOTTEN_AFTER_MS)
            })
            .await
    }
}

/// What is wrong with the feed, in words; `None` while it is well.
pub fn feed_trouble(feed: &Feed) -> Option<&'static str> {
    (!feed.status().connected).then_some("local only: the feed's server cannot be reached")
}

/// Gives signs of life until `end`.
async fn keep_beating(fleet: Weak<Inner>, end: CancellationToken) {
    let (mut due, mut failing) = (Instant::now() + BEAT_EVERY, false);
    while end.run_until_cancelled(sleep_until(due)).await.is_some() {
        let Some(fleet) = fleet.upgrade() else { return };
        match fleet.beat().await {
            Ok(()) => failing = false,
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(?error, "this process cannot show that it lives; will try again");
            }
            Err(_) => {}
        }
        fleet.lag_ms.store(due.elapsed().as_millis() as Millis, Relaxed);
        due = (due + BEAT_EVERY).max(Instant::now() + BEAT_EVERY / 5);
    }
}
