//! PostHog's events: `/batch`, `/e` and `/capture`. What an event becomes is in [`crate::wires::posthog`].
//!
//! The answers are those that PostHog's libraries expect: they take 200 as success, send again on 408, 429 and 5xx, and
//! drop the whole batch on any other status. So 200 as soon as one event was kept; `rejected` names the others.
//! Limits are the server's own, since these libraries make batches of up to 5 MB.

use super::{
    SendEvents,
    calls::{Arrival, Calls},
    intake::reading,
    speaker::Presented,
};
use crate::{Tracker, rules::MALFORMED_JSON, wires::posthog};
use angarium_base::Result;
use angarium_kit::{
    Kit,
    access::ByKey,
    http::{Answer, Held, Peer, read_body},
};
use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use std::sync::Arc;

const NO_KEY: &str = "this needs a write key: send it as `api_key` in the body";
/// How gzip data begins (RFC 1952, 2.3.1), and neither JSON nor a form does.
const GZIP: [u8; 2] = [0x1f, 0x8b];

pub async fn track_posthog_events(
    _: ByKey<SendEvents>,
    State(kit): State<Kit>,
    Extension(tracker): Extension<Arc<Tracker>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Answer<Response> {
    if request.method() == Method::HEAD {
        // Asking what a GET would answer tracks nothing.
        return Ok(StatusCode::OK.into_response());
    }
    let (parts, body) = request.into_parts();
    let arrival = Arrival { kit: &kit, tracker: &tracker, parts: &parts, peer: peer.ip() };
    let mut presented = Presented::in_headers(&parts.headers)?;
    let query = parts.uri.query().unwrap_or("");
    let in_query = posthog::read_query(query)?;
    for key in in_query.keys {
        presented.add("the query", Some(key))?;
    }
    let known = presented.known(&kit, &parts).await?;
    let held;
    let sent = if parts.method == Method::GET {
        query
    } else {
        held = inflated(&kit, &parts, body).await?;
        std::str::from_utf8(&held.bytes).map_err(|_| MALFORMED_JSON.err("the body is not UTF-8"))?
    };
    let document = reading(sent.len(), || posthog::document(sent))?;
    for key in document.keys {
        presented.add("the form", Some(key))?;
    }
    let body = reading(sent.len(), || posthog::read_body(&document.text))?;
    for (place, key) in &body.keys {
        presented.add(place, Some(key.clone().into_owned()))?;
    }
    let speaker = presented.speaker(&kit, &parts, known, NO_KEY).await?;
    let calls = Calls {
        reader: posthog::reader(body.events),
        bytes: body.events.len(),
        sent_at: body.sent_at.or(in_query.sent_at),
        key: presented.key(),
        most_bytes: kit.limits.event_bytes,
    };
    let taken = arrival.take(&speaker, calls, posthog::read_event).await?;
    Ok(taken.answer("\"status\":1,", &parts))
}

/// The body, inflated also where no header says that it is packed: a header of their own costs browsers a request
/// more, so their libraries say it in the query (`compression=gzip-js`) or not at all. The bytes themselves say it best.
async fn inflated(kit: &Kit, parts: &Parts, body: Body) -> Result<Held> {
    let held = read_body(body, &parts.headers, &kit.limits, &kit.budget).await?;
    if !held.bytes.starts_with(&GZIP) {
        return Ok(held);
    }
    let gzip = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
    let headers = HeaderMap::from_iter(gzip);
    read_body(Body::from(held.bytes.clone()), &headers, &kit.limits, &kit.budget).await
}
