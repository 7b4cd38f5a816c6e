//! No query on an app's table without the app, and no route without a guard: what the types cannot say.

use super::Finding;
use super::source::{Source, balanced, words};
use super::tree::Tree;
use std::collections::BTreeSet;

/// Functions of stores that may read or write an app's rows without being given the app, and why.
const UNSCOPED: [(&str, &str, &str); 27] = [
    ("crates/messages/src/store.rs", "insert", "makes the text of a statement; who runs it gives the app"),
    ("crates/messages/src/store.rs", "due", "looks for work, of all apps"),
    ("crates/messages/src/store.rs", "count_retries", "counts the work of all apps, for the operator"),
    ("crates/messages/src/store.rs", "schema_versions", "looks for what has changed, of all apps"),
    ("crates/messages/src/store.rs", "schema", "given the app as text, which the row has"),
    ("crates/tenants/src/store.rs", "app_by_bundle_id", "asks whose the bundle id is"),
    ("crates/kit/src/idempotency/store.rs", "replace_made", "given the app as text, which the row has"),
    (
        "crates/live/src/store.rs",
        "publish_presence",
        "an upsert, which is given the app and names it by its column",
    ),
    ("crates/live/src/store.rs", "expire_presence", "by age, of all apps"),
    ("crates/tenants/src/store.rs", "everything", "fills the directory, of all apps"),
    ("crates/tenants/src/store.rs", "every_key", "fills the directory, of all apps"),
    ("crates/tenants/src/store.rs", "every_grant", "fills the directory, of all apps"),
    ("crates/tenants/src/store.rs", "is_new", "asks whether there is any app at all"),
    ("crates/tenants/src/store.rs", "deleted_apps", "looks for apps whose data is to go"),
    ("crates/tenants/src/store.rs", "insert_app", "makes an app, which nobody has named before"),
    ("crates/kit/src/idempotency/store.rs", "insert", "by scope: the hash of principal, path and key"),
    ("crates/kit/src/idempotency/store.rs", "kept", "by scope: the hash of principal, path and key"),
    ("crates/kit/src/idempotency/store.rs", "take_over", "by scope: the hash of principal, path and key"),
    ("crates/kit/src/idempotency/store.rs", "settle", "by scope: the hash of principal, path and key"),
    ("crates/kit/src/idempotency/store.rs", "release", "by scope: the hash of principal, path and key"),
    ("crates/kit/src/idempotency/store.rs", "expire", "by age, of all apps"),
    ("crates/kit/src/idempotency/store.rs", "delete_of", "given the app as text, which the row has"),
    ("crates/dead-letters/src/store.rs", "expired", "by age, of all apps"),
    ("crates/dead-letters/src/store.rs", "depths", "counts the letters of all apps, for the operator"),
    ("crates/dead-letters/src/store.rs", "running", "looks for work, of all apps"),
    ("crates/dead-letters/src/store.rs", "forget_runs", "by age, of all apps"),
    ("crates/tenants/src/store.rs", "update_app", "asks whether any other app has the bundle id"),
];

/// Files that may make routes without [`Routes`](../../crates/kit/src/http/routes.rs), and why.
const OWN_ROUTES: [(&str, &str); 2] = [
    ("crates/kit/src/http/routes.rs", "it is what declares them"),
    ("crates/server/src/api/internal.rs", "the internal listener asks nobody who they are"),
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let tables = owned_tables(tree);
    let mut findings = exceptions_are_needed(tree);
    for (path, text) in tree.with_extension("rs").filter(|(path, _)| path.starts_with("crates/")) {
        let source = Source::new(path, text);
        if path.ends_with("/store.rs") && !is_a_port(path) {
            findings.extend(queries_name_their_app(&source, &tables));
        }
        findings.extend(routes_have_guards(&source));
    }
    findings
}

fn is_a_port(path: &str) -> bool {
    ["crates/db/", "crates/journal/"].iter().any(|port| path.starts_with(port))
}

/// Tables whose rows belong to an app: those with a column `app`, in any migration.
fn owned_tables(tree: &Tree) -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    for (path, text) in tree.with_extension("sql").filter(|(path, _)| !is_a_port(path)) {
        if !path.contains("/migrations/") {
            continue;
        }
        for statement in text.split(';') {
            let Some((_, rest)) = statement.split_once("CREATE TABLE ") else { continue };
            let Some((name, columns)) = rest.split_once('(') else { continue };
            let has_app = columns.lines().any(|line| line.trim().starts_with("app "));
            if has_app {
                tables.insert(name.trim().to_owned());
            }
        }
    }
    tables
}

/// A function of a file: its name, where it begins, its signature, and its literals.
struct Function<'a> {
    name: &'a str,
    at: usize,
    signature: &'a str,
    literals: Vec<&'a str>,
}

fn functions<'a>(source: &'a Source) -> Vec<Function<'a>> {
    let code = &source.code;
    let starts = words(code, "fn").collect::<Vec<_>>();
    starts
        .into_iter()
        .filter_map(|at| {
            let rest = &code[at + 2..];
            let open = rest.find('{')?;
            let signature = &rest[..open];
            let name = signature.trim_start().split(['(', '<']).next()?.trim();
            let body_at = at + 2 + open + 1;
            let length = balanced(&code[body_at..], '{', '}')?;
            let literals = literals(source, body_at, body_at + length);
            Some(Function { name, at, signature, literals })
        })
        .collect()
}

/// The insides of the string literals between two offsets.
fn literals<'a>(source: &'a Source, from: usize, to: usize) -> Vec<&'a str> {
    let quotes: Vec<usize> = source.code[from..to].match_indices('"').map(|(at, _)| from + at).collect();
    quotes.chunks_exact(2).map(|pair| &source.text[pair[0] + 1..pair[1]]).collect()
}

fn queries_name_their_app(source: &Source, tables: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for function in functions(source) {
        let is_listed = UNSCOPED.iter().any(|(path, name, _)| *path == source.path && *name == function.name);
        let own: Vec<&str> = function
            .literals
            .iter()
            .copied()
            .filter(|sql| tables.iter().any(|table| uses(sql, table)) || uses(sql, "apps"))
            .collect();
        if own.is_empty() || is_listed {
            continue;
        }
        let line = source.line(function.at);
        if !function.signature.contains("&AppId") {
            let message = format!(
                "`{}` reads or writes an app's rows and is not given the app; take `app: &AppId`, or list it in UNSCOPED of xtask with the reason",
                function.name
            );
            findings.push(Finding::new(source.path, line, message));
        }
        if let Some(sql) = own.iter().find(|sql| !names_app(sql)) {
            let begin: String = sql.chars().take(60).collect();
            let message =
                format!("`{}` has a statement without `app = $…` on an app's table: {begin}", function.name);
            findings.push(Finding::new(source.path, line, message));
        }
    }
    findings
}

/// Whether a statement reads or writes a table.
fn uses(sql: &str, table: &str) -> bool {
    ["FROM", "INTO", "UPDATE", "JOIN"].iter().any(|word| {
        words(sql, word).any(|at| {
            let mut rest = sql[at + word.len()..].split(|c: char| c.is_whitespace() || c == '\\');
            let next = rest.find(|part| !part.is_empty());
            next.is_some_and(|next| next.trim_end_matches([',', '(', ')']) == table)
        })
    })
}

/// Whether a statement is about one app: by its column, by the app's own id, or by the row that it makes.
fn names_app(sql: &str) -> bool {
    let has = |name: &str| {
        words(sql, name).any(|at| {
            let rest = sql[at + name.len()..].trim_start();
            rest.strip_prefix('=').is_some_and(|rest| rest.trim_start().starts_with('$'))
        })
    };
    let makes = sql.trim_start().starts_with("INSERT INTO")
        && sql
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'))
            .is_some_and(|(columns, _)| columns.split(',').any(|column| column.trim() == "app"));
    has("app") || makes || (uses(sql, "apps") && has("id"))
}

fn routes_have_guards(source: &Source) -> Vec<Finding> {
    if source.is_test_file() || OWN_ROUTES.iter().any(|(path, _)| *path == source.path) {
        return vec![];
    }
    let tests = source.code.find("#[cfg(test)]").unwrap_or(source.code.len());
    let found = [".route(", "MethodRouter", ".route_service(", ".nest("].into_iter();
    let found = found.flat_map(|what| source.code[..tests].match_indices(what));
    let message = "a route that is declared past `Routes` has no guard and is in no document; declare it with `Routes::get` and the like";
    found.map(|(at, _)| Finding::new(source.path, source.line(at), message)).collect()
}

/// An exception that nothing needs any more would cover what comes next.
fn exceptions_are_needed(tree: &Tree) -> Vec<Finding> {
    let has =
        |wanted: &str, what: &str| tree.files().any(|(path, text)| path == wanted && text.contains(what));
    let stale =
        UNSCOPED.iter().filter(|(path, name, _)| tree.has(path) && !has(path, &format!("fn {name}(")));
    let message = "listed in UNSCOPED of xtask, but not there (any more); take it off the list";
    stale.map(|(path, _, _)| Finding::new(path, 1, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let sql = "CREATE TABLE jobs (\n    id TEXT PRIMARY KEY,\n    app TEXT NOT NULL\n);\nCREATE TABLE leases (\n    name TEXT\n);";
        let tree = Tree::of(&[("crates/a/migrations/0001_a.sql", sql), ("crates/a/src/store.rs", text)]);
        check(&tree).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_query_without_its_app_is_found() {
        let good = "fn show(tx: &mut Tx, app: &AppId) { tx.one(\"SELECT a FROM jobs WHERE app = $1 AND id = $2\") }\n\
                    fn make(tx: &mut Tx, app: &AppId) { tx.exec(\"INSERT INTO jobs (id, app) VALUES ($1, $2)\") }\n\
                    fn lease(tx: &mut Tx) { tx.one(\"SELECT name FROM leases WHERE name = $1\") }";
        assert_eq!(found(good), Vec::<String>::new());
        let other = "fn show(tx: &mut Tx, app: &AppId) { tx.one(\"SELECT a FROM jobs WHERE id = $1\") }";
        assert!(found(other)[0].contains("`show` has a statement without"));
        let joined =
            "fn show(tx: &mut Tx, app: &AppId) { tx.one(\"SELECT a FROM leases JOIN jobs ON b = c\") }";
        assert_eq!(found(joined).len(), 1);
        let not_given = "fn show(tx: &mut Tx, app: &str) { tx.one(\"SELECT a FROM jobs WHERE app = $1\") }";
        assert!(found(not_given)[0].contains("is not given the app"));
        let changed =
            "fn change(tx: &mut Tx, app: &AppId) { tx.exec(\"UPDATE jobs SET app = b WHERE id = $1\") }";
        assert_eq!(found(changed).len(), 1);
    }

    #[test]
    fn a_route_past_the_guards_is_found() {
        let tree = Tree::of(&[
            ("crates/a/src/api.rs", "fn routes() { Router::new().route(\"/a\", get(b)) }"),
            ("crates/a/src/good.rs", "fn routes() { Routes::new().get(\"/a\", b, doc) }"),
            ("crates/kit/src/http/routes.rs", "fn add() { self.router.route(path, on(filter, handler)) }"),
        ]);
        let found = check(&tree);
        assert_eq!(found.iter().map(|finding| &*finding.path).collect::<Vec<_>>(), ["crates/a/src/api.rs"]);
    }
}
