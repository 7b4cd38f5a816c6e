//! What can be done with dead letters: each change one transaction of the inbox, its stream, the audit and, if the
//! caller sent an `Idempotency-Key`, the answer.

use crate::{
    model::{
        DeleteLetters, Deleted, LetterRow, RedriveLetters, Redriven, RunRow, RunView, State, filter_value,
    },
    rules::{DELETED_MAX, Filter, NOT_REDRIVABLE, RUNNING_MAX, TOO_MANY_REDRIVES},
    store::{self, Window},
    worker::ASKED,
};
use angarium_base::{
    AppId, Context, DeadLetterId, Error, RedriveId, Result,
    clock::Millis,
    error::{INTERNAL, NOT_FOUND},
};
use angarium_db::Tx;
use angarium_kit::{
    Kit,
    access::Principal,
    audit::{Audit, Change as Noted, Whence},
    dead_letters::{Change, Inbox},
    idempotency::{Answered, Once},
};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

/// Rows that one statement looks at, so that a rare kind cannot make it run for long.
pub const LOOKED: i64 = 10_000;
/// Letters that one transaction takes out at most.
pub const PIECE: i64 = 500;

/// Who does it, from where, and whether it is to be done once.
#[derive(Clone)]
pub struct By {
    pub principal: Option<Principal>,
    pub whence: Whence,
    pub once: Option<Once>,
}

impl By {
    async fn audit(&self, kit: &Kit, app: &AppId) -> Result<Audit> {
        Audit::of(kit, app, self.principal.as_ref(), self.whence.clone()).await
    }

    fn settle(&self, tx: &mut Tx<'_>, location: &str, body: &impl serde::Serialize) -> Result<()> {
        let Some(once) = &self.once else { return Ok(()) };
        let body = serde_json::to_vec(body).or_error(INTERNAL, "an answer could not be written")?;
        let status = StatusCode::ACCEPTED;
        once.settle(tx, &Answered { status, location: Some(location), body: &body, sealed: None })
    }
}

fn noted(action: &'static str, kind: &'static str, id: &str, changes: Value) -> Noted {
    Noted { action, kind, id: id.to_owned(), changes }
}

/// A page of letters from `first` on, and where the next one begins.
pub async fn list(
    kit: &Kit,
    app: &AppId,
    filter: Filter,
    first: i64,
    limit: i64,
) -> Result<(Vec<LetterRow>, Option<i64>)> {
    let app = app.clone();
    kit.db
        .read(move |tx| {
            let window = match filter.is_open() {
                true => Some(Window::from(first)),
                false => store::window(tx, &app, first, i64::MAX, LOOKED)?,
            };
            let Some(window) = window else { return Ok((Vec::new(), None)) };
            let mut rows = store::list(tx, &app, &filter, window, limit + 1)?;
            if rows.len() as i64 > limit {
                rows.truncate(limit as usize);
                let next = rows.last().map(|last| last.seq + 1);
                return Ok((rows, next));
            }
            Ok((rows, window.is_full.then(|| window.last + 1)))
        })
        .await
}

/// A letter with its body.
///
/// # Errors
/// `not_found`.
pub async fn show(kit: &Kit, app: &AppId, id: &str) -> Result<LetterRow> {
    let (app, id) = (app.clone(), checked(id)?);
    kit.db.read(move |tx| store::show(tx, &app, &id)).await
}

/// PostgreSQL cannot even be asked for some texts.
fn checked(id: &str) -> Result<String> {
    let unknown = || NOT_FOUND.err("there is no such dead letter, or it is not yours");
    DeadLetterId::parse(id).map(|id| id.to_string()).ok_or_else(unknown)
}

fn checked_run(id: &str) -> Result<RedriveId> {
    RedriveId::parse(id).ok_or_else(|| NOT_FOUND.err("there is no such redrive, or it is not yours"))
}

/// What nobody runs again.
pub fn not_redrivable(kind: &str) -> Error {
    NOT_REDRIVABLE.err(format!(
        "nothing in this server runs `{kind}` again; read the letter's body and send it as new, or delete the letter"
    ))
}

/// Takes one letter out and makes its work due again, with the id it had.
///
/// # Errors
/// `not_found` when somebody else has done it, `not_redrivable`.
pub async fn redrive_letter(kit: &Kit, by: By, app: &AppId, id: &str) -> Result<Redriven> {
    let (id, now) = (checked(id)?, kit.clock.now());
    let (inbox, audit) = (Inbox::of(kit, app).await?, by.audit(kit, app).await?);
    let (own, app) = (kit.clone(), app.clone());
    let redriven = kit
        .db
        .write(move |tx| {
            let row = store::take(tx, &app, &id)?;
            let redriven = redrive(&own, tx, &app, &inbox, now, row)?;
            let changes = json!({ "kind": redriven.kind, "source": redriven.source });
            audit.write(tx, now, &noted("dead_letters.redrive", "dead_letter", &redriven.id, changes));
            by.settle(tx, &redriven.link, &redriven)?;
            Ok(redriven)
        })
        .await?;
    Inbox::count(kit, &redriven.kind, Change::Redriven, 1);
    Ok(redriven)
}

/// Makes the work of a letter that was taken out due again, and says so in the stream.
pub fn redrive(
    kit: &Kit,
    tx: &mut Tx<'_>,
    app: &AppId,
    inbox: &Inbox,
    now: Millis,
    row: LetterRow,
) -> Result<Redriven> {
    let LetterRow { id, letter, .. } = row;
    let run = kit.parts.redrives.get(letter.kind.as_str()).ok_or_else(|| not_redrivable(&letter.kind))?;
    run(tx, app, &letter, now)?;
    inbox.tell(tx, now, &parsed(&id)?, &letter, Change::Redriven);
    Ok(Redriven { id, kind: letter.kind, source: letter.source, link: letter.link })
}

/// The id of a row.
pub fn parsed(id: &str) -> Result<DeadLetterId> {
    DeadLetterId::parse(id).ok_or_else(|| INTERNAL.err("a dead letter has no id of its kind"))
}

/// How many letters before `end` the filter lets through.
async fn count(kit: &Kit, app: &AppId, filter: &Filter, end: i64) -> Result<i64> {
    let (mut matches, mut first) = (0, 0);
    loop {
        let (app, filter) = (app.clone(), filter.clone());
        let look = move |tx: &mut Tx<'_>| {
            let Some(window) = store::window(tx, &app, first, end, LOOKED)? else { return Ok((0, None)) };
            let found = store::count(tx, &app, &filter, window)?;
            Ok((found, window.is_full.then_some(window.last + 1)))
        };
        let (found, next) = kit.db.read(look).await?;
        matches += found;
        match next {
            Some(next) => first = next,
            None => return Ok(matches),
        }
    }
}

async fn end(kit: &Kit, app: &AppId) -> Result<i64> {
    let app = app.clone();
    kit.db.read(move |tx| store::end(tx, &app)).await
}

/// How many letters there are now that a filter lets through.
pub async fn count_matches(kit: &Kit, app: &AppId, filter: &Filter) -> Result<i64> {
    count(kit, app, filter, end(kit, app).await?).await
}

/// Asks for a redrive of the letters that are there now and that the filter lets through.
///
/// # Errors
/// `not_redrivable` of a kind, `too_many_redrives`.
pub async fn start_redrive(kit: &Kit, by: By, app: &AppId, asked: &RedriveLetters) -> Result<RunView> {
    let (filter, rate, max) = (asked.filter()?, asked.rate()?, asked.max()?);
    if !filter.kind.is_empty() && !kit.parts.redrives.contains_key(filter.kind.as_str()) {
        return Err(not_redrivable(&filter.kind));
    }
    let (now, end_seq) = (kit.clock.now(), end(kit, app).await?);
    let matched = count(kit, app, &filter, end_seq).await?.min(max.unwrap_or(i64::MAX));
    let run = RunRow {
        app: app.clone(),
        id: RedriveId::new(now),
        state: State::Running,
        filter,
        rate,
        max,
        next_seq: 0,
        end_seq,
        matched,
        redriven: 0,
        failed: 0,
        started_at: now,
        ended_at: None,
    };
    let (view, audit, app) = (RunView::from(&run), by.audit(kit, app).await?, app.clone());
    let answer = RunView::from(&run);
    kit.db
        .write(move |tx| {
            if store::count_running(tx, &app)? >= RUNNING_MAX {
                let detail = format!("the app has {RUNNING_MAX} redrives running; wait for one, or stop one");
                return Err(TOO_MANY_REDRIVES.err(detail));
            }
            store::insert_run(tx, &app, &run)?;
            let mut changes = filter_value(&run.filter);
            changes["matched"] = json!(run.matched);
            changes["rate"] = json!(run.rate);
            audit.write(tx, now, &noted("dead_letters.redrive", "redrive", run.id.as_str(), changes));
            by.settle(tx, &run_path(&app, run.id.as_str()), &answer)
        })
        .await?;
    kit.feed.publish(ASKED, Bytes::new());
    Ok(view)
}

/// Where a redrive is found.
pub fn run_path(app: &AppId, id: &str) -> String {
    format!("/v1/apps/{app}/dead-letters/redrives/{id}")
}

/// # Errors
/// `not_found`.
pub async fn show_run(kit: &Kit, app: &AppId, id: &str) -> Result<RunRow> {
    let (app, id) = (app.clone(), checked_run(id)?);
    kit.db.read(move |tx| store::show_run(tx, &app, id.as_str())).await
}

/// Redrives in the order in which they were asked for.
pub async fn list_runs(kit: &Kit, app: &AppId, after: String, limit: i64) -> Result<Vec<RunRow>> {
    let app = app.clone();
    kit.db.read(move |tx| store::list_runs(tx, &app, &after, limit)).await
}

/// Stops a redrive; one that has ended stays as it is.
///
/// # Errors
/// `not_found`.
pub async fn stop_redrive(kit: &Kit, by: By, app: &AppId, id: &str) -> Result<RunRow> {
    let (id, now) = (checked_run(id)?, kit.clock.now());
    let (audit, app) = (by.audit(kit, app).await?, app.clone());
    kit.db
        .write(move |tx| {
            let was_running = store::stop_run(tx, &app, id.as_str(), now)?;
            let run = store::show_run(tx, &app, id.as_str())?;
            if was_running {
                let changes = json!({ "redriven": run.redriven });
                audit.write(tx, now, &noted("dead_letters.stop_redrive", "redrive", id.as_str(), changes));
            }
            Ok(run)
        })
        .await
}

/// Deletes a letter.
///
/// # Errors
/// `not_found`.
pub async fn delete_letter(kit: &Kit, by: By, app: &AppId, id: &str) -> Result<()> {
    let (id, now) = (checked(id)?, kit.clock.now());
    let (inbox, audit) = (Inbox::of(kit, app).await?, by.audit(kit, app).await?);
    let app = app.clone();
    let kind = kit
        .db
        .write(move |tx| {
            let row = store::remove(tx, &app, &id, Millis::MAX)?;
            let row = row.ok_or_else(|| NOT_FOUND.err("there is no such dead letter, or it is not yours"))?;
            inbox.tell(tx, now, &parsed(&id)?, &row.letter, Change::Deleted);
            let changes = json!({ "kind": row.letter.kind, "source": row.letter.source });
            audit.write(tx, now, &noted("dead_letters.delete", "dead_letter", &id, changes));
            Ok(row.letter.kind)
        })
        .await?;
    Inbox::count(kit, &kind, Change::Deleted, 1);
    Ok(())
}

/// Deletes the letters that are there now and that the filter lets through, up to [`DELETED_MAX`] of them.
pub async fn delete_letters(kit: &Kit, by: By, app: &AppId, asked: &DeleteLetters) -> Result<Deleted> {
    let (filter, now, end) = (asked.filter()?, kit.clock.now(), end(kit, app).await?);
    let (inbox, audit) = (Inbox::of(kit, app).await?, by.audit(kit, app).await?);
    let (mut deleted, mut first) = (0, 0);
    while deleted < DELETED_MAX {
        let (app, filter, inbox, audit) = (app.clone(), filter.clone(), inbox.clone(), audit.clone());
        let limit = PIECE.min((DELETED_MAX - deleted) as i64);
        let piece = move |tx: &mut Tx<'_>| {
            let Some(window) = store::window(tx, &app, first, end, LOOKED)? else {
                return Ok((vec![], None));
            };
            let rows = store::list(tx, &app, &filter, window, limit)?;
            let last =
                rows.last().filter(|_| rows.len() as i64 == limit).map_or(window.last, |last| last.seq);
            let mut kinds = Vec::new();
            for row in rows {
                let Some(gone) = store::remove(tx, &app, &row.id, Millis::MAX)? else { continue };
                inbox.tell(tx, now, &parsed(&gone.id)?, &gone.letter, Change::Deleted);
                kinds.push(gone.letter.kind);
            }
            if !kinds.is_empty() {
                let mut changes = filter_value(&filter);
                changes["deleted"] = json!(kinds.len());
                audit.write(tx, now, &noted("dead_letters.delete", "dead_letters", "filter", changes));
            }
            Ok((kinds, Some(last + 1)))
        };
        let (kinds, next) = kit.db.write(piece).await?;
        kinds.iter().for_each(|kind| Inbox::count(kit, kind, Change::Deleted, 1));
        deleted += kinds.len();
        match next {
            Some(next) => first = next,
            None => return Ok(Deleted { matches: None, deleted, more: false }),
        }
    }
    Ok(Deleted { matches: None, deleted, more: true })
}
