//! Programs for the Java machine, which Maven brings from a small `pom.xml`.
//!
//! They are kept in `$XDG_CACHE_HOME/angarium/stack/`, in a folder named after the pom's text: fetched once,
//! and later starts need neither Maven nor a network.

use super::programs;
use crate::tools::{cache_folder, fnv};
use crate::workspace::{Workspace, output};
use std::path::PathBuf;

const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

pub struct Jars {
    pub name: &'static str,
    /// Where the pom is in the repository, and what it says.
    pub pom: &'static str,
    pub text: &'static str,
}

impl Jars {
    pub fn missing(&self) -> Option<String> {
        if self.folder().is_ok_and(|folder| folder.is_dir()) {
            return None;
        }
        programs::missing("mvn", &format!("the first start of {}", self.name), "maven")
    }

    /// Does nothing when they are there.
    pub fn fetch(&self, workspace: &Workspace) -> Result<(), String> {
        let folder = self.folder()?;
        if folder.is_dir() {
            return Ok(());
        }
        eprintln!("fetching {} from Maven Central; the first time takes a minute", self.name);
        let partial = folder.with_extension(format!("partial-{}", std::process::id()));
        let arguments = ["--quiet", "--batch-mode", "--file", self.pom, COPY, "-DincludeScope=runtime"];
        let mut maven = workspace.command("mvn", &arguments);
        maven.arg(format!("-DoutputDirectory={}", partial.display()));
        maven.arg("-Dmaven.wagon.http.retryHandler.count=3");
        output(&mut maven)?;
        // Whole or not at all; if another run was quicker, its folder is as good.
        if std::fs::rename(&partial, &folder).is_err() {
            let _ = std::fs::remove_dir_all(&partial);
        }
        if folder.is_dir() { Ok(()) } else { Err(format!("Maven left nothing in {}", folder.display())) }
    }

    /// For `java -cp`.
    pub fn class_path(&self) -> Result<String, String> {
        Ok(format!("{}/*", self.folder()?.display()))
    }

    fn folder(&self) -> Result<PathBuf, String> {
        Ok(cache_folder()?.join("stack").join(format!("{}-{:016x}", self.name, fnv(self.text))))
    }
}
