//! Starting a server: how it differs from the defaults, and what it says when it is ready.

use crate::{
    GUARD,
    place::{Place, Servers},
    process::Server,
};
use serde_json::Value;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// How a server is started, where it differs from the defaults.
#[derive(Default, Clone)]
pub struct Setup {
    /// A configuration file. On the stack, `db`, `journal`, `feed`, `blobs` and `s3` come in variables, which count more.
    pub config: String,
    pub arguments: Vec<OsString>,
    /// Counts more than all that the suite sets itself.
    pub environment: Vec<(String, String)>,
    /// Where the data directory is to be; in the world's own folder if not given.
    pub data_dir: Option<PathBuf>,
    /// What the first start of that data directory said, if it was not this one.
    pub keys: Option<Keys>,
    /// Whom callers trust (PEM), where the configuration has the server speak TLS.
    pub ca: String,
    /// Listens on every address of the machine instead of loopback.
    pub is_public: bool,
    pub on: On,
}

/// What the state of a world lies on.
#[derive(Default, Clone)]
pub enum On {
    /// As the suite is told by `SUITE_ON`: in the folder or on the stack.
    #[default]
    AsTold,
    /// In the folder, whatever the suite is told.
    Folder,
    /// On these servers.
    Servers(Servers),
}

/// The setup of a test that is about the embedded engine, such as its files: it is embedded on the stack too.
///
/// Such tests run in both runs of the suite rather than being left out of one: then what is counted as passed
/// has run, and it costs seconds.
pub fn embedded_only(_why: &str) -> Setup {
    Setup { on: On::Folder, ..Setup::default() }
}

impl Setup {
    /// A new place; `None` where state is in the folder.
    pub(crate) async fn place(&self) -> Option<Arc<Place>> {
        let servers = match &self.on {
            On::AsTold => Servers::of_stack(),
            On::Folder => None,
            On::Servers(servers) => Some(servers.clone()),
        };
        match servers {
            Some(servers) => Some(Arc::new(Place::fresh(&servers).await)),
            None => None,
        }
    }
}

/// What a first start says, once.
#[derive(Clone)]
pub struct Keys {
    pub app: String,
    pub secret_key: String,
    pub write_key: String,
    /// The live page's path and its fragment with the key.
    pub(crate) live_path: String,
}

impl Keys {
    /// For a start of which nobody knows whether it is the first.
    pub fn nobodys() -> Keys {
        let none = String::new;
        Keys { app: none(), secret_key: none(), write_key: none(), live_path: none() }
    }

    /// `None` when it was no first start.
    pub(crate) fn read(ready: &Value) -> Option<Keys> {
        ready.get("app")?;
        let (url, live_url) = (text(ready, "url"), text(ready, "live_url"));
        Some(Keys {
            app: text(ready, "app"),
            secret_key: text(ready, "secret_key"),
            write_key: text(ready, "write_key"),
            live_path: live_url.strip_prefix(&url).expect("the live page is on the server").to_owned(),
        })
    }
}

pub(crate) fn text(ready: &Value, member: &str) -> String {
    ready[member].as_str().unwrap_or_else(|| panic!("the ready line has no `{member}`: {ready}")).to_owned()
}

pub(crate) fn stderr_of(temp: &Path) -> String {
    let bytes = std::fs::read(temp.join("stderr")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn write_config(setup: &Setup, temp: &Path) {
    std::fs::write(temp.join("angarium.toml"), &setup.config).expect("the folder can be written to");
}

/// One start of a server.
pub(crate) struct Start {
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    temp: PathBuf,
}

impl Start {
    pub fn new(setup: &Setup, place: Option<&Place>, temp: &Path, data_dir: &Path, port: u16) -> Start {
        let mut arguments: Vec<OsString> = ["--json", "--listen"].map(OsString::from).into();
        let host = if setup.is_public { "0.0.0.0" } else { "127.0.0.1" };
        arguments.extend([format!("{host}:{port}").into(), "--data-dir".into(), data_dir.into()]);
        if !setup.config.is_empty() {
            arguments.extend(["--config".into(), temp.join("angarium.toml").into()]);
        }
        arguments.extend(setup.arguments.iter().cloned());
        let on_place = place.map(Place::environment).unwrap_or_default();
        let environment = on_place.into_iter().chain(setup.environment.iter().cloned()).collect();
        Start { arguments, environment, temp: temp.to_owned() }
    }

    /// The server, its ready line, and how long that took.
    pub async fn run(self) -> Result<(Server, Value, Duration), String> {
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
