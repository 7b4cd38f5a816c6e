//! The libraries of others in the versions that the suite names, installed by their languages' own tools: in a temporary
//! folder, or once and for all in the one that `SUITE_SDKS` names.

use angarium_suite::{Ran, skip};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// Longer than any download that is worth waiting for.
const PATIENCE: Duration = Duration::from_secs(300);

/// Installed libraries, and the scripts that use them.
pub struct Libraries {
    folder: PathBuf,
    /// What runs a script, from `folder`.
    program: &'static str,
    // The folder, if it is to go with this.
    _temp: Option<TempDir>,
}

impl Libraries {
    /// `None` where Python or the registry is missing, which has been said then.
    pub async fn for_python() -> Option<Libraries> {
        Libraries::python("python").await
    }

    /// What the generated client for Python needs; `None` as above.
    pub async fn for_python_client() -> Option<Libraries> {
        Libraries::python("client_python").await
    }

    async fn python(name: &str) -> Option<Libraries> {
        if !runs("python3", &["-c", "import venv, ensurepip"]).await {
            skip("python3 with its venv is not installed");
            return None;
        }
        let install = "python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt";
        Libraries::install(name, "requirements.txt", install, "venv/bin/python").await
    }

    /// `None` where Node or the registry is missing, which has been said then.
    pub async fn for_node() -> Option<Libraries> {
        Libraries::node("node").await
    }

    /// What the generated client for TypeScript needs, itself included; `None` as above.
    pub async fn for_node_client(client: &Path) -> Option<Libraries> {
        let libraries = Libraries::node("client_node").await?;
        let package = libraries.folder.join("node_modules/@angarium/client");
        std::fs::create_dir_all(&package).expect("folders can be made");
        copy(client, &package);
        Some(libraries)
    }

    /// Centrifugo's client library; `None` as above.
    pub async fn for_centrifugo() -> Option<Libraries> {
        Libraries::node("centrifugo").await
    }

    async fn node(name: &str) -> Option<Libraries> {
        for program in ["node", "npm"] {
            if !runs(program, &["--version"]).await {
                skip(&format!("{program} is not installed"));
                return None;
            }
        }
        let install = "npm ci --ignore-scripts --no-audit --no-fund --loglevel=error";
        Libraries::install(name, "package-lock.json", install, "node").await
    }

    async fn install(name: &str, pins: &str, install: &str, program: &'static str) -> Option<Libraries> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdks").join(name);
        let pinned = std::fs::read(source.join(pins)).expect("the versions are pinned");
        let cache = kept();
        let parent = cache.clone().unwrap_or_else(std::env::temp_dir);
        std::fs::create_dir_all(&parent).expect("folders can be made");
        let mut hasher = DefaultHasher::new();
        pinned.hash(&mut hasher);
        let installed = parent.join(format!("{name}-{:016x}", hasher.finish()));
        if cache.is_some() && installed.is_dir() {
            copy(&source, &installed);
            return Some(Libraries { folder: installed, program, _temp: None });
        }
        let temp = TempDir::with_prefix_in("angarium-suite-sdks-", &parent).expect("folders can be made");
        copy(&source, temp.path());
        let ran = run(Command::new("sh").args(["-c", install]).current_dir(temp.path())).await;
        let ran = ran.expect("there is a shell");
        if ran.code != Some(0) {
            skip(&format!("the libraries of {name} could not be installed: {}", ran.stderr.trim()));
            return None;
        }
        if cache.is_none() {
            return Some(Libraries { folder: temp.path().to_owned(), program, _temp: Some(temp) });
        }
        // Whole or not at all. Where another run was quicker, its folder is as good.
        let _ = std::fs::rename(temp.keep(), &installed);
        Some(Libraries { folder: installed, program, _temp: None })
    }

    /// Runs a script to its end.
    pub async fn run(&self, script: &str, arguments: &[&str]) -> Ran {
        let mut command = Command::new(self.program);
        command.arg(script).args(arguments).current_dir(&self.folder);
        // A library's own proxy settings would lead past ours.
        for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        run(&mut command).await.expect("what was installed can be run")
    }
}

/// Where libraries are kept from run to run.
#[allow(clippy::disallowed_methods, reason = "the suite is told by its environment where it may keep things")]
fn kept() -> Option<PathBuf> {
    std::env::var("SUITE_SDKS").ok().filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).expect("the scripts are there").flatten() {
        if file.path().is_file() {
            std::fs::copy(file.path(), to.join(file.file_name())).expect("folders can be written to");
        }
    }
}

/// Whether there is such a program, and it succeeds.
async fn runs(program: &str, arguments: &[&str]) -> bool {
    run(Command::new(program).args(arguments)).await.is_some_and(|ran| ran.code == Some(0))
}

/// `None` when there is no such program.
async fn run(command: &mut Command) -> Option<Ran> {
    let owned = std::mem::replace(command, Command::new(""));
    let mut command = tokio::process::Command::from(owned);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("a command comes to an end").ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}
