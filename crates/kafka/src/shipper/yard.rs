//! Lines come and go: which streams are under way, which rest after a failure, which wait.

use super::{Settings, Source, Stats, StreamName, line};
use crate::{Kafka, Producer, UNAVAILABLE, priority};
use angarium_base::{Context, Error, Result};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::oneshot,
    task::{Id, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// Streams whose state is remembered between their lines; beyond that, they look back once more.
const REMEMBERED: usize = 65_536;
/// Between two questions what is pending, at least.
const BREATH: Duration = Duration::from_millis(2);
const REST_MIN: Duration = Duration::from_millis(100);
const REST_MAX: Duration = Duration::from_secs(15);

/// Moves what a [`Source`] holds to Kafka. Cloning it is cheap; only one may run per spool.
pub struct Shipper<S>(Arc<Shared<S>>);

impl<S> Clone for Shipper<S> {
    fn clone(&self) -> Self {
        Shipper(self.0.clone())
    }
}

pub(super) struct Shared<S> {
    pub(super) kafka: Kafka,
    pub(super) producer: Producer,
    pub(super) source: S,
    pub(super) settings: Settings,
    pub(super) counters: Counters,
    pub(super) stop: CancellationToken,
    /// More streams wait than there are places.
    pub(super) crowded: AtomicBool,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) shipped: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) lag: AtomicU64,
    pub(super) active: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl<S: Source> Shipper<S> {
    /// A shipper from `source` to `kafka`; [`Shipper::run`] starts it.
    ///
    /// # Errors
    /// `kafka_options_refused` when librdkafka does not take the properties of a producer.
    pub fn new(kafka: Kafka, source: S, settings: Settings) -> Result<Shipper<S>> {
        let producer = kafka.lasting_producer(settings.gives_way)?;
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

    /// [`Shipper::run`] on a thread of its own; the answer comes when it has ended.
    ///
    /// # Errors
    /// `kafka_unavailable` when there is no thread to be had.
    pub fn start(&self, stop: CancellationToken) -> Result<oneshot::Receiver<()>> {
        let (ended, end) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.or_error(UNAVAILABLE, "no runtime for the shipper")?;
        let shipper = self.clone();
        let run = move || {
            if shipper.0.settings.gives_way {
                priority::lower();
            }
            runtime.block_on(shipper.run(stop));
            // Nobody may wait for it.
            let _ = ended.send(());
        };
        let thread = std::thread::Builder::new().name("kafka-shipper".into()).spawn(run);
        thread.map(|_| end).or_error(UNAVAILABLE, "no thread for the shipper")
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
            Err(died) => (died.id(), Err(UNAVAILABLE.err("a line of the shipper ended early"))),
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
