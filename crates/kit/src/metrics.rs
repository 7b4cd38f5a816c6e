//! What is counted, in a registry of this server's own: two servers in one process count apart.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::sync::Arc;

/// The labels of a request: the route's pattern, never the path, so that their number is bounded.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Route {
    pub method: String,
    pub route: String,
    pub status: u16,
}

/// A label with one fixed value.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Reason {
    pub reason: String,
}

/// The label of a sort of work.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindOfWork {
    pub kind: String,
}

/// What became of dead letters of a kind.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct DeadLetterChange {
    pub kind: String,
    pub change: String,
}

/// Counters that handlers and workers hold; `/metrics` shows them with what the parts say of themselves.
#[derive(Clone)]
pub struct Metrics {
    pub requests: Family<Route, Counter>,
    pub request_seconds: Histogram,
    pub requests_in_flight: Gauge,
    pub connections: Gauge,
    pub connections_refused: Counter,
    /// Empty without TLS.
    pub tls_expires: Family<[(String, String); 0], Gauge>,
    pub events_accepted: Counter,
    pub events_duplicate: Counter,
    pub events_rejected: Family<Reason, Counter>,
    pub pixel_refused: Counter,
    pub messages_accepted: Counter,
    pub messages_rejected: Counter,
    pub messages_persisted: Counter,
    pub messages_retrying: Gauge,
    pub messages_lost: Counter,
    pub live_readers: Gauge,
    pub live_frames: Counter,
    pub live_skipped: Counter,
    pub dead_letters: Family<KindOfWork, Gauge>,
    pub dead_letters_oldest_seconds: Gauge,
    pub dead_letter_changes: Family<DeadLetterChange, Counter>,
    registry: Arc<Registry>,
}

/// 0.1 ms to about 26 s, each bucket twice the one before.
fn latencies() -> Histogram {
    Histogram::new((0..18).map(|n| 0.0001 * f64::from(1 << n)))
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut metrics = Metrics {
            requests: Family::default(),
            request_seconds: latencies(),
            requests_in_flight: Gauge::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            tls_expires: Family::default(),
            events_accepted: Counter::default(),
            events_duplicate: Counter::default(),
            events_rejected: Family::default(),
            pixel_refused: Counter::default(),
            messages_accepted: Counter::default(),
            messages_rejected: Counter::default(),
            messages_persisted: Counter::default(),
            messages_retrying: Gauge::default(),
            messages_lost: Counter::default(),
            live_readers: Gauge::default(),
            live_frames: Counter::default(),
            live_skipped: Counter::default(),
            dead_letters: Family::default(),
            dead_letters_oldest_seconds: Gauge::default(),
            dead_letter_changes: Family::default(),
            registry: Arc::default(),
        };
        metrics.registry = Arc::new(metrics.register());
        metrics
    }

    fn register(&self) -> Registry {
        let mut r = Registry::with_prefix("angarium");
        r.register("http_requests", "Requests answered", self.requests.clone());
        r.register(
            "http_request_seconds",
            "Time from the headers to the answer",
            self.request_seconds.clone(),
        );
        r.register("http_requests_in_flight", "Requests being answered", self.requests_in_flight.clone());
        r.register("http_connections", "Open connections", self.connections.clone());
        r.register(
            "http_connections_refused",
            "Connections refused for being too many",
            self.connections_refused.clone(),
        );
        r.register(
            "tls_certificate_expires_seconds",
            "Time until the certificate in use is no longer valid",
            self.tls_expires.clone(),
        );
        r.register("events_accepted", "Events made durable", self.events_accepted.clone());
        r.register(
            "events_duplicate",
            "Events whose id was seen within the window",
            self.events_duplicate.clone(),
        );
        r.register("events_rejected", "Events refused, by error code", self.events_rejected.clone());
        r.register(
            "pixel_refused",
            "Tracking calls that got the image and were refused",
            self.pixel_refused.clone(),
        );
        r.register("messages_accepted", "Messages made durable", self.messages_accepted.clone());
        r.register("messages_rejected", "Messages refused", self.messages_rejected.clone());
        r.register("messages_persisted", "Messages written to their table", self.messages_persisted.clone());
        r.register(
            "messages_retrying",
            "Messages that the store refused and that are tried again",
            self.messages_retrying.clone(),
        );
        r.register(
            "messages_lost",
            "Messages that retention removed before they were persisted",
            self.messages_lost.clone(),
        );
        r.register("live_readers", "Readers of the live feed", self.live_readers.clone());
        r.register("live_frames", "Frames sent to readers of the live feed", self.live_frames.clone());
        r.register(
            "live_skipped",
            "Records that slow readers of the live feed were not sent",
            self.live_skipped.clone(),
        );
        self.register_dead_letters(&mut r);
        r
    }

    fn register_dead_letters(&self, r: &mut Registry) {
        r.register(
            "dead_letters",
            "Dead letters in the inboxes of all apps; every process says the same",
            self.dead_letters.clone(),
        );
        r.register(
            "dead_letters_oldest_seconds",
            "Time since the oldest dead letter was given up",
            self.dead_letters_oldest_seconds.clone(),
        );
        r.register(
            "dead_letter_changes",
            "Dead letters that were given up, redriven, deleted or have expired, by this process",
            self.dead_letter_changes.clone(),
        );
    }

    /// The Prometheus text format (OpenMetrics 1.0), without the closing `# EOF`.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(8_192);
        // Writing into a String cannot fail.
        let _ = prometheus_client::encoding::text::encode_registry(&mut out, &self.registry);
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}
