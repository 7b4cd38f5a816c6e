//! What a world lies on when it is on the stack: a database, a Redis database and a prefix of blobs of its own.
//!
//! `SUITE_ON=stack` asks for it, with streams in PostgreSQL, and `SUITE_ON=kafka`, with streams in Kafka, where an event
//! is acknowledged when Kafka has it, so that what was acknowledged can be read. `STACK_POSTGRES`, `STACK_KAFKA`,
//! `STACK_REDIS` and `STACK_S3` say where the servers are, as `cargo xtask test --stack` sets them. Processes of a fleet
//! share a place; it goes with the last of them.
//!
//! What is published in Redis is heard in every database of it. That does no harm: it wakes who need not be woken.

use crate::process::variable;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Connections of a server, fewer than by default: many worlds share one PostgreSQL.
const CONNECTIONS: [(&str, &str); 2] =
    [("ANGARIUM_POSTGRES__WRITERS", "4"), ("ANGARIUM_POSTGRES__READERS", "3")];

/// Databases that Redis has if it is not told otherwise.
const REDIS_DATABASES: usize = 16;

/// Where the servers are.
#[derive(Clone)]
pub struct Servers {
    /// With a role that may make databases.
    pub postgres: String,
    pub redis: String,
    /// `host:port`; `None` where streams are in PostgreSQL.
    pub kafka: Option<String>,
    /// `http://key:secret@host:port/bucket`
    pub s3: String,
}

impl Servers {
    /// Those of the stack; `None` when the suite does not run on it.
    ///
    /// # Panics
    /// When it is to, and does not know where they are.
    pub fn of_stack() -> Option<Servers> {
        match variable("SUITE_ON").as_deref() {
            None => None,
            Some(on @ ("stack" | "kafka")) => Some(Servers {
                postgres: needed("STACK_POSTGRES"),
                redis: needed("STACK_REDIS"),
                kafka: (on == "kafka").then(|| needed("STACK_KAFKA")),
                s3: needed("STACK_S3"),
            }),
            Some(other) => panic!("SUITE_ON is `stack`, `kafka`, or not set; it is {other:?}"),
        }
    }
}

fn needed(name: &str) -> String {
    variable(name).unwrap_or_else(|| panic!("SUITE_ON=stack needs {name}: run `cargo xtask test --stack`"))
}

/// A database of PostgreSQL, and what goes with it. Dropping it drops the database.
pub struct Place {
    server: String,
    database: String,
    environment: Vec<(String, String)>,
}

impl Place {
    pub(crate) async fn fresh(servers: &Servers) -> Place {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Relaxed);
        let database = format!("suite_{:016x}", fastrand::u64(..));
        sql(&servers.postgres, format!("CREATE DATABASE {database}")).await.expect("databases can be made");
        let mut environment = vec![
            ("ANGARIUM_DB".to_owned(), in_database(&servers.postgres, &database)),
            (
                "ANGARIUM_FEED".to_owned(),
                format!("{}/{}", servers.redis.trim_end_matches('/'), number % REDIS_DATABASES),
            ),
        ];
        if let Some(brokers) = &servers.kafka {
            environment.push(("ANGARIUM_JOURNAL".into(), format!("kafka://{brokers}")));
            environment.push(("ANGARIUM_KAFKA__ACK".into(), "replicated".into()));
        }
        environment.extend(blobs(&servers.s3, &database));
        environment.extend(CONNECTIONS.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Place { server: servers.postgres.clone(), database, environment }
    }

    /// The variables that put a process on it.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// Ends every connection to the database, as an administrator or a broken network does. How many there were.
    pub async fn cut(&self) -> u64 {
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = ";
        sql(&self.server, format!("{cut}'{}'", self.database)).await.expect("an administrator may do this")
    }

    /// Runs statements in the database, as an administrator does.
    pub async fn run(&self, statements: String) {
        sql(&in_database(&self.server, &self.database), statements)
            .await
            .expect("an administrator may do this");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (server, order) =
            (self.server.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database));
        // A server of the test's own is gone with its databases by now.
        let _ = std::thread::spawn(move || run(&server, &order)).join();
    }
}

/// The first column of the first row, if there is a number in it.
async fn sql(url: &str, order: String) -> Result<u64, String> {
    let url = url.to_owned();
    tokio::task::spawn_blocking(move || run(&url, &order)).await.expect("an order does not panic")
}

/// Waits, which a task of a runtime may not.
fn run(url: &str, order: &str) -> Result<u64, String> {
    let run = || {
        let mut client = postgres::Client::connect(url, postgres::NoTls)?;
        client.simple_query(order)
    };
    let answer = run().map_err(|error| format!("{order}: {error:?}"))?;
    let first = answer.iter().find_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    Ok(first.unwrap_or_default())
}

/// `postgres://role@host:port/other` with another database.
fn in_database(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("STACK_POSTGRES names a database");
    format!("{server}/{database}")
}

fn blobs(s3: &str, prefix: &str) -> Vec<(String, String)> {
    let parts = || {
        let (scheme, rest) = s3.split_once("://")?;
        let (keys, rest) = rest.rsplit_once('@')?;
        let (id, secret) = keys.split_once(':')?;
        let (address, bucket) = rest.split_once('/')?;
        Some([
            ("ANGARIUM_BLOBS", format!("s3://{bucket}/{prefix}")),
            ("ANGARIUM_S3__ENDPOINT", format!("{scheme}://{address}")),
            ("ANGARIUM_S3__ACCESS_KEY_ID", id.to_owned()),
            ("ANGARIUM_S3__SECRET_ACCESS_KEY", secret.to_owned()),
        ])
    };
    let parts = parts().unwrap_or_else(|| panic!("STACK_S3 is http://key:secret@host:port/bucket, not {s3}"));
    parts.map(|(name, value)| (name.to_owned(), value)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_stack_are_taken_apart() {
        assert_eq!(in_database("postgres://a:b@h:1/postgres", "mine"), "postgres://a:b@h:1/mine");
        let blobs = blobs("http://key:secret@127.0.0.1:4/bucket", "mine");
        let values: Vec<&str> = blobs.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["s3://bucket/mine", "http://127.0.0.1:4", "key", "secret"]);
    }
}
