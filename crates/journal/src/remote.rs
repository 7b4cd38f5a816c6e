//! Streams in Kafka, behind this node's spool.
//!
//! ```text
//!  append ─▶ spool (embedded journal, durable) ─▶ answer, if `local` ─▶ shipper ─▶ Kafka ─▶ answer, if `replicated`
//!  append_in ─▶ outbox, in the transaction ─▶ relay ─▶ Kafka
//!  read, watch, groups ◀── Kafka; what groups have committed and how much there is per minute, from the store
//! ```
//!
//! A stream is the only partition of a topic of its own, so its offsets are Kafka's: they rise by one, and order is
//! kept whoever appends. Ids are remembered by each node for what comes through it; a record that reaches two nodes is
//! there twice.

mod counts;
mod outbox;
mod spool;

pub use counts::counts;

use crate::{
    Appended, Batch, Journal, Options, READ_BYTES, Retention, Stream,
    frame::{self, Chunk},
    tail::Tails,
};
use angarium_base::{
    AppId, Clock, Result,
    error::{INVALID_PARAMETER, UNAVAILABLE},
};
use angarium_db::Db;
use angarium_kafka::{
    self as kafka, Incoming, Kafka, OFFSET_OUT_OF_RANGE, Producer, TopicName, UNKNOWN_TOPIC,
    shipper::{Settings, Shipper, Source},
};
use bytes::BytesMut;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// The header that holds a record's kind.
const KIND: &str = "type";
/// How long a replicated append waits for Kafka.
const REPLICATED_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked whether somebody still watches a stream that is followed.
const UNWATCHED: Duration = Duration::from_secs(10);

/// When an append is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// It is durable in this node's spool.
    Local,
    /// All of Kafka's replicas that are in sync have it.
    Replicated,
}

/// What streams in Kafka are opened with.
pub struct RemoteOptions {
    pub kafka: kafka::Options,
    pub ack: Ack,
    /// Bytes that the spool may hold; beyond them appends are refused until Kafka has taken some.
    pub spool_bytes: u64,
}

/// How it stands between the spool and Kafka.
#[derive(Clone, Debug)]
pub struct Shipping {
    pub connected: bool,
    /// Records in the spool that Kafka does not have yet.
    pub lag: u64,
    pub shipped: u64,
    /// Records that were found in Kafka after a crash, and not sent again.
    pub skipped: u64,
    pub retried: u64,
    pub spool_bytes: u64,
    pub spool_bytes_max: u64,
    pub last_error: Option<String>,
}

/// See the module.
pub struct Remote {
    kafka: Kafka,
    producer: Producer,
    spool: spool::Spool,
    shipper: Shipper<spool::Spool>,
    ack: Ack,
    spool_bytes: u64,
    /// Topics that are known to be there.
    topics: Mutex<HashSet<TopicName>>,
    /// The spool's number of each stream.
    own: Mutex<HashMap<i64, Stream>>,
    /// Streams that are followed, by their number in the store.
    followed: Mutex<HashSet<i64>>,
    db: Db,
    stop: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Opens Kafka, and the spool in `spool_db`, whose schema has [`crate::SPOOL_MIGRATIONS`].
///
/// # Errors
/// `kafka_options_refused`; what the spool's store says. Brokers that are away are no error.
pub async fn open(
    db: &Db,
    spool_db: Db,
    mut with: RemoteOptions,
    options: &Options,
    clock: &Clock,
) -> Result<Arc<Remote>> {
    with.kafka.partitions = 1;
    retain_as(&mut with.kafka, options.retention.get("events").or_else(|| options.retention.get("*")));
    let sample = AppId::new(0);
    if with.kafka.topic.fill(&sample, "a")? == with.kafka.topic.fill(&AppId::new(i64::MAX >> 20), "a")? {
        return Err(INVALID_PARAMETER.err(
            "the template of Kafka's topics has to contain {app}: a stream of an app has a topic of its own",
        ));
    }
    let appended = Arc::new(Notify::new());
    let ring = appended.clone();
    let of_spool = Options {
        window: options.window,
        announce: Some(Arc::new(move || ring.notify_one())),
        ..Options::default()
    };
    let journal = Box::pin(Journal::open(spool_db, of_spool, clock.clone())).await?;
    let spool = spool::Spool::open(journal, appended).await?;
    let kafka = Kafka::open(with.kafka)?;
    let producer = kafka.producer()?;
    // Who waits for Kafka waits for the shipper; else taking comes before shipping.
    let settings = Settings { gives_way: with.ack == Ack::Local, ..Settings::default() };
    let shipper = Shipper::new(kafka.clone(), spool.clone(), settings)?;
    let stop = CancellationToken::new();
    let remote = Arc::new(Remote {
        kafka,
        producer,
        spool: spool.clone(),
        shipper: shipper.clone(),
        ack: with.ack,
        spool_bytes: with.spool_bytes,
        topics: Mutex::default(),
        own: Mutex::default(),
        followed: Mutex::default(),
        db: db.clone(),
        stop: stop.clone(),
        tasks: Mutex::default(),
    });
    let bell = Arc::new(Notify::new());
    db.stage_with(Arc::new(outbox::Writing { clock: clock.clone(), bell: bell.clone() }));
    if !db.is_shared() {
        db.join(Box::new(outbox::Writing { clock: clock.clone(), bell: bell.clone() }));
    }
    {
        let mut tasks = remote.tasks.lock();
        tasks.spawn(outbox::relay(Arc::downgrade(&remote), bell));
        tasks.spawn(counts::tell(Arc::downgrade(&remote), stop.clone()));
        let (maintained, until) = (spool.journal.clone(), stop.clone());
        tasks.spawn(async move { maintained.maintain(until).await });
        let ended = shipper.start(stop)?;
        tasks.spawn(async move {
            if ended.await.is_err() {
                tracing::error!("the shipper ended in a fault");
            }
        });
    }
    Ok(remote)
}

/// What is kept of a stream becomes the config of the topics that we make.
fn retain_as(options: &mut kafka::Options, keep: Option<&Retention>) {
    let Some(keep) = keep else {
        for (name, ever) in [("retention.ms", "-1"), ("retention.bytes", "-1")] {
            options.topic_config.entry(name.into()).or_insert_with(|| ever.into());
        }
        return;
    };
    let text = |n: Option<i64>| n.unwrap_or(-1).to_string();
    options.topic_config.entry("retention.ms".into()).or_insert_with(|| text(keep.age_ms));
    let bytes = keep.bytes.map(|bytes| bytes.min(i64::MAX as u64) as i64);
    options.topic_config.entry("retention.bytes".into()).or_insert_with(|| text(bytes));
}

impl Remote {
    /// Stops shipping: what is in flight is waited for, a few seconds long; the rest stays in the spool.
    pub async fn close(&self) {
        self.stop.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the journal ended in a fault");
            }
        }
        match self.spool.pending(1_000).await {
            Ok(pending) if pending.is_empty() => {}
            Ok(pending) => {
                let records: u64 = pending.iter().map(|one| one.end.saturating_sub(one.position)).sum();
                tracing::info!(
                    records,
                    "Kafka has not taken all; the rest stays in the spool for the next start"
                );
            }
            Err(error) => tracing::warn!(?error, "the spool does not say what is left in it"),
        }
        self.spool.journal.db().close();
    }

    /// This node's spool, as its records name it.
    pub fn name(&self) -> &str {
        self.spool.spool()
    }

    pub fn spool(&self) -> &Journal {
        &self.spool.journal
    }

    pub fn shipping(&self) -> Shipping {
        let (status, stats) = (self.kafka.status(), self.shipper.stats());
        Shipping {
            connected: status.connected,
            lag: stats.lag,
            shipped: stats.shipped,
            skipped: stats.skipped,
            retried: stats.retried,
            spool_bytes: self.spool.bytes.load(Relaxed),
            spool_bytes_max: self.spool_bytes,
            last_error: stats.last_error,
        }
    }

    /// Keeps the batch in the spool, and waits for Kafka if that was asked for.
    pub async fn append(&self, stream: &Stream, batch: Batch) -> Result<Appended> {
        if self.spool.bytes.load(Relaxed) > self.spool_bytes {
            return Err(UNAVAILABLE
                .err("the spool is full: Kafka has not taken records for too long; nothing was accepted")
                .with_retry_after_s(5));
        }
        let own = self.own(stream).await?;
        let done = self.spool.journal.append(&own, batch).await?;
        if self.ack == Ack::Replicated {
            let end = self.spool.journal.end(&own).await?;
            let mut shipped = self.spool.watch(own.id).await?;
            let there = tokio::time::timeout(REPLICATED_WITHIN, shipped.wait_for(|to| *to >= end)).await;
            if !matches!(there, Ok(Ok(_))) {
                return Err(spool::not_yet());
            }
        }
        Ok(done)
    }

    /// The stream as the spool knows it.
    async fn own(&self, stream: &Stream) -> Result<Stream> {
        if let Some(own) = self.own.lock().get(&stream.id) {
            return Ok(own.clone());
        }
        let own = self.spool.journal.stream(&stream.app, &stream.name).await?;
        self.own.lock().insert(stream.id, own.clone());
        Ok(own)
    }

    /// The topic of a stream, made if it is not there.
    async fn topic(&self, app: &AppId, stream: &str) -> Result<TopicName> {
        let topic = self.kafka.topic_for(app, stream)?;
        if !self.topics.lock().contains(&topic) {
            self.kafka.ensure_topic(&topic).await?;
            self.topics.lock().insert(topic.clone());
        }
        Ok(topic)
    }

    /// Removes a stream's topic.
    pub async fn delete_topic(&self, app: &AppId, stream: &str) -> Result<()> {
        let topic = self.kafka.topic_for(app, stream)?;
        self.kafka.delete_topic(&topic).await?;
        self.topics.lock().remove(&topic);
        Ok(())
    }

    /// The first offset that Kafka has of the stream, and the one after the last.
    pub async fn bounds(&self, stream: &Stream) -> Result<(u64, u64)> {
        let topic = self.topic(&stream.app, &stream.name).await?;
        match self.kafka.bounds(&topic, 0).await {
            Err(error) if error.code().name == UNKNOWN_TOPIC.name => {
                // Somebody deleted it; it is made again.
                self.topics.lock().remove(&topic);
                self.topic(&stream.app, &stream.name).await?;
                self.kafka.bounds(&topic, 0).await
            }
            outcome => outcome,
        }
    }

    pub async fn offset_at(&self, stream: &Stream, at: i64) -> Result<u64> {
        let topic = self.topic(&stream.app, &stream.name).await?;
        match self.kafka.offset_at(&topic, 0, at).await? {
            Some(offset) => Ok(offset),
            None => Ok(self.bounds(stream).await?.1),
        }
    }

    /// Up to `max` records from offset `from` on, or from the first that is left.
    pub async fn read(&self, stream: &Stream, from: u64, max: u64) -> Result<Vec<Arc<Chunk>>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let topic = self.topic(&stream.app, &stream.name).await?;
        let records = usize::try_from(max).unwrap_or(usize::MAX).min(kafka::READ_RECORDS);
        let ask = async |from| self.kafka.read(&topic, 0, from, (records, READ_BYTES), Duration::ZERO).await;
        let read = match ask(from).await {
            Err(error) if error.code().name == OFFSET_OUT_OF_RANGE.name => {
                let (first, end) = self.bounds(stream).await?;
                if from >= end {
                    return Ok(Vec::new());
                }
                ask(first.max(from)).await?
            }
            outcome => outcome?,
        };
        Ok(chunks(read))
    }

    /// Keeps the visible end of a stream that somebody watches up with Kafka's.
    pub fn follow(self: &Arc<Self>, stream: &Stream, tails: &Arc<Tails>, from: u64) {
        if self.followed.lock().insert(stream.id) {
            tokio::spawn(follow(Arc::downgrade(self), stream.clone(), tails.clone(), from));
        }
    }
}

/// Records as they came, as chunks: a run of one instant each.
fn chunks(records: Vec<Incoming>) -> Vec<Arc<Chunk>> {
    let mut out: Vec<Arc<Chunk>> = Vec::new();
    let mut frames = BytesMut::new();
    let mut rest = records.into_iter().peekable();
    while let Some(first) = rest.next() {
        let (first_offset, at) = (first.offset, first.at_ms);
        push(&mut frames, &first);
        let mut count = 1;
        while let Some(next) = rest.next_if(|r| r.at_ms == at && r.offset == first_offset + u64::from(count))
        {
            push(&mut frames, &next);
            count += 1;
        }
        out.push(Arc::new(Chunk::new(first_offset, count, at, frames.split().freeze())));
    }
    out
}

fn push(frames: &mut BytesMut, record: &Incoming) {
    // Somebody else may have written it, with any header or none.
    let kind = record.header(KIND).and_then(|kind| std::str::from_utf8(kind).ok()).unwrap_or("");
    let kind = if kind.len() > 255 { "" } else { kind };
    let mut frame = Vec::with_capacity(record.payload.len() + kind.len() + 8);
    frame::push(&mut frame, kind, &record.payload);
    frames.extend_from_slice(&frame);
}

/// Waits until nobody watches a stream, or others have moved what is visible of it. Until then a look for more goes on: one
/// that was cut short again and again would never find out that its reader hands out nothing.
async fn to_be_seen_to(tails: &Tails, stream: i64, visible: u64) {
    loop {
        tokio::time::sleep(UNWATCHED).await;
        if tails.watchers(stream) == 0 || tails.end(stream) != visible {
            return;
        }
    }
}

async fn follow(remote: Weak<Remote>, stream: Stream, tails: Arc<Tails>, from: u64) {
    let Some(strong) = remote.upgrade() else { return };
    let topic = strong.kafka.topic_for(&stream.app, &stream.name);
    let Ok(topic) = topic else { return };
    let (mut follower, stop) = (strong.kafka.follow(&topic, 0, from), strong.stop.clone());
    drop(strong);
    let mut failing = false;
    loop {
        // Whoever begins to watch may have moved what is visible: from there on is what is wanted.
        let visible = tails.end(stream.id);
        if follower.position() != visible {
            follower.seek(visible);
        }
        let next = tokio::select! {
            () = stop.cancelled() => return,
            next = follower.next() => Some(next),
            () = to_be_seen_to(&tails, stream.id, visible) => None,
        };
        let Some(strong) = remote.upgrade() else { return };
        match next {
            Some(Ok(mut records)) => {
                failing = false;
                let moved = tails.end(stream.id);
                if moved < visible {
                    continue;
                }
                records.retain(|record| record.offset >= moved);
                if let Some(first) = records.first().filter(|first| first.offset > moved) {
                    // What lay between is gone.
                    tails.restart_at(stream.id, first.offset);
                }
                tails.publish(chunks(records).into_iter().map(|chunk| (stream.id, chunk)).collect());
            }
            Some(Err(error)) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(?error, stream = %stream.name, "a stream cannot be followed at the moment; will try again");
                }
                if error.code().name == OFFSET_OUT_OF_RANGE.name
                    && let Ok((first, end)) = strong.bounds(&stream).await
                {
                    // Retention was faster, or the topic was deleted and begins anew.
                    let next = if follower.position() > end { first } else { first.max(follower.position()) };
                    follower.seek(next);
                    tails.restart_at(stream.id, next);
                }
            }
            None => {}
        }
        let mut followed = strong.followed.lock();
        if tails.watchers(stream.id) == 0 {
            followed.remove(&stream.id);
            return;
        }
    }
}
