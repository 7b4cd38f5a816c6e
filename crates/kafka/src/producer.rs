//! Writing: an idempotent producer whose records are counted in flights, not waited for one by one.
//!
//! ```text
//!  send(records) ─▶ a flight: a slot in a table ─▶ librdkafka ─▶ its callback counts acks by (slot, index)
//!                       └──────────────── the last one wakes whoever waits for the flight ◀──┘
//! ```
//!
//! A record's opaque is a number, so nothing is allocated for it on our side. A producer that librdkafka has ended
//! (a fatal error) is replaced by a new one at the next use.

use crate::{
    OVERLOADED, Options, UNAVAILABLE,
    health::{Health, Listener, error_of},
    options::refused,
    priority,
    record::{Outgoing, Unproduced},
    topic::TopicName,
};
use angarium_base::Result;
use parking_lot::Mutex;
use rdkafka::{
    ClientContext, Statistics,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Message, OwnedHeaders},
    producer::{BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext, ThreadedProducer},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Flights at a time, and records of one; both fit into a record's opaque number.
const FLIGHTS: usize = 1 << 16;
pub(crate) const FLIGHT_RECORDS: usize = 1 << 20;

/// Writes to Kafka: idempotent, `acks=all`, in order. Cloning it is cheap.
#[derive(Clone)]
pub struct Producer(Arc<Cell>);

struct Cell {
    options: Arc<Options>,
    health: Arc<Health>,
    deliver_within: Option<Duration>,
    gives_way: bool,
    native: Mutex<Option<Arc<Native>>>,
}

/// What became of a flight.
#[derive(Debug)]
pub(crate) struct Landed {
    /// The offset of each record; negative if it was not acknowledged.
    pub offsets: Vec<i64>,
    pub failed: Option<RDKafkaErrorCode>,
}

impl Landed {
    /// How many records at the beginning are acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.offsets.iter().take_while(|offset| **offset >= 0).count()
    }
}

impl Producer {
    /// `deliver_within` is for how long a record is tried; `None` is for ever. With `gives_way`, its threads do.
    pub(crate) fn open(
        options: Arc<Options>,
        health: Arc<Health>,
        deliver_within: Option<Duration>,
        gives_way: bool,
    ) -> Result<Producer> {
        let native = Mutex::default();
        let producer = Producer(Arc::new(Cell { options, health, deliver_within, gives_way, native }));
        producer.native()?;
        Ok(producer)
    }

    /// Writes `records` to one partition and answers with their offsets, in order, when all replicas have them.
    ///
    /// # Errors
    /// [`Unproduced`] says how many at the beginning are written, and whether later ones may be: those after one that
    /// was not written in time can have been. Dropping the future does not take the records back.
    pub async fn produce(
        &self,
        topic: &TopicName,
        partition: i32,
        records: Vec<Outgoing>,
    ) -> Result<Vec<u64>, Unproduced> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let started = Instant::now();
        let native = self.native()?;
        let mut flights = Vec::new();
        let (mut at, mut refusal) = (0, None);
        while at < records.len() && refusal.is_none() {
            let batch = &records[at..records.len().min(at + FLIGHT_RECORDS)];
            let sending = Sending { topic, partition, count: batch.len() };
            let (sent, flight, failed) = native.send(&sending, |index| {
                let record = &batch[index];
                (record.key.as_deref(), record.native_headers(), &record.payload[..], record.at_ms)
            })?;
            at += sent;
            flights.extend(flight);
            match failed {
                Some(RDKafkaErrorCode::QueueFull) if started.elapsed() < self.0.options.request_timeout => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                failed => refusal = failed,
            }
        }
        let landed = collect(flights).await;
        self.answer(landed, refusal)
    }

    fn answer(&self, landed: Landed, refusal: Option<RDKafkaErrorCode>) -> Result<Vec<u64>, Unproduced> {
        let Some(code) = landed.failed.or(refusal) else {
            return Ok(landed.offsets.into_iter().map(|offset| offset as u64).collect());
        };
        let count = landed.acknowledged();
        let acknowledged = landed.offsets[..count].iter().map(|offset| *offset as u64).collect();
        let unknown = landed.failed.is_some();
        let error = match code {
            RDKafkaErrorCode::QueueFull => OVERLOADED.err("too much waits for Kafka"),
            code => error_of(KafkaError::MessageProduction(code), "Kafka did not take the records"),
        };
        Err(Unproduced { acknowledged, unknown, error })
    }

    /// The producer of librdkafka, a new one if the last has ended.
    pub(crate) fn native(&self) -> Result<Arc<Native>> {
        let mut native = self.0.native.lock();
        if let Some(native) = native.as_ref().filter(|native| !native.ended()) {
            return Ok(native.clone());
        }
        let open = || Native::open(&self.0.options, self.0.health.clone(), self.0.deliver_within);
        let made = Arc::new(if self.0.gives_way { priority::lowered(open)?? } else { open()? });
        *native = Some(made.clone());
        Ok(made)
    }
}

async fn collect(flights: Vec<oneshot::Receiver<Landed>>) -> Landed {
    let mut all = Landed { offsets: Vec::new(), failed: None };
    for flight in flights {
        match flight.await {
            Ok(landed) => {
                all.offsets.extend(landed.offsets);
                all.failed = all.failed.or(landed.failed);
            }
            Err(_) => all.failed = all.failed.or(Some(RDKafkaErrorCode::PurgeQueue)),
        }
    }
    all
}

/// One producer of librdkafka.
pub(crate) struct Native {
    producer: Option<ThreadedProducer<Flights>>,
    context: Arc<Flights>,
}

/// Where records go, and how many.
pub(crate) struct Sending<'a> {
    pub topic: &'a TopicName,
    pub partition: i32,
    pub count: usize,
}

/// Key, headers, payload, instant.
pub(crate) type Parts<'a> = (Option<&'a [u8]>, Option<OwnedHeaders>, &'a [u8], i64);

/// How many records were taken, their flight, and why not more.
pub(crate) type Sent = (usize, Option<oneshot::Receiver<Landed>>, Option<RDKafkaErrorCode>);

impl Native {
    fn open(options: &Options, health: Arc<Health>, deliver_within: Option<Duration>) -> Result<Native> {
        let context =
            Flights { table: Mutex::default(), listener: Listener(health), ended: AtomicBool::new(false) };
        let config = options.producer(deliver_within);
        let producer = ThreadedProducer::from_config_and_context(&config, context).map_err(refused)?;
        let context = producer.client().context().clone();
        Ok(Native { producer: Some(producer), context })
    }

    /// Hands records to librdkafka, which copies them. Does not wait: when its queue is full, fewer are taken.
    pub(crate) fn send<'a>(
        &self,
        to: &Sending<'_>,
        mut part: impl FnMut(usize) -> Parts<'a>,
    ) -> Result<Sent> {
        let Some(producer) = &self.producer else { return Err(UNAVAILABLE.err("the producer is closed")) };
        let context = &self.context;
        let (slot, landed) = context.take_off(to.count.min(FLIGHT_RECORDS))?;
        let (mut sent, mut failed) = (0, None);
        while sent < to.count.min(FLIGHT_RECORDS) {
            let (key, headers, payload, at_ms) = part(sent);
            let mut record =
                BaseRecord::<[u8], [u8], usize>::with_opaque_to(to.topic.as_str(), mark(slot, sent))
                    .partition(to.partition)
                    .payload(payload)
                    .timestamp(at_ms);
            record.key = key;
            record.headers = headers;
            match producer.send(record) {
                Ok(()) => sent += 1,
                Err((error, _)) => {
                    failed = Some(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail));
                    break;
                }
            }
        }
        if failed.is_some_and(ends_producer) {
            context.ended.store(true, Relaxed);
        }
        context.bound(slot, sent);
        Ok((sent, (sent > 0).then_some(landed), failed))
    }

    /// Whether it takes nothing more.
    pub(crate) fn ended(&self) -> bool {
        self.context.ended.load(Relaxed)
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // Waits for its threads.
        crate::cluster::elsewhere(self.producer.take());
    }
}

/// The flights of one producer, and the context that its callbacks come to.
pub(crate) struct Flights {
    table: Mutex<Table>,
    listener: Listener,
    ended: AtomicBool,
}

#[derive(Default)]
struct Table {
    flights: Vec<Option<Flight>>,
    free: Vec<usize>,
}

struct Flight {
    offsets: Vec<i64>,
    /// Records that have not been reported, those not sent yet among them, and one for the sender while it sends.
    left: usize,
    failed: Option<RDKafkaErrorCode>,
    done: Option<oneshot::Sender<Landed>>,
}

impl Flights {
    fn take_off(&self, count: usize) -> Result<(usize, oneshot::Receiver<Landed>)> {
        let (done, landed) = oneshot::channel();
        let flight = Flight { offsets: vec![-1; count], left: count + 1, failed: None, done: Some(done) };
        let mut table = self.table.lock();
        let slot = match table.free.pop() {
            Some(slot) => slot,
            None if table.flights.len() < FLIGHTS => {
                table.flights.push(None);
                table.flights.len() - 1
            }
            None => return Err(OVERLOADED.err("too much waits for Kafka")),
        };
        table.flights[slot] = Some(flight);
        Ok((slot, landed))
    }

    /// The flight has `count` records, and no more.
    fn bound(&self, slot: usize, count: usize) {
        let mut table = self.table.lock();
        if let Some(flight) = table.flights.get_mut(slot).and_then(Option::as_mut) {
            flight.left -= flight.offsets.len() - count + 1;
            flight.offsets.truncate(count);
        }
        table.land(slot);
    }
}

impl Table {
    /// Ends the flight if all its records were reported.
    fn land(&mut self, slot: usize) {
        let Some(place) = self.flights.get_mut(slot) else { return };
        if let Some(mut flight) = place.take_if(|flight| flight.left == 0) {
            self.free.push(slot);
            if let Some(done) = flight.done.take() {
                // Whoever does not listen any more does not need to know.
                let _ = done.send(Landed { offsets: flight.offsets, failed: flight.failed });
            }
        }
    }
}

const _: () = assert!(usize::BITS >= 64, "slot and index share a number");

fn mark(slot: usize, index: usize) -> usize {
    slot << 32 | index
}

/// Whether librdkafka takes nothing more after such an error.
fn ends_producer(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::Fatal | Code::GaplessGuarantee | Code::InvalidProducerEpoch | Code::Fenced)
}

impl ClientContext for Flights {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.listener.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code().is_some_and(ends_producer) {
            self.ended.store(true, Relaxed);
            tracing::warn!(reason, "the producer of Kafka has ended, a new one takes over");
        }
        self.listener.error(error, reason);
    }

    fn stats(&self, _: Statistics) {}

    fn stats_raw(&self, _: &[u8]) {}
}

impl ProducerContext<NoCustomPartitioner> for Flights {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let (slot, index) = (opaque >> 32, opaque & 0xffff_ffff);
        let mut table = self.table.lock();
        let Some(flight) = table.flights.get_mut(slot).and_then(Option::as_mut) else { return };
        flight.left = flight.left.saturating_sub(1);
        match result {
            Ok(message) => {
                if let Some(offset) = flight.offsets.get_mut(index) {
                    *offset = message.offset();
                }
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                flight.failed.get_or_insert(code);
                if ends_producer(code) {
                    self.ended.store(true, Relaxed);
                }
            }
        }
        table.land(slot);
    }
}
