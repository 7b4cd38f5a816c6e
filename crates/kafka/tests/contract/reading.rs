//! Reading: warm or cold, at the end, out of bounds, and tailing.

use crate::world::*;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_is_read_in_sequence_and_from_anywhere() {
    let Some(world) = World::open() else { return };
    let topic = world.topic_of(5_000).await;
    let mut at = 0;
    while at < 5_000 {
        let read = soon(world.kafka.read(&topic, 0, at, (700, 1 << 20), Duration::ZERO)).await.unwrap();
        assert!(read.len() <= 700);
        assert_eq!(texts(&read), (at..at + read.len() as u64).map(|at| at.to_string()).collect::<Vec<_>>());
        at += read.len() as u64;
    }
    for from in [4_999, 17, 2_500, 0, 17] {
        let read = soon(world.kafka.read(&topic, 0, from, (3, 1 << 20), Duration::ZERO)).await.unwrap();
        assert_eq!(read[0].offset, from);
    }
    let one = soon(world.kafka.read(&topic, 0, 5, (100, 1), Duration::ZERO)).await.unwrap();
    assert_eq!(one.len(), 1, "one at least, however small the limit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_empty_and_beyond_it_is_an_error_with_the_bounds() {
    let Some(world) = World::open() else { return };
    let topic = world.topic_of(10).await;
    let kafka = &world.kafka;
    assert_eq!(soon(kafka.bounds(&topic, 0)).await.unwrap(), (0, 10));
    assert_eq!(soon(kafka.bounds(&topic, 1)).await.unwrap(), (0, 0));
    assert!(soon(kafka.read(&topic, 0, 10, READ, Duration::ZERO)).await.unwrap().is_empty());
    assert!(soon(kafka.read(&topic, 1, 0, READ, Duration::ZERO)).await.unwrap().is_empty());
    for wait in [Duration::ZERO, Duration::from_secs(5)] {
        let error = soon(kafka.read(&topic, 0, 11, READ, wait)).await.unwrap_err();
        assert_eq!(error.code().name, "kafka_offset_out_of_range");
        assert!(error.message().contains("0 to 10"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_at_the_end_is_woken() {
    let Some(world) = World::open() else { return };
    let topic = world.topic_of(3).await;
    let producer = world.kafka.producer().unwrap();
    for (at, payload) in [(3, "x"), (4, "y")] {
        let (kafka, wanted) = (world.kafka.clone(), topic.clone());
        let started = Instant::now();
        let waiting = tokio::spawn(async move { kafka.read(&wanted, 0, at, READ, NEVER).await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!waiting.is_finished());
        producer.produce(&topic, 0, vec![record(payload)]).await.unwrap();
        assert_eq!(texts(&soon(waiting).await.unwrap().unwrap()), [payload]);
        assert!(started.elapsed() < NEVER / 2);
    }
    assert!(soon(world.kafka.read(&topic, 0, 5, READ, Duration::from_millis(50))).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instant_is_found() {
    let Some(world) = World::open_with(keep_instants) else { return };
    let topic = world.topic_of(0).await;
    let mut records = vec![record("a"), record("b"), record("c")];
    records.iter_mut().zip([1_000, 2_000, 3_000]).for_each(|(record, at_ms)| record.at_ms = at_ms);
    world.kafka.producer().unwrap().produce(&topic, 0, records).await.unwrap();
    for (at_ms, offset) in [(0, Some(0)), (1_000, Some(0)), (1_001, Some(1)), (3_000, Some(2)), (3_001, None)]
    {
        assert_eq!(soon(world.kafka.offset_at(&topic, 0, at_ms)).await.unwrap(), offset, "{at_ms}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_readers_serve_many_partitions_and_who_finds_none_free_is_told() {
    let small = World::open_with(|options| {
        (options.readers, options.partitions) = (1, 4);
        options.request_timeout = Duration::from_secs(3);
    });
    let Some(world) = small else { return };
    let topic = world.topic_of(10).await;
    world.kafka.producer().unwrap().produce(&topic, 1, vec![record("one")]).await.unwrap();
    for _ in 0..3 {
        assert_eq!(soon(world.kafka.read(&topic, 0, 0, READ, Duration::ZERO)).await.unwrap().len(), 10);
        assert_eq!(soon(world.kafka.read(&topic, 1, 0, READ, Duration::ZERO)).await.unwrap().len(), 1);
    }
    let (kafka, wanted) = (world.kafka.clone(), topic.clone());
    let waiting = tokio::spawn(async move { kafka.read(&wanted, 2, 0, READ, NEVER).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(code(soon(world.kafka.read(&topic, 0, 0, READ, Duration::ZERO)).await), "kafka_overloaded");
    waiting.abort();
    let _ = waiting.await;
    assert_eq!(soon(world.kafka.read(&topic, 0, 0, READ, Duration::ZERO)).await.unwrap().len(), 10);
}

/// A consumer that is assigned anew before it has let go of what it was assigned before ends the process with an assertion
/// of librdkafka's: <https://github.com/confluentinc/librdkafka/issues/5573>.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_are_given_up_at_once_leave_a_reader_that_reads() {
    let Some(world) = World::open_with(|options| options.readers = 2) else { return };
    let topic = world.topic_of(1_000).await;
    let hurried = async |seed: u64| {
        for n in 0..400_u64 {
            let mut from = (n * 7 + seed * 131) % 900;
            let patience = Duration::from_micros((n * n + seed) % 41 * 200);
            let pages = async {
                for _ in 0..3 {
                    let wait = Duration::from_millis(n % 3);
                    let read = world.kafka.read(&topic, 0, from, (10, 1 << 20), wait).await.unwrap();
                    assert_eq!(read[0].offset, from);
                    from += read.len() as u64;
                }
            };
            let _ = tokio::time::timeout(patience, pages).await;
        }
    };
    soon(async { tokio::join!(hurried(0), hurried(1), hurried(2), hurried(3), hurried(4)) }).await;
    let read = soon(world.kafka.read(&topic, 0, 3, (1, 1), Duration::ZERO)).await.unwrap();
    assert_eq!(texts(&read), ["3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_misses_nothing_however_often_it_is_interrupted() {
    let Some(world) = World::open() else { return };
    let topic = world.topic_of(0).await;
    let (producer, written) = (world.kafka.producer().unwrap(), topic.clone());
    let writer = tokio::spawn(async move {
        for at in 0..200 {
            producer.produce(&written, 0, vec![record(&at.to_string())]).await.unwrap();
        }
    });
    let mut follower = world.kafka.follow(&topic, 0, 0);
    let mut read = Vec::new();
    let started = Instant::now();
    while read.len() < 200 {
        assert!(started.elapsed() < NEVER, "never: all 200");
        if let Ok(more) = tokio::time::timeout(Duration::from_millis(3), follower.next()).await {
            read.extend(more.unwrap());
        }
    }
    writer.await.unwrap();
    assert_eq!(texts(&read), (0..200).map(|at| at.to_string()).collect::<Vec<_>>());
    assert_eq!(follower.position(), 200);
    follower.seek(1_000);
    assert_eq!(code(soon(follower.next()).await), "kafka_offset_out_of_range");
    follower.seek(199);
    assert_eq!(texts(&soon(follower.next()).await.unwrap()), ["199"]);
}
