//! Licences, duplicates, sources and advisories of the dependency tree, by cargo-deny; `deny.toml` has the rules.

use crate::workspace::{Workspace, answers, in_ci, run as run_program};
use std::process::Stdio;

pub fn run(workspace: &Workspace) -> Result<(), String> {
    if !answers("cargo", &["deny", "--version"]) {
        let remark = "cargo-deny is absent; `cargo install --locked cargo-deny` installs it";
        if in_ci() {
            return Err(remark.into());
        }
        eprintln!("dependencies not checked: {remark}");
        return Ok(());
    }
    let rules = run_program(&mut workspace.cargo(&["deny", "check", "licenses", "bans", "sources"]));
    let advisories = advisories(workspace);
    rules.and(advisories)
}

fn advisories(workspace: &Workspace) -> Result<(), String> {
    let mut command = workspace.cargo(&["deny", "check", "advisories"]);
    // The database is a git repository: a server that is slow or asks for a password counts as out of reach.
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_HTTP_LOW_SPEED_LIMIT", "1000");
    command.env("GIT_HTTP_LOW_SPEED_TIME", "30");
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cargo deny did not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match verdict(output.status.success(), &said) {
        Verdict::Clean => Ok(()),
        Verdict::Unreachable => {
            eprintln!("advisories not checked: the advisory database cannot be reached");
            Ok(())
        }
        Verdict::Found => {
            eprint!("{}{said}", String::from_utf8_lossy(&output.stdout));
            Err("cargo deny check advisories failed".into())
        }
    }
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Clean,
    Unreachable,
    Found,
}

fn verdict(success: bool, stderr: &str) -> Verdict {
    match success {
        true => Verdict::Clean,
        false if stderr.contains("failed to fetch advisory database") => Verdict::Unreachable,
        false => Verdict::Found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_out_of_reach_is_not_an_advisory() {
        let unreachable =
            "[ERROR] failed to fetch advisory database https://example.org/db with cli: failed to clone";
        assert_eq!(verdict(false, unreachable), Verdict::Unreachable);
    }

    #[test]
    fn an_advisory_or_a_database_that_cannot_be_read_is_a_failure() {
        assert_eq!(verdict(false, "error[vulnerability]: …\nadvisories FAILED"), Verdict::Found);
        assert_eq!(verdict(false, "[ERROR] failed to load advisory database"), Verdict::Found);
        assert_eq!(verdict(true, "advisories ok"), Verdict::Clean);
    }
}
