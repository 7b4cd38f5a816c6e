//! A schema-driven fuzzer against a server of its own: whatever `/openapi.json` says must hold, for good data and bad.
//!
//! The fuzzer is schemathesis (<https://schemathesis.readthedocs.io>); how it is held is in `fuzz/`. Its requests
//! differ from run to run unless `--seed` says otherwise; the seed is in its report.

use crate::binary::{self, Build};
use crate::tools::{Language, Tool};
use crate::workspace::{Workspace, last_lines, run as run_program};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const FUZZER: Tool = Tool {
    name: "schemathesis",
    language: Language::Python,
    folder: "xtask/src/fuzz",
    pins: include_str!("fuzz/requirements.txt"),
};

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub struct Request {
    seconds: u32,
    seed: Option<u64>,
}

impl Request {
    pub fn parse(arguments: Vec<String>) -> Result<Request, String> {
        let mut request = Request { seconds: 60, seed: None };
        let mut words = arguments.into_iter();
        while let Some(word) = words.next() {
            let number = words.next().and_then(|value| value.parse::<u64>().ok());
            match (word.as_str(), number) {
                ("--seconds", Some(n)) if (1..=86_400).contains(&n) => request.seconds = n as u32,
                ("--seed", Some(n)) => request.seed = Some(n),
                ("--seconds" | "--seed", _) => return Err(format!("{word} takes a number, a day at most")),
                _ => return Err(format!("fuzz has no option {word:?}")),
            }
        }
        Ok(request)
    }
}

pub fn run(workspace: &Workspace, request: &Request) -> Result<(), String> {
    if let Some(missing) = FUZZER.missing() {
        return Err(missing);
    }
    let programs = FUZZER.programs(workspace)?;
    // As the tests need it, because `test` has built that already, more often than not.
    let binary = binary::build(workspace, Build::DevWithTests)?;
    let server = Server::start(&binary)?;
    let ran = run_program(&mut fuzzer(workspace, &programs, &server, request));
    let log = server.stop()?;
    // What no answer told: a failure behind the answer, in a task of its own.
    let failures = log.lines().filter(|line| line.contains("ERROR") || line.contains("panicked")).count();
    match (ran, failures) {
        (Ok(()), 0) => Ok(()),
        (ran, _) => {
            let reason = ran.err().unwrap_or_else(|| "the server's log has failures".into());
            Err(format!(
                "{reason}; {failures} failures in the server's log, which ends with:\n{}",
                last_lines(&log, 20)
            ))
        }
    }
}

fn fuzzer(workspace: &Workspace, programs: &Path, server: &Server, request: &Request) -> Command {
    let folder = workspace.path("xtask/src/fuzz");
    let mut command = Command::new(programs.join("schemathesis"));
    // Run where it may leave its notes.
    command.current_dir(&server.folder).arg("--config-file").arg(folder.join("schemathesis.toml"));
    command.args(["run", "--checks", "all", "--max-time", &request.seconds.to_string()]);
    if let Some(seed) = request.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    command.arg(format!("{}/openapi.json", server.told("url")));
    for (variable, member) in
        [("FUZZ_URL", "url"), ("FUZZ_APP", "app"), ("FUZZ_TOKEN", "token"), ("FUZZ_WRITE_KEY", "write_key")]
    {
        command.env(variable, server.told(member));
    }
    command.env("FUZZ_HOOKS", folder.join("hooks.py"));
    command
}

/// A server with a temporary folder for its data, on a free port; gone with this.
struct Server {
    child: Child,
    folder: PathBuf,
    /// What it printed: an object of texts.
    told: String,
}

impl Server {
    fn start(binary: &Path) -> Result<Server, String> {
        let folder = std::env::temp_dir().join(format!("angarium-fuzz-{}", std::process::id()));
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        std::fs::create_dir(&folder).map_err(failed)?;
        let log = std::fs::File::create(folder.join("log")).map_err(failed)?;
        let mut command = Command::new(binary);
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.join("data"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let child = command.spawn().map_err(|error| format!("angarium did not start: {error}"))?;
        let mut server = Server { child, folder, told: String::new() };
        let stdout = server.child.stdout.take().ok_or("angarium has no output")?;
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut server.told).map_err(|error| format!("angarium's output: {error}"))?;
        // It may say more, and must not wait for somebody to listen.
        std::thread::spawn(move || std::io::copy(&mut stdout.by_ref(), &mut std::io::sink()));
        match server.told("url").is_empty() {
            true => Err(format!("angarium did not start:\n{}", last_lines(&server.log(), 20))),
            false => Ok(server),
        }
    }

    /// A text of what it printed; empty if there is none. Its texts have nothing in them that JSON escapes.
    fn told(&self, member: &str) -> &str {
        let after = self.told.split_once(&format!("\"{member}\":\"")).map(|(_, rest)| rest);
        after.and_then(|rest| rest.split('"').next()).unwrap_or("")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Its log, if it was still running.
    fn stop(mut self) -> Result<String, String> {
        match self.child.try_wait() {
            Ok(None) => Ok(self.log()),
            Ok(Some(status)) => Err(format!("the server ended ({status}):\n{}", last_lines(&self.log(), 20))),
            Err(error) => Err(format!("the server: {error}")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to lose, and may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_and_by_which_seed_is_all_there_is_to_say() {
        let parse = |text: &str| Request::parse(text.split_whitespace().map(str::to_owned).collect());
        assert_eq!(parse(""), Ok(Request { seconds: 60, seed: None }));
        assert_eq!(parse("--seed 1 --seconds 600"), Ok(Request { seconds: 600, seed: Some(1) }));
        for bad in ["--seconds", "--seconds 0", "--seconds soon", "--long", "60"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
