//! Remembered ids of a store that several processes append to: one row an id, and the statement that takes it in
//! tells whether it was there. PostgreSQL only.

use super::{HASH_BYTES, IdHash, join, split};
use angarium_base::Result;
use angarium_db::{Tx, v};
use std::collections::HashSet;

/// Ids that one statement removes.
const PIECE: i64 = 10_000;

/// Takes the ids in; says of each whether it was new. Who takes the same id in at the same time waits for the other's
/// transaction; the ids go in sorted, so that no two wait for each other.
pub fn admit(tx: &mut Tx<'_>, ids: &[IdHash], now: i64) -> Result<Vec<bool>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut new: HashSet<IdHash> = HashSet::with_capacity(sorted.len());
    let width = HASH_BYTES as i64;
    tx.query(
        "INSERT INTO seen_ids (hash, at) SELECT substring(CAST($1 AS BYTEA) FROM CAST(n * $2 + 1 AS INTEGER) FOR CAST($2 AS INTEGER)), $3 \
         FROM generate_series(CAST(0 AS BIGINT), $4 - 1) AS n ON CONFLICT DO NOTHING RETURNING hash",
        v![&join(&sorted)[..], width, now, sorted.len() as i64],
        |row| {
            new.extend(split(row.bytes(0)?));
            Ok(())
        },
    )?;
    // The first of those that are the same is the new one.
    Ok(ids.iter().map(|id| new.remove(id)).collect())
}

/// Forgets some of the ids that were taken in before `before`; returns how many.
pub fn forget_some(tx: &mut Tx<'_>, before: i64) -> Result<u64> {
    tx.exec(
        "DELETE FROM seen_ids WHERE ctid IN (SELECT ctid FROM seen_ids WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        v![before, PIECE],
    )
}
