//! The caller itself, and the apps in which it has a role.

use crate::{Client, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An app: the tenant that owns everything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Good wherever a method takes an `app`, as the bundle id is.
    pub id: String,
    /// For people.
    pub name: String,
    /// `com.acme.shop`; no other app has it.
    pub bundle_id: String,
    /// Whether client addresses are kept without their last part.
    #[serde(default)]
    pub truncate_addresses: bool,
    /// Origins of the pages that may call from a browser.
    #[serde(default)]
    pub cors_origins: Vec<String>,
    /// RFC 3339.
    pub created_at: String,
}

/// What a new app is made of.
#[derive(Clone, Debug, Serialize)]
pub struct NewApp {
    /// 1 to 255 characters.
    pub name: String,
    /// Three or more parts of lower-case letters and digits, between dots.
    pub bundle_id: String,
}

/// What of an app is to be another; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AppChange {
    /// 1 to 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As in [`NewApp`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// As in [`App`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate_addresses: Option<bool>,
    /// All of them: `https://shop.example`, or `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors_origins: Option<Vec<String>>,
}

/// Who the caller is, as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `key` or `user`.
    pub kind: String,
    /// The key's id, or the user's subject.
    pub id: String,
    /// The key's name.
    pub name: Option<String>,
    /// Who vouches for the user.
    pub issuer: Option<String>,
    /// The tenant within the issuer, if it has some.
    pub tenant: Option<String>,
    /// The user's address.
    pub email: Option<String>,
    /// The apps in which the caller has a role.
    pub apps: Vec<OwnApp>,
}

/// An app of the caller's, and what the caller is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnApp {
    /// The app's id.
    pub id: String,
    /// The app's bundle id.
    pub bundle_id: String,
    /// The app's name.
    pub name: String,
    /// The caller's roles in it.
    pub roles: Vec<String>,
}

impl Client {
    /// Who the key or the token is, and its roles.
    pub async fn show_identity(&self) -> Result<Identity> {
        self.get(self.url(&["v1", "me"]), Duration::ZERO).await
    }

    /// Every app in which the caller has a role, page by page until the last.
    pub async fn list_apps(&self) -> Result<Vec<App>> {
        self.list_all(self.url(&["v1", "apps"])).await
    }

    /// Makes an app; the caller becomes its admin. Keys make none: this takes a token.
    ///
    /// It is made once however often it is sent: `once` is the `Idempotency-Key` (1 to 255 visible ASCII characters,
    /// good for a day), a random one if not given.
    pub async fn create_app(&self, new: &NewApp, once: Option<&str>) -> Result<App> {
        self.create(self.url(&["v1", "apps"]), new, once).await
    }

    /// An app.
    pub async fn show_app(&self, app: &str) -> Result<App> {
        self.get(self.url(&["v1", "apps", app]), Duration::ZERO).await
    }

    /// Changes what is given, and returns the app as it is then.
    pub async fn change_app(&self, app: &str, change: &AppChange) -> Result<App> {
        self.change(self.url(&["v1", "apps", app]), change).await
    }

    /// Deletes an app: nobody reaches it any more, and its data goes in the background.
    pub async fn delete_app(&self, app: &str) -> Result<()> {
        self.delete(self.url(&["v1", "apps", app])).await
    }
}
