//! A broker, and topics of one test on it.

#![allow(clippy::print_stdout, reason = "what is skipped is said")]

use angarium_base::{AppId, Result};
use angarium_kafka::{Incoming, Kafka, Options, Outgoing, Template, TopicName, Unproduced};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// How long anything may take before it counts as never.
pub const NEVER: Duration = Duration::from_secs(60);
pub const READ: (usize, usize) = (10_000, 8 << 20);

pub struct World {
    pub options: Options,
    pub kafka: Kafka,
    prefix: String,
}

impl World {
    /// `None` where there is no broker, which has been said then.
    pub fn open() -> Option<World> {
        World::open_with(|_| {})
    }

    pub fn open_with(change: impl FnOnce(&mut Options)) -> Option<World> {
        #[expect(clippy::disallowed_methods, reason = "where the stack is")]
        let Ok(brokers) = std::env::var("STACK_KAFKA") else {
            println!("skipped: optional: STACK_KAFKA is not set");
            return None;
        };
        let prefix = format!("test-{:016x}", fastrand::u64(..));
        let topic = Template::parse(&format!("{prefix}.{{stream}}")).unwrap();
        let mut options = Options { brokers, topic, partitions: 3, replication: 1, ..Options::default() };
        // Records of tests are from 2023, or from 1970, where instants are kept.
        options.topic_config.insert("retention.ms".into(), "-1".into());
        change(&mut options);
        let kafka = Kafka::open(options.clone()).unwrap();
        Some(World { options, kafka, prefix })
    }

    pub fn name(&self, name: &str) -> TopicName {
        TopicName::parse(&format!("{}.{name}", self.prefix)).unwrap()
    }

    /// A new topic, with the offsets of `count` records in partition 0.
    pub async fn topic_of(&self, count: usize) -> TopicName {
        let topic = self.name(&format!("t{:08x}", fastrand::u32(..)));
        assert_eq!(self.kafka.ensure_topic(&topic).await.unwrap(), self.options.partitions);
        if count > 0 {
            let records = (0..count).map(|at| record(&at.to_string())).collect();
            let offsets = self.kafka.producer().unwrap().produce(&topic, 0, records).await.unwrap();
            assert_eq!(offsets, (0..count as u64).collect::<Vec<_>>());
        }
        topic
    }

    /// All that a partition holds.
    pub async fn all(&self, topic: &TopicName, partition: i32) -> Vec<Incoming> {
        let (low, high) = self.kafka.bounds(topic, partition).await.unwrap();
        let (mut at, mut all) = (low, Vec::new());
        while at < high {
            let read = self.kafka.read(topic, partition, at, READ, Duration::ZERO).await.unwrap();
            at = read.last().unwrap().offset + 1;
            all.extend(read);
        }
        all
    }

    /// What the partition of `app` holds of its stream: positions, in order.
    pub async fn shipped(&self, app: &AppId, stream: &str) -> Vec<u64> {
        let topic = self.kafka.topic_for(app, stream).unwrap();
        let Some(partitions) = self.kafka.partitions(&topic).await.unwrap() else { return Vec::new() };
        let all = self.all(&topic, self.kafka.partition_for(app, partitions)).await;
        all.iter().filter(|one| one.header("app") == Some(app.as_str().as_bytes())).map(position).collect()
    }

    /// Deletes a topic, and waits until it is gone.
    pub async fn delete(&self, topic: &TopicName) {
        use rdkafka::{ClientConfig, admin::AdminClient, client::DefaultClientContext};
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.options.brokers).create().unwrap();
        let outcome = admin.delete_topics(&[topic.as_str()], &Default::default()).await.unwrap();
        outcome.into_iter().for_each(|one| drop(one.unwrap()));
    }
}

/// Topics whose records keep the instants that they were sent with.
pub fn keep_instants(options: &mut Options) {
    options.topic_config.insert("message.timestamp.type".into(), "CreateTime".into());
}

/// The position in the `id` of a shipped record.
pub fn position(record: &Incoming) -> u64 {
    let id = std::str::from_utf8(record.header("id").unwrap()).unwrap();
    id.rsplit_once(':').unwrap().1.parse().unwrap()
}

pub fn record(payload: &str) -> Outgoing {
    Outgoing { payload: Bytes::copy_from_slice(payload.as_bytes()), ..Outgoing::default() }
}

pub fn texts(records: &[Incoming]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.payload.to_vec()).unwrap()).collect()
}

/// The name of the code a call failed with.
pub fn code<T>(outcome: Result<T>) -> &'static str {
    match outcome {
        Ok(_) => "no error",
        Err(error) => error.code().name,
    }
}

pub fn unproduced(outcome: Result<Vec<u64>, Unproduced>) -> (usize, &'static str) {
    match outcome {
        Ok(offsets) => (offsets.len(), "no error"),
        Err(failed) => (failed.acknowledged.len(), failed.error.code().name),
    }
}

/// The answer, or a failed test: nothing may hang.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(NEVER, future).await.expect("an answer")
}

/// Waits until `fact` holds.
pub async fn until(what: &str, mut fact: impl FnMut() -> bool) {
    let started = Instant::now();
    while !fact() {
        assert!(started.elapsed() < NEVER, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
