//! The threads that hold the connections, and what waits for them.

use super::{
    CANARY_EVERY, CANARY_RETRY, Options, QUEUE, RETRY_FOR, RETRY_PAUSE,
    connection::{Connection, Verdict, away, failed, unreachable},
    statements::{Committed, Transaction},
};
use crate::{
    Alarm, Health, Participant, Stager, Stats, Tx,
    codes::STORE_FAILED,
    tx::{self, Staged},
    work::{Closure, Work},
};
use angarium_base::{
    Clock, Context, Error, Result,
    error::{INTERNAL, OVERLOADED, UNAVAILABLE},
};
use parking_lot::{Condvar, Mutex, RwLock};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// What callers and the threads share.
pub struct Shared {
    pub options: Options,
    writes: Queue<Box<dyn Work>>,
    reads: Queue<Box<dyn Reading>>,
    stager: RwLock<Option<Arc<dyn Stager>>>,
    /// Participants that the keeper is to let in.
    pub joining: Mutex<Vec<Box<dyn Participant>>>,
    alarm: Alarm,
    pub closed: AtomicBool,
    sick: AtomicBool,
    last_commit_at: AtomicI64,
    counters: Counters,
    pub clock: Clock,
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    failed_commits: AtomicU64,
    closures: AtomicU64,
    commit_us: AtomicU64,
    tick_us: AtomicU64,
}

/// A bounded queue that threads wait at.
struct Queue<T> {
    /// `None` once it is closed.
    waiting: Mutex<(VecDeque<T>, bool)>,
    bell: Condvar,
}

impl<T> Queue<T> {
    fn new() -> Queue<T> {
        Queue { waiting: Mutex::new((VecDeque::new(), false)), bell: Condvar::new() }
    }

    fn push(&self, item: T) -> Result<()> {
        let mut waiting = self.waiting.lock();
        if waiting.1 {
            return Err(closed());
        }
        if waiting.0.len() >= QUEUE {
            return Err(OVERLOADED.err("too many callers wait for the store"));
        }
        waiting.0.push_back(item);
        self.bell.notify_one();
        Ok(())
    }

    /// The next item; `None` when it is closed and empty.
    fn pop(&self) -> Option<T> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(item) = waiting.0.pop_front() {
                return Some(item);
            }
            if waiting.1 {
                return None;
            }
            self.bell.wait(&mut waiting);
        }
    }

    fn close(&self) {
        self.waiting.lock().1 = true;
        self.bell.notify_all();
    }
}

/// A queued read and whoever waits for it. It runs once.
trait Reading: Send {
    fn run(&mut self, tx: &mut Tx<'_>);
    fn refuse(&mut self, why: Error);
    fn answer(self: Box<Self>);
}

struct Read<T, F> {
    f: Option<F>,
    outcome: Option<Result<T>>,
    to: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&mut Tx<'_>) -> Result<T> + Send> Reading for Read<T, F> {
    fn run(&mut self, tx: &mut Tx<'_>) {
        if let Some(f) = self.f.take() {
            let ran = catch_unwind(AssertUnwindSafe(|| f(tx)));
            self.outcome = Some(ran.unwrap_or_else(|_| Err(INTERNAL.err("a read ended in a panic"))));
        }
    }

    fn refuse(&mut self, why: Error) {
        self.outcome = Some(Err(why));
    }

    fn answer(self: Box<Self>) {
        let Read { f, outcome, to } = *self;
        drop(f);
        // The caller may have gone away.
        let _ = to.send(outcome.unwrap_or_else(|| Err(INTERNAL.err("a read has no answer"))));
    }
}

impl Shared {
    pub fn new(options: Options, clock: Clock) -> Result<Shared> {
        Ok(Shared {
            options,
            writes: Queue::new(),
            reads: Queue::new(),
            stager: RwLock::new(None),
            joining: Mutex::default(),
            alarm: Alarm::default(),
            closed: AtomicBool::new(false),
            sick: AtomicBool::new(false),
            last_commit_at: AtomicI64::new(clock.now()),
            counters: Counters::default(),
            clock,
        })
    }

    pub async fn write<T: Send + 'static>(
        &self,
        f: impl Fn(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.sick.load(Relaxed) {
            return Err(away());
        }
        let (to, answer) = oneshot::channel();
        self.writes.push(Closure::boxed(f, to))?;
        answer.await.map_err(|_| closed())?
    }

    pub async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (to, answer) = oneshot::channel();
        self.reads.push(Box::new(Read { f: Some(f), outcome: None, to }))?;
        answer.await.map_err(|_| closed())?
    }

    pub fn stage_with(&self, stager: Arc<dyn Stager>) {
        *self.stager.write() = Some(stager);
    }

    pub fn alarm(&self) -> Alarm {
        self.alarm.clone()
    }

    pub fn close(&self) {
        self.closed.store(true, Relaxed);
        self.writes.close();
        self.reads.close();
        self.alarm.raise();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub fn health(&self) -> Health {
        Health {
            healthy: !self.sick.load(Relaxed),
            commit_age_ms: (self.clock.now() - self.last_commit_at.load(Relaxed)).max(0),
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

    /// Commits, and keeps the books.
    pub fn commit(&self, tx: Transaction<'_>) -> Committed {
        let started = Instant::now();
        let outcome = tx.commit();
        self.counters.commit_us.fetch_add(started.elapsed().as_micros() as u64, Relaxed);
        match &outcome {
            Committed::Yes => {
                self.counters.commits.fetch_add(1, Relaxed);
                self.last_commit_at.store(self.clock.now(), Relaxed);
            }
            _ => {
                self.counters.failed_commits.fetch_add(1, Relaxed);
            }
        }
        outcome
    }

    pub fn note_tick(&self, since: Instant) {
        self.counters.tick_us.fetch_add(since.elapsed().as_micros() as u64, Relaxed);
    }

    /// Says once when the store goes away, and once when it is back.
    pub fn note_health(&self, trouble: Option<&Error>) {
        match trouble {
            Some(error) if !self.sick.swap(true, Relaxed) => {
                tracing::error!(?error, "the store cannot be reached; writes are refused until it can");
            }
            None if self.sick.swap(false, Relaxed) => {
                tracing::info!("the store can be reached again; writes are accepted");
            }
            _ => {}
        }
    }
}

fn closed() -> Error {
    UNAVAILABLE.err("the store is closed")
}

/// What a caller hears whose transaction may have happened.
pub fn unknown(source: Error) -> Error {
    UNAVAILABLE
        .err("the store went away during the commit; it may or may not have been done")
        .with_retry_after_s(1)
        .with_source(source)
}

/// Starts the writers, the readers and the canary.
pub fn start(shared: &Arc<Shared>) -> Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for _ in 0..shared.options.writers {
        let shared = shared.clone();
        threads.push(spawn("store-writer", move || write_all(&shared))?);
    }
    for _ in 0..shared.options.readers {
        let shared = shared.clone();
        threads.push(spawn("store-reader", move || read_all(&shared))?);
    }
    let keeping = shared.clone();
    threads.push(spawn("store-keeper", move || super::keeper::run(&keeping))?);
    let shared = shared.clone();
    threads.push(spawn("store-canary", move || keep_canary(&shared))?);
    Ok(threads)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .or_error(STORE_FAILED, "a thread of the store cannot be started")
}

/// Runs `f` on a thread of its own and waits for it.
pub fn apart<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let thread = std::thread::Builder::new().name("store-open".into()).spawn(f);
    let thread = thread.or_error(STORE_FAILED, "a thread of the store cannot be started")?;
    thread.join().unwrap_or_else(|_| Err(INTERNAL.err("opening the store ended in a panic")))
}

/// A connection that is there, or made.
pub fn connected(slot: &mut Option<Connection>, options: &Options) -> Result<()> {
    if slot.as_ref().is_some_and(|connection| connection.client.is_closed()) {
        *slot = None;
    }
    if slot.is_none() {
        *slot = Some(options.connect().map_err(unreachable)?);
    }
    Ok(())
}

fn write_all(shared: &Shared) {
    let mut slot = None;
    while let Some(mut work) = shared.writes.pop() {
        let started = Instant::now();
        let outcome = write_one(shared, &mut slot, &mut *work, started);
        shared.note_tick(started);
        work.answer(outcome);
    }
}

/// Runs a closure until it has succeeded, failed by itself, or may not be repeated.
fn write_one(
    shared: &Shared,
    slot: &mut Option<Connection>,
    work: &mut dyn Work,
    started: Instant,
) -> Result<()> {
    let mut pause = RETRY_PAUSE;
    loop {
        let (verdict, error) = match attempt(shared, slot, work) {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        if verdict == Verdict::Reconnect {
            *slot = None;
        }
        if verdict == Verdict::Fatal {
            return Err(error);
        }
        if started.elapsed() + pause > RETRY_FOR || shared.is_closed() {
            if verdict == Verdict::Reconnect {
                shared.note_health(Some(&error));
            }
            return Err(error);
        }
        std::thread::sleep(jitter(pause, started.elapsed().subsec_nanos()));
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Between half of it and all of it, so that those who collided do not collide again.
fn jitter(pause: Duration, nanos: u32) -> Duration {
    pause / 2 + pause / 2 * (nanos % 1_000) / 1_000
}

fn attempt(
    shared: &Shared,
    slot: &mut Option<Connection>,
    work: &mut dyn Work,
) -> std::result::Result<(), (Verdict, Error)> {
    connected(slot, &shared.options).map_err(|error| (Verdict::Reconnect, error))?;
    let Some(connection) = slot else { return Err((Verdict::Reconnect, away())) };
    let mut transaction =
        Transaction::begin(connection, false).map_err(|error| (Verdict::Reconnect, failed(error)))?;
    shared.counters.closures.fetch_add(1, Relaxed);
    let mut staged = Vec::new();
    let stager = shared.stager.read().clone();
    let mut after: Option<Box<dyn FnOnce() + Send>> = None;
    let ran = within(&mut transaction, &mut staged, |tx| {
        let ran = catch_unwind(AssertUnwindSafe(|| work.run(tx)))
            .unwrap_or_else(|_| Err(INTERNAL.err("a write ended in a panic")));
        ran?;
        let staged = tx.take_staged();
        if let Some(stager) = stager.filter(|_| !staged.is_empty()) {
            after = Some(stager.write(tx, staged)?);
        }
        Ok(())
    });
    if let Some(verdict) = transaction.failure {
        // Also when the closure did not heed it: after it, nothing of the transaction can be committed.
        let error = ran.err().unwrap_or_else(|| STORE_FAILED.err("a statement failed, and was not heeded"));
        return undo(transaction, verdict, error);
    }
    if let Err(error) = ran {
        return undo(transaction, Verdict::Fatal, error);
    }
    match shared.commit(transaction) {
        Committed::Yes => {
            if let Some(after) = after {
                after();
            }
            Ok(())
        }
        Committed::No(verdict, error) => Err((verdict, error)),
        Committed::Unknown(error) => {
            *slot = None;
            Err((Verdict::Fatal, unknown(error)))
        }
    }
}

fn undo(
    transaction: Transaction<'_>,
    verdict: Verdict,
    error: Error,
) -> std::result::Result<(), (Verdict, Error)> {
    // A connection that cannot say it has undone is closed, and found to be so by whoever uses it next.
    let _ = transaction.undo();
    Err((verdict, error))
}

/// Lends the transaction to a [`Tx`].
pub fn within<T>(
    transaction: &mut Transaction<'_>,
    staged: &mut Vec<Staged>,
    f: impl FnOnce(&mut Tx<'_>) -> T,
) -> T {
    f(&mut Tx { engine: tx::Engine::Postgres(transaction), staged })
}

fn read_all(shared: &Shared) {
    let mut slot = None;
    while let Some(mut work) = shared.reads.pop() {
        // A connection may have died while nobody used it: then it is made anew once.
        for attempt in 0..2 {
            match read_one(shared, &mut slot, &mut *work) {
                Ok(()) => break,
                Err(error) if attempt == 1 => work.refuse(error),
                Err(_) => slot = None,
            }
        }
        work.answer();
    }
}

/// Error: it did not run.
fn read_one(shared: &Shared, slot: &mut Option<Connection>, work: &mut dyn Reading) -> Result<()> {
    connected(slot, &shared.options)?;
    let Some(connection) = slot else { return Err(away()) };
    let mut transaction = Transaction::begin(connection, true).map_err(failed)?;
    within(&mut transaction, &mut Vec::new(), |tx| work.run(tx));
    let lost = transaction.failure == Some(Verdict::Reconnect);
    if transaction.undo().is_err() || lost {
        *slot = None;
    }
    Ok(())
}

/// Proves, when nobody else does, that something can be made durable.
fn keep_canary(shared: &Shared) {
    let mut slot = None;
    let mut next = Instant::now();
    while !shared.is_closed() {
        std::thread::sleep(Duration::from_millis(50));
        if Instant::now() < next {
            continue;
        }
        let outcome = sing(shared, &mut slot);
        if outcome.is_err() {
            slot = None;
        }
        shared.note_health(outcome.as_ref().err());
        next = Instant::now() + if outcome.is_ok() { CANARY_EVERY } else { CANARY_RETRY };
    }
}

fn sing(shared: &Shared, slot: &mut Option<Connection>) -> Result<()> {
    connected(slot, &shared.options)?;
    let Some(connection) = slot else { return Err(away()) };
    let mut transaction = Transaction::begin(connection, false).map_err(failed)?;
    let now = shared.clock.now();
    within(&mut transaction, &mut Vec::new(), |tx| {
        tx.exec(
            "INSERT INTO canary (id, at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET at = $1",
            crate::v![now],
        )
    })?;
    match shared.commit(transaction) {
        Committed::Yes => Ok(()),
        Committed::No(_, error) | Committed::Unknown(error) => Err(error),
    }
}
