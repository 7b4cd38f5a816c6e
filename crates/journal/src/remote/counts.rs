//! Counts per minute and kind of streams in Kafka: each node tells the store what went through its spool.

use super::Remote;
use angarium_base::Result;
use angarium_db::{Tx, v};
use std::{collections::HashMap, time::Duration};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_millis(500);
/// What a start tells once more, should the process before have ended in between.
const AGAIN_MINUTES: i64 = 24 * 60;
/// Rows told in one transaction.
const PIECE: usize = 500;

/// App, stream, minute, kind, count.
type Counted = (String, String, i64, String, i64);

/// Runs until the journal is gone, telling what changed; looks after the spool's size on the way.
pub async fn tell(remote: std::sync::Weak<Remote>, stop: CancellationToken) {
    let mut told: HashMap<(String, String, i64, String), i64> = HashMap::new();
    let mut failing = false;
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        let Some(remote) = remote.upgrade() else { return };
        let outcome = async {
            remote.spool.weigh().await?;
            tell_once(&remote, &remote.db, &mut told).await
        };
        match outcome.await {
            Ok(()) => failing = false,
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(?error, "counts cannot be told at the moment; will try again");
            }
            Err(_) => {}
        }
    }
}

async fn tell_once(
    remote: &Remote,
    db: &angarium_db::Db,
    told: &mut HashMap<(String, String, i64, String), i64>,
) -> Result<()> {
    let now = remote.spool.journal.clock().now() / 60_000;
    let since = if told.is_empty() { now - AGAIN_MINUTES } else { now - 2 };
    let counted = remote.spool.journal.db().read(move |tx| counted_since(tx, since)).await?;
    let changed: Vec<Counted> = counted
        .into_iter()
        .filter(|(app, stream, minute, kind, n)| {
            told.get(&(app.clone(), stream.clone(), *minute, kind.clone())) != Some(n)
        })
        .collect();
    for piece in changed.chunks(PIECE) {
        let (rows, spool) = (piece.to_vec(), remote.name().to_owned());
        db.write(move |tx| rows.iter().try_for_each(|row| save(tx, &spool, row))).await?;
        told.extend(piece.iter().map(|(app, stream, minute, kind, n)| {
            ((app.clone(), stream.clone(), *minute, kind.clone()), *n)
        }));
    }
    told.retain(|(_, _, minute, _), _| *minute >= now - 2);
    Ok(())
}

fn counted_since(tx: &mut Tx<'_>, since: i64) -> Result<Vec<Counted>> {
    tx.query(
        "SELECT s.app, s.name, c.minute, c.kind, c.record_count FROM stream_counts c JOIN streams s ON s.id = c.stream \
         WHERE c.minute >= $1",
        v![since],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
    )
}

fn save(tx: &mut Tx<'_>, spool: &str, (app, stream, minute, kind, n): &Counted) -> Result<()> {
    tx.exec(
        "INSERT INTO spool_counts (spool, stream, minute, kind, record_count) \
         SELECT $1, id, $4, $5, $6 FROM streams WHERE app = $2 AND name = $3 \
         ON CONFLICT (stream, minute, kind, spool) DO UPDATE SET record_count = excluded.record_count",
        v![spool, app, stream, *minute, kind, *n],
    )?;
    Ok(())
}

/// As [`crate::store::counts`], over all spools.
pub fn counts(
    tx: &mut Tx<'_>,
    stream: i64,
    minutes: std::ops::Range<i64>,
    step: i64,
    limit: i64,
) -> Result<Vec<(i64, String, u64)>> {
    tx.query(
        "SELECT (minute / $4) * $4 AS step_at, kind, CAST(sum(record_count) AS BIGINT) FROM spool_counts \
         WHERE stream = $1 AND minute >= $2 AND minute < $3 GROUP BY step_at, kind ORDER BY step_at, kind LIMIT $5",
        v![stream, minutes.start, minutes.end, step, limit],
        |row| Ok((row.get(0)?, row.get(1)?, row.get::<i64>(2)? as u64)),
    )
}
