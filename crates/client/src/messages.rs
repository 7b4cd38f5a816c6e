//! Messages: sending documents, reading them in the order in which they were persisted, and what they may be.

use crate::{Client, Page, Result};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use std::time::Duration;

/// A message as the server keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// Names the message within its app.
    pub id: String,
    /// Its place in the list: listing after it goes on with the next one. `None` until it is persisted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// RFC 3339.
    pub received_at: String,
    /// RFC 3339; `None` until it is persisted.
    pub persisted_at: Option<String>,
    /// How often it was tried to persist it, if that failed so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i64>,
    /// Why that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The document, as it was sent.
    pub body: Box<RawValue>,
}

/// A message that was taken in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MessageTaken {
    pub id: String,
}

/// Which messages, and where to begin.
#[derive(Clone, Debug, Default)]
pub struct ListMessages {
    /// Persisted at or after this instant (RFC 3339).
    pub from: Option<String>,
    /// Persisted before this instant (RFC 3339).
    pub to: Option<String>,
    /// The cursor to go on after.
    pub after: Option<String>,
    /// 1 to 1000; `None` takes the server's default.
    pub limit: Option<u32>,
}

/// What messages may be, and what becomes of others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MessageSchema {
    /// A JSON Schema.
    pub schema: Value,
    /// `refuse` or `set_aside`.
    pub on_mismatch: String,
}

impl Client {
    /// Sends a document. Taken in once however often it is sent; `once` as in [`Client::create_app`].
    pub async fn send_message(
        &self,
        app: &str,
        document: &impl Serialize,
        once: Option<&str>,
    ) -> Result<MessageTaken> {
        self.create(self.url(&["v1", "apps", app, "messages"]), document, once).await
    }

    /// A page of messages, in the order in which they were persisted.
    pub async fn list_messages(&self, app: &str, list: &ListMessages) -> Result<Page<Message>> {
        let mut url = self.url(&["v1", "apps", app, "messages"]);
        for (name, value) in [
            ("from", list.from.clone()),
            ("to", list.to.clone()),
            ("after", list.after.clone()),
            ("limit", list.limit.map(|limit| limit.to_string())),
        ] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        self.get(url, Duration::ZERO).await
    }

    /// A message. One that was sent a moment ago is waited for.
    pub async fn show_message(&self, app: &str, id: &str) -> Result<Message> {
        self.get(self.url(&["v1", "apps", app, "messages", id]), Duration::from_secs(2)).await
    }

    /// What the app's messages may be.
    pub async fn show_message_schema(&self, app: &str) -> Result<MessageSchema> {
        self.get(self.schema_url(app), Duration::ZERO).await
    }

    /// Says what the app's messages may be.
    pub async fn put_message_schema(&self, app: &str, schema: &MessageSchema) -> Result<MessageSchema> {
        self.set(Method::PUT, self.schema_url(app), schema).await
    }

    /// Takes every JSON document again.
    pub async fn delete_message_schema(&self, app: &str) -> Result<()> {
        self.delete(self.schema_url(app)).await
    }

    fn schema_url(&self, app: &str) -> reqwest::Url {
        self.url(&["v1", "apps", app, "messages", "schema"])
    }
}
