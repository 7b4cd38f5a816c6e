//! The file of profiles: servers by name, each with a key, hence readable by its owner alone.
//!
//! ```toml
//! default = "shop"
//!
//! [profiles.shop]
//! url = "https://angarium.example"
//! key = "ang_sk_…"            # or token = "ey…"
//! app = "com.acme.shop"       # if there are several
//! ca = "/etc/ssl/ours.pem"    # if the server's certificate is by a private authority
//! ```

use super::failure::{Failure, Result};
use crate::config::profiles_file;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A server, and how to speak to it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// All profiles of a user.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profiles {
    /// The one that holds where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    pub profiles: BTreeMap<String, Profile>,
}

impl Profiles {
    /// Those of this user; none, if there is no file.
    pub fn load() -> Result<Profiles> {
        profiles_file().map_or_else(|| Ok(Profiles::default()), |file| Profiles::read(&file))
    }

    /// Changes those of this user.
    pub fn edit<T>(change: impl FnOnce(&mut Profiles) -> Result<T>) -> Result<T> {
        let file = profiles_file().ok_or_else(|| {
            Failure::usage("there is no place for profiles: set HOME, or XDG_CONFIG_HOME to a folder")
        })?;
        let mut profiles = Profiles::read(&file)?;
        let outcome = change(&mut profiles)?;
        profiles.write(&file).map_err(|e| cannot("written", &file, &e))?;
        Ok(outcome)
    }

    fn read(file: &Path) -> Result<Profiles> {
        let found = match fs::metadata(file) {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Profiles::default()),
            Err(e) => return Err(cannot("read", file, &e)),
        };
        if found.mode() & 0o077 != 0 {
            let shown = file.display();
            return Err(Failure::usage(format!(
                "{shown} holds keys, and others than you can get at it (mode {:04o}): chmod 600 {shown}",
                found.mode() & 0o7777
            )));
        }
        let text = fs::read_to_string(file).map_err(|e| cannot("read", file, &e))?;
        // The parser's own words would show the line, and the line may have a key.
        toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            Failure::usage(format!(
                "{}: line {line} is not as profiles are; repair it, or write it anew with `angarium profile set`",
                file.display()
            ))
        })
    }

    /// Beside, and then in its place: whoever reads sees all of it or what was before.
    fn write(&self, file: &Path) -> io::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let text = toml::to_string(self).map_err(io::Error::other)?;
        let beside = folder.join(format!(".profiles.{}", std::process::id()));
        let mut new =
            fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&beside, file)
    }

    pub fn named(&self, name: &str) -> Result<&Profile> {
        self.profiles.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
            Failure::usage(match names.is_empty() {
                true => {
                    format!("there is no profile {name:?}, and no other; `angarium profile set` makes one")
                }
                false => format!("there is no profile {name:?}; there are: {}", names.join(", ")),
            })
        })
    }

    pub fn default_one(&self) -> Result<Option<&Profile>> {
        self.default.as_deref().map(|name| self.named(name)).transpose()
    }
}

fn cannot(be: &str, file: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{} cannot be {be}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn profiles_are_kept_for_their_owner_alone() {
        let folder = std::env::temp_dir().join(format!("angarium-profiles-{:x}", fastrand::u64(..)));
        let file = folder.join("angarium/profiles.toml");
        assert!(Profiles::read(&file).unwrap().profiles.is_empty(), "no file is no profile");
        let mut profiles = Profiles { default: Some("a".into()), ..Profiles::default() };
        let one = Profile { key: Some("ang_sk_1".into()), ..Profile::default() };
        profiles.profiles.insert("a".into(), one);
        profiles.write(&file).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&file), mode(&folder.join("angarium"))), (0o600, 0o700));
        let read = Profiles::read(&file).unwrap();
        assert_eq!(read.default_one().unwrap().unwrap().key.as_deref(), Some("ang_sk_1"));
        assert!(read.named("b").err().unwrap().message.contains("there are: a"));

        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Profiles::read(&file).err().unwrap();
        assert!(refused.is_usage && refused.message.contains("chmod 600"), "{refused}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, "[profiles.a]\nkey = ang_sk_2\n").unwrap();
        let refused = Profiles::read(&file).err().unwrap();
        assert!(refused.message.contains("line 2") && !refused.message.contains("ang_sk"), "{refused}");
        fs::remove_dir_all(folder).unwrap();
    }
}
