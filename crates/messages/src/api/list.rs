//! Listing messages, and showing one.

use super::{ReadMessages, caller};
use crate::{
    model::{Persisted, Retried, View},
    store,
};
use angarium_base::{
    AppId, Context, Cursor, MessageId, Result,
    clock::Millis,
    error::{INTERNAL, INVALID_CURSOR, NOT_FOUND},
    time,
};
use angarium_kit::{
    Kit,
    access::{Allowed, ByKey},
    http::{Answer, Params},
};
use axum::{
    extract::{self, Path, Request},
    response::{IntoResponse, Response},
};
use http::header;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// What cursors of the list name: it is no stream.
const LIST: &str = "message_list";
/// Bytes of the documents of one page, beyond the first.
const PAGE_BYTES: usize = 8 << 20;
/// A message that was taken in this long ago is persisted, or does not come any more.
const FRESH_MS: Millis = 10_000;
/// How long a fresh message is waited for, and how often it is looked for it.
const WAIT: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

pub async fn list_messages(
    allowed: Allowed<ReadMessages>,
    extract::State(kit): extract::State<Kit>,
    params: Params,
) -> Answer<Response> {
    list(&kit, allowed.app_id(), &params).await
}

pub async fn list_dummy(
    _: ByKey<ReadMessages>,
    extract::State(kit): extract::State<Kit>,
    params: Params,
    request: Request,
) -> Answer<Response> {
    let (parts, _) = request.into_parts();
    let allowed: Allowed<ReadMessages> = caller(&kit, &parts).await?;
    list(&kit, allowed.app_id(), &params).await
}

async fn list(kit: &Kit, app: &AppId, params: &Params) -> Answer<Response> {
    params.only(&["limit", "after", "from", "to"])?;
    let limit = params.limit()?;
    let after = match params.after()? {
        None => 0,
        Some(cursor) => cursor.next(LIST).ok_or_else(|| {
            INVALID_CURSOR.err("this cursor is of another list; use one that the list of messages gave out")
        })?,
    };
    let (from, to) = (params.instant("from")?, params.instant("to")?);
    let after = i64::try_from(after)
        .map_err(|_| INVALID_CURSOR.err("this cursor lies beyond the end of the list"))?;
    let id = app.clone();
    let (items, is_cut) = kit
        .db
        .read(move |tx| {
            let after = match from {
                Some(from) => store::seq_before(tx, &id, from)?.max(after),
                None => after,
            };
            let (mut items, mut bytes, mut is_cut) = (Vec::new(), 0, false);
            // One more than is given out tells whether there are more.
            store::list(tx, &id, after, limit + 1, |persisted| {
                if to.is_some_and(|to| persisted.persisted_at >= to) {
                    return false;
                }
                bytes += persisted.message.body.len();
                is_cut = items.len() as u64 == limit || (bytes > PAGE_BYTES && !items.is_empty());
                if !is_cut {
                    items.push(persisted);
                }
                !is_cut
            })?;
            Ok((items, is_cut))
        })
        .await?;
    let next = items.last().filter(|_| is_cut).map(cursor_of);
    let mut body =
        String::with_capacity(items.iter().map(|item| item.message.body.len() + 200).sum::<usize>() + 64);
    body.push_str("{\"items\":[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str(&render(item)?);
    }
    body.push_str("],\"next\":");
    match next {
        Some(next) => {
            body.push('"');
            body.push_str(&next);
            body.push('"');
        }
        None => body.push_str("null"),
    }
    body.push('}');
    Ok(json(body))
}

fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn cursor_of(persisted: &Persisted) -> String {
    Cursor::new(LIST, persisted.seq as u64).encode()
}

fn render(persisted: &Persisted) -> Result<String> {
    write(&View {
        id: &persisted.message.id,
        cursor: Some(cursor_of(persisted)),
        received_at: time::format(persisted.message.received_at),
        persisted_at: Some(time::format(persisted.persisted_at)),
        attempts: None,
        reason: None,
        body: raw(&persisted.message.body)?,
    })
}

fn render_retried(retried: &Retried) -> Result<String> {
    write(&View {
        id: &retried.message.id,
        cursor: None,
        received_at: time::format(retried.message.received_at),
        persisted_at: None,
        attempts: Some(retried.attempts_before + retried.attempts),
        reason: Some(&retried.reason),
        body: raw(&retried.message.body)?,
    })
}

fn raw(body: &str) -> Result<&RawValue> {
    serde_json::from_str(body).or_error(INTERNAL, "a message in the store is no JSON")
}

fn write(view: &View<'_>) -> Result<String> {
    serde_json::to_string(view).or_error(INTERNAL, "a message could not be written")
}

#[derive(Deserialize)]
pub struct MessagePath {
    id: String,
}

pub async fn show_message(
    allowed: Allowed<ReadMessages>,
    extract::State(kit): extract::State<Kit>,
    Path(path): Path<MessagePath>,
    params: Params,
) -> Answer<Response> {
    params.only(&[])?;
    let not_found =
        || NOT_FOUND.err("there is no message by that id; what was given up is among the dead letters");
    let id = MessageId::parse(&path.id).ok_or_else(not_found)?;
    let is_fresh = id.made_at() > kit.clock.now() - FRESH_MS;
    let waited = tokio::time::Instant::now() + WAIT;
    loop {
        let (app, wanted) = (allowed.app_id().clone(), id.clone());
        let found = kit
            .db
            .read(move |tx| match store::message(tx, &app, wanted.as_str())? {
                Some(persisted) => render(&persisted).map(Some),
                None => store::retry(tx, &app, wanted.as_str())?
                    .map(|retried| render_retried(&retried))
                    .transpose(),
            })
            .await?;
        if let Some(found) = found {
            return Ok(json(found));
        }
        if !is_fresh || tokio::time::Instant::now() >= waited || kit.stop.is_cancelled() {
            return Err(not_found().into());
        }
        tokio::time::sleep(LOOK).await;
    }
}
