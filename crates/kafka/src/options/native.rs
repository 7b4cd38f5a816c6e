//! What librdkafka is told, and what it says to that.

use super::Options;
use crate::OPTIONS_REFUSED;
use angarium_base::{Error, Result};
use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError, types::RDKafkaConfRes};
use std::time::Duration;

impl Options {
    /// Whether librdkafka knows the properties and takes their values; what only fits together when a client is made
    /// is said then.
    pub(super) fn check_properties(&self) -> Result<()> {
        // What secures a connection first: which of several is refused shall not change from one time to the next.
        let (mut names, properties) = (Vec::from_iter(self.properties.keys()), &self.properties);
        names.sort_by_key(|name| !name.starts_with("security."));
        for name in names {
            ClientConfig::new().set(name, &properties[name]).create_native_config().map_err(refused)?;
        }
        for config in [self.consumer(), self.producer(None), self.admin()] {
            config.create_native_config().map_err(refused)?;
        }
        Ok(())
    }

    /// Of a client that reads, or only asks.
    pub(crate) fn consumer(&self) -> ClientConfig {
        let mut config = self.client(&[
            ("group.id", "angarium"),
            ("fetch.wait.max.ms", "500"),
            ("fetch.error.backoff.ms", "100"),
            // A full queue is looked at again soon: a reader in sequence is not held up.
            ("fetch.queue.backoff.ms", "10"),
            ("queued.min.messages", "100000"),
            ("queued.max.messages.kbytes", "4096"),
        ]);
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error");
        config
    }

    /// Of a client that writes. `deliver_within` is for how long a record is tried; `None` is for ever.
    pub(crate) fn producer(&self, deliver_within: Option<Duration>) -> ClientConfig {
        let mut config = self.client(&[
            ("linger.ms", "1"),
            ("batch.size", "1048576"),
            ("compression.codec", "lz4"),
            ("queue.buffering.max.messages", "500000"),
            ("queue.buffering.max.kbytes", "131072"),
            // Topics are seen before anything is sent to them; one that is gone is to be noticed soon.
            ("topic.metadata.propagation.max.ms", "3000"),
        ]);
        let within_ms = deliver_within.map_or(0, |within| within.as_millis());
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", within_ms.to_string())
            // A batch that failed ends the producer, so no later one can overtake it.
            .set("enable.gapless.guarantee", if deliver_within.is_none() { "true" } else { "false" });
        config
    }

    /// Of a client that creates topics.
    pub(crate) fn admin(&self) -> ClientConfig {
        let mut config = self.client(&[]);
        // Nobody reads the log queue of such a client.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        config
    }

    fn client(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "angarium")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", "2000");
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            // The old spelling would not replace ours.
            let name = if name == "compression.type" { "compression.codec" } else { name.as_str() };
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers).set("allow.auto.create.topics", "false");
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }
}

/// Why librdkafka does not take the properties, without their values.
pub(crate) fn refused(error: KafkaError) -> Error {
    const NO_MECHANISM: &str =
        " (librdkafka takes GSSAPI unless sasl.mechanisms says PLAIN or SCRAM-SHA-256 or SCRAM-SHA-512)";
    const NO_TLS: &str = " (this build has neither TLS nor SCRAM: it was made without the feature kafka-tls)";
    match error {
        KafkaError::ClientConfig(outcome, _, name, _) => {
            let secure = ["ssl.", "sasl.", "security.", "enable.ssl"];
            let hint = !cfg!(feature = "tls") && secure.iter().any(|prefix| name.starts_with(prefix));
            let hint = if hint { NO_TLS } else { "" };
            OPTIONS_REFUSED.err(match outcome {
                RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN => {
                    format!("librdkafka knows no property {name:?}{hint}")
                }
                _ => format!("librdkafka does not take this value for the property {name:?}{hint}"),
            })
        }
        KafkaError::ClientCreation(why) => {
            let hint = match why.contains("No provider for SASL mechanism") {
                true if why.contains("GSSAPI") => NO_MECHANISM,
                true if !cfg!(feature = "tls") => NO_TLS,
                _ => "",
            };
            OPTIONS_REFUSED.err(format!("librdkafka does not take these properties together: {why}{hint}"))
        }
        other => OPTIONS_REFUSED.err("librdkafka does not start").with_source(other),
    }
}
