//! The state port: transactions as closures, one SQL text, nothing half done.
//!
//! ```text
//!  callers ──write(closure)──▶ queue ──▶ writer thread: BEGIN · every queued closure in its own
//!                                        savepoint · participants · COMMIT (one sync) · answers
//!  callers ──read(closure)───▶ reader connections, never behind the writer
//! ```
//!
//! Promises, each with its test in `tests/contract.rs`:
//! * what [`Db::write`] answers with `Ok` is on stable storage;
//! * a closure that fails or panics is undone alone, its neighbours of the same tick are not touched;
//! * a caller that goes away leaves no transaction half done;
//! * when a commit fails nobody is told it succeeded, and until one succeeds again every write is
//!   refused at once with `unavailable`;
//! * every queue is bounded: a full one answers `overloaded`.
//!
//! Engines: SQLite ([`sqlite`]), one file; PostgreSQL ([`postgres`]), for a fleet. There, closures run beside one
//! another, each in a transaction of its own, and what is said of ticks holds for the participants.

mod alarm;
mod codes;
mod health;
pub mod postgres;
pub mod sqlite;
mod tx;
mod work;

pub use alarm::Alarm;
pub use codes::{
    BACKUP_BROKEN, CODES, DATA_DIR_IN_USE, INVALID_STORE_URL, SCHEMA_NEWER, SCHEMA_OLDER, STORE_FAILED,
};
pub use health::{Health, Stats};
pub use tx::{Col, Row, Staged, Tx, V};

use angarium_base::{Clock, Error, Result};
use std::{path::Path, sync::Arc};

/// One step of the schema, in the order in which it was released. A released step never changes.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Unique and sortable within its owner: `0001_streams`.
    pub name: &'static str,
    pub sql: &'static str,
    /// Which engines it is for.
    pub engines: Engines,
}

/// Which engines a [`Migration`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engines {
    All,
    Sqlite,
    Postgres,
}

impl Migration {
    /// A step for all engines.
    pub const fn new(name: &'static str, sql: &'static str) -> Migration {
        Migration { name, sql, engines: Engines::All }
    }

    /// A step for one engine.
    pub const fn only(engines: Engines, name: &'static str, sql: &'static str) -> Migration {
        Migration { name, sql, engines }
    }
}

/// A handle on the store. Cloning it is cheap.
#[derive(Clone)]
pub struct Db {
    engine: Arc<Engine>,
}

enum Engine {
    Sqlite(sqlite::Engine),
    Postgres(postgres::Engine),
}

/// Does the same with whichever engine it is.
macro_rules! on {
    ($db:expr, $engine:ident => $do:expr) => {
        match &*$db.engine {
            Engine::Sqlite($engine) => $do,
            Engine::Postgres($engine) => $do,
        }
    };
}

/// Writes the records that a closure staged, in the closure's own transaction, where closures have one each.
pub trait Stager: Send + Sync {
    /// What it returns is called after the commit.
    fn write(&self, tx: &mut Tx<'_>, staged: Vec<Staged>) -> Result<Box<dyn FnOnce() + Send>>;
}

/// Work that joins every tick of the writer: what it writes in [`Participant::flush`] commits together
/// with the closures of that tick, in one sync.
pub trait Participant: Send {
    /// How many callers wait for something to be written. Asked often, from the writer thread.
    fn pending(&self) -> usize;

    /// Writes what is queued, and what the tick's closures staged. An error fails the whole tick.
    fn flush(&mut self, tx: &mut Tx<'_>) -> Result<()>;

    /// Told once after each tick whether it is durable. When it is not, the tick may have ended before
    /// [`Participant::flush`], and whoever waits is to be refused: the store is sick.
    fn settle(&mut self, outcome: std::result::Result<(), &Error>);
}

impl Db {
    /// Opens the store in `dir`, and brings its schema up to `migrations`.
    ///
    /// # Errors
    /// `data_dir_in_use` when another process has it open, `schema_newer` when a newer version wrote it.
    pub fn open(dir: &Path, migrations: &[Migration], clock: Clock) -> Result<Db> {
        Ok(Db { engine: Arc::new(Engine::Sqlite(sqlite::Engine::open(dir, migrations, clock)?)) })
    }

    /// Opens the store in a PostgreSQL database, and brings its schema up to `migrations`, which processes that start
    /// at the same moment do one after the other.
    ///
    /// # Errors
    /// `unavailable` when the server cannot be reached, `schema_newer` when a newer version wrote the schema.
    pub fn open_postgres(options: &postgres::Options, migrations: &[Migration], clock: Clock) -> Result<Db> {
        let engine = postgres::Engine::open(options, migrations, clock)?;
        Ok(Db { engine: Arc::new(Engine::Postgres(engine)) })
    }

    /// `sqlite` or `postgres`.
    pub fn engine(&self) -> &'static str {
        match *self.engine {
            Engine::Sqlite(_) => "sqlite",
            Engine::Postgres(_) => "postgres",
        }
    }

    /// Whether other processes write to the same store.
    pub fn is_shared(&self) -> bool {
        matches!(*self.engine, Engine::Postgres(_))
    }

    /// Lets `stager` write what closures stage, where closures do not share a tick with the participants.
    pub fn stage_with(&self, stager: Arc<dyn Stager>) {
        if let Engine::Postgres(engine) = &*self.engine {
            engine.stage_with(stager);
        }
    }

    /// Runs `f` in a transaction and answers when it is on stable storage.
    ///
    /// `f` may run again after a serialization failure (an engine's matter), so it has no side effect
    /// outside of the transaction. Dropping the future does not undo the work.
    ///
    /// # Errors
    /// What `f` returns; `unavailable` when the store cannot commit; `overloaded` when the queue is full.
    pub async fn write<T: Send + 'static>(
        &self,
        f: impl Fn(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        on!(self, engine => engine.write(f).await)
    }

    /// Runs `f` on a reader connection, in a transaction that sees one state throughout.
    ///
    /// # Errors
    /// What `f` returns; `overloaded` when too many readers wait.
    pub async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        on!(self, engine => engine.read(f).await)
    }

    /// Lets `participant` join every tick from now on.
    pub fn join(&self, participant: Box<dyn Participant>) {
        on!(self, engine => engine.join(participant))
    }

    /// A cheap handle with which a participant tells the writer that it has something to write.
    pub fn alarm(&self) -> Alarm {
        on!(self, engine => engine.alarm())
    }

    /// Whether commits succeed, and how long ago the last one did.
    pub fn health(&self) -> Health {
        on!(self, engine => engine.health())
    }

    /// Counters since the start.
    pub fn stats(&self) -> Stats {
        on!(self, engine => engine.stats())
    }

    /// Finishes what is queued, commits it, and closes the files. Later calls are refused.
    pub fn close(&self) {
        on!(self, engine => engine.close())
    }
}
