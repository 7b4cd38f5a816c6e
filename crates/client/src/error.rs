//! Why a call failed: the server refused, or there was no answer, or the answer was not one of Angarium's.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::{error::Error as StdError, fmt, time::Duration};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug)]
pub enum Error {
    /// The URL, the key or a value given to the client cannot be sent at all.
    Setup(String),
    /// The server answered, and said no.
    Refused(Box<Problem>),
    /// There was no answer, or it broke off: nothing listens there, a time-out, a lost connection.
    Unreachable { server: String, source: Box<dyn StdError + Send + Sync> },
    /// There was an answer, and it is not what the API promises.
    Unreadable { server: String, detail: String },
}

/// A problem document (RFC 9457) as Angarium sends it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub status: u16,
    /// The stable name to match on, like `not_found`.
    pub code: String,
    pub title: String,
    pub detail: String,
    /// What to look for in the server's log.
    pub request_id: String,
    /// Several faults at once, each with its place in the body.
    pub errors: Vec<Fault>,
    /// How long the server asks to wait before the next try.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// Members that only some codes have.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// RFC 6901 JSON pointer into the body.
    pub pointer: String,
    pub code: String,
    pub detail: String,
}

impl Error {
    /// The problem document, when the server sent one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Error::Refused(problem) => Some(problem),
            _ => None,
        }
    }

    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        self.problem().map(|problem| problem.status)
    }

    /// The stable code of a refusal, like `not_found`.
    pub fn code(&self) -> Option<&str> {
        self.problem().map(|problem| problem.code.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Setup(detail) => f.write_str(detail),
            Error::Refused(problem) => problem.fmt(f),
            Error::Unreachable { server, source } => {
                write!(f, "no answer from {server}: {}", innermost(&**source))
            }
            Error::Unreadable { server, detail } => {
                write!(f, "{server} does not answer like Angarium: {detail}")
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = if self.detail.is_empty() { &self.title } else { &self.detail };
        write!(f, "{said} (")?;
        match self.code.as_str() {
            "" => write!(f, "HTTP {}", self.status)?,
            code => write!(f, "{code}")?,
        }
        if !self.request_id.is_empty() {
            write!(f, ", request {}", self.request_id)?;
        }
        f.write_str(")")?;
        for fault in &self.errors {
            write!(f, "; {}: {} ({})", fault.pointer, fault.detail, fault.code)?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Unreachable { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

/// The cause that says most: HTTP libraries wrap "connection refused" in several layers of "error sending request".
fn innermost<'a>(mut error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_shows_detail_code_request_and_places() {
        let problem: Problem = serde_json::from_str(
            r#"{"type":"about:blank","title":"Unprocessable Content","status":422,"detail":"two fields are wrong",
                "code":"invalid_body","request_id":"req_1","hint":7,
                "errors":[{"pointer":"/type","code":"too_long","detail":"longer than 255"}]}"#,
        )
        .unwrap();
        assert_eq!(
            Error::Refused(Box::new(problem.clone())).to_string(),
            "two fields are wrong (invalid_body, request req_1); /type: longer than 255 (too_long)"
        );
        assert_eq!(problem.more["hint"], 7);
    }
}
