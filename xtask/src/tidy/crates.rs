//! Which crate may depend on which, read from the manifests.
//!
//! ```text
//! base ◀── ports ◀── kit ◀── slices ◀── server ◀── suite
//!                                         │          │
//!                                         └─▶ client ◀
//! ```

use super::Finding;
use super::tree::Tree;

/// Edges that the layers do not allow, and why each is there.
const LISTED: [(&str, &str, &str); 2] = [
    ("journal", "db", "streams live in the same file as state, so that one commit carries both"),
    ("journal", "kafka", "streams may live in Kafka, behind the journal's own spool"),
];

/// Crates of other people that only some of our layers may use.
const HTTP: [&str; 6] = ["axum", "hyper", "hyper-util", "http", "http-body", "tower-http"];

/// What a crate is, hence what it may depend on. A crate that has no other name here is a slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layer {
    Base,
    Port,
    Kit,
    Slice,
    Server,
    Client,
    Suite,
    Xtask,
}

impl Layer {
    /// The layer of the crate in `crates/FOLDER/`, or of `xtask/`.
    pub fn of(folder: &str) -> Layer {
        match folder {
            "base" => Layer::Base,
            "db" | "journal" | "blobs" | "feed" | "identity" | "kafka" => Layer::Port,
            "kit" => Layer::Kit,
            "server" => Layer::Server,
            "client" => Layer::Client,
            "suite" => Layer::Suite,
            "xtask" => Layer::Xtask,
            _ => Layer::Slice,
        }
    }

    /// The layer of the crate that a file belongs to; `None` for files outside of all crates.
    pub fn of_file(path: &str) -> Option<Layer> {
        folder_of(path).map(Layer::of)
    }

    pub fn is_below_kit(self) -> bool {
        matches!(self, Layer::Base | Layer::Port)
    }

    fn may_use(self, other: Layer) -> bool {
        use Layer::{Base, Client, Kit, Port, Server, Slice, Suite, Xtask};
        match self {
            Base | Client | Xtask => false,
            Port => matches!(other, Base),
            Kit => matches!(other, Base | Port),
            Slice => matches!(other, Base | Port | Kit),
            Server => matches!(other, Base | Port | Kit | Slice | Client),
            Suite => matches!(other, Client | Server),
        }
    }

    fn way_out(self) -> &'static str {
        match self {
            Layer::Slice => "what two slices need goes through the journal, the ledger or the kit",
            Layer::Suite => "the suite knows only the client and starts the server",
            Layer::Client | Layer::Xtask => "it depends on nothing of ours",
            _ => "dependencies point from server to slices, kit, ports, base",
        }
    }
}

pub fn check(tree: &Tree) -> Vec<Finding> {
    let manifests: Vec<Manifest> =
        tree.files().filter_map(|(path, text)| Manifest::read(path, text)).collect();
    let mut findings = vec![];
    for manifest in &manifests {
        for (line, name) in &manifest.dependencies {
            let ours = manifests.iter().find(|other| other.package == *name);
            let message = match ours {
                Some(other) => wrong_edge(manifest.folder, other.folder),
                None => wrong_library(manifest.folder, name),
            };
            findings.extend(message.map(|message| Finding::new(manifest.path, *line, message)));
        }
    }
    findings
}

fn wrong_edge(from: &str, to: &str) -> Option<String> {
    let layer = Layer::of(from);
    let is_listed = LISTED.iter().any(|(a, b, _)| (*a, *b) == (from, to));
    if layer.may_use(Layer::of(to)) || is_listed {
        return None;
    }
    let way_out = layer.way_out();
    Some(format!(
        "{from} must not depend on {to}: {way_out} (or list the edge in LISTED of xtask with its reason)"
    ))
}

fn wrong_library(folder: &str, library: &str) -> Option<String> {
    // The suite opens the file as its owner may, from outside.
    if library == "rusqlite" && !["db", "suite"].contains(&folder) {
        return Some("rusqlite is known to crates/db only; use its `Tx`".into());
    }
    if HTTP.contains(&library) && Layer::of(folder).is_below_kit() {
        return Some(format!("nothing below the kit knows HTTP; {library} belongs to the kit and above"));
    }
    None
}

/// What the rules need from a Cargo.toml, of which the few forms that we write are understood.
struct Manifest<'a> {
    path: &'a str,
    folder: &'a str,
    package: &'a str,
    /// Line and package name, of dependencies of every kind.
    dependencies: Vec<(usize, &'a str)>,
}

impl<'a> Manifest<'a> {
    fn read(path: &'a str, text: &'a str) -> Option<Manifest<'a>> {
        let folder = folder_of(path).filter(|_| path.ends_with("/Cargo.toml"))?;
        let mut manifest = Manifest { path, folder, package: folder, dependencies: vec![] };
        let mut section = "";
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
            if let Some(header) = line.strip_prefix('[') {
                section = header.split(']').next().unwrap_or_default().trim();
                if let Some((table, name)) = section.rsplit_once('.')
                    && is_dependency_table(table)
                {
                    manifest.dependencies.push((number, name.trim_matches('"')));
                }
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
                continue;
            };
            let key = key.trim().split('.').next().unwrap_or_default().trim_matches('"');
            if section == "package" && key == "name" {
                manifest.package = value.trim().trim_matches('"');
            } else if is_dependency_table(section) {
                manifest.dependencies.push((number, renamed_from(value).unwrap_or(key)));
            }
        }
        Some(manifest)
    }
}

fn is_dependency_table(section: &str) -> bool {
    let table = section.rsplit('.').next().unwrap_or_default();
    ["dependencies", "dev-dependencies", "build-dependencies"].contains(&table)
}

/// `other` in `{ package = "other", … }`.
fn renamed_from(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("package")?;
    rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?.split('"').next()
}

/// `db` for `crates/db/…`, `xtask` for `xtask/…`.
fn folder_of(path: &str) -> Option<&str> {
    let (first, rest) = path.split_once('/')?;
    match first {
        "crates" => rest.split_once('/').map(|(folder, _)| folder),
        "xtask" => Some(first),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(package: &str, dependencies: &str) -> String {
        format!("[package]\nname = \"{package}\"\n\n[dependencies]\n{dependencies}\n")
    }

    /// The findings on a manifest, in a workspace that has a crate of every kind.
    fn findings(folder: &str, dependencies: &str) -> Vec<String> {
        let crates = ["base", "db", "journal", "kit", "tenants", "live", "client", "suite"];
        let mut files: Vec<(String, String)> = crates
            .iter()
            .map(|name| (format!("crates/{name}/Cargo.toml"), manifest(&format!("angarium-{name}"), "")))
            .collect();
        files.push(("crates/server/Cargo.toml".into(), manifest("angarium", "")));
        files.push((
            format!("crates/{folder}/Cargo.toml"),
            manifest(&format!("angarium-{folder}"), dependencies),
        ));
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        check(&Tree::of(&files)).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn dependencies_that_point_down_are_fine() {
        assert_eq!(
            findings("live", "angarium-kit.workspace = true\nangarium-base.workspace = true"),
            [""; 0]
        );
        assert_eq!(findings("journal", "angarium-db = { path = \"../db\" }"), [""; 0]);
        assert_eq!(findings("suite", "angarium-client.workspace = true\nangarium = \"1\""), [""; 0]);
    }

    #[test]
    fn a_dependency_that_points_up_is_found_with_its_line() {
        let found = findings("db", "angarium-base.workspace = true\nangarium-kit.workspace = true");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/db/Cargo.toml:6: db must not depend on kit"), "{found:?}");
    }

    #[test]
    fn every_forbidden_direction_is_found() {
        for (from, to) in [
            ("base", "db"),
            ("db", "journal"),
            ("kit", "live"),
            ("live", "tenants"),
            ("tenants", "live"),
            ("live", "client"),
            ("client", "base"),
            ("suite", "kit"),
            ("kit", "suite"),
        ] {
            let found = findings(from, &format!("angarium-{to}.workspace = true"));
            assert_eq!(found.len(), 1, "{from} → {to}: {found:?}");
        }
    }

    #[test]
    fn every_way_of_writing_a_dependency_is_read() {
        for dependency in [
            "angarium-tenants.workspace = true",
            "angarium-tenants = { workspace = true }",
            "t = { package = \"angarium-tenants\", path = \"../tenants\" }",
            "[dependencies.angarium-tenants]\npath = \"../tenants\"",
            "[dev-dependencies]\nangarium-tenants.workspace = true",
            "[target.'cfg(unix)'.dependencies]\nangarium-tenants.workspace = true",
        ] {
            assert_eq!(findings("live", dependency).len(), 1, "{dependency}");
        }
        assert_eq!(findings("live", "# angarium-tenants = \"1\""), [""; 0]);
    }

    #[test]
    fn libraries_are_kept_to_their_layers() {
        assert_eq!(findings("journal", "rusqlite = \"1\"").len(), 1);
        assert_eq!(findings("db", "rusqlite = \"1\""), [""; 0]);
        assert_eq!(findings("suite", "rusqlite = \"1\""), [""; 0]);
        assert_eq!(findings("base", "http.workspace = true").len(), 1);
        assert_eq!(findings("kit", "http.workspace = true"), [""; 0]);
    }
}
