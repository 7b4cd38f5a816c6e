//! The journal port: named, append-only sequences of records, durable on return.
//!
//! ```text
//!  append ─▶ lane ─▶ the writer's tick: ids checked, frames put together, one row a batch ─▶ commit ─▶ answer
//!                                                                                   └──▶ tail in memory ─▶ live readers
//!  read(offset) ─▶ the tail in memory, or rows of batches
//! ```
//!
//! Promises, each with its test in `tests/contract.rs`:
//! * what [`Journal::append`] answers is on stable storage, and stays there until retention removes it;
//! * offsets of a stream rise by one, without gap, in the order of commits; instants never go back;
//! * a record whose id was seen within the window is not appended again, concurrently too, and across restarts;
//! * all records of one append are there, or none;
//! * what a transaction appends is there if and only if its state is;
//! * what a group has committed never comes to it again; what it has not comes again;
//! * a reader at the end is woken after the commit.
//!
//! Engine: rows of batches in the store, a SQLite file or a PostgreSQL database. In PostgreSQL several processes append
//! to one stream: each takes the stream's end in its transaction until the commit ([`store::take_end`]), so the order of
//! offsets is that of commits, and a reader at the end never passes over one that commits late.
//!
//! Or streams in Kafka, behind a spool of the embedded kind ([`remote`]).

mod chunks;
mod dedupe;
mod deletion;
mod epoch;
mod follow;
mod frame;
mod groups;
mod lane;
mod maintenance;
mod remote;
mod store;
mod tail;
mod within;

pub use dedupe::Window;
pub use frame::{Chunk, Record};
pub use groups::{CODES, COMMIT_OUT_OF_RANGE, GROUP_LEASED, Group, Handed, LEASE_MS, check_name};
pub use maintenance::Retention;
pub use remote::{Ack, RemoteOptions, Shipping};

use angarium_base::{AppId, Clock, Result};
use angarium_db::{Db, Engines, Migration, Tx};
use dedupe::{IdHash, Remembered, Seen};
use lane::{Committing, Ends};
use parking_lot::{Mutex, RwLock};
use remote::Remote;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tail::Tails;
use tokio::sync::{Notify, watch};

/// The journal's part of the schema.
pub const MIGRATIONS: &[Migration] = &[
    Migration::new("journal_0001", include_str!("../migrations/0001_journal.sql")),
    Migration::only(Engines::Postgres, "journal_0002", include_str!("../migrations/0002_postgres.sql")),
    Migration::new("journal_0003", include_str!("../migrations/0003_remote.sql")),
    Migration::only(Engines::Sqlite, "journal_0005", include_str!("../migrations/0005_outbox_sqlite.sql")),
    Migration::only(
        Engines::Postgres,
        "journal_0004",
        include_str!("../migrations/0004_outbox_postgres.sql"),
    ),
    Migration::new("journal_0007", include_str!("../migrations/0007_lineage.sql")),
];

/// The schema of a node's spool.
pub const SPOOL_MIGRATIONS: &[Migration] = &[
    Migration::new("journal_0001", include_str!("../migrations/0001_journal.sql")),
    Migration::new("journal_0006", include_str!("../migrations/0006_spool.sql")),
    Migration::new("journal_0007", include_str!("../migrations/0007_lineage.sql")),
];

/// Frames that one read takes into memory at most, beyond the first batch.
const READ_BYTES: usize = 2 << 20;

/// What a journal is opened with.
#[derive(Clone)]
pub struct Options {
    /// For how long, and for how many, record ids are remembered.
    pub window: Window,
    /// What is kept of each stream, by its name; `*` is for those not named.
    pub retention: HashMap<String, Retention>,
    /// How often retention looks.
    pub retention_every: Duration,
    /// Called after each commit that other processes may wait for. They are to call [`Journal::look`].
    pub announce: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            window: Window { age_ms: 7 * 24 * 3_600_000, ids: 10_000_000 },
            retention: HashMap::new(),
            retention_every: Duration::from_secs(30),
            announce: None,
        }
    }
}

/// A handle on the journal. Cloning it is cheap.
#[derive(Clone)]
pub struct Journal(Arc<State>);

struct State {
    db: Db,
    clock: Clock,
    options: Options,
    /// Keys the hashes of record ids; the data directory's own.
    seed: u64,
    /// What the store is known by; another one after a restore.
    lineage: String,
    lane: Arc<lane::Lane>,
    seen: Remembered,
    tails: Arc<Tails>,
    counters: Arc<lane::Counters>,
    streams: RwLock<HashMap<AppId, Vec<Stream>>>,
    /// Rung when there is something of others to be read.
    bell: Arc<Notify>,
    /// Streams in Kafka, if they are there.
    remote: Option<Arc<Remote>>,
    /// Hands answers to their callers; ends with the journal.
    delivery: tokio::task::AbortHandle,
}

impl Drop for State {
    fn drop(&mut self) {
        self.delivery.abort();
    }
}

/// A stream of one app. Made by [`Journal::stream`] only, so nobody reads a stream without naming its app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    id: i64,
    app: AppId,
    name: Arc<str>,
}

impl Stream {
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Records to append together.
#[derive(Debug, Default)]
pub struct Batch {
    frames: Vec<u8>,
    count: u32,
    /// Which records may come twice: index and hash.
    ids: Vec<(u32, IdHash)>,
}

impl Batch {
    /// A batch with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Batch {
        Batch { frames: Vec::with_capacity(bytes), count: 0, ids: Vec::new() }
    }

    pub fn count(&self) -> u32 {
        self.count
    }
}

/// What became of an append.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    pub accepted: u32,
    /// Indexes of the records whose ids were seen before.
    pub duplicates: Vec<u32>,
}

/// A stretch of a stream.
#[derive(Debug)]
pub struct Page {
    chunks: Vec<Arc<Chunk>>,
    from: u64,
    max: u64,
    /// The offset after the last record of the page.
    pub next: u64,
}

impl Page {
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.chunks.iter().flat_map(|chunk| chunk.records_from(self.from)).take(self.max as usize)
    }

    pub fn is_empty(&self) -> bool {
        self.next <= self.from || self.chunks.is_empty()
    }
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub records: u64,
    pub duplicates: u64,
    /// Bytes of frames, before compression.
    pub raw_bytes: u64,
    pub stored_bytes: u64,
    /// Record ids that are remembered.
    pub remembered_ids: u64,
}

/// What a stream holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    pub name: String,
    pub first_offset: u64,
    pub next_offset: u64,
    /// Bytes as stored; 0 where Kafka stores them.
    pub bytes: u64,
    /// When the newest record became durable; 0 if there was none yet, or where Kafka stores them.
    pub last_at: i64,
    pub retention: Retention,
    /// Consumer groups and what each has committed.
    pub groups: Vec<(String, u64)>,
}

impl Journal {
    /// Opens the journal in `db`, whose schema has [`MIGRATIONS`].
    pub async fn open(db: Db, options: Options, clock: Clock) -> Result<Journal> {
        Journal::open_with(db, options, clock, None).await
    }

    /// Opens the journal with its streams in Kafka; `spool_db` has [`SPOOL_MIGRATIONS`] and is this process's alone.
    ///
    /// # Errors
    /// `kafka_options_refused`. Brokers that are away are no error.
    pub async fn open_remote(
        db: Db,
        spool_db: Db,
        remote: RemoteOptions,
        options: Options,
        clock: Clock,
    ) -> Result<Journal> {
        let remote = remote::open(&db, spool_db, remote, &options, &clock).await?;
        Journal::open_with(db, options, clock, Some(remote)).await
    }

    async fn open_with(
        db: Db,
        options: Options,
        clock: Clock,
        remote: Option<Arc<Remote>>,
    ) -> Result<Journal> {
        let (window, now) = (options.window, clock.now());
        let seed = db.write(load_seed).await?;
        let lineage = db.write(move |tx| store::lineage(tx, now)).await?;
        db.write(dedupe::discard_unsealed).await?;
        let seen = if db.is_shared() {
            Remembered::Shared(window)
        } else {
            Remembered::Here(Arc::new(Mutex::new(db.read(move |tx| Seen::load(tx, window, now)).await?)))
        };
        let ends = if db.is_shared() { Ends::Taken } else { Ends::Known(HashMap::new()) };
        let lane = Arc::new(lane::Lane::new(db.alarm()));
        let tails = Arc::new(Tails::default());
        let counters = Arc::new(lane::Counters::default());
        let answers = Arc::new(lane::Answers::default());
        let delivery = tokio::spawn(answers.clone().deliver(tails.clone())).abort_handle();
        let bell = Arc::new(Notify::new());
        let (ring, announce) = (bell.clone(), options.announce.clone());
        let committing = Arc::new(Committing {
            tails: tails.clone(),
            counters: counters.clone(),
            clock: clock.clone(),
            news: Arc::new(move |behind| {
                if behind {
                    ring.notify_one();
                }
                if let Some(announce) = &announce {
                    announce();
                }
            }),
        });
        if remote.is_none() {
            db.stage_with(Arc::new(lane::Appender(committing.clone())));
            db.join(Box::new(lane::Writer::new(lane.clone(), seen.clone(), ends, answers, committing)));
        }
        let shared = db.is_shared();
        let state = State {
            db,
            clock,
            options,
            seed,
            lineage,
            lane,
            seen,
            tails,
            counters,
            streams: RwLock::default(),
            bell: bell.clone(),
            remote,
            delivery,
        };
        let journal = Journal(Arc::new(state));
        if journal.0.remote.is_none() {
            tokio::spawn(follow::run(Arc::downgrade(&journal.0), bell, shared));
        }
        Ok(journal)
    }

    /// Somebody else has appended something: looks for it.
    pub fn look(&self) {
        self.0.bell.notify_one();
    }

    /// The stream `name` of `app`, made if it is not there.
    pub async fn stream(&self, app: &AppId, name: &str) -> Result<Stream> {
        if let Some(stream) = self.known(app, name) {
            return Ok(stream);
        }
        let (owner, wanted, now) = (app.clone(), name.to_owned(), self.clock().now());
        let row = self.db().write(move |tx| store::ensure_stream(tx, owner.as_str(), &wanted, now)).await?;
        Ok(self.remember(app, name, row.id, row.next_offset))
    }

    /// The stream `name` of `app`, if it is there.
    pub async fn find_stream(&self, app: &AppId, name: &str) -> Result<Option<Stream>> {
        if let Some(stream) = self.known(app, name) {
            return Ok(Some(stream));
        }
        let (owner, wanted) = (app.clone(), name.to_owned());
        let row = self.db().read(move |tx| store::stream(tx, owner.as_str(), &wanted)).await?;
        Ok(row.map(|row| self.remember(app, name, row.id, row.next_offset)))
    }

    /// Adds a record to `batch`. With an `id`, it is appended only if that id was not seen within the window.
    pub fn add(&self, batch: &mut Batch, stream: &Stream, kind: &str, id: Option<&str>, data: &[u8]) {
        if let Some(id) = id {
            batch.ids.push((batch.count, dedupe::hash(self.0.seed, stream.id, id)));
        }
        frame::push(&mut batch.frames, kind, data);
        batch.count += 1;
    }

    /// Appends all of `batch` and answers when it is on stable storage. Cancel-safe in that the batch is
    /// appended or not, whole; whoever stops waiting does not learn which.
    ///
    /// # Errors
    /// `overloaded` when too much waits; `unavailable` when the store cannot commit.
    pub async fn append(&self, stream: &Stream, batch: Batch) -> Result<Appended> {
        if batch.count == 0 {
            return Ok(Appended::default());
        }
        if let Some(remote) = &self.0.remote {
            return Box::pin(remote.append(stream, batch)).await;
        }
        if !self.db().health().healthy {
            return Err(angarium_base::error::UNAVAILABLE
                .err("the store cannot make anything durable at the moment; nothing was accepted"));
        }
        let heard = self.0.lane.push(stream.id, batch)?;
        heard.await.map_err(|_| lane::dropped())?
    }

    /// Up to `max` records from offset `from` on; fewer when they are large.
    pub async fn read(&self, stream: &Stream, from: u64, max: u64) -> Result<Page> {
        let kept = self.0.tails.read(stream.id, from, READ_BYTES);
        // Where others append too, what is visible here may not be all.
        let kept = kept.filter(|chunks| !chunks.is_empty() || !self.is_shared());
        let chunks = match kept {
            Some(chunks) => chunks,
            None => match &self.0.remote {
                Some(remote) => Box::pin(remote.read(stream, from, max)).await?,
                None => {
                    let id = stream.id;
                    let read = self.db().read(move |tx| store::chunks(tx, id, from, max, READ_BYTES)).await?;
                    read.into_iter().map(Arc::new).collect()
                }
            },
        };
        let first = chunks.first().map_or(from, |chunk| chunk.first_offset.max(from));
        let end = chunks.last().map_or(from, |chunk| chunk.next_offset());
        Ok(Page { next: end.min(first.saturating_add(max)).max(from), chunks, from, max })
    }

    /// Whether others append to the same streams.
    fn is_shared(&self) -> bool {
        self.db().is_shared() || self.0.remote.is_some()
    }

    /// The first offset that the stream still has, and its next one.
    async fn bounds(&self, stream: &Stream) -> Result<(u64, u64)> {
        if let Some(remote) = &self.0.remote {
            return remote.bounds(stream).await;
        }
        let id = stream.id;
        let row = self.db().read(move |tx| store::stream_by_id(tx, id)).await?;
        Ok((row.first_offset, row.next_offset))
    }

    /// A receiver of the stream's next offset, changed after each commit to it.
    pub async fn watch(&self, stream: &Stream) -> Result<watch::Receiver<u64>> {
        // The tail was made with the handle, from the store. Watched from here on, it is kept up to date.
        let mut head = self.0.tails.watch(stream.id, 0);
        if self.is_shared() {
            let end = self.end(stream).await?;
            if let Some(remote) = &self.0.remote {
                let visible = *head.borrow();
                if self.0.tails.watchers(stream.id) == 1 || visible > end {
                    self.0.tails.restart_at(stream.id, end);
                }
                let from = *head.borrow();
                remote.follow(stream, &self.0.tails, from);
            } else if end > *head.borrow() && self.0.tails.watchers(stream.id) == 1 {
                self.0.tails.skip_to(stream.id, end);
            } else {
                self.look();
            }
            // What it was moved to here is where it starts, and no news.
            head.mark_unchanged();
        }
        Ok(head)
    }

    /// The stream's next offset.
    pub async fn end(&self, stream: &Stream) -> Result<u64> {
        if !self.is_shared() {
            return Ok(*self.0.tails.watch(stream.id, 0).borrow());
        }
        Ok(self.bounds(stream).await?.1)
    }

    /// The first offset of what became durable at `at` or later; the end, if nothing did.
    pub async fn offset_at(&self, stream: &Stream, at: i64) -> Result<u64> {
        if let Some(remote) = &self.0.remote {
            return remote.offset_at(stream, at).await;
        }
        let id = stream.id;
        self.db()
            .read(move |tx| match store::offset_at(tx, id, at)? {
                Some(offset) => Ok(offset),
                None => Ok(store::stream_by_id(tx, id)?.next_offset),
            })
            .await
    }

    /// How many records of each kind became durable per `step` minutes: start minute, kind, count.
    pub async fn counts(
        &self,
        stream: &Stream,
        minutes: std::ops::Range<i64>,
        step: i64,
        limit: i64,
    ) -> Result<Vec<(i64, String, u64)>> {
        let id = stream.id;
        if self.0.remote.is_some() {
            return self.db().read(move |tx| remote::counts(tx, id, minutes, step, limit)).await;
        }
        self.db().read(move |tx| store::counts(tx, id, minutes, step, limit)).await
    }

    /// What the streams of `app` hold, by name.
    pub async fn extents(&self, app: &AppId) -> Result<Vec<Extent>> {
        let (owner, this) = (app.clone(), self.clone());
        let extents: Vec<Extent> = self
            .db()
            .read(move |tx| {
                let rows = store::streams(tx, owner.as_str())?;
                rows.into_iter().map(|row| this.extent(tx, row)).collect()
            })
            .await?;
        let mut out = Vec::with_capacity(extents.len());
        for extent in extents {
            let stream = self.stream(app, &extent.name).await?;
            out.push(self.as_kafka_has_it(&stream, extent).await?);
        }
        Ok(out)
    }

    /// What `stream` holds.
    pub async fn extent_of(&self, stream: &Stream) -> Result<Extent> {
        let (id, this) = (stream.id, self.clone());
        let extent = self
            .db()
            .read(move |tx| {
                let row = store::stream_by_id(tx, id)?;
                this.extent(tx, row)
            })
            .await?;
        self.as_kafka_has_it(stream, extent).await
    }

    async fn as_kafka_has_it(&self, stream: &Stream, extent: Extent) -> Result<Extent> {
        let Some(remote) = &self.0.remote else { return Ok(extent) };
        let (first_offset, next_offset) = remote.bounds(stream).await?;
        Ok(Extent { first_offset, next_offset, ..extent })
    }

    /// How it stands between this node's spool and Kafka; `None` where streams are in the store.
    pub fn shipping(&self) -> Option<Shipping> {
        self.0.remote.as_ref().map(|remote| remote.shipping())
    }

    /// Ends what works in the background, and closes the spool, if there is one; the store is its owner's to close.
    pub async fn close(&self) {
        if let Some(remote) = &self.0.remote {
            remote.close().await;
        }
    }

    /// The store of this node's spool, if there is one.
    pub fn spool_db(&self) -> Option<&Db> {
        self.0.remote.as_ref().map(|remote| remote.spool().db())
    }

    pub fn stats(&self) -> Stats {
        if let Some(remote) = &self.0.remote {
            return remote.spool().stats();
        }
        let counters = &self.0.counters;
        Stats {
            records: counters.records.load(Relaxed),
            duplicates: counters.duplicates.load(Relaxed),
            raw_bytes: counters.raw_bytes.load(Relaxed),
            stored_bytes: counters.stored_bytes.load(Relaxed),
            remembered_ids: self.0.seen.len() as u64,
        }
    }

    fn extent(&self, tx: &mut Tx<'_>, row: store::StreamRow) -> Result<Extent> {
        Ok(Extent {
            groups: store::groups(tx, row.id)?,
            retention: self.retention(&row.name),
            name: row.name,
            first_offset: row.first_offset,
            next_offset: row.next_offset,
            bytes: row.bytes,
            last_at: row.last_at,
        })
    }

    fn known(&self, app: &AppId, name: &str) -> Option<Stream> {
        self.0.streams.read().get(app)?.iter().find(|stream| stream.name() == name).cloned()
    }

    fn remember(&self, app: &AppId, name: &str, id: i64, next_offset: u64) -> Stream {
        let stream = Stream { id, app: app.clone(), name: name.into() };
        // Gives the watchers their start before anybody can have the handle, or append.
        drop(self.0.tails.watch(id, next_offset));
        let mut streams = self.0.streams.write();
        let of_app = streams.entry(app.clone()).or_default();
        if of_app.iter().all(|known| known.id != id) {
            of_app.push(stream.clone());
        }
        stream
    }

    fn retention(&self, stream: &str) -> Retention {
        let by_name = &self.0.options.retention;
        by_name.get(stream).or_else(|| by_name.get("*")).copied().unwrap_or_default()
    }

    fn remote(&self) -> Option<&Arc<Remote>> {
        self.0.remote.as_ref()
    }

    /// Forgets the handles of an app that is gone.
    fn forget_app(&self, app: &AppId) {
        self.0.streams.write().remove(app);
    }

    fn retention_every(&self) -> Duration {
        self.0.options.retention_every
    }

    fn db(&self) -> &Db {
        &self.0.db
    }

    fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn seen(&self) -> &Remembered {
        &self.0.seen
    }

    fn tails(&self) -> &Tails {
        &self.0.tails
    }
}

/// The seed of the id hashes, made at the first start.
fn load_seed(tx: &mut Tx<'_>) -> Result<u64> {
    tx.exec(
        "INSERT INTO seen_seed (seed) SELECT abs(random()) WHERE NOT EXISTS (SELECT 1 FROM seen_seed)",
        &[],
    )?;
    tx.one("SELECT seed FROM seen_seed", &[], |row| Ok(row.get::<i64>(0)? as u64))
}
