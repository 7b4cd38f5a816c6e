//! Events over HTTP.

mod calls;
mod image;
mod intake;
mod list;
mod outcome;
mod pixel;
mod posthog;
mod segment;
mod speaker;
mod track;

use crate::Tracker;
use angarium_base::{AppId, Result};
use angarium_journal::{Journal, Stream};
use angarium_kit::{Answering, Direct, Kit, grants, http::attend};
use axum::{
    Router,
    extract::Request,
    response::IntoResponse,
    routing::{get, post},
};
use http::Method;
use std::sync::Arc;

grants! {
    /// Send events.
    SendEvents = "events:send": [Admin, Operator, Sender, Ingest], basic true;
    /// Read events and their counts.
    ReadEvents = "events:read": [Admin, Operator, Sender, Viewer];
}

pub fn routes() -> Router<Kit> {
    Router::new()
        .route("/v1/apps/{app}/events", post(track::track_events).get(list::list_events))
        .route("/v1/apps/{app}/events/stats", get(list::show_event_stats))
        .route("/t/{*type}", get(pixel::track_by_query).post(pixel::track_by_query))
        .merge(segment_routes())
        .merge(posthog_routes())
}

/// What Segment's libraries call: servers' by name, browsers' and phones' by one letter.
fn segment_routes() -> Router<Kit> {
    let calls = ["track", "identify", "page", "screen", "group", "alias", "batch", "import"];
    let short = ["t", "i", "p", "s", "g", "a", "b"];
    let paths = calls.into_iter().chain(short).map(|call| format!("/v1/{call}"));
    let posts = paths.chain(["/beacon/v1/batch".to_owned()]).flat_map(with_slash);
    let pixels = ["/pixel/v1/track", "/pixel/v1/page"];
    let router =
        posts.fold(Router::new(), |router, path| router.route(&path, post(segment::track_segment_calls)));
    pixels.into_iter().fold(router, |router, path| router.route(path, get(segment::track_segment_pixel)))
}

fn posthog_routes() -> Router<Kit> {
    let either = || get(posthog::track_posthog_events).post(posthog::track_posthog_events);
    let batch = with_slash("/batch".to_owned());
    let single = ["/e", "/capture"].into_iter().flat_map(|path| with_slash(path.to_owned()));
    let router = batch
        .into_iter()
        .fold(Router::new(), |router, path| router.route(&path, post(posthog::track_posthog_events)));
    single.fold(router, |router, path| router.route(&path, either()))
}

/// Libraries end paths with a slash or without.
fn with_slash(path: String) -> [String; 2] {
    let slash = format!("{path}/");
    [path, slash]
}

/// `POST /v1/apps/{app}/events` past the router: the one route that takes a hundred thousand requests a second.
pub fn direct(tracker: Arc<Tracker>) -> Direct {
    let answer = move |kit: Kit, request: Request| -> Answering {
        let tracker = tracker.clone();
        Box::pin(async move {
            let answer = async |request: Request| {
                let app = app_of(request.uri().path()).unwrap_or_default().to_owned();
                track::track(&kit, &tracker, &app, request).await.into_response()
            };
            attend(&kit, "/v1/apps/{app}/events", request, answer).await
        })
    };
    Direct {
        takes: |request| *request.method() == Method::POST && app_of(request.uri().path()).is_some(),
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
