//! One subscriber's mailbox: bounded in count and bytes; what it missed is said in place.

use crate::hub::Hub;
use bytes::Bytes;
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::Notify;

/// How many messages wait for one subscriber.
pub const MAILBOX_MESSAGES: usize = 1024;
/// How many bytes wait for one subscriber.
pub const MAILBOX_BYTES: usize = 4 << 20;

/// What a subscriber is given, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    Message(Bytes),
    /// So many messages were dropped here because this subscriber was slow: the oldest, so what follows is newer.
    Lagged(u64),
    /// From here on messages of other processes arrive; since the subscription began, or since the
    /// connection was lost, some may have been missed. Whoever relies on being woken looks for itself now.
    ///
    /// It comes once the engine knows a new topic and after each loss of the connection; never on
    /// [`crate::Target::Local`], where nothing can be missed.
    Reconnected,
}

/// A subscription to one topic; dropping it ends it.
pub struct Subscription {
    hub: Arc<Hub>,
    topic: Arc<str>,
    mailbox: Arc<Mailbox>,
}

impl Subscription {
    pub(crate) fn new(hub: Arc<Hub>, topic: Arc<str>, mailbox: Arc<Mailbox>) -> Subscription {
        Subscription { hub, topic, mailbox }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The next delivery; `None` once the feed is closed and everything was taken. Cancel-safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            let noted = self.mailbox.noted.notified();
            match self.mailbox.take() {
                Taken::Delivery(delivery) => return Some(delivery),
                Taken::Closed => return None,
                Taken::Nothing => noted.await,
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.unsubscribe(&self.topic, &self.mailbox);
    }
}

#[derive(Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    noted: Notify,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Bytes>,
    bytes: usize,
    lagged: u64,
    reconnected: bool,
    closed: bool,
}

enum Taken {
    Delivery(Delivery),
    Nothing,
    Closed,
}

impl Mailbox {
    /// Returns how many older messages had to go.
    pub fn put(&self, message: Bytes) -> u64 {
        let mut state = self.state.lock();
        state.bytes += message.len();
        state.messages.push_back(message);
        let mut gone = 0;
        while state.messages.len() > MAILBOX_MESSAGES || state.bytes > MAILBOX_BYTES {
            let Some(oldest) = state.messages.pop_front() else { break };
            state.bytes -= oldest.len();
            gone += 1;
        }
        state.lagged += gone;
        drop(state);
        self.noted.notify_one();
        gone
    }

    pub fn reconnected(&self) {
        self.state.lock().reconnected = true;
        self.noted.notify_one();
    }

    pub fn close(&self) {
        self.state.lock().closed = true;
        self.noted.notify_one();
    }

    fn take(&self) -> Taken {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.reconnected) {
            return Taken::Delivery(Delivery::Reconnected);
        }
        match std::mem::take(&mut state.lagged) {
            0 => {}
            missed => return Taken::Delivery(Delivery::Lagged(missed)),
        }
        match state.messages.pop_front() {
            Some(message) => {
                state.bytes -= message.len();
                Taken::Delivery(Delivery::Message(message))
            }
            None if state.closed => Taken::Closed,
            None => Taken::Nothing,
        }
    }
}
