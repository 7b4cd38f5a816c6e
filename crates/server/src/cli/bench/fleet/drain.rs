//! How fast a full spool goes to Kafka, between two runs of Kafka's own load generator with the same records, in the same
//! run: `acks=all`, lz4, one partition.

use super::{Fleet, PHASE, settings};
use crate::cli::bench::{
    Bench, During, Failure, Result,
    child::{Child, Moment, Writer},
    ingest::beside,
    load::Until,
    note,
    payload::BATCH,
    report::{Figures, Scenario},
};
use angarium_kafka::TopicName;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

const RECORDS: u64 = 1_000_000;
const CONNECTIONS: u64 = 2;
/// Records of the topic that Kafka's generator picks its own from.
const SAMPLE: usize = 10_000;
const LOOK: Duration = Duration::from_millis(10);
const AT_MOST: Duration = Duration::from_secs(60);

/// What was moved, and in which time.
struct Rate {
    records: u64,
    bytes_each: f64,
    seconds: f64,
}

impl Rate {
    fn records_per_s(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    fn figures(&self) -> Figures {
        let mb = self.records_per_s() * self.bytes_each / 1e6;
        vec![
            ("records_per_s", self.records_per_s()),
            ("mb_per_s", mb),
            ("bytes_each", self.bytes_each),
            ("records", self.records as f64),
            ("seconds", self.seconds),
        ]
    }
}

pub async fn measure(bench: &Bench, mut fleet: Fleet, jars: Option<&str>) -> Result<Scenario> {
    let mut scenario = Scenario::new(
        "fleet_drain",
        "A full spool to Kafka, beside Kafka's ProducerPerformance with the same records",
    );
    note("fleet_drain, filling the spool");
    fill(&mut fleet).await?;
    let sample = bench.home.dir("sample.ndjson");
    let bytes_each = write_sample(&fleet, &sample).await?;
    let topic = TopicName::parse(&format!("{}.perf", fleet.topic))?;
    fleet.kafka.ensure_topic(&topic).await?;
    let brokers = fleet.kafka.options().brokers.clone();
    let perf = Perf { jars, brokers, topic, sample, bytes_each };
    let before = perf.run().await?;
    let (fleet, drained, spent) = Box::pin(drain(fleet, bytes_each)).await?;
    let after = perf.run().await?;
    drop(fleet);
    scenario.add("spool to Kafka", drained.figures());
    let known: Vec<&Rate> = [&before, &after].into_iter().flatten().collect();
    for (words, rate) in ["Kafka's generator, before", "Kafka's generator, after"].iter().zip(&known) {
        scenario.add(*words, rate.figures());
    }
    if known.is_empty() {
        note("fleet_drain: Kafka's own limit was not measured: --kafka-classpath names its jars");
    } else {
        let own = known.iter().map(|rate| rate.records_per_s()).sum::<f64>() / known.len() as f64;
        scenario.add("ours to Kafka's generator", vec![("ratio", drained.records_per_s() / own)]);
    }
    scenario.add("server while it ships", spent);
    Ok(scenario)
}

/// Tops the spool of the server without Kafka up to at least [`RECORDS`].
async fn fill(fleet: &mut Fleet) -> Result {
    let lacking = RECORDS.saturating_sub(fleet.kept).div_ceil(BATCH as u64 * CONNECTIONS);
    if lacking > 0 {
        let scripts = fleet.away.sender().batches(CONNECTIONS as usize, None);
        let (round, _) = beside(&fleet.away.child, scripts, Until::Requests(lacking), PHASE).await?;
        fleet.kept += round.requests() * BATCH as u64;
    }
    Ok(())
}

/// Starts the server with Kafka, and waits until its spool is shipped. Counted from the first record that arrives.
async fn drain(mut fleet: Fleet, bytes_each: f64) -> Result<(Fleet, Rate, Figures)> {
    note(&format!("fleet_drain, {} events", fleet.kept));
    let (begin, records) = (fleet.end().await?, fleet.kept);
    let settings = settings(&fleet.database, "local", None);
    (fleet.away, _) = fleet.away.kill_and_restart_with(settings, PHASE).await?;
    let (started, mut first) = (Instant::now(), None);
    let before = Moment::now(&fleet.away.child, Writer::default(), PHASE)?;
    let done = loop {
        let moved = fleet.end().await?.saturating_sub(begin);
        if moved > 0 {
            first.get_or_insert((Instant::now(), moved));
        }
        if moved >= records {
            break Instant::now();
        }
        if started.elapsed() > AT_MOST {
            let waited = AT_MOST.as_secs();
            let message =
                format!("bench, {PHASE}: {moved} of {records} events are in Kafka after {waited} s");
            return Err(Failure::new(message));
        }
        tokio::time::sleep(LOOK).await;
    };
    let spent = before.until(&Moment::now(&fleet.away.child, Writer::default(), PHASE)?);
    let (since, already) = first.unwrap_or((started, 0));
    let rate = Rate { records: records - already, bytes_each, seconds: (done - since).as_secs_f64() };
    let of_wall = |us: u64| us as f64 / spent.wall_us as f64;
    let figures = vec![
        ("first_after_ms", (since - started).as_secs_f64() * 1e3),
        ("cpu_us_per_record", spent.child_us as f64 / records as f64),
        ("cores", of_wall(spent.child_us)),
        ("cores_of_others", of_wall(spent.others_us)),
    ];
    Ok((fleet, rate, figures))
}

/// Some of the topic's records, one a line; returns their mean size in bytes.
async fn write_sample(fleet: &Fleet, path: &Path) -> Result<f64> {
    let from = fleet.end().await?.saturating_sub(SAMPLE as u64);
    let records = fleet.kafka.read(&fleet.topic, 0, from, (SAMPLE, 16 << 20), Duration::ZERO).await?;
    let mut text = Vec::new();
    for record in &records {
        text.extend_from_slice(&record.payload);
        text.push(b'\n');
    }
    tokio::fs::write(path, &text).await.during(PHASE)?;
    Ok((text.len() - records.len()) as f64 / records.len() as f64)
}

/// Kafka's own load generator, with the properties that ours has.
struct Perf<'a> {
    jars: Option<&'a str>,
    brokers: String,
    topic: TopicName,
    sample: PathBuf,
    bytes_each: f64,
}

impl Perf<'_> {
    /// `None` without its jars.
    async fn run(&self) -> Result<Option<Rate>> {
        let Some(jars) = self.jars else { return Ok(None) };
        note("fleet_drain, ProducerPerformance");
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-cp", jars, "org.apache.kafka.tools.ProducerPerformance"]);
        command.args([
            "--topic",
            self.topic.as_str(),
            "--num-records",
            &RECORDS.to_string(),
            "--throughput",
            "-1",
        ]);
        command.arg("--payload-file").arg(&self.sample);
        command.arg("--producer-props").arg(format!("bootstrap.servers={}", self.brokers));
        command.args(["acks=all", "linger.ms=5", "batch.size=1048576", "compression.type=lz4"]);
        command.arg("buffer.memory=134217728");
        let said = Child::output(command, AT_MOST, PHASE).await?;
        let records_per_s = said.lines().rev().find_map(records_per_s);
        let records_per_s = records_per_s.ok_or("ProducerPerformance did not say its rate").during(PHASE)?;
        let seconds = RECORDS as f64 / records_per_s;
        Ok(Some(Rate { records: RECORDS, bytes_each: self.bytes_each, seconds }))
    }
}

/// `1000000 records sent, 123456.7 records/sec (35.32 MB/sec), …`
fn records_per_s(line: &str) -> Option<f64> {
    let (before, _) = line.split_once(" records/sec")?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_found_in_what_kafka_says() {
        let line =
            "1000000 records sent, 123456.7 records/sec (35.32 MB/sec), 12.30 ms avg latency, 95.00 ms max";
        assert_eq!(records_per_s(line), Some(123_456.7));
        assert_eq!(records_per_s("nothing"), None);
    }
}
