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

impl Client {
    /// The readiness of the server. A sick server is an answer, not an error; it is asked once.
    pub async fn health(&self) -> Result<Health> {
        let url = self.url(&["health", "ready"]);
        let call = Call { method: Method::GET, url, body: None, timeout: CALL_TIMEOUT, idempotent: false };
        let answer = self.exchange(&call).await?;
        let mut health: Health = self.read(&answer)?;
        health.ready = answer.is_success();
        Ok(health)
    }
}
