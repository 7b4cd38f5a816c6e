//! Whether a process is still the one that was started, and stopping it; by `/proc`, see proc(5).

use super::place::Place;
use super::{SERVERS, Server};
use crate::workspace::output;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a server may take to stop by itself. Its data are removed afterwards: it has nothing to lose.
const PATIENCE: Duration = Duration::from_secs(5);

/// A process that was there: its number, and when it started (in ticks since the machine's start).
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    pid: u32,
    since: String,
}

impl Process {
    /// `None` also for one that has ended and only waits for its parent to notice.
    pub fn find(pid: u32) -> Option<Process> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        started_at(&stat).map(|since| Process { pid, since: since.into() })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn since(&self) -> &str {
        &self.since
    }

    fn is_running(&self) -> bool {
        Process::find(self.pid).as_ref() == Some(self)
    }

    /// The shell's own `kill` is there even where the program is not.
    fn signal(&self, signal: &str) {
        if self.is_running() {
            let line = format!("kill -s {signal} {}", self.pid);
            // It may end in this very moment, hence a failure says nothing.
            let _ = output(Command::new("sh").args(["-c", &line]));
        }
    }
}

/// Field 22 of `/proc/PID/stat`; `None` for a zombie. Field 2 is the name in brackets and may hold anything.
fn started_at(stat: &str) -> Option<&str> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18) }
}

/// Stops whatever of a stack is running. Asks first, and insists after some seconds.
pub fn stop_all(place: &Place) {
    let known: Vec<(&Server, Process)> =
        SERVERS.iter().filter_map(|server| Some((server, place.process(server.name)?))).collect();
    for (server, process) in &known {
        process.signal(server.stop);
        // One that a test has frozen must wake up to hear it.
        process.signal("CONT");
    }
    let running: Vec<Process> = known.into_iter().map(|(_, process)| process).collect();
    if !all_end(|| running.iter().filter(|process| process.is_running()).cloned().collect(), PATIENCE) {
        running.iter().for_each(|process| process.signal("KILL"));
    }
    // What no pid file knows: PostgreSQL's children after its main process was killed, a server that was
    // started twice, preparations that were interrupted.
    if !all_end(|| others_in(place.folder()), Duration::from_secs(2)) {
        others_in(place.folder()).iter().for_each(|process| process.signal("KILL"));
    }
    all_end(|| others_in(place.folder()), PATIENCE);
}

fn all_end(running: impl Fn() -> Vec<Process>, patience: Duration) -> bool {
    let asked = Instant::now();
    while !running().is_empty() {
        if asked.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

/// Our programs that work in the folder; a person's shell in it is none of them.
fn others_in(folder: &Path) -> Vec<Process> {
    const PROGRAMS: [&str; 4] = ["postgres", "initdb", "redis-server", "java"];
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_ours = |pid: &u32| {
        let link = |name: &str| std::fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let program: PathBuf = link("exe");
        let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        link("cwd").starts_with(folder) && PROGRAMS.contains(&program.as_str())
    };
    pids.filter(is_ours).filter_map(Process::find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_read_whatever_the_program_is_called() {
        let fields = "S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 0 0";
        assert_eq!(started_at(&format!("17 (redis-server) {fields}")), Some("987654"));
        assert_eq!(started_at(&format!("17 (a) b (c) {fields}")), Some("987654"));
        assert_eq!(started_at(&format!("17 (x) {}", fields.replacen('S', "Z", 1))), None);
        assert_eq!(started_at(""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_pid_that_was_given_away_again_is_another_process() {
        let this = Process::find(std::process::id()).expect("this process");
        assert!(this.is_running());
        assert!(!Process { since: "1".into(), ..this }.is_running());
    }
}
