//! Lists come in pages; a reader follows `next` until there is none.

use crate::{Client, Result};
use reqwest::Url;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::Duration;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` at the end.
    pub next: Option<String>,
}

/// As many as a page may have: fewest round trips.
const LIMIT: &str = "1000";

impl Client {
    /// Every item of a list, page by page until the last.
    pub(crate) async fn list_all<T: DeserializeOwned>(&self, list: Url) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut url = list.clone();
            url.query_pairs_mut().append_pair("limit", LIMIT);
            if let Some(after) = &after {
                url.query_pairs_mut().append_pair("after", after);
            }
            let page: Page<T> = self.get(url, Duration::ZERO).await?;
            all.extend(page.items);
            // A server that hands the same cursor out again would never end.
            if page.next.is_none() || page.next == after {
                return Ok(all);
            }
            after = page.next;
        }
    }
}
