//! What the journal does in the background: retention, and the care of the remembered ids.
//!
//! Everything goes through the writer in small pieces, so that no tick is held up by it.

use crate::{
    Journal,
    dedupe::{self, Remembered, shared},
    store,
};
use angarium_base::{Result, clock::Millis};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long, and how much of, a stream is kept. `None`: for ever, without bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub age_ms: Option<Millis>,
    pub bytes: Option<u64>,
}

const EVERY: Duration = Duration::from_secs(1);
/// Rows that one closure removes or writes.
const PIECE: i64 = 64;

impl Journal {
    /// Runs until `stop`.
    pub async fn maintain(&self, stop: CancellationToken) {
        let mut retention_at = tokio::time::Instant::now();
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            if let Err(error) = self.care_for_ids().await {
                tracing::warn!(?error, "the remembered ids could not be tended; will try again");
            }
            if retention_at.elapsed() >= self.retention_every() {
                retention_at = tokio::time::Instant::now();
                if let Err(error) = self.retain(&stop).await {
                    tracing::warn!(?error, "retention could not remove old records; will try again");
                }
            }
        }
    }

    /// Sorts full sets of ids onto the disk, and forgets what left the window.
    async fn care_for_ids(&self) -> Result<()> {
        let seen = match self.seen() {
            Remembered::Here(seen) => seen,
            Remembered::Shared(window) => {
                let before = self.clock().now() - window.age_ms;
                while self.db().write(move |tx| shared::forget_some(tx, before)).await? > 0 {}
                return Ok(());
            }
        };
        loop {
            let Some((run, newest_at, set)) = seen.lock().to_seal() else { break };
            let ids = set.len();
            let (rows, filter) = dedupe::seal(&set);
            drop(set);
            for piece in rows.chunks(PIECE as usize) {
                let piece = piece.to_vec();
                self.db().write(move |tx| dedupe::save_sorted(tx, run, &piece)).await?;
            }
            let saved = filter.clone();
            self.db().write(move |tx| dedupe::save_run(tx, run, ids, newest_at, &saved)).await?;
            seen.lock().sealed(run, filter);
        }
        loop {
            let Some(run) = seen.lock().expire(self.clock().now()) else { break };
            self.db().write(move |tx| dedupe::delete_run(tx, run)).await?;
        }
        Ok(())
    }

    /// Removes what is older, or more, than each stream keeps. Returns how many records went.
    pub async fn retain(&self, stop: &CancellationToken) -> Result<u64> {
        let mut removed = 0;
        for stream in self.db().read(store::all_streams).await? {
            let retention = self.retention(&stream.name);
            if retention == Retention::default() {
                continue;
            }
            let now = self.clock().now();
            while !stop.is_cancelled() {
                let (next, n) = self.db().write(move |tx| remove_some(tx, stream.id, retention, now)).await?;
                removed += n;
                if n == 0 {
                    break;
                }
                self.tails().forget(stream.id, next);
                // Leaves the writer to those who wait for an answer.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if let Some(age_ms) = retention.age_ms {
                let before = (now - age_ms) / 60_000;
                self.db().write(move |tx| store::forget_counts(tx, stream.id, before)).await?;
            }
        }
        Ok(removed)
    }
}

/// Returns the first offset that is left, and how many records went.
fn remove_some(
    tx: &mut angarium_db::Tx<'_>,
    stream: i64,
    keep: Retention,
    now: Millis,
) -> Result<(u64, u64)> {
    let row = store::stream_by_id(tx, stream)?;
    let (mut next, mut records, mut bytes) = (row.first_offset, 0, 0);
    for (first, count, size, at) in store::oldest(tx, stream, PIECE)? {
        let old = keep.age_ms.is_some_and(|age_ms| at < now - age_ms);
        let over = keep.bytes.is_some_and(|most| row.bytes - bytes > most);
        if !old && !over {
            break;
        }
        next = first + count;
        records += count;
        bytes += size;
    }
    if records == 0 || !store::forget(tx, stream, row.first_offset, next, bytes)? {
        return Ok((row.first_offset, 0));
    }
    Ok((next, records))
}
