//! `angarium bench`: measures this machine. The server under test and the yardstick are child processes of
//! this binary, so that both are measured alike, from a third process, over loopback.
//!
//! | Module | Idea |
//! |---|---|
//! | [`disk`] | the machine, and what its disk can do |
//! | [`child`] | processes under test, and what the system says of them |
//! | [`load`] | connections that cost little, and closed loops of them |
//! | [`payload`] | what is sent |
//! | [`yardstick`] | a bare handler that reads the same body and answers 202 |
//! | [`auth`] | the same call by nobody, by a key and by a token |
//! | [`ingest`] | durable events: single ones and tracking calls beside the yardstick, batches |
//! | [`reading`] | a stream from its start, by HTTP and through the library |
//! | [`live`] | from a POST to its frame in the feed |
//! | [`fan_out`] | the feed with a thousand readers, with many idle ones, and with one that catches up |
//! | [`messages`] | messages taken in and persisted; the list at its start and at its end |
//! | [`big`] | what a full stream costs: pages, polls, memory, restart after kill -9 |
//! | [`fleet`] | embedded and distributed side by side: ingestion, spool to Kafka, delays between processes |
//! | [`report`] | figures as tables and as one JSON object |

mod auth;
mod big;
mod child;
mod disk;
mod fan_out;
mod fleet;
mod ingest;
mod live;
mod load;
mod messages;
mod payload;
mod reading;
mod report;
mod yardstick;

use super::{
    failure::{Failure, Result},
    output::{interrupted, note, say},
};
use child::Server;
use report::{Figures, Report, Scenario};
use std::{
    fmt::Display,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
pub struct BenchArgs {
    /// Length of a round, in seconds
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Rounds of each measurement; medians are reported
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=20))]
    rounds: u64,
    /// Only these [default: all but messages, big and fleet]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Part>,
    /// How much the part `big` keeps, in bytes of events: 500MiB, 1GiB
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_bytes)]
    keep_bytes: u64,
    /// Where to make the temporary data directory; its disk is what is measured [default: here]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration file of the part `fleet`, which needs PostgreSQL and Kafka
    #[arg(long, value_name = "FILE", env = "ANGARIUM_CONFIG")]
    config: Option<PathBuf>,
    /// Jars of Kafka's own tools (Maven: org.apache.kafka:kafka-tools), as `java -cp` takes them: the part `fleet`
    /// measures Kafka's limit with them
    #[arg(long, value_name = "JARS", env = "STACK_KAFKA_CLASSPATH")]
    kafka_classpath: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Be the yardstick: print the address, serve until standard input ends
    #[arg(long, hide = true)]
    yardstick_only: bool,
}

/// What can be measured on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// What the disk does by itself
    Disk,
    /// The server without traffic; with other parts, before and after them
    Idle,
    /// Single events at 64 and at 256 connections, beside the yardstick
    Single,
    /// Tracking calls at 64 connections, beside the yardstick
    T,
    /// The same tracking call by nobody, by a key and by a token, at 64 connections
    Auth,
    /// Batches of 1,000 events at 2 and at 4 connections
    Batch,
    /// The live feed: from a POST to its frame, and many readers
    Live,
    /// A stream from its start
    Read,
    /// A million messages in batches: taken in, persisted, listed
    Messages,
    /// A full stream, see --keep-bytes
    Big,
    /// Embedded and distributed side by side, on the PostgreSQL and the Kafka of the configuration; at most four minutes
    Fleet,
}

/// What all parts share.
struct Bench {
    round: Duration,
    rounds: u64,
    keep_bytes: u64,
    home: Home,
}

pub async fn run(args: BenchArgs) -> Result {
    if args.yardstick_only {
        return yardstick::serve().await;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    // Dropping the measurement ends its children and removes what they wrote.
    tokio::select! {
        done = Box::pin(measure(args)) => done,
        () = interrupted() => Err(Failure::new("bench: interrupted")),
        _ = terminate.recv() => Err(Failure::new("bench: terminated")),
    }
}

async fn measure(args: BenchArgs) -> Result {
    let home = Home::new(args.data_dir.as_deref().unwrap_or(Path::new(".")))?;
    let bench = Bench {
        round: Duration::from_secs(args.seconds),
        rounds: args.rounds,
        keep_bytes: args.keep_bytes,
        home,
    };
    let wanted = |part| {
        if args.only.is_empty() {
            ![Part::Messages, Part::Big, Part::Fleet].contains(&part)
        } else {
            args.only.contains(&part)
        }
    };
    let mut report = Report::new(disk::machine(&bench.home.0), args.seconds, args.rounds, args.json);
    report.begin()?;
    if wanted(Part::Disk) {
        report.add(disk::measure(bench.home.0.clone()).await?)?;
    }
    if [Part::Idle, Part::Single, Part::T, Part::Auth, Part::Batch, Part::Live].into_iter().any(wanted) {
        with_one_server(&bench, &wanted, &mut report).await?;
    }
    if wanted(Part::Read) {
        report.add(Box::pin(reading::measure(&bench)).await?)?;
    }
    if wanted(Part::Messages) {
        report.add(Box::pin(messages::measure(&bench)).await?)?;
    }
    if wanted(Part::Big) {
        report.add(Box::pin(big::measure(&bench)).await?)?;
    }
    if wanted(Part::Fleet) {
        let jars = args.kafka_classpath.as_deref();
        Box::pin(fleet::measure(&bench, args.config.as_deref(), jars, &mut report)).await?;
    }
    report.end()
}

/// The parts that share a server, whose memory is looked at before and after.
async fn with_one_server(bench: &Bench, wanted: &impl Fn(Part) -> bool, report: &mut Report) -> Result {
    let server = Server::start(&bench.home.dir("shared"), "start").await?;
    let mut idle = Scenario::new("idle", "The server without traffic");
    if wanted(Part::Idle) {
        note("idle, after the start");
        idle.add("after the start", idle_figures(&server).await?);
    }
    let peer = yardstick::start().await?;
    if wanted(Part::Single) {
        for connections in [64, 256] {
            report.add(ingest::single(bench, &server, &peer, connections).await?)?;
        }
    }
    if wanted(Part::T) {
        report.add(ingest::tracking_calls(bench, &server, &peer, 64).await?)?;
    }
    if wanted(Part::Auth) {
        report.add(auth::measure(bench, &server, 64).await?)?;
    }
    if wanted(Part::Batch) {
        report.add(ingest::batches(bench, &server).await?)?;
    }
    if wanted(Part::Live) {
        report.add(live::measure(bench, &server).await?)?;
    }
    drop(peer);
    if wanted(Part::Live) {
        report.add(Box::pin(fan_out::measure(bench)).await?)?;
    }
    if wanted(Part::Idle) {
        note("idle, after the load");
        idle.add("after the load", idle_figures(&server).await?);
        report.add(idle)?;
    }
    server.stop("stop").await?;
    bench.home.remove("shared");
    Ok(())
}

const IDLE: Duration = Duration::from_secs(10);

async fn idle_figures(server: &Server) -> Result<Figures> {
    let before = server.child.cpu_us("idle")?;
    tokio::time::sleep(IDLE).await;
    let spent = server.child.cpu_us("idle")? - before;
    let memory = server.child.memory("idle")?;
    let mut figures = vec![("cpu_percent", spent as f64 / IDLE.as_micros() as f64 * 100.0)];
    figures.extend(memory.figures());
    Ok(figures)
}

/// The directory that everything is written to, removed in the end.
struct Home(PathBuf);

impl Home {
    fn new(parent: &Path) -> Result<Home> {
        let path = parent.join(format!("angarium-bench-{}", std::process::id()));
        std::fs::create_dir(&path).during(&format!("making {}", path.display()))?;
        Ok(Home(path))
    }

    /// A data directory, which the server makes.
    fn dir(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Frees the space of a data directory; what is left goes with the home.
    fn remove(&self, name: &str) {
        let _ = std::fs::remove_dir_all(self.dir(name));
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            note(&format!("bench: {} is left behind: {error}", self.0.display()));
        }
    }
}

/// Says in which phase something failed.
trait During<T> {
    fn during(self, phase: &str) -> Result<T>;
}

impl<T, E: Display> During<T> for std::result::Result<T, E> {
    fn during(self, phase: &str) -> Result<T> {
        self.map_err(|error| Failure::new(format!("bench, {phase}: {error}")))
    }
}

/// The value in the middle; of an even number, the upper of the two.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let bytes = factor.and_then(|factor| number.parse::<u64>().ok()?.checked_mul(factor));
    let bytes = bytes.filter(|bytes| (1 << 20..=64 << 30).contains(bytes));
    bytes.ok_or_else(|| "a size from 1MiB to 64GiB, such as 500MiB or 1GiB".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_bounds() {
        assert_eq!(parse_bytes("1GiB"), Ok(1 << 30));
        assert_eq!(parse_bytes("1048576"), Ok(1 << 20));
        for wrong in ["", "GiB", "1GB", "1KiB", "65GiB", "99999999999999999999GiB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_median_is_a_value_that_was_measured() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 4.0);
        assert!(median(&[]).is_nan());
    }
}
