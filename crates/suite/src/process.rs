//! Finding and starting the binary, in a clean environment.

use std::{
    ffi::OsString,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    time::{Duration, Instant},
};

/// A variable of the test's environment.
#[allow(clippy::disallowed_methods, reason = "the suite is told by its environment which binary to test")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The binary under test.
///
/// # Panics
/// When there is none.
pub fn binary() -> PathBuf {
    let path = match variable("ANGARIUM_BIN") {
        Some(path) => PathBuf::from(path),
        // Tests are target/debug/deps/NAME-HASH.
        None => std::env::current_exe()
            .ok()
            .and_then(|exe| Some(exe.parent()?.parent()?.join("angarium")))
            .unwrap_or_default(),
    };
    assert!(
        path.is_file(),
        "there is no angarium binary at {path:?}: run `cargo xtask test`, or build it with `cargo build -p angarium`"
    );
    path
}

/// A command of the binary that inherits nothing but where programs and temporary files are.
pub fn angarium(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env_clear().stdin(Stdio::null());
    for name in ["PATH", "TMPDIR"] {
        command.envs(variable(name).map(|value| (name, value)));
    }
    command
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// What it printed, if it ended well.
    ///
    /// # Panics
    /// When it did not.
    pub fn printed(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started, or does not end.
pub async fn run(command: Command) -> Ran {
    let mut command = tokio::process::Command::from(command);
    let output = command.kill_on_drop(true).output();
    let output = tokio::time::timeout(crate::GUARD, output).await.expect("a command comes to an end");
    let output = output.expect("the command can be started");
    let text = |bytes| String::from_utf8(bytes).expect("a command prints UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A running `angarium serve`. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Lines of standard output.
    lines: Receiver<String>,
}

impl Server {
    /// Starts it; what it logs is added to the file `stderr`.
    pub fn spawn(
        arguments: &[OsString],
        environment: &[(String, String)],
        stderr: &Path,
    ) -> std::io::Result<Server> {
        let log = File::options().create(true).append(true).open(stderr)?;
        let mut command = angarium(&["serve"]);
        command.args(arguments).stdout(Stdio::piped()).stderr(log);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().expect("it was piped");
        let (sender, lines) = sync_channel(64);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // A test that went away needs no lines.
                let _ = sender.try_send(line);
            }
        });
        Ok(Server { child, lines })
    }

    /// The line that says it is ready; `None` when it ended or took longer than `patience`.
    pub fn ready_line(&mut self, patience: Duration) -> Option<String> {
        self.lines.recv_timeout(patience).ok()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and takes the dead process off the table.
    pub fn kill(&mut self) {
        // It may be dead already; waiting is right in both cases.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -TERM $0", &pid]).status().expect("there is a shell");
        assert!(sent.success(), "the server could not be signalled");
    }

    /// How it ended, if it does within `patience`.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let since = Instant::now();
        while since.elapsed() < patience {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
