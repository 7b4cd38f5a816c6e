//! The promises of the journal port, each with a test that fails when it is broken.
//!
//! On the embedded engine; with `CONTRACT_ENGINE=postgres` in databases of the server that `STACK_POSTGRES` names; with
//! `CONTRACT_ENGINE=kafka` in Kafka at `STACK_KAFKA`, behind a spool, acknowledged when Kafka has it.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

#[path = "contract/appending.rs"]
mod appending;
#[path = "contract/dedupe.rs"]
mod dedupe;
#[path = "contract/deletion.rs"]
mod deletion;
#[path = "contract/groups.rs"]
mod groups;
#[path = "contract/model.rs"]
mod model;
#[path = "contract/processes.rs"]
mod processes;
#[path = "contract/reading.rs"]
mod reading;
#[path = "contract/retention.rs"]
mod retention;

use angarium_base::{AppId, Clock, Error, Result, error::UNAVAILABLE};
use angarium_db::{Db, Migration, Participant, Tx, postgres::Options as StoreOptions};
use angarium_journal::{
    Ack, Appended, Batch, Journal, MIGRATIONS, Options, RemoteOptions, SPOOL_MIGRATIONS, Stream,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

/// How long anything may take before it counts as never.
const NEVER: Duration = Duration::from_secs(30);

/// A whole minute, so that counts per minute begin with it.
const START: i64 = 1_700_000_040_000;

const NOTES: Migration = Migration::new("notes", "CREATE TABLE notes (name TEXT NOT NULL UNIQUE)");

/// A store with its clock, on which journals are opened one after the other.
struct World {
    place: Place,
    clock: Clock,
    app: AppId,
    options: Options,
}

/// What can be opened as soon as a task has let go of it.
async fn free_again(open: impl Fn() -> Result<Db>) -> Db {
    let started = Instant::now();
    loop {
        match open() {
            Err(error) if error.code().name == "data_dir_in_use" && started.elapsed() < NEVER => {
                tokio::task::yield_now().await;
                std::thread::sleep(Duration::from_millis(5));
            }
            outcome => return outcome.unwrap(),
        }
    }
}

/// Where a store lies.
enum Place {
    Folder(tempfile::TempDir),
    Database {
        server: String,
        name: String,
    },
    /// State in the folder, streams in Kafka.
    Kafka {
        dir: tempfile::TempDir,
        brokers: String,
        server: String,
        name: String,
        spools: AtomicU64,
    },
}

impl Place {
    #[allow(clippy::disallowed_methods, reason = "a test is told by the environment where a server is")]
    fn fresh() -> Place {
        static MADE: AtomicU64 = AtomicU64::new(0);
        match std::env::var("CONTRACT_ENGINE").as_deref() {
            Err(_) => Place::Folder(tempfile::tempdir().unwrap()),
            Ok(engine @ ("postgres" | "kafka")) => {
                let server = std::env::var("STACK_POSTGRES").expect("STACK_POSTGRES says where a server is");
                let name = format!("journal_contract_{}_{}", std::process::id(), MADE.fetch_add(1, SeqCst));
                order(&server, format!("CREATE DATABASE {name}"));
                if engine == "postgres" {
                    return Place::Database { server, name };
                }
                let brokers = std::env::var("STACK_KAFKA").expect("STACK_KAFKA says where a broker is");
                let (dir, spools) = (tempfile::tempdir().unwrap(), AtomicU64::new(0));
                Place::Kafka { dir, brokers, server, name, spools }
            }
            Ok(other) => panic!("there is no engine {other}"),
        }
    }

    fn url(&self) -> Option<String> {
        match self {
            Place::Folder(_) => None,
            Place::Database { server, name } | Place::Kafka { server, name, .. } => {
                Some(format!("{}/{name}", server.rsplit_once('/').unwrap().0))
            }
        }
    }

    fn open(&self, migrations: &[Migration], clock: &Clock) -> Db {
        match (self, self.url()) {
            (Place::Folder(dir), _) => Db::open(dir.path(), migrations, clock.clone()).unwrap(),
            (_, url) => {
                let options = StoreOptions::parse(&url.unwrap()).unwrap().with_connections(2, 2);
                Db::open_postgres(&options, migrations, clock.clone()).unwrap()
            }
        }
    }
}

impl Place {
    /// The spool's folder, and how Kafka is opened.
    fn remote(&self) -> Option<(std::path::PathBuf, RemoteOptions)> {
        let Place::Kafka { dir, brokers, spools, .. } = self else { return None };
        let mut kafka = angarium_kafka::Options::from_url(&format!("kafka://{brokers}")).unwrap();
        kafka.topic = angarium_kafka::Template::parse("contract.{app}.{stream}").unwrap();
        let spool = dir.path().join(format!("spool {}", spools.load(SeqCst)));
        Some((spool, RemoteOptions { kafka, ack: Ack::Replicated, spool_bytes: 1 << 30 }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Place::Database { server, name } | Place::Kafka { server, name, .. } = self {
            order(server, format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

/// On a thread of its own: the client waits, which a test's task may not.
fn order(url: &str, sql: String) {
    let url = url.to_owned();
    let done = std::thread::spawn(move || {
        let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
        client.batch_execute(&sql).unwrap();
    });
    done.join().unwrap();
}

/// A journal that is open, with one stream.
struct Open {
    db: Db,
    journal: Journal,
    stream: Stream,
}

impl World {
    fn new() -> World {
        World::with(Options::default())
    }

    fn with(options: Options) -> World {
        let clock = Clock::manual(START);
        World { place: Place::fresh(), app: AppId::new(clock.now()), clock, options }
    }

    /// For tests of what only one of the engines has.
    fn is_embedded(&self) -> bool {
        matches!(self.place, Place::Folder(_))
    }

    fn is_kafka(&self) -> bool {
        matches!(self.place, Place::Kafka { .. })
    }

    async fn open(&self) -> Open {
        let migrations: Vec<Migration> = MIGRATIONS.iter().copied().chain([NOTES]).collect();
        let db = self.place.open(&migrations, &self.clock);
        let (options, clock) = (self.options.clone(), self.clock.clone());
        let journal = match self.place.remote() {
            None => Journal::open(db.clone(), options, clock).await.unwrap(),
            Some((spool, remote)) => {
                let spool = free_again(|| Db::open(&spool, SPOOL_MIGRATIONS, clock.clone())).await;
                Journal::open_remote(db.clone(), spool, remote, options, clock).await.unwrap()
            }
        };
        let stream = journal.stream(&self.app, "events").await.unwrap();
        Open { db, journal, stream }
    }

    async fn reopen(&self, open: Open) -> Open {
        open.journal.close().await;
        drop(open);
        self.open().await
    }

    /// As another process would: where each has a spool, with one of its own.
    async fn open_another(&self) -> Open {
        if let Place::Kafka { spools, .. } = &self.place {
            spools.fetch_add(1, SeqCst);
        }
        self.open().await
    }
}

/// What a record is made of, and what it is known by.
type Item<'a> = (Option<&'a str>, &'a [u8]);

impl Open {
    fn batch(&self, items: &[Item<'_>]) -> Batch {
        let mut batch = Batch::default();
        for (id, data) in items {
            self.journal.add(&mut batch, &self.stream, "kind", *id, data);
        }
        batch
    }

    async fn try_append(&self, items: &[Item<'_>]) -> Result<Appended> {
        soon(self.journal.append(&self.stream, self.batch(items))).await
    }

    async fn append(&self, items: &[Item<'_>]) -> Appended {
        self.try_append(items).await.unwrap()
    }

    /// Appends records without ids, each a text.
    async fn say(&self, texts: &[&str]) {
        let items: Vec<Item<'_>> = texts.iter().map(|text| (None, text.as_bytes())).collect();
        assert_eq!(self.append(&items).await, Appended { accepted: texts.len() as u32, duplicates: vec![] });
    }

    /// Every record as text, read in pages of `max`; checks that offsets rise by one from `from` on.
    async fn walk(&self, from: u64, max: u64) -> Vec<String> {
        let (mut out, mut at) = (Vec::new(), from);
        loop {
            let page = soon(self.journal.read(&self.stream, at, max)).await.unwrap();
            let mut expected = at;
            for record in page.records() {
                assert_eq!(record.offset, expected, "no gap, nothing twice");
                expected += 1;
                out.push(String::from_utf8_lossy(record.data).into_owned());
            }
            assert_eq!(page.next, expected, "the page ends after its last record");
            assert!(expected - at <= max);
            assert_eq!(page.is_empty(), expected == at);
            if page.is_empty() {
                return out;
            }
            at = expected;
        }
    }

    /// Waits for so many records: what a transaction appends to a stream in Kafka is there soon after, not at once.
    async fn brought(&self, records: u64) {
        let started = Instant::now();
        while self.journal.end(&self.stream).await.unwrap() < records {
            assert!(started.elapsed() < NEVER, "never: {records} records");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn all(&self) -> Vec<String> {
        self.walk(0, 1_000).await
    }

    /// A participant that makes ticks fail, after the journal had its part in them: all of them once as many
    /// have passed as its number says.
    fn saboteur(&self) -> Arc<AtomicU64> {
        let passes = Arc::new(AtomicU64::new(ALL));
        self.db.join(Box::new(Saboteur(passes.clone())));
        passes
    }

    async fn healed(&self) {
        until("the store is healthy", || self.db.health().healthy).await;
    }
}

/// See [`Open::saboteur`].
const ALL: u64 = u64::MAX;

struct Saboteur(Arc<AtomicU64>);

impl Participant for Saboteur {
    fn pending(&self) -> usize {
        0
    }

    fn flush(&mut self, _: &mut Tx<'_>) -> Result<()> {
        match self.0.load(SeqCst) {
            0 => return Err(UNAVAILABLE.err("on purpose")),
            ALL => {}
            left => self.0.store(left - 1, SeqCst),
        }
        Ok(())
    }

    fn settle(&mut self, _: std::result::Result<(), &Error>) {}
}

/// The name of the code a call failed with.
fn code<T>(outcome: Result<T>) -> &'static str {
    match outcome {
        Ok(_) => "no error",
        Err(error) => error.code().name,
    }
}

/// The answer, or a failed test: nothing may hang. Counted by the system's clock, as tokio's may stand.
async fn soon<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let started = Instant::now();
    loop {
        let nap = tokio::time::timeout(Duration::from_millis(50), future.as_mut());
        if let Ok(output) = nap.await {
            return output;
        }
        assert!(started.elapsed() < NEVER, "no answer");
    }
}

/// Waits until `fact` holds.
async fn until(what: &str, mut fact: impl FnMut() -> bool) {
    let started = Instant::now();
    while !fact() {
        assert!(started.elapsed() < NEVER, "never: {what}");
        std::thread::yield_now();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Bytes that lz4 cannot make smaller.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    });
    words.flatten().take(bytes).collect()
}
