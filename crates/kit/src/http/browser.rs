//! What browsers ask for: which pages may call (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>), and
//! headers that keep answers from being taken for something else.

use crate::Kit;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS");
/// What our own clients send, and the SDKs that speak one of our wires. `*` would leave out `Authorization`.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Content-Encoding, Idempotency-Key, Last-Event-ID, X-Request-Id, X-Retry-Count, traceparent",
);
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Location, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, Idempotency-Key, Idempotency-Replay",
);
/// Browsers ask again after so many seconds: a change of the app's origins takes as long.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("600");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
/// For everything that is not a page: it loads nothing and is framed by nobody.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// The page that asks, if a browser says one.
pub struct Page<'a> {
    origin: &'a str,
    is_taken: bool,
}

impl<'a> Page<'a> {
    /// Whether the page that sends this request may read the answer: as the app of the path says, or, where the path
    /// names none, any app. Whoever is told nothing of an app (401, 404) is not told either whose pages may call it.
    pub fn of(kit: &Kit, path: &str, status: StatusCode, headers: &'a HeaderMap) -> Option<Page<'a>> {
        let origin = headers.get(header::ORIGIN)?.to_str().ok()?;
        let is_told = ![StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND].contains(&status);
        let is_taken = match is_told && path.starts_with("/v1/apps/") {
            true => kit.directory.app_of_path(path).is_some_and(|app| app.takes_origin(origin)),
            false => kit.directory.is_known_origin(origin),
        };
        Some(Page { origin, is_taken })
    }

    /// Whether this is the question whether a request may be sent.
    pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Lets the page read the answer, if it may. Keys and tokens come in a header, never in cookies, so no
    /// credentials of the browser's own are let in.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if !self.is_taken {
            return;
        }
        if let Ok(origin) = HeaderValue::from_str(self.origin) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
    }

    /// What a preflight is told beyond that.
    pub fn write_preflight(&self, headers: &mut HeaderMap) {
        self.write(headers);
        if self.is_taken {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
        }
    }
}

/// Puts the headers of every answer where the handler has not put its own.
pub fn secure(status: StatusCode, headers: &mut HeaderMap) {
    let own: [(HeaderName, HeaderValue); 4] = [
        (header::X_CONTENT_TYPE_OPTIONS, NOSNIFF),
        (header::REFERRER_POLICY, NO_REFERRER),
        (header::CONTENT_SECURITY_POLICY, NOTHING),
        (header::CACHE_CONTROL, NO_STORE),
    ];
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    for (name, value) in own {
        headers.entry(name).or_insert(value);
    }
}
