//! The journal's SQL.

use crate::frame::{self, Chunk};
use angarium_base::{Result, error::NOT_FOUND, id::push_ulid};
use angarium_db::{Tx, v};

/// A stream's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRow {
    pub id: i64,
    pub name: String,
    pub first_offset: u64,
    pub next_offset: u64,
    pub bytes: u64,
    pub last_at: i64,
}

/// A consumer group's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRow {
    pub committed: u64,
    pub holder: Option<String>,
    pub lease_until: i64,
}

const STREAM: &str =
    "SELECT id, name, first_offset, next_offset, bytes, last_at FROM streams WHERE app = $1 AND name = $2";

fn stream_row(row: &angarium_db::Row<'_>) -> Result<StreamRow> {
    Ok(StreamRow {
        id: row.get(0)?,
        name: row.get(1)?,
        first_offset: row.get::<i64>(2)? as u64,
        next_offset: row.get::<i64>(3)? as u64,
        bytes: row.get::<i64>(4)? as u64,
        last_at: row.get(5)?,
    })
}

pub fn stream(tx: &mut Tx<'_>, app: &str, name: &str) -> Result<Option<StreamRow>> {
    tx.maybe(STREAM, v![app, name], stream_row)
}

/// Who has a stream of this name.
pub fn owners(tx: &mut Tx<'_>, name: &str) -> Result<Vec<String>> {
    tx.query("SELECT app FROM streams WHERE name = $1", v![name], |row| row.get(0))
}

pub fn streams(tx: &mut Tx<'_>, app: &str) -> Result<Vec<StreamRow>> {
    tx.query(
        "SELECT id, name, first_offset, next_offset, bytes, last_at FROM streams WHERE app = $1 ORDER BY name",
        v![app],
        stream_row,
    )
}

pub fn all_streams(tx: &mut Tx<'_>) -> Result<Vec<StreamRow>> {
    tx.query(
        "SELECT id, name, first_offset, next_offset, bytes, last_at FROM streams ORDER BY id",
        &[],
        stream_row,
    )
}

/// The stream's row, made if it is not there.
pub fn ensure_stream(tx: &mut Tx<'_>, app: &str, name: &str, now: i64) -> Result<StreamRow> {
    tx.exec(
        "INSERT INTO streams (id, app, name, created_at) SELECT coalesce(max(id), 0) + 1, $1, $2, $3 FROM streams \
         WHERE true ON CONFLICT DO NOTHING",
        v![app, name, now],
    )?;
    // Not there only if another process took the number for another stream at the same moment.
    match stream(tx, app, name)? {
        Some(row) => Ok(row),
        None => ensure_stream(tx, app, name, now),
    }
}

/// Takes the stream's end for this transaction until it is over: others that append to the same stream wait, those
/// of other streams do not. Returns the next offset, and the instant of the append: `now`, or the last one's if the
/// clock went back.
pub fn take_end(tx: &mut Tx<'_>, id: i64, now: i64) -> Result<(u64, i64)> {
    tx.one(
        "UPDATE streams SET last_at = CASE WHEN last_at < $2 THEN $2 ELSE last_at END WHERE id = $1 \
         RETURNING next_offset, last_at",
        v![id, now],
        |row| Ok((row.get::<i64>(0)? as u64, row.get(1)?)),
    )
}

/// What the store is known by, made if it is not there.
pub fn lineage(tx: &mut Tx<'_>, now: i64) -> Result<String> {
    let mut made = String::new();
    push_ulid(&mut made, now);
    tx.exec("INSERT INTO lineage (one, id) VALUES (1, $1) ON CONFLICT DO NOTHING", v![&*made])?;
    tx.one("SELECT id FROM lineage", &[], |row| row.get(0))
}

/// Where the streams with these ids end.
pub fn ends(tx: &mut Tx<'_>, ids: &[i64]) -> Result<Vec<(i64, u64)>> {
    /// More than this many are found sooner by reading all.
    const FEW: usize = 16;
    let end = |row: &angarium_db::Row<'_>| Ok((row.get::<i64>(0)?, row.get::<i64>(1)? as u64));
    if ids.len() > FEW {
        return tx.query("SELECT id, next_offset FROM streams", &[], end);
    }
    ids.iter().map(|id| tx.one("SELECT id, next_offset FROM streams WHERE id = $1", v![*id], end)).collect()
}

/// The row of a stream by its id.
pub fn stream_by_id(tx: &mut Tx<'_>, id: i64) -> Result<StreamRow> {
    tx.one(
        "SELECT id, name, first_offset, next_offset, bytes, last_at FROM streams WHERE id = $1",
        v![id],
        stream_row,
    )
}

pub fn insert_batch(tx: &mut Tx<'_>, stream: i64, chunk: &Chunk, codec: i64, data: &[u8]) -> Result<()> {
    tx.exec(
        "INSERT INTO journal (stream, first_offset, record_count, at, codec, raw_bytes, data) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        v![
            stream,
            chunk.first_offset as i64,
            i64::from(chunk.count),
            chunk.at,
            codec,
            chunk.frames.len() as i64,
            data
        ],
    )?;
    Ok(())
}

pub fn advance(tx: &mut Tx<'_>, stream: i64, next_offset: u64, added_bytes: u64, at: i64) -> Result<()> {
    tx.exec(
        "UPDATE streams SET next_offset = $2, bytes = bytes + $3, last_at = $4 WHERE id = $1",
        v![stream, next_offset as i64, added_bytes as i64, at],
    )?;
    Ok(())
}

pub fn count(tx: &mut Tx<'_>, stream: i64, minute: i64, kind: &str, n: u64) -> Result<()> {
    tx.exec(
        "INSERT INTO stream_counts (stream, minute, kind, record_count) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (stream, minute, kind) DO UPDATE SET record_count = stream_counts.record_count + excluded.record_count",
        v![stream, minute, kind, n as i64],
    )?;
    Ok(())
}

/// Counts per step of minutes and kind, oldest first.
pub fn counts(
    tx: &mut Tx<'_>,
    stream: i64,
    minutes: std::ops::Range<i64>,
    step: i64,
    limit: i64,
) -> Result<Vec<(i64, String, u64)>> {
    tx.query(
        "SELECT (minute / $4) * $4 AS step_at, kind, CAST(sum(record_count) AS BIGINT) FROM stream_counts \
         WHERE stream = $1 AND minute >= $2 AND minute < $3 GROUP BY step_at, kind ORDER BY step_at, kind LIMIT $5",
        v![stream, minutes.start, minutes.end, step, limit],
        |row| Ok((row.get(0)?, row.get(1)?, row.get::<i64>(2)? as u64)),
    )
}

/// Chunks from the one that holds `from` on, until `max_records` or `max_bytes` of frames are read.
pub fn chunks(
    tx: &mut Tx<'_>,
    stream: i64,
    from: u64,
    max_records: u64,
    max_bytes: usize,
) -> Result<Vec<Chunk>> {
    let (mut out, mut records, mut bytes) = (Vec::new(), 0, 0);
    tx.each(
        "SELECT first_offset, record_count, at, codec, raw_bytes, data FROM journal WHERE stream = $1 AND first_offset >= \
         (SELECT coalesce(max(first_offset), 0) FROM journal WHERE stream = $1 AND first_offset <= $2) ORDER BY first_offset",
        v![stream, from as i64],
        |row| {
            let frames = frame::unpack(row.get(3)?, row.get(4)?, row.bytes(5)?)?;
            let chunk =
                Chunk::new(row.get::<i64>(0)? as u64, row.get::<i64>(1)? as u32, row.get(2)?, frames);
            if chunk.next_offset() > from {
                records += chunk.next_offset() - from.max(chunk.first_offset);
                bytes += chunk.frames.len();
                out.push(chunk);
            }
            Ok(records < max_records && bytes < max_bytes)
        },
    )?;
    Ok(out)
}

/// The first offset of what became durable at `at` or later.
pub fn offset_at(tx: &mut Tx<'_>, stream: i64, at: i64) -> Result<Option<u64>> {
    tx.maybe(
        "SELECT first_offset FROM journal WHERE stream = $1 AND at >= $2 ORDER BY at, first_offset LIMIT 1",
        v![stream, at],
        |row| Ok(row.get::<i64>(0)? as u64),
    )
}

/// The oldest batches: first offset, records, bytes as stored, instant.
pub fn oldest(tx: &mut Tx<'_>, stream: i64, limit: i64) -> Result<Vec<(u64, u64, u64, i64)>> {
    tx.query(
        "SELECT first_offset, record_count, length(data), at FROM journal WHERE stream = $1 ORDER BY first_offset LIMIT $2",
        v![stream, limit],
        |row| {
            let n = |column| row.get::<i64>(column).map(|n| n as u64);
            Ok((n(0)?, n(1)?, n(2)?, row.get(3)?))
        },
    )
}

/// The end of the last batch that lies wholly before `offset`, and the bytes of all those; zero if there is none.
pub fn whole_before(tx: &mut Tx<'_>, stream: i64, offset: u64) -> Result<(u64, u64)> {
    tx.one(
        "SELECT coalesce(max(first_offset + record_count), 0), CAST(coalesce(sum(length(data)), 0) AS BIGINT) FROM journal \
         WHERE stream = $1 AND first_offset < $2 AND first_offset + record_count <= $2",
        v![stream, offset as i64],
        |row| Ok((row.get::<i64>(0)? as u64, row.get::<i64>(1)? as u64)),
    )
}

/// Removes what lies before `first_offset`, unless somebody else has since `from` was the first.
pub fn forget(tx: &mut Tx<'_>, stream: i64, from: u64, first_offset: u64, bytes: u64) -> Result<bool> {
    let ours = tx.exec(
        "UPDATE streams SET first_offset = $3, bytes = bytes - $4 WHERE id = $1 AND first_offset = $2",
        v![stream, from as i64, first_offset as i64, bytes as i64],
    )?;
    if ours > 0 {
        tx.exec(
            "DELETE FROM journal WHERE stream = $1 AND first_offset < $2",
            v![stream, first_offset as i64],
        )?;
    }
    Ok(ours > 0)
}

pub fn forget_counts(tx: &mut Tx<'_>, stream: i64, before_minute: i64) -> Result<()> {
    tx.exec("DELETE FROM stream_counts WHERE stream = $1 AND minute < $2", v![stream, before_minute])?;
    Ok(())
}

/// Removes some of a stream's batches; returns how many.
pub fn delete_some(tx: &mut Tx<'_>, stream: i64, limit: i64) -> Result<u64> {
    tx.exec(
        "DELETE FROM journal WHERE stream = $1 AND first_offset IN \
         (SELECT first_offset FROM journal WHERE stream = $1 ORDER BY first_offset LIMIT $2)",
        v![stream, limit],
    )
}

/// Leaves nothing of an emptied stream but its number, which is not given to another: others may remember it.
pub fn abandon(tx: &mut Tx<'_>, stream: i64) -> Result<()> {
    tx.exec("DELETE FROM stream_counts WHERE stream = $1", v![stream])?;
    tx.exec("DELETE FROM consumer_groups WHERE stream = $1", v![stream])?;
    tx.exec("DELETE FROM spool_counts WHERE stream = $1", v![stream])?;
    tx.exec("DELETE FROM outbox WHERE stream = $1", v![stream])?;
    tx.exec(
        "UPDATE streams SET app = '', name = CAST(id AS TEXT), first_offset = next_offset, bytes = 0 WHERE id = $1",
        v![stream],
    )?;
    Ok(())
}

pub fn group(tx: &mut Tx<'_>, stream: i64, name: &str) -> Result<Option<GroupRow>> {
    tx.maybe(
        "SELECT committed, holder, lease_until FROM consumer_groups WHERE stream = $1 AND name = $2",
        v![stream, name],
        group_row,
    )
}

fn group_row(row: &angarium_db::Row<'_>) -> Result<GroupRow> {
    Ok(GroupRow { committed: row.get::<i64>(0)? as u64, holder: row.get(1)?, lease_until: row.get(2)? })
}

pub fn groups(tx: &mut Tx<'_>, stream: i64) -> Result<Vec<(String, u64)>> {
    tx.query(
        "SELECT name, committed FROM consumer_groups WHERE stream = $1 ORDER BY name",
        v![stream],
        |row| Ok((row.get(0)?, row.get::<i64>(1)? as u64)),
    )
}

/// Makes the group if it is not there, at the beginning of the stream.
pub fn ensure_group(tx: &mut Tx<'_>, stream: i64, name: &str, now: i64) -> Result<GroupRow> {
    tx.exec(
        "INSERT INTO consumer_groups (stream, name, committed, updated_at) VALUES ($1, $2, 0, $3) \
         ON CONFLICT (stream, name) DO NOTHING",
        v![stream, name, now],
    )?;
    group(tx, stream, name)?.ok_or_else(|| NOT_FOUND.err("the group was deleted at this moment"))
}

/// Lends the group to `holder` until `until`, unless another one holds it `now`.
pub fn lend_group(
    tx: &mut Tx<'_>,
    stream: i64,
    name: &str,
    holder: &str,
    now: i64,
    until: i64,
) -> Result<Option<GroupRow>> {
    tx.maybe(
        "UPDATE consumer_groups SET holder = $3, lease_until = $5, updated_at = $4 WHERE stream = $1 AND name = $2 \
         AND (holder IS NULL OR holder = $3 OR lease_until <= $4) RETURNING committed, holder, lease_until",
        v![stream, name, holder, now, until],
        group_row,
    )
}

/// Moves what the group has committed to `next` and frees it, unless another one holds it `now`, or it is further already.
pub fn commit_group(
    tx: &mut Tx<'_>,
    stream: i64,
    name: &str,
    holder: &str,
    next: u64,
    now: i64,
) -> Result<bool> {
    let changed = tx.exec(
        "UPDATE consumer_groups SET committed = $4, holder = NULL, lease_until = 0, updated_at = $5 \
         WHERE stream = $1 AND name = $2 AND committed <= $4 AND (holder IS NULL OR holder = $3 OR lease_until <= $5)",
        v![stream, name, holder, next as i64, now],
    )?;
    Ok(changed > 0)
}

pub fn delete_group(tx: &mut Tx<'_>, stream: i64, name: &str) -> Result<bool> {
    Ok(tx.exec("DELETE FROM consumer_groups WHERE stream = $1 AND name = $2", v![stream, name])? > 0)
}
