//! Errors as RFC 9457 problem documents.

use super::RequestName;
use angarium_base::Error;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use std::sync::Arc;

/// What a handler answers.
pub type Answer<T> = std::result::Result<T, Problem>;

/// An error on its way out. The layer around the routes writes the body, because it knows the request's id.
#[derive(Clone, Debug)]
pub struct Problem(pub Arc<Error>);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Problem(Arc::new(error))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.kind().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        if let Some(seconds) = self.0.retry_after_s() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    pointer: &'a str,
    code: &'a str,
    detail: &'a str,
}

/// The problem document of an error.
pub fn problem_body(error: &Error, request_id: Option<&RequestName>) -> String {
    let status = error.kind().status();
    let document = Document {
        r#type: format!("/docs/errors#{}", error.code().name),
        title: StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error"),
        status,
        detail: error.message(),
        code: error.code().name,
        request_id: request_id.map(|name| name.0.as_str()),
        errors: error
            .faults()
            .iter()
            .map(|fault| Item { pointer: &fault.pointer, code: fault.code, detail: &fault.detail })
            .collect(),
    };
    // Strings and numbers only: this cannot fail.
    serde_json::to_string(&document).unwrap_or_default()
}
