//! Streams: reading one by cursor, and sharing the reading in a consumer group.

use crate::{Client, Result, transport::duration_text};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use std::time::Duration;

/// A stream and what it holds at the moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamSummary {
    pub stream: String,
    #[serde(default)]
    pub records: u64,
    #[serde(default)]
    pub bytes: u64,
    /// Every group that reads it.
    #[serde(default)]
    pub groups: Vec<GroupLag>,
    /// Whatever else the server says of it.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLag {
    pub group: String,
    /// How many records of the stream are not committed.
    pub lag: u64,
}

/// One record of a stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its place: reading after it continues with the next one.
    pub cursor: String,
    /// When it became durable.
    pub at: String,
    pub data: Box<RawValue>,
}

/// Where to read, how much, and how long to wait for a first record.
#[derive(Clone, Debug, Default)]
pub struct ReadRecords {
    /// The cursor to continue after; `None` reads from the oldest record.
    pub after: Option<String>,
    /// 1 to 1000; `None` takes the server's default.
    pub limit: Option<u32>,
    pub wait: Option<Duration>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordPage {
    pub items: Vec<Record>,
    /// What to read after next, also when there was nothing.
    pub next: String,
}

/// How much a group's reader takes at a time, and how long it waits for a first record.
#[derive(Clone, Debug, Default)]
pub struct PollGroup {
    pub max: u32,
    pub wait: Duration,
    /// Who reads. What this consumer took and did not commit, it gets again at once; others after the lease.
    pub consumer: Option<String>,
}

/// Records handed out to one reader of a group, until it commits them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupBatch {
    pub items: Vec<Record>,
    /// What to commit when all of them are done.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many records of the stream are not committed.
    #[serde(default)]
    pub lag: u64,
    /// How many records retention removed before this group had read them.
    #[serde(default)]
    pub expired: u64,
}

/// Where a group stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    #[serde(default)]
    pub group: String,
    #[serde(default)]
    pub stream: String,
    /// The last committed place; `None` before the first commit.
    #[serde(default)]
    pub cursor: Option<String>,
    /// How many records of the stream are not committed.
    pub lag: u64,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Serialize)]
struct PollBody<'a> {
    max: u32,
    wait: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<&'a str>,
}

#[derive(Serialize)]
struct CommitBody<'a> {
    cursor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<&'a str>,
}

impl Client {
    /// The app's streams, with what they hold in records and bytes, and how far behind their groups are.
    pub async fn list_streams(&self, app: &str) -> Result<Vec<StreamSummary>> {
        let url = self.url(&["v1", "apps", app, "streams"]);
        Ok(self.get::<Items<StreamSummary>>(url, Duration::ZERO).await?.items)
    }

    /// The records after a cursor, in order; waits up to `read.wait` for the first. Committed nowhere.
    pub async fn read_records(&self, app: &str, stream: &str, read: &ReadRecords) -> Result<RecordPage> {
        let mut url = self.url(&["v1", "apps", app, "streams", stream, "records"]);
        for (name, value) in [
            ("after", read.after.clone()),
            ("limit", read.limit.map(|limit| limit.to_string())),
            ("wait", read.wait.map(duration_text)),
        ] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        self.get(url, read.wait.unwrap_or_default()).await
    }

    /// Takes the group's next records; waits up to `poll.wait` for the first.
    ///
    /// At least once: what is not committed comes again. An empty batch with a lag above 0 means that
    /// another consumer holds the group's lease.
    pub async fn poll_group(
        &self,
        app: &str,
        stream: &str,
        group: &str,
        poll: &PollGroup,
    ) -> Result<GroupBatch> {
        let url = self.group_url(app, stream, group, Some("poll"));
        let body =
            PollBody { max: poll.max, wait: duration_text(poll.wait), consumer: poll.consumer.as_deref() };
        self.post(url, &body, poll.wait).await
    }

    /// Says that everything up to and including `cursor` is done. Returns where the group stands then.
    pub async fn commit_group(
        &self,
        app: &str,
        stream: &str,
        group: &str,
        cursor: &str,
        consumer: Option<&str>,
    ) -> Result<Group> {
        let url = self.group_url(app, stream, group, Some("commit"));
        let done: Group = self.post(url, &CommitBody { cursor, consumer }, Duration::ZERO).await?;
        Ok(Group { group: group.to_owned(), stream: stream.to_owned(), ..done })
    }

    /// Where a group stands, and how far behind it is.
    pub async fn show_group(&self, app: &str, stream: &str, group: &str) -> Result<Group> {
        self.get(self.group_url(app, stream, group, None), Duration::ZERO).await
    }

    fn group_url(&self, app: &str, stream: &str, group: &str, verb: Option<&str>) -> reqwest::Url {
        let mut segments = vec!["v1", "apps", app, "streams", stream, "groups", group];
        segments.extend(verb);
        self.url(&segments)
    }
}
