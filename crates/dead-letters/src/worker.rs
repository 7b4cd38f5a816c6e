//! Carries redrives out: one process of a fleet at a time, and no harm done by a second.
//!
//! A piece is one transaction. It begins by making the row of its redrive its own, on the condition that it is where it
//! was read, and ends by writing how far it is: a second runner, or this one after a crash, finds either all of a piece
//! done or nothing. A letter that cannot be run again is met alone, left where it is, and passed over.

use crate::{
    model::{LetterRow, RunRow, State},
    operations::{LOOKED, PIECE, parsed, redrive},
    rules::Pace,
    store::{self, Window},
};
use angarium_base::{Kind, RedriveId, Result, clock::Millis};
use angarium_db::Tx;
use angarium_kit::{
    Kit,
    dead_letters::{Change, Inbox},
};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The feed's topic on which it is said that a redrive was asked for.
pub const ASKED: &str = "redrives";
/// How often it is looked for redrives, should nobody have said so.
const LOOK: Duration = Duration::from_secs(2);
/// The shortest pause between two pieces of a redrive.
const TICK: Duration = Duration::from_millis(20);
/// Redrives that are read at a time, over all apps.
const RUNS: i64 = 1_000;
/// Bytes of originals that one piece holds in memory; one letter is always taken.
const PIECE_BYTES: i64 = 8 << 20;
/// How often a letter that cannot be run again is tried.
const TRIES: u32 = 3;

/// What this process knows of a redrive that it carries out.
struct Under {
    pace: Pace,
    seen: Instant,
    /// Letters that the next piece may have: half as many after a failure, until the one that fails is met alone.
    limit: i64,
    /// How often a piece of a single letter has failed.
    tries: u32,
}

/// What came of a piece.
struct Moved {
    run: RunRow,
    /// Of each letter that was run again.
    kinds: Vec<String>,
}

/// Carries out what is asked for, until `stop`. May be dropped at any await.
pub async fn run(kit: Kit, stop: CancellationToken) {
    let mut asked = kit.feed.subscribe(ASKED);
    let mut under = HashMap::new();
    let mut failing = false;
    while !stop.is_cancelled() {
        let pause = match round(&kit, &mut under, &stop).await {
            Ok(pause) => {
                failing = false;
                pause
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(?error, "dead letters cannot be redriven at the moment; will try again");
                }
                LOOK
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
            // A feed that is closed tells nothing any more.
            Some(_) = asked.next() => {}
        }
    }
}

/// Gives every redrive what is due to it. Returns how long nothing is due.
async fn round(
    kit: &Kit,
    under: &mut HashMap<RedriveId, Under>,
    stop: &CancellationToken,
) -> Result<Duration> {
    let runs = kit.db.read(|tx| store::running(tx, RUNS)).await?;
    under.retain(|id, _| runs.iter().any(|run| run.id == *id));
    let mut pause = LOOK;
    for run in runs {
        if stop.is_cancelled() {
            break;
        }
        let now = Instant::now();
        let known = under.entry(run.id.clone()).or_insert_with(|| Under {
            pace: Pace::new(run.rate),
            seen: now,
            limit: PIECE,
            tries: 0,
        });
        let due = known.pace.pass(now - std::mem::replace(&mut known.seen, now));
        if due > 0 {
            carry_on(kit, run, known, due).await?;
        }
        pause = pause.min(known.pace.wait().max(TICK));
    }
    Ok(pause)
}

/// Does one piece of a redrive.
///
/// # Errors
/// When the store cannot do its work; what is wrong with a letter is none.
async fn carry_on(kit: &Kit, run: RunRow, known: &mut Under, due: u64) -> Result<()> {
    let limit = known.limit.min(due as i64);
    match piece(kit, &run, limit, known.tries >= TRIES).await {
        // It is no longer where it was read: the next round sees where it is.
        Ok(None) => {}
        Ok(Some(Moved { run: moved, kinds })) => {
            known.pace.spend(kinds.len() as u64);
            (known.limit, known.tries) = (PIECE.min(known.limit * 2), 0);
            kinds.iter().for_each(|kind| Inbox::count(kit, kind, Change::Redriven, 1));
            if moved.state == State::Done {
                let RunRow { app, id, redriven, failed, .. } = moved;
                tracing::info!(%app, redrive = %id, redriven, failed, "a redrive is done");
            }
        }
        Err(error) if error.kind() == Kind::Unavailable => return Err(error),
        Err(error) => {
            known.limit = (limit / 2).max(1);
            if limit == 1 {
                // What is not there any more will not be there the next time either.
                known.tries = if error.kind().retryable() { known.tries + 1 } else { TRIES };
            }
            tracing::debug!(?error, redrive = %run.id, "a piece of a redrive failed");
        }
    }
    Ok(())
}

/// One transaction: up to `limit` letters become due again. `passes_over`: the first one is left where it is instead.
async fn piece(kit: &Kit, run: &RunRow, limit: i64, passes_over: bool) -> Result<Option<Moved>> {
    let inbox = Inbox::of(kit, &run.app).await?;
    let (own, run, now) = (kit.clone(), run.clone(), kit.clock.now());
    kit.db
        .write(move |tx| {
            if !store::hold_run(tx, &run.app, &run)? {
                return Ok(None);
            }
            let (mut moved, mut kinds) = (run.clone(), Vec::new());
            let limit = limit.min(run.left().unwrap_or(limit));
            let window = match limit > 0 {
                true => store::window(tx, &run.app, run.next_seq, run.end_seq, LOOKED)?,
                false => None,
            };
            match window {
                None => (moved.state, moved.ended_at) = (State::Done, Some(now)),
                Some(window) => {
                    let rows = due(tx, &run, window, limit)?;
                    moved.next_seq = rows.next_seq;
                    for row in rows.rows {
                        match one(&own, tx, (&run, &inbox), now, (row, passes_over))? {
                            Fate::Redriven(kind) => kinds.push(kind),
                            Fate::Left => moved.failed += 1,
                            Fate::Gone => {}
                        }
                    }
                    moved.redriven += kinds.len() as i64;
                }
            }
            store::move_run(tx, &run.app, &moved)?;
            Ok(Some(Moved { run: moved, kinds }))
        })
        .await
}

struct Due {
    rows: Vec<LetterRow>,
    /// Where the next piece begins.
    next_seq: i64,
}

/// The letters of a piece: no more than `limit`, and no more than may be in memory together.
fn due(tx: &mut Tx<'_>, run: &RunRow, window: Window, limit: i64) -> Result<Due> {
    let mut rows = store::list(tx, &run.app, &run.filter, window, limit)?;
    let mut bytes = 0;
    let fitting = rows.iter().take_while(|row| {
        let is_first = bytes == 0;
        bytes += row.size_bytes.max(1);
        is_first || bytes <= PIECE_BYTES
    });
    let fitting = fitting.count();
    let is_cut = fitting < rows.len() || rows.len() as i64 == limit;
    rows.truncate(fitting);
    let last = rows.last().filter(|_| is_cut).map_or(window.last, |last| last.seq);
    Ok(Due { rows, next_seq: last + 1 })
}

enum Fate {
    Redriven(String),
    /// Somebody else has had it in the meantime.
    Gone,
    Left,
}

fn one(
    kit: &Kit,
    tx: &mut Tx<'_>,
    (run, inbox): (&RunRow, &Inbox),
    now: Millis,
    (row, passes_over): (LetterRow, bool),
) -> Result<Fate> {
    if passes_over || !kit.parts.redrives.contains_key(row.letter.kind.as_str()) {
        return Ok(Fate::Left);
    }
    let id = parsed(&row.id)?;
    match store::take(tx, &run.app, id.as_str()) {
        Ok(row) => redrive(kit, tx, &run.app, inbox, now, row).map(|redriven| Fate::Redriven(redriven.kind)),
        Err(error) if error.kind() == Kind::NotFound => Ok(Fate::Gone),
        Err(error) => Err(error),
    }
}
