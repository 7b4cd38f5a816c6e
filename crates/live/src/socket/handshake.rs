//! How an HTTP request becomes a WebSocket (RFC 6455 §4.2).

use super::Socket;
use angarium_base::{Result, error::UNSUPPORTED_MEDIA_TYPE};
use axum::{body::Body, extract::Request, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use sha1::{Digest, Sha1};

/// What every server answers a key with (§1.3).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What is agreed on with a client.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The first that the client offers and that is among them is chosen.
    pub subprotocols: &'static [&'static str],
    /// Bytes of a message that the client may say.
    pub most_bytes: usize,
    /// Whether it may say bytes that are no text.
    pub takes_binary: bool,
}

/// The answer to a request for a WebSocket, the subprotocol that was chosen, and the socket, which is there once the
/// answer has been sent.
///
/// # Errors
/// `unsupported_media_type` for a request that asks for none, or for one that is not made so.
pub fn upgrade(
    request: &mut Request,
    terms: Terms,
) -> Result<(Response, Option<&'static str>, impl Future<Output = Option<Socket>> + Send + use<>)> {
    let headers = request.headers();
    if *request.method() != Method::GET || !names(headers, header::UPGRADE, "websocket") {
        return Err(UNSUPPORTED_MEDIA_TYPE.err("this is a WebSocket; ask for it with `Upgrade: websocket`"));
    }
    if !names(headers, header::CONNECTION, "upgrade") {
        return Err(UNSUPPORTED_MEDIA_TYPE.err("a WebSocket is asked for with `Connection: Upgrade` too"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(UNSUPPORTED_MEDIA_TYPE.err("only version 13 of WebSocket is spoken here"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key));
    let accept = accept_of(
        key.ok_or_else(|| UNSUPPORTED_MEDIA_TYPE.err("`Sec-WebSocket-Key` is 16 bytes in base64"))?,
    );
    let agreed = items(headers, header::SEC_WEBSOCKET_PROTOCOL)
        .find_map(|offered| terms.subprotocols.iter().find(|name| **name == offered))
        .copied();
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let on_upgrade =
        on_upgrade.ok_or_else(|| UNSUPPORTED_MEDIA_TYPE.err("a WebSocket is asked for over HTTP/1.1"))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(name) = agreed {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    // Who goes away before the answer has no socket.
    let socket = async move { on_upgrade.await.ok().map(|upgraded| Socket::new(upgraded, terms)) };
    Ok((response, agreed, socket))
}

/// What a header lists.
fn items(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Whether a header lists `wanted`, whatever its case.
fn names(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(wanted))
}

fn is_key(key: &HeaderValue) -> bool {
    STANDARD.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16)
}

fn accept_of(key: &HeaderValue) -> HeaderValue {
    let digest = Sha1::new().chain_update(key.as_bytes()).chain_update(MAGIC).finalize();
    // Base64 is a header's value.
    HeaderValue::from_str(&STANDARD.encode(digest)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_the_rfc_shows_it() {
        let accept = accept_of(&HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_list_of_a_header_is_looked_through() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        assert!(names(&headers, header::CONNECTION, "upgrade"));
        assert!(!names(&headers, header::CONNECTION, "up"));
        assert!(!names(&headers, header::UPGRADE, "websocket"));
    }
}
