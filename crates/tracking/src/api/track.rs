//! `POST /v1/apps/{app}/events`: one event, an array, or one a line; an outcome for each.

use super::{
    SendEvents, events_of,
    intake::{Intake, reading},
    outcome::Outcome,
};
use crate::{
    Tracker,
    record::{Origin, Recorder},
    rules::{self, INVALID_EVENT, JSON_LIMITS, MALFORMED_JSON},
};
use angarium_base::{
    Error, Result,
    error::{Fault, INTERNAL, UNSUPPORTED_MEDIA_TYPE},
    json::{self, Kind, Reader, Syntax},
};
use angarium_kit::{
    Kit,
    access::Allowed,
    http::{Answer, Content, Params, Peer, Problem, RequestName, read_body},
    idempotency::Once,
};
use axum::{
    Extension,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use std::sync::Arc;

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
    let speaks_for_others = allowed.speaks_for_others();
    let recorder = Recorder::new(tracker, &kit.journal, &stream, origin, held.bytes.len() * 2 + 256);
    let mut body =
        Body { intake: Intake::new(recorder, kit.limits.event_bytes).once(once), speaks_for_others };
    reading(held.bytes.len(), || body.read(&held.bytes, lines))?;
    let intake = body.intake;
    let single = !lines && intake.index == 1 && !is_array(&held.bytes);
    drop(held);
    if !intake.rejected.is_empty() && (single || atomic || intake.is_empty()) {
        let id = parts.extensions.get::<RequestName>();
        return Ok(refuse_all(intake.drop_all(kit), single, atomic, id));
    }
    let outcome = match intake.settles(kit) {
        Some(once) => intake.keep_settled(kit, &stream, once).await?,
        None => intake.keep(kit, &stream).await?,
    };
    Ok(outcome.answer(StatusCode::ACCEPTED, ""))
}

/// A body that is being read.
struct Body<'a> {
    intake: Intake<'a>,
    speaks_for_others: bool,
}

impl Body<'_> {
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
            let index = self.intake.next()?;
            let Ok(text) = std::str::from_utf8(line) else {
                self.intake.refuse(index, not_utf8(line, number));
                continue;
            };
            let mut reader = Reader::new(text, JSON_LIMITS);
            let read = rules::read_event(&mut reader, self.speaks_for_others)
                .and_then(|event| reader.end().map(|()| event));
            match read {
                Ok(event) => self.intake.take(index, event, line.len()),
                Err(Syntax { what, column, .. }) => {
                    let detail = format!("{what} at line {}, column {column}", number + 1);
                    self.intake.refuse(index, malformed(detail));
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
            let index = self.intake.next()?;
            self.intake.take(index, event, length);
            return Ok(());
        }
        let mut over = Ok(());
        reader
            .array(|reader| {
                reader.peek();
                let start = reader.offset();
                let event = rules::read_event(reader, self.speaks_for_others)?;
                if over.is_ok() {
                    match self.intake.next() {
                        Ok(index) => self.intake.take(index, event, reader.offset() - start),
                        Err(error) => over = Err(error),
                    }
                }
                Ok(())
            })
            .map_err(syntax)?;
        reader.end().map_err(syntax)?;
        over
    }
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

/// The problem document of a request of which nothing was kept: `errors` for one event, `rejected` for several.
fn refuse_all(outcome: Outcome, single: bool, atomic: bool, id: Option<&RequestName>) -> Response {
    let rejected = &outcome.rejected;
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
        let faults = outcome.rejected.into_iter().map(|(_, fault)| fault).collect();
        return Problem::from(code.err(detail).with_faults(faults)).into_response();
    }
    outcome.refusal(&INVALID_EVENT.err(detail), id)
}
