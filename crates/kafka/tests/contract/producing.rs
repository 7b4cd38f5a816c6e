//! Writing: offsets in order, and how much of it is there when it fails.

use crate::world::*;
use angarium_kafka::Outgoing;
use bytes::Bytes;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_comes_back_as_it_was() {
    let Some(world) = World::open_with(keep_instants) else { return };
    let topic = world.topic_of(0).await;
    let sent = Outgoing {
        key: Some(Bytes::from_static(b"app_1")),
        headers: vec![
            ("type".into(), Bytes::from_static(b"level_up")),
            ("empty".into(), Bytes::new()),
            ("type".into(), Bytes::from_static(b"again")),
            ("bytes".into(), Bytes::from_static(&[0, 255, 10])),
        ],
        payload: Bytes::from_static(b"{\"level\":7}"),
        at_ms: 1_700_000_000_123,
    };
    let producer = world.kafka.producer().unwrap();
    let bare = Outgoing::default();
    let offsets = soon(producer.produce(&topic, 2, vec![sent.clone(), bare])).await.unwrap();
    assert_eq!(offsets, [0, 1]);
    let read = soon(world.kafka.read(&topic, 2, 0, READ, Duration::ZERO)).await.unwrap();
    assert_eq!((&read[0].key, &read[0].headers, &read[0].payload), (&sent.key, &sent.headers, &sent.payload));
    assert_eq!((read[0].at_ms, read[0].offset), (sent.at_ms, 0));
    assert_eq!(read[0].header("type"), Some(&b"again"[..]));
    assert_eq!((read[1].key.as_ref(), read[1].headers.len(), read[1].payload.len()), (None, 0, 0));
    assert!(read[1].at_ms > sent.at_ms, "the instant of sending");
    let Some(world) = World::open() else { return };
    let topic = world.topic_of(0).await;
    soon(world.kafka.producer().unwrap().produce(&topic, 2, vec![sent.clone()])).await.unwrap();
    let read = soon(world.kafka.read(&topic, 2, 0, READ, Duration::ZERO)).await.unwrap();
    assert!(read[0].at_ms > sent.at_ms, "the instant of appending, unless it is told otherwise");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_those_of_the_records_and_order_is_kept() {
    let Some(world) = World::open() else { return };
    let topic = world.topic_of(20_000).await;
    let read = world.all(&topic, 0).await;
    assert_eq!(texts(&read), (0..20_000).map(|at| at.to_string()).collect::<Vec<_>>());
    let producer = world.kafka.producer().unwrap();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (producer, topic) = (producer.clone(), topic.clone());
            tokio::spawn(async move {
                let records = (0..500).map(|at| record(&format!("{writer}-{at}"))).collect();
                (writer, producer.produce(&topic, 1, records).await)
            })
        })
        .collect();
    let mut claimed = Vec::new();
    for writer in writers {
        let (writer, offsets) = soon(writer).await.unwrap();
        let offsets = offsets.unwrap();
        assert!(offsets.is_sorted(), "in order");
        claimed.extend(offsets.iter().enumerate().map(|(at, offset)| (*offset, format!("{writer}-{at}"))));
    }
    claimed.sort();
    let read = world.all(&topic, 1).await;
    let there: Vec<_> = read.iter().map(|one| one.offset).zip(texts(&read)).collect();
    assert_eq!(claimed, there);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_too_large_says_what_was_written_before_it() {
    let Some(world) = World::open() else { return };
    let topic = world.topic_of(0).await;
    let large = Outgoing { payload: Bytes::from(vec![7; 2 << 20]), ..Outgoing::default() };
    let producer = world.kafka.producer().unwrap();
    let outcome = soon(producer.produce(&topic, 0, vec![record("a"), record("b"), large, record("c")])).await;
    assert_eq!(unproduced(outcome), (2, "kafka_refused"));
    assert_eq!(texts(&world.all(&topic, 0).await), ["a", "b"]);
    let outcome = soon(producer.produce(&topic, 0, vec![record("c")])).await;
    assert_eq!(unproduced(outcome), (1, "no error"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_not_there_takes_nothing() {
    let Some(world) = World::open_with(|options| options.request_timeout = Duration::from_secs(2)) else {
        return;
    };
    let topic = world.topic_of(0).await;
    let producer = world.kafka.producer().unwrap();
    assert_eq!(unproduced(soon(producer.produce(&topic, 9, vec![record("a")])).await).0, 0);
    assert_eq!(unproduced(soon(producer.produce(&world.name("none"), 0, vec![record("a")])).await).0, 0);
    assert_eq!(unproduced(soon(producer.produce(&topic, 0, Vec::new())).await), (0, "no error"));
    assert_eq!(unproduced(soon(producer.produce(&topic, 0, vec![record("a")])).await), (1, "no error"));
}
