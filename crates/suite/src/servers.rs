//! Servers of a test's own, which it may kill: nobody else is on them.

use crate::{GUARD, process::variable, skip};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A PostgreSQL or a Redis on a port and a folder of its own. Killed when dropped.
pub struct OwnServer {
    kind: Kind,
    port: u16,
    child: Option<Child>,
    folder: TempDir,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Postgres,
    Redis,
}

impl OwnServer {
    /// A new PostgreSQL that runs; `None` where it is not installed, which has been said then.
    pub async fn postgres() -> Option<OwnServer> {
        let Some(programs) = postgres_programs() else {
            skip("optional: PostgreSQL's `initdb` is not installed here");
            return None;
        };
        Some(OwnServer::start_new(Kind::Postgres, move |folder| initdb(&programs, folder)).await)
    }

    /// A new Redis that runs; `None` where it is not installed, which has been said then.
    pub async fn redis() -> Option<OwnServer> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            skip("optional: `redis-server` is not installed here");
            return None;
        }
        Some(OwnServer::start_new(Kind::Redis, |_| {}).await)
    }

    async fn start_new(kind: Kind, prepare: impl FnOnce(&Path) + Send + 'static) -> OwnServer {
        let make = move || {
            let folder = new_folder();
            prepare(folder.path());
            OwnServer { kind, port: free_port(), child: None, folder }
        };
        let mut server = tokio::task::spawn_blocking(make).await.expect("a server can be prepared");
        server.start().await;
        server
    }

    pub fn url(&self) -> String {
        match self.kind {
            Kind::Postgres => format!("postgres://angarium@127.0.0.1:{}/postgres", self.port),
            Kind::Redis => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    /// SIGKILL, as when its machine is gone; what it has synced stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours");
            // PostgreSQL does not start again while its old pid is there.
            child.wait().expect("it is ours");
        }
    }

    /// Starts it on what it has, and waits until it answers.
    pub async fn start(&mut self) {
        let since = Instant::now();
        while !self.answers().await {
            assert!(since.elapsed() < GUARD, "{} does not answer:\n{}", self.url(), self.log());
            // Its processes of before the kill may still be going: then it ends at once, and is started again.
            if self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
                self.child = Some(self.command().spawn().expect("it can be started"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What Redis answers to a command.
    pub async fn redis_command(&self, command: &'static str) -> String {
        let port = self.port;
        let ask = move || ask_redis(port, command).expect("Redis answers");
        tokio::task::spawn_blocking(ask).await.expect("asking does not panic")
    }

    async fn answers(&self) -> bool {
        let (kind, port, url) = (self.kind, self.port, self.url());
        let ask = move || match kind {
            Kind::Postgres => postgres::Client::connect(&url, postgres::NoTls).is_ok(),
            Kind::Redis => ask_redis(port, "PING").is_ok_and(|answer| answer.starts_with("+PONG")),
        };
        tokio::task::spawn_blocking(ask).await.expect("asking does not panic")
    }

    fn command(&self) -> Command {
        let (folder, port) = (self.folder.path(), self.port.to_string());
        let log = std::fs::File::options().create(true).append(true).open(folder.join("log"));
        let log = log.expect("the folder can be written to");
        let mut command = match self.kind {
            Kind::Postgres => {
                let programs = postgres_programs().expect("it was installed a moment ago");
                let mut command = as_nobody(&programs.join("postgres"));
                command.arg("-D").arg(folder.join("data")).args(["-p", &port]);
                command
            }
            Kind::Redis => {
                let mut command = Command::new("redis-server");
                command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
                command
            }
        };
        // In a group of its own: a Ctrl-C is for the tests.
        command.current_dir(folder).process_group(0).stdin(Stdio::null());
        command.stderr(log.try_clone().expect("a file has many handles")).stdout(log);
        command
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        if self.kind == Kind::Postgres {
            // "Immediate": it ends its children first, which a SIGKILL would leave to find out for themselves.
            let _ = Command::new("kill").args(["-QUIT", &child.id().to_string()]).status();
            let _ = child.wait();
        }
        self.kill();
    }
}

/// In the stack's folder, if there is one: what is left there when the tests are killed is stopped with the stack.
fn new_folder() -> TempDir {
    let parent = variable("STACK_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::Builder::new().prefix("own.").tempdir_in(parent).expect("folders can be made");
    // PostgreSQL may run as another user, who must get through.
    let passable = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(folder.path(), passable).expect("it is ours");
    folder
}

/// From below the range that the kernel gives to outgoing connections: while a test keeps its server stopped,
/// nothing else must get its port.
fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(20_000..31_000)).find(is_free).expect("there are free ports")
}

fn ask_redis(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = [0; 512];
    let read = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
}

fn initdb(programs: &Path, folder: &Path) {
    let data = folder.join("data");
    std::fs::create_dir(&data).expect("the folder can be written to");
    if let Some(user) = other_user() {
        let owner = Command::new("chown").arg(format!("{user}:")).arg(&data).status();
        assert!(owner.is_ok_and(|status| status.success()), "root can give folders away");
    }
    let mut initdb = as_nobody(&programs.join("initdb"));
    initdb.args([
        "--username=angarium",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
        "-D",
    ]);
    let output = initdb.arg(&data).current_dir(&data).output().expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let settings = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 100\n";
    let mut file = std::fs::File::options().append(true).open(data.join("postgresql.conf"));
    let file = file.as_mut().expect("initdb has written one");
    file.write_all(settings.as_bytes()).expect("it can be written to");
}

/// The folder of the newest version: Debian's, which is not on the `PATH`, or another.
fn postgres_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let newest = versions.max().map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    let path = variable("PATH").unwrap_or_default();
    let folders = newest.into_iter().chain(std::env::split_paths(&path));
    folders.into_iter().find(|folder| folder.join("initdb").is_file())
}

/// PostgreSQL refuses to run as root.
fn other_user() -> Option<&'static str> {
    let id = |arguments: &[&str]| Command::new("id").args(arguments).stderr(Stdio::null()).output().ok();
    let is_root = id(&["-u"]).is_some_and(|output| output.stdout.starts_with(b"0\n"));
    let is_there = |name: &&str| id(&["-u", name]).is_some_and(|output| output.status.success());
    if is_root { ["postgres", "nobody"].into_iter().find(is_there) } else { None }
}

/// By `setpriv`: the process stays the same one, hence a kill reaches the server.
fn as_nobody(program: &Path) -> Command {
    let Some(user) = other_user() else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid"]).arg(group_of(user)).arg("--clear-groups").arg(program);
    command
}

fn group_of(user: &str) -> String {
    let output = Command::new("id").args(["-g", user]).output().expect("there is `id`");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
