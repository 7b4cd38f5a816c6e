//! Reading what tests print, and adding up what several runs of them came to.

use std::collections::{BTreeMap, HashSet};

/// Reads the output of libtest (with `--show-output`) line by line.
///
/// ```text
/// Results ── successes: ──▶ Printed ── successes: ──▶ Names
///    ▲                                                  │
///    └─────────── failures: · test result: ─────────────┘
/// ```
#[derive(Default)]
pub struct Transcript {
    section: Section,
    test: String,
    skips: Vec<Skip>,
    ok: HashSet<String>,
    pub passed: usize,
    pub failed: usize,
    /// The names of failed tests, and the beginning of what each printed.
    pub failures: String,
    lines_of_failure: usize,
    /// The line before told of a panic.
    panicked: bool,
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

#[derive(PartialEq)]
struct Skip {
    test: String,
    reason: String,
}

impl Transcript {
    /// Takes one line; returns whether it is worth showing.
    pub fn take(&mut self, line: &str) -> bool {
        if let Some(reason) = line.trim_start().strip_prefix("skipped:") {
            self.skip(&self.test.clone(), reason.trim());
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
            self.skip(test, reason);
        }
        if let Some(test) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... ok")) {
            self.ok.insert(test.into());
        }
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, " passed;");
            self.failed += count(counts, " failed;");
        }
        match (self.section, line) {
            (Section::Results, "successes:") => self.section = Section::Printed,
            (Section::Printed, "successes:") => self.section = Section::Names,
            (Section::Names | Section::Results, "failures:") => self.section = Section::Failed,
            (_, line) if line.starts_with("test result: ") => self.section = Section::Results,
            (Section::Printed, line) if self.is_of_panic(line) => return false,
            _ => return self.section != Section::Names,
        }
        line != "successes:"
    }

    /// Where a test panicked, and the words. Of a test that passed they are no news, and hide those that are.
    fn is_of_panic(&mut self, line: &str) -> bool {
        let is_place = line.starts_with("thread '") && line.contains(" panicked at ");
        let is_of_it = is_place || self.panicked || line.starts_with("note: run with `RUST_BACKTRACE");
        self.panicked = is_place;
        is_of_it
    }

    /// A test that says the same of each of its cases has skipped once.
    fn skip(&mut self, test: &str, reason: &str) {
        let skip = Skip { test: test.into(), reason: reason.into() };
        if !self.skips.contains(&skip) {
            self.skips.push(skip);
        }
    }

    fn has_done(&self, test: &str) -> bool {
        self.ok.contains(test) && !self.skips.iter().any(|skip| skip.test == test)
    }
}

/// What several runs came to.
#[derive(Default)]
pub struct Account {
    /// Each with what it is called.
    pub runs: Vec<(&'static str, Transcript)>,
}

impl Account {
    /// How many of the skipped tests had to run. On the stack nothing that it has may be missing.
    pub fn wrongly_skipped(&self, on_stack: bool) -> usize {
        let is_wrong =
            |skip: &&Skip| !skip.reason.starts_with("optional") || on_stack && skip.reason.contains("STACK_");
        self.skips().filter(is_wrong).count()
    }

    /// What was skipped, by reason; empty when nothing was.
    pub fn skipped(&self) -> String {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for skip in self.skips() {
            *reasons.entry(&skip.reason).or_default() += 1;
        }
        if reasons.is_empty() {
            return String::new();
        }
        let of_one = |(reason, n): (&&str, &usize)| format!("  {n} {}: {reason}", tests(*n));
        let head = format!("skipped, {} in all:", reasons.values().sum::<usize>());
        std::iter::once(head).chain(reasons.iter().map(of_one)).collect::<Vec<_>>().join("\n")
    }

    /// The names of all failed tests and the beginning of what each printed, run by run.
    pub fn failures(&self) -> String {
        let failed = self.runs.iter().filter(|(_, run)| !run.failures.is_empty());
        failed.map(|(name, run)| format!("\nfailed of {name}:\n{}", run.failures)).collect()
    }

    /// `N passed, N failed`
    pub fn sum(&self) -> String {
        let sum = |of: fn(&Transcript) -> usize| self.runs.iter().map(|(_, run)| of(run)).sum::<usize>();
        format!("{} passed, {} failed", sum(|run| run.passed), sum(|run| run.failed))
    }

    /// What one run skipped and another did is not skipped.
    fn skips(&self) -> impl Iterator<Item = &Skip> {
        let skips = self.runs.iter().flat_map(|(_, run)| &run.skips);
        skips.filter(|skip| !self.runs.iter().any(|(_, run)| run.has_done(&skip.test)))
    }
}

fn tests(n: usize) -> &'static str {
    if n == 1 { "test" } else { "tests" }
}

/// The number before a word in `FAILED. 2 passed; 1 failed; …`.
fn count(counts: &str, word: &str) -> usize {
    let (before, _) = counts.split_once(word).unwrap_or_default();
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default()
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

thread 'main' (7) panicked at src/a.rs:1:1:
on purpose
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace


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

    const ELSEWHERE: &str = "
test a::needs_a_browser ... ok
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.00s
";

    fn account(outputs: &[&str]) -> Account {
        Account { runs: outputs.iter().map(|output| ("some tests", read(output).0)).collect() }
    }

    fn read(output: &str) -> (Transcript, Vec<&str>) {
        let mut transcript = Transcript::default();
        let shown = output.lines().filter(|line| transcript.take(line)).collect();
        (transcript, shown)
    }

    #[test]
    fn skips_are_grouped_by_reason() {
        let again = OUTPUT.replace("a::needs", "a::also_needs").replace("c::is_slow", "c::sleeps");
        assert_eq!(
            account(&[OUTPUT, &again]).skipped(),
            "skipped, 4 in all:\n  2 tests: no browser was found\n  2 tests: optional: takes an hour"
        );
        assert!(account(&[OUTPUT]).skipped().contains("\n  1 test: no browser was found"));
    }

    #[test]
    fn only_what_is_not_optional_counts_against_a_run() {
        assert_eq!(account(&[OUTPUT]).wrongly_skipped(false), 1);
        let optional = OUTPUT.replace("no browser", "optional: no browser");
        assert_eq!(account(&[&optional]).wrongly_skipped(true), 0);
    }

    #[test]
    fn what_the_stack_has_is_not_optional_on_the_stack() {
        let output = OUTPUT.replace("no browser was found", "optional: STACK_REDIS is not set");
        assert_eq!(account(&[&output]).wrongly_skipped(false), 0);
        assert_eq!(account(&[&output]).wrongly_skipped(true), 1);
    }

    #[test]
    fn what_one_run_skips_and_another_does_is_done() {
        assert_eq!(account(&[OUTPUT, ELSEWHERE]).wrongly_skipped(false), 0);
        let skipped = account(&[OUTPUT, ELSEWHERE]).skipped();
        assert_eq!(skipped, "skipped, 1 in all:\n  1 test: optional: takes an hour");
    }

    #[test]
    fn all_runs_are_added_up() {
        let account = account(&[OUTPUT, ELSEWHERE, OUTPUT]);
        assert_eq!(account.sum(), "5 passed, 2 failed");
        assert_eq!(account.failures().matches("\nfailed of some tests:\n").count(), 2);
    }

    #[test]
    fn results_failures_and_what_tests_print_stay_while_the_list_of_names_goes() {
        let (_, shown) = read(OUTPUT);
        assert!(shown.contains(&"test b::works ... ok"));
        assert!(shown.contains(&"skipped: no browser was found"));
        assert!(!shown.contains(&"    b::works"));
        assert!(shown.contains(&"panicked"));
        assert!(!shown.iter().any(|line| line.contains("src/a.rs") || line.contains("on purpose")));
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
        let transcript = read(&twice).0;
        assert_eq!((transcript.passed, transcript.failed, transcript.skips.len()), (4, 2, 2));
        assert_eq!(read(&twice).1.len(), read(OUTPUT).1.len() * 2);
    }

    #[test]
    fn nothing_skipped_is_nothing_said() {
        assert_eq!(account(&["running 0 tests\n"]).skipped(), "");
    }
}
