//! The folder of a stack, and the ports it is reached by.
//!
//! ```text
//! /tmp/angarium-stack.XXXXXX/
//!   kafka             script: runs the server in the foreground, on the same port and data each time
//!   kafka.pid         the process that the script became, and
//!   kafka.since       when that started, by which a pid that was given away again is told apart
//!   kafka.log         what the server said
//!   kafka.data/       what it keeps
//! ```

use super::process::Process;
use crate::workspace::{last_lines, output, shown};
use std::hash::{BuildHasher, RandomState};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Folders that are called otherwise are never removed, whatever a damaged state file says.
const PREFIX: &str = "angarium-stack.";

/// A Unix socket's path has 107 bytes at most, and PostgreSQL puts one into this folder.
const LONGEST_PARENT: usize = 50;

#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    folder: PathBuf,
}

impl Place {
    /// A new, empty folder that other users may pass through: PostgreSQL may run as another one.
    pub fn make() -> Result<Place, String> {
        let parent = std::env::temp_dir();
        let parent = if parent.as_os_str().len() > LONGEST_PARENT { Path::new("/tmp") } else { &parent };
        let folder = output(Command::new("mktemp").arg("-d").arg(parent.join(format!("{PREFIX}XXXXXX"))))?;
        let place = Place { folder: PathBuf::from(folder.trim()) };
        output(Command::new("chmod").arg("711").arg(&place.folder))?;
        Ok(place)
    }

    pub fn at(folder: &Path) -> Result<Place, String> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if folder.is_absolute() && name.starts_with(PREFIX) {
            return Ok(Place { folder: folder.to_owned() });
        }
        Err(format!("{} is no folder of a stack", folder.display()))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    pub fn write(&self, file: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.path(file);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Makes the script that becomes the server.
    pub fn write_script(&self, name: &str, lines: &str) -> Result<(), String> {
        let folder = quoted(&self.folder.display().to_string());
        let text = format!(
            "#!/bin/sh\n\
             # Runs this server in the foreground, on the same port and data each time.\n\
             cd {folder} || exit 1\n\
             exec >>{name}.log 2>&1 </dev/null\n\
             cut -d ' ' -f 22 /proc/$$/stat >{name}.since\n\
             echo $$ >{name}.pid\n\
             {lines}\n"
        );
        let script = self.write(name, &text)?;
        output(Command::new("chmod").arg("755").arg(script)).map(drop)
    }

    /// Starts a server's script in a process group of its own: a Ctrl-C for this program is not for it.
    pub fn start(&self, name: &str) -> Result<Child, String> {
        let mut command = Command::new(self.path(name));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        in_own_group(&mut command)
            .spawn()
            .map_err(|error| format!("{} did not start: {error}", shown(&command)))
    }

    /// The server's process, if it is running, whoever has called its script.
    pub fn process(&self, name: &str) -> Option<Process> {
        let read = |file: String| std::fs::read_to_string(self.path(&file)).ok();
        let pid = read(format!("{name}.pid"))?.trim().parse().ok()?;
        let since = read(format!("{name}.since"))?;
        Process::find(pid).filter(|process| process.since() == since.trim())
    }

    pub fn end_of_log(&self, name: &str) -> String {
        let log = std::fs::read(self.path(&format!("{name}.log"))).unwrap_or_default();
        last_lines(&String::from_utf8_lossy(&log), 20)
    }

    pub fn remove(&self) -> Result<(), String> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("{} cannot be removed: {error}", self.folder.display()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(unix)]
pub fn in_own_group(command: &mut Command) -> &mut Command {
    std::os::unix::process::CommandExt::process_group(command, 0)
}

#[cfg(not(unix))]
pub fn in_own_group(command: &mut Command) -> &mut Command {
    command
}

/// A word for the shell.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// From below the range that the kernel gives to outgoing connections (32768 on): while a test keeps a server
/// stopped, nothing else must get its port.
pub const PORTS: Range<u16> = 20_000..31_000;

/// For servers that talk to themselves; apart from the others, which are not listening yet.
pub const INNER_PORTS: Range<u16> = 31_000..32_000;

/// The search begins somewhere in the range, so that two stacks rarely try the same.
pub fn free_ports(range: Range<u16>, count: usize) -> Result<Vec<u16>, String> {
    let (first, size) = (range.start, range.end - range.start);
    let somewhere = (RandomState::new().hash_one(std::process::id()) % u64::from(size)) as u16;
    let candidates = (0..size).map(|step| first + (somewhere + step) % size);
    let listeners = candidates.filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    // All are held until the last is found, else one could be found twice.
    let held: Vec<TcpListener> = listeners.take(count).collect();
    let ports: Vec<u16> = held.iter().filter_map(|held| held.local_addr().ok()).map(|at| at.port()).collect();
    if ports.len() == count { Ok(ports) } else { Err("127.0.0.1 has no free ports".into()) }
}

/// A connection that gives up soon instead of waiting.
pub fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_reads_back_what_was_quoted() {
        for word in ["plain", "two words", "it's", "$HOME `id` \"x\" \\", ""] {
            let line = format!("printf %s {}", quoted(word));
            assert_eq!(output(Command::new("sh").args(["-c", &line])).as_deref(), Ok(word));
        }
    }

    #[test]
    fn ports_are_free_and_differ() {
        let ports = free_ports(PORTS, 6).expect("ports");
        assert_eq!(ports.iter().collect::<std::collections::HashSet<_>>().len(), 6);
        assert!(ports.iter().all(|port| PORTS.contains(port)));
    }

    #[test]
    fn only_folders_of_a_stack_are_taken_for_one() {
        assert!(Place::at(Path::new("/tmp/angarium-stack.x7")).is_ok());
        for folder in ["/", "/tmp", "angarium-stack.x7", "/tmp/angarium-stack.x7/..", ""] {
            assert!(Place::at(Path::new(folder)).is_err(), "{folder:?}");
        }
    }
}
