//! What a client is told when something is refused, and when its connection ends: numbers that every client library
//! of Centrifugo knows and acts upon (<https://centrifugal.dev/docs/server/codes>).

use angarium_base::{
    Error,
    error::{INVALID_PARAMETER, NOT_FOUND},
};
use angarium_identity::INVALID_TOKEN;
use angarium_kit::access::{FORBIDDEN, UNAUTHENTICATED};

use crate::{INVALID_LIVE_TOKEN, LIVE_TOKEN_EXPIRED};
use std::borrow::Cow;

/// A command that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: u32,
    pub message: Cow<'static, str>,
    /// Whether the client is to try again by itself.
    pub temporary: bool,
}

const fn fault(code: u32, message: &'static str) -> Fault {
    Fault { code, message: Cow::Borrowed(message), temporary: false }
}

const fn for_a_while(code: u32, message: &'static str) -> Fault {
    Fault { code, message: Cow::Borrowed(message), temporary: true }
}

pub const INTERNAL: Fault = for_a_while(100, "internal server error");
pub const UNKNOWN_CHANNEL: Fault = fault(102, "unknown channel");
pub const PERMISSION_DENIED: Fault = fault(103, "permission denied");
pub const METHOD_NOT_FOUND: Fault = fault(104, "method not found");
pub const ALREADY_SUBSCRIBED: Fault = fault(105, "already subscribed");
pub const LIMIT_EXCEEDED: Fault = fault(106, "limit exceeded");
pub const BAD_REQUEST_FAULT: Fault = fault(107, "bad request");
pub const NOT_AVAILABLE: Fault = fault(108, "not available");
pub const TOKEN_EXPIRED: Fault = fault(109, "token expired");
pub const TOO_MANY_REQUESTS: Fault = for_a_while(111, "too many requests");
pub const UNRECOVERABLE: Fault = fault(112, "unrecoverable position");

impl Fault {
    /// The same with what the caller can do about it.
    pub fn saying(self, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault { message: message.into(), ..self }
    }
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Fault {
        let name = error.code().name;
        let is = |code: angarium_base::Code| code.name == name;
        if is(NOT_FOUND) || is(INVALID_PARAMETER) {
            return UNKNOWN_CHANNEL;
        }
        if is(FORBIDDEN) || is(INVALID_LIVE_TOKEN) {
            return PERMISSION_DENIED;
        }
        if is(LIVE_TOKEN_EXPIRED) {
            return TOKEN_EXPIRED;
        }
        // A rate limit, no place, no room: it says when to come again.
        if error.retry_after_s().is_some() {
            return TOO_MANY_REQUESTS;
        }
        if error.kind().ours() {
            tracing::warn!(?error, "a command of a live connection could not be done");
        }
        INTERNAL
    }
}

/// Why a connection is closed. Clients connect again after 3000 to 3499, and not after 3500 to 3999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect {
    pub code: u16,
    pub reason: &'static str,
}

const fn disconnect(code: u16, reason: &'static str) -> Disconnect {
    Disconnect { code, reason }
}

pub const SHUTDOWN: Disconnect = disconnect(3001, "shutdown");
pub const SERVER_ERROR: Disconnect = disconnect(3004, "internal server error");
pub const EXPIRED: Disconnect = disconnect(3005, "connection expired");
/// It was further behind than a reader may be; it recovers from the stream when it is back.
pub const SLOW: Disconnect = disconnect(3008, "slow");
/// What it was to be sent next is gone.
pub const INSUFFICIENT_STATE: Disconnect = disconnect(3010, "insufficient state");
pub const NO_PONG: Disconnect = disconnect(3012, "no pong");
pub const INVALID_TOKEN_END: Disconnect = disconnect(3500, "invalid token");
pub const BAD_REQUEST: Disconnect = disconnect(3501, "bad request");
/// It connected, and did not say who it is.
pub const STALE: Disconnect = disconnect(3502, "stale");

/// The server has taken a subscription away; the client does not ask for it again by itself.
pub const UNSUBSCRIBED: (u32, &str) = (2000, "server unsubscribe");

/// What becomes of a connection whose token was refused.
pub enum Refusal {
    Fault(Fault),
    Disconnect(Disconnect),
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Refusal {
        let refused = [UNAUTHENTICATED, INVALID_TOKEN, INVALID_LIVE_TOKEN, FORBIDDEN, NOT_FOUND];
        if refused.iter().any(|code| code.name == error.code().name) {
            return Refusal::Disconnect(INVALID_TOKEN_END);
        }
        Refusal::Fault(Fault::from(error))
    }
}
