//! Questions to the cluster: topics, bounds, instants. One consumer that is never assigned asks them; a thread of its
//! own serves it, and asks for a sign of life every few seconds.
//!
//! librdkafka's questions block, so they run on tokio's blocking threads, a few at a time.

use crate::{
    Options, REFUSED, UNAVAILABLE, UNKNOWN_TOPIC,
    health::{Health, Listener, error_of},
    options::refused,
    topic::TopicName,
};
use angarium_base::{Context, Result};
use parking_lot::Mutex;
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Questions that are asked at a time.
const ASKING: usize = 8;
/// Topics whose partitions are remembered.
const KNOWN_TOPICS: usize = 65_536;
/// For how long the partitions of a topic are believed.
const BELIEVED: Duration = Duration::from_secs(60);
/// Between two signs of life; while there is none, a fifth of it.
const SIGN_EVERY: Duration = Duration::from_secs(5);
/// How long one sign of life may take.
const SIGN_WITHIN: Duration = Duration::from_secs(3);
/// How long a question may take while there is no sign of life: who asks is better off with a quick answer.
const SILENT_WITHIN: Duration = Duration::from_secs(1);
/// Before a question is put again that had no leader to go to.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How long a topic may take to be seen after it was created.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

pub(crate) struct Control {
    options: Arc<Options>,
    client: Arc<BaseConsumer<Listener>>,
    asking: Arc<Semaphore>,
    topics: Mutex<HashMap<TopicName, (i32, Instant)>>,
    health: Arc<Health>,
    ended: Arc<AtomicBool>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
    }
}

impl Control {
    pub(crate) fn open(options: Arc<Options>, health: Arc<Health>) -> Result<Control> {
        let mut config = options.consumer();
        // Without a group there is no coordinator to look for.
        config.remove("group.id");
        let context = Listener(health.clone());
        let client = Arc::new(BaseConsumer::from_config_and_context(&config, context).map_err(refused)?);
        let ended = Arc::new(AtomicBool::new(false));
        let (served, health_, ended_) = (client.clone(), health.clone(), ended.clone());
        // Any legal name: what is asked for is an answer.
        let asked = options.topic.fill(&angarium_base::AppId::new(0), "events")?;
        std::thread::Builder::new()
            .name("kafka-control".into())
            .spawn(move || serve(&served, &health_, &ended_, &asked))
            .or_error(UNAVAILABLE, "no thread for Kafka's control client")?;
        let asking = Arc::new(Semaphore::new(ASKING));
        Ok(Control { options, client, asking, topics: Mutex::default(), health, ended })
    }

    /// The partitions of `topic`, which is made if it is not there.
    pub(crate) async fn ensure_topic(&self, topic: &TopicName) -> Result<i32> {
        if let Some(partitions) = self.known(topic) {
            return Ok(partitions);
        }
        if let Some(partitions) = self.partitions(topic).await? {
            return Ok(partitions);
        }
        self.create(topic).await?;
        let started = Instant::now();
        loop {
            if let Some(partitions) = self.partitions(topic).await? {
                return Ok(partitions);
            }
            if started.elapsed() > SEEN_WITHIN {
                return Err(UNAVAILABLE.err(format!("the topic {topic} was created and is not seen yet")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The partitions of `topic` as Kafka has them now; `None` when there is no such topic.
    pub(crate) async fn partitions(&self, topic: &TopicName) -> Result<Option<i32>> {
        let (name, within) = (topic.clone(), self.patience());
        let metadata = self
            .ask("Kafka did not say what the topic is like", move |client| {
                client.fetch_metadata(Some(name.as_str()), within)
            })
            .await?;
        self.health.answered(metadata.brokers().len());
        let found = metadata.topics().iter().find(|found| found.name() == topic.as_str());
        let failed = found.and_then(|found| found.error()).map(RDKafkaErrorCode::from);
        match (found, failed) {
            (Some(found), None) if !found.partitions().is_empty() => {
                let partitions = found.partitions().len() as i32;
                self.remember(topic, partitions);
                Ok(Some(partitions))
            }
            (_, None | Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) => {
                self.forget(topic);
                Ok(None)
            }
            // Just created.
            (_, Some(RDKafkaErrorCode::LeaderNotAvailable)) => Ok(None),
            (_, Some(code)) => {
                let doing = format!("the topic {topic} cannot be used");
                Err(error_of(KafkaError::MetadataFetch(code), &doing))
            }
        }
    }

    pub(crate) async fn bounds(&self, topic: &TopicName, partition: i32) -> Result<(u64, u64)> {
        let (name, within) = (topic.clone(), self.patience());
        let asked = self
            .ask("Kafka did not say what the partition holds", move |client| {
                client.fetch_watermarks(name.as_str(), partition, within)
            })
            .await;
        let (low, high) = asked.map_err(|error| self.forgetting(topic, error))?;
        Ok((low.max(0) as u64, high.max(0) as u64))
    }

    /// The first offset whose record is of `at_ms` or later.
    pub(crate) async fn offset_at(
        &self,
        topic: &TopicName,
        partition: i32,
        at_ms: i64,
    ) -> Result<Option<u64>> {
        let (name, within) = (topic.clone(), self.patience());
        let answer = self
            .ask("Kafka did not say where the instant is", move |client| {
                let mut asked = TopicPartitionList::with_capacity(1);
                asked.add_partition_offset(name.as_str(), partition, Offset::Offset(at_ms.max(0)))?;
                let answer = client.offsets_for_times(asked, within)?;
                let Some(found) = answer.find_partition(name.as_str(), partition) else {
                    return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition));
                };
                found.error()?;
                Ok(found.offset())
            })
            .await
            .map_err(|error| self.forgetting(topic, error))?;
        Ok(match answer {
            Offset::Offset(offset) => Some(offset.max(0) as u64),
            _ => None,
        })
    }

    /// What was known of `topic` may be wrong.
    pub(crate) fn forget(&self, topic: &TopicName) {
        self.topics.lock().remove(topic);
    }

    fn forgetting(&self, topic: &TopicName, error: angarium_base::Error) -> angarium_base::Error {
        if error.code().name == UNKNOWN_TOPIC.name {
            self.forget(topic);
        }
        error
    }

    fn known(&self, topic: &TopicName) -> Option<i32> {
        let topics = self.topics.lock();
        topics.get(topic).filter(|(_, at)| at.elapsed() < BELIEVED).map(|(partitions, _)| *partitions)
    }

    fn remember(&self, topic: &TopicName, partitions: i32) {
        let mut topics = self.topics.lock();
        if topics.len() >= KNOWN_TOPICS {
            topics.clear();
        }
        topics.insert(topic.clone(), (partitions, Instant::now()));
    }

    /// Creates `topic`; that somebody else has is as good.
    async fn create(&self, topic: &TopicName) -> Result<()> {
        let permit = self.asking.clone().acquire_owned().await.or_error(UNAVAILABLE, "Kafka is closed")?;
        let (options, name, health) = (self.options.clone(), topic.clone(), self.health.clone());
        // A client per creation: it is rare, and librdkafka keeps a queue for each that nobody would read.
        let admin = blocking(move || {
            AdminClient::from_config_and_context(&options.admin(), Listener(health)).map_err(refused)
        })
        .await??;
        let options = self.options.clone();
        let outcome = {
            let mut new = NewTopic::new(
                name.as_str(),
                options.partitions,
                TopicReplication::Fixed(options.replication),
            );
            for (key, value) in &options.topic_config {
                new = new.set(key, value);
            }
            let within = Some(options.request_timeout);
            let asked = AdminOptions::new().request_timeout(within).operation_timeout(within);
            admin.create_topics([&new], &asked).await
        };
        crate::cluster::elsewhere((admin, permit));
        let outcome = outcome.map_err(|error| error_of(error, "Kafka did not create the topic"))?;
        match outcome.into_iter().next() {
            Some(Ok(_)) => {
                tracing::info!(topic = %name, partitions = options.partitions, "topic created");
                Ok(())
            }
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, code))) => {
                let doing = format!("Kafka did not create the topic {name}");
                Err(error_of(KafkaError::AdminOp(code), &doing))
            }
            None => Err(REFUSED.err("Kafka said nothing about the topic to create")),
        }
    }

    /// Deletes `topic`; that it is not there is as good.
    pub(crate) async fn delete_topic(&self, topic: &TopicName) -> Result<()> {
        let permit = self.asking.clone().acquire_owned().await.or_error(UNAVAILABLE, "Kafka is closed")?;
        let (options, health) = (self.options.clone(), self.health.clone());
        let admin = blocking(move || {
            AdminClient::from_config_and_context(&options.admin(), Listener(health)).map_err(refused)
        })
        .await??;
        let within = Some(self.options.request_timeout);
        let asked = AdminOptions::new().request_timeout(within).operation_timeout(within);
        let outcome = admin.delete_topics(&[topic.as_str()], &asked).await;
        crate::cluster::elsewhere((admin, permit));
        self.forget(topic);
        let outcome = outcome.map_err(|error| error_of(error, "Kafka did not delete the topic"))?;
        match outcome.into_iter().next() {
            Some(Ok(_)) => {
                tracing::info!(%topic, "topic deleted");
                Ok(())
            }
            Some(Err((_, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)))
            | None => Ok(()),
            Some(Err((_, code))) => {
                let doing = format!("Kafka did not delete the topic {topic}");
                Err(error_of(KafkaError::AdminOp(code), &doing))
            }
        }
    }

    /// How long a question may take.
    fn patience(&self) -> Duration {
        let within = self.options.request_timeout;
        if self.health.is_silent() { within.min(SILENT_WITHIN) } else { within }
    }

    /// Asks once a place is free, and again while the partition has no leader that is known.
    async fn ask<T: Send + 'static>(
        &self,
        doing: &'static str,
        question: impl Fn(&BaseConsumer<Listener>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T> {
        let permit = self.asking.clone().acquire_owned().await.or_error(UNAVAILABLE, "Kafka is closed")?;
        let (client, within) = (self.client.clone(), self.patience());
        let answer = blocking(move || {
            let (_permit, started) = (permit, Instant::now());
            loop {
                let answer = question(&client);
                let moving = answer.as_ref().err().and_then(KafkaError::rdkafka_error_code);
                if !moving.is_some_and(is_moving) || started.elapsed() > within {
                    return answer;
                }
                std::thread::sleep(ASK_AGAIN);
            }
        });
        answer.await?.map_err(|error| error_of(error, doing))
    }
}

/// Whether the partition is on its way to a leader: it was just made, or changes brokers.
fn is_moving(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::NotLeaderForPartition | RDKafkaErrorCode::LeaderNotAvailable)
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.or_error(UNAVAILABLE, "a call to Kafka ended early")
}

/// Reads what the control client reports, and asks for signs of life, until `ended`.
fn serve(client: &BaseConsumer<Listener>, health: &Health, ended: &AtomicBool, asked: &TopicName) {
    let mut last: Option<Instant> = None;
    while !ended.load(Relaxed) {
        // Never assigned, so nothing comes but logs and errors, and those go to the context.
        drop(client.poll(Duration::from_millis(200)));
        let every = if health.connected() && !health.suspect() { SIGN_EVERY } else { SIGN_EVERY / 5 };
        if last.is_some_and(|last| last.elapsed() < every) {
            continue;
        }
        match client.client().fetch_metadata(Some(asked.as_str()), SIGN_WITHIN) {
            Ok(metadata) => health.answered(metadata.brokers().len()),
            Err(error) => health.silent(&error),
        }
        last = Some(Instant::now());
    }
}
