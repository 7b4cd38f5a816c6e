//! `/kafidx`: the live page. One file, no third-party code; it reads the feed with the visitor's own key.

use angarium_kit::{
    access::Public,
    http::{Doc, Routes},
};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::header;

const PAGE: &str = include_str!("page.html");
/// The page runs its own script and style, talks to its own server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub fn routes() -> Routes {
    let doc = |id, summary| Doc::new("pages", id, summary, "");
    Routes::new()
        .get(
            "/kafidx",
            show_page,
            doc("show_live_page", "The live page").answers_as(200, "a page", "text/html", None),
        )
        .get("/", show_home, doc("show_home", "The first page").answers_empty(307, "to the live page"))
}

async fn show_home(_: Public) -> Redirect {
    Redirect::temporary("/kafidx")
}

async fn show_page(_: Public) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Html(PAGE)).into_response()
}
