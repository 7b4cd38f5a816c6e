//! `/kafidx`: the live page. One file, no third-party code; it reads the feed with the visitor's own key.

use angarium_kit::Kit;
use axum::{
    Router,
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use http::header;

const PAGE: &str = include_str!("page.html");
/// The page runs its own script and style, talks to its own server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub fn routes() -> Router<Kit> {
    Router::new()
        .route("/kafidx", get(show_page))
        .route("/", get(|| async { Redirect::temporary("/kafidx") }))
}

async fn show_page() -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Html(PAGE)).into_response()
}
