//! The layer around every route: request id, trace, limits, CORS, panics, problems, metrics, the log line.

use super::{
    Peer, Problem,
    address::client_address,
    browser::{Page, secure},
    problem_body,
};
use crate::{Kit, access::Asked, gate::Standing, metrics::Route};
use angarium_base::{
    RequestId,
    error::{HEADERS_TOO_LARGE, INTERNAL},
};
use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use std::{net::IpAddr, panic::AssertUnwindSafe, time::Instant};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// A caller's own request id may have so many characters.
const REQUEST_ID_MAX: usize = 128;

/// Wraps the routes: `Router::layer(from_fn_with_state(kit, around))`.
pub async fn around(State(kit): State<Kit>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("(none)", MatchedPath::as_str);
    let inner = kit.clone();
    attend(&kit, route, request, |request| crate::idempotency::once(inner, request, next)).await
}

/// The id of a request: the caller's own, if it sends one that can be written down, or a new one. It is in the
/// answer, in a problem's body and in the log.
#[derive(Clone, Debug)]
pub struct RequestName(pub String);

impl RequestName {
    fn of(kit: &Kit, headers: &HeaderMap) -> RequestName {
        let own = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
        let own = own.filter(|id| {
            (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
        RequestName(own.map_or_else(|| RequestId::new(kit.clock.now()).to_string(), str::to_owned))
    }
}

/// Has `answer` answer a request, with all that surrounds it. `route` is the route's pattern.
pub async fn attend<F: Future<Output = Response>>(
    kit: &Kit,
    route: &str,
    mut request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    let started = Instant::now();
    let name = RequestName::of(kit, request.headers());
    let trace = trace_of(request.headers());
    let method = request.method().clone();
    // Only browsers name an origin; the headers that answer them are looked up for nobody else.
    let page = request.headers().contains_key(header::ORIGIN);
    let page = page.then(|| (request.uri().path().to_owned(), request.headers().clone()));
    let standing = kit.gate.is_on().then(Standing::default);
    request.extensions_mut().insert(name.clone());
    if let Some(standing) = &standing {
        request.extensions_mut().insert(standing.clone());
    }
    let in_flight = InFlight::enter(kit);
    let answered = AssertUnwindSafe(let_in(kit, request, answer)).catch_unwind().await;
    let mut response = answered
        .unwrap_or_else(|_| Problem::from(INTERNAL.err("the server failed on this request")).into_response());
    drop(in_flight);
    finish(&mut response, &name);
    let status = response.status();
    secure(status, response.headers_mut());
    if let Some(standing) = standing {
        standing.write(response.headers_mut());
    }
    if let Some((path, headers)) = page
        && let Some(page) = Page::of(kit, &path, status, &headers)
    {
        match Page::is_preflight(&method, &headers) {
            true => page.write_preflight(response.headers_mut()),
            false => page.write(response.headers_mut()),
        }
    }
    if let Some(trace) = &trace {
        response.headers_mut().insert(TRACEPARENT, trace.clone());
    }
    let elapsed = started.elapsed();
    kit.metrics.request_seconds.observe(elapsed.as_secs_f64());
    let label =
        Route { method: method_label(&method).to_owned(), route: route.to_owned(), status: status.as_u16() };
    kit.metrics.requests.get_or_create(&label).inc();
    let trace = trace.as_ref().and_then(|trace| trace.to_str().ok()).unwrap_or_default();
    tracing::debug!(id = %name.0, %method, route, status = label.status, us = elapsed.as_micros() as u64, trace, "answered");
    response
}

/// Checks what does not need a route, then has the route answer.
async fn let_in<F: Future<Output = Response>>(
    kit: &Kit,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    let most = kit.limits.headers;
    if request.headers().len() > most {
        return Problem::from(HEADERS_TOO_LARGE.err(format!("a request may have {most} headers")))
            .into_response();
    }
    if kit.gate.is_on()
        && !is_operators(&request)
        && let Some(address) = client_of(kit, &request)
        && let Err(refused) = kit.gate.enter_from(Asked::from(&request), address).await
    {
        return Problem::from(refused).into_response();
    }
    let is_question = *request.method() == Method::OPTIONS;
    let response = answer(request).await;
    if is_question { options(response) } else { response }
}

/// In the extensions of requests to a listener that is the operator's: no address is limited there.
#[derive(Clone, Copy, Debug)]
pub struct Inside;

/// Whether a probe or the operator asks. Who is told 429 takes a healthy process for a sick one.
fn is_operators(request: &Request) -> bool {
    request.extensions().get::<Inside>().is_some()
        || matches!(request.uri().path(), "/health/live" | "/health/ready" | "/healthcheck")
}

fn client_of(kit: &Kit, request: &Request) -> Option<IpAddr> {
    client(kit, request.extensions(), request.headers())
}

/// The address of who asks, behind trusted proxies.
pub fn client_of_parts(kit: &Kit, parts: &Parts) -> Option<IpAddr> {
    client(kit, &parts.extensions, &parts.headers)
}

fn client(kit: &Kit, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
    let Peer(peer) = extensions.get::<Peer>()?;
    Some(client_address(peer.ip(), headers, &kit.trusted_proxies))
}

/// What a path can do: the router that knows the path and not the method names the methods that there are, further out.
fn options(response: Response) -> Response {
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => StatusCode::NO_CONTENT.into_response(),
        _ => response,
    }
}

/// The caller's trace, if it is one (<https://www.w3.org/TR/trace-context/#traceparent-header>).
fn trace_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(&TRACEPARENT)?;
    let parts: Vec<&str> = value.to_str().ok()?.split('-').collect();
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let [version, trace, parent, flags] = parts[..] else { return None };
    let is_trace = is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && [trace, parent].iter().all(|id| id.bytes().any(|b| b != b'0'));
    is_trace.then(|| value.clone())
}

/// A method as a label: those that nobody has heard of share one.
fn method_label(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::HEAD
        | Method::OPTIONS => method.as_str(),
        _ => "other",
    }
}

/// Counts a request for as long as it is being answered, also when its client goes away.
struct InFlight<'a>(&'a Kit);

impl<'a> InFlight<'a> {
    fn enter(kit: &'a Kit) -> InFlight<'a> {
        kit.metrics.requests_in_flight.inc();
        InFlight(kit)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.metrics.requests_in_flight.dec();
    }
}

/// Writes a problem's body, logs it when it is ours, and names the request.
fn finish(response: &mut Response, name: &RequestName) {
    if let Some(Problem(error)) = response.extensions_mut().remove::<Problem>() {
        if error.kind().ours() {
            tracing::error!(id = %name.0, ?error, "a request failed");
        } else {
            // Its message may quote what the caller sent, which is no business of the log.
            tracing::debug!(id = %name.0, code = error.code().name, "a request was refused");
        }
        // A pixel's problem is told by its status alone: its body is the image.
        if !response.headers().contains_key(header::CONTENT_TYPE) {
            *response.body_mut() = Body::from(problem_body(&error, Some(name)));
            response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM_JSON);
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&name.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}
