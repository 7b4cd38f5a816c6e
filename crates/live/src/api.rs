//! `GET /v1/apps/{app}/live`: WebSocket, or SSE with `Accept: text/event-stream`.

use crate::{
    INVALID_LIVE_TOKEN, LIVE_TOKEN_EXPIRED, Live,
    ending::Ending,
    filter::Filter,
    native::{self, Native, PATIENCE},
    pass::Pass,
    presence::{Present, new_client},
    reader::{Reader, Wants},
    rendered::Form,
    seats::{Seat, TOO_MANY_CONNECTIONS, TOO_MANY_READERS},
    socket::{Terms, upgrade},
    sse,
};
use angarium_base::{
    Cursor, Result,
    error::{INVALID_CURSOR, INVALID_PARAMETER, UNSUPPORTED_MEDIA_TYPE},
};
use angarium_journal::Stream;
use angarium_kit::{
    Kit,
    access::{Allowed, Asked, ByKey, UNAUTHENTICATED, check_open, presented},
    grants,
    http::{
        Answer, Doc, Params, Patience, Routes, Slow,
        doc::{AFTER, Param, cursor, text},
    },
    records,
};
use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, Version, header};
use serde_json::json;
use std::sync::Arc;

grants! {
    /// Follow the live feed.
    FollowFeed = "live:follow": [Admin, Operator, Sender, Viewer];
}

const MAX_STREAMS: usize = 16;
/// All streams that the caller may read.
const ALL: &str = "*";
/// A client has nothing to say on a feed's socket.
const MAX_SAID_BYTES: usize = 4 << 10;

const STREAMS: Param = Param::optional(
    "streams",
    "names of streams between commas, 16 at most, or `*` for all that you may read; if not given, events, or those of the \
     live token",
    text,
);
const TYPE: Param = Param::optional("type", "only records of this kind", text);
const WHERE: Param = Param::optional(
    "where",
    "only records whose `data` is so: a path, `=`, `!=`, `<`, `<=`, `>` or `>=`, and a value, such as \
     `params.country=DE` or `params.level>=5`; up to eight times, and then all must hold",
    || json!({ "type": "string", "maxLength": 512, "pattern": r"^[^!=<>.]+(\.[^!=<>.]+){0,15}(!=|=|<|>)" }),
);
const SLOW: Param = Param::optional(
    "slow",
    "what happens when this reader is too slow: it is moved ahead and told so by a gap frame, or disconnected (WebSocket: \
     close code 4008); `live.slow` of the configuration, if not given",
    || json!({ "type": "string", "enum": ["gap", "disconnect"] }),
);
const TOKEN: Param = Param::optional(
    "token",
    "a live token (`ang_lt_…`), for browsers, which cannot send an Authorization header here",
    text,
);
const LAST_EVENT_ID: Param = Param::optional(
    "Last-Event-ID",
    "as `after`, and instead of it: what a browser's EventSource sends when it comes again",
    cursor,
);

pub fn routes() -> Routes {
    Routes::new()
        .get(
            "/ws",
            follow_messages,
            Doc::new(
                "live",
                "follow_messages",
                "Follow the messages of the caller's app",
                "A WebSocket whose frames are the documents of messages as they become durable, for the app of the key or token, \
                 else for the default app. One that is too slow is moved ahead without a word; `/v1/apps/{app}/live` says so, \
                 and can be resumed.",
            )
            .answers_empty(101, "a WebSocket")
            .refuses(&[UNSUPPORTED_MEDIA_TYPE, TOO_MANY_READERS, TOO_MANY_CONNECTIONS]),
        )
        .get(
        "/v1/apps/{app}/live",
        follow_feed,
        Doc::new(
            "live",
            "follow_feed",
            "Follow the live feed",
            "A WebSocket, or server-sent events with `Accept: text/event-stream`. With `after`, everything since comes \
             first; without it, only what is new. Frames are `{stream, cursor, at, data}`, and \
             `{\"gap\": n, \"stream\", \"from\", \"cursor\"}` when `n` records were passed over: this reader was too \
             slow, or retention had removed them. Behind `from` the first of them can be read, as long as it is kept. The \
             feed ends when the key, the token or the role does.",
        )
        .query(&[STREAMS, TYPE, WHERE, SLOW, AFTER, TOKEN])
        .header(LAST_EVENT_ID)
        .answers_empty(101, "a WebSocket")
        .answers_as(200, "frames as events, without an end", "text/event-stream", None)
        .refuses(&[
            UNSUPPORTED_MEDIA_TYPE,
            TOO_MANY_READERS,
            TOO_MANY_CONNECTIONS,
            INVALID_LIVE_TOKEN,
            LIVE_TOKEN_EXPIRED,
        ]),
    )
}

/// The stream that `/ws` shows.
const MESSAGES: &str = "messages";

async fn follow_messages(
    _: ByKey<FollowFeed>,
    State(kit): State<Kit>,
    Extension(live): Extension<Arc<Live>>,
    mut request: Request,
) -> Answer<Response> {
    Params::parse(request.uri().query().unwrap_or(""))?.only(&[])?;
    let allowed = match presented(request.headers(), true)? {
        Some(credential) => Allowed::for_own_app(&kit, Asked::from(&request), &credential).await?,
        None if kit.anonymous.messages => {
            check_open(&kit, Asked::from(&request))?;
            Allowed::anonymous(&kit, Asked::from(&request)).await?
        }
        None => return Err(no_identity().into()),
    };
    let pass = Pass { allowed, token: None };
    let stream = pass.stream(&kit, MESSAGES).await?;
    let place = Place::take(&kit, &live, &pass, "websocket", std::slice::from_ref(&stream))?;
    let wants = Wants::new(Form::Document, &kit.limits.live);
    let reader = Reader::new(live, &kit.journal, vec![stream], None, wants).await?;
    Ok(as_socket(&mut request, kit, pass, reader, place)?)
}

fn no_identity() -> angarium_base::Error {
    UNAUTHENTICATED.err(
        "messages are not shown to everybody here: send `Authorization: Bearer <key>`, or set \
         `anonymous = [\"messages\"]` in the server's config",
    )
}

async fn follow_feed(
    pass: Pass,
    State(kit): State<Kit>,
    Extension(live): Extension<Arc<Live>>,
    mut request: Request,
) -> Answer<Response> {
    let (params, conditions) = Params::parse_with(request.uri().query().unwrap_or(""), "where")?;
    params.only(&["streams", "type", "where", "slow", "after", "token"])?;
    let is_sse = wants_sse(request.headers());
    let mut wants = Wants::new(if is_sse { Form::Sse } else { Form::Socket }, &kit.limits.live);
    wants.filter = Filter::parse(params.get("type"), &conditions)?;
    wants.slow = match params.given("slow") {
        None => wants.slow,
        Some(slow) => {
            Slow::parse(slow).ok_or_else(|| INVALID_PARAMETER.err("`slow` is `gap` or `disconnect`"))?
        }
    };
    let own = pass.own_streams();
    let streams = find_streams(&kit, &pass, params.get("streams").unwrap_or(&own)).await?;
    let place = Place::take(&kit, &live, &pass, if is_sse { "sse" } else { "websocket" }, &streams)?;
    // First the header: an EventSource comes again with the URL it began with.
    let after = match last_event_id(request.headers())? {
        Some(cursor) => Some(cursor),
        None => params.after()?,
    };
    check_after(&kit, &streams, after.as_ref()).await?;
    let reader = Reader::new(live, &kit.journal, streams, after, wants).await?;
    if let Some(patience) = request.extensions().get::<Patience>() {
        patience.ask_for(PATIENCE);
        if is_sse && request.version() < Version::HTTP_2 {
            patience.end_with_speech();
        }
    }
    if is_sse {
        let mut answer = sse::answer(Ending::of(&kit, pass), kit, reader, place);
        if request.version() < Version::HTTP_2 {
            // What else is said on the connection meanwhile is not listened to.
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        return Ok(answer);
    }
    Ok(as_socket(&mut request, kit, pass, reader, place)?)
}

fn as_socket(request: &mut Request, kit: Kit, pass: Pass, reader: Reader, place: Place) -> Result<Response> {
    let terms = Terms { subprotocols: &[], most_bytes: MAX_SAID_BYTES, takes_binary: false };
    let (response, _, socket) = upgrade(request, terms).map_err(|error| {
        let ways = "without a WebSocket, ask for the feed with `Accept: text/event-stream`";
        error.code().err(format!("{}; {ways}", error.message()))
    })?;
    tokio::spawn(async move {
        if let Some(socket) = socket.await {
            let ending = Ending::of(&kit, pass);
            native::serve(Native::new(kit, socket, reader), ending, place).await;
        }
    });
    Ok(response)
}

/// The streams that are asked for.
async fn find_streams(kit: &Kit, pass: &Pass, asked: &str) -> Result<Vec<Stream>> {
    let all = || kit.parts.streams.iter().copied().filter(|name| pass.may_follow(name)).collect();
    let names: Vec<&str> = if asked == ALL { all() } else { asked.split(',').map(str::trim).collect() };
    if names.len() > MAX_STREAMS {
        return Err(INVALID_PARAMETER.err(format!("`streams` names at most {MAX_STREAMS} streams")));
    }
    let mut streams: Vec<Stream> = Vec::with_capacity(names.len());
    for name in names {
        let stream = pass.stream(kit, name).await?;
        if !streams.contains(&stream) {
            streams.push(stream);
        }
    }
    Ok(streams)
}

/// A reader's place among the others, for as long as it is connected.
pub struct Place {
    _seat: Seat,
    _present: Present,
}

impl Place {
    /// # Errors
    /// `too_many_readers`, `too_many_connections`.
    fn take(
        kit: &Kit,
        live: &Live,
        pass: &Pass,
        protocol: &'static str,
        streams: &[Stream],
    ) -> Result<Place> {
        let (seat, now) = (live.seats.take(kit, &pass.allowed)?, kit.clock.now());
        let names: Vec<String> = streams.iter().map(|stream| stream.name().to_owned()).collect();
        let client = new_client(now);
        let present =
            live.presence.enter(pass.allowed.app_id(), (&client, &pass.who(), protocol), &names, now);
        Ok(Place { _seat: seat, _present: present })
    }
}

async fn check_after(kit: &Kit, streams: &[Stream], after: Option<&Cursor>) -> Result<()> {
    let next = |stream: &Stream| after.and_then(|cursor| cursor.next(stream.name()));
    if after.is_some() && !streams.iter().any(|stream| next(stream).is_some()) {
        return Err(INVALID_CURSOR.err("this cursor is of none of the streams that were asked for"));
    }
    for stream in streams {
        records::check_reached(&kit.journal, stream, next(stream).unwrap_or(0)).await?;
    }
    Ok(())
}

fn wants_sse(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accept.contains("text/event-stream")
}

/// Where a browser's EventSource was when its connection broke.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>> {
    let id = headers.get("last-event-id").filter(|id| !id.is_empty());
    id.map(|id| Cursor::decode(id.to_str().unwrap_or("?"))).transpose()
}
