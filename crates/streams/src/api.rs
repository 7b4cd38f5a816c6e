//! The routes of streams and groups.

use angarium_base::{
    Cursor, Result,
    error::{INVALID_CURSOR, INVALID_PARAMETER, NOT_FOUND},
    time,
};
use angarium_journal::{COMMIT_OUT_OF_RANGE, Extent, GROUP_LEASED, Group, Page, Stream, check_name};
use angarium_kit::{
    Kit,
    access::{Allowed, FORBIDDEN, Grant},
    grants,
    http::{
        Answer, Doc, Params, Routes, Whole,
        doc::{self, AFTER, LIMIT, Param},
        parse_duration, read_json,
    },
    idempotency::Repeatable,
    records,
};
use axum::{
    Extension, Json,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

grants! {
    /// Read streams and what groups have committed.
    ReadStreams = "streams:read": [Admin, Operator, Sender, Viewer];
    /// Consume streams as a group.
    ConsumeStreams = "streams:consume": [Admin, Operator];
}

/// Records that one poll hands out at most.
const POLL_MAX: u64 = 10_000;

const WAIT: Param = Param::optional(
    "wait",
    "how long an empty page is held back until there is a record: a duration such as 20s, 60s at most",
    doc::wait,
);

pub fn routes() -> Routes {
    let doc = |id, summary, description| Doc::new("streams", id, summary, description);
    Routes::new()
        .get(
            "/v1/apps/{app}/streams",
            list_streams,
            doc("list_streams", "List streams", "By name. What each holds, and how far its consumer groups are.")
                .query(&[LIMIT, AFTER])
                .answers::<StreamList>(200, "a page of streams"),
        )
        .get(
            "/v1/apps/{app}/streams/{stream}/records",
            read_records,
            doc(
                "read_records",
                "Read records",
                "In order, from `after` on (the beginning, if not given). With `wait`, an empty page is held back until \
                 there is a record or the time is over. `next` is always a cursor: the place to go on from.",
            )
            .query(&[LIMIT, AFTER, WAIT])
            .answers::<RecordPage>(200, "a page of records")
            .refuses(&[FORBIDDEN]),
        )
        .get(
            "/v1/apps/{app}/streams/{stream}/groups/{group}",
            show_group,
            doc("show_group", "Show a group", "What it has committed, and how much is left.")
                .answers::<GroupView>(200, "the group"),
        )
        .delete(
            "/v1/apps/{app}/streams/{stream}/groups/{group}",
            delete_group,
            doc("delete_group", "Delete a group", "The next poll under its name starts at the beginning of the stream.")
                .answers_empty(204, "the group is gone"),
        )
        .post(
            "/v1/apps/{app}/streams/{stream}/groups/{group}/poll",
            poll_group,
            doc(
                "poll_group",
                "Poll a group",
                "Up to `max` records after what the group has committed. Not committed, they come again: at once to the \
                 same `consumer`, after 30 s to another. `expired` counts records that retention removed before the \
                 group had read them. A poll that comes again with its `Idempotency-Key` is done again: what it hands out \
                 is not kept a second time.",
            )
            .body_or_none::<Poll>(json!({ "max": 100, "wait": "0s", "consumer": "one" }))
            .answers::<Handed>(200, "records, and the cursor to commit when they are done")
            .refuses(&[GROUP_LEASED]),
        )
        .post(
            "/v1/apps/{app}/streams/{stream}/groups/{group}/commit",
            commit_group,
            doc("commit_group", "Commit a group's cursor", "Everything before it is done for the group, for ever.")
                .body::<Commit>(json!({ "cursor": "cevents-0", "consumer": "one" }))
                .answers::<GroupView>(200, "the group as it is now")
                .refuses(&[INVALID_CURSOR, GROUP_LEASED, COMMIT_OUT_OF_RANGE]),
        )
}

/// A record of a stream.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a schema only: records are written as they are read")]
struct Record {
    /// The place after it.
    cursor: String,
    /// When it became durable.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// What was appended: of the stream `events`, an event as it was kept.
    data: serde_json::Value,
}

/// A page of a stream.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a schema only: records are written as they are read")]
struct RecordPage {
    items: Vec<Record>,
    /// The place to go on from, also at the end.
    next: String,
}

/// What a poll hands out.
#[derive(JsonSchema)]
#[schemars(rename = "HandedRecords")]
#[expect(dead_code, reason = "a schema only: records are written as they are read")]
struct Handed {
    items: Vec<Record>,
    /// What to commit when they are done.
    cursor: String,
    /// Records after what the group has committed.
    lag: u64,
    /// Records that retention removed before the group had read them.
    expired: u64,
}

#[derive(Deserialize)]
struct StreamPath {
    stream: String,
}

#[derive(Deserialize)]
struct GroupPath {
    stream: String,
    group: String,
}

/// A page of streams.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StreamPage")]
struct StreamList {
    items: Vec<StreamView>,
    /// Where to go on, or null at the end.
    next: Option<String>,
}

/// A stream, and how far its consumer groups are.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Stream")]
struct StreamView {
    stream: String,
    records: u64,
    /// As stored, compressed.
    bytes: u64,
    /// Where a reader from the beginning, and one that wants only new records, start.
    first: String,
    last: String,
    /// When the newest record became durable.
    #[schemars(extend("format" = "date-time"))]
    last_at: Option<String>,
    retention_age_ms: Option<i64>,
    retention_bytes: Option<u64>,
    groups: Vec<GroupLag>,
}

#[derive(Serialize, JsonSchema)]
struct GroupLag {
    group: String,
    lag: u64,
}

impl From<Extent> for StreamView {
    fn from(extent: Extent) -> Self {
        let lag = |committed: u64| extent.next_offset - committed.max(extent.first_offset);
        StreamView {
            records: extent.next_offset - extent.first_offset,
            bytes: extent.bytes,
            first: Cursor::new(&extent.name, extent.first_offset).encode(),
            last: Cursor::new(&extent.name, extent.next_offset).encode(),
            last_at: (extent.last_at > 0).then(|| time::format(extent.last_at)),
            retention_age_ms: extent.retention.age_ms,
            retention_bytes: extent.retention.bytes,
            groups: extent
                .groups
                .iter()
                .map(|(group, committed)| GroupLag { group: group.clone(), lag: lag(*committed) })
                .collect(),
            stream: extent.name,
        }
    }
}

async fn list_streams(
    allowed: Allowed<ReadStreams>,
    State(kit): State<Kit>,
    params: Params,
) -> Answer<Json<StreamList>> {
    params.only(&["limit", "after"])?;
    let (limit, after) = (params.limit()? as usize, params.after()?);
    for name in &kit.parts.streams {
        kit.journal.stream(allowed.app_id(), name).await?;
    }
    let mut extents = kit.journal.extents(allowed.app_id()).await?;
    extents.retain(|extent| records::is_readable(&allowed, &extent.name));
    if let Some(cursor) = after {
        // A stream is there for as long as its app: the one that ended the page before still is.
        let last = extents.iter().position(|extent| cursor.next(&extent.name).is_some());
        let last = last
            .ok_or_else(|| INVALID_CURSOR.err("this is not a cursor of this list; use `next` of a page"))?;
        extents.drain(..=last);
    }
    let has_more = extents.len() > limit;
    extents.truncate(limit);
    let next = extents.last().filter(|_| has_more).map(|last| Cursor::new(&last.name, 0).encode());
    Ok(Json(StreamList { items: extents.into_iter().map(StreamView::from).collect(), next }))
}

async fn read_records(
    allowed: Allowed<ReadStreams>,
    State(kit): State<Kit>,
    Path(path): Path<StreamPath>,
    params: Params,
) -> Answer<Response> {
    params.only(&["after", "limit", "wait"])?;
    let (stream, limit) = (find(&kit, &allowed, &path.stream).await?, params.limit()?);
    let from = match params.after()? {
        Some(cursor) => records::offset(&cursor, &stream)?,
        None => 0,
    };
    records::check_reached(&kit.journal, &stream, from).await?;
    let wait = bounded_wait(&kit, params.duration("wait")?.unwrap_or_default())?;
    let mut head = kit.journal.watch(&stream).await?;
    if from >= *head.borrow_and_update() && !wait.is_zero() {
        let waiting = tokio::time::timeout(wait, kit.stop.run_until_cancelled(head.changed()));
        tokio::select! {
            // Whatever ends the wait, what is there then is the answer.
            _ = waiting => {}
            () = allowed.ended(&kit) => return Err(records::ended().into()),
        }
    }
    let page = kit.journal.read(&stream, from, limit).await?;
    let mut body = String::with_capacity(1 << 16);
    body.push('{');
    push_items(&mut body, &stream, &page);
    body.push_str(",\"next\":\"");
    Cursor::new(stream.name(), page.next).encode_into(&mut body);
    body.push_str("\"}");
    Ok(json(body))
}

fn push_items(body: &mut String, stream: &Stream, page: &Page) {
    let mut writer = records::Writer::default();
    let mut cursor = Cursor::new(stream.name(), 0);
    body.push_str("\"items\":[");
    for (n, record) in page.records().enumerate() {
        if n > 0 {
            body.push(',');
        }
        cursor.set(stream.name(), record.offset + 1);
        writer.push(body, None, &cursor, &record);
    }
    body.push(']');
}

fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn find<G: Grant>(kit: &Kit, allowed: &Allowed<G>, name: &str) -> Result<Stream> {
    records::find_stream(kit, allowed, name).await
}

fn bounded_wait(kit: &Kit, wait: Duration) -> Result<Duration> {
    let most = kit.limits.wait;
    if wait > most {
        return Err(
            INVALID_PARAMETER.err(format!("`wait` is at most {} s; poll again after it", most.as_secs()))
        );
    }
    Ok(wait)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GroupPoll")]
struct Poll {
    #[serde(default = "default_max")]
    #[schemars(range(min = 1, max = 10_000))]
    max: Whole,
    #[serde(default)]
    wait: Option<Wait>,
    /// Who polls, of those that share the group.
    #[serde(default)]
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{0,100}$"))]
    consumer: String,
}

fn default_max() -> Whole {
    Whole(100)
}

/// A duration in words, or milliseconds.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "PollWait")]
#[serde(untagged, expecting = "`wait` is a duration such as 20s, or milliseconds")]
enum Wait {
    Milliseconds(#[schemars(range(max = 60_000))] Whole),
    Text(#[schemars(regex(pattern = doc::WAIT_PATTERN))] String),
}

async fn poll_group(
    allowed: Allowed<ConsumeStreams>,
    State(kit): State<Kit>,
    Path(path): Path<GroupPath>,
    params: Params,
    request: Request,
) -> Answer<Response> {
    params.only(&[])?;
    let poll: Poll = read_json(&kit, request).await?;
    check_name("group", &path.group)?;
    check_consumer(&poll.consumer)?;
    if !(1..=POLL_MAX).contains(&poll.max.0) {
        return Err(INVALID_PARAMETER.err(format!("`max` is a whole number from 1 to {POLL_MAX}")).into());
    }
    let wait = match poll.wait {
        None => Duration::ZERO,
        Some(Wait::Milliseconds(Whole(ms))) => Duration::from_millis(ms),
        Some(Wait::Text(text)) => parse_duration("wait", &text)?,
    };
    let wait = bounded_wait(&kit, wait)?;
    let stream = find(&kit, &allowed, &path.stream).await?;
    let polling = kit.journal.poll_group(&stream, &path.group, &poll.consumer, poll.max.0, wait);
    let polled = tokio::select! {
        polled = kit.stop.run_until_cancelled(polling) => polled,
        () = allowed.ended(&kit) => return Err(records::ended().into()),
    };
    let handed = match polled {
        Some(handed) => handed?,
        None => {
            kit.journal.poll_group(&stream, &path.group, &poll.consumer, poll.max.0, Duration::ZERO).await?
        }
    };
    let mut body = String::with_capacity(1 << 16);
    body.push('{');
    push_items(&mut body, &stream, &handed.page);
    body.push_str(",\"cursor\":\"");
    Cursor::new(stream.name(), handed.page.next).encode_into(&mut body);
    body.push_str(&format!("\",\"lag\":{},\"expired\":{}}}", handed.lag, handed.expired));
    // Until a commit the same records are handed out again.
    Ok((Extension(Repeatable), json(body)).into_response())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GroupCommit")]
struct Commit {
    #[schemars(regex(pattern = doc::CURSOR_PATTERN), length(max = 1000))]
    cursor: String,
    #[serde(default)]
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{0,100}$"))]
    consumer: String,
}

/// A consumer group.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Group")]
struct GroupView {
    group: String,
    stream: String,
    /// The place after what is committed.
    cursor: String,
    lag: u64,
    /// The consumer that reads for it now.
    consumer: Option<String>,
}

impl GroupView {
    fn new(stream: &Stream, group: Group) -> GroupView {
        GroupView {
            group: group.name,
            stream: stream.name().to_owned(),
            cursor: Cursor::new(stream.name(), group.committed).encode(),
            lag: group.lag,
            consumer: group.holder,
        }
    }
}

async fn commit_group(
    allowed: Allowed<ConsumeStreams>,
    State(kit): State<Kit>,
    Path(path): Path<GroupPath>,
    params: Params,
    request: Request,
) -> Answer<Json<GroupView>> {
    params.only(&[])?;
    let commit: Commit = read_json(&kit, request).await?;
    check_name("group", &path.group)?;
    check_consumer(&commit.consumer)?;
    let stream = find(&kit, &allowed, &path.stream).await?;
    let next = records::offset(&Cursor::decode(&commit.cursor)?, &stream)?;
    let group = kit.journal.commit_group(&stream, &path.group, &commit.consumer, next).await?;
    Ok(Json(GroupView::new(&stream, group)))
}

async fn show_group(
    allowed: Allowed<ReadStreams>,
    State(kit): State<Kit>,
    Path(path): Path<GroupPath>,
    params: Params,
) -> Answer<Json<GroupView>> {
    params.only(&[])?;
    let stream = find(&kit, &allowed, &path.stream).await?;
    let group = kit.journal.show_group(&stream, &path.group).await?.ok_or_else(unknown_group)?;
    Ok(Json(GroupView::new(&stream, group)))
}

async fn delete_group(
    allowed: Allowed<ConsumeStreams>,
    State(kit): State<Kit>,
    Path(path): Path<GroupPath>,
    params: Params,
) -> Answer<StatusCode> {
    params.only(&[])?;
    let stream = find(&kit, &allowed, &path.stream).await?;
    if kit.journal.delete_group(&stream, &path.group).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(unknown_group().into())
}

fn unknown_group() -> angarium_base::Error {
    NOT_FOUND.err("there is no such group; a group is made by its first poll")
}

fn check_consumer(name: &str) -> Result<()> {
    // Those who do not share a group need no name.
    if name.is_empty() { Ok(()) } else { check_name("consumer", name) }
}
