//! What waits to go to the engine: bounded in count and bytes, and old messages are not worth sending.

use bytes::Bytes;
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

/// How many messages wait for the engine.
pub const OUTBOX_MESSAGES: usize = 8192;
/// How many bytes wait for the engine, envelopes included.
pub const OUTBOX_BYTES: usize = 8 << 20;
/// What has waited longer (the engine was away) is dropped: subscribers are told to look for themselves.
pub const OUTBOX_AGE: Duration = Duration::from_secs(10);

const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 256 << 10;

/// A frame on its way to the engine.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub topic: Arc<str>,
    pub number: u64,
    pub frame: Bytes,
    pub at: Instant,
}

#[derive(Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    emptied: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Outgoing>,
    bytes: usize,
    in_flight: bool,
}

impl Outbox {
    /// Whether it fitted. What `make` returns is not made when it would not.
    pub fn put(&self, size_bytes: usize, make: impl FnOnce() -> Outgoing) -> bool {
        let mut state = self.state.lock();
        if state.waiting.len() >= OUTBOX_MESSAGES || state.bytes + size_bytes > OUTBOX_BYTES {
            return false;
        }
        let outgoing = make();
        state.bytes += outgoing.frame.len();
        state.waiting.push_back(outgoing);
        true
    }

    /// The next batch, and how many were too old for it. Until [`Outbox::settled`] they count as on their way.
    pub fn take(&self) -> (Vec<Outgoing>, u64) {
        let mut state = self.state.lock();
        let (mut batch, mut bytes, mut stale) = (Vec::new(), 0, 0);
        while batch.len() < BATCH_MESSAGES && bytes < BATCH_BYTES {
            let Some(next) = state.waiting.pop_front() else { break };
            state.bytes -= next.frame.len();
            if next.at.elapsed() > OUTBOX_AGE {
                stale += 1;
                continue;
            }
            bytes += next.frame.len();
            batch.push(next);
        }
        state.in_flight = !batch.is_empty();
        (batch, stale)
    }

    pub fn settled(&self) {
        let mut state = self.state.lock();
        state.in_flight = false;
        if state.waiting.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// Waits until nothing waits and nothing is on its way.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            let mut emptied = std::pin::pin!(emptied);
            emptied.as_mut().enable();
            {
                let state = self.state.lock();
                if state.waiting.is_empty() && !state.in_flight {
                    return;
                }
            }
            emptied.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(bytes: usize) -> Outgoing {
        Outgoing { topic: "t".into(), number: 0, frame: vec![0; bytes].into(), at: Instant::now() }
    }

    #[test]
    fn it_is_bounded_in_count_and_in_bytes() {
        let outbox = Outbox::default();
        let fitted = (0..OUTBOX_MESSAGES + 5).filter(|_| outbox.put(1, || outgoing(1))).count();
        assert_eq!(fitted, OUTBOX_MESSAGES);
        let outbox = Outbox::default();
        let fitted = (0..20).filter(|_| outbox.put(1 << 20, || outgoing(1 << 20))).count();
        assert_eq!(fitted, OUTBOX_BYTES >> 20);
        assert_eq!(outbox.take().0.len(), 1, "a batch is bounded too");
    }

    #[test]
    fn what_waited_long_is_not_sent() {
        let outbox = Outbox::default();
        outbox.put(1, || Outgoing { at: Instant::now() - OUTBOX_AGE * 2, ..outgoing(1) });
        outbox.put(1, || outgoing(1));
        let (batch, stale) = outbox.take();
        assert_eq!((batch.len(), stale), (1, 1));
    }
}
