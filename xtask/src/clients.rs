//! The clients in other languages, generated from `api/openapi.json`.
//!
//! | In `clients/` | Is |
//! |---|---|
//! | `generator/` | which generators, in which versions, and what of the document is left out |
//! | `typescript/schema.d.ts` | written by openapi-typescript; the rest of the folder is ours |
//! | `python/angarium_client/` | written by openapi-python-client; the rest of the folder is ours |

use crate::tools::{Language, Tool};
use crate::workspace::{Workspace, in_ci, output};
use std::path::{Path, PathBuf};

const PYTHON: Tool = Tool {
    name: "openapi-python-client",
    language: Language::Python,
    folder: "clients/generator",
    pins: include_str!("../../clients/generator/requirements.txt"),
};
const TYPESCRIPT: Tool = Tool {
    name: "openapi-typescript",
    language: Language::Node,
    folder: "clients/generator",
    pins: include_str!("../../clients/generator/package-lock.json"),
};
/// What is written, each a file or a folder of its own.
const WRITTEN: [&str; 2] = ["clients/typescript/schema.d.ts", "clients/python/angarium_client"];

pub fn write(workspace: &Workspace) -> Result<(), String> {
    if let Some(missing) = missing() {
        return skip(&missing);
    }
    let made = Made::make(workspace)?;
    for (there, path) in made.parts() {
        let target = workspace.path(path);
        remove(&target)?;
        output(workspace.command("cp", &["-R"]).arg(there).arg(&target))?;
    }
    Ok(())
}

/// Whether what is committed is what would be written.
pub fn are_fresh(workspace: &Workspace) -> Result<(), String> {
    if let Some(missing) = missing() {
        return skip(&missing);
    }
    let made = Made::make(workspace)?;
    let caches = ["--exclude=__pycache__", "--exclude=*.pyc"];
    let stale: Vec<&str> = made
        .parts()
        .filter(|(there, path)| {
            let mut diff = workspace.command("diff", &["--recursive", "--brief"]);
            output(diff.args(caches).arg(there).arg(workspace.path(path))).is_err()
        })
        .map(|(_, path)| path)
        .collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("not up to date: {}; run `cargo xtask codegen` and commit what it wrote", stale.join(", ")))
}

fn missing() -> Option<String> {
    PYTHON.missing().or_else(|| TYPESCRIPT.missing())
}

/// Who has neither Python nor Node can work on all the rest.
fn skip(missing: &str) -> Result<(), String> {
    if in_ci() {
        return Err(missing.to_owned());
    }
    eprintln!("skipped: the clients were neither generated nor compared: {missing}");
    Ok(())
}

/// A temporary folder with what the generators write.
struct Made(PathBuf);

impl Made {
    fn make(workspace: &Workspace) -> Result<Made, String> {
        let (python, typescript) = (PYTHON.programs(workspace)?, TYPESCRIPT.programs(workspace)?);
        let made = Made(std::env::temp_dir().join(format!("angarium-clients-{}", std::process::id())));
        std::fs::create_dir(&made.0).map_err(|error| format!("{}: {error}", made.0.display()))?;
        let document = made.0.join("openapi.json");
        let leave_out = ["clients/generator/leave_out.py", "api/openapi.json"];
        output(workspace.command(python.join("python"), &leave_out).arg(&document))?;
        let mut types = workspace.command(typescript.join("openapi-typescript"), &["--alphabetize"]);
        output(types.arg(&document).arg("--output").arg(made.part(WRITTEN[0])))?;
        let generate =
            ["generate", "--meta", "none", "--config", "clients/generator/python.yml", "--fail-on-warning"];
        let mut package = workspace.command(python.join("openapi-python-client"), &generate);
        package.arg("--path").arg(&document).arg("--output-path").arg(made.part(WRITTEN[1]));
        output(package.env("PATH", with_first(&python)?).env("RUFF_NO_CACHE", "true"))?;
        Ok(made)
    }

    fn part(&self, path: &str) -> PathBuf {
        self.0.join(path.rsplit('/').next().unwrap_or(path))
    }

    fn parts(&self) -> impl Iterator<Item = (PathBuf, &'static str)> + '_ {
        WRITTEN.into_iter().map(|path| (self.part(path), path))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The generator formats what it wrote by a program beside it.
fn with_first(folder: &Path) -> Result<std::ffi::OsString, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).map_err(|error| format!("PATH: {error}"))
}

fn remove(path: &Path) -> Result<(), String> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}
