//! Kafka, by librdkafka: topics, reading, writing, and the shipper that moves a node's spool there.
//!
//! One stream of one app lies in one partition of its topic: the one that Java's default partitioner gives the app's id
//! as the key. So order within a stream holds, and a position in it is an offset of Kafka's.
//!
//! | Module | Idea |
//! |---|---|
//! | [`topic`] | names, the template, the partition of a key |
//! | [`Options`] | what Kafka is opened with, what librdkafka is told |
//! | `control` | topics are made on demand; bounds; instants; signs of life |
//! | `reader` | a bounded pool of warm consumers |
//! | [`Producer`] | idempotent batches, acks counted per batch |
//! | [`shipper`] | spool to Kafka: in order, nothing lost, and what may come twice |
//! | `without` | what stands here in a build without the feature `librdkafka`: options are refused |
//!
//! Brokers that are away are no error at the start. Everything that waits is bounded: readers, questions, librdkafka's
//! queues (128 MiB of records to write), flights.

#[cfg(feature = "librdkafka")]
mod cluster;
#[cfg(feature = "librdkafka")]
mod control;
mod follow;
#[cfg(feature = "librdkafka")]
mod health;
mod options;
#[cfg(feature = "librdkafka")]
mod priority;
#[cfg(feature = "librdkafka")]
mod producer;
#[cfg(feature = "librdkafka")]
mod reader;
mod record;
pub mod shipper;
pub mod topic;
#[cfg(not(feature = "librdkafka"))]
mod without;

#[cfg(not(feature = "librdkafka"))]
pub use without::{Kafka, Producer};
#[cfg(feature = "librdkafka")]
pub use {cluster::Kafka, producer::Producer};

pub use follow::Follower;
pub use options::Options;
pub use record::{Incoming, Outgoing, Unproduced};
pub use shipper::Shipper;
pub use topic::{Template, TopicName};

use std::time::Duration;

/// Records of one read at most, whatever is asked for.
pub const READ_RECORDS: usize = 10_000;
/// Bytes of one read at most, beyond the first record.
pub const READ_BYTES: usize = 16 << 20;

/// How it stands with Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether a broker answered the last time one was asked; every few seconds one is.
    pub connected: bool,
    /// Brokers of the cluster, when last told.
    pub brokers: usize,
    /// The last thing that went wrong, in librdkafka's words, and how long ago. It stays after it is over.
    pub last_error: Option<(String, Duration)>,
}

angarium_base::codes! {
    /// Kafka, or the broker that has the partition, does not answer. What was not acknowledged is tried again. Try again later.
    UNAVAILABLE = "kafka_unavailable": Unavailable;
    /// Too much waits for Kafka, or too many read from it. Try again after `Retry-After` seconds.
    OVERLOADED = "kafka_overloaded": Unavailable;
    /// Kafka refuses: credentials, permissions (ACLs), a policy, or a record larger than the topic takes. The operator has to act; the log has the cause.
    REFUSED = "kafka_refused": Unavailable;
    /// Kafka has no such topic or partition.
    UNKNOWN_TOPIC = "kafka_unknown_topic": NotFound;
    /// The partition does not hold this offset: retention has removed it, or it is not written yet. The detail names the bounds.
    OFFSET_OUT_OF_RANGE = "kafka_offset_out_of_range": Invalid;
    /// A topic's name would not be legal in Kafka. Rename the stream or change the template of topics.
    INVALID_TOPIC = "kafka_invalid_topic": Invalid;
    /// The settings for Kafka are not usable. The message names the one at fault.
    OPTIONS_REFUSED = "kafka_options_refused": Invalid;
}
