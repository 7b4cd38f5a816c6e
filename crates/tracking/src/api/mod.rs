//! Events over HTTP.

mod list;
mod pixel;
mod track;

use angarium_base::{AppId, Result};
use angarium_journal::{Journal, Stream};
use crate::Tracker;
use angarium_kit::{Direct, Kit, grants, http::attend};
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
}

/// `POST /v1/apps/{app}/events` past the router: the one route that takes a hundred thousand requests a second.
pub fn direct(tracker: Arc<Tracker>) -> Direct {
    Arc::new(move |kit, request| {
        let app = request.uri().path().strip_prefix("/v1/apps/").and_then(|rest| rest.strip_suffix("/events"));
        let app = app.filter(|app| *request.method() == Method::POST && !app.contains(['/', '%']));
        let Some(app) = app.map(str::to_owned) else { return Err(request) };
        let (kit, tracker) = (kit.clone(), tracker.clone());
        Ok(Box::pin(async move {
            let answer = async |request: Request| track::track(&kit, &tracker, &app, request).await.into_response();
            attend(&kit, "/v1/apps/{app}/events", request, answer).await
        }))
    })
}

/// The app's stream of events, made with its first event.
async fn events_of(journal: &Journal, app: &AppId) -> Result<Stream> {
    journal.stream(app, crate::EVENTS).await
}
