//! `GET /v1/apps/{app}/live`: WebSocket, or SSE with `Accept: text/event-stream`.

use crate::{
    INVALID_LIVE_TOKEN, LIVE_TOKEN_EXPIRED, Live,
    pass::Pass,
    presence::{Present, new_client},
    reader::{Reader, Step, TOO_MANY_READERS},
};
use angarium_base::{
    Cursor, Result,
    error::{INVALID_CURSOR, INVALID_PARAMETER, UNSUPPORTED_MEDIA_TYPE},
    json::escape_into,
};
use angarium_kit::{
    Kit, grants,
    http::{
        Answer, Doc, Params, Routes,
        doc::{AFTER, Param, cursor, text},
    },
    records,
};
use axum::{
    Extension,
    body::Body,
    extract::{
        FromRequestParts, Request, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http::{HeaderMap, header};
use std::{
    convert::Infallible,
    pin::{Pin, pin},
    time::Duration,
};
use tokio::time::{Instant, error::Elapsed, timeout};
use tokio_util::sync::CancellationToken;

grants! {
    /// Follow the live feed.
    FollowFeed = "live:follow": [Admin, Operator, Sender, Viewer];
}

/// A quiet connection is shown to be alive this often.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A reader that takes nothing for this long is cut off; it can resume from its cursor.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_STREAMS: usize = 16;
/// A client has nothing to say on a feed's socket.
const MAX_SAID_BYTES: usize = 4 << 10;

const STREAMS: Param = Param::optional(
    "streams",
    "names of streams between commas, 16 at most; if not given, events, or those of the live token",
    text,
);
const TYPE: Param = Param::optional("type", "only records of this kind", text);
const TOKEN: Param = Param::optional(
    "token",
    "a live token (`ang_lt_…`), for browsers, which cannot send an Authorization header here",
    text,
);
const LAST_EVENT_ID: Param = Param::optional(
    "Last-Event-ID",
    "as `after`: what a browser's EventSource sends when it comes again",
    cursor,
);

pub fn routes() -> Routes {
    Routes::new().get(
        "/v1/apps/{app}/live",
        follow_feed,
        Doc::new(
            "live",
            "follow_feed",
            "Follow the live feed",
            "A WebSocket, or server-sent events with `Accept: text/event-stream`. With `after`, everything since comes \
             first; without it, only what is new. Frames are `{stream, cursor, at, data}`, and \
             `{\"gap\": n, \"stream\", \"cursor\"}` when `n` records were passed over: this reader was too slow, or \
             retention had removed them. The feed ends when the key, the token or the role does.",
        )
        .query(&[STREAMS, TYPE, AFTER, TOKEN])
        .header(LAST_EVENT_ID)
        .answers_empty(101, "a WebSocket")
        .answers_as(200, "frames as events, without an end", "text/event-stream", None)
        .refuses(&[UNSUPPORTED_MEDIA_TYPE, TOO_MANY_READERS, INVALID_LIVE_TOKEN, LIVE_TOKEN_EXPIRED]),
    )
}

async fn follow_feed(
    pass: Pass,
    State(kit): State<Kit>,
    Extension(live): Extension<Live>,
    params: Params,
    request: Request,
) -> Answer<Response> {
    params.only(&["streams", "type", "after", "token"])?;
    let (mut parts, _) = request.into_parts();
    let seat = Seat::take(&kit)?;
    let mut streams = Vec::new();
    let own = pass.own_streams();
    for name in params.get("streams").unwrap_or(&own).split(',') {
        if streams.len() == MAX_STREAMS {
            return Err(INVALID_PARAMETER
                .err(format!("`streams` names at most {MAX_STREAMS} streams"))
                .into());
        }
        streams.push(pass.stream(&kit, name.trim()).await?);
    }
    let after = match params.after()? {
        Some(cursor) => Some(cursor),
        None => last_event_id(&parts.headers)?,
    };
    if let Some(cursor) = &after
        && !streams.iter().any(|stream| cursor.next(stream.name()).is_some())
    {
        return Err(INVALID_CURSOR.err("this cursor is of none of the streams that were asked for").into());
    }
    for stream in &streams {
        let next = after.as_ref().and_then(|cursor| cursor.next(stream.name()));
        records::check_reached(&kit.journal, stream, next.unwrap_or(0)).await?;
    }
    let kind = params.get("type").map(str::to_owned);
    let names: Vec<String> = streams.iter().map(|stream| stream.name().to_owned()).collect();
    let reader = Reader::new(&kit.journal, streams, after, kind, kit.limits.live_backlog).await?;
    let is_sse = wants_sse(&parts.headers);
    let (client, now) = (new_client(kit.clock.now()), kit.clock.now());
    let protocol = if is_sse { "sse" } else { "websocket" };
    let present = live.presence.enter(pass.allowed.app_id(), (&client, &pass.who(), protocol), &names, now);
    let seat = (seat, present);
    if is_sse {
        return Ok(sse(Ending::of(&kit, pass), kit, reader, seat));
    }
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &kit).await else {
        return Err(UNSUPPORTED_MEDIA_TYPE
            .err("the feed is a WebSocket; without one, ask for it with `Accept: text/event-stream`")
            .into());
    };
    let upgrade = upgrade.max_message_size(MAX_SAID_BYTES).max_frame_size(MAX_SAID_BYTES);
    Ok(upgrade.on_upgrade(move |socket| serve_socket(Ending::of(&kit, pass), kit, reader, seat, socket)))
}

fn wants_sse(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accept.contains("text/event-stream")
}

/// Where a browser's EventSource was when its connection broke.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>> {
    let id = headers.get("last-event-id").and_then(|value| value.to_str().ok()).filter(|id| !id.is_empty());
    id.map(Cursor::decode).transpose()
}

/// A place among the live readers, given back when it is dropped.
pub(crate) struct Seat(Kit);

impl Seat {
    pub(crate) fn take(kit: &Kit) -> Result<Seat> {
        let seat = Seat(kit.clone());
        if kit.metrics.live_readers.inc() >= kit.limits.live_readers as i64 {
            return Err(TOO_MANY_READERS
                .err("the server has as many live readers as it takes")
                .with_retry_after_s(5));
        }
        Ok(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.metrics.live_readers.dec();
    }
}

/// The frame that tells a reader what it was not sent.
fn gap_frame(stream: &str, n: u64, cursor: &Cursor) -> String {
    let mut out = format!("{{\"gap\":{n},\"stream\":");
    escape_into(&mut out, stream);
    out.push_str(",\"cursor\":\"");
    cursor.encode_into(&mut out);
    out.push_str("\"}");
    out
}

fn sse(ending: Ending, kit: Kit, reader: Reader, seat: (Seat, Present)) -> Response {
    let state = (ending, kit, reader, seat, records::Writer::default(), true);
    let frames = stream::unfold(state, |(mut ending, kit, mut reader, seat, mut writer, first)| async move {
        if first {
            // Says that the feed has begun, and where: who loses the connection before the first frame
            // can resume all the same. A message without data is no event for an EventSource.
            let hello = format!("retry: 2000\nid: {}\n\n", reader.position().encode());
            return Some((
                Ok::<_, Infallible>(Bytes::from(hello)),
                (ending, kit, reader, seat, writer, false),
            ));
        }
        let mut out = String::with_capacity(4_096);
        let next = reader.next(|stream, cursor, record| {
            out.push_str("id: ");
            cursor.encode_into(&mut out);
            out.push_str("\ndata: ");
            writer.push(&mut out, Some(stream), cursor, record);
            out.push_str("\n\n");
        });
        match ending.step(next).await? {
            // The position moves on while a filter lets nothing through.
            Err(_) => out = format!(": ping\nid: {}\n\n", reader.position().encode()),
            Ok(Ok(Step::Frames(n))) => drop(kit.metrics.live_frames.inc_by(n)),
            Ok(Ok(Step::Gap { stream, n, cursor })) => {
                kit.metrics.live_skipped.inc_by(n);
                let frame = gap_frame(&stream, n, &cursor);
                out = format!("id: {}\nevent: gap\ndata: {frame}\n\n", cursor.encode());
            }
            Ok(Err(error)) => {
                tracing::warn!(?error, "a reader of the feed could not be served");
                return None;
            }
        }
        Some((Ok(Bytes::from(out)), (ending, kit, reader, seat, writer, false)))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Asks nginx not to hold frames back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(frames)).into_response()
}

/// How long a feed looks for records that are there already, when the process stops.
const LAST_LOOK: Duration = Duration::from_millis(100);
/// How long it goes on at most: others of the fleet may append without an end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A feed's end: what was acknowledged before the stop is still handed out.
struct Ending {
    stop: CancellationToken,
    since: Option<Instant>,
    /// Over when the reader may not read any more.
    revoked: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Ending {
    fn of(kit: &Kit, pass: Pass) -> Ending {
        let kit_ = kit.clone();
        let revoked = Box::pin(async move { pass.ended(&kit_).await });
        Ending { stop: kit.stop.clone(), since: None, revoked }
    }

    /// What is next, or that nothing was for so long that a ping is due; `None` when the feed ends.
    async fn step(
        &mut self,
        next: impl Future<Output = Result<Step>>,
    ) -> Option<Result<Result<Step>, Elapsed>> {
        let mut next = pin!(next);
        let step = tokio::select! {
            biased;
            () = &mut self.revoked => return None,
            step = timeout(PING_EVERY, &mut next) => step,
            () = self.stop.cancelled() => Ok(timeout(LAST_LOOK, next).await.ok()?),
        };
        let is_over =
            self.stop.is_cancelled() && self.since.get_or_insert_with(Instant::now).elapsed() > LAST_WORDS;
        (!is_over).then_some(step)
    }
}

async fn serve_socket(
    mut ending: Ending,
    kit: Kit,
    mut reader: Reader,
    seat: (Seat, Present),
    socket: WebSocket,
) {
    let (mut to, mut from) = socket.split();
    let mut writer = records::Writer::default();
    loop {
        let mut frames: Vec<String> = Vec::new();
        let next = reader.next(|stream, cursor, record| {
            let mut frame = String::with_capacity(record.data.len() + 96);
            writer.push(&mut frame, Some(stream), cursor, record);
            frames.push(frame);
        });
        let step = tokio::select! {
            incoming = from.next() => match incoming {
                // The client has nothing to say on this socket; pings are answered by the protocol.
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            step = ending.step(next) => match step {
                Some(step) => step,
                None => break,
            },
        };
        let message = match step {
            Err(_) => vec![Message::Ping(Bytes::new())],
            Ok(Ok(Step::Frames(n))) => {
                kit.metrics.live_frames.inc_by(n);
                frames.into_iter().map(|frame| Message::Text(Utf8Bytes::from(frame))).collect()
            }
            Ok(Ok(Step::Gap { stream, n, cursor })) => {
                kit.metrics.live_skipped.inc_by(n);
                vec![Message::Text(gap_frame(&stream, n, &cursor).into())]
            }
            Ok(Err(error)) => {
                tracing::warn!(?error, "a reader of the feed could not be served");
                break;
            }
        };
        let sending = async {
            for message in message {
                to.feed(message).await?;
            }
            to.flush().await
        };
        match tokio::time::timeout(WRITE_TIMEOUT, sending).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
    // The client resumes from its cursor.
    let going =
        CloseFrame { code: close_code::AWAY, reason: Utf8Bytes::from_static("the server is going away") };
    let _ = tokio::time::timeout(Duration::from_secs(1), to.send(Message::Close(Some(going)))).await;
    drop(seat);
}
