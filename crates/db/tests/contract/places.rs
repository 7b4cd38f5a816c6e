//! Where a store lies: on which engines a promise is tried.

use crate::{Db, THINGS};
use angarium_base::{Clock, Result};
use angarium_db::{Migration, postgres::Options};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A store that can be opened, also again.
pub enum Place {
    Folder(tempfile::TempDir),
    Database(Database),
}

/// Each engine that is there: SQLite, and PostgreSQL where `STACK_POSTGRES` says where a server is.
pub fn places() -> Vec<Place> {
    let folder = Place::Folder(tempfile::tempdir().unwrap());
    [folder].into_iter().chain(Database::fresh().map(Place::Database)).collect()
}

impl Place {
    pub fn open(&self) -> Db {
        match self {
            Place::Folder(dir) => crate::open(dir.path()),
            Place::Database(database) => database.open(&[THINGS]).unwrap(),
        }
    }
}

/// A database of its own, dropped with it.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// `None` where there is no server, which has been said then.
    #[allow(clippy::disallowed_methods, reason = "a test is told by the environment where a server is")]
    #[allow(clippy::print_stdout, reason = "what a test skips it says")]
    pub fn fresh() -> Option<Database> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var("STACK_POSTGRES") else {
            println!(
                "skipped: optional: PostgreSQL, as STACK_POSTGRES is not set (`cargo xtask test --stack`)"
            );
            return None;
        };
        let name = format!("db_contract_{}_{}", std::process::id(), MADE.fetch_add(1, Relaxed));
        let database = Database { server, name };
        database.order(&format!("CREATE DATABASE {}", database.name));
        Some(database)
    }

    /// As in a fleet's process with one connection for writes, so that they are done in order.
    pub fn open(&self, migrations: &[Migration]) -> Result<Db> {
        Db::open_postgres(&self.options().with_connections(1, 4), migrations, Clock::manual(1_000))
    }

    pub fn url(&self) -> String {
        let (base, _) = self.server.rsplit_once('/').unwrap();
        format!("{base}/{}", self.name)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn options(&self) -> Options {
        Options::parse(&self.url()).unwrap()
    }

    /// Runs statements on the server, not in this database.
    pub fn order(&self, sql: &str) {
        at(&self.server, sql);
    }

    /// Runs statements in this database, as somebody else.
    pub fn run(&self, sql: &str) {
        at(&self.url(), sql);
    }

    /// Ends all connections to the database but the asker's.
    pub fn cut(&self) {
        self.order(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
            self.name
        ));
    }
}

/// On a thread of its own: the client waits, which a test's task may not.
fn at(url: &str, sql: &str) {
    let (url, sql) = (url.to_owned(), sql.to_owned());
    let done = std::thread::spawn(move || {
        let mut client = ::postgres::Client::connect(&url, ::postgres::NoTls).unwrap();
        client.batch_execute(&sql).unwrap();
    });
    done.join().unwrap();
}

impl Drop for Database {
    fn drop(&mut self) {
        self.order(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}
