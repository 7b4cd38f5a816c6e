//! Whether the server can do its work, part by part.

use crate::{
    Client, Result,
    transport::{CALL_TIMEOUT, Call},
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Health {
    /// Whether every part is well.
    #[serde(default)]
    pub ready: bool,
    pub status: String,
    /// The id of the process that answered; empty from a server that has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub process: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// What the process does; empty from a server that knows no roles, and does everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    #[serde(default)]
    pub parts: BTreeMap<String, Part>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    pub status: String,
    /// What the part says of itself.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Health {
    /// Whether the process serves what needs `role`.
    pub fn serves(&self, role: &str) -> bool {
        self.roles.is_empty() || self.roles.iter().any(|own| own == role)
    }
}

impl Client {
    /// The readiness of the server. A sick server is an answer, not an error; it is asked once.
    pub async fn health(&self) -> Result<Health> {
        let url = self.url(&["health", "ready"]);
        let call = Call { idempotent: false, ..Call::of(Method::GET, url, CALL_TIMEOUT) };
        let answer = self.exchange(&call).await?;
        let mut health: Health = self.read(&answer)?;
        health.ready = answer.is_success();
        Ok(health)
    }
}
