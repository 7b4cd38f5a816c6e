//! One stream on its way: from its cursor until nothing is left, or something fails.

use super::{Mark, Pending, Record, Source, StreamName, yard::Shared};
use crate::{
    TopicName, UNAVAILABLE, UNKNOWN_TOPIC,
    health::error_of,
    producer::{Landed, Native, Sending},
    record::header,
};
use angarium_base::{Error, Result};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::OwnedHeaders,
};
use std::{
    collections::VecDeque,
    fmt::Write,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How long a line waits for room in librdkafka's queue when nothing of its own is on its way.
const ROOM_MIN: Duration = Duration::from_millis(5);
const ROOM_MAX: Duration = Duration::from_millis(500);

/// Between two reads of a stream with a rush, when shipping gives way: few large batches cost less than many small ones,
/// here and at the broker.
const RUSH_PAUSE: Duration = Duration::from_millis(10);
/// From so many records in one read on it is a rush; a quarter of what a read may give is a batch that is large enough.
const RUSH_RECORDS: usize = 16;
/// How long what Kafka has acknowledged may go unsaved while more is on its way: to save it is a commit of the spool's.
const SAVE_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Line<S> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) stream: StreamName,
    /// Saved: everything before is shipped.
    pub(super) cursor: u64,
    pub(super) mark: Option<Mark>,
    /// What is shipped beyond the cursor: up to where, and the offset after its last record.
    unsaved: Option<(u64, u64)>,
    saved_at: Instant,
    /// Nothing beyond the cursor can be in Kafka.
    clean: bool,
}

/// Records on their way together.
struct Flight {
    count: usize,
    /// The position after its last record.
    next: u64,
    landed: oneshot::Receiver<Landed>,
}

/// Where a stream's records go.
struct Place {
    topic: TopicName,
    partition: i32,
}

impl<S: Source> Line<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, pending: Pending, clean: bool) -> Line<S> {
        let Pending { stream, position, mark, .. } = pending;
        Line { shared, stream, cursor: position, mark, unsaved: None, saved_at: Instant::now(), clean }
    }

    /// Ships until nothing is left, others wait for the place, or the shipper stops.
    ///
    /// # Errors
    /// Whatever came in the way. What is beyond the cursor may then be in Kafka.
    pub(super) async fn run(mut self) -> Result<()> {
        let (stop, drain) = (self.shared.stop.clone(), self.shared.settings.drain);
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            outcome = self.ship() => outcome,
            () = stopped => Err(UNAVAILABLE.err("stopped before Kafka had acknowledged everything")),
        }
    }

    async fn ship(&mut self) -> Result<()> {
        let kafka = self.shared.kafka.clone();
        let topic = kafka.topic_for(&self.stream.app, &self.stream.stream)?;
        let partitions = kafka.ensure_topic(&topic).await?;
        let place = Place { partition: kafka.partition_for(&self.stream.app, partitions), topic };
        if !self.clean {
            self.look_back().await?;
        }
        self.mark_place(&place).await?;
        let native = self.shared.producer.native()?;
        let mut flights = VecDeque::new();
        let outcome = self.fly(&native, &place, &mut flights).await;
        // Also after a failure: what is saved need not be looked for.
        let outcome = outcome.and(self.save_landed(&place).await);
        if let Err(error) = &outcome {
            if error.code().name == UNKNOWN_TOPIC.name {
                kafka.0.control.forget(&place.topic);
            }
            self.land_all(&mut flights).await;
        }
        outcome
    }

    /// Saves where the stream's records begin in this partition, before there is one.
    async fn mark_place(&mut self, place: &Place) -> Result<()> {
        let marked = self.mark.as_ref();
        if marked.is_some_and(|mark| mark.topic == place.topic && mark.partition == place.partition) {
            return Ok(());
        }
        let (_, high) = self.shared.kafka.bounds(&place.topic, place.partition).await?;
        let mark = Mark { topic: place.topic.clone(), partition: place.partition, offset: high };
        self.save(self.cursor, mark).await
    }

    pub(super) async fn save(&mut self, cursor: u64, mark: Mark) -> Result<()> {
        self.shared.source.shipped(&self.stream, cursor, &mark).await?;
        (self.cursor, self.mark) = (cursor, Some(mark));
        self.saved_at = Instant::now();
        Ok(())
    }

    async fn save_landed(&mut self, place: &Place) -> Result<()> {
        let Some((cursor, offset)) = self.unsaved.take() else { return Ok(()) };
        let mark = Mark { topic: place.topic.clone(), partition: place.partition, offset };
        self.save(cursor, mark).await
    }

    /// Keeps a window of records in flight until there are no more.
    async fn fly(&mut self, native: &Native, place: &Place, flights: &mut VecDeque<Flight>) -> Result<()> {
        let (started, mut position, mut room) = (Instant::now(), self.cursor, ROOM_MIN);
        // Half of a window is on its way, half of it is not saved yet.
        let half_a_window = (self.shared.settings.window_records / 2).max(1);
        let mut rush = None;
        let headers = self.common_headers();
        loop {
            let mut full = false;
            while !full && self.goes_on(started) && position - self.landed() < half_a_window {
                if let Some(until) = rush.take() {
                    tokio::time::sleep_until(until).await;
                }
                let records = self.read(position).await?;
                if records.is_empty() {
                    break;
                }
                let (flight, failed) = self.send(native, place, &headers, &records)?;
                if self.is_rush(&records) {
                    rush = Some(tokio::time::Instant::now() + RUSH_PAUSE);
                }
                if let Some(flight) = flight {
                    position = flight.next;
                    flights.push_back(flight);
                }
                match failed {
                    None => {}
                    Some(RDKafkaErrorCode::QueueFull) => full = true,
                    Some(code) => return Err(self.refused(code, position)),
                }
                if flights.front_mut().is_some_and(|front| !front.landed.is_empty()) {
                    break;
                }
            }
            if !flights.is_empty() {
                room = ROOM_MIN;
                self.land(flights).await?;
                if self.landed() - self.cursor >= half_a_window || self.saved_at.elapsed() > SAVE_EVERY {
                    self.save_landed(place).await?;
                }
            } else if full {
                tokio::time::sleep(room).await;
                room = (room * 2).min(ROOM_MAX);
            } else {
                return Ok(());
            }
        }
    }

    /// Kafka has everything before.
    fn landed(&self) -> u64 {
        self.unsaved.map_or(self.cursor, |(position, _)| position)
    }

    fn is_rush(&self, records: &[Record]) -> bool {
        let settings = &self.shared.settings;
        let bytes: usize = records.iter().map(|record| record.payload.len()).sum();
        settings.gives_way
            && (RUSH_RECORDS..settings.batch_records / 4).contains(&records.len())
            && bytes < settings.batch_bytes / 4
    }

    /// Whether more is to be read: nobody has stopped it, and nobody waits for long.
    fn goes_on(&self, started: Instant) -> bool {
        let waited_for = self.shared.crowded.load(Relaxed) && started.elapsed() > self.shared.settings.turn;
        !waited_for && !self.shared.stop.is_cancelled()
    }

    async fn read(&self, from: u64) -> Result<Vec<Record>> {
        let settings = &self.shared.settings;
        let read = self.shared.source.read(&self.stream, from, settings.batch_records, settings.batch_bytes);
        read.await
    }

    fn send(
        &self,
        native: &Native,
        place: &Place,
        headers: &OwnedHeaders,
        records: &[Record],
    ) -> Result<(Option<Flight>, Option<RDKafkaErrorCode>)> {
        let key = self.stream.app.as_str().as_bytes();
        let spool = self.shared.source.spool();
        let (mut id, mut at) = (String::with_capacity(spool.len() + 21), String::with_capacity(20));
        let to = Sending { topic: &place.topic, partition: place.partition, count: records.len() };
        let (sent, landed, failed) = native.send(&to, |index| {
            let record = &records[index];
            let id = written(&mut id, format_args!("{spool}:{}", record.position));
            let mut own = header(headers.clone(), "type", &record.kind);
            own = header(own, "id", id);
            own = header(own, "at", written(&mut at, format_args!("{}", record.at_ms)));
            own = header(own, "content-type", record.content_type.as_bytes());
            if let Some(traceparent) = &record.traceparent {
                own = header(own, "traceparent", traceparent);
            }
            (Some(key), Some(own), &record.payload[..], record.at_ms)
        })?;
        let last = sent.checked_sub(1).and_then(|last| records.get(last));
        let flight =
            landed.zip(last).map(|(landed, last)| Flight { count: sent, next: last.position + 1, landed });
        Ok((flight, failed))
    }

    fn common_headers(&self) -> OwnedHeaders {
        let headers = header(OwnedHeaders::new_with_capacity(7), "app", self.stream.app.as_str().as_bytes());
        header(headers, "stream", self.stream.stream.as_bytes())
    }

    /// Waits for the first flight, and takes those that landed with it.
    async fn land(&mut self, flights: &mut VecDeque<Flight>) -> Result<()> {
        let (mut behind, mut failed) = (None, None);
        while let Some(front) = flights.front_mut() {
            let landed = match behind {
                // The first is waited for; it stays in the queue meanwhile.
                None => (&mut front.landed).await.ok(),
                Some(_) => match front.landed.try_recv() {
                    Ok(landed) => Some(landed),
                    Err(oneshot::error::TryRecvError::Empty) => break,
                    Err(oneshot::error::TryRecvError::Closed) => None,
                },
            };
            let Some(flight) = flights.pop_front() else { break };
            match self.arrived(&flight, landed) {
                Ok(offset) => behind = Some((flight.next, offset)),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if let Some((next, offset)) = behind {
            self.unsaved = Some((next, offset));
            self.shared.source.acknowledged(&self.stream, next).await?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// The offset after the flight's last record, if Kafka has all of them.
    fn arrived(&self, flight: &Flight, landed: Option<Landed>) -> Result<u64> {
        let landed = landed.ok_or_else(|| UNAVAILABLE.err("the producer ended"))?;
        if let Some(code) = landed.failed {
            let error = KafkaError::MessageProduction(code);
            return Err(error_of(error, "Kafka did not take a batch"));
        }
        self.shared.counters.shipped.fetch_add(flight.count as u64, Relaxed);
        let last = landed.offsets.last().copied().unwrap_or(0);
        Ok(last.max(0) as u64 + 1)
    }

    /// After a failure: nothing may be on its way when the line begins anew. How long that takes is up to Kafka, which
    /// librdkafka tries until it answers.
    async fn land_all(&self, flights: &mut VecDeque<Flight>) {
        for flight in flights.drain(..) {
            // What came of it is found by looking back.
            let _ = flight.landed.await;
        }
    }

    fn refused(&self, code: RDKafkaErrorCode, position: u64) -> Error {
        let doing = format!("Kafka does not take the record at {position}");
        error_of(KafkaError::MessageProduction(code), &doing)
    }
}

/// `text` in place of what `buffer` held.
fn written<'a>(buffer: &'a mut String, text: std::fmt::Arguments<'_>) -> &'a [u8] {
    buffer.clear();
    // Writing to a string does not fail.
    let _ = buffer.write_fmt(text);
    buffer.as_bytes()
}
