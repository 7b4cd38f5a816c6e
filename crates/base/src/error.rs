//! The one error type that crosses a request or worker boundary.
//!
//! A [`Kind`] decides everything mechanical: the HTTP status, the log level and whether doing the same
//! thing again may help. A [`Code`] is the stable name that clients match on. The source of an error is
//! logged and never sent.

use std::{borrow::Cow, fmt, panic::Location};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure this is. Closed: a new variant comes with a new HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The bytes cannot be read as what they claim to be.
    Malformed,
    /// Readable, and not acceptable.
    Invalid,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    TooLarge,
    HeadersTooLarge,
    UnsupportedMedia,
    RateLimited,
    Unavailable,
    Internal,
}

impl Kind {
    /// The HTTP status (RFC 9110, RFC 6585) a failure of this kind answers with.
    pub const fn status(self) -> u16 {
        match self {
            Kind::Malformed => 400,
            Kind::Unauthenticated => 401,
            Kind::Forbidden => 403,
            Kind::NotFound => 404,
            Kind::MethodNotAllowed => 405,
            Kind::Timeout => 408,
            Kind::Conflict => 409,
            Kind::TooLarge => 413,
            Kind::UnsupportedMedia => 415,
            Kind::Invalid => 422,
            Kind::RateLimited => 429,
            Kind::HeadersTooLarge => 431,
            Kind::Internal => 500,
            Kind::Unavailable => 503,
        }
    }

    /// Whether doing the same thing again later may succeed.
    pub const fn retryable(self) -> bool {
        matches!(self, Kind::RateLimited | Kind::Unavailable | Kind::Internal | Kind::Timeout)
    }

    /// Whether the failure is ours, and so belongs in the log as an error.
    pub const fn ours(self) -> bool {
        matches!(self, Kind::Internal | Kind::Unavailable)
    }
}

/// A stable, documented error name: `INVALID_CURSOR.err("…")`.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    pub name: &'static str,
    pub kind: Kind,
    /// What it means and what to do, for `docs/errors.md`.
    pub doc: &'static str,
}

/// Declares the codes a module can answer with, and the table the docs are made from.
#[macro_export]
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal: $kind:ident;)+) => {
        $($(#[doc = $doc])+
        pub const $name: $crate::Code = $crate::Code {
            name: $text, kind: $crate::Kind::$kind, doc: concat!($($doc),+),
        };)+
        /// Every code of this module, for the generated documentation.
        pub const CODES: &[$crate::Code] = &[$($name),+];
    };
}

codes! {
    /// The server failed in a way it did not foresee. The log has the request id and the cause. Try again; report it if it stays.
    INTERNAL = "internal": Internal;
    /// Something this server needs cannot do its work at the moment. Nothing was accepted. Try again after `Retry-After` seconds.
    UNAVAILABLE = "unavailable": Unavailable;
    /// A queue or a budget of this server is full. Nothing was accepted. Try again after `Retry-After` seconds.
    OVERLOADED = "overloaded": Unavailable;
    /// There is nothing here by that name, or it is not yours.
    NOT_FOUND = "not_found": NotFound;
    /// The path exists, but not with this method. The `Allow` header lists the methods that do.
    METHOD_NOT_ALLOWED = "method_not_allowed": MethodNotAllowed;
    /// A value in the path or the query is not what the route takes.
    INVALID_PARAMETER = "invalid_parameter": Invalid;
    /// A cursor is opaque: use one that this list or stream gave out, unchanged.
    INVALID_CURSOR = "invalid_cursor": Invalid;
    /// The body is not what its media type says. The detail names line and column.
    MALFORMED_BODY = "malformed_body": Malformed;
    /// The body is larger than the route takes. The detail names the limit.
    BODY_TOO_LARGE = "body_too_large": TooLarge;
    /// The headers are more, or longer, than the server takes.
    HEADERS_TOO_LARGE = "headers_too_large": HeadersTooLarge;
    /// The route does not take this media type or content encoding. The detail lists what it takes.
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type": UnsupportedMedia;
    /// The request did not arrive in the time the server waits for it.
    REQUEST_TIMEOUT = "request_timeout": Timeout;
}

/// One of several faults of one request, for `errors` in a problem document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// RFC 6901 JSON pointer of the faulty place in the body.
    pub pointer: String,
    pub code: &'static str,
    pub detail: String,
}

pub struct Error(Box<Inner>);

struct Inner {
    code: Code,
    message: Cow<'static, str>,
    faults: Vec<Fault>,
    retry_after_s: Option<u32>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    at: &'static Location<'static>,
}

impl Code {
    #[track_caller]
    pub fn err(self, message: impl Into<Cow<'static, str>>) -> Error {
        Error(Box::new(Inner {
            code: self,
            message: message.into(),
            faults: Vec::new(),
            retry_after_s: None,
            source: None,
            at: Location::caller(),
        }))
    }
}

impl Error {
    pub fn code(&self) -> Code {
        self.0.code
    }

    pub fn kind(&self) -> Kind {
        self.0.code.kind
    }

    /// What the caller may read. Never holds a source's text.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn faults(&self) -> &[Fault] {
        &self.0.faults
    }

    /// Seconds after which the caller may try again.
    pub fn retry_after_s(&self) -> Option<u32> {
        self.0.retry_after_s.or(matches!(self.kind(), Kind::Unavailable | Kind::RateLimited).then_some(1))
    }

    pub fn with_faults(mut self, faults: Vec<Fault>) -> Self {
        self.0.faults = faults;
        self
    }

    pub fn with_retry_after_s(mut self, seconds: u32) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error for another of the callers that shared one failed commit.
    pub fn again(&self) -> Error {
        Error(Box::new(Inner {
            code: self.0.code,
            message: self.0.message.clone(),
            faults: self.0.faults.clone(),
            retry_after_s: self.0.retry_after_s,
            source: None,
            at: self.0.at,
        }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.name, self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} (at {})", self.0.at)?;
        let mut source = self.0.source.as_deref().map(|s| s as &dyn std::error::Error);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

/// Turns a foreign error into ours, and says what we were doing.
pub trait Context<T> {
    #[track_caller]
    fn or_error(self, code: Code, doing: &'static str) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    #[track_caller]
    fn or_error(self, code: Code, doing: &'static str) -> Result<T> {
        match self {
            Ok(value) => Ok(value),
            Err(source) => Err(code.err(doing).with_source(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_reads_never_holds_the_source() {
        let failed: std::result::Result<(), _> = Err(std::io::Error::other("/secret/path"));
        let error = failed.or_error(UNAVAILABLE, "the store did not answer").unwrap_err();
        assert_eq!(error.message(), "the store did not answer");
        assert!(!error.to_string().contains("secret"));
        assert!(format!("{error:?}").contains("/secret/path"), "the log keeps the cause");
        assert_eq!(error.retry_after_s(), Some(1));
    }
}
