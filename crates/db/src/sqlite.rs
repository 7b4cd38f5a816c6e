//! The embedded engine: one SQLite file, one writer thread, group commit, readers beside it.
//!
//! The writer opens one physical transaction per tick, runs every queued closure in a savepoint of its
//! own, lets the participants write, commits once with `synchronous=FULL` in WAL mode, and only then
//! answers. A tick ends after [`TICK_CLOSURES`] closures or [`TICK`], so that one slow closure cannot
//! hold the others for long.
//!
//! Checkpoints run on a connection of their own every [`CHECKPOINT_EVERY`]; the writer's own automatic
//! checkpoint is only a ceiling, because either alone gave a growing WAL or stalls of 200 ms.
//!
//! After a failed commit the engine is *sick*: writes are refused at once, and the writer tries a canary
//! write every [`CANARY_RETRY`] until one reaches the disk.

mod backup;
mod open;
mod readers;
mod statements;
mod writer;

pub use backup::{Report, backup, restore, verify};
pub use rusqlite::Row;
pub(crate) use statements::{Statements, bytes, failed};

use crate::{Alarm, Health, Migration, Participant, Stats, Tx};
use angarium_base::{Clock, Result};
use std::{path::Path, sync::Arc, time::Duration};

/// The store's file within the data directory.
pub const FILE: &str = "angarium.db";
/// Held locked by the process that has the data directory open.
pub const LOCK: &str = "angarium.lock";

/// Closures that may wait for the writer.
const QUEUE: usize = 10_000;
const TICK_CLOSURES: usize = 1_000;
const TICK: Duration = Duration::from_millis(20);
/// While callers keep coming, a tick waits for them in naps of this length (the system makes it some 50 µs
/// more), up to the longest linger: one commit for many costs everybody less than many commits. One sweep at
/// 64 connections: 54,000 and 59,000 requests/s without, 60,000 and 67,000 with 100 µs, 53,000 with 500 µs,
/// where all wait in step.
const NAP: Duration = Duration::from_micros(40);
const LINGER: Duration = Duration::from_micros(100);
/// A tick of fewer callers than this does not wait: then nobody is held up for nobody.
const CROWD: usize = 4;
const CHECKPOINT_EVERY: Duration = Duration::from_millis(50);
/// How long nobody may have written before the canary does.
const CANARY_EVERY: Duration = Duration::from_secs(5);
const CANARY_RETRY: Duration = Duration::from_millis(500);
/// Reader connections, and how many readers may wait for one.
const READERS: usize = 4;
const READERS_WAITING: usize = 4_096;

/// A transaction on an open one of `connection`.
fn on<'a>(connection: &'a rusqlite::Connection, staged: &'a mut Vec<crate::tx::Staged>) -> Tx<'a> {
    Tx { engine: crate::tx::Engine::Sqlite(Statements(connection)), staged }
}

pub struct Engine {
    writer: Arc<writer::Shared>,
    readers: readers::Readers,
    threads: parking_lot::Mutex<Vec<std::thread::JoinHandle<()>>>,
    clock: Clock,
    /// Held for as long as the engine lives: dropping the file releases the lock.
    _lock: std::fs::File,
}

impl Engine {
    pub(crate) fn open(dir: &Path, migrations: &[Migration], clock: Clock) -> Result<Engine> {
        let lock = open::lock(dir)?;
        let file = dir.join(FILE);
        let mut connection = open::writer(&file)?;
        open::migrate(&mut connection, migrations, &clock)?;
        let shared = Arc::new(writer::Shared::new(clock.clone()));
        let threads = vec![
            writer::spawn(shared.clone(), connection)?,
            writer::spawn_checkpoints(shared.clone(), open::writer(&file)?)?,
        ];
        Ok(Engine {
            writer: shared,
            readers: readers::Readers::open(&file)?,
            threads: threads.into(),
            clock,
            _lock: lock,
        })
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        f: impl Fn(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.write(f).await
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.read(f).await
    }

    pub(crate) fn join(&self, participant: Box<dyn Participant>) {
        self.writer.join(participant);
    }

    pub(crate) fn alarm(&self) -> Alarm {
        self.writer.alarm()
    }

    pub(crate) fn health(&self) -> Health {
        self.writer.health(self.clock.now())
    }

    pub(crate) fn stats(&self) -> Stats {
        self.writer.stats()
    }

    pub(crate) fn close(&self) {
        self.writer.close();
        for thread in self.threads.lock().drain(..) {
            // The writer itself may have let go of the last handle; it cannot wait for its own end.
            let own = thread.thread().id() == std::thread::current().id();
            if !own && thread.join().is_err() {
                tracing::error!("a thread of the store ended in a panic");
            }
        }
        self.readers.close();
    }
}

/// Brings the schema of the store in `dir` up to `migrations`, making it if it is not there, and returns the names of
/// the steps that were applied.
///
/// # Errors
/// `data_dir_in_use` while a server runs on it; `schema_newer`.
pub fn migrate(dir: &Path, migrations: &[Migration], clock: &Clock) -> Result<Vec<&'static str>> {
    let _lock = open::lock(dir)?;
    open::migrate(&mut open::writer(&dir.join(FILE))?, migrations, clock)
}

/// Whether the schema of the store in `dir` is what `migrations` make of it, also while a server runs on it.
///
/// # Errors
/// `schema_newer`, `schema_older`; `store_failed` when the store cannot be read.
pub fn check(dir: &Path, migrations: &[Migration]) -> Result<()> {
    let file = dir.join(FILE);
    if !file.exists() {
        return Err(crate::SCHEMA_OLDER.err(format!(
            "there is no store in {}; run `angarium migrate`, or start with `migrate = true`",
            dir.display()
        )));
    }
    open::check(&open::reader(&file)?, migrations)
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}
