//! A Redis of one test's own, that it can stop, pause and start again.

use crate::{World, skipped, until};
use angarium_base::Secret;
use angarium_feed::Target;
use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

pub struct OwnRedis {
    pub dir: TempDir,
    pub port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl OwnRedis {
    /// One that is not started yet; `None`, and a word about it, where there is no Redis.
    pub fn new() -> Option<OwnRedis> {
        if !is_installed("redis-server") {
            return None;
        }
        Some(OwnRedis {
            dir: tempfile::tempdir().unwrap(),
            port: free_port(),
            arguments: Vec::new(),
            child: None,
        })
    }

    pub fn with(mut self, arguments: &[&str]) -> OwnRedis {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    pub fn world(&self) -> World {
        World::new(Target::Redis(Secret::new(format!("redis://127.0.0.1:{}", self.port))))
    }

    pub async fn start(&mut self) {
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        if !self.arguments.iter().any(|argument| argument == "--port") {
            command.args(["--port", &port]);
        }
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]);
        command.arg(self.dir.path()).args(&self.arguments);
        self.child = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        until("redis-server", || TcpStream::connect(("127.0.0.1", self.port)).is_ok()).await;
    }

    /// As when the machine loses power.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// `STOP` and `CONT`: it is there, and does not answer.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
    }

    pub async fn command(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(("127.0.0.1".to_owned(), self.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::Cmd::new();
        words.iter().for_each(|word| _ = command.arg(*word));
        command.query_async(&mut connection).await.unwrap()
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn is_installed(program: &str) -> bool {
    let version = if program == "openssl" { "version" } else { "--version" };
    let found =
        Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        skipped(&format!("{program} is not installed"));
    }
    found
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
