//! A real `angarium serve` on a port and a folder of its own, killed when the test is over.

use crate::{
    GUARD,
    caller::{self, Caller, Reply},
    process::{self, Ran, Server, angarium},
};
use serde_json::Value;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How a server is started, where it differs from the defaults.
#[derive(Default, Clone)]
pub struct Setup {
    /// A configuration file.
    pub config: String,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(String, String)>,
    /// Where the data directory is to be; in the world's own folder if not given.
    pub data_dir: Option<PathBuf>,
    /// What the first start of that data directory said, if it was not this one.
    pub keys: Option<Keys>,
}

/// What a first start says, once.
#[derive(Clone)]
pub struct Keys {
    pub app: String,
    pub secret_key: String,
    pub write_key: String,
    /// The live page's path and its fragment with the key.
    live_path: String,
}

pub struct World {
    server: Option<Server>,
    caller: Caller,
    keys: Keys,
    live_url: String,
    ready: Value,
    setup: Setup,
    data_dir: PathBuf,
    port: u16,
    // Last, so that the server is dead when its folder goes.
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
        let temp = TempDir::with_prefix("angarium-suite-").expect("temporary folders can be made");
        let data_dir = setup.data_dir.clone().unwrap_or_else(|| temp.path().join("data"));
        std::fs::write(temp.path().join("angarium.toml"), &setup.config)
            .expect("the folder can be written to");
        let start = Start::new(&setup, temp.path(), &data_dir, 0);
        let (server, ready, _) = start.run().await.unwrap_or_else(|why| panic!("{why}"));
        let url = text(&ready, "url");
        let keys = setup.keys.clone().unwrap_or_else(|| Keys::read(&ready, &url));
        World {
            server: Some(server),
            caller: Caller {
                http: caller::client(),
                app: keys.app.clone(),
                key: keys.secret_key.clone(),
                url: url.clone(),
            },
            live_url: format!("{url}{}", keys.live_path),
            ready,
            port: url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("the URL has a port"),
            keys,
            setup,
            data_dir,
            temp,
        }
    }

    pub fn url(&self) -> String {
        self.caller.url.clone()
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

    /// # Panics
    /// When the server is not running.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("the server was stopped by the test").pid()
    }

    /// A client that does not repeat anything, for requests of one's own.
    pub fn http(&self) -> &reqwest::Client {
        &self.caller.http
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
        let start = Start::new(&self.setup, self.temp.path(), &self.data_dir, self.port);
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
        stderr_of(self.temp.path())
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

impl Keys {
    fn read(ready: &Value, url: &str) -> Keys {
        let live_url = text(ready, "live_url");
        Keys {
            app: text(ready, "app"),
            secret_key: text(ready, "secret_key"),
            write_key: text(ready, "write_key"),
            live_path: live_url.strip_prefix(url).expect("the live page is on the server").to_owned(),
        }
    }
}

fn text(ready: &Value, member: &str) -> String {
    ready[member].as_str().unwrap_or_else(|| panic!("the ready line has no `{member}`: {ready}")).to_owned()
}

fn stderr_of(temp: &Path) -> String {
    let bytes = std::fs::read(temp.join("stderr")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One start of a server.
struct Start {
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    temp: PathBuf,
}

impl Start {
    fn new(setup: &Setup, temp: &Path, data_dir: &Path, port: u16) -> Start {
        let mut arguments: Vec<OsString> = ["--json", "--listen"].map(OsString::from).into();
        arguments.extend([format!("127.0.0.1:{port}").into(), "--data-dir".into(), data_dir.into()]);
        if !setup.config.is_empty() {
            arguments.extend(["--config".into(), temp.join("angarium.toml").into()]);
        }
        arguments.extend(setup.arguments.iter().cloned());
        Start { arguments, environment: setup.environment.clone(), temp: temp.to_owned() }
    }

    /// The server, its ready line, and how long that took.
    async fn run(self) -> Result<(Server, Value, Duration), String> {
        tokio::task::spawn_blocking(move || self.run_here()).await.expect("starting does not panic")
    }

    fn run_here(self) -> Result<(Server, Value, Duration), String> {
        let stderr = self.temp.join("stderr");
        let since = Instant::now();
        let mut server = Server::spawn(&self.arguments, &self.environment, &stderr)
            .map_err(|error| format!("the server could not be started: {error}"))?;
        let line = server.ready_line(GUARD);
        let took = since.elapsed();
        let Some(line) = line else {
            let state =
                if server.is_running() { "did not become ready" } else { "ended before it was ready" };
            return Err(format!("the server {state} ({took:?}):\n{}", stderr_of(&self.temp)));
        };
        let ready = serde_json::from_str(&line).map_err(|error| format!("ready line {line:?}: {error}"))?;
        Ok((server, ready, took))
    }
}
