//! Events over HTTP.

mod calls;
mod image;
mod intake;
mod list;
mod outcome;
mod pixel;
mod posthog;
mod schema;
mod segment;
mod speaker;
mod track;

use crate::{
    Tracker,
    rules::{EVENT_TOO_LARGE, INVALID_EVENT, INVALID_QUERY, INVALID_TYPE, MALFORMED_JSON, TOO_MANY_EVENTS},
    wires::{INVALID_ENVELOPE, NOTHING_KEPT},
};
use angarium_base::{AppId, Result, error::NOT_FOUND};
use angarium_journal::{Journal, Stream};
use angarium_kit::{
    Answering, Direct, Kit,
    access::{Allowed, Asked},
    grants,
    http::{
        Doc, Problem, Routes, attend,
        doc::{self, AFTER, LIMIT, Param},
    },
    idempotency::IDEMPOTENCY_KEY,
};
use axum::{extract::Request, response::IntoResponse};
use http::Method;
use serde_json::json;
use std::sync::Arc;

grants! {
    /// Send events.
    SendEvents = "events:send": [Admin, Operator, Sender, Ingest], basic true;
    /// Read events and their counts.
    ReadEvents = "events:read": [Admin, Operator, Sender, Viewer];
}

const TYPE: Param = Param::optional("type", "only events of this type", doc::text);
const FROM: Param =
    Param::optional("from", "only what became durable at this instant or later", doc::instant);
const TO: Param = Param::optional("to", "only what became durable before this instant", doc::instant);

/// Minutes, hours, a day.
const STEP_PATTERN: &str =
    "^0*(([1-9][0-9]{0,2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)m|([1-9]|1[0-9]|2[0-4])h|1d)$";

pub fn routes() -> Routes {
    let doc = |id, summary, description| Doc::new("events", id, summary, description);
    let track_by_query = doc(
        "track_by_query",
        "Track an event by a query string",
        "The type is the rest of the path. 200 with a 43-byte GIF for a `GET` whose `Accept` asks for an image.",
    )
    .answers_empty(204, "the event is durable")
    .answers_as(200, "the same, to whom asks for an image", "image/gif", None)
    .refuses(&[NOT_FOUND, INVALID_TYPE, INVALID_QUERY, EVENT_TOO_LARGE]);
    Routes::new()
        .post(
            "/v1/apps/{app}/events",
            track::track_events,
            doc(
                "track_events",
                "Track events",
                "One event, an array of them, or one a line (NDJSON). 202 when everything good in the body is durable: how \
                 many were accepted, how many were there already, which were rejected and why. 422 when nothing was good, \
                 and with `?atomic=true` when anything was not.",
            )
            .query(&[Param::optional("atomic", "take all events or none", doc::flag)])
            .bodies(
                vec![
                    ("application/json", Some(doc::schema_of::<schema::EventsBody>)),
                    ("application/x-ndjson", None),
                ],
                Some(json!({ "type": "level_up", "params": { "level": 7 }, "id": "e-1" })),
            )
            .answers::<schema::Tracked>(202, "what became of the events")
            .refuses(&[MALFORMED_JSON, INVALID_EVENT, TOO_MANY_EVENTS, EVENT_TOO_LARGE]),
        )
        .get(
            "/v1/apps/{app}/events",
            list::list_events,
            doc(
                "list_events",
                "List events",
                "Oldest first, as they were kept. `next` is a cursor, or null at the end. A page may be shorter than \
                 `limit`, even empty, while `next` is not null: then the filter passed over many events.",
            )
            .query(&[TYPE, LIMIT, AFTER, FROM, TO])
            .answers::<list::EventPage>(200, "a page of events"),
        )
        .get(
            "/v1/apps/{app}/events/stats",
            list::show_event_stats,
            doc(
                "show_event_stats",
                "Count events",
                "By type and step of whole minutes; `from` (an hour ago, if not given) and `to` (now) by when events \
                 became durable, rounded to minutes outwards.",
            )
            .query(&[
                Param::optional("by", "what is counted apart", || json!({ "type": "string", "enum": ["type"] })),
                Param::optional("step", "whole minutes, one day at most", || {
                    json!({ "type": "string", "pattern": STEP_PATTERN, "default": "1m" })
                }),
                FROM,
                TO,
            ])
            .answers::<list::Stats>(200, "counts"),
        )
        .get("/t/{*type}", pixel::track_by_query, track_by_query.clone())
        .post("/t/{*type}", pixel::track_by_query, track_by_query.alias())
        .merge(segment_routes())
        .merge(posthog_routes())
}

/// What Segment's libraries call: servers' by name, browsers' and phones' by one letter; with a slash behind or without.
const SEGMENT_BATCH_PATHS: [&str; 8] = [
    "/v1/batch",
    "/v1/batch/",
    "/v1/import",
    "/v1/import/",
    "/v1/b",
    "/v1/b/",
    "/beacon/v1/batch",
    "/beacon/v1/batch/",
];
const SEGMENT_CALL_PATHS: [&str; 24] = [
    "/v1/track",
    "/v1/track/",
    "/v1/identify",
    "/v1/identify/",
    "/v1/page",
    "/v1/page/",
    "/v1/screen",
    "/v1/screen/",
    "/v1/group",
    "/v1/group/",
    "/v1/alias",
    "/v1/alias/",
    "/v1/t",
    "/v1/t/",
    "/v1/i",
    "/v1/i/",
    "/v1/p",
    "/v1/p/",
    "/v1/s",
    "/v1/s/",
    "/v1/g",
    "/v1/g/",
    "/v1/a",
    "/v1/a/",
];
const POSTHOG_PATHS: [&str; 6] = ["/batch", "/batch/", "/e", "/e/", "/capture", "/capture/"];

fn segment_routes() -> Routes {
    let doc = |id, summary, description| Doc::new("segment", id, summary, description);
    let calls = doc(
        "track_segment_calls",
        "Track calls of Segment's libraries",
        "200 when at least one call of the body is durable, with what became of the others; 400 when none could be \
         kept. Which call it is stands at the end of the path, `batch` takes all.",
    )
    .query(&[Param::optional("writeKey", "the write key of a beacon, which has no headers of its own", doc::text)])
    .bodies(
        vec![("application/json", Some(doc::schema_of::<schema::SegmentBatch>))],
        Some(json!({ "batch": [{ "type": "track", "event": "level_up", "userId": "u1", "messageId": "m-1" }] })),
    )
    .answers::<schema::SegmentTracked>(200, "what became of the calls")
    .refuses(&[MALFORMED_JSON, INVALID_ENVELOPE, NOTHING_KEPT, INVALID_QUERY, TOO_MANY_EVENTS]);
    let pixel = doc(
        "track_segment_pixel",
        "Track a call of Segment's by a query string",
        "Always a 43-byte GIF; the status says what became of the call.",
    )
    .query(&[
        Param::optional("writeKey", "the write key", doc::text),
        Param::optional("event", "the name of a track call", doc::text),
        Param::optional("anonymousId", "who", doc::text),
        Param::optional("userId", "who", doc::text),
    ])
    .answers_as(200, "the event is durable", "image/gif", None)
    .refuses(&[INVALID_QUERY, NOTHING_KEPT, EVENT_TOO_LARGE])
    .problems_as("image/gif");
    let one_call = calls.alias().bodies(
        vec![("application/json", Some(doc::schema_of::<schema::SegmentCall>))],
        Some(json!({ "event": "level_up", "userId": "u1", "messageId": "m-1" })),
    );
    let batches = Routes::new().post_each(&SEGMENT_BATCH_PATHS, segment::track_segment_calls, calls);
    SEGMENT_CALL_PATHS
        .into_iter()
        .fold(batches, |routes, path| routes.post(path, segment::track_segment_calls, one_call.clone()))
        .get("/pixel/v1/track", segment::track_segment_pixel, pixel.clone())
        .get("/pixel/v1/page", segment::track_segment_pixel, pixel.alias())
}

fn posthog_routes() -> Routes {
    let events = Doc::new(
        "posthog",
        "track_posthog_events",
        "Track events of PostHog's libraries",
        "200 when at least one event of the request is durable, with what became of the others; 400 when none could be kept.",
    )
    .query(&[
        Param::optional("api_key", "the write key, where the body has none", doc::text),
        Param::optional("data", "the events, of a GET: JSON, or base64 of it", doc::text),
        Param::optional("compression", "`gzip-js`, for bodies that are packed without a header", doc::text),
    ])
    .bodies(
        vec![
            ("application/json", Some(doc::schema_of::<schema::PosthogBody>)),
            ("application/x-www-form-urlencoded", Some(doc::schema_of::<schema::PosthogForm>)),
        ],
        Some(json!({ "api_key": "ang_wk_", "batch": [{ "event": "level_up", "distinct_id": "u1" }] })),
    )
    .answers::<schema::PosthogTracked>(200, "what became of the events")
    .refuses(&[MALFORMED_JSON, INVALID_ENVELOPE, NOTHING_KEPT, INVALID_QUERY, TOO_MANY_EVENTS]);
    let by_query = Doc { body: None, ..events.alias() };
    let gets = ["/e", "/e/", "/capture", "/capture/"];
    let routes = Routes::new().post_each(&POSTHOG_PATHS, posthog::track_posthog_events, events);
    gets.into_iter()
        .fold(routes, |routes, path| routes.get(path, posthog::track_posthog_events, by_query.clone()))
}

/// `POST /v1/apps/{app}/events` past the router: the one route that takes a hundred thousand requests a second.
pub fn direct(tracker: Arc<Tracker>) -> Direct {
    let answer = move |kit: Kit, request: Request| -> Answering {
        let tracker = tracker.clone();
        Box::pin(async move {
            let answer = async |request: Request| {
                let app = app_of(request.uri().path()).unwrap_or_default().to_owned();
                match Allowed::for_app(&kit, Asked::from(&request), &app).await {
                    Ok(allowed) => track::track(&kit, &tracker, allowed, request).await.into_response(),
                    Err(refused) => Problem::from(refused).into_response(),
                }
            };
            attend(&kit, "/v1/apps/{app}/events", request, answer).await
        })
    };
    Direct {
        takes: |request| {
            *request.method() == Method::POST
                && app_of(request.uri().path()).is_some()
                && !request.headers().contains_key(IDEMPOTENCY_KEY)
        },
        answer: Arc::new(answer),
    }
}

/// The app's name in the path of its events; `None` if it needs decoding, which the router does.
fn app_of(path: &str) -> Option<&str> {
    let app = path.strip_prefix("/v1/apps/")?.strip_suffix("/events")?;
    (!app.contains(['/', '%'])).then_some(app)
}

/// The app's stream of events, made with its first event.
async fn events_of(journal: &Journal, app: &AppId) -> Result<Stream> {
    journal.stream(app, crate::EVENTS).await
}
