//! The processes of the fleet that the server is of.

use crate::{Client, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub id: String,
    pub host: String,
    pub pid: i64,
    pub roles: Vec<String>,
    pub version: String,
    /// Where it listens.
    pub address: String,
    pub started_at: String,
    pub seen_at: String,
    /// `ready`, or `gone` when it was not seen for half a minute.
    pub state: String,
    /// How late its last sign of life was.
    pub lag_ms: i64,
    /// What it does alone in the fleet.
    #[serde(default)]
    pub leases: Vec<String>,
    /// What does not work in it at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Deserialize)]
struct ProcessPage {
    items: Vec<Process>,
}

impl Client {
    /// Every process of the fleet that was seen within the last day, the oldest first. For admin keys.
    pub async fn list_processes(&self) -> Result<Vec<Process>> {
        let page: ProcessPage = self.get(self.url(&["v1", "processes"]), Duration::ZERO).await?;
        Ok(page.items)
    }
}
