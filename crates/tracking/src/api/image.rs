//! The image that a page loads to track: it comes also when the call is refused, for a page must not show a broken
//! one. The status still tells what happened, and refusals are counted.

use angarium_base::{Error, Result};
use angarium_kit::{Kit, http::Problem, metrics::Reason};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

/// A transparent GIF of one pixel, 43 bytes.
pub const PIXEL: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x21\xf9\x04\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

const GIF: HeaderValue = HeaderValue::from_static("image/gif");

/// The image, whatever became of the call.
pub fn image(kit: &Kit, tracked: Result<()>) -> Response {
    let Err(error) = tracked else { return pixel(StatusCode::OK) };
    kit.metrics.pixel_refused.inc();
    let problem = Problem::from(error);
    let mut refusal = problem.clone().into_response();
    let mut response = pixel(refusal.status());
    response.headers_mut().extend(refusal.headers_mut().drain().filter_map(|(k, v)| Some((k?, v))));
    response.headers_mut().insert(header::CONTENT_TYPE, GIF);
    response.extensions_mut().insert(problem);
    response
}

/// Counts a tracking call that is refused.
pub fn count_refused(kit: &Kit, error: &Error) {
    kit.metrics.events_rejected.get_or_create(&Reason { reason: error.code().name.into() }).inc();
}

fn pixel(status: StatusCode) -> Response {
    let headers =
        [(header::CONTENT_TYPE, GIF), (header::CACHE_CONTROL, HeaderValue::from_static("no-store, private"))];
    (status, headers, &PIXEL[..]).into_response()
}
