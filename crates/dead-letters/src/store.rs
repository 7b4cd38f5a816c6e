//! The SQL of the inbox and of redrives. The letters' table is the kit's, which puts them in.

use crate::{
    model::{LetterRow, RunRow, State},
    rules::Filter,
};
use angarium_base::{
    AppId, Error, RedriveId, Result,
    clock::Millis,
    error::{INTERNAL, NOT_FOUND},
};
use angarium_db::{Row, Tx, v};
use angarium_kit::dead_letters::Letter;

/// The columns that [`row`] reads.
macro_rules! columns {
    () => {
        "seq, id, kind, code, reason, attempts, first_at, last_at, source, link, media_type, \
         CAST(length(body) AS BIGINT)"
    };
}

/// The columns that [`run`] reads.
macro_rules! run_columns {
    () => {
        "app, id, state, kind, code, source, from_at, to_at, rate, max_letters, next_seq, end_seq, matched, \
         redriven, failed, started_at, ended_at"
    };
}

fn damaged(table: &str) -> Error {
    INTERNAL.err(format!("a row of {table} has a shape it cannot have"))
}

fn unknown() -> Error {
    NOT_FOUND.err(
        "there is no such dead letter any more: it was redriven, deleted or has expired; or it is not yours",
    )
}

fn row(row: &Row<'_>) -> Result<LetterRow> {
    Ok(LetterRow {
        seq: row.get(0)?,
        id: row.get(1)?,
        letter: Letter {
            kind: row.get(2)?,
            code: row.get(3)?,
            reason: row.get(4)?,
            attempts: row.get(5)?,
            first_at: row.get(6)?,
            last_at: row.get(7)?,
            source: row.get(8)?,
            link: row.get(9)?,
            media_type: row.get(10)?,
            body: Vec::new(),
        },
        size_bytes: row.get(11)?,
    })
}

fn with_body(found: &Row<'_>) -> Result<LetterRow> {
    let mut letter = row(found)?;
    letter.letter.body = found.get(12)?;
    Ok(letter)
}

/// Some rows of the app's order that lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub first: i64,
    pub last: i64,
    /// Whether there may be more after it.
    pub is_full: bool,
}

impl Window {
    /// All from `first` on.
    pub fn from(first: i64) -> Window {
        Window { first, last: i64::MAX, is_full: false }
    }
}

/// The next rows from `first` on and before `end`, so that what is looked at is bounded however few of them a filter
/// lets through. `None`: there are none.
pub fn window(tx: &mut Tx<'_>, app: &AppId, first: i64, end: i64, rows: i64) -> Result<Option<Window>> {
    let (last, found) = tx.one(
        "SELECT max(seq), count(*) FROM (SELECT seq FROM dead_letters WHERE app = $1 AND seq >= $2 AND seq < $3 \
         ORDER BY seq LIMIT $4) AS looked",
        v![app.as_str(), first, end, rows],
        |row| Ok((row.get::<Option<i64>>(0)?, row.get::<i64>(1)?)),
    )?;
    Ok(last.map(|last| Window { first, last, is_full: found == rows }))
}

/// The letters of a window that the filter lets through, in order.
pub fn list(
    tx: &mut Tx<'_>,
    app: &AppId,
    filter: &Filter,
    window: Window,
    limit: i64,
) -> Result<Vec<LetterRow>> {
    tx.query(
        concat!(
            "SELECT ",
            columns!(),
            " FROM dead_letters WHERE app = $1 AND seq >= $2 AND seq <= $3 AND ($4 = '' OR kind = $4) \
             AND ($5 = '' OR code = $5) AND ($6 = '' OR source = $6) AND last_at >= $7 AND last_at < $8 \
             ORDER BY seq LIMIT $9"
        ),
        v![
            app.as_str(),
            window.first,
            window.last,
            &filter.kind,
            &filter.code,
            &filter.source,
            filter.from,
            filter.to,
            limit
        ],
        row,
    )
}

/// How many letters of a window the filter lets through.
pub fn count(tx: &mut Tx<'_>, app: &AppId, filter: &Filter, window: Window) -> Result<i64> {
    tx.one(
        "SELECT count(*) FROM dead_letters WHERE app = $1 AND seq >= $2 AND seq <= $3 AND ($4 = '' OR kind = $4) \
         AND ($5 = '' OR code = $5) AND ($6 = '' OR source = $6) AND last_at >= $7 AND last_at < $8",
        v![
            app.as_str(),
            window.first,
            window.last,
            &filter.kind,
            &filter.code,
            &filter.source,
            filter.from,
            filter.to
        ],
        |row| row.get(0),
    )
}

/// The number that the app's next letter will have.
pub fn end(tx: &mut Tx<'_>, app: &AppId) -> Result<i64> {
    let next =
        tx.maybe("SELECT next_seq FROM dead_letter_ends WHERE app = $1", v![app.as_str()], |row| row.get(0))?;
    Ok(next.unwrap_or(1))
}

/// # Errors
/// `not_found`.
pub fn show(tx: &mut Tx<'_>, app: &AppId, id: &str) -> Result<LetterRow> {
    let found = tx.maybe(
        concat!("SELECT ", columns!(), ", body FROM dead_letters WHERE app = $1 AND id = $2"),
        v![app.as_str(), id],
        with_body,
    )?;
    found.ok_or_else(unknown)
}

/// Takes a letter out, with its body: of two who try, one has it.
///
/// # Errors
/// `not_found`.
pub fn take(tx: &mut Tx<'_>, app: &AppId, id: &str) -> Result<LetterRow> {
    let taken = tx.maybe(
        concat!("DELETE FROM dead_letters WHERE app = $1 AND id = $2 RETURNING ", columns!(), ", body"),
        v![app.as_str(), id],
        with_body,
    )?;
    taken.ok_or_else(unknown)
}

/// Removes a letter that was given up before an instant; `None` when there is no such one any more.
pub fn remove(tx: &mut Tx<'_>, app: &AppId, id: &str, before: Millis) -> Result<Option<LetterRow>> {
    tx.maybe(
        concat!(
            "DELETE FROM dead_letters WHERE app = $1 AND id = $2 AND last_at < $3 RETURNING ",
            columns!()
        ),
        v![app.as_str(), id, before],
        row,
    )
}

/// Letters of any app that were given up before an instant, the oldest first.
pub fn expired(tx: &mut Tx<'_>, before: Millis, limit: i64) -> Result<Vec<(AppId, String)>> {
    tx.query(
        "SELECT app, id FROM dead_letters WHERE last_at < $1 ORDER BY last_at LIMIT $2",
        v![before, limit],
        |row| Ok((app_of(row, 0)?, row.get(1)?)),
    )
}

fn app_of(row: &Row<'_>, column: usize) -> Result<AppId> {
    AppId::parse(&row.get::<String>(column)?).ok_or_else(|| damaged("dead_letters"))
}

/// Of each kind: how many letters there are, and when the oldest of them was given up.
pub fn depths(tx: &mut Tx<'_>) -> Result<Vec<(String, i64, Millis)>> {
    tx.query("SELECT kind, count(*), min(last_at) FROM dead_letters GROUP BY kind", &[], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
}

fn run(row: &Row<'_>) -> Result<RunRow> {
    Ok(RunRow {
        app: app_of(row, 0)?,
        id: RedriveId::parse(&row.get::<String>(1)?).ok_or_else(|| damaged("redrives"))?,
        state: State::parse(&row.get::<String>(2)?).ok_or_else(|| damaged("redrives"))?,
        filter: Filter {
            kind: row.get(3)?,
            code: row.get(4)?,
            source: row.get(5)?,
            from: row.get(6)?,
            to: row.get(7)?,
        },
        rate: row.get(8)?,
        max: row.get(9)?,
        next_seq: row.get(10)?,
        end_seq: row.get(11)?,
        matched: row.get(12)?,
        redriven: row.get(13)?,
        failed: row.get(14)?,
        started_at: row.get(15)?,
        ended_at: row.get(16)?,
    })
}

/// How many redrives of the app are running.
pub fn count_running(tx: &mut Tx<'_>, app: &AppId) -> Result<i64> {
    tx.one("SELECT count(*) FROM redrives WHERE app = $1 AND state = 'running'", v![app.as_str()], |row| {
        row.get(0)
    })
}

pub fn insert_run(tx: &mut Tx<'_>, app: &AppId, run: &RunRow) -> Result<()> {
    let filter = &run.filter;
    tx.exec(
        "INSERT INTO redrives (app, id, state, kind, code, source, from_at, to_at, rate, max_letters, next_seq, \
         end_seq, matched, redriven, failed, started_at, ended_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        v![
            app.as_str(),
            run.id.as_str(),
            run.state.as_str(),
            &filter.kind,
            &filter.code,
            &filter.source,
            filter.from,
            filter.to,
            run.rate,
            run.max,
            run.next_seq,
            run.end_seq,
            run.matched,
            run.redriven,
            run.failed,
            run.started_at,
            run.ended_at
        ],
    )?;
    Ok(())
}

/// # Errors
/// `not_found`.
pub fn show_run(tx: &mut Tx<'_>, app: &AppId, id: &str) -> Result<RunRow> {
    let found = tx.maybe(
        concat!("SELECT ", run_columns!(), " FROM redrives WHERE app = $1 AND id = $2"),
        v![app.as_str(), id],
        run,
    )?;
    found.ok_or_else(|| NOT_FOUND.err("there is no such redrive, or it is not yours"))
}

pub fn list_runs(tx: &mut Tx<'_>, app: &AppId, after: &str, limit: i64) -> Result<Vec<RunRow>> {
    tx.query(
        concat!("SELECT ", run_columns!(), " FROM redrives WHERE app = $1 AND id > $2 ORDER BY id LIMIT $3"),
        v![app.as_str(), after, limit],
        run,
    )
}

/// Redrives of all apps that are running.
pub fn running(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<RunRow>> {
    tx.query(
        concat!("SELECT ", run_columns!(), " FROM redrives WHERE state = 'running' ORDER BY id LIMIT $1"),
        v![limit],
        run,
    )
}

/// Makes the next piece of a redrive this transaction's alone. `false`: it was stopped, or somebody else has done
/// the piece.
pub fn hold_run(tx: &mut Tx<'_>, app: &AppId, run: &RunRow) -> Result<bool> {
    let held = tx.exec(
        "UPDATE redrives SET next_seq = next_seq WHERE app = $1 AND id = $2 AND state = 'running' AND next_seq = $3 \
         AND redriven = $4 AND failed = $5",
        v![app.as_str(), run.id.as_str(), run.next_seq, run.redriven, run.failed],
    )?;
    Ok(held > 0)
}

/// Writes how far a redrive is that this transaction holds.
pub fn move_run(tx: &mut Tx<'_>, app: &AppId, run: &RunRow) -> Result<()> {
    tx.exec(
        "UPDATE redrives SET state = $3, next_seq = $4, redriven = $5, failed = $6, ended_at = $7 \
         WHERE app = $1 AND id = $2",
        v![
            app.as_str(),
            run.id.as_str(),
            run.state.as_str(),
            run.next_seq,
            run.redriven,
            run.failed,
            run.ended_at
        ],
    )?;
    Ok(())
}

/// Stops a redrive; `false` when it was not running.
pub fn stop_run(tx: &mut Tx<'_>, app: &AppId, id: &str, now: Millis) -> Result<bool> {
    let stopped = tx.exec(
        "UPDATE redrives SET state = 'stopped', ended_at = $3 WHERE app = $1 AND id = $2 AND state = 'running'",
        v![app.as_str(), id, now],
    )?;
    Ok(stopped > 0)
}

/// Forgets redrives of any app that ended before an instant; returns how many.
pub fn forget_runs(tx: &mut Tx<'_>, before: Millis) -> Result<u64> {
    tx.exec("DELETE FROM redrives WHERE state <> 'running' AND ended_at < $1", v![before])
}

/// Removes the redrives of a deleted app; its letters are removed by who puts them in.
pub fn erase(tx: &mut Tx<'_>, app: &AppId) -> Result<u64> {
    tx.exec(
        "DELETE FROM redrives WHERE app = $1 AND id IN (SELECT id FROM redrives WHERE app = $1 LIMIT 500)",
        v![app.as_str()],
    )
}
