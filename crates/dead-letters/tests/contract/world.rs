//! Two apps with an inbox each, the routes, and work that can be given up: a row that counts how often it was due.

use angarium_base::{AppId, Clock, KeyId, Result, Secret, clock::Millis, error::NOT_FOUND};
use angarium_blobs::Blobs;
use angarium_db::{Db, Migration, Tx, postgres::Options, v};
use angarium_feed::{Feed, Target};
use angarium_identity::{Fetching, Settings, Verifier};
use angarium_journal::Journal;
use angarium_kit::{
    Handles, Kit, Parts,
    access::{Anonymous, App, Directory, Entries, Key, KeyEntry, Role},
    dead_letters::{self, DEAD_LETTERS, Inbox, Letter},
    fleet::{self, Fleet, Member, Timing},
    gate::{Gate, Rates},
    http::{Budget, Limits, TrustedProxies},
    idempotency,
    metrics::Metrics,
    secrets::Secrets,
};
use axum::{
    Router,
    body::Body,
    middleware::{Next, from_fn},
};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// How long anything may take before it counts as never.
const NEVER: Duration = Duration::from_secs(60);
/// An instant to start at.
pub const START: Millis = 1_700_000_000_000;

const WORKS: Migration = Migration::new(
    "works",
    "CREATE TABLE works (owner TEXT NOT NULL, id TEXT NOT NULL, due BIGINT NOT NULL, PRIMARY KEY (owner, id))",
);

pub struct World {
    pub kit: Kit,
    pub clock: Clock,
    /// The app of the tests, and another one.
    pub app: AppId,
    pub other: AppId,
    router: Router,
    _place: Place,
}

enum Place {
    Folder { _dir: tempfile::TempDir },
    Database { server: String, name: String, _dir: tempfile::TempDir },
}

/// An answer, read to its end.
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Makes a work due again; one that is gone cannot be.
fn redo(tx: &mut Tx<'_>, app: &AppId, letter: &Letter, _: Millis) -> Result<()> {
    let done = tx.exec(
        "UPDATE works SET due = due + 1 WHERE owner = $1 AND id = $2",
        v![app.as_str(), &letter.source],
    )?;
    if done == 0 { Err(NOT_FOUND.err("the work is gone")) } else { Ok(()) }
}

/// Makes a work due again that is given up again in the same moment.
fn redo_in_vain(tx: &mut Tx<'_>, app: &AppId, letter: &Letter, now: Millis) -> Result<()> {
    redo(tx, app, letter, now)?;
    dead_letters::store::put(tx, app, &angarium_base::DeadLetterId::new(now), letter)?;
    Ok(())
}

impl World {
    pub async fn new() -> World {
        let clock = Clock::manual(START);
        let (place, db) = Place::fresh(&clock);
        let (app, other) = (AppId::new(START), AppId::new(START));
        let kit = kit(db, &clock, place.dir(), [&app, &other]).await;
        let own = kit.clone();
        let router = angarium_dead_letters::slice(Duration::from_secs(3_600))
            .routes
            .into_router()
            .layer(from_fn(move |request, next: Next| idempotency::once(own.clone(), request, next)))
            .with_state(kit.clone());
        World { kit, clock, app, other, router, _place: place }
    }

    /// Gives works up; a work's id is its name.
    pub async fn give_up(&self, app: &AppId, kind: &str, names: impl IntoIterator<Item = String>) {
        let (inbox, now) = (Inbox::of(&self.kit, app).await.unwrap(), self.clock.now());
        let (app, kind, names) = (app.clone(), kind.to_owned(), names.into_iter().collect::<Vec<_>>());
        self.kit
            .db
            .write(move |tx| {
                for name in &names {
                    tx.exec("INSERT INTO works (owner, id, due) VALUES ($1, $2, 0)", v![app.as_str(), name])?;
                    inbox.put(tx, now, &letter(&kind, name, now))?;
                }
                Ok(())
            })
            .await
            .unwrap();
    }

    /// How often works were due again: `(works, the least often, the most often)`.
    pub async fn dues(&self, app: &AppId, prefix: &str) -> (i64, i64, i64) {
        let (app, like) = (app.clone(), format!("{prefix}%"));
        let read = move |tx: &mut Tx<'_>| {
            tx.one(
                "SELECT count(*), min(due), max(due) FROM works WHERE owner = $1 AND id LIKE $2",
                v![app.as_str(), &like],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
        };
        self.kit.db.read(read).await.unwrap()
    }

    pub async fn forget_work(&self, app: &AppId, name: &str) {
        let (app, name) = (app.clone(), name.to_owned());
        let forget = move |tx: &mut Tx<'_>| {
            tx.exec("DELETE FROM works WHERE owner = $1 AND id = $2", v![app.as_str(), &name])
        };
        assert_eq!(self.kit.db.write(forget).await.unwrap(), 1);
    }

    pub async fn get(&self, rest: &str) -> Reply {
        self.send("GET", rest, None, "").await
    }

    pub async fn post(&self, rest: &str, body: &Value) -> Reply {
        self.send("POST", rest, None, &body.to_string()).await
    }

    pub async fn delete(&self, rest: &str) -> Reply {
        self.send("DELETE", rest, None, "").await
    }

    /// Sends something about the app's dead letters, with the app's key.
    pub async fn send(&self, method: &str, rest: &str, once: Option<&str>, body: &str) -> Reply {
        self.send_in(&self.app, method, rest, once, body).await
    }

    /// The same about an app, with the key of the tests' app.
    pub async fn send_in(
        &self,
        app: &AppId,
        method: &str,
        rest: &str,
        once: Option<&str>,
        body: &str,
    ) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v1/apps/{app}/dead-letters{rest}"))
            .header("authorization", format!("Bearer {}", secret_of(&self.app).expose()))
            .header("content-type", "application/json");
        if let Some(once) = once {
            request = request.header("idempotency-key", once);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Every item of a list, by its cursors.
    pub async fn all(&self, query: &str) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("?{query}{after}")).await.json();
            all.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return all,
            }
        }
    }

    /// What became of the app's letters: `(change, source)` in their order.
    pub async fn changes(&self) -> Vec<(String, String)> {
        let stream = self.kit.journal.stream(&self.app, DEAD_LETTERS).await.unwrap();
        let (mut all, mut from) = (Vec::new(), 0);
        loop {
            let page = self.kit.journal.read(&stream, from, 1_000).await.unwrap();
            if page.is_empty() {
                return all;
            }
            for record in page.records() {
                let record: Value = serde_json::from_slice(record.data).unwrap();
                let text = |name: &str| record[name].as_str().unwrap().to_owned();
                all.push((text("change"), text("source")));
            }
            from = page.next;
        }
    }

    /// Asks until it is so.
    pub async fn eventually(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let started = Instant::now();
        while !is_so().await {
            assert!(started.elapsed() < NEVER, "{what}: did not happen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Carries redrives out until the one at `path` has ended, and returns it.
    pub async fn ended(&self, path: &str) -> Value {
        let stop = CancellationToken::new();
        let worker = tokio::spawn(angarium_dead_letters::run_redrives(self.kit.clone(), stop.clone()));
        self.eventually("the redrive ends", async || self.get(path).await.json()["state"] != "running").await;
        stop.cancel();
        worker.await.unwrap();
        self.get(path).await.json()
    }
}

/// A letter of a kind that the tests know how to run again.
fn letter(kind: &str, name: &str, now: Millis) -> Letter {
    Letter {
        kind: kind.into(),
        code: if name.contains("late") { "timeout" } else { "refused" }.into(),
        reason: "it was tried three times".into(),
        attempts: 3,
        first_at: now - 1_000,
        last_at: now,
        source: name.into(),
        link: format!("/v1/works/{name}"),
        media_type: "application/json".into(),
        body: format!("{{\"name\": \"{name}\"}}").into_bytes(),
    }
}

/// The path of a redrive, as the answer that accepted it says.
pub fn path_of(accepted: &Reply) -> String {
    assert_eq!(accepted.status, 202, "{}", String::from_utf8_lossy(&accepted.body));
    let location = accepted.headers["location"].to_str().unwrap();
    location.split_once("/dead-letters").unwrap().1.to_owned()
}

fn secret_of(app: &AppId) -> Secret {
    Secret::new(format!("ang_sk_{app}"))
}

async fn kit(db: Db, clock: &Clock, dir: &std::path::Path, apps: [&AppId; 2]) -> Kit {
    let feed = Feed::open(&Target::Local, "contract", clock.clone()).await.unwrap();
    let blobs =
        Blobs::open(&angarium_blobs::Target::Folder(dir.join("blobs")), Default::default(), clock.clone());
    let member = Member::new(vec![fleet::Role::Api, fleet::Role::Timer], "1.2.3", "127.0.0.1:1", clock);
    let fleet = Fleet::enter(&db, &feed, clock.clone(), member, Timing::default()).await.unwrap();
    let settings = Settings {
        issuers: Vec::new(),
        audience: "angarium".into(),
        leeway: Duration::ZERO,
        fetching: Fetching::default(),
    };
    let limits = Limits::default();
    Kit::new(Handles {
        journal: Journal::open(db.clone(), Default::default(), clock.clone()).await.unwrap(),
        gate: Gate::new(feed.limiter(), Rates::default()),
        directory: directory(apps),
        identity: Verifier::new(settings, clock.clone()).unwrap(),
        blobs: blobs.unwrap(),
        proxy: None,
        secrets: Secrets::default(),
        under_way: Default::default(),
        trusted_proxies: TrustedProxies::parse(&[]).unwrap(),
        metrics: Metrics::new(),
        budget: Budget::new(&limits),
        limits,
        anonymous: Anonymous::default(),
        parts: Parts {
            streams: vec![DEAD_LETTERS],
            erasers: Vec::new(),
            redrives: [("work", redo as dead_letters::Redrive), ("vain", redo_in_vain)].into(),
        },
        stop: CancellationToken::new(),
        clock: clock.clone(),
        db,
        feed,
        fleet,
    })
}

/// Both apps, each with the key of an operator.
fn directory(apps: [&AppId; 2]) -> Directory {
    let directory = Directory::default();
    let app = |id: &AppId| App {
        id: id.clone(),
        name: "an app".into(),
        bundle_id: format!("org.example.{}", &id.as_str()[4..]),
        created_at: START,
        truncate_addresses: false,
        cors_origins: Vec::new(),
    };
    let key = |app: &AppId| KeyEntry {
        hash: secret_of(app).hash(),
        key: Key {
            id: KeyId::new(START),
            app: app.clone(),
            name: "operator".into(),
            role: Role::Operator,
            expires_at: None,
            last_used_at: Default::default(),
        },
    };
    directory.replace(Entries {
        version: 1,
        apps: apps.map(app).into(),
        keys: apps.map(key).into(),
        ..Entries::default()
    });
    directory
}

impl Place {
    #[allow(clippy::disallowed_methods, reason = "a test is told by the environment where a server is")]
    fn fresh(clock: &Clock) -> (Place, Db) {
        let migrations = [
            angarium_journal::MIGRATIONS,
            fleet::MIGRATIONS,
            idempotency::MIGRATIONS,
            dead_letters::MIGRATIONS,
            angarium_dead_letters::MIGRATIONS,
            &[WORKS],
        ]
        .concat();
        let dir = tempfile::tempdir().unwrap();
        match std::env::var("CONTRACT_ENGINE").as_deref() {
            Err(_) => {
                let db = Db::open(dir.path(), &migrations, clock.clone()).unwrap();
                (Place::Folder { _dir: dir }, db)
            }
            Ok("postgres") => {
                static MADE: AtomicU64 = AtomicU64::new(0);
                let server = std::env::var("STACK_POSTGRES").expect("STACK_POSTGRES says where a server is");
                let name = format!("dead_letters_{}_{}", std::process::id(), MADE.fetch_add(1, Relaxed));
                order(&server, format!("CREATE DATABASE {name}"));
                let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
                let options = Options::parse(&url).unwrap().with_connections(4, 2);
                let db = Db::open_postgres(&options, &migrations, clock.clone()).unwrap();
                (Place::Database { server, name, _dir: dir }, db)
            }
            Ok(other) => panic!("there is no engine {other}"),
        }
    }

    fn dir(&self) -> &std::path::Path {
        match self {
            Place::Folder { _dir: dir } | Place::Database { _dir: dir, .. } => dir.path(),
        }
    }
}

/// On a thread of its own: the client waits, which a test's task may not.
fn order(url: &str, sql: String) {
    let url = url.to_owned();
    let done = std::thread::spawn(move || {
        let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
        client.batch_execute(&sql).unwrap();
    });
    done.join().unwrap();
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Place::Database { server, name, .. } = self {
            order(server, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}
