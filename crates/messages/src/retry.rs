//! Messages that the store refused: tried again one by one, later each time, and given up after so many attempts.

use crate::{
    KIND, Shared,
    model::{Message, Retried},
    persist::{NOT_A_MESSAGE, is_about_a_row, link},
    rules::INVALID_MESSAGE,
    schema, store,
};
use angarium_base::{AppId, Error, MessageId, Result, clock::Millis, error::INTERNAL};
use angarium_db::Tx;
use angarium_kit::{
    Kit,
    dead_letters::{Change, Inbox, Letter},
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

const LOOK: Duration = Duration::from_secs(1);
/// Those that are tried in one look.
const SOME: i64 = 200;
const FIRST_PAUSE_MS: Millis = 1_000;
const LONGEST_PAUSE_MS: Millis = 60_000;
/// A gauge that counts further would cost more than it tells.
const COUNTED: i64 = 100_000;
const REASON_MAX_CHARS: usize = 500;

pub async fn run(kit: Kit, shared: Arc<Shared>, stop: CancellationToken) {
    let mut failing = false;
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        match try_due(&kit, &shared, &stop).await {
            Ok(()) => failing = false,
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(?error, "messages cannot be tried again at the moment");
            }
            Err(_) => {}
        }
    }
}

async fn try_due(kit: &Kit, shared: &Shared, stop: &CancellationToken) -> Result<()> {
    loop {
        let now = kit.clock.now();
        let (due, waiting) = kit
            .db
            .read(move |tx| Ok((store::due(tx, now, SOME)?, store::count_retries(tx, COUNTED)?)))
            .await?;
        kit.metrics.messages_retrying.set(waiting);
        let count = due.len();
        let mut given_up = 0;
        let mut tried = Ok(());
        for retried in due {
            if stop.is_cancelled() {
                break;
            }
            match attempt(kit, shared, retried).await {
                Ok(GaveUp(yes)) => given_up += u32::from(yes),
                Err(error) => {
                    tried = Err(error);
                    break;
                }
            }
        }
        if given_up > 0 {
            // One line for all of them: where one message cannot be stored, thousands may be like it.
            tracing::warn!(messages = given_up, "messages were given up: they are dead letters now");
        }
        tried?;
        if stop.is_cancelled() {
            return Ok(());
        }
        if count < SOME as usize {
            return Ok(());
        }
    }
}

/// Whether a message became a dead letter.
struct GaveUp(bool);

/// Tries one message again.
async fn attempt(kit: &Kit, shared: &Shared, retried: Retried) -> Result<GaveUp> {
    let app = AppId::parse(&retried.app).ok_or_else(|| INTERNAL.err("a message to retry has no app"))?;
    let schema = shared.schemas.of(kit, &app).await?;
    if let Some(schema) = schema.as_deref().filter(|schema| schema.sets_aside())
        && let Err(faults) = schema.check(&retried.message.body)
    {
        return give_up(kit, &app, retried, "schema_mismatch", schema::sentence(&faults)).await;
    }
    let (id, tried, now) = (app.clone(), retried.clone(), kit.clock.now());
    let outcome = kit
        .db
        .write(move |tx| {
            if !store::delete_retry(tx, &id, &tried)? {
                return Ok(0);
            }
            let place = store::take_place(tx, &id, now)?;
            store::insert_messages(tx, &id, &place, std::iter::once(&tried.message))?;
            Ok(1)
        })
        .await;
    match outcome {
        Ok(rows) => {
            kit.metrics.messages_persisted.inc_by(rows);
            Ok(GaveUp(false))
        }
        Err(error) if !is_about_a_row(&error) => Err(error),
        Err(error) if retried.attempts + 1 >= shared.settings.attempts => {
            give_up(kit, &app, retried, error.code().name, reason(&error)).await
        }
        Err(error) => {
            let (code, reason) = (error.code().name, reason(&error));
            let next_at = next_at(kit.clock.now(), retried.attempts + 1);
            kit.db.write(move |tx| store::fail_retry(tx, &app, &retried, next_at, (code, &reason))).await?;
            Ok(GaveUp(false))
        }
    }
}

async fn give_up(kit: &Kit, app: &AppId, retried: Retried, code: &str, reason: String) -> Result<GaveUp> {
    let (inbox, now) = (Inbox::of(kit, app).await?, kit.clock.now());
    let letter = Letter {
        kind: KIND.to_owned(),
        code: code.to_owned(),
        reason,
        attempts: retried.attempts_before + retried.attempts + 1,
        first_at: retried.first_at,
        last_at: now,
        link: link(app, &retried.message.id),
        source: retried.message.id.clone(),
        media_type: "application/json".to_owned(),
        body: retried.message.body.clone().into_bytes(),
    };
    tracing::debug!(%app, id = retried.message.id, code, "a message is given up");
    let app = app.clone();
    let given_up = kit
        .db
        .write(move |tx| {
            let was_there = store::delete_retry(tx, &app, &retried)?;
            if was_there {
                inbox.put(tx, now, &letter)?;
            }
            Ok(was_there)
        })
        .await?;
    Inbox::count(kit, KIND, Change::GivenUp, given_up.into());
    Ok(GaveUp(given_up))
}

/// Makes a message that was given up due again.
pub fn redrive(tx: &mut Tx<'_>, app: &AppId, letter: &Letter, now: Millis) -> Result<()> {
    let no_message = || INVALID_MESSAGE.err("what was given up is no message: it can only be deleted");
    if letter.code == NOT_A_MESSAGE {
        return Err(no_message());
    }
    let body = String::from_utf8(letter.body.clone()).map_err(|_| no_message())?;
    let received_at = MessageId::parse(&letter.source).ok_or_else(no_message)?.made_at();
    let message = Message { id: letter.source.clone(), received_at, body };
    let retried = Retried {
        app: app.to_string(),
        message,
        attempts: 0,
        attempts_before: letter.attempts,
        first_at: letter.first_at,
        code: letter.code.clone(),
        reason: letter.reason.clone(),
    };
    store::insert_retry(tx, app, &retried, now)
}

/// When to try after so many attempts that failed.
pub fn next_at(now: Millis, attempts: i64) -> Millis {
    let doubled = FIRST_PAUSE_MS << (attempts - 1).clamp(0, 16);
    now + doubled.min(LONGEST_PAUSE_MS)
}

/// Why the store refused a message, for people.
pub fn reason(error: &Error) -> String {
    let mut text = error.message().to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.chars().take(REASON_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_is_twice_the_one_before_up_to_a_minute() {
        let pauses: Vec<_> = (1..=8).map(|attempts| next_at(0, attempts)).collect();
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(next_at(5, i64::MAX), 60_005);
    }
}
