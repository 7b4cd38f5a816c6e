//! Where the workspace is, and running programs in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root folder of the workspace this program was called in.
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The nearest folder, upwards from the current one, whose Cargo.toml declares a workspace.
    pub fn find() -> Result<Workspace, String> {
        let here = std::env::current_dir().map_err(|error| format!("no current folder: {error}"))?;
        let declares_workspace = |folder: &&Path| {
            std::fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|text| text.contains("[workspace]"))
        };
        let root = here.ancestors().find(declares_workspace);
        root.map(|root| Workspace { root: root.to_owned() })
            .ok_or_else(|| "not inside of a clone of the repository".into())
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A program that will run in the root folder.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.root);
        command
    }

    pub fn cargo(&self, arguments: &[&str]) -> Command {
        self.command("cargo", arguments)
    }
}

/// Runs a program with this terminal; an exit code other than 0 is an error that names the command.
pub fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{} did not start: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", shown(command))) }
}

/// Runs a program to its end and returns what it printed; what it said is the error.
pub fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{} did not start: {error}", shown(command)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = last_lines(&String::from_utf8_lossy(&said), 20);
    Err(format!("{} failed ({}):\n{said}", shown(command), output.status))
}

/// The end of a text, indented.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| format!("  {line}\n")).collect()
}

/// Whether a program is there and ends well; its output is thrown away.
pub fn answers(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Replaces this process by the program; returns only when that was not possible.
#[cfg(unix)]
pub fn become_program(command: &mut Command) -> Result<(), String> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(format!("{} did not start: {error}", shown(command)))
}

/// Runs the program and ends with its exit code; the console sends Ctrl-C to both.
#[cfg(not(unix))]
pub fn become_program(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{} did not start: {error}", shown(command)))?;
    std::process::exit(status.code().unwrap_or(1))
}

/// Whether this is an automated run, where what is missing is a failure and not a remark.
#[allow(clippy::disallowed_methods, reason = "the only place of xtask that reads the environment")]
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_text_is_its_last_lines() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "  b\n  c\n");
        assert_eq!(last_lines("", 2), "");
    }
}
