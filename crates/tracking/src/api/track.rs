//! `POST /v1/apps/{app}/events`: one event, an array, or one a line; an outcome for each.

use super::{SendEvents, events_of};
use crate::{
    Tracker,
    record::{Origin, Recorder},
    rules::{self, INVALID_EVENT, JSON_LIMITS, MALFORMED_JSON, MAX_EVENTS, TOO_MANY_EVENTS},
};
use angarium_base::{
    Error, Result,
    error::{Fault, INTERNAL, UNSUPPORTED_MEDIA_TYPE},
    json::{self, Kind, Reader, Syntax},
};
use angarium_kit::{
    Kit,
    access::Allowed,
    http::{Answer, Content, Params, Peer, RequestName, read_body},
    idempotency::Once,
    metrics::Reason,
};
use axum::{
    Extension,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

/// Bodies above this are read on a thread that may block, so that they delay nobody else's request.
const BIG_BODY_BYTES: usize = 1 << 20;
/// Rejected items that an answer names; `rejected_total` counts all of them.
const NAMED: usize = 10_000;

pub async fn track_events(
    allowed: Allowed<SendEvents>,
    State(kit): State<Kit>,
    Extension(tracker): Extension<Arc<Tracker>>,
    request: Request,
) -> Answer<Response> {
    track(&kit, &tracker, allowed, request).await
}

/// The same, for whoever has found the route already.
pub async fn track(
    kit: &Kit,
    tracker: &Tracker,
    allowed: Allowed<SendEvents>,
    request: Request,
) -> Answer<Response> {
    let once = Once::of(&request);
    let params = Params::parse(request.uri().query().unwrap_or(""))?;
    let Peer(peer) =
        *request.extensions().get::<Peer>().ok_or_else(|| INTERNAL.err("the caller has no address"))?;
    params.only(&["atomic"])?;
    let atomic = params.flag("atomic")?;
    let (parts, body) = request.into_parts();
    let lines = match Content::of(&parts.headers) {
        Content::NdJson => true,
        // `curl -d` says it is a form when it is not told what it is.
        Content::Json | Content::Form | Content::Unnamed => false,
        Content::Other => {
            let takes = "events come as application/json or, one a line, as application/x-ndjson";
            return Err(UNSUPPORTED_MEDIA_TYPE.err(takes).into());
        }
    };
    let held = read_body(body, &parts.headers, &kit.limits, &kit.budget).await?;
    let stream = events_of(&kit.journal, allowed.app_id()).await?;
    let truncate = allowed.app.truncate_addresses;
    let origin = Origin::new(tracker, &parts, peer.ip(), truncate, kit.clock.now());
    let mut intake = Intake {
        recorder: Recorder::new(tracker, &kit.journal, &stream, origin, held.bytes.len() * 2 + 256),
        speaks_for_others: allowed.speaks_for_others(),
        once,
        own_ids: Vec::new(),
        event_bytes: kit.limits.event_bytes,
        index: 0,
        places: Vec::new(),
        rejected: Vec::new(),
    };
    if held.bytes.len() > BIG_BODY_BYTES {
        tokio::task::block_in_place(|| intake.read(&held.bytes, lines))?;
    } else {
        intake.read(&held.bytes, lines)?;
    }
    let Intake { recorder, places, rejected, index, own_ids, .. } = intake;
    let single = !lines && index == 1 && !is_array(&held.bytes);
    drop(held);
    for (_, fault) in &rejected {
        kit.metrics.events_rejected.get_or_create(&Reason { reason: fault.code.to_owned() }).inc();
    }
    if !rejected.is_empty() && (single || atomic || places.is_empty()) {
        let id = parts.extensions.get::<RequestName>();
        return Ok(refuse_all(rejected, single, atomic, id));
    }
    let appended = kit.journal.append(&stream, recorder.batch).await?;
    kit.metrics.events_accepted.inc_by(appended.accepted.into());
    kit.metrics.events_duplicate.inc_by(appended.duplicates.len() as u64);
    // What is there already under an id of this request's own was put there by an attempt at it that nobody answered.
    let again = |at: &&u32| own_ids.get(**at as usize).is_some_and(|own| *own);
    let again = appended.duplicates.iter().filter(again).count();
    let duplicates = appended.duplicates.len() - again;
    Ok(accepted(&Outcome::new(appended.accepted as usize + again, duplicates, &rejected)))
}

/// What became of each item of a body.
struct Intake<'a> {
    recorder: Recorder<'a>,
    speaks_for_others: bool,
    /// Gives events an id that have none, if the request is to be done once.
    once: Option<Once>,
    /// Whether each event in the batch has its id from there.
    own_ids: Vec<bool>,
    event_bytes: usize,
    /// Index of the next item.
    index: usize,
    /// The item index of each event in the batch.
    places: Vec<u32>,
    rejected: Vec<(usize, Fault)>,
}

impl Intake<'_> {
    /// Reads the whole body. An error means that nothing of it can be told apart.
    fn read(&mut self, bytes: &[u8], lines: bool) -> Result<()> {
        if lines { self.read_lines(bytes) } else { self.read_document(bytes) }
    }

    /// One event a line; a broken line costs only itself. Empty lines do not count.
    fn read_lines(&mut self, bytes: &[u8]) -> Result<()> {
        for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            self.bound()?;
            let index = self.index;
            self.index += 1;
            let Ok(text) = std::str::from_utf8(line) else {
                self.rejected.push((index, not_utf8(line, number)));
                continue;
            };
            let mut reader = Reader::new(text, JSON_LIMITS);
            let read = rules::read_event(&mut reader, self.speaks_for_others)
                .and_then(|event| reader.end().map(|()| event));
            match read {
                Ok(event) => self.take(index, event, line.len()),
                Err(Syntax { what, column, .. }) => {
                    let detail = format!("{what} at line {}, column {column}", number + 1);
                    self.rejected.push((index, malformed(detail)));
                }
            }
        }
        Ok(())
    }

    /// One event, or an array of them.
    fn read_document(&mut self, bytes: &[u8]) -> Result<()> {
        let text = std::str::from_utf8(bytes).map_err(|e| document_not_utf8(bytes, e.valid_up_to()))?;
        let mut reader = Reader::new(text, JSON_LIMITS);
        let syntax = |e: Syntax| MALFORMED_JSON.err(hint(&e));
        if reader.peek() != Some(Kind::Array) {
            let start = reader.offset();
            let event = rules::read_event(&mut reader, self.speaks_for_others).map_err(syntax)?;
            let length = reader.offset() - start;
            reader.end().map_err(syntax)?;
            self.index = 1;
            self.take(0, event, length);
            return Ok(());
        }
        let mut over = Ok(());
        reader
            .array(|reader| {
                reader.peek();
                let start = reader.offset();
                let event = rules::read_event(reader, self.speaks_for_others)?;
                if over.is_ok() {
                    over = self.bound();
                    let index = self.index;
                    self.index += 1;
                    self.take(index, event, reader.offset() - start);
                }
                Ok(())
            })
            .map_err(syntax)?;
        reader.end().map_err(syntax)?;
        over
    }

    fn bound(&self) -> Result<()> {
        if self.index < MAX_EVENTS {
            return Ok(());
        }
        Err(TOO_MANY_EVENTS.err(format!("a request may have {MAX_EVENTS} events; send several batches")))
    }

    fn take(&mut self, index: usize, event: Result<rules::Incoming<'_>, Fault>, length: usize) {
        match event {
            Ok(_) if length > self.event_bytes => {
                let detail = format!("an event may have {} bytes; this one has {length}", self.event_bytes);
                self.rejected
                    .push((index, Fault { pointer: String::new(), code: "event_too_large", detail }));
            }
            Ok(mut event) => {
                let is_given = self.once.is_some() && event.id.is_none();
                if let (Some(once), true) = (&self.once, is_given) {
                    event.id = Some(once.event_id(index).into());
                }
                self.own_ids.push(is_given);
                self.recorder.add(&event, None);
                self.places.push(index as u32);
            }
            Err(fault) => self.rejected.push((index, fault)),
        }
    }
}

/// One event.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a schema only: bodies are read without building a tree")]
pub struct Event {
    /// What happened: 1 to 255 characters, no white space, no control characters.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^\s\p{C}]+$"))]
    r#type: String,
    /// Anything: 32 levels and 1,000 members an object at most, no key twice.
    params: Option<serde_json::Map<String, serde_json::Value>>,
    /// When it happened; when it was received, if not given.
    #[schemars(extend("format" = "date-time"))]
    at: Option<String>,
    #[schemars(length(min = 1, max = 255))]
    device_id: Option<String>,
    /// One that was seen within seven days is not kept again.
    #[schemars(length(min = 1, max = 255))]
    id: Option<String>,
    /// On whose behalf a server speaks; not with a write key.
    #[schemars(extend("format" = "ipv4"))]
    ip: Option<String>,
    /// As `ip`.
    #[schemars(length(max = 2048))]
    user_agent: Option<String>,
}

/// One event, or several.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "a schema only: bodies are read without building a tree")]
pub enum EventsBody {
    One(Event),
    Several(#[schemars(length(min = 1, max = 100_000))] Vec<Event>),
}

/// What became of the events of a request.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a schema only: the answer is written by hand, for speed")]
pub struct Tracked {
    accepted: u64,
    /// Those whose id was seen before.
    duplicates: u64,
    rejected: Vec<RejectedEvent>,
    /// Only when more were rejected than are named.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    rejected_total: Option<u64>,
}

/// An event that was not taken.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a schema only")]
struct RejectedEvent {
    /// Its place in the body, from 0.
    index: u64,
    code: String,
    detail: String,
    /// The faulty place in the event, RFC 6901.
    pointer: String,
}

fn is_array(bytes: &[u8]) -> bool {
    bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[')
}

fn malformed(detail: String) -> Fault {
    Fault { pointer: String::new(), code: MALFORMED_JSON.name, detail }
}

fn not_utf8(line: &[u8], number: usize) -> Fault {
    let good = String::from_utf8_lossy(line).chars().position(|c| c == char::REPLACEMENT_CHARACTER);
    malformed(format!("invalid UTF-8 at line {}, column {}", number + 1, good.unwrap_or(0) + 1))
}

fn document_not_utf8(bytes: &[u8], valid: usize) -> Error {
    let good = String::from_utf8_lossy(&bytes[..valid]);
    let (line, column) = json::position(&good, good.len());
    MALFORMED_JSON.err(format!("invalid UTF-8 at line {line}, column {column}"))
}

fn hint(syntax: &Syntax) -> String {
    let lines = syntax.what == "trailing characters";
    let hint =
        if lines { "; to send one event a line, say `Content-Type: application/x-ndjson`" } else { "" };
    format!("{syntax}{hint}")
}

#[derive(Serialize)]
struct Outcome<'a> {
    accepted: usize,
    duplicates: usize,
    rejected: Vec<Rejected<'a>>,
    /// Only when more were rejected than are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_total: Option<usize>,
}

#[derive(Serialize)]
struct Rejected<'a> {
    index: usize,
    code: &'a str,
    detail: &'a str,
    pointer: &'a str,
}

impl<'a> Outcome<'a> {
    fn new(accepted: usize, duplicates: usize, rejected: &'a [(usize, Fault)]) -> Outcome<'a> {
        let named = rejected.iter().take(NAMED).map(|(index, fault)| Rejected {
            index: *index,
            code: fault.code,
            detail: &fault.detail,
            pointer: &fault.pointer,
        });
        let rejected_total = (rejected.len() > NAMED).then_some(rejected.len());
        Outcome { accepted, duplicates, rejected: named.collect(), rejected_total }
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

fn accepted(outcome: &Outcome<'_>) -> Response {
    let body = if outcome.rejected.is_empty() {
        format!("{{\"accepted\":{},\"duplicates\":{},\"rejected\":[]}}", outcome.accepted, outcome.duplicates)
    } else {
        // Strings and numbers only: this cannot fail.
        serde_json::to_string(outcome).unwrap_or_default()
    };
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, JSON)], body).into_response()
}

/// The problem document of a request of which nothing was kept: `errors` for one event, `rejected` for several.
fn refuse_all(
    rejected: Vec<(usize, Fault)>,
    single: bool,
    atomic: bool,
    id: Option<&RequestName>,
) -> Response {
    let total = rejected.len();
    let detail = match (single, atomic) {
        (true, _) => format!("the event was refused: {}", rejected[0].1.detail),
        (false, true) => {
            format!("{total} of the events are not acceptable, so none was kept (`atomic=true`)")
        }
        (false, false) => format!("none of the {total} events is acceptable"),
    };
    if single {
        let too_large = rejected[0].1.code == "event_too_large";
        let code = if too_large { rules::EVENT_TOO_LARGE } else { INVALID_EVENT };
        let faults = rejected.into_iter().map(|(_, fault)| fault).collect();
        return angarium_kit::http::Problem::from(code.err(detail).with_faults(faults)).into_response();
    }
    let problem = angarium_kit::http::problem_body(&INVALID_EVENT.err(detail), id);
    let outcome = serde_json::to_string(&Outcome::new(0, 0, &rejected)).unwrap_or_default();
    // Two objects, made one: the problem's members, then the outcome's.
    let body = format!("{},{}", problem.trim_end_matches('}'), outcome.trim_start_matches('{'));
    let kind = HeaderValue::from_static("application/problem+json");
    (StatusCode::UNPROCESSABLE_ENTITY, [(header::CONTENT_TYPE, kind)], body).into_response()
}
