//! The SQL of dead letters.

use super::Letter;
use angarium_base::{AppId, DeadLetterId, Result, error::INTERNAL};
use angarium_db::{Tx, v};

/// Puts a letter in; one for the same source is brought up to date and keeps its id.
pub fn put(tx: &mut Tx<'_>, app: &AppId, id: &DeadLetterId, letter: &Letter) -> Result<DeadLetterId> {
    let seq = next_seq(tx, app)?;
    let kept = tx.one(
        "INSERT INTO dead_letters \
         (app, seq, id, kind, code, reason, attempts, first_at, last_at, source, link, media_type, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (app, kind, source) DO UPDATE SET code = excluded.code, reason = excluded.reason, \
         attempts = excluded.attempts, last_at = excluded.last_at RETURNING id",
        v![
            app.as_str(),
            seq,
            id.as_str(),
            &letter.kind,
            &letter.code,
            &letter.reason,
            letter.attempts,
            letter.first_at,
            letter.last_at,
            &letter.source,
            &letter.link,
            &letter.media_type,
            &letter.body[..]
        ],
        |row| row.get::<String>(0),
    )?;
    DeadLetterId::parse(&kept).ok_or_else(|| INTERNAL.err("a dead letter has no id of its kind"))
}

/// The next number of the app's order; whoever takes one has it until the commit, so nobody commits past it.
fn next_seq(tx: &mut Tx<'_>, app: &AppId) -> Result<i64> {
    tx.one(
        "INSERT INTO dead_letter_ends (app, next_seq) VALUES ($1, 2) \
         ON CONFLICT (app) DO UPDATE SET next_seq = dead_letter_ends.next_seq + 1 RETURNING next_seq - 1",
        v![app.as_str()],
        |row| row.get(0),
    )
}

/// Removes a piece of the app's inbox; returns how many rows went.
pub fn erase(tx: &mut Tx<'_>, app: &AppId) -> Result<u64> {
    let gone = tx.exec(
        "DELETE FROM dead_letters WHERE app = $1 AND seq IN \
         (SELECT seq FROM dead_letters WHERE app = $1 ORDER BY seq LIMIT 500)",
        v![app.as_str()],
    )?;
    if gone == 0 {
        tx.exec("DELETE FROM dead_letter_ends WHERE app = $1", v![app.as_str()])?;
    }
    Ok(gone)
}
