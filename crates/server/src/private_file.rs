//! Files of the data directory that only its owner reads: the keys of the first start, the local issuer's secret, the
//! key for secrets.

use angarium_base::{Context, Result, Secret, error::INTERNAL};
use angarium_identity::{Issuer, Keys};
use angarium_kit::secrets::Secrets;
use angarium_tenants::FirstStart;
use serde::{Deserialize, Serialize};
use std::{
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// What the first start printed.
pub const FIRST_START: &str = "first-start.json";
const WAITING: &str = "first-start-";
const LOCAL_ISSUER: &str = "local-issuer.json";
const SECRETS_KEY: &str = "secrets.key";

/// Writes a file that nobody else reads, and has it reach the disk.
///
/// # Errors
/// `store_failed`.
pub fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .or_error(angarium_db::STORE_FAILED, "the data directory cannot be made")?;
    let file =
        std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(dir.join(name));
    file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        sync(dir)
    })
    .or_error(angarium_db::STORE_FAILED, "a file of the data directory cannot be written")
}

/// The file in which the keys of a first start wait until the store has them.
fn waiting(app: &str) -> String {
    format!("{WAITING}{app}.json")
}

/// Keeps what a first start is about to make: a key that nobody can read any more must not reach the store.
///
/// # Errors
/// `store_failed`.
pub fn write_first_start(dir: &Path, first: &FirstStart) -> Result<()> {
    let text = serde_json::to_string_pretty(first).or_error(INTERNAL, "the keys cannot be written")?;
    write(dir, &waiting(&first.app), &text)
}

/// The apps whose keys wait.
///
/// # Errors
/// `store_failed`.
pub fn waiting_first_starts(dir: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => {
            return Err(angarium_db::STORE_FAILED.err("the data directory cannot be read").with_source(e));
        }
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter_map(|name| Some(name.strip_prefix(WAITING)?.strip_suffix(".json")?.to_owned())).collect())
}

/// The store has them: from now on they are the keys of the first start.
///
/// # Errors
/// `store_failed`.
pub fn keep_first_start(dir: &Path, app: &str) -> Result<()> {
    let renamed = std::fs::rename(dir.join(waiting(app)), dir.join(FIRST_START)).and_then(|()| sync(dir));
    gone_or(renamed, "the file of the first start's keys cannot be written")
}

/// The store has not got them, and will not.
///
/// # Errors
/// `store_failed`.
pub fn drop_first_start(dir: &Path, app: &str) -> Result<()> {
    gone_or(std::fs::remove_file(dir.join(waiting(app))), "a file of the data directory cannot be removed")
}

/// Another process may have been there first.
fn gone_or(done: std::io::Result<()>, what: &'static str) -> Result<()> {
    match done {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        done => done.or_error(angarium_db::STORE_FAILED, what),
    }
}

fn sync(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

/// Says which of the files are not their owner's alone; who runs the server has made them so.
pub fn warn_of_modes(dir: &Path) {
    for name in [FIRST_START, LOCAL_ISSUER, SECRETS_KEY, angarium_db::sqlite::FILE] {
        let path = dir.join(name);
        let mode = std::fs::metadata(&path).map_or(0, |metadata| metadata.permissions().mode() & 0o077);
        let is_behind =
            std::fs::metadata(dir).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 == 0);
        if mode != 0 && !is_behind {
            tracing::warn!(
                path = %path.display(),
                "this file is not its owner's alone; `chmod 600` it, and `chmod 700` the data directory"
            );
        }
    }
}

fn read(dir: &Path, name: &str) -> Result<Option<String>> {
    match std::fs::read_to_string(dir.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => {
            Err(angarium_db::STORE_FAILED.err("a file of the data directory cannot be read").with_source(e))
        }
    }
}

/// The data directory's own issuer of tokens, for development.
#[derive(Clone, Serialize, Deserialize)]
pub struct LocalIssuer {
    pub issuer: String,
    secret: String,
}

impl LocalIssuer {
    /// The one of this data directory, if it has one.
    ///
    /// # Errors
    /// `store_failed`; `internal` when the file is damaged.
    pub fn load(dir: &Path) -> Result<Option<LocalIssuer>> {
        let Some(text) = read(dir, LOCAL_ISSUER)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).or_error(
            INTERNAL,
            "local-issuer.json of the data directory is damaged; remove it, and a new one is made",
        )
    }

    /// The one of this data directory, made if it has none.
    ///
    /// # Errors
    /// As [`LocalIssuer::load`].
    pub fn load_or_make(dir: &Path) -> Result<LocalIssuer> {
        if let Some(known) = LocalIssuer::load(dir)? {
            return Ok(known);
        }
        let random =
            |prefix| Secret::random(prefix).or_error(INTERNAL, "the system has no randomness to give");
        let name = random("")?.expose().chars().take(12).collect::<String>();
        let made =
            LocalIssuer { issuer: format!("angarium-local-{name}"), secret: random("")?.expose().to_owned() };
        let text =
            serde_json::to_string_pretty(&made).or_error(INTERNAL, "the local issuer cannot be written")?;
        write(dir, LOCAL_ISSUER, &text)?;
        Ok(made)
    }

    /// As a verifier and a minter know it.
    pub fn trusted(&self) -> Issuer {
        Issuer::new(&self.issuer, Keys::Secret(self.secret()))
    }

    pub fn secret(&self) -> Secret {
        Secret::new(&self.secret)
    }
}

/// The data directory's own key for secrets, made if it has none.
///
/// # Errors
/// `store_failed`, `invalid_secrets_key`.
pub fn secrets(dir: &Path) -> Result<Secrets> {
    if let Some(text) = read(dir, SECRETS_KEY)? {
        return Secrets::new(&[text.trim()]);
    }
    let key = Secrets::new_key()?;
    write(dir, SECRETS_KEY, &format!("{key}\n"))?;
    Secrets::new(&[key])
}
