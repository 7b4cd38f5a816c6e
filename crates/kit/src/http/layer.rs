//! The layer around every route: request id, header limit, panics, problems, metrics, the log line.

use super::{Problem, problem_body};
use crate::{Kit, metrics::Route};
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
use http::{HeaderValue, header};
use std::{panic::AssertUnwindSafe, time::Instant};

const REQUEST_ID: &str = "x-request-id";
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Wraps the routes: `Router::layer(from_fn_with_state(kit, around))`.
pub async fn around(State(kit): State<Kit>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("(none)", MatchedPath::as_str);
    attend(&kit, route, request, |request| next.run(request)).await
}

/// Has `answer` answer a request, with all that surrounds it. `route` is the route's pattern.
pub async fn attend<F: Future<Output = Response>>(
    kit: &Kit,
    route: &str,
    mut request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    let started = Instant::now();
    let id = RequestId::new(kit.clock.now());
    // A caller's own id is echoed; ours is the one in the log and in problems.
    let echoed = request.headers().get(REQUEST_ID).filter(|value| value.len() <= 128).cloned();
    let method = request.method().clone();
    request.extensions_mut().insert(id.clone());
    let in_flight = InFlight::enter(kit);
    let too_many = request.headers().len() > kit.limits.headers;
    let mut response = if too_many {
        let most = kit.limits.headers;
        Problem::from(HEADERS_TOO_LARGE.err(format!("a request may have {most} headers"))).into_response()
    } else {
        match AssertUnwindSafe(answer(request)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => Problem::from(INTERNAL.err("the server failed on this request")).into_response(),
        }
    };
    drop(in_flight);
    finish(&mut response, &id, echoed);
    let elapsed = started.elapsed();
    kit.metrics.request_seconds.observe(elapsed.as_secs_f64());
    let label = Route {
        method: method.as_str().to_owned(),
        route: route.to_owned(),
        status: response.status().as_u16(),
    };
    kit.metrics.requests.get_or_create(&label).inc();
    tracing::debug!(%id, %method, route, status = label.status, us = elapsed.as_micros() as u64, "answered");
    response
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
fn finish(response: &mut Response, id: &RequestId, echoed: Option<HeaderValue>) {
    if let Some(Problem(error)) = response.extensions_mut().remove::<Problem>() {
        if error.kind().ours() {
            tracing::error!(%id, ?error, "a request failed");
        } else {
            // Its message may quote what the caller sent, which is no business of the log.
            tracing::debug!(%id, code = error.code().name, "a request was refused");
        }
        // A pixel's problem is told by its status alone: its body is the image.
        if !response.headers().contains_key(header::CONTENT_TYPE) {
            *response.body_mut() = Body::from(problem_body(&error, Some(id)));
            response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM_JSON);
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
    }
    let named = echoed.or_else(|| HeaderValue::from_str(id.as_str()).ok());
    if let Some(value) = named {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}
