//! The newest batches, in memory, and the wake-up of those who wait for more.
//!
//! A reader at the end of a stream is served from here, so that a thousand live readers cost no reads
//! of the store. Bounded in bytes over all streams; whoever is further behind reads the store.
//!
//! Where other processes append to the same store, theirs come in by [`Tails::publish`] too, read from the store
//! by [`crate::follow`]; what would leave a gap is left for it.

use crate::frame::Chunk;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::watch;

/// Bytes of frames that are kept, over all streams.
const KEPT_BYTES: usize = 8 << 20;
/// How far back it is known how many bytes lie before the end, and how exactly, where chunks are not kept any more.
const MARKED_BYTES: u64 = 64 << 20;
const MARK_EVERY: u64 = 64 << 10;

#[derive(Default)]
pub struct Tails(Mutex<State>);

#[derive(Default)]
struct State {
    streams: HashMap<i64, Tail>,
    /// Which stream each kept chunk belongs to, oldest first.
    order: VecDeque<(i64, usize)>,
    bytes: usize,
}

struct Tail {
    chunks: VecDeque<Kept>,
    /// Bytes of frames that came by, since the tail was made.
    bytes: u64,
    /// Offsets, and how many bytes had come by before them.
    marks: VecDeque<(u64, u64)>,
    next: watch::Sender<u64>,
}

struct Kept {
    chunk: Arc<Chunk>,
    /// How many bytes had come by before it.
    before: u64,
}

impl Tails {
    /// A receiver that shows the next offset of the stream, and changes after each commit to it.
    pub fn watch(&self, stream: i64, next_offset: u64) -> watch::Receiver<u64> {
        self.0.lock().tail(stream, next_offset).next.subscribe()
    }

    /// Makes committed chunks visible and wakes who waits.
    pub fn publish(&self, chunks: Vec<(i64, Arc<Chunk>)>) {
        let (_, grown) = self.show(chunks);
        self.ring(&grown);
    }

    /// Makes committed chunks visible. Returns whether some were left out, because others lie between them and what is
    /// visible, and the streams that [`Tails::ring`] is to be called with.
    pub fn show(&self, chunks: Vec<(i64, Arc<Chunk>)>) -> (bool, Vec<i64>) {
        let mut state = self.0.lock();
        let (mut left_out, mut grown) = (false, Vec::new());
        for (stream, chunk) in chunks {
            let (bytes, next) = (chunk.frames.len(), chunk.next_offset());
            let tail = state.tail(stream, 0);
            let end = *tail.next.borrow();
            if chunk.first_offset != end {
                left_out |= chunk.first_offset > end;
                continue;
            }
            tail.push(chunk);
            tail.next.send_if_modified(|end| {
                *end = next;
                false
            });
            if !grown.contains(&stream) {
                grown.push(stream);
            }
            state.order.push_back((stream, bytes));
            state.bytes += bytes;
        }
        while state.bytes > KEPT_BYTES && state.order.len() > 1 {
            let Some((stream, bytes)) = state.order.pop_front() else { break };
            state.bytes -= bytes;
            if let Some(tail) = state.streams.get_mut(&stream) {
                tail.chunks.pop_front();
            }
        }
        (left_out, grown)
    }

    /// Wakes who waits for these streams.
    pub fn ring(&self, grown: &[i64]) {
        let state = self.0.lock();
        for tail in grown.iter().filter_map(|stream| state.streams.get(stream)) {
            tail.next.send_modify(|_| {});
        }
    }

    /// Starts anew at `next`, also if that lies before what is visible: the stream itself began anew.
    pub fn restart_at(&self, stream: i64, next: u64) {
        self.forget(stream, u64::MAX);
        let mut state = self.0.lock();
        let tail = state.tail(stream, 0);
        tail.marks.clear();
        tail.next.send_if_modified(|end| std::mem::replace(end, next) != next);
    }

    /// The visible end of the stream.
    pub fn end(&self, stream: i64) -> u64 {
        *self.0.lock().tail(stream, 0).next.borrow()
    }

    /// How many receivers the stream has.
    pub fn watchers(&self, stream: i64) -> usize {
        self.0.lock().streams.get(&stream).map_or(0, |tail| tail.next.receiver_count())
    }

    /// Where the streams end that were asked for here, as far as is visible, and whether somebody watches them.
    pub fn ends(&self) -> Vec<(i64, u64, bool)> {
        let state = self.0.lock();
        let of = |(id, tail): (&i64, &Tail)| (*id, *tail.next.borrow(), tail.next.receiver_count() > 0);
        state.streams.iter().map(of).collect()
    }

    /// Moves the visible end to `next` without what lies before it: readers find that in the store.
    pub fn skip_to(&self, stream: i64, next: u64) {
        self.forget(stream, next);
        let mut state = self.0.lock();
        let tail = state.tail(stream, 0);
        tail.next.send_if_modified(|end| {
            let further = next > *end;
            *end = next.max(*end);
            further
        });
    }

    /// Lets go of what lies before `first_offset`: it is not in the store any more.
    pub fn forget(&self, stream: i64, first_offset: u64) {
        let mut state = self.0.lock();
        let Some(tail) = state.streams.get_mut(&stream) else { return };
        let mut gone = tail.chunks.partition_point(|kept| kept.chunk.next_offset() <= first_offset);
        let bytes: usize = tail.chunks.drain(..gone).map(|kept| kept.chunk.frames.len()).sum();
        state.bytes -= bytes;
        state.order.retain(|(other, _)| {
            let kept = *other != stream || gone == 0;
            gone -= usize::from(!kept);
            kept
        });
    }

    /// The chunks from the one that holds `from` on, up to `max_bytes`, if all of them are still kept.
    pub fn read(&self, stream: i64, from: u64, max_bytes: usize) -> Option<Vec<Arc<Chunk>>> {
        let state = self.0.lock();
        let tail = state.streams.get(&stream)?;
        if tail.chunks.front()?.chunk.first_offset > from {
            return None;
        }
        let start = tail.at(from);
        let mut bytes = 0;
        let fits = |kept: &&Kept| {
            let first = bytes == 0;
            bytes += kept.chunk.frames.len();
            first || bytes <= max_bytes
        };
        Some(tail.chunks.range(start..).take_while(fits).map(|kept| kept.chunk.clone()).collect())
    }

    /// How many bytes of frames lie between `from` and the newest chunk, to within some kilobytes; at least so many, if
    /// that is further back than is known. The newest one does not count: nobody can have taken it before it came,
    /// however large it is.
    pub fn bytes_after(&self, stream: i64, from: u64) -> u64 {
        let state = self.0.lock();
        let Some(tail) = state.streams.get(&stream) else { return 0 };
        let Some(newest) = tail.chunks.back() else { return 0 };
        newest.before.saturating_sub(tail.bytes_before(from))
    }

    /// The first offset from which on at most `bytes` are kept; that of the newest chunk, if it is larger.
    pub fn last_bytes_from(&self, stream: i64, bytes: u64) -> Option<u64> {
        let state = self.0.lock();
        let tail = state.streams.get(&stream)?;
        let start = tail.chunks.partition_point(|kept| tail.bytes - kept.before > bytes);
        let first = tail.chunks.get(start).or(tail.chunks.back())?;
        Some(first.chunk.first_offset)
    }
}

impl State {
    fn tail(&mut self, stream: i64, next_offset: u64) -> &mut Tail {
        self.streams.entry(stream).or_insert_with(|| Tail {
            chunks: VecDeque::new(),
            bytes: 0,
            marks: VecDeque::new(),
            next: watch::Sender::new(next_offset),
        })
    }
}

impl Tail {
    fn push(&mut self, chunk: Arc<Chunk>) {
        let before = self.bytes;
        self.bytes += chunk.frames.len() as u64;
        if self.marks.back().is_none_or(|(_, marked)| before - marked >= MARK_EVERY) {
            self.marks.push_back((chunk.first_offset, before));
            while self.marks.front().is_some_and(|(_, marked)| before - marked > MARKED_BYTES) {
                self.marks.pop_front();
            }
        }
        self.chunks.push_back(Kept { chunk, before });
    }

    /// The index of the kept chunk that holds `offset`.
    fn at(&self, offset: u64) -> usize {
        self.chunks.partition_point(|kept| kept.chunk.next_offset() <= offset)
    }

    fn bytes_before(&self, offset: u64) -> u64 {
        if self.chunks.front().is_some_and(|kept| kept.chunk.first_offset <= offset) {
            let Some(Kept { chunk, before }) = self.chunks.get(self.at(offset)) else { return self.bytes };
            let within = chunk.frames.len() as u64 * offset.saturating_sub(chunk.first_offset);
            return before + within / u64::from(chunk.count.max(1));
        }
        let marked = self.marks.partition_point(|(first, _)| *first <= offset);
        let mark = self.marks.get(marked.saturating_sub(1));
        mark.map_or(self.bytes, |(_, before)| *before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: i64 = 1;
    /// Bytes of a chunk of ten records.
    const CHUNK: u64 = 40_000;

    fn publish(tails: &Tails, chunks: std::ops::Range<u64>) {
        for n in chunks {
            let mut frames = Vec::new();
            for _ in 0..10 {
                crate::frame::push(&mut frames, "kind", &[b'x'; CHUNK as usize / 10 - 10]);
            }
            assert_eq!(frames.len() as u64, CHUNK);
            tails.publish(vec![(STREAM, Arc::new(Chunk::new(n * 10, 10, 0, frames.into())))]);
        }
    }

    #[test]
    fn it_is_known_how_many_bytes_a_reader_is_behind() {
        let tails = Tails::default();
        assert_eq!(tails.bytes_after(STREAM, 0), 0);
        publish(&tails, 0..1);
        assert_eq!(tails.bytes_after(STREAM, 0), 0, "the newest chunk does not count");
        publish(&tails, 1..4);
        assert_eq!(tails.bytes_after(STREAM, 0), 3 * CHUNK);
        assert_eq!(tails.bytes_after(STREAM, 15), 3 * CHUNK / 2);
        assert_eq!(tails.bytes_after(STREAM, 30), 0);
        assert_eq!(tails.bytes_after(STREAM, 40), 0);
        assert_eq!(tails.last_bytes_from(STREAM, 2 * CHUNK), Some(20));
        assert_eq!(tails.last_bytes_from(STREAM, 2 * CHUNK - 1), Some(30));
        assert_eq!(tails.last_bytes_from(STREAM, 0), Some(30), "the newest one always is within reach");
    }

    #[test]
    fn it_is_known_further_back_than_chunks_are_kept_and_what_is_known_is_bounded() {
        let tails = Tails::default();
        publish(&tails, 0..2_000);
        let before_newest = 1_999 * CHUNK;
        for offset in [10_000, 15_000, 19_000] {
            let (exact, told) = (before_newest - offset / 10 * CHUNK, tails.bytes_after(STREAM, offset));
            assert!((exact..=exact + MARK_EVERY + CHUNK).contains(&told), "{told} instead of {exact}");
        }
        let most = MARKED_BYTES..=MARKED_BYTES + MARK_EVERY + CHUNK;
        assert!(most.contains(&(tails.bytes_after(STREAM, 0) + CHUNK)), "further back, at least so many");
        let marks = tails.0.lock().streams[&STREAM].marks.len() as u64;
        assert!(marks <= MARKED_BYTES / MARK_EVERY + 1, "{marks}");
    }
}
