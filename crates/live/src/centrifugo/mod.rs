//! `GET /connection/websocket`: the live feed for the client libraries of Centrifugo, unmodified.
//!
//! | Theirs | Ours |
//! |---|---|
//! | channel | a stream of an app: `events`, or `app:events` for who has roles in several |
//! | offset | that of the record, and one: 0 says that there was none yet |
//! | epoch | the stream's, which changes when it begins anew or its store was restored |
//! | recovery | out of the stream, as far back as retention reaches |
//! | a slow client | is cut off with 3008; it comes back and recovers |
//!
//! | File | Idea |
//! |---|---|
//! | `session` | a connection's loop |
//! | `commands` | what each command does |
//! | `speaker` | who speaks, and which stream a channel of theirs is |
//! | `position` | what was missed, and history |
//! | `follower` | a cursor into a stream |
//! | `wire`, `json`, `protobuf` | what is said, and how it is written |
//! | `codes` | the numbers of errors and of ends |
//! | `socket` | what a session says and hears, as frames |

mod codes;
mod commands;
mod follower;
mod json;
mod position;
mod protobuf;
mod session;
mod socket;
mod speaker;
mod wire;

use crate::{
    Live,
    socket::{Terms, upgrade},
};
use angarium_base::error::UNSUPPORTED_MEDIA_TYPE;
use angarium_kit::{
    Kit,
    access::Public,
    http::{Answer, Doc, Routes},
};
use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, header};
use session::Session;
use socket::Socket;
use std::sync::Arc;
use wire::Encoding;

/// A frame of a client's: some commands, of which a token is the longest part.
const MAX_SAID_BYTES: usize = 64 << 10;
/// What clients that speak Protobuf ask for.
const PROTOBUF: &str = "centrifuge-protobuf";
const JSON: &str = "centrifuge-json";

pub fn routes() -> Routes {
    Routes::new().get(
        "/connection/websocket",
        connect_centrifugo,
        Doc::new(
            "live",
            "connect_centrifugo",
            "Follow the live feed with a client of Centrifugo",
            "Centrifugo's client protocol (version 2, JSON; Protobuf for who asks for it by the subprotocol \
             `centrifuge-protobuf`). Who connects says so in the first command, with a key, a token or a live token, or in \
             the Authorization header. Channels are streams; they are recovered as far back as retention reaches.",
        )
        .answers_empty(101, "a WebSocket")
        .refuses(&[UNSUPPORTED_MEDIA_TYPE]),
    )
}

async fn connect_centrifugo(
    _: Public,
    State(kit): State<Kit>,
    Extension(live): Extension<Arc<Live>>,
    mut request: Request,
) -> Answer<Response> {
    let header = bearer(request.headers());
    let terms = Terms { subprotocols: &[PROTOBUF, JSON], most_bytes: MAX_SAID_BYTES, takes_binary: true };
    let (response, subprotocol, socket) = upgrade(&mut request, terms)?;
    let encoding = if subprotocol == Some(PROTOBUF) { Encoding::Protobuf } else { Encoding::Json };
    tokio::spawn(async move {
        if let Some(socket) = socket.await {
            Session::new(kit, live, encoding, header).serve(Socket::new(socket, encoding)).await;
        }
    });
    Ok(response)
}

/// The key or token of the Authorization header. Another scheme is none: the first command may have one.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim().to_owned())
}
