//! A cluster: its topics, what they hold, and who writes to them.

use crate::{Follower, Incoming, Options, Producer, Status, TopicName, control, health, reader, topic};
use angarium_base::{AppId, Result};
use std::{sync::Arc, time::Duration};

/// A handle on a cluster. Cloning it is cheap.
#[derive(Clone)]
pub struct Kafka(pub(crate) Arc<State>);

pub(crate) struct State {
    options: Arc<Options>,
    health: Arc<health::Health>,
    pub(crate) control: control::Control,
    readers: reader::Readers,
}

impl Kafka {
    /// Opens a cluster. Its brokers need not be there: [`Kafka::status`] says when they are.
    ///
    /// # Errors
    /// `kafka_options_refused` when the options cannot work, or librdkafka does not take a property; it names which.
    pub fn open(options: Options) -> Result<Kafka> {
        options.check()?;
        let (options, health) = (Arc::new(options), Arc::new(health::Health::default()));
        let control = control::Control::open(options.clone(), health.clone())?;
        let readers = reader::Readers::new(options.clone(), health.clone());
        let kafka = Kafka(Arc::new(State { options, health, control, readers }));
        kafka.producer().map(drop)?;
        Ok(kafka)
    }

    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// How it stands with the cluster; does not ask it.
    pub fn status(&self) -> Status {
        self.0.health.status()
    }

    /// The topic of the stream `stream` of `app`.
    ///
    /// # Errors
    /// `kafka_invalid_topic` when Kafka would not take that name.
    pub fn topic_for(&self, app: &AppId, stream: &str) -> Result<TopicName> {
        self.0.options.topic.fill(app, stream)
    }

    /// The partition of `app` in a topic of `partitions`.
    pub fn partition_for(&self, app: &AppId, partitions: i32) -> i32 {
        topic::partition_of(app.as_str().as_bytes(), partitions)
    }

    /// How many partitions `topic` has. It is made, as the options say, if it is not there; that others make it at the
    /// same time is fine. The answer is believed for a minute, or until the topic turns out to be gone.
    ///
    /// # Errors
    /// `kafka_unavailable`; `kafka_refused` when we may not, or the brokers are fewer than the replicas.
    pub async fn ensure_topic(&self, topic: &TopicName) -> Result<i32> {
        self.0.control.ensure_topic(topic).await
    }

    /// Deletes `topic` and all that is in it; that it is not there is as good.
    ///
    /// # Errors
    /// `kafka_unavailable`; `kafka_refused` when we may not.
    pub async fn delete_topic(&self, topic: &TopicName) -> Result<()> {
        self.0.control.delete_topic(topic).await
    }

    /// How many partitions `topic` has now; `None` when there is no such topic. Asks Kafka.
    pub async fn partitions(&self, topic: &TopicName) -> Result<Option<i32>> {
        self.0.control.partitions(topic).await
    }

    /// The first offset that the partition holds, and the one after its last. Asks Kafka.
    ///
    /// # Errors
    /// `kafka_unknown_topic`, `kafka_unavailable`.
    pub async fn bounds(&self, topic: &TopicName, partition: i32) -> Result<(u64, u64)> {
        self.0.control.bounds(topic, partition).await
    }

    /// The first offset whose record is of the instant `at_ms` or later, in milliseconds since the Unix epoch; `None`
    /// when there is none.
    ///
    /// # Errors
    /// `kafka_unknown_topic`, `kafka_unavailable`.
    pub async fn offset_at(&self, topic: &TopicName, partition: i32, at_ms: i64) -> Result<Option<u64>> {
        self.0.control.offset_at(topic, partition, at_ms).await
    }

    /// Records from offset `from` on, up to `(records, bytes)` of `max`, but one at least if there is one. Waits up to
    /// `wait` for the first; an empty answer says that the partition ended at `from` when asked. Cancel-safe.
    ///
    /// # Errors
    /// `kafka_offset_out_of_range` names the bounds; `kafka_unknown_topic`; `kafka_overloaded` when all readers are in
    /// use; `kafka_unavailable`.
    pub async fn read(
        &self,
        topic: &TopicName,
        partition: i32,
        from: u64,
        max: (usize, usize),
        wait: Duration,
    ) -> Result<Vec<Incoming>> {
        let span =
            reader::Span { topic: topic.clone(), partition, from, max_records: max.0, max_bytes: max.1 };
        self.0.readers.read(&self.0.control, &span, wait).await
    }

    /// Follows a partition from offset `from` on.
    pub fn follow(&self, topic: &TopicName, partition: i32, from: u64) -> Follower {
        Follower::new(self.clone(), topic.clone(), partition, from)
    }

    /// A producer that tries a record for the request timeout.
    pub fn producer(&self) -> Result<Producer> {
        let within = Some(self.0.options.request_timeout);
        Producer::open(self.0.options.clone(), self.0.health.clone(), within, false)
    }

    /// A producer that tries a record for ever, and ends rather than leave one out.
    pub(crate) fn lasting_producer(&self, gives_way: bool) -> Result<Producer> {
        Producer::open(self.0.options.clone(), self.0.health.clone(), None, gives_way)
    }
}

/// Drops `thing` on a thread of its own: librdkafka's clients wait for their threads when they end.
pub(crate) fn elsewhere<T: Send + 'static>(thing: T) {
    let spawned = std::thread::Builder::new().name("kafka-close".into()).spawn(move || drop(thing));
    if let Err(error) = spawned {
        tracing::warn!(error = %error, "no thread to close a client of Kafka on");
    }
}
