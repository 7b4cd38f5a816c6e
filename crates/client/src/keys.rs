//! The API keys of an app.

use crate::{Client, Result, Role, transport::duration_text};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Names the key within its app; no secret.
    pub id: String,
    /// For people.
    pub name: String,
    /// The role's name.
    pub role: String,
    /// How its secret begins.
    pub hint: String,
    /// RFC 3339.
    pub created_at: String,
    /// When it ends; `None` if never.
    pub expires_at: Option<String>,
    /// When it was last used, within a minute; `None` if never.
    pub last_used_at: Option<String>,
}

/// A key that was just made, with its secret, which the server does not know any more.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyMade {
    /// The key as lists show it.
    #[serde(flatten)]
    pub view: Key,
    /// The secret: `ang_sk_…`, or `ang_wk_…` of the role `ingest`.
    pub key: String,
}

/// What a new key is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewKey {
    /// 1 to 255 characters.
    pub name: String,
    /// [`Role::Ingest`] makes a write key, which may be inside an app or a page.
    pub role: Role,
    /// When it stops to be good, RFC 3339; never, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

#[derive(Serialize)]
struct Rotation {
    #[serde(skip_serializing_if = "Option::is_none")]
    overlap: Option<String>,
}

/// Shows the key, never its secret.
impl fmt::Debug for KeyMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMade").field("view", &self.view).finish_non_exhaustive()
    }
}

impl Client {
    /// Every key of the app, in the order in which they were made, page by page until the last.
    pub async fn list_keys(&self, app: &str) -> Result<Vec<Key>> {
        self.list_all(self.url(&["v1", "apps", app, "keys"])).await
    }

    /// Makes a key. Made once however often it is sent; `once` as in [`Client::create_app`].
    pub async fn create_key(&self, app: &str, new: &NewKey, once: Option<&str>) -> Result<KeyMade> {
        self.create(self.url(&["v1", "apps", app, "keys"]), new, once).await
    }

    /// A key.
    pub async fn show_key(&self, app: &str, key: &str) -> Result<Key> {
        self.get(self.url(&["v1", "apps", app, "keys", key]), Duration::ZERO).await
    }

    /// Makes a key like another one, which is good for `overlap` still; `None` is the server's 24 hours. Made once
    /// however often it is sent; `once` as in [`Client::create_app`].
    pub async fn rotate_key(
        &self,
        app: &str,
        key: &str,
        overlap: Option<Duration>,
        once: Option<&str>,
    ) -> Result<KeyMade> {
        let url = self.url(&["v1", "apps", app, "keys", key, "rotate"]);
        self.create(url, &Rotation { overlap: overlap.map(duration_text) }, once).await
    }

    /// Revokes a key: effective at once, in other processes of a fleet within 5 s.
    pub async fn delete_key(&self, app: &str, key: &str) -> Result<()> {
        self.delete(self.url(&["v1", "apps", app, "keys", key])).await
    }
}
