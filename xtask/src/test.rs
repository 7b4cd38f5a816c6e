//! All tests, and an account of what was skipped.
//!
//! A test that does not find what it needs prints `skipped: WHY` and passes. Such lines, and tests that are
//! `#[ignore]`d, are listed at the end. In CI they are failures, unless the reason begins with `optional`.

use crate::binary::{self, Build};
use crate::workspace::{Workspace, in_ci, shown};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
pub struct Request {
    long: bool,
    filters: Vec<String>,
}

impl Request {
    pub fn parse(arguments: Vec<String>) -> Result<Request, String> {
        let mut request = Request::default();
        for argument in arguments {
            match argument.as_str() {
                "--long" => request.long = true,
                option if option.starts_with('-') => return Err(format!("test has no option {option}")),
                _ => request.filters.push(argument),
            }
        }
        Ok(request)
    }
}

pub fn run(workspace: &Workspace, request: &Request) -> Result<(), String> {
    let binary = binary::build(workspace, Build::DevWithTests)?;
    let mut command = workspace.cargo(&["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
    // Some tests panic on purpose: their backtraces would bury the rest.
    command
        .env("RUST_BACKTRACE", "0")
        .args(&request.filters)
        .env("ANGARIUM_BIN", binary)
        .stdout(Stdio::piped());
    if request.long {
        command.env("ANGARIUM_LONG", "1");
    }
    let mut child = command.spawn().map_err(|error| format!("{} did not start: {error}", shown(&command)))?;
    let mut transcript = Transcript::default();
    for line in BufReader::new(child.stdout.take().ok_or("cargo has no output")?).split(b'\n') {
        let line = line.map_err(|error| format!("the tests' output cannot be read: {error}"))?;
        let line = String::from_utf8_lossy(&line);
        if transcript.take(&line) {
            println!("{line}");
        }
    }
    let status = child.wait().map_err(|error| format!("cargo test: {error}"))?;

    let account = transcript.account();
    if !account.is_empty() {
        eprintln!("\n{account}");
    }
    if !status.success() {
        // Once more at the end: above, they are lost among what thousands of lines of other tests say.
        eprint!("{}", transcript.failures);
        return Err("there are failures".into());
    }
    match transcript.must_not_skip().count() {
        n if n > 0 && in_ci() => Err(format!("in CI a skipped test is a failure, and {n} were skipped")),
        _ => Ok(()),
    }
}

/// Reads the output of libtest (with `--show-output`) line by line.
///
/// ```text
/// Results ── successes: ──▶ Printed ── successes: ──▶ Names
///    ▲                                                  │
///    └─────────── failures: · test result: ─────────────┘
/// ```
#[derive(Default)]
struct Transcript {
    section: Section,
    test: String,
    skips: Vec<Skip>,
    /// The names of failed tests, and the beginning of what each printed.
    failures: String,
    lines_of_failure: usize,
}

/// So many lines of a failed test are repeated.
const REPEATED_LINES: usize = 40;

#[derive(Default, Clone, Copy, PartialEq)]
enum Section {
    /// `test NAME ... ok`, and what failures printed.
    #[default]
    Results,
    /// What passing tests printed.
    Printed,
    /// The names of passing tests once more; nobody needs them.
    Names,
    /// What failed tests printed.
    Failed,
}

struct Skip {
    test: String,
    reason: String,
}

impl Transcript {
    /// Takes one line; returns whether it is worth showing.
    fn take(&mut self, line: &str) -> bool {
        if let Some(reason) = line.trim_start().strip_prefix("skipped:") {
            self.skips.push(Skip { test: self.test.clone(), reason: reason.trim().into() });
        }
        if let Some(test) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.test = test.into();
        }
        if self.section == Section::Failed && !line.starts_with("test result: ") {
            self.lines_of_failure = if line.starts_with("---- ") { 0 } else { self.lines_of_failure + 1 };
            if self.lines_of_failure < REPEATED_LINES {
                self.failures.extend([line, "\n"]);
            }
        }
        if let Some((test, reason)) = ignored(line) {
            self.skips.push(Skip { test: test.into(), reason: reason.into() });
        }
        match (self.section, line) {
            (Section::Results, "successes:") => self.section = Section::Printed,
            (Section::Printed, "successes:") => self.section = Section::Names,
            (Section::Names | Section::Results, "failures:") => self.section = Section::Failed,
            (_, line) if line.starts_with("test result: ") => self.section = Section::Results,
            _ => return self.section != Section::Names,
        }
        line != "successes:"
    }

    fn must_not_skip(&self) -> impl Iterator<Item = &Skip> {
        self.skips.iter().filter(|skip| !skip.reason.starts_with("optional"))
    }

    /// Empty when nothing was skipped.
    fn account(&self) -> String {
        if self.skips.is_empty() {
            return String::new();
        }
        let lines = self.skips.iter().map(|skip| format!("  {}: {}", skip.test, skip.reason));
        let head = format!("skipped, {} in all:", self.skips.len());
        std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
    }
}

/// `test NAME ... ignored, REASON`
fn ignored(line: &str) -> Option<(&str, &str)> {
    let (test, outcome) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
    Some((test, outcome.strip_prefix(", ").unwrap_or("ignored without a reason")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 4 tests
test b::works ... ok
test a::needs_a_browser ... ok
test c::is_slow ... ignored, optional: takes an hour
test d::is_broken ... FAILED

successes:

---- a::needs_a_browser stdout ----
skipped: no browser was found


successes:
    a::needs_a_browser
    b::works

failures:

---- d::is_broken stdout ----
panicked

failures:
    d::is_broken

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn read(output: &str) -> (Transcript, Vec<&str>) {
        let mut transcript = Transcript::default();
        let shown = output.lines().filter(|line| transcript.take(line)).collect();
        (transcript, shown)
    }

    #[test]
    fn skips_are_collected_with_the_test_that_said_so() {
        let (transcript, _) = read(OUTPUT);
        assert_eq!(
            transcript.account(),
            "skipped, 2 in all:\n  c::is_slow: optional: takes an hour\n  a::needs_a_browser: no browser was found"
        );
    }

    #[test]
    fn only_what_is_not_optional_counts_against_a_run() {
        let (transcript, _) = read(OUTPUT);
        let names: Vec<_> = transcript.must_not_skip().map(|skip| skip.test.as_str()).collect();
        assert_eq!(names, ["a::needs_a_browser"]);
    }

    #[test]
    fn results_failures_and_what_tests_print_stay_while_the_list_of_names_goes() {
        let (_, shown) = read(OUTPUT);
        assert!(shown.contains(&"test b::works ... ok"));
        assert!(shown.contains(&"skipped: no browser was found"));
        assert!(!shown.contains(&"    b::works"));
        assert!(shown.contains(&"panicked"));
        assert!(shown.contains(&"    d::is_broken"));
        assert!(shown.last().is_some_and(|line| line.starts_with("test result: FAILED. 2 passed")));
    }

    #[test]
    fn what_failed_is_kept_for_the_end() {
        let (transcript, _) = read(OUTPUT);
        let expected = "\n---- d::is_broken stdout ----\npanicked\n\nfailures:\n    d::is_broken\n\n";
        assert_eq!(transcript.failures, expected);
    }

    #[test]
    fn the_next_binary_starts_afresh() {
        let twice = format!("{OUTPUT}{OUTPUT}");
        assert_eq!(read(&twice).0.skips.len(), 4);
        assert_eq!(read(&twice).1.len(), read(OUTPUT).1.len() * 2);
    }

    #[test]
    fn nothing_skipped_is_nothing_said() {
        assert_eq!(read("running 0 tests\n").0.account(), "");
    }

    #[test]
    fn arguments_are_filters_and_known_options_only() {
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        let request = Request::parse(words(&["--long", "crash", "live"]));
        assert_eq!(request, Ok(Request { long: true, filters: words(&["crash", "live"]) }));
        assert_eq!(Request::parse(words(&["--stack"])), Err("test has no option --stack".into()));
    }
}
