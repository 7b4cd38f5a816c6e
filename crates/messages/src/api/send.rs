//! Taking messages in: one document, or one a line.

use super::{Rejected, SendMessages, State, Taken, caller, messages_of};
use crate::{
    model::Message,
    persist::link,
    rules::{self, INVALID_MESSAGE, MAX_MESSAGES, Refused, TOO_MANY_MESSAGES},
    schema::Schema,
};
use angarium_base::{
    Context, MessageId, Result,
    clock::Millis,
    error::{Fault, INTERNAL, UNSUPPORTED_MEDIA_TYPE},
    time,
};
use angarium_journal::Batch;
use angarium_kit::{
    Kit,
    access::{Allowed, ByKey},
    http::{Answer, Content, Params, Problem, read_body},
    idempotency::{Answered, Once},
};
use axum::{
    Extension,
    extract::{self, Request},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

/// Bodies above this are read on a thread that may block, so that they delay nobody else's request.
const BIG_BODY_BYTES: usize = 256 << 10;

pub async fn send_messages(
    allowed: Allowed<SendMessages>,
    extract::State(kit): extract::State<Kit>,
    Extension(shared): Extension<State>,
    request: Request,
) -> Answer<Response> {
    send(&kit, &shared, allowed, request).await
}

pub async fn send_dummy(
    _: ByKey<SendMessages>,
    extract::State(kit): extract::State<Kit>,
    Extension(shared): Extension<State>,
    request: Request,
) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let allowed = caller(&kit, &parts).await?;
    send(&kit, &shared, allowed, Request::from_parts(parts, body)).await
}

async fn send(
    kit: &Kit,
    shared: &State,
    allowed: Allowed<SendMessages>,
    request: Request,
) -> Answer<Response> {
    let once = Once::of(&request);
    let params = Params::parse(request.uri().query().unwrap_or(""))?;
    params.only(&["atomic"])?;
    let atomic = params.flag("atomic")?;
    let (parts, body) = request.into_parts();
    let lines = match Content::of(&parts.headers) {
        Content::NdJson => true,
        // `curl -d` says it is a form when it is not told what it is.
        Content::Json | Content::Form | Content::Unnamed => false,
        Content::Other => {
            let takes =
                "a message comes as application/json, or several, one a line, as application/x-ndjson";
            return Err(UNSUPPORTED_MEDIA_TYPE.err(takes).into());
        }
    };
    let held = read_body(body, &parts.headers, &kit.limits, &kit.budget).await?;
    let schema = shared.schemas.of(kit, allowed.app_id()).await?;
    let mut intake = Intake::new(kit, schema.as_deref().filter(|schema| schema.refuses()), held.bytes.len());
    if !lines {
        let read = || intake.take(&held.bytes, None);
        if let Err(refused) = off_the_way(held.bytes.len(), read) {
            kit.metrics.messages_rejected.inc();
            return Err(refused.into_error().into());
        }
    } else {
        off_the_way(held.bytes.len(), || intake.take_lines(&held.bytes))?;
        kit.metrics.messages_rejected.inc_by(intake.rejected.len() as u64);
        if let Some(refusal) = intake.refusal(atomic) {
            return Ok(refusal);
        }
    }
    drop(held);
    let location = (!lines).then(|| link(allowed.app_id(), intake.ids.last().map_or("", MessageId::as_str)));
    let accepted = intake.ids.len();
    let body = intake.keep(kit, shared, &allowed, once, location.as_deref()).await?;
    kit.metrics.messages_accepted.inc_by(accepted as u64);
    let mut response =
        (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Some(location) = location {
        let value = location.parse().or_error(INTERNAL, "the place of a message is no header")?;
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}

fn off_the_way<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    if bytes > BIG_BODY_BYTES { tokio::task::block_in_place(read) } else { read() }
}

/// The messages of one request, as far as they have been read.
struct Intake<'a> {
    schema: Option<&'a Schema>,
    most_bytes: usize,
    now: Millis,
    received_at: String,
    /// What the stream is to keep, one after another, and where each ends.
    records: String,
    ends: Vec<usize>,
    ids: Vec<MessageId>,
    /// Of a batch: whether each line was taken.
    lines: Option<Vec<bool>>,
    rejected: Vec<Rejected>,
}

impl<'a> Intake<'a> {
    fn new(kit: &Kit, schema: Option<&'a Schema>, bytes: usize) -> Intake<'a> {
        let now = kit.clock.now();
        Intake {
            schema,
            most_bytes: kit.limits.message_bytes,
            now,
            received_at: time::format(now),
            records: String::with_capacity(bytes + 128),
            ends: Vec::new(),
            ids: Vec::new(),
            lines: None,
            rejected: Vec::new(),
        }
    }

    fn take(&mut self, bytes: &[u8], line: Option<usize>) -> Result<(), Refused> {
        let document = rules::read(bytes, self.most_bytes, line)?;
        if let Some(schema) = self.schema {
            schema.check(document).map_err(Refused::Invalid)?;
        }
        let id = MessageId::new(self.now);
        Message::render(&mut self.records, &id, &self.received_at, document);
        self.ends.push(self.records.len());
        self.ids.push(id);
        Ok(())
    }

    /// One message a line; a broken line costs only itself. Empty lines do not count.
    fn take_lines(&mut self, bytes: &[u8]) -> Result<()> {
        let mut lines = Vec::new();
        for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            if lines.len() == MAX_MESSAGES {
                let detail = format!("a request may have {MAX_MESSAGES} messages; send several batches");
                return Err(TOO_MANY_MESSAGES.err(detail));
            }
            let index = lines.len();
            let taken = self.take(line, Some(number));
            lines.push(taken.is_ok());
            if let Err(refused) = taken {
                let Fault { pointer, code, detail } = refused.into_fault();
                self.rejected.push(Rejected { index, code: code.to_owned(), pointer, detail });
            }
        }
        self.lines = Some(lines);
        Ok(())
    }

    /// The answer when nothing of a batch is kept.
    fn refusal(&self, atomic: bool) -> Option<Response> {
        let total = self.rejected.len();
        let detail = match (atomic, self.ids.is_empty()) {
            (_, true) if total == 0 => return None,
            (_, true) => format!("none of the {total} messages is acceptable"),
            (true, false) if total > 0 => {
                format!("{total} of the messages are not acceptable, so none was kept (`atomic=true`)")
            }
            _ => return None,
        };
        let faults = self.rejected.iter().take(rules::MAX_FAULTS).map(|rejected| Fault {
            pointer: format!("/{}{}", rejected.index, rejected.pointer),
            code: "rejected",
            detail: rejected.detail.clone(),
        });
        Some(Problem::from(INVALID_MESSAGE.err(detail).with_faults(faults.collect())).into_response())
    }

    /// Makes the messages durable, and with them the answer, if the request is to be done once.
    async fn keep(
        self,
        kit: &Kit,
        shared: &State,
        allowed: &Allowed<SendMessages>,
        once: Option<Once>,
        location: Option<&str>,
    ) -> Result<Vec<u8>> {
        let stream = messages_of(kit, allowed.app_id()).await?;
        let mut batch = Batch::with_capacity(self.records.len() + self.ends.len() * 16);
        let mut start = 0;
        for end in &self.ends {
            kit.journal.add(&mut batch, &stream, crate::KIND, None, &self.records.as_bytes()[start..*end]);
            start = *end;
        }
        let body = self.taken();
        match once {
            None => drop(kit.journal.append(&stream, batch).await?),
            Some(once) => {
                let (journal, location) = (kit.journal.clone(), location.map(str::to_owned));
                let kept = body.clone();
                kit.db
                    .write(move |tx| {
                        journal.append_batch_in(tx, &stream, &batch);
                        let (status, location) = (StatusCode::ACCEPTED, location.as_deref());
                        once.settle(tx, &Answered { status, location, body: &kept, sealed: None })
                    })
                    .await?;
            }
        }
        shared.first.notify_one();
        Ok(body)
    }

    fn taken(&self) -> Vec<u8> {
        let mut ids = self.ids.iter().map(MessageId::to_string);
        let accepted = self.ids.len();
        let taken = match &self.lines {
            None => Taken { id: ids.next(), accepted, ids: None, rejected: Vec::new() },
            Some(lines) => {
                let each = lines.iter().map(|taken| if *taken { ids.next() } else { None }).collect();
                Taken { id: None, accepted, ids: Some(each), rejected: self.rejected.clone() }
            }
        };
        serde_json::to_vec(&taken).unwrap_or_default()
    }
}
