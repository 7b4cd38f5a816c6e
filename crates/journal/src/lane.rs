//! The ingestion lane: appends wait here, the store's writer takes all of them in its next tick, and
//! they are answered together when that tick is on disk.

use crate::{
    Appended, Batch,
    dedupe::{IdHash, Remembered},
    frame::{self, Chunk, Frames},
    store,
    tail::Tails,
};
use angarium_base::{
    Clock, Error, Result,
    error::{OVERLOADED, UNAVAILABLE},
};
use angarium_db::{Alarm, Participant, Staged, Stager, Tx};
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
    ready: Mutex<Ready>,
    bell: Notify,
}

#[derive(Default)]
struct Ready {
    answers: Vec<Answer>,
    /// Streams whose watchers are to be woken.
    grown: Vec<i64>,
}

impl Answers {
    fn hand_over(&self, mut answers: Vec<Answer>, grown: Vec<i64>) {
        if answers.is_empty() && grown.is_empty() {
            return;
        }
        let mut ready = self.ready.lock();
        ready.answers.append(&mut answers);
        ready.grown.extend(grown);
        drop(ready);
        self.bell.notify_one();
    }

    /// Delivers answers, and wakes who watches, for as long as the runtime lives. Those who wait for an answer come first: a
    /// stream may have a thousand watchers.
    pub async fn deliver(self: Arc<Self>, tails: Arc<Tails>) {
        loop {
            self.bell.notified().await;
            let Ready { answers, grown } = std::mem::take(&mut *self.ready.lock());
            for (caller, outcome) in answers {
                // The caller may have gone away; its records are durable all the same.
                let _ = caller.send(outcome);
            }
            tails.ring(&grown);
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
    pub seen: Remembered,
    pub ends: Ends,
    pub answers: Arc<Answers>,
    tick: Tick,
    at: Arc<Committing>,
}

/// What is done about batches when their transaction is over.
pub struct Committing {
    pub tails: Arc<Tails>,
    pub counters: Arc<Counters>,
    pub clock: Clock,
    /// Called when streams have grown; with `true` if others appended in between, whose records are to be read first.
    pub news: Arc<dyn Fn(bool) + Send + Sync>,
}

/// How a tick learns where a stream ends.
pub enum Ends {
    /// Nobody else appends: as this process committed it.
    Known(HashMap<i64, End>),
    /// Others append too: from the store, where it is taken until the tick is over.
    Taken,
}

#[derive(Clone, Copy)]
pub struct End {
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
        seen: Remembered,
        ends: Ends,
        answers: Arc<Answers>,
        at: Arc<Committing>,
    ) -> Writer {
        Writer { lane, seen, ends, answers, tick: Tick::default(), at }
    }

    /// Puts one append into the tick, without the records that are known already.
    fn add(&mut self, tx: &mut Tx<'_>, append: Append, new: &mut impl Iterator<Item = bool>) -> Result<()> {
        let Append { stream, mut batch, mut packed, answer } = append;
        // First of all, so that an error on the way is told to this caller too.
        self.tick.answers.push((answer, Appended::default()));
        let known = batch.ids.iter().zip(new).filter(|(_, new)| !new);
        let duplicates: Vec<u32> = known.map(|((index, _), _)| *index).collect();
        if !duplicates.is_empty() {
            batch.frames = frame::without(&batch.frames, &duplicates);
            batch.count -= duplicates.len() as u32;
            packed = None;
        }
        let accepted = batch.count;
        if accepted > 0 {
            match packed {
                Some((codec, data)) => {
                    self.tick.close_row(tx, stream)?;
                    self.tick.write_row(tx, stream, batch.frames.into(), batch.count, (codec, &data))?;
                }
                None => self.tick.collect(stream, &batch.frames, batch.count),
            }
        }
        if let Some((_, appended)) = self.tick.answers.last_mut() {
            *appended = Appended { accepted, duplicates };
        }
        Ok(())
    }
}

impl Tick {
    fn collect(&mut self, stream: i64, frames: &[u8], count: u32) {
        if let Some(open) = self.streams.get_mut(&stream) {
            open.frames.extend_from_slice(frames);
            open.count += count;
        }
    }

    /// Makes the stream part of the tick. A stream's instants never go back, even if the clock does.
    fn open(&mut self, tx: &mut Tx<'_>, stream: i64, now: i64, ends: &Ends) -> Result<()> {
        if self.streams.contains_key(&stream) {
            return Ok(());
        }
        let end = match ends {
            Ends::Known(ends) => match ends.get(&stream) {
                Some(end) => End { last_at: end.last_at.max(now), ..*end },
                None => {
                    let row = store::stream_by_id(tx, stream)?;
                    End { next_offset: row.next_offset, last_at: row.last_at.max(now) }
                }
            },
            Ends::Taken => {
                let (next_offset, last_at) = store::take_end(tx, stream, now)?;
                End { next_offset, last_at }
            }
        };
        self.streams.insert(stream, Open { end, frames: Vec::new(), count: 0, stored_bytes: 0 });
        Ok(())
    }

    /// Writes the small records collected so far as one row.
    fn close_row(&mut self, tx: &mut Tx<'_>, stream: i64) -> Result<()> {
        let Some(open) = self.streams.get_mut(&stream) else { return Ok(()) };
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
        let Some(open) = self.streams.get_mut(&stream) else { return Ok(()) };
        let chunk = Chunk::new(open.end.next_offset, count, open.end.last_at, frames);
        store::insert_batch(tx, stream, &chunk, codec, data)?;
        open.end.next_offset += u64::from(count);
        open.stored_bytes += data.len() as u64;
        self.stored_bytes += data.len() as u64;
        self.chunks.push((stream, Arc::new(chunk)));
        Ok(())
    }

    /// Closes the open rows, and moves the ends and the counters of the streams.
    fn close(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let streams: Vec<i64> = self.streams.keys().copied().collect();
        for stream in streams {
            self.close_row(tx, stream)?;
            let Some(open) = self.streams.get(&stream) else { continue };
            store::advance(tx, stream, open.end.next_offset, open.stored_bytes, open.end.last_at)?;
        }
        let mut counts: HashMap<(i64, i64, &str), u64> = HashMap::new();
        for (stream, chunk) in &self.chunks {
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
        let now = self.at.clock.now();
        let (staged, taken) = (tx.take_staged(), self.lane.take());
        let filled = self.fill(tx, staged, &taken, now);
        let mut taken = taken.into_iter();
        let mut new = match filled {
            Ok(new) => new.into_iter(),
            Err(error) => {
                // All of them fail together.
                self.tick.answers.extend(taken.map(|left| (left.answer, Appended::default())));
                return Err(error);
            }
        };
        while let Some(append) = taken.next() {
            if let Err(error) = self.add(tx, append, &mut new) {
                self.tick.answers.extend(taken.map(|left| (left.answer, Appended::default())));
                return Err(error);
            }
        }
        self.seen.flush(tx, now)?;
        self.tick.close(tx)
    }

    fn settle(&mut self, outcome: std::result::Result<(), &Error>) {
        let mut tick = std::mem::take(&mut self.tick);
        self.seen.settle(outcome.is_ok(), self.at.clock.now());
        let answers = std::mem::take(&mut tick.answers);
        match outcome {
            Ok(()) => {
                if let Ends::Known(ends) = &mut self.ends {
                    ends.extend(tick.streams.iter().map(|(stream, open)| (*stream, open.end)));
                }
                let duplicates = answers.iter().map(|(_, a)| a.duplicates.len() as u64).sum();
                self.at.counters.duplicates.fetch_add(duplicates, Relaxed);
                let grown = self.at.show(tick);
                let done = answers.into_iter().map(|(to, done)| (to, Ok(done))).collect();
                self.answers.hand_over(done, grown);
            }
            Err(error) => {
                // What was appended may be on disk or not; the ends are read again.
                if let Ends::Known(ends) = &mut self.ends {
                    ends.clear();
                }
                let failed = answers.into_iter().map(|(to, _)| to);
                let waiting = self.lane.take_all().into_iter().map(|append| append.answer);
                let failed = failed.chain(waiting).map(|to| (to, Err(error.again()))).collect();
                self.answers.hand_over(failed, Vec::new());
            }
        }
    }
}

impl Writer {
    /// Takes the ids in, then the streams, each in an order that all processes keep to: so no two wait for each other.
    /// Returns of each id of the appends whether it was new.
    fn fill(
        &mut self,
        tx: &mut Tx<'_>,
        staged: Vec<Staged>,
        taken: &[Append],
        now: i64,
    ) -> Result<Vec<bool>> {
        let ids: Vec<IdHash> =
            taken.iter().flat_map(|append| append.batch.ids.iter().map(|(_, id)| *id)).collect();
        let new = self.seen.admit(tx, &ids, now)?;
        let mut at = 0;
        let grows = taken.iter().filter(|append| {
            let ids = &new[at..at + append.batch.ids.len()];
            at += ids.len();
            append.batch.count as usize > ids.iter().filter(|new| !**new).count()
        });
        self.tick.open_all(tx, &staged, grows.map(|append| append.stream), now, &self.ends)?;
        for staged in staged {
            self.tick.collect(staged.stream, &staged.frame, 1);
        }
        Ok(new)
    }
}

impl Tick {
    fn open_all(
        &mut self,
        tx: &mut Tx<'_>,
        staged: &[Staged],
        more: impl Iterator<Item = i64>,
        now: i64,
        ends: &Ends,
    ) -> Result<()> {
        let mut streams: Vec<i64> = staged.iter().map(|staged| staged.stream).chain(more).collect();
        streams.sort_unstable();
        streams.dedup();
        streams.into_iter().try_for_each(|stream| self.open(tx, stream, now, ends))
    }
}

impl Committing {
    /// Shows what is durable. Returns the streams whose watchers are to be woken.
    fn show(&self, tick: Tick) -> Vec<i64> {
        let records: u64 = tick.chunks.iter().map(|(_, chunk)| u64::from(chunk.count)).sum();
        let raw: u64 = tick.chunks.iter().map(|(_, chunk)| chunk.frames.len() as u64).sum();
        self.counters.records.fetch_add(records, Relaxed);
        self.counters.raw_bytes.fetch_add(raw, Relaxed);
        self.counters.stored_bytes.fetch_add(tick.stored_bytes, Relaxed);
        if tick.chunks.is_empty() {
            return Vec::new();
        }
        let (left_out, grown) = self.tails.show(tick.chunks);
        (self.news)(left_out);
        grown
    }
}

/// Where closures have transactions of their own: what they staged is written in theirs, last of all, so that the
/// streams' ends are taken for the shortest time.
pub struct Appender(pub Arc<Committing>);

impl Stager for Appender {
    fn write(&self, tx: &mut Tx<'_>, staged: Vec<Staged>) -> Result<Box<dyn FnOnce() + Send>> {
        let mut tick = Tick::default();
        tick.open_all(tx, &staged, std::iter::empty(), self.0.clock.now(), &Ends::Taken)?;
        for staged in staged {
            tick.collect(staged.stream, &staged.frame, 1);
        }
        tick.close(tx)?;
        let at = self.0.clone();
        Ok(Box::new(move || at.tails.ring(&at.show(tick))))
    }
}

impl Drop for Writer {
    /// The store's writer has ended.
    fn drop(&mut self) {
        self.lane.close();
    }
}

/// What a caller hears whose batch was dropped on the way: the store closed in between.
pub fn dropped() -> Error {
    UNAVAILABLE.err("the store closed before this was durable; it may or may not have been kept")
}
