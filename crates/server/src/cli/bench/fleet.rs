//! Embedded and distributed side by side, by turns and as ratios within one run.
//!
//! ```text
//!  embedded                    a server as in all other parts
//!  ack local, replicated       two processes on one fresh database, each with a spool that is shipped to Kafka
//!  ack local, Kafka away       a third one that cannot reach Kafka: what keeping in the spool costs without shipping;
//!                              what it has kept is shipped in the end, beside Kafka's own load generator
//! ```
//!
//! The database is dropped in the end. The topics stay, and Kafka empties them within hours.

mod delay;
mod drain;
mod sending;

use super::{
    Bench, During, Failure, Result,
    child::{Server, Settings, embedded},
    note,
    report::{Report, Scenario},
};
use crate::{
    cli::config,
    config::{Config, Store},
};
use angarium_base::{AppId, Clock};
use angarium_db::postgres;
use angarium_kafka::{Kafka, TopicName};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// The phase ends here, done or not.
const AT_MOST: Duration = Duration::from_secs(240);
/// Rounds are no longer than this, and no more: what one sends is shipped before the next one begins.
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: u64 = 3;
/// How long Kafka may take for what a round has sent.
const SHIPPED_WITHIN: Duration = Duration::from_secs(60);
/// Kafka removes what the bench has sent after an hour.
const KEPT_MS: &str = "3600000";
/// Nobody answers there (RFC 6335: tcpmux, which no system runs).
const NOWHERE: &str = "kafka://127.0.0.1:1";
const PHASE: &str = "fleet";

/// The servers under test, and Kafka as the distributed ones see it.
struct Fleet {
    embedded: Server,
    local: Server,
    replicated: Server,
    /// Cannot reach Kafka.
    away: Server,
    kafka: Kafka,
    topic: TopicName,
    /// Records that Kafka will hold when everything is shipped that can be.
    expected: u64,
    /// Events that wait in the spool of the server without Kafka.
    kept: u64,
    database: String,
}

pub async fn measure(bench: &Bench, file: Option<&Path>, jars: Option<&str>, report: &mut Report) -> Result {
    let config = config::load(file)?;
    let database = Database::make(&config).await?;
    let done = tokio::time::timeout(AT_MOST, Box::pin(parts(bench, &config, &database, jars, report))).await;
    done.unwrap_or_else(|_| {
        Err(Failure::new(format!("bench, {PHASE}: not done within {} s", AT_MOST.as_secs())))
    })
}

async fn parts(
    bench: &Bench,
    config: &Config,
    database: &Database,
    jars: Option<&str>,
    report: &mut Report,
) -> Result {
    let (started, load_before) = (Instant::now(), load_average());
    note("fleet, start");
    let mut fleet = Fleet::start(bench, config, &database.url).await?;
    report.add(Box::pin(sending::singles(bench, &mut fleet)).await?)?;
    report.add(Box::pin(sending::batches(bench, &mut fleet)).await?)?;
    report.add(Box::pin(delay::measure(&mut fleet)).await?)?;
    report.add(Box::pin(drain::measure(bench, fleet, jars)).await?)?;
    let mut whole =
        Scenario::new("fleet", "The whole part, and how many processes wanted a core (load average, 1 min)");
    let figures = vec![
        ("before", load_before),
        ("after", load_average()),
        ("seconds", started.elapsed().as_secs_f64()),
    ];
    whole.add("fleet", figures);
    report.add(whole)
}

impl Fleet {
    async fn start(bench: &Bench, config: &Config, database: &str) -> Result<Fleet> {
        let dir = |name: &str| bench.home.dir(name);
        let embedded = Server::start_with(&dir("embedded"), embedded(), PHASE).await?;
        let local = Server::start_with(&dir("local"), settings(database, "local", None), PHASE).await?;
        let replicated =
            local.join(&dir("replicated"), settings(database, "replicated", None), PHASE).await?;
        let away = local.join(&dir("away"), settings(database, "local", Some(NOWHERE)), PHASE).await?;
        let mut options = config.kafka_streams()?.ok_or_else(missing)?.kafka;
        options.partitions = 1;
        options.topic_config.insert("retention.ms".into(), KEPT_MS.into());
        let kafka = Kafka::open(options)?;
        let app = AppId::parse(&local.app).ok_or("the app has no id").during(PHASE)?;
        let topic = kafka.topic_for(&app, angarium_tracking::EVENTS)?;
        kafka.ensure_topic(&topic).await?;
        let database = database.to_owned();
        Ok(Fleet { embedded, local, replicated, away, kafka, topic, expected: 0, kept: 0, database })
    }

    /// Where the topic ends now.
    async fn end(&self) -> Result<u64> {
        Ok(self.kafka.bounds(&self.topic, 0).await?.1)
    }

    /// Waits until Kafka has everything; returns how much it lacked, and for how long.
    async fn shipped(&self, phase: &str) -> Result<(u64, Duration)> {
        let started = Instant::now();
        let lacked = self.expected.saturating_sub(self.end().await?);
        loop {
            let end = self.end().await?;
            if end >= self.expected {
                return Ok((lacked, started.elapsed()));
            }
            if started.elapsed() > SHIPPED_WITHIN {
                return Err(Failure::new(format!(
                    "bench, {phase}: Kafka has {end} of {} events after {} s",
                    self.expected,
                    SHIPPED_WITHIN.as_secs()
                )));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Of a distributed server; all else is as this process was told.
fn settings(database: &str, ack: &str, journal: Option<&str>) -> Settings {
    let mut settings = vec![("ANGARIUM_DB", database.to_owned()), ("ANGARIUM_KAFKA__ACK", ack.to_owned())];
    settings.extend(journal.map(|journal| ("ANGARIUM_JOURNAL", journal.to_owned())));
    settings
}

fn missing() -> Failure {
    Failure::usage(
        "bench, fleet: the configuration names no PostgreSQL (`db`) and no Kafka (`journal`); run `cargo xtask stack up` and \
         `eval \"$(cargo xtask stack env)\"`, or set ANGARIUM_DB=postgres://… and ANGARIUM_JOURNAL=kafka://…",
    )
}

/// A database of this run's own, on the server of the configuration. Dropping it drops the database.
struct Database {
    server: postgres::Options,
    name: String,
    url: String,
}

impl Database {
    async fn make(config: &Config) -> Result<Database> {
        let (Store::Postgres(server), Some(_)) = (config.store()?, config.kafka_streams()?) else {
            return Err(missing());
        };
        let name = format!("angarium_bench_{}", AppId::new(Clock::system().now()));
        order(*server.clone(), format!("CREATE DATABASE \"{name}\"")).await?;
        let url = in_database(&config.db, &name);
        Ok(Database { server: *server, name, url })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // Servers that were killed may still have connections.
        let text = format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
        let dropped = std::thread::spawn(move || run(&server, &text)).join();
        if !matches!(dropped, Ok(Ok(()))) {
            note(&format!("bench: the database {name} is left behind"));
        }
    }
}

async fn order(server: postgres::Options, text: String) -> Result {
    let ran = tokio::task::spawn_blocking(move || run(&server, &text)).await;
    ran.during("making a database")?.during("making a database")
}

/// Waits, which a task may not. The text has no secrets.
fn run(server: &postgres::Options, text: &str) -> Result<(), String> {
    let mut connection = server.connect().map_err(|error| error.to_string())?;
    connection.client.batch_execute(text).map_err(|error| format!("{text}: {error}"))
}

/// `postgres://user@host:port/other?parameters` with another database.
fn in_database(url: &str, name: &str) -> String {
    let (place, parameters) = url.split_once('?').map_or((url, None), |(place, rest)| (place, Some(rest)));
    let (scheme, rest) = place.split_once("://").unwrap_or(("postgres", place));
    let authority = rest.split('/').next().unwrap_or(rest);
    let parameters = parameters.map(|text| format!("?{text}")).unwrap_or_default();
    format!("{scheme}://{authority}/{name}{parameters}")
}

/// Of the last minute (proc(5)).
fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_on_the_same_server() {
        for (url, expected) in [
            ("postgres://a:b@h:5/angarium", "postgres://a:b@h:5/new"),
            ("postgresql://h?sslmode=require", "postgresql://h/new?sslmode=require"),
            ("postgres://h:5/x?options=-c%20a=/b", "postgres://h:5/new?options=-c%20a=/b"),
        ] {
            assert_eq!(in_database(url, "new"), expected);
        }
    }
}
