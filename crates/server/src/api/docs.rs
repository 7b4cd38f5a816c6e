//! `/docs`: the document of the API as a page. One file, no third-party code: it reads `/openapi.json` and nothing else.

use angarium_kit::access::Public;
use axum::{
    http::header,
    response::{Html, IntoResponse, Response},
};

const PAGE: &str = include_str!("docs.html");
/// The page runs its own script and style, and talks to its own server.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub async fn show_docs(_: Public) -> Response {
    ([(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-cache")], Html(PAGE))
        .into_response()
}
