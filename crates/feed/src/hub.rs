//! The local side: topics and their subscribers, the counters, and what the engine's task is to do next.
//!
//! It is also the local engine: with no task beside it, what is published reaches the subscribers of this
//! process and nobody else.

use crate::{
    MESSAGE_MAX_BYTES, Status,
    frame::{Frame, Kind, TOPIC_MAX_BYTES},
    outbox::{Outbox, Outgoing},
    subscription::Mailbox,
};
use angarium_base::{Clock, clock::Millis};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};

/// So many changed topics are remembered one by one; when there are more, all are looked at.
const CHANGED_MAX: usize = 4096;

pub(crate) struct Hub {
    engine: &'static str,
    is_remote: bool,
    process: u64,
    clock: Clock,
    topics: RwLock<Topics>,
    outbox: Outbox,
    /// Rings when there is something to send or to follow.
    work: Notify,
    /// The number of the last beat of ours that came back.
    heard: watch::Sender<u64>,
    line: Mutex<LineState>,
    numbers: AtomicU64,
    published: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
    lagged: AtomicU64,
}

#[derive(Default)]
struct Topics {
    subscribers: HashMap<Arc<str>, Vec<Arc<Mailbox>>>,
    changed: HashSet<Arc<str>>,
    all_changed: bool,
    closed: bool,
}

struct LineState {
    connected: bool,
    since: Millis,
}

/// What the engine is to begin and to stop following.
#[derive(Default)]
pub(crate) struct Changes {
    pub follow: Vec<Arc<str>>,
    pub leave: Vec<Arc<str>>,
}

impl Hub {
    pub fn new(engine: &'static str, is_remote: bool, clock: Clock) -> Hub {
        Hub {
            engine,
            is_remote,
            process: fastrand::u64(..),
            topics: RwLock::default(),
            outbox: Outbox::default(),
            work: Notify::new(),
            heard: watch::Sender::new(0),
            line: Mutex::new(LineState { connected: !is_remote, since: clock.now() }),
            clock,
            numbers: AtomicU64::new(1),
            published: AtomicU64::new(0),
            received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            lagged: AtomicU64::new(0),
        }
    }

    pub fn publish(&self, topic: &str, message: Bytes) {
        self.published.fetch_add(1, Relaxed);
        if message.len() > MESSAGE_MAX_BYTES || !self.deliver(topic, || message.clone()) {
            self.dropped(1);
            return;
        }
        if !self.is_remote {
            return;
        }
        let fitted = topic.len() <= TOPIC_MAX_BYTES
            && self.outbox.put(topic.len() + message.len(), || self.outgoing(Kind::Message, topic, &message));
        if fitted {
            self.work.notify_one();
        } else {
            self.dropped(1);
        }
    }

    pub fn subscribe(&self, topic: &str) -> (Arc<str>, Arc<Mailbox>) {
        let mailbox = Arc::new(Mailbox::default());
        let mut topics = self.topics.write();
        if topics.closed {
            mailbox.close();
            return (topic.into(), mailbox);
        }
        if let Some((topic, _)) = topics.subscribers.get_key_value(topic) {
            let topic = Arc::clone(topic);
            topics.subscribers.entry(Arc::clone(&topic)).or_default().push(Arc::clone(&mailbox));
            return (topic, mailbox);
        }
        let topic: Arc<str> = topic.into();
        topics.subscribers.insert(Arc::clone(&topic), vec![Arc::clone(&mailbox)]);
        self.changed(&mut topics, &topic);
        (topic, mailbox)
    }

    pub fn unsubscribe(&self, topic: &Arc<str>, mailbox: &Arc<Mailbox>) {
        let mut topics = self.topics.write();
        let Some(subscribers) = topics.subscribers.get_mut(topic) else { return };
        subscribers.retain(|other| !Arc::ptr_eq(other, mailbox));
        if subscribers.is_empty() {
            topics.subscribers.remove(topic);
            self.changed(&mut topics, topic);
        }
    }

    pub fn status(&self) -> Status {
        let topics = self.topics.read();
        let line = self.line.lock();
        Status {
            engine: self.engine,
            connected: line.connected,
            since: line.since,
            topics: topics.subscribers.len(),
            published: self.published.load(Relaxed),
            received: self.received.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            lagged: self.lagged.load(Relaxed),
        }
    }

    /// No more deliveries; subscribers are told once they took what is left.
    pub fn close(&self) {
        let mut topics = self.topics.write();
        topics.closed = true;
        for mailbox in topics.subscribers.values().flatten() {
            mailbox.close();
        }
        topics.subscribers.clear();
    }

    /// Gives what waits to the engine, if it is there, and at most this long.
    pub async fn empty_outbox(&self, patience: Duration) {
        if self.line.lock().connected && self.is_remote {
            let _ = timeout(patience, self.outbox.empty()).await;
        }
    }

    /// Returns whether the feed is open; having no subscriber is no fault.
    fn deliver(&self, topic: &str, message: impl Fn() -> Bytes) -> bool {
        let topics = self.topics.read();
        for mailbox in topics.subscribers.get(topic).into_iter().flatten() {
            let gone = mailbox.put(message());
            self.lagged.fetch_add(gone, Relaxed);
        }
        !topics.closed
    }

    fn outgoing(&self, kind: Kind, topic: &str, message: &[u8]) -> Outgoing {
        let number = self.numbers.fetch_add(1, Relaxed);
        let frame = Frame { kind, process: self.process, number, topic, message }.encode();
        Outgoing { topic: topic.into(), number, frame, at: Instant::now() }
    }

    fn changed(&self, topics: &mut Topics, topic: &Arc<str>) {
        if !self.is_remote || topic.len() > TOPIC_MAX_BYTES {
            return;
        }
        if topics.changed.len() >= CHANGED_MAX {
            topics.changed.clear();
            topics.all_changed = true;
        }
        if !topics.all_changed {
            topics.changed.insert(Arc::clone(topic));
        }
        self.work.notify_one();
    }
}

/// What an engine's task calls.
impl Hub {
    pub fn engine(&self) -> &'static str {
        self.engine
    }

    /// Takes what came over the line: others' messages, and the echo of ours, which is left out.
    pub fn receive(&self, frame: &[u8]) {
        let Some(frame) = Frame::decode(frame) else {
            tracing::debug!(engine = self.engine, "something that is no message of a feed was left out");
            return;
        };
        match frame.kind {
            Kind::Beat if frame.process == self.process => {
                self.heard.send_replace(frame.number);
            }
            Kind::Message if frame.process != self.process => {
                self.received.fetch_add(1, Relaxed);
                let message = std::cell::OnceCell::new();
                let copied = || message.get_or_init(|| Bytes::copy_from_slice(frame.message)).clone();
                self.deliver(frame.topic, copied);
            }
            _ => {}
        }
    }

    /// The topic on which this process hears only itself.
    pub fn beat_topic(&self) -> Arc<str> {
        format!("$beat-{:016x}", self.process).into()
    }

    pub fn beat(&self) -> Outgoing {
        self.outgoing(Kind::Beat, &self.beat_topic(), b"")
    }

    /// Waits until the beat of this number came back.
    pub async fn heard(&self, number: u64) {
        // The sender is ours and outlives this.
        let _ = self.heard.subscribe().wait_for(|heard| *heard >= number).await;
    }

    pub async fn work(&self) {
        self.work.notified().await;
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub fn dropped(&self, messages: u64) {
        self.dropped.fetch_add(messages, Relaxed);
    }

    /// A new connection follows nothing yet.
    pub fn follow_anew(&self) {
        self.topics.write().all_changed = true;
    }

    pub fn changes(&self, followed: &HashSet<Arc<str>>) -> Changes {
        let mut topics = self.topics.write();
        let changed = std::mem::take(&mut topics.changed);
        let mut changes = Changes::default();
        if std::mem::take(&mut topics.all_changed) {
            let wanted = topics.subscribers.keys().filter(|topic| topic.len() <= TOPIC_MAX_BYTES);
            changes.follow = wanted.filter(|topic| !followed.contains(*topic)).cloned().collect();
            let unwanted = followed.iter().filter(|topic| !topics.subscribers.contains_key(*topic));
            changes.leave = unwanted.cloned().collect();
            return changes;
        }
        for topic in changed {
            match (topics.subscribers.contains_key(&topic), followed.contains(&topic)) {
                (true, false) => changes.follow.push(topic),
                (false, true) => changes.leave.push(topic),
                _ => {}
            }
        }
        changes
    }

    /// The line is open for these topics from now on.
    pub fn opened(&self, opened: &[Arc<str>]) {
        let topics = self.topics.read();
        for topic in opened {
            for mailbox in topics.subscribers.get(topic).into_iter().flatten() {
                mailbox.reconnected();
            }
        }
    }

    /// Returns whether this is a change.
    pub fn set_connected(&self, connected: bool) -> bool {
        let mut line = self.line.lock();
        if line.connected == connected {
            return false;
        }
        *line = LineState { connected, since: self.clock.now() };
        true
    }
}
