//! The writer thread: ticks, savepoints, one commit, then the answers.

use super::{CANARY_EVERY, CANARY_RETRY, CHECKPOINT_EVERY, CROWD, LINGER, NAP, QUEUE, TICK, TICK_CLOSURES};
use crate::{
    Alarm, Health, Participant, Stats, Tx,
    codes::STORE_FAILED,
    sqlite::{
        on,
        statements::{failed, given_up},
    },
    work::{Closure, Work},
};
use angarium_base::{
    Clock, Context, Error, Kind, Result,
    clock::Millis,
    error::{INTERNAL, OVERLOADED, UNAVAILABLE},
};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Instant,
};
use tokio::sync::oneshot;

/// What callers and the writer thread share.
pub struct Shared {
    queue: Mutex<Queue>,
    alarm: Alarm,
    sick: AtomicBool,
    last_commit_at: AtomicI64,
    counters: Counters,
    clock: Clock,
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Box<dyn Work>>,
    joining: Vec<Box<dyn Participant>>,
    closed: bool,
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    failed_commits: AtomicU64,
    closures: AtomicU64,
    commit_us: AtomicU64,
    tick_us: AtomicU64,
}

impl Shared {
    pub fn new(clock: Clock) -> Shared {
        Shared {
            queue: Mutex::default(),
            alarm: Alarm::default(),
            sick: AtomicBool::new(false),
            last_commit_at: AtomicI64::new(clock.now()),
            counters: Counters::default(),
            clock,
        }
    }

    pub async fn write<T: Send + 'static>(
        &self,
        f: impl Fn(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.sick.load(Relaxed) {
            return Err(sick());
        }
        let (to, answer) = oneshot::channel();
        {
            let mut queue = self.queue.lock();
            if queue.closed {
                return Err(closed());
            }
            if queue.work.len() >= QUEUE {
                return Err(OVERLOADED.err("too many writes wait for the store"));
            }
            queue.work.push_back(Closure::boxed(f, to));
        }
        self.alarm.raise();
        answer.await.map_err(|_| closed())?
    }

    pub fn join(&self, participant: Box<dyn Participant>) {
        self.queue.lock().joining.push(participant);
        self.alarm.raise();
    }

    pub fn alarm(&self) -> Alarm {
        self.alarm.clone()
    }

    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.alarm.raise();
    }

    pub fn health(&self, now: Millis) -> Health {
        Health {
            healthy: !self.sick.load(Relaxed),
            commit_age_ms: (now - self.last_commit_at.load(Relaxed)).max(0),
        }
    }

    pub fn stats(&self) -> Stats {
        Stats {
            commits: self.counters.commits.load(Relaxed),
            failed_commits: self.counters.failed_commits.load(Relaxed),
            closures: self.counters.closures.load(Relaxed),
            commit_us: self.counters.commit_us.load(Relaxed),
            tick_us: self.counters.tick_us.load(Relaxed),
        }
    }
}

fn sick() -> Error {
    UNAVAILABLE.err("the store cannot make anything durable at the moment; nothing was accepted")
}

fn closed() -> Error {
    UNAVAILABLE.err("the store is closed")
}

/// Starts the writer thread; it ends when the queue is closed and empty.
pub fn spawn(shared: Arc<Shared>, connection: Connection) -> Result<JoinHandle<()>> {
    let mut writer = Writer { shared, connection, participants: Vec::new(), staged: Vec::new() };
    std::thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || writer.run())
        .or_error(STORE_FAILED, "the writer thread cannot be started")
}

struct Writer {
    shared: Arc<Shared>,
    connection: Connection,
    participants: Vec<Box<dyn Participant>>,
    staged: Vec<crate::tx::Staged>,
}

impl Writer {
    fn run(&mut self) {
        let (mut quiet_since, mut crowd) = (Instant::now(), 0);
        loop {
            let closed = self.admit();
            if self.pending() > 0 {
                if crowd >= CROWD && !closed {
                    self.linger();
                }
                crowd = self.pending();
                self.tick(false);
                quiet_since = Instant::now();
                continue;
            }
            if closed {
                break;
            }
            let sick = self.shared.sick.load(Relaxed);
            let canary_in =
                if sick { CANARY_RETRY } else { CANARY_EVERY }.saturating_sub(quiet_since.elapsed());
            if canary_in.is_zero() {
                self.tick(true);
                quiet_since = Instant::now();
            } else {
                self.shared.alarm.wait(canary_in);
            }
        }
        if let Err((_, error)) = std::mem::replace(&mut self.connection, memory()).close() {
            tracing::error!(%error, "the store's file was not closed cleanly");
        }
    }

    /// Lets new participants in; returns whether the store is closing.
    fn admit(&mut self) -> bool {
        let mut queue = self.shared.queue.lock();
        self.participants.append(&mut queue.joining);
        queue.closed
    }

    /// How many callers wait.
    fn pending(&self) -> usize {
        self.shared.queue.lock().work.len() + self.participants.iter().map(|p| p.pending()).sum::<usize>()
    }

    /// Waits while more callers come, so that they share the commit.
    fn linger(&self) {
        let (started, mut waiting) = (Instant::now(), self.pending());
        while started.elapsed() < LINGER {
            std::thread::sleep(NAP);
            let now = self.pending();
            if now == waiting || now >= TICK_CLOSURES {
                break;
            }
            waiting = now;
        }
    }

    /// One physical transaction, and its answers.
    fn tick(&mut self, canary: bool) {
        let started = Instant::now();
        let mut waiting = Vec::new();
        let outcome = self.fill_and_commit(canary, started, &mut waiting);
        self.note(&outcome, started);
        for participant in &mut self.participants {
            participant.settle(outcome.as_ref().copied());
        }
        for work in waiting {
            work.answer(outcome.as_ref().copied().map_err(Error::again));
        }
        if outcome.is_err() {
            self.refuse_queued();
        }
    }

    /// Answers what waits while nothing can be made durable, rather than keep it waiting.
    fn refuse_queued(&self) {
        let queued = std::mem::take(&mut self.shared.queue.lock().work);
        queued.into_iter().for_each(|work| work.answer(Err(sick())));
    }

    fn fill_and_commit(
        &mut self,
        canary: bool,
        started: Instant,
        waiting: &mut Vec<Box<dyn Work>>,
    ) -> Result<()> {
        let filled = catch_unwind(AssertUnwindSafe(|| self.fill(canary, started, waiting)))
            .unwrap_or_else(|_| Err(INTERNAL.err("the store's writer met a fault; nothing was accepted")));
        let outcome = filled.and_then(|()| {
            let committing = Instant::now();
            let committed = self.execute("COMMIT");
            self.shared.counters.commit_us.fetch_add(committing.elapsed().as_micros() as u64, Relaxed);
            committed
        });
        self.staged.clear();
        if outcome.is_err() && !self.connection.is_autocommit() {
            // The transaction is lost either way; the error that ended it is the one to tell.
            let _ = self.execute("ROLLBACK");
        }
        outcome
    }

    /// Everything of a tick but its commit.
    fn fill(&mut self, canary: bool, started: Instant, waiting: &mut Vec<Box<dyn Work>>) -> Result<()> {
        self.execute("BEGIN IMMEDIATE")?;
        self.run_closures(started, waiting)?;
        let mut tx = on(&self.connection, &mut self.staged);
        if canary {
            let now = self.shared.clock.now();
            tx.exec(
                "INSERT INTO canary (id, at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET at = $1",
                crate::v![now],
            )?;
        }
        self.participants.iter_mut().try_for_each(|participant| participant.flush(&mut tx))
    }

    fn run_closures(&mut self, started: Instant, waiting: &mut Vec<Box<dyn Work>>) -> Result<()> {
        for n in 0..TICK_CLOSURES {
            if n > 0 && started.elapsed() > TICK {
                break;
            }
            let Some(mut work) = self.next() else { break };
            self.shared.counters.closures.fetch_add(1, Relaxed);
            self.execute("SAVEPOINT closure")?;
            let staged_before = self.staged.len();
            let mut tx = on(&self.connection, &mut self.staged);
            let ran = catch_unwind(AssertUnwindSafe(|| work.run(&mut tx)))
                .unwrap_or_else(|_| Err(INTERNAL.err("a write ended in a panic")));
            if self.connection.is_autocommit() {
                // A disk that is full or fails took the whole transaction, its neighbours with it.
                waiting.push(work);
                return Err(ran
                    .err()
                    .filter(|error| error.kind() == Kind::Unavailable)
                    .unwrap_or_else(given_up));
            }
            match ran {
                Ok(()) => {
                    waiting.push(work);
                    self.execute("RELEASE closure")?;
                }
                Err(error) => {
                    self.staged.truncate(staged_before);
                    let undone =
                        self.execute("ROLLBACK TO closure").and_then(|()| self.execute("RELEASE closure"));
                    work.answer(Err(error));
                    undone?;
                }
            }
        }
        Ok(())
    }

    /// The next closure. Whoever joined before it was queued is part of its tick.
    fn next(&mut self) -> Option<Box<dyn Work>> {
        let mut queue = self.shared.queue.lock();
        self.participants.append(&mut queue.joining);
        queue.work.pop_front()
    }

    fn execute(&self, sql: &'static str) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.execute([]).map(|_| ()).map_err(failed)
    }

    /// Keeps the books: health, counters, and one log line when health changes.
    fn note(&self, outcome: &Result<()>, started: Instant) {
        let counters = &self.shared.counters;
        counters.tick_us.fetch_add(started.elapsed().as_micros() as u64, Relaxed);
        match outcome {
            Ok(()) => {
                counters.commits.fetch_add(1, Relaxed);
                self.shared.last_commit_at.store(self.shared.clock.now(), Relaxed);
                if self.shared.sick.swap(false, Relaxed) {
                    tracing::info!("the store is durable again; writes are accepted");
                }
            }
            Err(error) => {
                counters.failed_commits.fetch_add(1, Relaxed);
                if !self.shared.sick.swap(true, Relaxed) {
                    tracing::error!(?error, "a commit failed; writes are refused until one succeeds");
                }
            }
        }
    }
}

/// What stands in for the connection while it is being closed.
fn memory() -> Connection {
    #[allow(
        clippy::expect_used,
        reason = "an empty in-memory database needs nothing that can fail but memory"
    )]
    Connection::open_in_memory().expect("an in-memory database")
}

/// Copies the log into the file, off the writer, so that the log stays short and commits stay even.
pub fn spawn_checkpoints(shared: Arc<Shared>, connection: Connection) -> Result<JoinHandle<()>> {
    let run = move || {
        let mut seen = 0;
        loop {
            std::thread::sleep(CHECKPOINT_EVERY);
            if shared.queue.lock().closed {
                return;
            }
            let commits = shared.counters.commits.load(Relaxed);
            if commits == seen {
                continue;
            }
            seen = commits;
            let done = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            if let Err(error) = done {
                tracing::warn!(%error, "a checkpoint failed; it will be tried again");
            }
        }
    };
    std::thread::Builder::new()
        .name("store-checkpoint".into())
        .spawn(run)
        .or_error(STORE_FAILED, "the checkpoint thread cannot be started")
}
