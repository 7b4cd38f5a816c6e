//! Reader connections: a fixed number, each used by one reader at a time on a blocking thread.

use super::{READERS, READERS_WAITING, on, open, statements::failed};
use crate::Tx;
use angarium_base::{
    Result,
    error::{INTERNAL, OVERLOADED, UNAVAILABLE},
};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Semaphore;

pub struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Readers {
    pub fn open(file: &Path) -> Result<Readers> {
        let idle = (0..READERS).map(|_| open::reader(file)).collect::<Result<Vec<_>>>()?;
        Ok(Readers {
            idle: Arc::new(idle.into()),
            free: Arc::new(Semaphore::new(READERS)),
            waiting: AtomicUsize::new(0),
        })
    }

    pub async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _queued = Queued::enter(&self.waiting)?;
        let permit = self.free.clone().acquire_owned().await.map_err(|_| closed())?;
        let idle = self.idle.clone();
        let done = tokio::task::spawn_blocking(move || {
            let connection = idle.lock().pop().ok_or_else(closed)?;
            let outcome = run(&connection, f);
            idle.lock().push(connection);
            drop(permit);
            outcome
        });
        done.await.map_err(|e| INTERNAL.err("a read did not end").with_source(e))?
    }

    /// Closes the connections; readers that come later are refused.
    pub fn close(&self) {
        self.free.close();
        self.idle.lock().clear();
    }
}

fn closed() -> angarium_base::Error {
    UNAVAILABLE.err("the store is closed")
}

fn run<T>(connection: &Connection, f: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
    connection.execute_batch("BEGIN").map_err(failed)?;
    let mut staged = Vec::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| f(&mut on(connection, &mut staged))))
        .unwrap_or_else(|_| Err(INTERNAL.err("a read ended in a panic")));
    connection.execute_batch("ROLLBACK").map_err(failed)?;
    outcome
}

/// Counts a waiting reader for as long as it lives.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    fn enter(waiting: &'a AtomicUsize) -> Result<Queued<'a>> {
        let queued = Queued(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= READERS_WAITING {
            return Err(OVERLOADED.err("too many readers wait for the store"));
        }
        Ok(queued)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
