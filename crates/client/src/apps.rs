//! The apps of the caller.

use crate::{Client, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    pub id: String,
    pub name: String,
    pub bundle_id: String,
    pub created_at: String,
}

#[derive(Deserialize)]
struct AppPage {
    items: Vec<App>,
    next: Option<String>,
}

impl Client {
    /// Every app in which the caller has a grant, page by page until the last.
    pub async fn list_apps(&self) -> Result<Vec<App>> {
        let mut apps = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut url = self.url(&["v1", "apps"]);
            if let Some(after) = &after {
                url.query_pairs_mut().append_pair("after", after);
            }
            let page: AppPage = self.get(url, Duration::ZERO).await?;
            apps.extend(page.items);
            // A server that hands the same cursor out again would never end.
            if page.next.is_none() || page.next == after {
                return Ok(apps);
            }
            after = page.next;
        }
    }
}
