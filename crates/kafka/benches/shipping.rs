//! How fast the shipper moves a spool in memory to a broker, beside Kafka's own `ProducerPerformance`, and how long a
//! warm reader takes.
//!
//! ```sh
//! STACK_KAFKA=127.0.0.1:9092 PERF_CLASS_PATH='/path/to/kafka-libs/*' cargo bench -p angarium-kafka
//! ```
//!
//! `PERF_CLASS_PATH` holds the jars of `org.apache.kafka:kafka-tools`; without it only ours is measured. Both send the
//! same: records of 300 random letters, lz4, `acks=all`, 5 ms of linger, batches of 1 MiB. Ours have a key and five
//! headers each besides. `RECORDS` changes how many (2,000,000).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench may panic, and prints what it measures"
)]

#[path = "../tests/contract/spool.rs"]
mod spool;

use angarium_base::AppId;
use angarium_kafka::{
    Kafka, Options, Shipper, Template, TopicName,
    shipper::{Settings, Source},
};
use bytes::Bytes;
use std::{
    process::Command,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const SIZE: usize = 300;

#[expect(clippy::disallowed_methods, reason = "what is measured against what")]
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let Some(brokers) = set("STACK_KAFKA") else {
        println!("skipped: optional: STACK_KAFKA is not set");
        return;
    };
    let records: u64 = set("RECORDS").map_or(2_000_000, |text| text.parse().unwrap());
    for (apps, partitions) in [(1, 1), (8, 4)] {
        for round in 1..=2 {
            let prefix = format!("bench-{:016x}", fastrand::u64(..));
            let topic = Template::parse(&format!("{prefix}.{{stream}}")).unwrap();
            let mut options =
                Options { brokers: brokers.clone(), topic, partitions, replication: 1, ..Options::default() };
            // The spool's records are old.
            options.topic_config.insert("retention.ms".into(), "-1".into());
            let kafka = Kafka::open(options).unwrap();
            println!(
                "round {round}: {records} records of {SIZE} bytes, {apps} streams, {partitions} partitions"
            );
            let app = ship(&kafka, records, apps).await;
            let (topic, partition) =
                (kafka.topic_for(&app, "events").unwrap(), kafka.partition_for(&app, partitions));
            read(&kafka, &topic, partition).await;
            let other = TopicName::parse(&format!("{prefix}.perf")).unwrap();
            kafka.ensure_topic(&other).await.unwrap();
            tokio::task::spawn_blocking(move || perf(kafka.options(), &other, records)).await.unwrap();
        }
    }
}

async fn ship(kafka: &Kafka, records: u64, apps: u64) -> AppId {
    let (spool, apps): (_, Vec<_>) = (spool::Spool::new(), (0..apps).map(|_| AppId::new(1)).collect());
    let payloads: Vec<_> = (0..20_000)
        .map(|_| Bytes::from_iter(std::iter::repeat_with(|| fastrand::u8(b'A'..=b'Z')).take(SIZE)))
        .collect();
    for app in &apps {
        let own = records / apps.len() as u64;
        spool.append(app, "events", payloads.iter().cycle().take(own as usize).cloned());
        // Not the making of topics is measured.
        kafka.ensure_topic(&kafka.topic_for(app, "events").unwrap()).await.unwrap();
    }
    let shipper = Shipper::new(kafka.clone(), spool.clone(), Settings::default()).unwrap();
    assert!(!shipper.source().spool().is_empty());
    let (stop, runner, started) = (CancellationToken::new(), shipper.clone(), Instant::now());
    let stopped = stop.clone();
    let running = tokio::spawn(async move { runner.run(stopped).await });
    while spool.lag() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = started.elapsed().as_secs_f64();
    stop.cancel();
    running.await.unwrap();
    let stats = shipper.stats();
    println!("  shipper: {:.0} records/s (retried {})", stats.shipped as f64 / took, stats.retried);
    apps.into_iter().next().unwrap()
}

/// In sequence, a hundred records at a time; the first read assigns.
async fn read(kafka: &Kafka, topic: &TopicName, partition: i32) {
    let (_, high) = kafka.bounds(topic, partition).await.unwrap();
    let (mut at, mut took) = (0, Vec::new());
    while at < high.min(200_000) {
        let started = Instant::now();
        let records = kafka.read(topic, partition, at, (100, 1 << 20), Duration::ZERO).await.unwrap();
        took.push(started.elapsed());
        at = records.last().unwrap().offset + 1;
    }
    let cold = took.remove(0);
    took.sort();
    println!(
        "  reads of 100: cold {cold:?}, warm {:?} median, {:?} p99",
        took[took.len() / 2],
        took[took.len() * 99 / 100]
    );
    let (started, mut count, mut at) = (Instant::now(), 0, 0);
    while at < high {
        let records = kafka.read(topic, partition, at, (10_000, 8 << 20), Duration::ZERO).await.unwrap();
        count += records.len();
        at = records.last().unwrap().offset + 1;
    }
    println!("  reads of 10,000: {:.0} records/s", count as f64 / started.elapsed().as_secs_f64());
}

fn perf(options: &Options, topic: &TopicName, records: u64) {
    let Some(class_path) = set("PERF_CLASS_PATH") else {
        println!("  ProducerPerformance: not measured, PERF_CLASS_PATH is not set");
        return;
    };
    let properties = [
        format!("bootstrap.servers={}", options.brokers),
        "acks=all".into(),
        "linger.ms=5".into(),
        "batch.size=1048576".into(),
        "compression.type=lz4".into(),
        "buffer.memory=134217728".into(),
    ];
    let output = Command::new("java")
        .args(["-cp", &class_path, "org.apache.kafka.tools.ProducerPerformance", "--topic", topic.as_str()])
        .args(["--num-records", &records.to_string(), "--record-size", &SIZE.to_string()])
        .args(["--throughput", "-1", "--producer-props"])
        .args(properties)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("  ProducerPerformance: {}", said.lines().last().unwrap_or("nothing said"));
    if !output.status.success() {
        println!("{}", String::from_utf8_lossy(&output.stderr));
    }
}
