//! Reading: a bounded pool of consumers, each assigned to one partition and kept warm.
//!
//! ```text
//!  read(t, p, from) ─▶ the idle consumer that stands at (t, p, from) ─▶ what it has read ahead
//!                 └──▶ else a new one, or the one idle longest, assigned anew
//! ```
//!
//! A consumer is out of the pool while it is used, with its place: what was handed out is behind its position, so the
//! next read in sequence neither seeks nor waits. While nothing was collected the waiting may be cancelled, and nothing
//! is lost: after the first record there is no await.

use crate::{
    OFFSET_OUT_OF_RANGE, OVERLOADED, Options, UNAVAILABLE, UNKNOWN_TOPIC,
    control::{Control, blocking},
    health::{Health, Listener, error_of, passing},
    options::refused,
    record::Incoming,
    topic::TopicName,
};
use angarium_base::{Context, Error, Result};
use parking_lot::Mutex;
use rdkafka::{
    Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How long a consumer is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(300);
/// The longest sleep that no wake-up of librdkafka ends.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What to read.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub topic: TopicName,
    pub partition: i32,
    pub from: u64,
    pub max_records: usize,
    pub max_bytes: usize,
}

pub(crate) struct Readers {
    options: Arc<Options>,
    health: Arc<Health>,
    places: Arc<Semaphore>,
    /// Used longest ago first.
    idle: Arc<Mutex<Vec<Idle>>>,
}

struct Idle {
    since: Instant,
    reader: Box<Reader>,
}

struct Reader {
    consumer: BaseConsumer<Listener>,
    /// Called when librdkafka's queue is no longer empty.
    filled: Arc<Notify>,
    /// Where it stands, if it was assigned and did not fail since.
    at: Option<(TopicName, i32, u64)>,
}

/// A reader in use; goes back when dropped.
struct Lent {
    reader: Option<Box<Reader>>,
    idle: Arc<Mutex<Vec<Idle>>>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        if reader.at.is_some() {
            self.idle.lock().push(Idle { since: Instant::now(), reader });
        } else {
            crate::cluster::elsewhere(reader);
        }
    }
}

impl Readers {
    pub(crate) fn new(options: Arc<Options>, health: Arc<Health>) -> Readers {
        let places = Arc::new(Semaphore::new(options.readers));
        Readers { options, health, places, idle: Arc::default() }
    }

    /// Up to `max_records` records from `from` on; empty if there are none after `wait`, and none by then.
    pub(crate) async fn read(&self, control: &Control, span: &Span, wait: Duration) -> Result<Vec<Incoming>> {
        let mut lent = self.lend(span).await?;
        let read = self.read_with(&mut lent, control, span, wait).await;
        if read.is_err()
            && let Some(reader) = lent.reader.as_mut()
        {
            reader.at = None;
        }
        read
    }

    async fn read_with(
        &self,
        lent: &mut Lent,
        control: &Control,
        span: &Span,
        wait: Duration,
    ) -> Result<Vec<Incoming>> {
        let started = Instant::now();
        let mut patience = wait;
        let mut asked = false;
        loop {
            let Some(reader) = lent.reader.as_mut() else { return Err(closed()) };
            let (records, failed) = reader.collect(span);
            if !records.is_empty() {
                return Ok(records);
            }
            match failed {
                Some(code) if passing(code) => self.health.failed(&code.to_string()),
                Some(code) => return Err(self.explain(control, span, code).await),
                None => {}
            }
            let left = patience.saturating_sub(started.elapsed());
            if !left.is_zero() {
                // A permit of the notification is kept, so a wake-up between collecting and waiting is not lost.
                let _ = tokio::time::timeout(left.min(LOOK_AGAIN), reader.filled.notified()).await;
                continue;
            }
            if asked {
                return Err(UNAVAILABLE.err("Kafka did not hand out what the partition holds in time"));
            }
            // "Nothing" is said only if there is nothing: the records may be on their way.
            let (low, high) = control.bounds(&span.topic, span.partition).await?;
            if span.from < low || span.from > high {
                return Err(out_of_range(span, low, high));
            }
            if span.from == high {
                return Ok(Vec::new());
            }
            asked = true;
            patience = started.elapsed() + self.options.request_timeout;
        }
    }

    /// Why a read failed, with the bounds if it was the offset.
    async fn explain(&self, control: &Control, span: &Span, code: RDKafkaErrorCode) -> Error {
        use RDKafkaErrorCode as Code;
        if matches!(code, Code::AutoOffsetReset | Code::OffsetOutOfRange) {
            return match control.bounds(&span.topic, span.partition).await {
                Ok((low, high)) => out_of_range(span, low, high),
                Err(error) => error,
            };
        }
        let error =
            error_of(KafkaError::MessageConsumption(code), "Kafka does not let the partition be read");
        if error.code().name == UNKNOWN_TOPIC.name {
            control.forget(&span.topic);
        }
        error
    }

    /// A reader that stands where `span` begins.
    async fn lend(&self, span: &Span) -> Result<Lent> {
        let place = self.places.clone().acquire_owned();
        let place = tokio::time::timeout(self.options.request_timeout, place)
            .await
            .or_error(OVERLOADED, "all readers of Kafka are in use")?
            .or_error(UNAVAILABLE, "Kafka is closed")?;
        let mut lent = Lent { reader: None, idle: self.idle.clone(), _place: place };
        let (found, stale) = self.take(span);
        stale.into_iter().for_each(crate::cluster::elsewhere);
        if let Some(reader) = found {
            let warm = reader.stands_at(span);
            lent.reader = Some(reader);
            if warm {
                return Ok(lent);
            }
        }
        let (taken, options, health, span) =
            (lent.reader.take(), self.options.clone(), self.health.clone(), span.clone());
        let assigned = blocking(move || {
            let mut reader = match taken {
                Some(reader) => reader,
                None => Reader::open(&options, health)?,
            };
            reader.assign(&span)?;
            Ok::<_, Error>(reader)
        });
        lent.reader = Some(assigned.await??);
        Ok(lent)
    }

    /// The idle reader that fits, or the one idle longest if there may be no more; and those to be dropped.
    fn take(&self, span: &Span) -> (Option<Box<Reader>>, Vec<Idle>) {
        let mut idle = self.idle.lock();
        let mut taken = idle.iter().position(|idle| idle.reader.stands_at(span)).map(|at| idle.remove(at));
        // Places beyond those in use, this one being in use.
        let room = self.places.available_permits() + 1;
        if taken.is_none() && idle.len() >= room {
            taken = Some(idle.remove(0));
        }
        let mut stale = Vec::new();
        while idle.first().is_some_and(|idle| idle.since.elapsed() > IDLE) {
            stale.push(idle.remove(0));
        }
        (taken.map(|idle| idle.reader), stale)
    }
}

impl Reader {
    fn open(options: &Options, health: Arc<Health>) -> Result<Box<Reader>> {
        let mut consumer =
            BaseConsumer::from_config_and_context(&options.consumer(), Listener(health)).map_err(refused)?;
        let filled = Arc::new(Notify::new());
        let notify = filled.clone();
        consumer.set_nonempty_callback(move || notify.notify_one());
        Ok(Box::new(Reader { consumer, filled, at: None }))
    }

    fn assign(&mut self, span: &Span) -> Result<()> {
        self.at = None;
        let from = i64::try_from(span.from).unwrap_or(i64::MAX);
        let mut assignment = TopicPartitionList::with_capacity(1);
        assignment
            .add_partition_offset(span.topic.as_str(), span.partition, Offset::Offset(from))
            .and_then(|()| self.consumer.assign(&assignment))
            .and_then(|()| self.settle())
            .map_err(|error| error_of(error, "the partition cannot be read"))?;
        self.at = Some((span.topic.clone(), span.partition, span.from));
        Ok(())
    }

    /// Waits until librdkafka has let go of what was assigned before: a further assignment, or a close, that comes earlier may
    /// ask it to let go of the same partition twice, and it ends the process when it has done so
    /// (<https://github.com/confluentinc/librdkafka/issues/5573>). Its main thread serves one queue in order. Letting go was
    /// queued before the first of these questions, and that it is done is queued before the second.
    fn settle(&self) -> KafkaResult<()> {
        self.consumer.assignment()?;
        self.consumer.assignment()?;
        Ok(())
    }

    fn stands_at(&self, span: &Span) -> bool {
        self.at.as_ref().is_some_and(|(topic, partition, next)| {
            *partition == span.partition && *next == span.from && *topic == span.topic
        })
    }

    /// What was read ahead, within the limits of `span`, and what librdkafka reports if there is nothing.
    fn collect(&mut self, span: &Span) -> (Vec<Incoming>, Option<RDKafkaErrorCode>) {
        let (mut records, mut bytes, mut misses) = (Vec::new(), 0, 0);
        let max_records = span.max_records.clamp(1, crate::READ_RECORDS);
        let max_bytes = span.max_bytes.min(crate::READ_BYTES);
        while records.len() < max_records && bytes < max_bytes.max(1) {
            match self.consumer.poll(Duration::ZERO) {
                // A log line of librdkafka also looks like nothing.
                None if misses == 3 => break,
                None => misses += 1,
                Some(Ok(message)) => {
                    let record = Incoming::copy(&message);
                    bytes += record.size();
                    if record.offset >= span.from {
                        records.push(record);
                    }
                }
                // What was collected is given out; an error that stays comes again, after it.
                Some(Err(_)) if !records.is_empty() => break,
                Some(Err(error)) => return (records, error.rdkafka_error_code()),
            }
        }
        if let (Some(last), Some((_, _, next))) = (records.last(), self.at.as_mut()) {
            *next = last.offset + 1;
        }
        (records, None)
    }
}

fn out_of_range(span: &Span, low: u64, high: u64) -> Error {
    OFFSET_OUT_OF_RANGE.err(format!(
        "offset {} is not in partition {} of {}, which holds {low} to {high} (exclusive)",
        span.from, span.partition, span.topic
    ))
}

fn closed() -> Error {
    UNAVAILABLE.err("the reader is gone")
}
