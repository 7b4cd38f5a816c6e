//! The shipper: moves a node's spool to Kafka, every stream in order.
//!
//! ```text
//!  Source::pending ─▶ a line per stream, some at a time
//!  line:  place ─▶ look back ─▶ ┌ read ─▶ send ─▶ … many in flight … ─▶ acks ─▶ Source::shipped ┐ ─▶ clean
//!                      ▲         └───────────────────────────────────────────────────────────────┘
//!                      └── later, by the supervisor ◀── whatever failed
//! ```
//!
//! # What it promises
//!
//! * **Nothing is lost.** The cursor passes a record only after all replicas in sync have it. Without Kafka the spool
//!   grows, and the shipper waits. It ends only when it is told to.
//! * **In order.** A stream's records lie in one partition in the order of their positions. A batch that fails ends
//!   the producer (`enable.gapless.guarantee`), so no later one of it overtakes; the next starts with what is missing.
//! * **Once, as far as this reaches.** While the process lives, librdkafka's idempotent producer tries again without
//!   a copy: a broker that is killed, frozen or gone for hours adds none. When the process dies between an ack and the
//!   cursor, or a producer ends with an unknown outcome, the line *looks back*: it reads the partition from its
//!   [`Mark`] on (an offset that is saved with the cursor, and before the first record is sent), and goes on after the
//!   highest position of its own spool and stream that it finds there without a gap.
//!
//! # What may come twice, and when
//!
//! At most the records of one window ([`Settings::window_records`] of one stream), and only if
//! * the process died, and between its last saved cursor and its last record others wrote more than
//!   [`Settings::look_back_records`] (or [`LOOK_BACK_BYTES`]) into the same partition; or
//! * the process died, and a broker appended what it had still in its socket only after the restarted shipper had
//!   looked: later than [`Settings::settle`] after the broker answered its first question (a broker that hung); or
//! * the broker lost what it had acknowledged and has it again later (an unclean leader election and back); or
//! * a broker restarts while the topic keeps the producer's time stamps and those are more than a day old (a topic that
//!   the operator made with `CreateTime`; see [`crate::Options::topic_config`]): it has forgotten the producer then.
//!
//! Consumers that must not see a record twice drop an `id` they have seen: it is the same both times.
//!
//! # What is not promised
//!
//! What Kafka loses is Kafka's loss: when a topic is deleted, it is made anew and shipping goes on at the cursor; what
//! it held is gone, and what was in flight just then is in the new one or the old one. When a topic gets more
//! partitions, a stream may go on in another one: each keeps its order, but there are two. A copy of a spool
//! (a restored backup) has to get a new [`Source::spool`], or records would be taken for those already there.

#[cfg(feature = "librdkafka")]
mod line;
#[cfg(feature = "librdkafka")]
mod look_back;
mod source;
#[cfg(feature = "librdkafka")]
mod yard;

#[cfg(not(feature = "librdkafka"))]
pub use crate::without::Shipper;
#[cfg(feature = "librdkafka")]
pub use yard::Shipper;

pub use source::{Mark, Pending, Record, Source, StreamName};

use std::time::Duration;

/// Bytes that one look back reads at most.
pub const LOOK_BACK_BYTES: usize = 256 << 20;

/// How the shipper works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Streams that are shipped at a time.
    pub streams: usize,
    /// Records of one stream between its saved cursor and what was last sent, at most.
    pub window_records: u64,
    /// Records and bytes that are read from the source at a time.
    pub batch_records: usize,
    pub batch_bytes: usize,
    /// Records of a partition that are looked at, after a crash or an unknown outcome, for what is already there.
    pub look_back_records: u64,
    /// How long a look back waits for what a broker may still have in its sockets.
    pub settle: Duration,
    /// After how long a line makes room when others wait.
    pub turn: Duration,
    /// How long acks are waited for when the shipper is stopped.
    pub drain: Duration,
    /// How often the source is asked what is pending, if it does not call.
    pub look_every: Duration,
    /// Whether shipping gives way to all else on a busy machine: its threads are nice (Linux), and in a rush it gathers
    /// records for ten milliseconds. The spool grows meanwhile, and is shipped after the rush; a little is always shipped.
    pub gives_way: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            streams: 128,
            window_records: 65_536,
            batch_records: 4_096,
            batch_bytes: 1 << 20,
            look_back_records: 262_144,
            settle: Duration::from_millis(300),
            turn: Duration::from_secs(1),
            drain: Duration::from_secs(5),
            look_every: Duration::from_secs(1),
            gives_way: false,
        }
    }
}

/// Counters since the start, and how it stands now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that Kafka acknowledged to this shipper.
    pub shipped: u64,
    /// How often a stream failed and was tried again.
    pub retried: u64,
    /// Records that were found in Kafka by looking back, and so not sent again.
    pub skipped: u64,
    /// Records of the source that are not shipped, when last asked.
    pub lag: u64,
    /// Streams that are being shipped now.
    pub active: u64,
    /// The last failure, as the caller may read it; it stays after it is over.
    pub last_error: Option<String>,
}
