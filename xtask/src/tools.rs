//! Programs of other languages that the automation uses, in pinned versions.
//!
//! They are kept in `$XDG_CACHE_HOME/angarium/tools/`, in a folder named after the text of their pins: fetched
//! once, and fetched again when a version changes.

use crate::workspace::{Workspace, answers, output};
use std::path::{Path, PathBuf};

/// What a language's own tool installs.
pub struct Tool {
    pub name: &'static str,
    pub language: Language,
    /// The folder in the repository that has the pins.
    pub folder: &'static str,
    /// What they say.
    pub pins: &'static str,
}

pub enum Language {
    /// `requirements.txt`, installed into a virtual environment.
    Python,
    /// `package-lock.json`.
    Node,
}

impl Tool {
    /// A sentence if what it is installed with is not there.
    pub fn missing(&self) -> Option<String> {
        let (is_there, what) = match self.language {
            Language::Python => {
                (answers("python3", &["-c", "import venv, ensurepip"]), "python3 python3-venv")
            }
            Language::Node => {
                (answers("node", &["--version"]) && answers("npm", &["--version"]), "nodejs npm")
            }
        };
        let name = self.name;
        (!is_there).then(|| format!("{name} needs {what}; on Debian: apt-get install {what}"))
    }

    /// The folder with its programs.
    pub fn programs(&self, workspace: &Workspace) -> Result<PathBuf, String> {
        let folder = self.installed(workspace)?;
        Ok(folder.join(match self.language {
            Language::Python => "venv/bin",
            Language::Node => "node_modules/.bin",
        }))
    }

    fn installed(&self, workspace: &Workspace) -> Result<PathBuf, String> {
        let tools = cache_folder()?.join("tools");
        let folder = tools.join(format!("{}-{:016x}", self.name, fnv(self.pins)));
        // Written last: a virtual environment cannot be renamed, so there is no whole or nothing by that.
        let done = folder.join("installed");
        if done.is_file() {
            return Ok(folder);
        }
        eprintln!("fetching {}; the first time takes a minute", self.name);
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).map_err(failed)?;
        self.install(workspace, &folder)?;
        std::fs::write(&done, "").map_err(failed)?;
        Ok(folder)
    }

    fn install(&self, workspace: &Workspace, folder: &Path) -> Result<(), String> {
        let source = workspace.path(self.folder);
        match self.language {
            Language::Python => {
                let venv = folder.join("venv");
                output(workspace.command("python3", &["-m", "venv"]).arg(&venv))?;
                let pip = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"];
                output(workspace.command(venv.join("bin/pip"), &pip).arg(source.join("requirements.txt")))
            }
            Language::Node => {
                for file in ["package.json", "package-lock.json"] {
                    std::fs::copy(source.join(file), folder.join(file))
                        .map_err(|error| format!("{file}: {error}"))?;
                }
                let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
                output(workspace.command("npm", &npm).current_dir(folder))
            }
        }
        .map(|_| ())
    }
}

/// Where things are kept from run to run.
pub fn cache_folder() -> Result<PathBuf, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.or_else(home).ok_or("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("angarium"))
}

/// FNV-1a: <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>
pub fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #[test]
    fn another_text_is_another_folder() {
        assert_eq!(super::fnv("a"), 0xaf63_dc4c_8601_ec8c);
        assert_ne!(super::fnv("kafka 1"), super::fnv("kafka 2"));
    }
}
