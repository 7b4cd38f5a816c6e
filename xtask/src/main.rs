//! The project's automation: `cargo xtask COMMAND`.
//!
//! | Module | Idea |
//! |---|---|
//! | [`workspace`] | where the workspace is, and running programs in it |
//! | [`binary`] | building `angarium`, and where the build put it |
//! | [`test`] | all tests, and an account of what was skipped |
//! | [`check`] | everything that must hold before a change goes in |
//! | [`clients`] | the clients in other languages, generated |
//! | [`fuzz`] | a schema-driven fuzzer over the API |
//! | [`stack`] | real servers to run and test against: PostgreSQL, Redis, Kafka, S3 |
//! | [`dependencies`] | licences, duplicates, sources, advisories |
//! | [`tools`] | programs of other languages, in pinned versions |
//! | [`tidy`] | the architecture's rules, read off the files |
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is for people at a terminal")]

mod binary;
mod check;
mod clients;
mod dependencies;
mod fuzz;
mod stack;
mod test;
mod tidy;
mod tools;
mod workspace;

use binary::Build;
use std::process::ExitCode;
use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  serve [ARGS…]             build angarium and run `angarium serve ARGS…`
  test [--long] [FILTER…]   run all tests; --long adds the long crash runs
  test --stack [--long] [FILTER…]
                            the same, and all that needs PostgreSQL, Redis, Kafka or S3, which it starts and stops
  check                     format, tidy, dependencies, lints, generated files
  bench [ARGS…]             build angarium and run `angarium bench ARGS…`
  codegen                   write the generated files (api/openapi.json, docs/config.md, docs/errors.md, clients/)
  fuzz [--seconds N] [--seed N]
                            build angarium and try its API by a fuzzer that knows the schema; 60 s if not given
  tidy                      the architecture's rules alone; takes no build
  stack up [--only NAMES]   start PostgreSQL, Redis, Kafka and an S3 server here; NAMES as in postgres,redis
  stack env                 print the shell variables by which `serve` uses them
  stack down                stop them and remove their data
  stack run [--only NAMES] COMMAND…
                            start them for as long as COMMAND runs, and tell it where they are";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    match run(&command, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Failed(reason)) => {
            eprintln!("xtask {command}: {reason}");
            ExitCode::from(1)
        }
        Err(Stop::Usage(reason)) => {
            eprintln!("xtask: {reason}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Why the program ends without having done what it was asked for.
enum Stop {
    Failed(String),
    Usage(String),
}

impl From<String> for Stop {
    fn from(reason: String) -> Stop {
        Stop::Failed(reason)
    }
}

fn run(command: &str, arguments: Vec<String>) -> Result<(), Stop> {
    match command {
        "serve" => Ok(become_angarium("serve", &arguments)?),
        "bench" => Ok(become_angarium("bench", &arguments)?),
        "test" => {
            let request = test::Request::parse(arguments).map_err(Stop::Usage)?;
            let workspace = Workspace::find()?;
            say_what_is_absent(&workspace);
            Ok(test::run(&workspace, &request)?)
        }
        "stack" => {
            let request = stack::Request::parse(arguments).map_err(Stop::Usage)?;
            Ok(stack::run(&Workspace::find()?, request)?)
        }
        "fuzz" => {
            let request = fuzz::Request::parse(arguments).map_err(Stop::Usage)?;
            Ok(fuzz::run(&Workspace::find()?, &request)?)
        }
        "check" => without_arguments(&arguments, check::run),
        "codegen" => without_arguments(&arguments, check::write_generated_files),
        "tidy" => without_arguments(&arguments, tidy::run),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        "" => Err(Stop::Usage("which command?".into())),
        other => Err(Stop::Usage(format!("there is no command {other:?}"))),
    }
}

fn without_arguments(
    arguments: &[String],
    command: fn(&Workspace) -> Result<(), String>,
) -> Result<(), Stop> {
    match arguments.first() {
        Some(first) => Err(Stop::Usage(format!("unexpected argument {first:?}"))),
        None => Ok(command(&Workspace::find()?)?),
    }
}

/// Builds the release binary and turns this process into it, so that signals and the exit code are its own.
fn become_angarium(subcommand: &str, arguments: &[String]) -> Result<(), String> {
    let workspace = Workspace::find()?;
    say_what_is_absent(&workspace);
    eprintln!("building angarium; the first time takes some minutes");
    let binary = binary::build(&workspace, Build::Release)?;
    workspace::become_program(std::process::Command::new(binary).arg(subcommand).args(arguments))
}

fn say_what_is_absent(workspace: &Workspace) {
    if workspace.path("console").is_dir() && !workspace::answers("node", &["--version"]) {
        eprintln!("optional and absent: Node (the web console will not be built in)");
    }
    if !binary::has_kafka() {
        eprintln!("optional and absent: make or bash (Kafka will not be built in; all else will)");
    }
}
