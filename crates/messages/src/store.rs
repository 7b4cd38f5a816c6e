//! The SQL of messages, retries and schemas; app first.

use crate::model::{Message, Persisted, Retried};
use angarium_base::{AppId, Result, clock::Millis};
use angarium_db::{Row, Tx, V, v};
use std::{fmt::Write, sync::LazyLock};

/// How far the app's stream has been persisted.
pub fn next_offset(tx: &mut Tx<'_>, app: &AppId) -> Result<u64> {
    let found = tx.maybe("SELECT next_offset FROM message_ends WHERE app = $1", v![app.as_str()], |row| {
        row.get::<i64>(0)
    })?;
    Ok(found.unwrap_or(0) as u64)
}

/// What a batch is given: the seq of its first row, and when it was persisted.
pub struct Place {
    pub seq: i64,
    pub at: Millis,
}

/// Moves the place in the stream from `from` to `to` and gives `count` rows their places; `None` if it was not there.
pub fn advance(
    tx: &mut Tx<'_>,
    app: &AppId,
    (from, to): (u64, u64),
    count: usize,
    now: Millis,
) -> Result<Option<Place>> {
    if from == 0 {
        tx.exec(
            "INSERT INTO message_ends (app, next_offset, next_seq, last_at) VALUES ($1, 0, 1, 0) \
             ON CONFLICT (app) DO NOTHING",
            v![app.as_str()],
        )?;
    }
    let count = count as i64;
    tx.maybe(
        "UPDATE message_ends SET next_offset = $3, next_seq = next_seq + $4, \
         last_at = CASE WHEN last_at > $5 THEN last_at ELSE $5 END \
         WHERE app = $1 AND next_offset = $2 RETURNING next_seq, last_at",
        v![app.as_str(), from as i64, to as i64, count, now],
        |row| Ok(Place { seq: row.get::<i64>(0)? - count, at: row.get(1)? }),
    )
}

/// Gives one row its place, wherever in the stream the persister is.
pub fn take_place(tx: &mut Tx<'_>, app: &AppId, now: Millis) -> Result<Place> {
    tx.one(
        "INSERT INTO message_ends (app, next_offset, next_seq, last_at) VALUES ($1, 0, 2, $2) \
         ON CONFLICT (app) DO UPDATE SET next_seq = message_ends.next_seq + 1, \
         last_at = CASE WHEN message_ends.last_at > $2 THEN message_ends.last_at ELSE $2 END \
         RETURNING next_seq - 1, last_at",
        v![app.as_str(), now],
        |row| Ok(Place { seq: row.get(0)?, at: row.get(1)? }),
    )
}

/// Rows of one statement: as many as pay, then by ones.
const ROWS: usize = 64;

static INSERT_MANY: LazyLock<String> = LazyLock::new(|| insert(ROWS));
static INSERT_ONE: LazyLock<String> = LazyLock::new(|| insert(1));

fn insert(rows: usize) -> String {
    let mut sql =
        String::from("INSERT INTO messages (app, persisted_at, seq, id, received_at, body) VALUES ");
    for row in 0..rows {
        let first = 3 + row * 4;
        let comma = if row == 0 { "" } else { ", " };
        let (a, b, c, d) = (first, first + 1, first + 2, first + 3);
        // Writing into a String cannot fail.
        let _ = write!(sql, "{comma}($1, $2, ${a}, ${b}, ${c}, ${d})");
    }
    // A record that the stream has twice is one message.
    sql.push_str(" ON CONFLICT (app, id) DO NOTHING");
    sql
}

/// Writes messages at their place.
pub fn insert_messages<'a>(
    tx: &mut Tx<'_>,
    app: &AppId,
    place: &Place,
    messages: impl Iterator<Item = &'a Message>,
) -> Result<()> {
    let messages: Vec<_> = messages.collect();
    let mut seq = place.seq;
    for piece in messages.chunks(ROWS) {
        if piece.len() == ROWS {
            seq = insert_piece(tx, &INSERT_MANY, app, (seq, place.at), piece)?;
            continue;
        }
        for one in piece.chunks(1) {
            seq = insert_piece(tx, &INSERT_ONE, app, (seq, place.at), one)?;
        }
    }
    Ok(())
}

fn insert_piece(
    tx: &mut Tx<'_>,
    sql: &'static str,
    app: &AppId,
    (seq, at): (i64, Millis),
    piece: &[&Message],
) -> Result<i64> {
    let mut params: Vec<V<'_>> = Vec::with_capacity(2 + piece.len() * 4);
    params.extend([V::from(app.as_str()), V::from(at)]);
    for (message, seq) in piece.iter().zip(seq..) {
        params.extend([
            V::from(seq),
            V::from(&message.id),
            V::from(message.received_at),
            V::from(&message.body),
        ]);
    }
    tx.exec(sql, &params)?;
    Ok(seq + piece.len() as i64)
}

const COLUMNS: &str = "seq, id, received_at, persisted_at, body";

fn persisted(row: &Row<'_>) -> Result<Persisted> {
    let message = Message { id: row.get(1)?, received_at: row.get(2)?, body: row.get(4)? };
    Ok(Persisted { seq: row.get(0)?, message, persisted_at: row.get(3)? })
}

/// Messages after `seq`, each through `take`, until it has enough.
pub fn list(
    tx: &mut Tx<'_>,
    app: &AppId,
    after: i64,
    limit: u64,
    mut take: impl FnMut(Persisted) -> bool,
) -> Result<()> {
    const SQL: &str = "SELECT seq, id, received_at, persisted_at, body FROM messages \
                       WHERE app = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    debug_assert!(SQL.contains(COLUMNS));
    tx.each(SQL, v![app.as_str(), after, limit as i64], |row| Ok(take(persisted(row)?)))
}

pub fn message(tx: &mut Tx<'_>, app: &AppId, id: &str) -> Result<Option<Persisted>> {
    const SQL: &str =
        "SELECT seq, id, received_at, persisted_at, body FROM messages WHERE app = $1 AND id = $2";
    tx.maybe(SQL, v![app.as_str(), id], persisted)
}

/// The seq before the first message that was persisted at `at` or later. Along `seq`, instants never go back, so it is
/// found by halves.
pub fn seq_before(tx: &mut Tx<'_>, app: &AppId, at: Millis) -> Result<i64> {
    let (mut low, mut high) = tx
        .maybe("SELECT next_seq FROM message_ends WHERE app = $1", v![app.as_str()], |row| row.get::<i64>(0))?
        .map_or((0, 0), |next| (0, next - 1));
    while low < high {
        let middle = low + (high - low) / 2;
        let found = tx.maybe(
            "SELECT seq, persisted_at FROM messages WHERE app = $1 AND seq > $2 ORDER BY seq LIMIT 1",
            v![app.as_str(), middle],
            |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)),
        )?;
        match found {
            Some((seq, persisted_at)) if persisted_at < at => low = seq.max(middle + 1),
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Removes some of the messages persisted before `before`; returns how many.
pub fn expire(tx: &mut Tx<'_>, app: &AppId, before: Millis) -> Result<u64> {
    tx.exec(
        "DELETE FROM messages WHERE app = $1 AND seq IN \
         (SELECT seq FROM messages WHERE app = $1 ORDER BY seq LIMIT 500) AND persisted_at < $2",
        v![app.as_str(), before],
    )
}

/// Removes a piece of what is kept of an app; returns how many rows went.
pub fn erase(tx: &mut Tx<'_>, app: &AppId) -> Result<u64> {
    let gone = tx.exec(
        "DELETE FROM messages WHERE app = $1 AND seq IN \
         (SELECT seq FROM messages WHERE app = $1 ORDER BY seq LIMIT 500)",
        v![app.as_str()],
    )?;
    if gone == 0 {
        tx.exec("DELETE FROM message_retries WHERE app = $1", v![app.as_str()])?;
        tx.exec("DELETE FROM message_ends WHERE app = $1", v![app.as_str()])?;
        tx.exec("DELETE FROM message_schemas WHERE app = $1", v![app.as_str()])?;
    }
    Ok(gone)
}

/// Has a message tried again at `next_at`; one that is there already stays as it is.
pub fn insert_retry(tx: &mut Tx<'_>, app: &AppId, retried: &Retried, next_at: Millis) -> Result<()> {
    tx.exec(
        "INSERT INTO message_retries \
         (app, id, received_at, body, attempts, attempts_before, first_at, next_at, code, reason) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (app, id) DO NOTHING",
        v![
            app.as_str(),
            &retried.message.id,
            retried.message.received_at,
            &retried.message.body,
            retried.attempts,
            retried.attempts_before,
            retried.first_at,
            next_at,
            &retried.code,
            &retried.reason
        ],
    )?;
    Ok(())
}

/// Of every app, what is due.
pub fn due(tx: &mut Tx<'_>, now: Millis, limit: i64) -> Result<Vec<Retried>> {
    tx.query(
        "SELECT app, id, received_at, body, attempts, attempts_before, first_at, code, reason FROM message_retries \
         WHERE next_at <= $1 ORDER BY next_at LIMIT $2",
        v![now, limit],
        retried,
    )
}

pub fn retry(tx: &mut Tx<'_>, app: &AppId, id: &str) -> Result<Option<Retried>> {
    tx.maybe(
        "SELECT app, id, received_at, body, attempts, attempts_before, first_at, code, reason FROM message_retries \
         WHERE app = $1 AND id = $2",
        v![app.as_str(), id],
        retried,
    )
}

fn retried(row: &Row<'_>) -> Result<Retried> {
    Ok(Retried {
        app: row.get(0)?,
        message: Message { id: row.get(1)?, received_at: row.get(2)?, body: row.get(3)? },
        attempts: row.get(4)?,
        attempts_before: row.get(5)?,
        first_at: row.get(6)?,
        code: row.get(7)?,
        reason: row.get(8)?,
    })
}

/// Ends the trying, if nobody has tried since; returns whether.
pub fn delete_retry(tx: &mut Tx<'_>, app: &AppId, retried: &Retried) -> Result<bool> {
    let gone = tx.exec(
        "DELETE FROM message_retries WHERE app = $1 AND id = $2 AND attempts = $3",
        v![app.as_str(), &retried.message.id, retried.attempts],
    )?;
    Ok(gone > 0)
}

/// Notes a try that failed, if nobody has tried since.
pub fn fail_retry(
    tx: &mut Tx<'_>,
    app: &AppId,
    retried: &Retried,
    next_at: Millis,
    (code, reason): (&str, &str),
) -> Result<()> {
    tx.exec(
        "UPDATE message_retries SET attempts = attempts + 1, next_at = $4, code = $5, reason = $6 \
         WHERE app = $1 AND id = $2 AND attempts = $3",
        v![app.as_str(), &retried.message.id, retried.attempts, next_at, code, reason],
    )?;
    Ok(())
}

/// How many wait to be tried again, of every app; counted up to `most`.
pub fn count_retries(tx: &mut Tx<'_>, most: i64) -> Result<i64> {
    tx.one("SELECT count(*) FROM (SELECT 1 FROM message_retries LIMIT $1) AS waiting", v![most], |row| {
        row.get(0)
    })
}

/// A schema as it is kept.
#[derive(Clone, Debug)]
pub struct SchemaRow {
    pub version: i64,
    pub on_mismatch: String,
    pub document: String,
}

/// Which apps have a schema, and which version of it.
pub fn schema_versions(tx: &mut Tx<'_>) -> Result<Vec<(String, i64)>> {
    tx.query("SELECT app, version FROM message_schemas", &[], |row| Ok((row.get(0)?, row.get(1)?)))
}

pub fn schema(tx: &mut Tx<'_>, app: &str) -> Result<Option<SchemaRow>> {
    tx.maybe("SELECT version, on_mismatch, document FROM message_schemas WHERE app = $1", v![app], |row| {
        Ok(SchemaRow { version: row.get(0)?, on_mismatch: row.get(1)?, document: row.get(2)? })
    })
}

/// Keeps a schema under a version that the app has not had.
pub fn put_schema(
    tx: &mut Tx<'_>,
    app: &AppId,
    on_mismatch: &str,
    document: &str,
    now: Millis,
) -> Result<()> {
    tx.exec(
        "INSERT INTO message_schemas (app, version, on_mismatch, document) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (app) DO UPDATE SET document = excluded.document, on_mismatch = excluded.on_mismatch, \
         version = CASE WHEN message_schemas.version >= $2 THEN message_schemas.version + 1 ELSE $2 END",
        v![app.as_str(), now, on_mismatch, document],
    )?;
    Ok(())
}

pub fn delete_schema(tx: &mut Tx<'_>, app: &AppId) -> Result<bool> {
    Ok(tx.exec("DELETE FROM message_schemas WHERE app = $1", v![app.as_str()])? > 0)
}
