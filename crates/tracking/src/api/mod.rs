//! Events over HTTP.

mod list;
mod pixel;
mod track;

use angarium_base::{AppId, Result};
use angarium_journal::{Journal, Stream};
use angarium_kit::{Kit, grants};
use axum::{
    Router,
    routing::{get, post},
};

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

/// The app's stream of events, made with its first event.
async fn events_of(journal: &Journal, app: &AppId) -> Result<Stream> {
    journal.stream(app, crate::EVENTS).await
}
