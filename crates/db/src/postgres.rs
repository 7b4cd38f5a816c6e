//! The distributed engine: PostgreSQL 15 or newer, a fixed number of connections, each on a thread of its own.
//!
//! ```text
//!  write(closure) ─▶ queue ─▶ writer threads: BEGIN · closure · staged records · COMMIT · answer
//!  read(closure) ──▶ queue ─▶ reader threads: BEGIN READ ONLY, REPEATABLE READ · closure
//!  participant ─────────────▶ a thread of its own: BEGIN · flush · COMMIT · settle
//! ```
//!
//! Each closure is a transaction. One that loses its connection, a deadlock or a server that has become read-only
//! *before* `COMMIT` was sent has changed nothing and is run again, for up to [`RETRY_FOR`]; one whose connection
//! breaks *during* `COMMIT` may have happened or not, and is answered `unavailable`: whoever repeats it needs a key
//! by which it is known.
//!
//! While no connection can be had the engine is *sick*: writes are refused at once, and a canary is written every
//! [`CANARY_RETRY`] until one succeeds.

mod connection;
mod keeper;
mod migrate;
mod statements;
mod threads;

pub use connection::Options;
pub use postgres::Row;
pub(crate) use statements::{Statements, bytes, column};

use crate::{Alarm, Health, Migration, Participant, Stager, Stats, Tx};
use angarium_base::{Clock, Result};
use std::{sync::Arc, time::Duration};
use threads::Shared;

/// Closures that may wait for a connection, writes and reads apart.
const QUEUE: usize = 10_000;
/// For how long a closure that has changed nothing yet is tried again.
const RETRY_FOR: Duration = Duration::from_secs(5);
/// The first pause between attempts; it doubles, and varies.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
const CANARY_EVERY: Duration = Duration::from_secs(5);
const CANARY_RETRY: Duration = Duration::from_millis(500);

pub struct Engine {
    shared: Arc<Shared>,
    threads: parking_lot::Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Engine {
    /// Brings the schema up to `migrations` and starts the threads.
    pub(crate) fn open(options: &Options, migrations: &[Migration], clock: Clock) -> Result<Engine> {
        let shared = Arc::new(Shared::new(options.clone(), clock.clone())?);
        // On a thread of its own: the client waits, which a task of a runtime may not.
        let (options, steps) = (options.clone(), migrations.to_vec());
        threads::apart(move || migrate::bring_up(&options, &steps, &clock).map(drop))?;
        let threads = threads::start(&shared)?;
        Ok(Engine { shared, threads: threads.into() })
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        f: impl Fn(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.shared.write(f).await
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.shared.read(f).await
    }

    pub(crate) fn join(&self, participant: Box<dyn Participant>) {
        self.shared.joining.lock().push(participant);
        self.shared.alarm().raise();
    }

    pub(crate) fn stage_with(&self, stager: Arc<dyn Stager>) {
        self.shared.stage_with(stager);
    }

    pub(crate) fn alarm(&self) -> Alarm {
        self.shared.alarm()
    }

    pub(crate) fn health(&self) -> Health {
        self.shared.health()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.shared.stats()
    }

    pub(crate) fn close(&self) {
        self.shared.close();
        for thread in self.threads.lock().drain(..) {
            // The last handle may go with a closure: its thread cannot wait for its own end.
            let own = thread.thread().id() == std::thread::current().id();
            if !own && thread.join().is_err() {
                tracing::error!("a thread of the store ended in a panic");
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// Brings the schema up to `migrations`, and returns the names of the steps that were applied.
///
/// # Errors
/// `schema_newer`; `unavailable` when the server cannot be reached.
pub fn migrate(options: &Options, migrations: &[Migration], clock: &Clock) -> Result<Vec<&'static str>> {
    let (options, steps, clock) = (options.clone(), migrations.to_vec(), clock.clone());
    threads::apart(move || migrate::bring_up(&options, &steps, &clock))
}

/// Whether the schema is what `migrations` make of it.
///
/// # Errors
/// `schema_newer`, `schema_older`; `unavailable` when the server cannot be reached.
pub fn check(options: &Options, migrations: &[Migration]) -> Result<()> {
    let (options, steps) = (options.clone(), migrations.to_vec());
    threads::apart(move || migrate::check(&options, &steps))
}
