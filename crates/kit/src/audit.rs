//! Who changed what in an app: one record each in the app's stream [`AUDIT`], in the transaction of the change.
//!
//! `{"id", "at", "actor": {…}, "address", "request_id", "action", "target": {"kind", "id"}, "changes": {…}}`. Secrets,
//! keys and payloads are in none of them.

use crate::{
    Kit,
    access::Principal,
    http::{Problem, RequestName, client_of_parts},
};
use angarium_base::{AppId, AuditId, Result, clock::Millis, time};
use angarium_db::Tx;
use angarium_journal::Stream;
use axum::extract::FromRequestParts;
use http::request::Parts;
use serde_json::{Value, json};

/// The stream; its readers are the app's admins.
pub const AUDIT: &str = "audit";

/// From where a change is asked for.
#[derive(Clone, Debug)]
pub struct Whence {
    address: Option<String>,
    request_id: Option<String>,
}

impl Whence {
    /// Not by a request: at the console of the server.
    pub fn console() -> Whence {
        Whence { address: None, request_id: None }
    }
}

impl FromRequestParts<Kit> for Whence {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, kit: &Kit) -> std::result::Result<Self, Problem> {
        Ok(Whence {
            address: client_of_parts(kit, parts).map(|address| address.to_string()),
            request_id: parts.extensions.get::<RequestName>().map(|name| name.0.clone()),
        })
    }
}

/// A change.
pub struct Change {
    /// What was done: `keys.create`.
    pub action: &'static str,
    pub kind: &'static str,
    pub id: String,
    /// What is new, by the names of the API.
    pub changes: Value,
}

/// The audit of one app, ready to be written to.
#[derive(Clone)]
pub struct Audit {
    kit: Kit,
    stream: Stream,
    actor: Value,
    whence: Whence,
}

impl Audit {
    /// Of `app`, for what `actor` does; `None`: whoever has the server's console.
    ///
    /// # Errors
    /// When the stream cannot be made.
    pub async fn of(kit: &Kit, app: &AppId, actor: Option<&Principal>, whence: Whence) -> Result<Audit> {
        let stream = kit.journal.stream(app, AUDIT).await?;
        Ok(Audit { kit: kit.clone(), stream, actor: actor.map_or_else(console, actor_value), whence })
    }

    /// Writes a change down, in its own transaction.
    pub fn write(&self, tx: &mut Tx<'_>, now: Millis, change: &Change) {
        let record = json!({
            "id": AuditId::new(now).as_str(),
            "at": time::format(now),
            "actor": self.actor,
            "address": self.whence.address,
            "request_id": self.whence.request_id,
            "action": change.action,
            "target": { "kind": change.kind, "id": change.id },
            "changes": change.changes,
        });
        self.kit.journal.append_in(tx, &self.stream, change.action, record.to_string().as_bytes());
    }
}

fn console() -> Value {
    json!({ "kind": "console" })
}

/// A principal, as people read it.
pub fn actor_value(principal: &Principal) -> Value {
    match principal {
        Principal::Key(key) => json!({ "kind": "key", "id": key.id.as_str(), "name": key.name }),
        Principal::User(user) => json!({
            "kind": "user",
            "issuer": user.issuer,
            "tenant": (!user.tenant.is_empty()).then_some(&user.tenant),
            "subject": user.subject,
            "email": user.email,
        }),
    }
}
