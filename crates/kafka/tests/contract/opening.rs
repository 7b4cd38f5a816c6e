//! What is refused, and what is not.

use crate::world::*;
use angarium_kafka::{Kafka, Options};
use std::time::Duration;

fn refusal(name: &str, value: &str) -> String {
    let mut options = Options::default();
    options.properties.insert(name.into(), value.into());
    match Kafka::open(options) {
        Ok(_) => "taken".into(),
        Err(error) => {
            assert_eq!(error.code().name, "kafka_options_refused");
            format!("{error:?}")
        }
    }
}

#[test]
fn a_property_that_librdkafka_does_not_take_is_refused_by_its_name() {
    assert!(refusal("no.such.thing", "1").contains("no property \"no.such.thing\""));
    let value = refusal("linger.ms", "hunter2");
    assert!(value.contains("linger.ms") && !value.contains("hunter2"), "{value}");
    assert!(refusal("acks", "0").contains("acks is not configurable"));
    assert!(refusal("debug", "all-of-it").contains("debug"));
    assert_eq!(refusal("linger.ms", "20"), "taken");
    assert_eq!(refusal("compression.type", "zstd"), "taken");
    assert_eq!(refusal("compression.type", "gzip"), "taken");
    if cfg!(feature = "tls") {
        assert_eq!(refusal("security.protocol", "ssl"), "taken");
    } else {
        assert!(refusal("ssl.ca.location", "/tmp/none").contains("neither TLS"));
    }
}

#[tokio::test]
async fn brokers_that_are_away_are_no_error_until_somebody_asks() {
    let options = Options {
        // Nobody listens on the discard port.
        brokers: "127.0.0.1:9".into(),
        request_timeout: Duration::from_millis(500),
        ..Options::default()
    };
    let kafka = Kafka::open(options).unwrap();
    assert!(!kafka.status().connected);
    let topic = kafka.topic_for(&angarium_base::AppId::new(1), "events").unwrap();
    assert_eq!(code(soon(kafka.ensure_topic(&topic)).await), "kafka_unavailable");
    assert_eq!(code(soon(kafka.bounds(&topic, 0)).await), "kafka_unavailable");
    assert_eq!(code(soon(kafka.offset_at(&topic, 0, 5)).await), "kafka_unavailable");
    assert_eq!(code(soon(kafka.read(&topic, 0, 0, READ, Duration::ZERO)).await), "kafka_unavailable");
    let outcome = soon(kafka.producer().unwrap().produce(&topic, 0, vec![record("a")])).await;
    assert_eq!(unproduced(outcome), (0, "kafka_unavailable"));
    until("an error is told", || kafka.status().last_error.is_some()).await;
    assert!(!kafka.status().connected);
}

#[tokio::test]
async fn a_broker_that_answers_is_told() {
    let Some(world) = World::open() else { return };
    until("connected", || world.kafka.status().connected).await;
    assert!(world.kafka.status().brokers >= 1);
}
