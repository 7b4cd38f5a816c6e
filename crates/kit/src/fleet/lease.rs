//! Leases: work that one process of the fleet does at a time.
//!
//! ```text
//!   waiting ──▶ free, or its beat stood still for `take` ──▶ held: beat + 1 every `renew` ──▶ given back
//!      ▲                                                        │ not renewed for `cancel`: the job's token
//!      └──────────────── lost ◀── job dropped ◀── for `abandon` ┘
//! ```
//!
//! **No wall clock decides.** Who waits measures by its own monotonic clock how long it has seen the same beat; who
//! holds measures, by its own, how long ago it *sent* the last renewal that went through. A beat is seen after it was
//! sent, so `abandon < take` keeps two runners apart whatever the clocks of the machines say, as long as they tick
//! at the same speed. Taking is one statement whose condition is the beat that was seen: of several, one gets it.
//!
//! What this cannot exclude: a process that is frozen (SIGSTOP, a paused machine, whose monotonic clock may have stood
//! still) and thawed after another took over runs on until its timers fire, or its next renewal is refused: for
//! `renew` at most. Work under a lease therefore has to tolerate a second runner for a moment: its writes are
//! conditional, or the same twice.

use super::{
    Fleet,
    store::{self, LeaseRow},
};
use angarium_base::Result;
use bytes::Bytes;
use std::{pin::pin, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// The feed's topic on which processes tell each other that a lease has become free.
const FREED: &str = "leases";

/// The times of a lease; they rise in the order in which they stand here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often who waits looks, and how soon a renewal that failed is tried again.
    pub look: Duration,
    /// How often the lease is renewed.
    pub renew: Duration,
    /// Without a renewal for this long, the job is told to end.
    pub cancel: Duration,
    /// Without a renewal for this long, the job is dropped where it stands.
    pub abandon: Duration,
    /// A lease whose beat was seen to stand still for this long is taken.
    pub take: Duration,
}

impl Timing {
    /// Within this time of its holder's death a lease is another's.
    pub const LEASE: Duration = Duration::from_secs(15);

    /// The times of a lease that is taken over within `lease`.
    pub fn of(lease: Duration) -> Timing {
        Timing {
            look: lease / 15,
            renew: lease / 3,
            cancel: lease * 10 / 15,
            abandon: lease * 12 / 15,
            take: lease * 13 / 15,
        }
    }
}

impl Default for Timing {
    fn default() -> Timing {
        Timing::of(Timing::LEASE)
    }
}

/// What a process that waits for a lease has seen of it.
#[derive(Debug, Default)]
pub struct Watched {
    /// The last beat, and when it was first seen.
    beat: Option<(i64, Instant)>,
}

impl Watched {
    /// Whether `me` may try to take the lease, of which `row` was read and had arrived at `now`.
    fn may_take(&mut self, row: Option<&LeaseRow>, me: &str, now: Instant, take: Duration) -> bool {
        // Ours without our knowing: the answer to our taking it was lost.
        let Some(row) = row.filter(|row| !row.holder.is_empty() && row.holder != me) else { return true };
        match self.beat {
            Some((beat, since)) if beat == row.beat => now.duration_since(since) >= take,
            _ => {
                self.beat = Some((row.beat, now));
                false
            }
        }
    }
}

impl Fleet {
    /// Runs `job` whenever this process holds the lease `name`, until `stop`, or until the job ends by itself.
    ///
    /// The job's token is cancelled at `stop`, and when the lease cannot be renewed; a job that does not end then is
    /// dropped before another process can take the lease, so each of its awaits may be the last. At the end the
    /// lease is given back at once.
    ///
    /// A process runs one job a name.
    pub async fn run_alone<F: Future<Output = ()>>(
        &self,
        name: &'static str,
        stop: CancellationToken,
        job: impl Fn(CancellationToken) -> F,
    ) {
        let Some(_running) = self.begin(name) else {
            tracing::error!(
                lease = name,
                "a second job of this process asks for the same lease; it is not run"
            );
            return;
        };
        while let Some(taken_at) = stop.run_until_cancelled(self.wait_for_lease(name)).await {
            tracing::info!(lease = name, "this process holds the lease");
            if self.hold_lease(name, taken_at, &stop, &job).await {
                return;
            }
        }
    }

    /// Waits until the lease is ours, and returns since when: the instant before it was asked for.
    async fn wait_for_lease(&self, name: &'static str) -> Instant {
        let mut freed = self.feed().subscribe(FREED);
        let (mut watched, mut failing) = (Watched::default(), false);
        loop {
            let asked_at = Instant::now();
            match self.try_lease(name, &mut watched).await {
                Ok(true) => return asked_at,
                Ok(false) => failing = false,
                Err(error) if !std::mem::replace(&mut failing, true) => {
                    tracing::warn!(?error, lease = name, "the lease cannot be looked at; will try again");
                }
                Err(_) => {}
            }
            let pause = sleep(self.timing().look);
            tokio::select! {
                () = pause => {}
                // A feed that is closed tells nothing any more.
                Some(_) = freed.next() => {}
            }
        }
    }

    /// Looks at the lease once, and takes it if that may be.
    ///
    /// # Errors
    /// `unavailable` when the store cannot be asked.
    pub async fn try_lease(&self, name: &'static str, watched: &mut Watched) -> Result<bool> {
        let row = self.db().read(move |tx| store::lease(tx, name)).await?;
        if !watched.may_take(row.as_ref(), self.id().as_str(), Instant::now(), self.timing().take) {
            return Ok(false);
        }
        let (me, beat, now) = (self.id().clone(), row.map(|row| row.beat), self.clock().now());
        self.db().write(move |tx| store::take_lease(tx, name, me.as_str(), beat, now)).await
    }

    /// Runs the job for as long as the lease is ours. Returns whether that was all there is to do.
    async fn hold_lease<F: Future<Output = ()>>(
        &self,
        name: &'static str,
        taken_at: Instant,
        stop: &CancellationToken,
        job: &impl Fn(CancellationToken) -> F,
    ) -> bool {
        let (renewed, mut renewals) = watch::channel(taken_at);
        let token = CancellationToken::new();
        let mut renewing = pin!(self.renew_lease(name, taken_at, renewed));
        let mut running = pin!(job(token.clone()));
        loop {
            let last = *renewals.borrow_and_update();
            tokio::select! {
                biased;
                () = sleep_until(last + self.timing().abandon) => {
                    tracing::warn!(lease = name, "the lease could not be renewed: its job was ended");
                    return false;
                }
                () = &mut renewing => {
                    tracing::warn!(lease = name, "the lease is another process's by now: its job was ended");
                    return false;
                }
                () = sleep_until(last + self.timing().cancel), if !token.is_cancelled() => {
                    tracing::warn!(lease = name, "the lease cannot be renewed: its job is told to end");
                    token.cancel();
                }
                () = stop.cancelled(), if !token.is_cancelled() => token.cancel(),
                Ok(()) = renewals.changed() => {}
                () = &mut running => break,
            }
        }
        self.give_back_lease(name).await;
        // A job that ended because its lease could not be renewed goes on with the next one.
        stop.is_cancelled() || !token.is_cancelled()
    }

    /// Renews, and says when each renewal that went through was sent. Ends when the lease is another's.
    async fn renew_lease(&self, name: &'static str, taken_at: Instant, renewed: watch::Sender<Instant>) {
        let mut due = taken_at + self.timing().renew;
        loop {
            sleep_until(due).await;
            let (me, now) = (self.id().clone(), self.clock().now());
            let sent_at = Instant::now();
            match self.db().write(move |tx| store::renew_lease(tx, name, me.as_str(), now)).await {
                Ok(true) => {
                    renewed.send_replace(sent_at);
                    due = sent_at + self.timing().renew;
                }
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(?error, lease = name, "the lease was not renewed; will try again");
                    due = Instant::now() + self.timing().look;
                }
            }
        }
    }

    async fn give_back_lease(&self, name: &'static str) {
        let me = self.id().clone();
        match self.db().write(move |tx| store::give_back_lease(tx, name, me.as_str())).await {
            Ok(()) => self.feed().publish(FREED, Bytes::new()),
            Err(error) => tracing::debug!(?error, lease = name, "the lease was not given back; it runs out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(holder: &str, beat: i64) -> LeaseRow {
        LeaseRow { holder: holder.into(), beat }
    }

    #[test]
    fn a_lease_is_taken_when_it_is_free_or_its_beat_stood_still() {
        let (start, take) = (Instant::now(), Duration::from_secs(13));
        let at = |s: u64| start + Duration::from_secs(s);
        for free in [None, Some(row("", 3)), Some(row("me", 4))] {
            assert!(Watched::default().may_take(free.as_ref(), "me", start, take));
        }
        let mut watched = Watched::default();
        for (s, beat, may) in
            [(0, 1, false), (12, 1, false), (13, 2, false), (25, 2, false), (26, 2, true), (27, 3, false)]
        {
            assert_eq!(watched.may_take(Some(&row("other", beat)), "me", at(s), take), may, "{s} {beat}");
        }
    }

    #[test]
    fn a_holder_ends_its_job_before_another_may_take_the_lease() {
        let Timing { look, renew, cancel, abandon, take } = Timing::default();
        assert!(look < renew && renew * 2 <= cancel && cancel < abandon && abandon < take);
        // A death is seen one look later, and acted on one look later.
        assert!(take + look * 2 <= Timing::LEASE);
    }
}
