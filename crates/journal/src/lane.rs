//! The ingestion lane: appends wait here, the store's writer takes all of them in its next tick, and
//! they are answered together when that tick is on disk.

use crate::{
    Appended, Batch,
    dedupe::Seen,
    frame::{self, Chunk, Frames},
    store,
    tail::Tails,
};
use angarium_base::{
    Clock, Error, Result,
    error::{OVERLOADED, UNAVAILABLE},
};
use angarium_db::{Participant, Tx, sqlite::Alarm};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::sync::{Notify, oneshot};

/// Bytes of frames that may wait; more answers `overloaded`.
const WAITING_BYTES: usize = 64 << 20;
/// Bytes of frames that one tick takes, so that a flood cannot hold a tick for long.
const TICK_BYTES: usize = 8 << 20;

/// Where appends wait.
pub struct Lane {
    /// `None` once the store's writer has ended: then nobody would ever take them.
    waiting: Mutex<Option<Vec<Append>>>,
    callers: AtomicUsize,
    bytes: AtomicUsize,
    alarm: Alarm,
}

struct Append {
    stream: i64,
    batch: Batch,
    /// The batch as it will be stored, when it is large enough to be a row of its own.
    packed: Option<(i64, Vec<u8>)>,
    answer: oneshot::Sender<Result<Appended>>,
}

/// An outcome on its way to its caller.
type Answer = (oneshot::Sender<Result<Appended>>, Result<Appended>);

/// Outcomes that the writer hands over to the runtime in one go: waking a hundred tasks from inside the
/// runtime costs a fraction of waking each from a foreign thread.
#[derive(Default)]
pub struct Answers {
    ready: Mutex<Vec<Answer>>,
    bell: Notify,
}

impl Answers {
    fn hand_over(&self, mut answers: Vec<Answer>) {
        if answers.is_empty() {
            return;
        }
        self.ready.lock().append(&mut answers);
        self.bell.notify_one();
    }

    /// Delivers answers for as long as the runtime lives.
    pub async fn deliver(self: Arc<Self>) {
        loop {
            self.bell.notified().await;
            for (caller, outcome) in std::mem::take(&mut *self.ready.lock()) {
                // The caller may have gone away; its records are durable all the same.
                let _ = caller.send(outcome);
            }
        }
    }
}

/// Counters since the start.
#[derive(Default)]
pub struct Counters {
    pub records: AtomicU64,
    pub duplicates: AtomicU64,
    pub raw_bytes: AtomicU64,
    pub stored_bytes: AtomicU64,
}

impl Lane {
    pub fn new(alarm: Alarm) -> Lane {
        Lane {
            waiting: Mutex::new(Some(Vec::new())),
            callers: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            alarm,
        }
    }

    /// Queues a batch; the receiver hears when it is durable.
    pub fn push(&self, stream: i64, batch: Batch) -> Result<oneshot::Receiver<Result<Appended>>> {
        let bytes = batch.frames.len();
        if self.bytes.fetch_add(bytes, Relaxed) + bytes > WAITING_BYTES.max(bytes) {
            self.bytes.fetch_sub(bytes, Relaxed);
            return Err(OVERLOADED.err("too many records wait to be written"));
        }
        // Done here, on the caller's thread, so that the writer's is left for the disk.
        let packed = match frame::pack(&batch.frames) {
            (codec, Some(bytes)) => Some((codec, bytes)),
            (_, None) => None,
        };
        let (answer, heard) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            let Some(waiting) = waiting.as_mut() else {
                return Err(UNAVAILABLE.err("the store is closed"));
            };
            waiting.push(Append { stream, batch, packed, answer });
            // Under the lock: whoever takes it must find it counted.
            self.callers.fetch_add(1, Relaxed);
        }
        self.alarm.raise();
        Ok(heard)
    }

    /// The oldest appends, as many as fit a tick.
    fn take(&self) -> Vec<Append> {
        let mut waiting = self.waiting.lock();
        let Some(waiting) = waiting.as_mut() else { return Vec::new() };
        let mut bytes = 0;
        let fits = waiting.iter().take_while(|append| {
            let first = bytes == 0;
            bytes += append.batch.frames.len();
            first || bytes <= TICK_BYTES
        });
        let n = fits.count();
        let taken: Vec<Append> =
            if n == waiting.len() { std::mem::take(waiting) } else { waiting.drain(..n).collect() };
        self.callers.fetch_sub(taken.len(), Relaxed);
        self.bytes.fetch_sub(taken.iter().map(|append| append.batch.frames.len()).sum(), Relaxed);
        taken
    }

    /// All that wait, when the tick that should have taken them has failed.
    fn take_all(&self) -> Vec<Append> {
        std::iter::repeat_with(|| self.take()).take_while(|taken| !taken.is_empty()).flatten().collect()
    }

    /// Refuses from now on; who waits hears that it was dropped.
    fn close(&self) {
        self.waiting.lock().take();
    }
}

/// The journal's part in every tick of the writer.
pub struct Writer {
    pub lane: Arc<Lane>,
    pub seen: Arc<Mutex<Seen>>,
    pub tails: Arc<Tails>,
    pub counters: Arc<Counters>,
    pub answers: Arc<Answers>,
    pub clock: Clock,
    /// Where each stream ends, as committed.
    ends: HashMap<i64, End>,
    tick: Tick,
}

#[derive(Clone, Copy)]
struct End {
    next_offset: u64,
    last_at: i64,
}

/// What one tick is about to commit.
#[derive(Default)]
struct Tick {
    answers: Vec<(oneshot::Sender<Result<Appended>>, Appended)>,
    streams: HashMap<i64, Open>,
    chunks: Vec<(i64, Arc<Chunk>)>,
    stored_bytes: u64,
}

/// A stream's end within the tick, and the small records that will share its next row.
struct Open {
    end: End,
    frames: Vec<u8>,
    count: u32,
    stored_bytes: u64,
}

impl Writer {
    pub fn new(
        lane: Arc<Lane>,
        seen: Arc<Mutex<Seen>>,
        tails: Arc<Tails>,
        counters: Arc<Counters>,
        answers: Arc<Answers>,
        clock: Clock,
    ) -> Writer {
        Writer { lane, seen, tails, counters, answers, clock, ends: HashMap::new(), tick: Tick::default() }
    }

    /// Puts one append into the tick, without the records that are known already.
    fn add(&mut self, tx: &mut Tx<'_>, append: Append, seen: &mut Seen, now: i64) -> Result<()> {
        let Append { stream, mut batch, mut packed, answer } = append;
        // First of all, so that an error on the way is told to this caller too.
        self.tick.answers.push((answer, Appended::default()));
        let mut duplicates = Vec::new();
        for (index, id) in &batch.ids {
            if !seen.insert(tx, *id)? {
                duplicates.push(*index);
            }
        }
        if !duplicates.is_empty() {
            batch.frames = frame::without(&batch.frames, &duplicates);
            batch.count -= duplicates.len() as u32;
            packed = None;
        }
        let accepted = batch.count;
        if accepted > 0 {
            self.open(tx, stream, now)?;
            match packed {
                Some((codec, data)) => {
                    self.close_row(tx, stream)?;
                    self.write_row(tx, stream, batch.frames.into(), batch.count, (codec, &data))?;
                }
                None => self.collect(stream, &batch.frames, batch.count),
            }
        }
        if let Some((_, appended)) = self.tick.answers.last_mut() {
            *appended = Appended { accepted, duplicates };
        }
        Ok(())
    }

    fn collect(&mut self, stream: i64, frames: &[u8], count: u32) {
        if let Some(open) = self.tick.streams.get_mut(&stream) {
            open.frames.extend_from_slice(frames);
            open.count += count;
        }
    }

    /// Makes the stream part of the tick. A stream's instants never go back, even if the clock does.
    fn open(&mut self, tx: &mut Tx<'_>, stream: i64, now: i64) -> Result<()> {
        if self.tick.streams.contains_key(&stream) {
            return Ok(());
        }
        let mut end = match self.ends.get(&stream) {
            Some(end) => *end,
            None => {
                let row = store::stream_by_id(tx, stream)?;
                End { next_offset: row.next_offset, last_at: row.last_at }
            }
        };
        end.last_at = end.last_at.max(now);
        self.tick.streams.insert(stream, Open { end, frames: Vec::new(), count: 0, stored_bytes: 0 });
        Ok(())
    }

    /// Writes the small records collected so far as one row.
    fn close_row(&mut self, tx: &mut Tx<'_>, stream: i64) -> Result<()> {
        let Some(open) = self.tick.streams.get_mut(&stream) else { return Ok(()) };
        if open.count == 0 {
            return Ok(());
        }
        let (frames, count) =
            (Bytes::from(std::mem::take(&mut open.frames)), std::mem::take(&mut open.count));
        match frame::pack(&frames) {
            (codec, Some(data)) => self.write_row(tx, stream, frames, count, (codec, &data)),
            (codec, None) => self.write_row(tx, stream, frames.clone(), count, (codec, &frames)),
        }
    }

    fn write_row(
        &mut self,
        tx: &mut Tx<'_>,
        stream: i64,
        frames: Bytes,
        count: u32,
        (codec, data): (i64, &[u8]),
    ) -> Result<()> {
        let Some(open) = self.tick.streams.get_mut(&stream) else { return Ok(()) };
        let chunk = Chunk { first_offset: open.end.next_offset, count, at: open.end.last_at, frames };
        store::insert_batch(tx, stream, &chunk, codec, data)?;
        open.end.next_offset += u64::from(count);
        open.stored_bytes += data.len() as u64;
        self.tick.stored_bytes += data.len() as u64;
        self.tick.chunks.push((stream, Arc::new(chunk)));
        Ok(())
    }

    /// Closes the open rows, and moves the ends and the counters of the streams.
    fn close(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let streams: Vec<i64> = self.tick.streams.keys().copied().collect();
        for stream in streams {
            self.close_row(tx, stream)?;
            let Some(open) = self.tick.streams.get(&stream) else { continue };
            store::advance(tx, stream, open.end.next_offset, open.stored_bytes, open.end.last_at)?;
        }
        let mut counts: HashMap<(i64, i64, &str), u64> = HashMap::new();
        for (stream, chunk) in &self.tick.chunks {
            for (kind, _) in Frames(&chunk.frames) {
                *counts.entry((*stream, chunk.at / 60_000, kind)).or_default() += 1;
            }
        }
        for ((stream, minute, kind), n) in counts {
            store::count(tx, stream, minute, kind, n)?;
        }
        Ok(())
    }
}

impl Participant for Writer {
    fn pending(&self) -> usize {
        self.lane.callers.load(Relaxed)
    }

    fn flush(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        self.tick = Tick::default();
        let now = self.clock.now();
        for staged in tx.take_staged() {
            self.open(tx, staged.stream, now)?;
            self.collect(staged.stream, &staged.frame, 1);
        }
        let taken = self.lane.take();
        let seen = self.seen.clone();
        let mut seen = seen.lock();
        let mut taken = taken.into_iter();
        while let Some(append) = taken.next() {
            if let Err(error) = self.add(tx, append, &mut seen, now) {
                // All of them fail together.
                self.tick.answers.extend(taken.map(|left| (left.answer, Appended::default())));
                return Err(error);
            }
        }
        seen.flush(tx, now)?;
        drop(seen);
        self.close(tx)
    }

    fn settle(&mut self, outcome: std::result::Result<(), &Error>) {
        let tick = std::mem::take(&mut self.tick);
        self.seen.lock().settle(outcome.is_ok(), self.clock.now());
        match outcome {
            Ok(()) => {
                self.ends.extend(tick.streams.iter().map(|(stream, open)| (*stream, open.end)));
                self.note(&tick);
                self.tails.publish(tick.chunks);
                self.answers.hand_over(tick.answers.into_iter().map(|(to, done)| (to, Ok(done))).collect());
            }
            Err(error) => {
                // What was appended may be on disk or not; the ends are read again.
                self.ends.clear();
                let failed = tick.answers.into_iter().map(|(to, _)| to);
                let waiting = self.lane.take_all().into_iter().map(|append| append.answer);
                self.answers.hand_over(failed.chain(waiting).map(|to| (to, Err(error.again()))).collect());
            }
        }
    }
}

impl Drop for Writer {
    /// The store's writer has ended.
    fn drop(&mut self) {
        self.lane.close();
    }
}

impl Writer {
    fn note(&self, tick: &Tick) {
        let records: u64 = tick.chunks.iter().map(|(_, chunk)| u64::from(chunk.count)).sum();
        let raw: u64 = tick.chunks.iter().map(|(_, chunk)| chunk.frames.len() as u64).sum();
        let duplicates: u64 = tick.answers.iter().map(|(_, a)| a.duplicates.len() as u64).sum();
        self.counters.records.fetch_add(records, Relaxed);
        self.counters.raw_bytes.fetch_add(raw, Relaxed);
        self.counters.stored_bytes.fetch_add(tick.stored_bytes, Relaxed);
        self.counters.duplicates.fetch_add(duplicates, Relaxed);
    }
}

/// What a caller hears whose batch was dropped on the way: the store closed in between.
pub fn dropped() -> Error {
    UNAVAILABLE.err("the store closed before this was durable; it may or may not have been kept")
}
