//! `GET|POST /t/{type}?any=params`: the tracking call of the compatibility surface.
//!
//! An image's request gets an image, also when the call is refused.

use super::{
    SendEvents, events_of,
    image::{count_refused, image},
    intake::append,
};
use crate::{
    Tracker, query,
    record::{Origin, Recorder},
    rules::{self, EVENT_TOO_LARGE, INVALID_QUERY, INVALID_TYPE, Incoming},
};
use angarium_base::{
    Result,
    error::{NOT_FOUND, UNSUPPORTED_MEDIA_TYPE},
};
use angarium_kit::{
    Kit,
    access::{Allowed, ByKey, Credential, UNAUTHENTICATED, presented},
    http::{Answer, Content, Peer, read_body},
};
use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use std::{borrow::Cow, sync::Arc};

pub async fn track_by_query(
    _: ByKey<SendEvents>,
    State(kit): State<Kit>,
    Extension(tracker): Extension<Arc<Tracker>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Answer<Response> {
    if request.method() == Method::HEAD {
        // Asking what a GET would answer tracks nothing.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let wants_image = request.method() != Method::POST && wants_image(request.headers());
    let tracked = track(&kit, &tracker, peer.ip(), request).await;
    if let Err(error) = &tracked {
        count_refused(&kit, error);
    }
    match tracked {
        tracked if wants_image => Ok(image(&kit, tracked)),
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) => Err(error.into()),
    }
}

/// A browser that loads an image asks for images; one that navigates asks for text/html first.
fn wants_image(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accept.contains("image/") && !accept.contains("text/html")
}

async fn track(kit: &Kit, tracker: &Tracker, peer: std::net::IpAddr, request: Request) -> Result<()> {
    let (parts, body) = request.into_parts();
    let event_type = event_type(parts.uri.path())?;
    let (in_query, query) = without_write_key(parts.uri.query().unwrap_or(""));
    let in_query = in_query.map(|key| Credential::read(&key)).transpose()?;
    let key = presented(&parts.headers, true)?.or(in_query);
    // Checked before a body is read; but a form may be what brings the key.
    let known = match &key {
        Some(key) => Some(Allowed::for_own_app(kit, &parts, key).await?),
        None => None,
    };
    let (in_form, sent) = with_form(kit, query, &parts, body).await?;
    let allowed = match known {
        Some(allowed) => allowed,
        None => caller(kit, &parts, in_form.as_deref()).await?,
    };
    let no_geoip = check_parameters(kit, &sent)?;
    let (mut params, mut clean) = (String::with_capacity(sent.len() + 64), String::with_capacity(sent.len()));
    query::to_json_into(&mut params, &sent)?;
    query::clean_into(&mut clean, &sent);
    let event = Incoming { event_type, params: Some(&params), no_geoip, ..Incoming::default() };
    let stream = events_of(&kit.journal, allowed.app_id()).await?;
    let truncate = allowed.app.truncate_addresses;
    let origin = Origin::new(tracker, &parts, peer, truncate, kit.clock.now());
    let mut recorder = Recorder::new(tracker, &kit.journal, &stream, origin, 512 + sent.len() * 2);
    recorder.add(&event, Some(&clean));
    append(kit, &stream, recorder.batch).await?;
    Ok(())
}

/// Checks a query string; returns whether it asks for no place to be looked up.
fn check_parameters(kit: &Kit, sent: &str) -> Result<bool> {
    let (most_bytes, most) = (kit.limits.event_bytes, rules::JSON_LIMITS.members);
    if sent.len() > most_bytes {
        let detail = format!("the parameters may have {most_bytes} bytes; these have {}", sent.len());
        return Err(EVENT_TOO_LARGE.err(detail));
    }
    let pairs = query::pairs(sent).map_err(|e| INVALID_QUERY.err(e.message().to_owned()))?;
    if pairs.len() > most {
        return Err(INVALID_QUERY.err(format!("a tracking call may have {most} parameters")));
    }
    if let Some((name, _)) = pairs.iter().find(|(name, value)| name.contains('\0') || value.contains('\0')) {
        let name = name.replace('\0', "%00");
        let detail = format!("the parameter `{name:.64}` has a NUL character, which cannot be stored");
        return Err(INVALID_QUERY.err(detail));
    }
    Ok(pairs.iter().any(|(k, v)| k == "$geoip_disable" && (v == "true" || v == "1")))
}

/// The type: what follows `/t/`, percent-decoded.
fn event_type(path: &str) -> Result<Cow<'static, str>> {
    let segment = path.strip_prefix("/t/").unwrap_or("");
    if segment.is_empty() {
        return Err(NOT_FOUND.err("a tracking call names a type: /t/{type}"));
    }
    if segment.contains('/') {
        return Err(INVALID_TYPE.err("a type is one path segment; write a slash in it as %2F"));
    }
    let bad = |detail: String| INVALID_TYPE.err(detail);
    let decoded =
        percent_decode(segment).ok_or_else(|| bad("the type is not percent-encoded UTF-8".into()))?;
    rules::check_type(&decoded).map_err(bad)?;
    Ok(decoded.into())
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || (bytes.next()? as char).to_digit(16);
        out.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(out).ok()
}

/// Who calls without a key in header or query: a key in a form, or nobody, where config lets nobody in.
async fn caller(kit: &Kit, parts: &Parts, in_form: Option<&str>) -> Result<Allowed<SendEvents>> {
    match in_form {
        Some(key) => Allowed::for_own_app(kit, parts, &Credential::read(key)?).await,
        None if kit.anonymous.t => Allowed::anonymous(kit, parts).await,
        None => Err(UNAUTHENTICATED
            .err("anonymous tracking calls are not taken here: add ?write_key=…, or set `anonymous = [\"t\"]` in the server's config")),
    }
}

/// Ours, and how Segment's libraries spell it: a key is never kept as a parameter.
const KEY_NAMES: [&str; 2] = ["write_key=", "writeKey="];

/// The query without `write_key`, which is nobody's parameter, and the key.
fn without_write_key(raw: &str) -> (Option<String>, Cow<'_, str>) {
    if !KEY_NAMES.iter().any(|name| raw.contains(name)) {
        return (None, Cow::Borrowed(raw));
    }
    let (mut key, mut rest) = (None, Vec::new());
    for pair in raw.split('&') {
        match KEY_NAMES.iter().find_map(|name| pair.strip_prefix(name)) {
            Some(value) => key = Some(percent_decode(value).unwrap_or_default()),
            None => rest.push(pair),
        }
    }
    (key, Cow::Owned(rest.join("&")))
}

/// A form in a `POST` body counts as more of the query; the write key in it is taken out as well.
async fn with_form<'a>(
    kit: &Kit,
    query: Cow<'a, str>,
    parts: &Parts,
    body: Body,
) -> Result<(Option<String>, Cow<'a, str>)> {
    if parts.method != Method::POST {
        return Ok((None, query));
    }
    let held = read_body(body, &parts.headers, &kit.limits, &kit.budget).await?;
    if held.bytes.is_empty() {
        return Ok((None, query));
    }
    if Content::of(&parts.headers) != Content::Form {
        return Err(UNSUPPORTED_MEDIA_TYPE
            .err("a tracking call takes its parameters from the query or from a form body; JSON goes to /v1/apps/{app}/events"));
    }
    let form = std::str::from_utf8(&held.bytes).map_err(|_| INVALID_QUERY.err("the form is not UTF-8"))?;
    let (key, form) = without_write_key(form);
    let between = if query.is_empty() || form.is_empty() { "" } else { "&" };
    Ok((key, Cow::Owned(format!("{query}{between}{form}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_one_decoded_segment() {
        assert_eq!(event_type("/t/a").unwrap(), "a");
        assert_eq!(event_type("/t/caf%C3%A9").unwrap(), "café");
        for path in ["/t/a/b", "/t/%00", "/t/%ff", "/t/a%20b", "/t/%zz"] {
            assert_eq!(event_type(path).unwrap_err().code().name, "invalid_type", "{path}");
        }
        assert_eq!(event_type("/t/").unwrap_err().code().name, "not_found");
    }

    #[test]
    fn the_write_key_is_not_a_parameter() {
        for name in ["write_key", "writeKey"] {
            let query = format!("a=1&{name}=ang_wk_x&my_{name}=y&b=2");
            let (key, rest) = without_write_key(&query);
            assert_eq!((key.as_deref(), &*rest), (Some("ang_wk_x"), &*format!("a=1&my_{name}=y&b=2")));
        }
    }
}
