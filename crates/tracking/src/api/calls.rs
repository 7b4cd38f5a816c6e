//! The calls of other systems' libraries: read one by one, the good ones kept, the answer in the form they know.

use super::{
    events_of,
    intake::{Intake, reading},
    outcome::Outcome,
    speaker::Speaker,
};
use crate::{
    Tracker,
    record::{Origin, Recorder},
    rules::{Incoming, MALFORMED_JSON},
    wires::{NOTHING_KEPT, Sender},
};
use angarium_base::{
    Result,
    clock::Millis,
    error::Fault,
    json::{Kind, Reader, Syntax},
};
use angarium_kit::{Kit, http::RequestName, idempotency::Once};
use axum::response::Response;
use http::{StatusCode, request::Parts};
use std::net::IpAddr;

/// A request, but for its body.
pub struct Arrival<'a> {
    pub kit: &'a Kit,
    pub tracker: &'a Tracker,
    pub parts: &'a Parts,
    pub peer: IpAddr,
}

/// What a body holds.
pub struct Calls<'a> {
    /// Reads the text of one call, or of an array of them.
    pub reader: Reader<'a>,
    /// Bytes of `reader`'s text.
    pub bytes: usize,
    pub sent_at: Option<Millis>,
    pub key: &'a str,
    /// Bytes that a call may have.
    pub most_bytes: usize,
}

impl Arrival<'_> {
    /// Takes calls in. The good ones are durable when this returns.
    ///
    /// # Errors
    /// `malformed_json`, `too_many_events`, and what keeps the journal from appending. Nothing was kept then.
    pub async fn take<'t>(
        &self,
        speaker: &Speaker,
        calls: Calls<'t>,
        mut read: impl FnMut(&mut Reader<'t>, &Sender<'_>, &mut String) -> Read<'t>,
    ) -> Result<Taken> {
        let (kit, now) = (self.kit, self.kit.clock.now());
        let stream = events_of(&kit.journal, &speaker.app).await?;
        let origin = Origin::new(self.tracker, self.parts, self.peer, speaker.truncates_addresses, now);
        let recorder = Recorder::new(self.tracker, &kit.journal, &stream, origin, calls.bytes * 2 + 512);
        let once = self.parts.extensions.get::<Once>().cloned();
        let mut intake = Intake::new(recorder, calls.most_bytes.min(kit.limits.event_bytes)).once(once);
        let sender = Sender {
            received_at: now,
            sent_at: calls.sent_at,
            speaks_for_others: speaker.speaks_for_others,
            key: calls.key,
        };
        let (mut params, mut over) = (String::with_capacity(1_024), Ok(()));
        let mut one = |reader: &mut Reader<'t>| {
            reader.peek();
            let start = reader.offset();
            let event = read(reader, &sender, &mut params)?;
            if over.is_ok() {
                match intake.next() {
                    Ok(index) => {
                        let event = event.map(|event| Incoming { params: Some(&params), ..event });
                        intake.take(index, event, reader.offset() - start);
                    }
                    Err(error) => over = Err(error),
                }
            }
            Ok(())
        };
        let mut reader = calls.reader;
        let read_all =
            || if reader.peek() == Some(Kind::Array) { reader.array(one) } else { one(&mut reader) };
        reading(calls.bytes, read_all).map_err(|e| MALFORMED_JSON.err(e.to_string()))?;
        over?;
        if intake.is_empty() && !intake.rejected.is_empty() {
            return Ok(Taken::Nothing(intake.drop_all(kit)));
        }
        Ok(Taken::Some(intake.keep(kit, &stream).await?))
    }
}

/// What reading one call comes to. Outer error: the text is no JSON. Inner: this call is refused.
pub type Read<'t> = Result<Result<Incoming<'t>, Fault>, Syntax>;

/// What became of calls.
pub enum Taken {
    /// The good ones are durable; there may have been none to take.
    Some(Outcome),
    /// There was no good one.
    Nothing(Outcome),
}

impl Taken {
    /// 200 with `first`, the members that the libraries know, or 400.
    pub fn answer(&self, first: &str, parts: &Parts) -> Response {
        match self {
            Taken::Some(outcome) => outcome.answer(StatusCode::OK, first),
            Taken::Nothing(outcome) => {
                outcome.refusal(&NOTHING_KEPT.err(why(outcome)), parts.extensions.get::<RequestName>())
            }
        }
    }

    /// For an answer that has no place for the outcome of each call.
    ///
    /// # Errors
    /// `nothing_kept`
    pub fn some(self) -> Result<()> {
        match self {
            Taken::Some(_) => Ok(()),
            Taken::Nothing(outcome) => Err(NOTHING_KEPT.err(why(&outcome))),
        }
    }
}

fn why(outcome: &Outcome) -> String {
    match &outcome.rejected[..] {
        [(_, fault)] if fault.pointer.is_empty() => format!("the call was refused: {}", fault.detail),
        [(_, fault)] => format!("the call was refused: {} ({})", fault.detail, fault.pointer),
        several => format!("none of the {} calls is acceptable", several.len()),
    }
}
