//! Topics: made on demand, by whoever comes first.

use crate::world::*;
use angarium_base::AppId;
use angarium_kafka::Kafka;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_made_once_whoever_makes_it() {
    let Some(world) = World::open() else { return };
    let topic = world.name("together");
    let makers: Vec<_> = (0..6)
        .map(|_| {
            let (kafka, topic) = (Kafka::open(world.options.clone()).unwrap(), topic.clone());
            tokio::spawn(async move { kafka.ensure_topic(&topic).await })
        })
        .collect();
    for maker in makers {
        assert_eq!(soon(maker).await.unwrap().unwrap(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_has_the_partitions_and_the_config_that_were_asked_for() {
    let refused = World::open_with(|options| {
        options.partitions = 7;
        options.topic_config.insert("retention.ms".into(), "no number".into());
    });
    let Some(refused) = refused else { return };
    assert_eq!(code(soon(refused.kafka.ensure_topic(&refused.name("a"))).await), "kafka_refused");
    let Some(many) = World::open_with(|options| options.replication = 100) else { return };
    assert_eq!(code(soon(many.kafka.ensure_topic(&many.name("a"))).await), "kafka_refused");
    let kept = World::open_with(|options| {
        options.partitions = 7;
        options.topic_config.insert("retention.ms".into(), "3600000".into());
    });
    let Some(kept) = kept else { return };
    assert_eq!(soon(kept.kafka.ensure_topic(&kept.name("a"))).await.unwrap(), 7);
    assert_eq!(soon(kept.kafka.partitions(&kept.name("a"))).await.unwrap(), Some(7));
    let app = AppId::new(1);
    let partition = kept.kafka.partition_for(&app, 7);
    assert!((0..7).contains(&partition) && partition == kept.kafka.clone().partition_for(&app, 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_not_there_is_said_not_to_be_and_not_made() {
    let Some(world) = World::open() else { return };
    let (kafka, topic) = (&world.kafka, world.name("nowhere"));
    assert_eq!(code(soon(kafka.bounds(&topic, 0)).await), "kafka_unknown_topic");
    assert_eq!(code(soon(kafka.read(&topic, 0, 0, READ, Duration::ZERO)).await), "kafka_unknown_topic");
    assert_eq!(code(soon(kafka.offset_at(&topic, 0, 5)).await), "kafka_unknown_topic");
    assert_eq!(soon(kafka.partitions(&topic)).await.unwrap(), None);
    let there = world.topic_of(1).await;
    assert_eq!(code(soon(kafka.bounds(&there, 3)).await), "kafka_unknown_topic");
    assert_eq!(code(soon(kafka.read(&there, 3, 0, READ, Duration::ZERO)).await), "kafka_unknown_topic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_deleted_is_made_again() {
    let Some(world) = World::open() else { return };
    let topic = world.topic_of(5).await;
    world.delete(&topic).await;
    // Its partitions were remembered; who finds it gone forgets them.
    let gone = soon(async {
        while code(world.kafka.bounds(&topic, 0).await) != "kafka_unknown_topic" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        world.kafka.ensure_topic(&topic).await
    });
    assert_eq!(gone.await.unwrap(), 3);
    assert_eq!(soon(world.kafka.bounds(&topic, 0)).await.unwrap(), (0, 0));
}
