//! A real `angarium serve` on a port and a folder of its own, and on the stack on a database of its own; killed when
//! the test is over.

use crate::{
    GUARD,
    caller::{Caller, Reply},
    place::{Place, Servers},
    process::{self, Ran, Server, angarium},
    skip,
    start::{self, Keys, Setup, Start},
};
use futures_util::future::join_all;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

pub struct World {
    server: Option<Server>,
    caller: Caller,
    keys: Keys,
    live_url: String,
    ready: Value,
    setup: Setup,
    data_dir: PathBuf,
    port: u16,
    // These are last, so that the server is dead when its database and its folder go.
    place: Option<Arc<Place>>,
    temp: TempDir,
}

impl World {
    /// A server with the defaults.
    pub async fn start() -> World {
        World::start_as(Setup::default()).await
    }

    /// A server with a configuration file. Its data directory and address are given on the command line.
    pub async fn start_with(config_toml: &str) -> World {
        World::start_as(Setup { config: config_toml.to_owned(), ..Setup::default() }).await
    }

    pub async fn start_as(setup: Setup) -> World {
        let [world] = World::start_together(setup).await;
        world
    }

    /// Processes on one database, started at the same moment. `None`, which has been said then, where the suite does
    /// not run on the stack.
    pub async fn fleet<const N: usize>() -> Option<[World; N]> {
        if Servers::of_stack().is_none() {
            skip("optional: several processes need the stack (`cargo xtask test --stack`)");
            return None;
        }
        Some(World::start_together(Setup::default()).await)
    }

    /// What is sent at the first is to be seen at the last: one process, or two of them where the suite runs on the stack.
    pub async fn near_and_far(setup: Setup) -> Vec<World> {
        match Servers::of_stack() {
            None => vec![World::start_as(setup).await],
            Some(_) => World::start_together::<2>(setup).await.into(),
        }
    }

    /// Processes that start at the same moment. On the stack they are on one database.
    ///
    /// # Panics
    /// When not exactly one of them says the keys of a first start, if the setup has none.
    pub async fn start_together<const N: usize>(setup: Setup) -> [World; N] {
        let place = setup.place().await;
        let starting = (0..N).map(|_| Starting::run(&setup, place.clone()));
        let started = join_all(starting).await;
        let firsts: Vec<Keys> = started.iter().filter_map(|one| Keys::read(&one.ready)).collect();
        let keys = match (&setup.keys, &firsts[..]) {
            (Some(keys), _) => keys.clone(),
            (None, [keys]) => keys.clone(),
            (None, _) => panic!("{} of {N} processes say that theirs was the first start", firsts.len()),
        };
        let worlds = started.into_iter().map(|one| one.finish(&setup, &keys)).collect::<Vec<_>>();
        worlds.try_into().unwrap_or_else(|_| unreachable!("as many were started"))
    }

    /// One more process on what this one lies on, with a folder of its own.
    pub async fn beside(&self, setup: Setup) -> World {
        Starting::run(&setup, self.place.clone()).await.finish(&setup, &self.keys)
    }

    pub fn url(&self) -> String {
        self.caller.url().to_owned()
    }

    pub fn app(&self) -> &str {
        &self.keys.app
    }

    pub fn secret_key(&self) -> &str {
        &self.keys.secret_key
    }

    pub fn write_key(&self) -> &str {
        &self.keys.write_key
    }

    /// What the latest start said.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    pub fn keys(&self) -> Keys {
        self.keys.clone()
    }

    /// The page that a first start names, with its key in the fragment.
    pub fn live_url(&self) -> &str {
        &self.live_url
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// A folder for the test's own files; it goes with the world.
    pub fn temp_dir(&self) -> &Path {
        self.temp.path()
    }

    /// What the world stands on beside its folder: `None` where it is embedded.
    pub fn place(&self) -> Option<&Arc<Place>> {
        self.place.as_ref()
    }

    /// # Panics
    /// When the server is not running.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("the server was stopped by the test").pid()
    }

    /// A client that does not repeat anything, for requests of one's own.
    pub fn http(&self) -> &reqwest::Client {
        self.caller.http()
    }

    /// Somebody with the secret key, who can be moved to another task.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// The product's own client, with the secret key.
    pub fn client(&self) -> angarium_client::Client {
        angarium_client::Client::new(&self.url(), Some(self.secret_key())).expect("URL and key can be used")
    }

    /// The URL of something of the app.
    pub fn path(&self, rest: &str) -> String {
        self.caller.path(rest)
    }

    /// Posts to something of the app, with the secret key.
    pub async fn post(&self, rest: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Reply {
        self.caller
            .try_post(rest, content_type, body)
            .await
            .unwrap_or_else(|error| panic!("{error:?}\n{}", self.stderr()))
    }

    /// Reads something of the app, with the secret key.
    pub async fn get(&self, rest: &str) -> Reply {
        self.caller.try_get(rest).await.unwrap_or_else(|error| panic!("{error:?}\n{}", self.stderr()))
    }

    /// Changes something of the app, with the secret key.
    pub async fn patch(&self, rest: &str, body: &Value) -> Reply {
        self.caller
            .send(reqwest::Method::PATCH, rest, "application/json", body.to_string())
            .await
            .unwrap_or_else(|error| panic!("{error:?}\n{}", self.stderr()))
    }

    /// Reads a path of the server, with no key.
    pub async fn open(&self, path: &str) -> Reply {
        self.caller.try_open(path).await.unwrap_or_else(|error| panic!("{error:?}\n{}", self.stderr()))
    }

    /// A client command of the binary that speaks to this server with the secret key.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = angarium(arguments);
        command.env("ANGARIUM_URL", self.url()).env("ANGARIUM_KEY", self.secret_key());
        command
    }

    /// Runs a client command of the binary to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        process::run(self.command(arguments)).await
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.server.take();
    }

    /// Kills the server if it runs, and starts it on the same data directory and port. How long it took to be ready.
    pub async fn restart(&mut self) -> Duration {
        self.kill();
        let place = self.place.as_deref();
        let start = Start::new(&self.setup, place, self.temp.path(), &self.data_dir, self.port);
        let (server, ready, took) = start.run().await.unwrap_or_else(|why| panic!("{why}"));
        (self.server, self.ready) = (Some(server), ready);
        took
    }

    /// SIGTERM, and how it ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        let server = self.server.take().expect("the server was stopped by the test");
        server.terminate();
        self.ended(server).await
    }

    /// SIGTERM, without waiting for the end.
    pub fn ask_to_stop(&self) {
        self.server.as_ref().expect("the server was stopped by the test").terminate();
    }

    /// How the server ended that was asked to stop.
    pub async fn end(&mut self) -> ExitStatus {
        let server = self.server.take().expect("the server was stopped by the test");
        self.ended(server).await
    }

    async fn ended(&self, mut server: Server) -> ExitStatus {
        let ended =
            tokio::task::spawn_blocking(move || server.wait(GUARD)).await.expect("waiting does not panic");
        ended.unwrap_or_else(|| {
            panic!("the server did not end within {} s\n{}", GUARD.as_secs(), self.stderr())
        })
    }

    /// What all servers of this world have logged.
    pub fn stderr(&self) -> String {
        start::stderr_of(self.temp.path())
    }

    /// Every event, in order, by following the cursors of `records` to the end: `{cursor, at, data}`.
    pub async fn all_events(&self) -> Vec<Value> {
        self.all_records("events", 1_000).await
    }

    /// Every record of a stream, in order, `limit` to a page.
    pub async fn all_records(&self, stream: &str, limit: u32) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/streams/{stream}/records?limit={limit}{after}")).await;
            assert_eq!(page.status, 200, "{}", page.text());
            let mut page = page.json();
            let Value::Array(items) = page["items"].take() else { panic!("a page without items") };
            if items.is_empty() {
                return all;
            }
            all.extend(items);
            after = format!("&after={}", page["next"].as_str().expect("`next` is always a cursor"));
        }
    }
}

/// A server that has started, and is not a world yet.
struct Starting {
    server: Server,
    ready: Value,
    data_dir: PathBuf,
    place: Option<Arc<Place>>,
    temp: TempDir,
}

impl Starting {
    async fn run(setup: &Setup, place: Option<Arc<Place>>) -> Starting {
        let temp = TempDir::with_prefix("angarium-suite-").expect("temporary folders can be made");
        let data_dir = setup.data_dir.clone().unwrap_or_else(|| temp.path().join("data"));
        start::write_config(setup, temp.path());
        let start = Start::new(setup, place.as_deref(), temp.path(), &data_dir, 0);
        let (server, ready, _) = start.run().await.unwrap_or_else(|why| panic!("{why}"));
        Starting { server, ready, data_dir, place, temp }
    }

    fn finish(self, setup: &Setup, keys: &Keys) -> World {
        let url = start::text(&self.ready, "url");
        World {
            server: Some(self.server),
            caller: Caller::new(&url, &keys.app, &keys.secret_key, &setup.ca),
            live_url: format!("{url}{}", keys.live_path),
            ready: self.ready,
            port: url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("the URL has a port"),
            keys: keys.clone(),
            setup: setup.clone(),
            data_dir: self.data_dir,
            place: self.place,
            temp: self.temp,
        }
    }
}
