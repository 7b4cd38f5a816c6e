//! Who has which role in an app.

use crate::{Client, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// What somebody may do in an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Sees everything but the audit, and runs the app's work.
    Operator,
    /// Sends, and sees what came of it.
    Sender,
    /// Reads.
    Viewer,
    /// Sends events and reads nothing; for keys only.
    Ingest,
}

/// A role of somebody in an app: of an address, or of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Names the grant within its app.
    pub id: String,
    /// Whoever has this address by an issuer's word.
    pub email: Option<String>,
    /// Or whose tokens have this `sub` …
    pub subject: Option<String>,
    /// … by this issuer …
    pub issuer: Option<String>,
    /// … and in this tenant.
    pub tenant: Option<String>,
    /// The role's name.
    pub role: String,
    /// RFC 3339.
    pub created_at: String,
    /// Who gave it.
    pub created_by: String,
}

/// Who is to have which role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewGrant {
    /// An address, also of somebody who never came; or `subject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The `sub` of their tokens; or `email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The issuer of their tokens; the server's only one, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The tenant within the issuer, if it has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Any but [`Role::Ingest`].
    pub role: Role,
}

#[derive(Serialize)]
struct GrantChange {
    role: Role,
}

impl Role {
    /// All of them, the mightiest first.
    pub const ALL: [Role; 5] = [Role::Admin, Role::Operator, Role::Sender, Role::Viewer, Role::Ingest];

    /// The name that the API knows it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Operator => "operator",
            Role::Sender => "sender",
            Role::Viewer => "viewer",
            Role::Ingest => "ingest",
        }
    }

    /// The role of that name.
    pub fn parse(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Client {
    /// Every grant on the app, in the order in which they were given, page by page until the last.
    pub async fn list_grants(&self, app: &str) -> Result<Vec<Grant>> {
        self.list_all(self.url(&["v1", "apps", app, "grants"])).await
    }

    /// Gives somebody a role. Given once however often it is sent; `once` as in [`Client::create_app`].
    pub async fn create_grant(&self, app: &str, new: &NewGrant, once: Option<&str>) -> Result<Grant> {
        self.create(self.url(&["v1", "apps", app, "grants"]), new, once).await
    }

    /// A grant.
    pub async fn show_grant(&self, app: &str, grant: &str) -> Result<Grant> {
        self.get(self.grant_url(app, grant), Duration::ZERO).await
    }

    /// Gives a grant another role.
    pub async fn change_grant(&self, app: &str, grant: &str, role: Role) -> Result<Grant> {
        self.change(self.grant_url(app, grant), &GrantChange { role }).await
    }

    /// Takes a grant back: effective at once, in other processes of a fleet within 5 s.
    pub async fn delete_grant(&self, app: &str, grant: &str) -> Result<()> {
        self.delete(self.grant_url(app, grant)).await
    }

    fn grant_url(&self, app: &str, grant: &str) -> reqwest::Url {
        self.url(&["v1", "apps", app, "grants", grant])
    }
}
