//! Segment's calls: `POST /v1/{track,identify,page,screen,group,alias,batch,import}`, its libraries' abbreviations of
//! them, the beacon and the pixel. What a call becomes is in [`crate::wires::segment`].
//!
//! The answers are those that Segment's libraries expect: they take any 2xx as success, send again on 429 and 5xx,
//! and drop the whole batch on any other status. So 200 as soon as one call was kept; `rejected` names the others.

use super::{
    SendEvents,
    calls::{Arrival, Calls, Taken},
    image::{count_refused, image},
    intake::reading,
    speaker::{Presented, Speaker},
};
use crate::{
    Tracker, query,
    rules::{INVALID_QUERY, MALFORMED_JSON},
    wires::{
        NOTHING_KEPT,
        segment::{self, BODY_BYTES, Body, CALL_BYTES, Takes},
    },
};
use angarium_base::{Result, error::NOT_FOUND};
use angarium_kit::{
    Kit,
    access::ByKey,
    http::{Answer, Limits, Peer, read_body},
};
use axum::{
    Extension,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode};
use std::{borrow::Cow, sync::Arc};

const NO_KEY: &str =
    "this needs a write key: send `Authorization: Basic <write key>:`, or `writeKey` in the body";
const NO_KEY_IN_PIXEL: &str = "this needs a write key: add ?writeKey=…";

pub async fn track_segment_calls(
    _: ByKey<SendEvents>,
    State(kit): State<Kit>,
    Extension(tracker): Extension<Arc<Tracker>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let arrival = Arrival { kit: &kit, tracker: &tracker, parts: &parts, peer: peer.ip() };
    let takes = takes(parts.uri.path())?;
    let mut presented = Presented::in_headers(&parts.headers)?;
    // A beacon has no headers of its own. Everybody else has, and a URL is no place for a key.
    if parts.uri.path().starts_with("/beacon/") {
        let pairs = pairs(&parts.uri)?;
        let key = pairs.into_iter().find(|(name, _)| name == "writeKey").map(|(_, key)| key.into_owned());
        presented.add("`writeKey` in the query", key)?;
    }
    let known = presented.known(&kit, &parts).await?;
    let limits = Limits { body_bytes: BODY_BYTES.min(kit.limits.body_bytes), ..kit.limits.clone() };
    let held = read_body(body, &parts.headers, &limits, &kit.budget).await?;
    let text = std::str::from_utf8(&held.bytes).map_err(|_| MALFORMED_JSON.err("the body is not UTF-8"))?;
    let body = reading(text.len(), || segment::read_body(text, takes))?;
    presented.add("`writeKey` in the body", body.write_key.as_deref().map(str::to_owned))?;
    let speaker = presented.speaker(&kit, &parts, known, NO_KEY).await?;
    let taken = take(&arrival, takes, &body, &speaker, presented.key()).await?;
    Ok(taken.answer("\"success\":true,", &parts))
}

async fn take(
    arrival: &Arrival<'_>,
    takes: Takes,
    body: &Body<'_>,
    speaker: &Speaker,
    key: &str,
) -> Result<Taken> {
    let calls = Calls {
        reader: segment::reader(body.calls),
        bytes: body.calls.len(),
        sent_at: body.sent_at,
        key,
        most_bytes: CALL_BYTES,
    };
    arrival
        .take(speaker, calls, |reader, sender, params| segment::read_call(reader, takes, sender, params))
        .await
}

/// What is asked for, by the last segment of the path.
fn takes(path: &str) -> Result<Takes> {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    Takes::named(name).ok_or_else(|| NOT_FOUND.err("there is no such call"))
}

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

fn pairs(uri: &http::Uri) -> Result<Pairs<'_>> {
    query::pairs(uri.query().unwrap_or("")).map_err(|e| INVALID_QUERY.err(e.message().to_owned()))
}

pub async fn track_segment_pixel(
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
    let (parts, _) = request.into_parts();
    let arrival = Arrival { kit: &kit, tracker: &tracker, parts: &parts, peer: peer.ip() };
    let tracked = take_pixel(&arrival).await;
    match &tracked {
        // Whose faults were counted when the call was read.
        Err(error) if error.code().name == NOTHING_KEPT.name => {}
        Err(error) => count_refused(&kit, error),
        Ok(()) => {}
    }
    Ok(image(&kit, tracked))
}

async fn take_pixel(arrival: &Arrival<'_>) -> Result<()> {
    let takes = takes(arrival.parts.uri.path())?;
    let mut presented = Presented::in_headers(&arrival.parts.headers)?;
    let (key, call) = segment::call_in_query(arrival.parts.uri.query().unwrap_or(""))?;
    presented.add("`writeKey` in the query", key)?;
    let speaker = presented.speaker(arrival.kit, arrival.parts, None, NO_KEY_IN_PIXEL).await?;
    let body = Body { write_key: None, sent_at: None, calls: &call };
    take(arrival, takes, &body, &speaker, presented.key()).await?.some()
}
