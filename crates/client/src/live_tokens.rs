//! Tokens for browsers that follow the live feed, and who is connected to it.

use crate::{Client, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// What a new live token is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NewLiveToken {
    /// What may be followed: 1 to 16 streams.
    pub streams: Vec<String>,
    /// For how long, 60 to 3600 seconds; the server's 600, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u32>,
    /// Who it is for, as presence shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whether it may ask who else follows.
    pub presence: bool,
}

/// A live token, which is kept nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveTokenMade {
    /// `ang_lt_…`.
    pub token: String,
    /// RFC 3339.
    pub expires_at: String,
    /// What may be followed.
    pub streams: Vec<String>,
}

/// Shows what it is for, never the token.
impl fmt::Debug for LiveTokenMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expires_at, streams, .. } = self;
        f.debug_struct("LiveTokenMade")
            .field("expires_at", expires_at)
            .field("streams", streams)
            .finish_non_exhaustive()
    }
}

/// Who is connected to an app's live feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// All of them.
    pub connections: u64,
    /// Whether there are more than are told of.
    pub truncated: bool,
    /// By principal, the longest there first.
    pub items: Vec<Present>,
}

/// A principal that is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// `key`, `user` or `token`.
    pub kind: String,
    /// The key's id, the user's subject, or whom the token was made for.
    pub id: String,
    /// The key's name, or the user's address of e-mail.
    pub name: Option<String>,
    /// How many connections it has.
    pub connections: u64,
    /// RFC 3339.
    pub since: String,
    /// Such as `websocket`, `sse`, `centrifugo`.
    pub protocols: Vec<String>,
    /// What it follows.
    pub streams: Vec<String>,
}

impl Client {
    /// Makes a live token. Nothing is kept of it, so it may be made again when no answer comes.
    pub async fn create_live_token(&self, app: &str, new: &NewLiveToken) -> Result<LiveTokenMade> {
        self.post(self.url(&["v1", "apps", app, "live", "tokens"]), new, Duration::ZERO).await
    }

    /// Who is connected to the app's live feed.
    pub async fn show_presence(&self, app: &str) -> Result<Presence> {
        self.get(self.url(&["v1", "apps", app, "live", "presence"]), Duration::ZERO).await
    }
}
