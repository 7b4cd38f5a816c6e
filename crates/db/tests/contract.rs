//! The promises of the state port, each with a test that fails when it is broken.
//!
//! A tick of the writer is forced with [`Hold`]: a first closure waits inside the writer while others queue.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

#[path = "contract/backup.rs"]
mod backup;
#[path = "contract/disk.rs"]
mod disk;
#[path = "contract/opening.rs"]
mod opening;
#[path = "contract/places.rs"]
mod places;
#[path = "contract/postgres.rs"]
mod postgres;
#[path = "contract/reading.rs"]
mod reading;
#[path = "contract/writing.rs"]
mod writing;

use angarium_base::{Clock, Result};
use angarium_db::{Db, Migration, Tx, v};
use std::{
    path::Path,
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// How long anything may take before it counts as never.
const NEVER: Duration = Duration::from_secs(20);

const THINGS: Migration = Migration::new(
    "0001_things",
    "CREATE TABLE things (name TEXT PRIMARY KEY, body BLOB); CREATE TABLE twins (name TEXT PRIMARY KEY);",
);

fn open(dir: &Path) -> Db {
    Db::open(dir, &[THINGS], Clock::manual(1_000)).unwrap()
}

fn put(tx: &mut Tx<'_>, name: &str) -> Result<()> {
    tx.exec("INSERT INTO things (name) VALUES ($1)", v![name]).map(|_| ())
}

fn names(tx: &mut Tx<'_>) -> Result<Vec<String>> {
    tx.query("SELECT name FROM things ORDER BY name", &[], |row| row.get(0))
}

/// [`put`] as a write; in one place, so that all such futures have one type.
fn putting<'a>(db: &'a Db, name: &str) -> impl Future<Output = Result<()>> + use<'a> {
    let name = name.to_owned();
    db.write(move |tx| put(tx, &name))
}

async fn kept(db: &Db) -> Vec<String> {
    db.read(names).await.unwrap()
}

/// The name of the code a call failed with.
fn code<T>(outcome: Result<T>) -> &'static str {
    match outcome {
        Ok(_) => "no error",
        Err(error) => error.code().name,
    }
}

/// A future that was polled once, so that its work is in the queue.
fn queued<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(poll(&mut future).is_pending(), "it was to wait");
    future
}

fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// The answer, or a failed test: nothing may hang.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(NEVER, future).await.expect("an answer")
}

/// Waits until `fact` holds.
async fn until(what: &str, mut fact: impl FnMut() -> bool) {
    let started = Instant::now();
    while !fact() {
        assert!(started.elapsed() < NEVER, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Keeps the writer inside a closure until it is released.
struct Hold<'a> {
    release: mpsc::Sender<()>,
    done: Pin<Box<dyn Future<Output = Result<()>> + 'a>>,
}

fn hold(db: &Db) -> Hold<'_> {
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let done = queued(db.write(move |_| {
        entered.send(()).unwrap();
        released.recv_timeout(NEVER).unwrap();
        Ok(())
    }));
    inside.recv_timeout(NEVER).unwrap();
    Hold { release, done }
}

impl Hold<'_> {
    async fn release(self) {
        self.release.send(()).unwrap();
        soon(self.done).await.unwrap();
    }
}
