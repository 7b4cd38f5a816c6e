//! Building `angarium`, and where the build put it.

use crate::workspace::{Workspace, answers, shown};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

/// Which `angarium` is wanted.
pub enum Build {
    /// The one people run: optimised.
    Release,
    /// The quickest one that can write the generated files.
    Dev,
    /// The dev one, together with all tests: the same features, hence the same dependencies, compiled once.
    DevWithTests,
}

impl Build {
    fn arguments(&self) -> &'static [&'static str] {
        match self {
            Build::Release => &["--release", "--package", "angarium", "--bin", "angarium"],
            Build::Dev => &["--package", "angarium", "--bin", "angarium"],
            Build::DevWithTests => &["--workspace", "--tests", "--bin", "angarium"],
        }
    }
}

/// What cargo is told when it builds the product: Kafka is left out where librdkafka cannot be built.
pub fn features() -> &'static [&'static str] {
    if has_kafka() { &[] } else { &["--no-default-features"] }
}

/// Whether there is what librdkafka is built with, beyond a C compiler.
pub fn has_kafka() -> bool {
    let make = if cfg!(target_os = "freebsd") { "gmake" } else { "make" };
    answers(make, &["--version"]) && answers("bash", &["--version"])
}

/// Builds the binary and returns its path, as cargo reports it: the target folder may be anywhere.
pub fn build(workspace: &Workspace, build: Build) -> Result<PathBuf, String> {
    let mut command = workspace.cargo(&["build", "--message-format=json-render-diagnostics"]);
    command.args(build.arguments()).args(features()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{} did not start: {error}", shown(&command)))?;
    let mut executable = None;
    for line in BufReader::new(child.stdout.take().ok_or("cargo has no output")?).lines() {
        let line = line.map_err(|error| format!("cargo's output cannot be read: {error}"))?;
        executable = executable_in(&line).or(executable);
    }
    let status = child.wait().map_err(|error| format!("cargo build: {error}"))?;
    if !status.success() {
        return Err(format!("{} failed ({status})", shown(&command)));
    }
    executable.ok_or_else(|| "the build made no binary called angarium".into())
}

/// The path in cargo's message about the finished binary, not the one about its unit tests.
/// <https://doc.rust-lang.org/cargo/reference/external-tools.html#json-messages>
fn executable_in(message: &str) -> Option<PathBuf> {
    let message = message.strip_prefix(r#"{"reason":"compiler-artifact""#)?;
    let (target, rest) = message.split_once(r#""profile":{"#)?;
    let (profile, rest) = rest.split_once('}')?;
    let is_binary = target.contains(r#""kind":["bin"]"#) && target.contains(r#""name":"angarium""#);
    if !is_binary || !profile.contains(r#""test":false"#) {
        return None;
    }
    let (_, path) = rest.split_once(r#""executable":""#)?;
    let (path, _) = path.split_once('"')?;
    Some(PathBuf::from(path.replace(r"\\", r"\")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(kind: &str, name: &str, test: bool) -> String {
        let target = format!(r#""target":{{"kind":["{kind}"],"name":"{name}","doctest":false,"test":true}}"#);
        let profile = format!(r#""profile":{{"opt_level":"0","debuginfo":1,"test":{test}}}"#);
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"p",{target},{profile},"features":[],"executable":"C:\\t\\angarium","fresh":true}}"#
        )
    }

    #[test]
    fn the_binary_is_found_among_the_messages() {
        assert_eq!(executable_in(&artifact("bin", "angarium", false)), Some(PathBuf::from(r"C:\t\angarium")));
    }

    #[test]
    fn unit_tests_and_other_targets_are_not_taken_for_it() {
        assert_eq!(executable_in(&artifact("bin", "angarium", true)), None);
        assert_eq!(executable_in(&artifact("bin", "xtask", false)), None);
        assert_eq!(executable_in(&artifact("lib", "angarium", false)), None);
        assert_eq!(executable_in(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
