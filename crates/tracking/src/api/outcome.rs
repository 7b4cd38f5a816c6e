//! What became of the items of a body, and how an answer tells it.

use angarium_base::{
    Error,
    error::{Fault, Kind},
};
use angarium_kit::http::RequestName;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// Rejected items that an answer names; `rejected_total` counts all of them.
const NAMED: usize = 10_000;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

#[derive(Debug, Default)]
pub struct Outcome {
    pub accepted: usize,
    pub duplicates: usize,
    /// Index in the body, and what is wrong.
    pub rejected: Vec<(usize, Fault)>,
}

impl Outcome {
    /// The answer when something was kept, or nothing was to be. `first` are members that come first, each with a
    /// comma behind it.
    pub fn answer(&self, status: StatusCode, first: &str) -> Response {
        (status, [(header::CONTENT_TYPE, JSON)], self.text(first)).into_response()
    }

    /// The body of that answer.
    pub fn text(&self, first: &str) -> String {
        format!("{{{first}{}}}", self.members())
    }

    /// The problem document of a request of which nothing was kept; it is to be `error`'s in all but the members that
    /// say what became of each item.
    pub fn refusal(&self, error: &Error, id: Option<&RequestName>) -> Response {
        let problem = angarium_kit::http::problem_body(error, id);
        let body = format!("{},{}}}", problem.trim_end_matches('}'), self.members());
        let status = StatusCode::from_u16(error.kind().status()).unwrap_or(StatusCode::BAD_REQUEST);
        debug_assert!(matches!(error.kind(), Kind::Invalid | Kind::Malformed));
        (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response()
    }

    fn members(&self) -> String {
        let Outcome { accepted, duplicates, rejected } = self;
        if rejected.is_empty() {
            return format!("\"accepted\":{accepted},\"duplicates\":{duplicates},\"rejected\":[]");
        }
        let named = rejected.iter().take(NAMED).map(|(index, fault)| Rejected {
            index: *index,
            code: fault.code,
            detail: &fault.detail,
            pointer: &fault.pointer,
        });
        let members = Members {
            accepted: *accepted,
            duplicates: *duplicates,
            rejected: named.collect(),
            rejected_total: (rejected.len() > NAMED).then_some(rejected.len()),
        };
        // Strings and numbers only: this cannot fail.
        let object = serde_json::to_string(&members).unwrap_or_default();
        object.trim_start_matches('{').strip_suffix('}').unwrap_or_default().to_owned()
    }
}

#[derive(Serialize)]
struct Members<'a> {
    accepted: usize,
    duplicates: usize,
    rejected: Vec<Rejected<'a>>,
    /// Only when more were rejected than are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_total: Option<usize>,
}

#[derive(Serialize)]
struct Rejected<'a> {
    index: usize,
    code: &'a str,
    detail: &'a str,
    pointer: &'a str,
}
