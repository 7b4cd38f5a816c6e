//! How a Rust file opens, how long it is, what it may mention, and reasons for exceptions.

use super::Finding;
use super::crates::Layer;
use super::source::{Source, balanced, words};
use super::tree::Tree;

/// Lines that a file may have.
const LONGEST: usize = 600;

/// Files that may be longer, and why they are not better as two.
const LONG_FILES: [(&str, &str); 0] = [];

type Rule = fn(&Source) -> Vec<Finding>;

const RULES: [Rule; 8] = [
    opens_by_saying_what_it_is,
    is_not_too_long,
    has_no_unfinished_work,
    exceptions_from_lints_have_reasons,
    ignored_tests_have_reasons,
    sql_is_in_stores,
    engines_are_behind_the_ports,
    http_is_not_known_below_the_kit,
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = long_files_are_still_long(tree, &LONG_FILES);
    for (path, text) in tree.with_extension("rs") {
        let source = Source::new(path, text);
        findings.extend(RULES.iter().flat_map(|rule| rule(&source)));
    }
    findings
}

fn opens_by_saying_what_it_is(source: &Source) -> Vec<Finding> {
    if source.text.starts_with("//!") {
        return vec![];
    }
    vec![Finding::new(source.path, 1, "a file opens by saying what it is; begin it with a `//!` sentence")]
}

fn is_not_too_long(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if lines <= LONGEST || LONG_FILES.iter().any(|(path, _)| *path == source.path) {
        return vec![];
    }
    let message = format!(
        "{lines} lines, and {LONGEST} are allowed; split it by idea, or list it in LONG_FILES of xtask with the reason"
    );
    vec![Finding::new(source.path, LONGEST + 1, message)]
}

fn long_files_are_still_long(tree: &Tree, listed: &[(&str, &str)]) -> Vec<Finding> {
    let is_long =
        |wanted: &str| tree.files().any(|(path, text)| path == wanted && text.lines().count() > LONGEST);
    let stale = listed.iter().filter(|(path, _)| !is_long(path));
    let message = "listed in LONG_FILES of xtask, but not long (any more); take it off the list";
    stale.map(|(path, _)| Finding::new(path, 1, message)).collect()
}

fn has_no_unfinished_work(source: &Source) -> Vec<Finding> {
    let macros = ["todo", "unimplemented"].into_iter().flat_map(|name| {
        words(&source.code, name).filter(move |at| source.code[at + name.len()..].starts_with('!'))
    });
    let marks = super::text::MARKS.into_iter().flat_map(|mark| words(&source.said, mark));
    let message =
        "unfinished work is not kept in the code; finish it, or open an issue and take the mark out";
    macros.chain(marks).map(|at| Finding::new(source.path, source.line(at), message)).collect()
}

fn exceptions_from_lints_have_reasons(source: &Source) -> Vec<Finding> {
    let mut findings = vec![];
    for (at, body) in source.attributes() {
        for level in ["allow", "expect"] {
            let without = words(body, level).any(|start| {
                let list = body[start + level.len()..].trim_start().strip_prefix('(');
                list.is_some_and(|list| !has_reason(&list[..balanced(list, '(', ')').unwrap_or(list.len())]))
            });
            if without {
                let message =
                    format!("`{level}` without a reason; add `reason = \"…\"`, or do what the lint asks for");
                findings.push(Finding::new(source.path, source.line(at), message));
            }
        }
    }
    findings
}

fn has_reason(list: &str) -> bool {
    words(list, "reason").any(|at| list[at + "reason".len()..].trim_start().starts_with('='))
}

fn ignored_tests_have_reasons(source: &Source) -> Vec<Finding> {
    let without = source.attributes().filter(|(_, body)| body.trim() == "ignore");
    let message = "an ignored test says why: `#[ignore = \"…\"]`";
    without.map(|(at, _)| Finding::new(source.path, source.line(at), message)).collect()
}

/// Statements begin with these, in capitals, as all our SQL is written.
const STATEMENTS: [&str; 9] = [
    "SELECT",
    "INSERT INTO",
    "INSERT OR",
    "DELETE FROM",
    "CREATE TABLE",
    "CREATE INDEX",
    "CREATE UNIQUE INDEX",
    "ALTER TABLE",
    "DROP TABLE",
];

fn sql_is_in_stores(source: &Source) -> Vec<Finding> {
    let is_a_port = ["crates/db/", "crates/journal/"].iter().any(|port| source.path.starts_with(port));
    let is_a_store = source.path.ends_with("/store.rs") || source.path.contains("/migrations/");
    if !source.path.starts_with("crates/") || is_a_port || is_a_store || source.is_test_file() {
        return vec![];
    }
    let strings = source.strings_outside_of_tests();
    let followed = |at: usize, word: &str| strings[at + word.len()..].starts_with(char::is_whitespace);
    let statements = STATEMENTS.into_iter().flat_map(|statement| {
        words(&strings, statement).filter(move |at| followed(*at, statement)).collect::<Vec<_>>()
    });
    let updates = words(&strings, "UPDATE").filter(|at| {
        // The table's name and an alias stand in between: SET is near.
        strings[*at..].split_whitespace().take(5).any(|word| word == "SET")
    });
    let message = "SQL outside of store.rs; move the statement into a function of this crate's store.rs";
    statements.chain(updates).map(|at| Finding::new(source.path, source.line(at), message)).collect()
}

fn engines_are_behind_the_ports(source: &Source) -> Vec<Finding> {
    if ["crates/db/", "crates/suite/"].iter().any(|folder| source.path.starts_with(folder)) {
        return vec![];
    }
    let message = "rusqlite is known to crates/db only; use `Tx`, or add what is missing to the db port";
    words(&source.code, "rusqlite").map(|at| Finding::new(source.path, source.line(at), message)).collect()
}

fn http_is_not_known_below_the_kit(source: &Source) -> Vec<Finding> {
    if !Layer::of_file(source.path).is_some_and(Layer::is_below_kit) {
        return vec![];
    }
    let names = ["axum", "hyper", "StatusCode"].into_iter().flat_map(|name| words(&source.code, name));
    let http = words(&source.code, "http").filter(|at| source.code[at + "http".len()..].starts_with("::"));
    let message =
        "nothing below the kit knows HTTP; return an error of the right kind, and let the kit answer";
    names.chain(http).map(|at| Finding::new(source.path, source.line(at), message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
        let mut lines: Vec<_> =
            rule(&Source::new(path, text)).into_iter().map(|finding| finding.line).collect();
        lines.sort();
        lines
    }

    const NONE: [usize; 0] = [];

    #[test]
    fn a_file_without_an_opening_sentence_is_found() {
        assert_eq!(lines(opens_by_saying_what_it_is, "crates/a/src/lib.rs", "use b;\n//! late"), [1]);
        assert_eq!(lines(opens_by_saying_what_it_is, "crates/a/src/lib.rs", ""), [1]);
        assert_eq!(lines(opens_by_saying_what_it_is, "crates/a/src/lib.rs", "//! What it is."), NONE);
    }

    #[test]
    fn a_file_that_is_too_long_is_found() {
        assert_eq!(lines(is_not_too_long, "crates/a/src/lib.rs", &"\n".repeat(601)), [601]);
        assert_eq!(lines(is_not_too_long, "crates/a/src/lib.rs", &"\n".repeat(600)), NONE);
    }

    #[test]
    fn a_listed_file_that_became_short_or_went_away_is_found() {
        let long = "\n".repeat(601);
        let tree = Tree::of(&[("long.rs", &long), ("short.rs", "")]);
        let stale =
            long_files_are_still_long(&tree, &[("long.rs", "r"), ("short.rs", "r"), ("gone.rs", "r")]);
        assert_eq!(
            stale.iter().map(|finding| finding.path.as_str()).collect::<Vec<_>>(),
            ["short.rs", "gone.rs"]
        );
    }

    #[test]
    fn marks_of_unfinished_work_are_found() {
        let text = "// TODO a\n/* FIXME */\nfn a() { todo!() }\nfn b() { unimplemented!(\"x\") }\n// XXX\n";
        assert_eq!(lines(has_no_unfinished_work, "a.rs", text), [1, 2, 3, 4, 5]);
        let text = "let todo = \"TODO\"; // XXXL, todo!\n";
        assert_eq!(lines(has_no_unfinished_work, "a.rs", text), NONE);
    }

    #[test]
    fn an_exception_from_a_lint_without_a_reason_is_found() {
        let text =
            "#![allow(dead_code)]\n#[expect(\n  a,\n  b\n)]\n#[cfg_attr(test, allow(c))]\nfn reason() {}\n";
        assert_eq!(lines(exceptions_from_lints_have_reasons, "a.rs", text), [1, 2, 6]);
        let text = "#[allow(a, reason = \"why\")]\nfn b() { c.expect(\"d\") }\n// #[allow(e)]\n#[deny(f)]";
        assert_eq!(lines(exceptions_from_lints_have_reasons, "a.rs", text), NONE);
    }

    #[test]
    fn an_ignored_test_without_a_reason_is_found() {
        assert_eq!(lines(ignored_tests_have_reasons, "a.rs", "#[test]\n#[ignore]\nfn a() {}"), [2]);
        assert_eq!(lines(ignored_tests_have_reasons, "a.rs", "#[ignore = \"slow\"]\nfn a() {}"), NONE);
    }

    #[test]
    fn sql_outside_of_a_store_is_found() {
        let text = "a(\"SELECT 1\");\na(\"INSERT INTO b\\n VALUES\");\na(\"\n  UPDATE b AS c\n  SET d = 1\");\n\
                    a(\"DELETE FROM b WHERE\");\na(r#\"CREATE TABLE b (\"#);\na(\"SELECT\n  b\");";
        assert_eq!(lines(sql_is_in_stores, "crates/live/src/api.rs", text), [1, 2, 4, 6, 7, 8]);
        for allowed in [
            "crates/live/src/store.rs",
            "crates/live/src/migrations/mod.rs",
            "crates/db/src/sqlite.rs",
            "crates/journal/src/lib.rs",
            "crates/suite/src/world.rs",
            "crates/live/tests/it/main.rs",
        ] {
            assert_eq!(lines(sql_is_in_stores, allowed, text), NONE, "{allowed}");
        }
    }

    #[test]
    fn words_of_sql_in_comments_names_and_unit_tests_are_none() {
        let text = "// SELECT one\nlet a = \"SELECTED a\";\nlet b = \"UPDATE the docs\";\n\
                    #[cfg(test)]\nmod tests { const C: &str = \"SELECT 1\"; }";
        assert_eq!(lines(sql_is_in_stores, "crates/live/src/api.rs", text), NONE);
    }

    #[test]
    fn an_engine_outside_of_its_port_is_found() {
        let text = "//! rusqlite\nuse rusqlite::Connection;\nfn a() -> rusqlite::Result<()> {}";
        assert_eq!(lines(engines_are_behind_the_ports, "crates/journal/src/lib.rs", text), [2, 3]);
        assert_eq!(lines(engines_are_behind_the_ports, "crates/db/src/sqlite.rs", text), NONE);
    }

    #[test]
    fn http_below_the_kit_is_found() {
        let text = "use axum::Router;\nuse http::StatusCode;\nlet a = \"http://b\"; // hyper\nuse hyper;";
        for below in ["crates/base/src/error.rs", "crates/db/src/lib.rs", "crates/journal/src/lib.rs"] {
            assert_eq!(lines(http_is_not_known_below_the_kit, below, text), [1, 2, 2, 4], "{below}");
        }
        assert_eq!(lines(http_is_not_known_below_the_kit, "crates/kit/src/http.rs", text), NONE);
    }
}
