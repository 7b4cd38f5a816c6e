//! How it stands with Kafka: what librdkafka's clients say, kept for whoever asks.

use crate::{REFUSED, Status, UNAVAILABLE, UNKNOWN_TOPIC};
use angarium_base::Error;
use parking_lot::Mutex;
use rdkafka::{
    ClientContext, Statistics,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// What all clients of one [`crate::Kafka`] report to.
#[derive(Default)]
pub(crate) struct Health {
    connected: AtomicBool,
    /// The last look found nobody.
    silent: AtomicBool,
    brokers: AtomicUsize,
    /// Somebody saw the connection fail: the next look is due at once.
    suspect: AtomicBool,
    last_error: Mutex<Option<(String, Instant)>>,
    /// Reasons that were said since the last sign of life, without what differs each time.
    said: Mutex<HashSet<String>>,
}

/// A reason that is younger than this says more than that nobody answered.
const TELLING: Duration = Duration::from_secs(30);
/// Reasons that are said at most between two signs of life.
const SAID: usize = 16;

impl Health {
    pub(crate) fn status(&self) -> Status {
        Status {
            connected: self.connected.load(Relaxed),
            brokers: self.brokers.load(Relaxed),
            last_error: self.last_error.lock().as_ref().map(|(text, at)| (text.clone(), at.elapsed())),
        }
    }

    pub(crate) fn connected(&self) -> bool {
        self.connected.load(Relaxed)
    }

    pub(crate) fn answered(&self, brokers: usize) {
        self.brokers.store(brokers, Relaxed);
        self.silent.store(false, Relaxed);
        if !self.connected.swap(true, Relaxed) {
            self.said.lock().clear();
            tracing::info!(brokers, "kafka answers");
        }
    }

    pub(crate) fn silent(&self, error: &KafkaError) {
        let told = self.last_error.lock().as_ref().is_some_and(|(_, at)| at.elapsed() < TELLING);
        if !told {
            self.failed(&error.to_string());
        }
        self.connected.store(false, Relaxed);
        if !self.silent.swap(true, Relaxed) {
            tracing::warn!(error = %error, "kafka does not answer, will try again");
        }
    }

    /// Whether it was not said yet since the last sign of life.
    fn is_new(&self, reason: &str) -> bool {
        let kind: String = reason.chars().filter(|c| !c.is_ascii_digit()).collect();
        let mut said = self.said.lock();
        said.len() < SAID && said.insert(kind)
    }

    /// Whether nobody answered at the last look.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Relaxed)
    }

    pub(crate) fn failed(&self, text: &str) {
        *self.last_error.lock() = Some((text.chars().take(300).collect(), Instant::now()));
    }

    /// Whether somebody saw the connection fail since the last call.
    pub(crate) fn suspect(&self) -> bool {
        self.suspect.swap(false, Relaxed)
    }
}

/// The context of a client that has nothing to add.
#[derive(Clone)]
pub(crate) struct Listener(pub(crate) Arc<Health>);

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        // A property of consumers that a producer is given too; both get all of them.
        if facility == "CONFWARN" {
            return;
        }
        tracing::debug!(target: "librdkafka", ?level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.suspect.store(true, Relaxed);
        // It follows from what was told about each of them.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            return;
        }
        self.0.failed(reason);
        if self.0.is_new(reason) {
            tracing::warn!(reason, "a client of kafka reports");
        } else {
            tracing::debug!(error = %error, reason, "a client of kafka reports");
        }
    }

    fn stats(&self, _: Statistics) {}

    fn stats_raw(&self, _: &[u8]) {}
}

impl ConsumerContext for Listener {}

/// An error of Kafka as ours: what it means to whoever called, and the cause for the log.
#[track_caller]
pub(crate) fn error_of(error: KafkaError, doing: &str) -> Error {
    use RDKafkaErrorCode as Code;
    let code = match &error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    };
    let ours = match code {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => UNKNOWN_TOPIC,
        Some(
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::PolicyViolation
            | Code::InvalidReplicationFactor
            | Code::InvalidPartitions
            | Code::InvalidConfig
            | Code::InvalidTopic
            | Code::MessageSizeTooLarge
            | Code::InvalidRecord
            | Code::UnsupportedVersion,
        ) => REFUSED,
        _ => UNAVAILABLE,
    };
    let said = code.map_or_else(String::new, |code| format!(": {code:?}"));
    ours.err(format!("{doing}{said}")).with_source(error)
}

/// Whether librdkafka goes on by itself after such an error of a consumer.
pub(crate) fn passing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::GroupAuthorizationFailed
            | Code::WaitingForCoordinator
    )
}
