//! Which programs this machine has.

use std::path::PathBuf;

/// The program of this name on the `PATH`.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A sentence if it is not there.
pub fn missing(name: &str, what: &str, package: &str) -> Option<String> {
    on_path(name).is_none().then(|| is_missing(name, what, package))
}

pub fn is_missing(name: &str, what: &str, package: &str) -> String {
    format!("{what} needs `{name}`, which is not installed; on Debian: apt-get install {package}")
}
