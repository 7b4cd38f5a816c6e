//! Everything that must hold before a change goes in; quick steps first, and one failure does not hide another.

use crate::binary::{self, Build};
use crate::workspace::{Workspace, run as run_program};
use crate::{clients, dependencies, tidy};
use std::time::Instant;

type Step = fn(&Workspace) -> Result<(), String>;

const STEPS: [(&str, Step); 6] = [
    ("format", format),
    ("tidy", tidy::run),
    ("dependencies", dependencies::run),
    ("lints", lints),
    ("generated files", generated_files_are_fresh),
    ("clients", clients::are_fresh),
];

pub fn run(workspace: &Workspace) -> Result<(), String> {
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        eprintln!("── {name}");
        let started = Instant::now();
        let result = step(workspace);
        let seconds = started.elapsed().as_secs_f32();
        match result {
            Ok(()) => eprintln!("── {name}: ok, {seconds:.1} s"),
            Err(reason) => {
                eprintln!("── {name}: {reason}, {seconds:.1} s");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn format(workspace: &Workspace) -> Result<(), String> {
    run_program(&mut workspace.cargo(&["fmt", "--all", "--check"]))
        .map_err(|_| "not formatted; run `cargo fmt --all`".into())
}

fn lints(workspace: &Workspace) -> Result<(), String> {
    let mut clippy = workspace.cargo(&["clippy", "--workspace", "--all-targets"]);
    run_program(clippy.args(binary::features()).args(["--", "-D", "warnings"]))
}

/// Built as the tests need it, because `check` is followed by `test` more often than not.
fn generated_files_are_fresh(workspace: &Workspace) -> Result<(), String> {
    let binary = binary::build(workspace, Build::DevWithTests)?;
    run_program(&mut workspace.command(binary, &["generate", "--dir", ".", "--check"]))
        .map_err(|reason| format!("{reason}; run `cargo xtask codegen` and commit what it wrote"))
}

pub fn write_generated_files(workspace: &Workspace) -> Result<(), String> {
    let binary = binary::build(workspace, Build::Dev)?;
    run_program(&mut workspace.command(binary, &["generate", "--dir", "."]))?;
    clients::write(workspace)
}
