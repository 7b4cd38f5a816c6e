//! `GET /v1/apps/{app}/events` and `…/events/stats`.

use super::{ReadEvents, events_of};
use angarium_base::{
    Cursor, Result,
    error::{INVALID_CURSOR, INVALID_PARAMETER},
    time,
};
use angarium_journal::{Journal, Stream};
use angarium_kit::{
    Kit,
    access::Allowed,
    http::{Answer, Params},
    records,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use schemars::JsonSchema;
use serde::Serialize;

/// Records that one request looks at, so that a rare type cannot make it run for long.
const SCANNED: u64 = 50_000;
/// Rows of one answer of the statistics.
const STATS_ROWS: i64 = 10_000;

pub async fn list_events(
    allowed: Allowed<ReadEvents>,
    State(kit): State<Kit>,
    params: Params,
) -> Answer<Response> {
    params.only(&["type", "after", "from", "to", "limit"])?;
    let stream = events_of(&kit.journal, allowed.app_id()).await?;
    let after = match params.after()? {
        Some(cursor) => Some(cursor.next(crate::EVENTS).ok_or_else(|| {
            INVALID_CURSOR.err("this cursor is of another stream; use one that this list gave out")
        })?),
        None => None,
    };
    records::check_reached(&kit.journal, &stream, after.unwrap_or(0)).await?;
    let from = match params.instant("from")? {
        Some(at) => kit.journal.offset_at(&stream, at).await?,
        None => 0,
    };
    let scan = Scan {
        start: after.unwrap_or(0).max(from),
        until: params.instant("to")?,
        kind: params.get("type"),
        limit: params.limit()?,
    };
    let (items, next) = scan.run(&kit.journal, &stream).await?;
    let mut body = String::with_capacity(items.len() + 64);
    body.push_str("{\"items\":[");
    body.push_str(&items);
    body.push_str("],\"next\":");
    match next {
        Some(next) => {
            body.push('"');
            Cursor::new(crate::EVENTS, next).encode_into(&mut body);
            body.push('"');
        }
        None => body.push_str("null"),
    }
    body.push('}');
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

struct Scan<'a> {
    start: u64,
    until: Option<i64>,
    kind: Option<&'a str>,
    limit: u64,
}

impl Scan<'_> {
    /// The matching events, spliced with commas, and where to go on; `None` at the end.
    async fn run(&self, journal: &Journal, stream: &Stream) -> Result<(String, Option<u64>)> {
        let (mut items, mut found, mut at) = (String::new(), 0, self.start);
        while at < self.start.saturating_add(SCANNED) {
            let ask = if self.kind.is_none() { self.limit - found } else { SCANNED };
            let page = journal.read(stream, at, ask).await?;
            if page.is_empty() {
                return Ok((items, None));
            }
            for record in page.records() {
                if self.until.is_some_and(|until| record.at >= until) {
                    return Ok((items, None));
                }
                at = record.offset + 1;
                if self.kind.is_some_and(|kind| kind != record.kind) {
                    continue;
                }
                if !items.is_empty() {
                    items.push(',');
                }
                items.push_str(&String::from_utf8_lossy(record.data));
                found += 1;
                if found == self.limit {
                    let more = journal.end(stream).await? > at;
                    return Ok((items, more.then_some(at)));
                }
            }
            at = at.max(page.next);
        }
        Ok((items, Some(at)))
    }
}

/// An event as it was kept.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a schema only: events are given out as they are kept")]
struct KeptEvent {
    id: String,
    r#type: String,
    #[schemars(extend("format" = "date-time"))]
    at: String,
    #[schemars(extend("format" = "date-time"))]
    received_at: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    device_id: Option<String>,
    params: serde_json::Map<String, serde_json::Value>,
    /// The query string of a tracking call, as it was sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    query: Option<String>,
    /// What the request told of device, address and place.
    meta: serde_json::Map<String, serde_json::Value>,
}

/// A page of events.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a schema only: events are given out as they are kept")]
pub struct EventPage {
    items: Vec<KeptEvent>,
    /// Where to go on, or null at the end.
    next: Option<String>,
}

/// Counts of events.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventStats")]
pub struct Stats {
    step: String,
    items: Vec<StatsRow>,
    /// There were more rows: ask for a shorter time or a longer step.
    truncated: bool,
}

#[derive(Serialize, JsonSchema)]
struct StatsRow {
    /// The step's first instant.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    r#type: String,
    count: u64,
}

pub async fn show_event_stats(
    allowed: Allowed<ReadEvents>,
    State(kit): State<Kit>,
    params: Params,
) -> Answer<Json<Stats>> {
    params.only(&["by", "step", "from", "to"])?;
    if params.given("by").is_some_and(|by| by != "type") {
        return Err(INVALID_PARAMETER.err("events are counted `by=type`").into());
    }
    let step_ms = params.duration("step")?.map_or(60_000, |step| step.as_millis() as i64);
    if step_ms % 60_000 != 0 || !(60_000..=86_400_000).contains(&step_ms) {
        return Err(INVALID_PARAMETER.err("`step` is a number of whole minutes, up to 1d").into());
    }
    let to = params.instant("to")?.unwrap_or_else(|| kit.clock.now());
    let from = params.instant("from")?.unwrap_or(to - 3_600_000);
    if from >= to {
        return Err(INVALID_PARAMETER.err("`from` is before `to`").into());
    }
    let stream = events_of(&kit.journal, allowed.app_id()).await?;
    let minutes = from.div_euclid(60_000)..to.div_euclid(60_000) + 1;
    let rows = kit.journal.counts(&stream, minutes, step_ms / 60_000, STATS_ROWS + 1).await?;
    let truncated = rows.len() > STATS_ROWS as usize;
    let items = rows
        .into_iter()
        .take(STATS_ROWS as usize)
        .map(|(minute, kind, count)| StatsRow { at: time::format(minute * 60_000), r#type: kind, count })
        .collect();
    Ok(Json(Stats { step: format!("{}m", step_ms / 60_000), items, truncated }))
}
