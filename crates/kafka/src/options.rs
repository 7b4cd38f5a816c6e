//! What Kafka is opened with, and what librdkafka is told.
//!
//! Ours beats the operator's where a promise rests on it (`enable.idempotence`, `acks`, …): such a property is refused,
//! not ignored. All others go to librdkafka as they are. A property's value is in no message and in no log line, for it
//! may be a password.

#[cfg(feature = "librdkafka")]
mod native;

#[cfg(feature = "librdkafka")]
pub(crate) use native::refused;

use crate::{OPTIONS_REFUSED, topic::Template};
use angarium_base::Result;
use std::{collections::BTreeMap, fmt, time::Duration};

/// What Kafka is opened with.
#[derive(Clone)]
pub struct Options {
    /// `host:port`, separated by commas.
    pub brokers: String,
    pub topic: Template,
    /// Partitions of a topic that we create; what is there is taken as it is.
    pub partitions: i32,
    /// Replicas of a topic that we create; -1 for the broker's default.
    pub replication: i32,
    /// Config of a topic that we create, like `retention.ms` and `min.insync.replicas`. Unless it says otherwise, records
    /// carry the instant of Kafka's append (`message.timestamp.type=LogAppendTime`): brokers forget the state that
    /// makes a producer idempotent by the time stamps of its records (`producer.id.expiration.ms`, a day), and what a
    /// spool has kept for longer would come twice when a broker restarts; they also refuse instants of the future.
    pub topic_config: BTreeMap<String, String>,
    /// Properties for librdkafka, beyond ours: <https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md>.
    pub properties: BTreeMap<String, String>,
    /// How long a call waits for Kafka's answer.
    pub request_timeout: Duration,
    /// Consumers that are kept for reading. Each takes a few threads, a connection per broker it reads from, and
    /// up to 4 MiB of records read ahead.
    pub readers: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            brokers: "127.0.0.1:9092".into(),
            topic: Template::default(),
            partitions: 12,
            replication: -1,
            topic_config: BTreeMap::from([("message.timestamp.type".into(), "LogAppendTime".into())]),
            properties: BTreeMap::new(),
            request_timeout: Duration::from_secs(10),
            readers: 16,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.keys().collect();
        f.debug_struct("Options")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .field("partitions", &self.partitions)
            .field("replication", &self.replication)
            .field("topic_config", &self.topic_config)
            .field("properties", &names)
            .field("request_timeout", &self.request_timeout)
            .field("readers", &self.readers)
            .finish()
    }
}

impl Options {
    /// Reads `kafka://host:port,host:port?topic=…&partitions=…&replication=…`, the parameters being optional.
    ///
    /// # Errors
    /// `kafka_options_refused`, with what is wrong. Passwords do not belong here, they are properties.
    pub fn from_url(url: &str) -> Result<Options> {
        let refused = |why: &'static str| OPTIONS_REFUSED.err(why);
        let Some(rest) = url.strip_prefix("kafka://") else {
            return Err(refused("the url of Kafka begins with kafka://"));
        };
        let (brokers, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options = Options { brokers: brokers.trim_end_matches('/').to_owned(), ..Options::default() };
        for pair in parameters.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = || value.parse().map_err(|_| refused("partitions and replication are numbers"));
            match name {
                "topic" => options.topic = Template::parse(value)?,
                "partitions" => options.partitions = number()?,
                "replication" => options.replication = number()?,
                _ => return Err(refused("the url of Kafka takes topic, partitions and replication")),
            }
        }
        options.check()?;
        Ok(options)
    }

    /// Refuses what cannot work, before anybody connects.
    ///
    /// # Errors
    /// `kafka_options_refused`, with what is wrong: the property's name where librdkafka does not take one.
    pub fn check(&self) -> Result<()> {
        let refused = |why: &'static str| Err(OPTIONS_REFUSED.err(why));
        if cfg!(not(feature = "librdkafka")) {
            return refused(
                "this build of angarium has no Kafka; one that was made where `make` is installed has it",
            );
        }
        if self.brokers.contains('@') {
            return refused("the url of Kafka holds no user: sasl.username and sasl.password are properties");
        }
        if self.brokers.split(',').any(|broker| !is_address(broker.trim())) {
            return refused("the brokers are host:port, separated by commas");
        }
        if !(1..=100_000).contains(&self.partitions) {
            return refused("a topic has between 1 and 100,000 partitions");
        }
        if self.replication != -1 && !(1..=1_000).contains(&self.replication) {
            return refused("replication is -1 (the broker's default) or a number of brokers");
        }
        if self.request_timeout < Duration::from_millis(100) || self.readers == 0 {
            return refused("request_timeout is at least 100 ms, and there is at least one reader");
        }
        match self.properties.keys().find(|name| OURS.contains(&name.as_str())) {
            Some(name) => {
                Err(OPTIONS_REFUSED.err(format!("the property {name} is not configurable: Angarium sets it")))
            }
            None => self.check_properties(),
        }
    }

    #[cfg(not(feature = "librdkafka"))]
    fn check_properties(&self) -> Result<()> {
        Ok(())
    }
}

/// What promises rest on, by all its names, and what loads code.
const OURS: &[&str] = &[
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "log.queue",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.send.max.retries",
    "message.timeout.ms",
    "metadata.broker.list",
    "plugin.library.paths",
    "request.required.acks",
    "retries",
    "transactional.id",
];

fn is_address(broker: &str) -> bool {
    let (host, port) = broker.rsplit_once(':').unwrap_or((broker, "9092"));
    !host.is_empty() && !host.contains(['/', ' ', '?']) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "librdkafka"))]
    #[test]
    fn a_build_without_kafka_says_so() {
        assert!(why("kafka://b1:9092").contains("no Kafka"));
    }

    fn why(url: &str) -> String {
        Options::from_url(url).unwrap_err().message().to_owned()
    }

    #[cfg(feature = "librdkafka")]
    #[test]
    fn a_url_names_the_brokers_and_how_topics_are_made() {
        let options = Options::from_url("kafka://b1:9092,b2:9093/?partitions=3&replication=2").unwrap();
        assert_eq!(options.brokers, "b1:9092,b2:9093");
        assert_eq!((options.partitions, options.replication), (3, 2));
        let named = Options::from_url("kafka://[::1]:9092?topic={app}.{stream}").unwrap();
        assert_eq!(named.topic, Template::parse("{app}.{stream}").unwrap());
        for wrong in ["http://b", "kafka://", "kafka://b:0", "kafka://b:9092,", "kafka://b?x=1"] {
            assert!(Options::from_url(wrong).is_err(), "{wrong}");
        }
        assert!(why("kafka://me:secret@b1").contains("properties"));
        assert!(!why("kafka://me:secret@b1").contains("secret"));
        assert!(why("kafka://b?partitions=0").contains("partitions"));
    }

    #[cfg(feature = "librdkafka")]
    #[test]
    fn values_of_properties_are_not_printed_and_ours_are_refused() {
        let mut options = Options::default();
        options.properties.insert("sasl.password".into(), "hunter2".into());
        assert!(!format!("{options:?}").contains("hunter2"));
        for name in OURS {
            options.properties = BTreeMap::from([((*name).to_owned(), "1".to_owned())]);
            assert!(options.check().unwrap_err().message().contains(name));
        }
    }
}
