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

mod line;
mod look_back;
mod source;

pub use source::{Mark, Pending, Record, Source, StreamName};

use crate::{Kafka, Producer};
use angarium_base::{Error, Result};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Bytes that one look back reads at most.
pub const LOOK_BACK_BYTES: usize = 256 << 20;
/// Streams whose state is remembered between their lines; beyond that, they look back once more.
const REMEMBERED: usize = 65_536;
/// Between two questions what is pending, at least.
const BREATH: Duration = Duration::from_millis(2);
const REST_MIN: Duration = Duration::from_millis(100);
const REST_MAX: Duration = Duration::from_secs(15);

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
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            streams: 128,
            window_records: 32_768,
            batch_records: 4_096,
            batch_bytes: 1 << 20,
            look_back_records: 262_144,
            settle: Duration::from_millis(300),
            turn: Duration::from_secs(1),
            drain: Duration::from_secs(5),
            look_every: Duration::from_secs(1),
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

/// Moves what a [`Source`] holds to Kafka. Cloning it is cheap; only one may run per spool.
pub struct Shipper<S>(Arc<Shared<S>>);

impl<S> Clone for Shipper<S> {
    fn clone(&self) -> Self {
        Shipper(self.0.clone())
    }
}

struct Shared<S> {
    kafka: Kafka,
    producer: Producer,
    source: S,
    settings: Settings,
    counters: Counters,
    stop: CancellationToken,
    /// More streams wait than there are places.
    crowded: AtomicBool,
}

#[derive(Default)]
struct Counters {
    shipped: AtomicU64,
    retried: AtomicU64,
    skipped: AtomicU64,
    lag: AtomicU64,
    active: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl<S: Source> Shipper<S> {
    /// A shipper from `source` to `kafka`; [`Shipper::run`] starts it.
    ///
    /// # Errors
    /// `kafka_options_refused` when librdkafka does not take the properties of a producer.
    pub fn new(kafka: Kafka, source: S, settings: Settings) -> Result<Shipper<S>> {
        let producer = kafka.lasting_producer()?;
        let stop = CancellationToken::new();
        let crowded = AtomicBool::new(false);
        let counters = Counters::default();
        Ok(Shipper(Arc::new(Shared { kafka, producer, source, settings, counters, stop, crowded })))
    }

    pub fn source(&self) -> &S {
        &self.0.source
    }

    pub fn stats(&self) -> Stats {
        let counters = &self.0.counters;
        Stats {
            shipped: counters.shipped.load(Relaxed),
            retried: counters.retried.load(Relaxed),
            skipped: counters.skipped.load(Relaxed),
            lag: counters.lag.load(Relaxed),
            active: counters.active.load(Relaxed),
            last_error: counters.last_error.lock().clone(),
        }
    }

    /// Ships until `stop`, then waits for acks up to [`Settings::drain`]. No failure ends it. Dropping the future stops
    /// it at once, as a crash would.
    pub async fn run(&self, stop: CancellationToken) {
        let mut yard = Yard::new(self.0.clone());
        while !stop.is_cancelled() {
            yard.start_lines().await;
            let breath = tokio::time::sleep(BREATH);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = yard.lines.join_next_with_id() => yard.end_line(ended),
                () = wake(&self.0, &yard.resting) => {}
            }
            breath.await;
        }
        self.0.stop.cancel();
        while let Some(ended) = yard.lines.join_next_with_id().await {
            yard.end_line(ended);
        }
    }
}

/// Which streams are under way, resting or clean.
struct Yard<S> {
    shared: Arc<Shared<S>>,
    lines: JoinSet<Result<()>>,
    under_way: HashMap<Id, StreamName>,
    busy: HashSet<StreamName>,
    /// Streams whose records are all accounted for, and which turn they had last.
    clean: HashMap<StreamName, u64>,
    /// Streams that failed: until when they rest, and for how long they did.
    resting: HashMap<StreamName, (Instant, Duration)>,
    turns: u64,
}

impl<S: Source> Yard<S> {
    fn new(shared: Arc<Shared<S>>) -> Yard<S> {
        Yard {
            shared,
            lines: JoinSet::new(),
            under_way: HashMap::new(),
            busy: HashSet::new(),
            clean: HashMap::new(),
            resting: HashMap::new(),
            turns: 0,
        }
    }

    /// Asks what is pending, and starts lines while there are places: whose turn was longest ago first.
    async fn start_lines(&mut self) {
        let streams = self.shared.settings.streams;
        let mut pending = match self.shared.source.pending(streams * 4).await {
            Ok(pending) => pending,
            Err(error) => return self.shared.failed(&error, None),
        };
        let lag = pending.iter().map(|one| one.end.saturating_sub(one.position)).sum();
        self.shared.counters.lag.store(lag, Relaxed);
        let now = Instant::now();
        pending.retain(|one| {
            let rests = self.resting.get(&one.stream).is_some_and(|(until, _)| *until > now);
            one.end > one.position && !rests && !self.busy.contains(&one.stream)
        });
        pending.sort_by_key(|one| self.clean.get(&one.stream).copied().unwrap_or(0));
        let room = streams.saturating_sub(self.lines.len());
        self.shared.crowded.store(pending.len() > room, Relaxed);
        for one in pending.into_iter().take(room) {
            let clean = self.clean.remove(&one.stream).is_some();
            let stream = one.stream.clone();
            let line = line::Line::new(self.shared.clone(), one, clean);
            let id = self.lines.spawn(line.run()).id();
            self.under_way.insert(id, stream.clone());
            self.busy.insert(stream);
        }
        self.shared.counters.active.store(self.lines.len() as u64, Relaxed);
    }

    fn end_line(&mut self, ended: Result<(Id, Result<()>), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(died) => (died.id(), Err(crate::UNAVAILABLE.err("a line of the shipper ended early"))),
        };
        let Some(stream) = self.under_way.remove(&id) else { return };
        self.busy.remove(&stream);
        self.shared.counters.active.store(self.lines.len() as u64, Relaxed);
        match outcome {
            Ok(()) => {
                if self.clean.len() >= REMEMBERED {
                    self.clean.clear();
                }
                self.turns += 1;
                self.resting.remove(&stream);
                self.clean.insert(stream, self.turns);
            }
            Err(error) => {
                self.shared.counters.retried.fetch_add(1, Relaxed);
                self.shared.failed(&error, Some(&stream));
                if self.resting.len() >= REMEMBERED {
                    self.resting.clear();
                }
                let rested = self.resting.get(&stream).map_or(Duration::ZERO, |(_, rested)| *rested);
                let rest = (rested * 2).clamp(REST_MIN, REST_MAX);
                self.resting.insert(stream, (Instant::now() + rest, rest));
            }
        }
    }
}

/// Until the source calls, a rest is over, or it is time to look again.
async fn wake<S: Source>(shared: &Shared<S>, resting: &HashMap<StreamName, (Instant, Duration)>) {
    let next_rest = resting.values().map(|(until, _)| *until).min();
    let rest = next_rest.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
    let longest = shared.settings.look_every.min(rest.max(BREATH));
    // A call or the time: either way it is looked.
    let _ = tokio::time::timeout(longest, shared.source.appended()).await;
}

impl<S> Shared<S> {
    fn failed(&self, error: &Error, stream: Option<&StreamName>) {
        *self.counters.last_error.lock() = Some(error.to_string());
        match stream {
            Some(StreamName { app, stream }) => {
                tracing::warn!(app = %app, stream = %stream, error = ?error, "not shipped, will try again");
            }
            None => {
                tracing::warn!(error = ?error, "the spool does not say what is to be shipped, will ask again");
            }
        }
    }
}
