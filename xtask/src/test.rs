//! All tests, and an account of what was skipped.
//!
//! A test that does not find what it needs prints `skipped: WHY` and passes. Such reasons, and those of tests that
//! are `#[ignore]`d, are listed at the end. In CI they are failures, unless the reason begins with `optional`.
//!
//! With `--stack` there are real servers, and eight runs. Then a variable `STACK_…` that is missing is no excuse:
//!
//! | Run | On |
//! |---|---|
//! | all tests | the embedded engines; the ports' contracts on PostgreSQL, Redis, Kafka and S3 too |
//! | the journal's contract, twice | PostgreSQL; Kafka |
//! | the promises of dead letters | PostgreSQL |
//! | the suite, twice | PostgreSQL, Redis and S3; these and Kafka; several processes on them included |
//! | what is ignored otherwise | the suite's and the shipper's tests that stop the stack's broker |

mod transcript;

use crate::binary::{self, Build};
use crate::stack::Stack;
use crate::workspace::{Workspace, in_ci, shown};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use transcript::{Account, Transcript};

/// What runs once more on the stack: a name, the crate's folder and the tests' name, and what tells them where.
const ON_STACK: [(&str, (&str, &str), &str, &str); 7] = [
    ("the journal's contract on PostgreSQL", ("journal", "contract"), "CONTRACT_ENGINE", "postgres"),
    ("the journal's contract on Kafka", ("journal", "contract"), "CONTRACT_ENGINE", "kafka"),
    ("dead letters on PostgreSQL", ("dead-letters", "contract"), "CONTRACT_ENGINE", "postgres"),
    ("the suite on PostgreSQL, Redis and S3", ("suite", "it"), "SUITE_ON", "stack"),
    ("the suite on Kafka, PostgreSQL, Redis and S3", ("suite", "it"), "SUITE_ON", "kafka"),
    (BY_THEMSELVES, ("suite", "it"), "SUITE_ON", "kafka"),
    (SHIPPER_BY_ITSELF, ("kafka", "faults"), "SUITE_ON", "kafka"),
];
/// Those that stop the stack's own broker, one after the other.
const BY_THEMSELVES: &str = "the suite, with a broker that fails";
const SHIPPER_BY_ITSELF: &str = "the shipper, with a broker that fails";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
pub struct Request {
    long: bool,
    stack: bool,
    filters: Vec<String>,
}

impl Request {
    pub fn parse(arguments: Vec<String>) -> Result<Request, String> {
        let mut request = Request::default();
        for argument in arguments {
            match argument.as_str() {
                "--long" => request.long = true,
                "--stack" => request.stack = true,
                option if option.starts_with('-') => return Err(format!("test has no option {option}")),
                _ => request.filters.push(argument),
            }
        }
        Ok(request)
    }
}

pub fn run(workspace: &Workspace, request: &Request) -> Result<(), String> {
    if request.stack && !binary::has_kafka() {
        return Err("--stack runs on Kafka too, and that needs make and bash to build".into());
    }
    let binary = binary::build(workspace, Build::DevWithTests)?;
    let mut all = workspace.cargo(&["test", "--workspace", "--no-fail-fast"]);
    all.args(binary::features()).arg("--");
    let mut runs = vec![("all tests", all)];
    // Held until the last test has ended; it stops its servers however this function ends.
    let mut _stack = None;
    let mut variables = vec![];
    if request.stack {
        for (name, target, variable, value) in ON_STACK {
            let [mut run] = executables(workspace, [target])?;
            run.env(variable, value);
            if [BY_THEMSELVES, SHIPPER_BY_ITSELF].contains(&name) {
                run.args(["--ignored", "--test-threads=1"]);
            }
            runs.push((name, run));
        }
        eprintln!("starting the stack");
        let stack = Stack::start(workspace)?;
        // Tests say themselves on what the product is to run.
        variables.extend(stack.variables().into_iter().filter(|(name, _)| name.starts_with("STACK_")));
        _stack = Some(stack);
    }
    let mut account = Account::default();
    for (name, mut command) in runs {
        // Some tests panic on purpose: their backtraces would bury the rest.
        command.arg("--show-output").args(&request.filters).env("RUST_BACKTRACE", "0");
        command.env("ANGARIUM_BIN", &binary).envs(variables.iter().cloned());
        if request.long {
            command.env("ANGARIUM_LONG", "1");
        }
        if request.stack {
            println!("\n{name}:\n");
        }
        account.runs.push((name, follow(&mut command)?));
    }
    drop(_stack);
    close(&account, request.stack)
}

/// Runs tests, shows what they say, and reads it.
fn follow(command: &mut Command) -> Result<Transcript, String> {
    command.stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{} did not start: {error}", shown(command)))?;
    let mut transcript = Transcript::default();
    for line in BufReader::new(child.stdout.take().ok_or("the tests have no output")?).split(b'\n') {
        let line = line.map_err(|error| format!("the tests' output cannot be read: {error}"))?;
        let line = String::from_utf8_lossy(&line);
        if transcript.take(&line) {
            println!("{line}");
        }
    }
    let status = child.wait().map_err(|error| format!("{}: {error}", shown(command)))?;
    if !status.success() && transcript.failed == 0 {
        // It was not built, or ended in the middle, and could not say so.
        transcript.failed = 1;
        transcript.failures = format!("{} ended with {status}\n", shown(command));
    }
    Ok(transcript)
}

/// The closing lines; the last one is `N passed, N failed`.
fn close(account: &Account, on_stack: bool) -> Result<(), String> {
    let skipped = account.skipped();
    if !skipped.is_empty() {
        eprintln!("\n{skipped}");
    }
    // Once more at the end: above, they are lost among what thousands of lines of other tests say.
    let failures = account.failures();
    eprint!("{failures}");
    if !on_stack {
        eprintln!(
            "\nskipped: the tests on PostgreSQL, Kafka, Redis and S3; `cargo xtask test --stack` runs them"
        );
    }
    println!("\n{}", account.sum());
    if !failures.is_empty() {
        return Err("there are failures".into());
    }
    match account.wrongly_skipped(on_stack) {
        n if n > 0 && in_ci() => Err(format!("in CI a skipped test is a failure, and {n} were skipped")),
        _ => Ok(()),
    }
}

/// The programs of two test targets, each a crate's folder and a name, as the build of all tests made them:
/// `cargo test -p` would choose other features, and build half of the world again.
fn executables<const N: usize>(
    workspace: &Workspace,
    targets: [(&str, &str); N],
) -> Result<[Command; N], String> {
    let arguments = ["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"];
    let mut cargo = workspace.cargo(&arguments);
    let output = cargo.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{} did not start: {error}", shown(&cargo)))?;
    if !output.status.success() {
        return Err(format!("{} failed ({})", shown(&cargo), output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut commands = Vec::with_capacity(N);
    for (folder, name) in targets {
        let program = messages.lines().find_map(|message| executable_in(message, folder, name));
        let program = program.ok_or_else(|| format!("the build made no tests {name} of crates/{folder}"))?;
        let mut command = Command::new(program);
        // As cargo does it.
        command.current_dir(workspace.path("crates").join(folder));
        commands.push(command);
    }
    commands.try_into().map_err(|_| "as many commands as targets".to_owned())
}

/// The path in cargo's message about the tests `name` of `crates/FOLDER`.
/// <https://doc.rust-lang.org/cargo/reference/external-tools.html#json-messages>
fn executable_in(message: &str, folder: &str, name: &str) -> Option<PathBuf> {
    let message = message.strip_prefix(r#"{"reason":"compiler-artifact","package_id":""#)?;
    let (package, rest) = message.split_once('"')?;
    let (target, rest) = rest.split_once(r#""profile":{"#)?;
    let is_it = package.contains(&format!("/crates/{folder}#"))
        && target.contains(r#""kind":["test"]"#)
        && target.contains(&format!(r#""name":"{name}""#));
    let (_, path) = rest.split_once(r#""executable":""#).filter(|_| is_it)?;
    let (path, _) = path.split_once('"')?;
    Some(PathBuf::from(path.replace(r"\\", r"\")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_a_crate_are_found_among_the_messages() {
        let message = |package: &str, kind: &str, name: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"path+file:///w/crates/{package}#angarium-{package}@0.1.0","target":{{"kind":["{kind}"],"name":"{name}"}},"profile":{{"test":true}},"executable":"/t/{package}-{name}"}}"#
            )
        };
        let found = |message: &str| executable_in(message, "journal", "contract");
        assert_eq!(found(&message("journal", "test", "contract")), Some("/t/journal-contract".into()));
        assert_eq!(found(&message("db", "test", "contract")), None);
        assert_eq!(found(&message("journal", "lib", "contract")), None);
        assert_eq!(found(&message("journal", "test", "other")), None);
        assert_eq!(found(r#"{"reason":"build-finished","success":true}"#), None);
    }

    #[test]
    fn arguments_are_filters_and_known_options_only() {
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        let request = Request::parse(words(&["--long", "crash", "live"]));
        let filters = words(&["crash", "live"]);
        assert_eq!(request, Ok(Request { long: true, stack: false, filters }));
        assert!(Request::parse(words(&["--stack"])).is_ok_and(|request| request.stack));
        assert_eq!(Request::parse(words(&["--slow"])), Err("test has no option --slow".into()));
    }
}
