//! The live feed: what happens, while it happens, and honestly what was dropped.

use crate::{
    Client, Result,
    sse::{SseEvent, SseParser},
};
use reqwest::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;

/// The server pings well within this; a longer silence is a lost connection.
const LONGEST_SILENCE: Duration = Duration::from_secs(90);

/// What to be told of.
#[derive(Clone, Debug, Default)]
pub struct LiveQuery {
    /// Empty takes the server's default.
    pub streams: Vec<String>,
    /// Only events of this type.
    pub event_type: Option<String>,
    /// Start after this cursor instead of now.
    pub after: Option<String>,
}

#[derive(Clone, Debug)]
pub enum LiveFrame {
    Record(LiveRecord),
    /// This reader was too slow, and frames were dropped.
    Gap(Gap),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LiveRecord {
    pub stream: String,
    pub cursor: String,
    pub at: String,
    pub data: Box<RawValue>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Gap {
    /// How many frames were dropped.
    pub gap: u64,
    /// Where the feed goes on; reading the stream up to here gives what was dropped.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// An open feed. Dropping it closes the connection.
pub struct LiveFeed {
    client: Client,
    response: Response,
    parser: SseParser,
    cursor: Option<String>,
}

impl Client {
    /// Opens the live feed of an app. It is not reopened when it breaks: open it again after
    /// [`LiveFeed::cursor`], and nothing is missed.
    pub async fn live(&self, app: &str, query: &LiveQuery) -> Result<LiveFeed> {
        let mut url = self.url(&["v1", "apps", app, "live"]);
        let streams = (!query.streams.is_empty()).then(|| query.streams.join(","));
        for (name, value) in [("streams", &streams), ("type", &query.event_type), ("after", &query.after)] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let response = self.open(url, "text/event-stream").await?;
        let client = self.clone();
        Ok(LiveFeed { client, response, parser: SseParser::default(), cursor: query.after.clone() })
    }
}

impl LiveFeed {
    /// The next frame, or `None` when the server ended the feed. Cancel-safe.
    ///
    /// Errors: the connection broke or went silent for 90 s, or a frame was not readable.
    pub async fn next(&mut self) -> Result<Option<LiveFrame>> {
        loop {
            while let Some(event) = self.parser.next_event() {
                if let Some(frame) = self.frame(event)? {
                    return Ok(Some(frame));
                }
            }
            let piece = tokio::time::timeout(LONGEST_SILENCE, self.response.chunk())
                .await
                .map_err(|silent| self.client.unreachable(silent))?
                .map_err(|broken| self.client.unreachable(broken))?;
            let Some(piece) = piece else { return Ok(None) };
            self.parser.push(&piece).map_err(|_| self.client.unreadable("a frame without end"))?;
        }
    }

    /// Where to go on after a break: the place the server last named, or where this feed was opened.
    pub fn cursor(&self) -> Option<&str> {
        self.parser.last_id().or(self.cursor.as_deref())
    }

    /// Reads one event; `None` for a kind that this client does not know yet.
    fn frame(&mut self, event: SseEvent) -> Result<Option<LiveFrame>> {
        let unreadable = |error| self.client.unreadable(error);
        let frame = match event.name.as_str() {
            "" | "message" => LiveFrame::Record(serde_json::from_str(&event.data).map_err(unreadable)?),
            "gap" => LiveFrame::Gap(serde_json::from_str(&event.data).map_err(unreadable)?),
            _ => return Ok(None),
        };
        let place = match &frame {
            LiveFrame::Record(record) => Some(&record.cursor),
            LiveFrame::Gap(gap) => gap.cursor.as_ref(),
        };
        if let Some(place) = place {
            self.cursor = Some(place.clone());
        }
        Ok(Some(frame))
    }
}
