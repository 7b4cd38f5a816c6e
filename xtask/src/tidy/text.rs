//! Migrations' names, links in documents, marks of unfinished work.

use super::Finding;
use super::source::words;
use super::tree::{Tree, extension_of};
use std::collections::BTreeMap;

/// What people write beside work that they leave for later.
pub const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Files that are searched for marks as they stand; Rust files are searched with more care.
const MARKED: [&str; 8] = ["md", "html", "sql", "css", "js", "ts", "svelte", "py"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    [unfinished_work(tree), migration_names(tree), broken_links(tree)].into_iter().flatten().collect()
}

fn unfinished_work(tree: &Tree) -> Vec<Finding> {
    let message = "unfinished work is not kept in files; finish it, or open an issue and take the mark out";
    let mut findings = vec![];
    for (path, text) in tree.files().filter(|(path, _)| MARKED.contains(&extension_of(path))) {
        for mark in MARKS {
            let lines = words(text, mark).map(|at| text[..at].matches('\n').count() + 1);
            findings.extend(lines.map(|line| Finding::new(path, line, message)));
        }
    }
    findings
}

/// `NNNN_name.sql`, and no number twice in a folder: the order of migrations is the order of their names.
fn migration_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = vec![];
    let mut seen: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for (path, _) in tree.with_extension("sql") {
        let Some((folder, file)) = path.rsplit_once('/').filter(|(folder, _)| folder.contains("migrations"))
        else {
            continue;
        };
        let Some(number) = migration_number(file) else {
            findings.push(Finding::new(path, 1, "a migration is called NNNN_what_it_does.sql; rename it"));
            continue;
        };
        if let Some(first) = seen.insert((folder, number), file) {
            let message = format!("has the number of {first}; a migration takes the next free one");
            findings.push(Finding::new(path, 1, message));
        }
    }
    findings
}

fn migration_number(file: &str) -> Option<&str> {
    let (number, name) = file.strip_suffix(".sql")?.split_once('_')?;
    let is_number = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (is_number && is_name).then_some(number)
}

/// Relative links of the documents in the root and in docs/.
fn broken_links(tree: &Tree) -> Vec<Finding> {
    let mut findings = vec![];
    for (path, text) in tree.with_extension("md") {
        if path.contains('/') && !path.starts_with("docs/") {
            continue;
        }
        for (line, target) in links(text) {
            let there = resolved(path, target).is_some_and(|file| tree.has(&file));
            if !there {
                let message = format!("the link to {target} leads nowhere; correct it or add the file");
                findings.push(Finding::new(path, line, message));
            }
        }
    }
    findings
}

/// Line and path of every link to a file: `[text](path)` and `[name]: path`, outside of code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = vec![];
    let mut fence = None;
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let marker = ["```", "~~~"].into_iter().find(|marker| line.trim_start().starts_with(marker));
        match (fence, marker) {
            (None, Some(_)) => fence = marker,
            (Some(open), Some(close)) if open == close => fence = None,
            (None, None) => links.extend(links_of_line(line).into_iter().map(|link| (number, link))),
            _ => {}
        }
    }
    links
}

fn links_of_line(line: &str) -> Vec<&str> {
    let in_code = |at: usize| line[..at].matches('`').count() % 2 == 1;
    let inline = line.match_indices("](").filter(|(at, _)| !in_code(*at));
    let inline = inline.map(|(at, _)| line[at + 2..].split(')').next().unwrap_or_default());
    let reference = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    let targets = inline.chain(reference.map(|(_, target)| target));
    targets.filter_map(file_of).collect()
}

/// The path in a link's target; `None` when it leads elsewhere: to a host, or within the page.
fn file_of(target: &str) -> Option<&str> {
    let target = target.split_whitespace().next()?.trim_matches(['<', '>']);
    let has_scheme = target.split_once(':').is_some_and(|(scheme, _)| !scheme.contains(['/', '.', '#']));
    let path = target.split(['#', '?']).next().unwrap_or_default();
    (!has_scheme && !path.is_empty()).then_some(path)
}

/// The target as a path from the root; `None` when it climbs out of the repository.
fn resolved(document: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.starts_with('/') {
        true => vec![],
        false => document.split('/').collect(),
    };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(findings: Vec<Finding>) -> Vec<(String, usize)> {
        findings.into_iter().map(|finding| (finding.path, finding.line)).collect()
    }

    fn at(path: &str, line: usize) -> (String, usize) {
        (path.into(), line)
    }

    #[test]
    fn marks_in_documents_and_pages_are_found() {
        let tree = Tree::of(&[
            ("docs/a.md", "fine\nTODO: later"),
            ("crates/live/src/page.html", "<!-- FIXME -->"),
            ("b.md", "ang_XXX_key, todo, XXXL"),
        ]);
        assert_eq!(shown(unfinished_work(&tree)), [at("crates/live/src/page.html", 1), at("docs/a.md", 2)]);
    }

    #[test]
    fn migrations_with_other_names_or_the_same_number_are_found() {
        let tree = Tree::of(&[
            ("crates/a/migrations/0001_apps.sql", ""),
            ("crates/a/migrations/0002_keys.sql", ""),
            ("crates/a/migrations/0002_users.sql", ""),
            ("crates/a/migrations/3_late.sql", ""),
            ("crates/a/migrations/0004-Dash.sql", ""),
            ("crates/b/migrations/0001_events.sql", ""),
            ("examples/query.sql", ""),
        ]);
        let expected = [
            at("crates/a/migrations/0002_users.sql", 1),
            at("crates/a/migrations/0004-Dash.sql", 1),
            at("crates/a/migrations/3_late.sql", 1),
        ];
        assert_eq!(shown(migration_names(&tree)), expected);
    }

    #[test]
    fn links_to_nothing_are_found() {
        let readme = "[a](docs/a.md) [b](docs/b.md#part)\n[c](docs/c.md \"title\")\n[d]: missing.md\n";
        let a = "[up](../README.md) [out](../../secret.md)\n[root](/README.md) [folder](.)";
        let tree = Tree::of(&[("README.md", readme), ("docs/a.md", a), ("docs/c.md", "")]);
        assert_eq!(shown(broken_links(&tree)), [at("README.md", 1), at("README.md", 3), at("docs/a.md", 1)]);
    }

    #[test]
    fn links_elsewhere_and_in_code_are_left_alone() {
        let text = "[a](https://example.org/a.md) [b](#part) [c](mailto:a@example.org) `[d](e.md)`\n\
                    ```\n[f](g.md)\n```\n";
        assert_eq!(links(text), []);
    }
}
