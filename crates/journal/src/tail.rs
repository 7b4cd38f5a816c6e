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
    chunks: VecDeque<Arc<Chunk>>,
    next: watch::Sender<u64>,
}

impl Tails {
    /// A receiver that shows the next offset of the stream, and changes after each commit to it.
    pub fn watch(&self, stream: i64, next_offset: u64) -> watch::Receiver<u64> {
        self.0.lock().tail(stream, next_offset).next.subscribe()
    }

    /// Makes committed chunks visible and wakes who waits. Returns whether some were left out, because others lie
    /// between them and what is visible.
    pub fn publish(&self, chunks: Vec<(i64, Arc<Chunk>)>) -> bool {
        let mut state = self.0.lock();
        let mut left_out = false;
        for (stream, chunk) in chunks {
            let (bytes, next) = (chunk.frames.len(), chunk.next_offset());
            let tail = state.tail(stream, 0);
            let end = *tail.next.borrow();
            if chunk.first_offset != end {
                left_out |= chunk.first_offset > end;
                continue;
            }
            tail.chunks.push_back(chunk);
            tail.next.send_replace(next);
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
        left_out
    }

    /// Starts anew at `next`, also if that lies before what is visible: the stream itself began anew.
    pub fn restart_at(&self, stream: i64, next: u64) {
        self.forget(stream, u64::MAX);
        self.0.lock().tail(stream, 0).next.send_if_modified(|end| std::mem::replace(end, next) != next);
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
        let mut gone = tail.chunks.partition_point(|chunk| chunk.next_offset() <= first_offset);
        let bytes: usize = tail.chunks.drain(..gone).map(|chunk| chunk.frames.len()).sum();
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
        if tail.chunks.front()?.first_offset > from {
            return None;
        }
        let start = tail.chunks.partition_point(|chunk| chunk.next_offset() <= from);
        let mut bytes = 0;
        let fits = |chunk: &&Arc<Chunk>| {
            let first = bytes == 0;
            bytes += chunk.frames.len();
            first || bytes <= max_bytes
        };
        Some(tail.chunks.range(start..).take_while(fits).cloned().collect())
    }
}

impl State {
    fn tail(&mut self, stream: i64, next_offset: u64) -> &mut Tail {
        self.streams
            .entry(stream)
            .or_insert_with(|| Tail { chunks: VecDeque::new(), next: watch::Sender::new(next_offset) })
    }
}
