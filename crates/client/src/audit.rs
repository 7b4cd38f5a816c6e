//! Who changed what in an app.

use crate::{Client, Page, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// A change in an app: by whom, from where, and what is new.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Of this entry.
    pub id: String,
    /// RFC 3339.
    pub at: String,
    /// `kind` is `key`, `user` or `console`; and what identifies it.
    pub actor: Map<String, Value>,
    /// From where; `None` at the server's console.
    pub address: Option<String>,
    /// By which request.
    pub request_id: Option<String>,
    /// Such as `keys.create`.
    pub action: String,
    /// What was changed.
    pub target: AuditTarget,
    /// What is new, by the names of the API; never a secret.
    pub changes: Map<String, Value>,
}

/// What was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditTarget {
    /// Such as `key`.
    pub kind: String,
    /// The id of that kind.
    pub id: String,
}

impl Client {
    /// A page of the app's changes after a cursor, the oldest first; 1 to 1000 of them. To follow them, read the stream
    /// `audit` ([`Client::read_records`]): each record's `data` is an entry.
    pub async fn list_audit(
        &self,
        app: &str,
        after: Option<&str>,
        limit: Option<u32>,
    ) -> Result<Page<AuditEntry>> {
        let mut url = self.url(&["v1", "apps", app, "audit"]);
        for (name, value) in [("after", after.map(str::to_owned)), ("limit", limit.map(|n| n.to_string()))] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        self.get(url, Duration::ZERO).await
    }
}
