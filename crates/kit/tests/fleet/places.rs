//! Two processes on one store, on each engine, and a clock that stands still.

use angarium_base::Clock;
use angarium_db::{Db, postgres::Options};
use angarium_feed::{Feed, Target};
use angarium_kit::fleet::{Fleet, MIGRATIONS, Member, Role, Timing};
use std::{
    sync::{
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

/// A store with two processes on it; on SQLite, which one process has at a time, they share the handle.
pub struct Place {
    pub dbs: [Db; 2],
    pub fleets: Vec<Fleet>,
    pub clock: Clock,
    /// The clock of a runtime in which something blocks does not go ahead by itself.
    _standing: mpsc::Sender<()>,
    _files: Files,
}

enum Files {
    Folder { _dir: tempfile::TempDir },
    Database { server: String, name: String },
}

/// Each engine that is there: SQLite, and PostgreSQL where `STACK_POSTGRES` says where a server is.
pub async fn places() -> Vec<Place> {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(1_000_000);
    let db = Db::open(dir.path(), MIGRATIONS, clock.clone()).unwrap();
    let mut places = vec![Place::new([db.clone(), db], Files::Folder { _dir: dir }, clock).await];
    let Some(server) = server() else { return places };
    static MADE: AtomicU32 = AtomicU32::new(0);
    let name = format!("fleet_{}_{}", std::process::id(), MADE.fetch_add(1, Relaxed));
    at(&server, &format!("CREATE DATABASE {name}"));
    let (base, _) = server.rsplit_once('/').unwrap();
    let options = Options::parse(&format!("{base}/{name}")).unwrap().with_connections(1, 1);
    let clock = Clock::manual(1_000_000);
    let open = || Db::open_postgres(&options, MIGRATIONS, clock.clone()).unwrap();
    let dbs = [open(), open()];
    places.push(Place::new(dbs, Files::Database { server, name }, clock.clone()).await);
    places
}

#[allow(clippy::disallowed_methods, reason = "its environment tells a test which servers there are")]
#[allow(clippy::print_stdout, reason = "what a test skips is said")]
fn server() -> Option<String> {
    let server = std::env::var("STACK_POSTGRES").ok();
    if server.is_none() {
        println!("skipped: optional: STACK_POSTGRES is not set");
    }
    server
}

impl Place {
    async fn new(dbs: [Db; 2], files: Files, clock: Clock) -> Place {
        let (standing, stands) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || stands.recv());
        let feed = Feed::open(&Target::Local, "fleet", clock.clone()).await.unwrap();
        let mut fleets = Vec::new();
        for (db, address) in dbs.iter().zip(["127.0.0.1:1", "127.0.0.1:2"]) {
            let member = Member::new(vec![Role::Api, Role::Timer], "1.2.3", address, &clock);
            fleets.push(Fleet::enter(db, &feed, clock.clone(), member, Timing::default()).await.unwrap());
        }
        Place { dbs, fleets, clock, _standing: standing, _files: files }
    }

    /// Whether both processes have the store by handles of their own.
    pub fn is_shared(&self) -> bool {
        self.dbs[0].is_shared()
    }

    /// A process dies: it says nothing any more, and no farewell.
    pub fn kill(&mut self, process: usize) {
        drop(self.fleets.remove(process));
    }

    /// Lets time pass, in small steps, each with all that is due in it done.
    pub async fn pass(&self, time: Duration) {
        let step = Duration::from_millis(250);
        for _ in 0..time.as_millis() / step.as_millis() {
            tokio::time::advance(step).await;
            self.clock.advance(step.as_millis() as i64);
            self.settle().await;
        }
    }

    /// Waits until what was asked of the store is answered, and what follows from the answers asked and answered.
    pub async fn settle(&self) {
        for _ in 0..3 {
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            for db in &self.dbs {
                // Each engine does writes and reads in their order here. A closed store answers with an error.
                let _ = db.write(|_| Ok(())).await;
                let _ = db.read(|_| Ok(())).await;
            }
        }
    }

    /// The same until something is so: on a busy machine a connection may come late.
    pub async fn settle_until(&self, is_so: impl Fn() -> bool) {
        for _ in 0..1_000 {
            if is_so() {
                return;
            }
            self.settle().await;
        }
    }
}

/// On a thread of its own: the client waits, which a test's task may not.
fn at(url: &str, sql: &str) {
    let (url, sql) = (url.to_owned(), sql.to_owned());
    let done = std::thread::spawn(move || {
        let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
        client.batch_execute(&sql).unwrap();
    });
    done.join().unwrap();
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Files::Database { server, name } = self {
            at(server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}
