//! Events over HTTP.

mod list;
mod pixel;
mod track;

use crate::{
    Tracker,
    rules::{EVENT_TOO_LARGE, INVALID_EVENT, INVALID_QUERY, INVALID_TYPE, MALFORMED_JSON, TOO_MANY_EVENTS},
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
                    ("application/json", Some(doc::schema_of::<track::EventsBody>)),
                    ("application/x-ndjson", None),
                ],
                Some(json!({ "type": "level_up", "params": { "level": 7 }, "id": "e-1" })),
            )
            .answers::<track::Tracked>(202, "what became of the events")
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
                    json!({ "type": "string", "enum": ["1m", "5m", "15m", "1h", "1d"], "default": "1m" })
                }),
                FROM,
                TO,
            ])
            .answers::<list::Stats>(200, "counts"),
        )
        .get("/t/{*type}", pixel::track_by_query, track_by_query.clone())
        .post("/t/{*type}", pixel::track_by_query, track_by_query.alias())
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
