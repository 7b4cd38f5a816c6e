//! What is done with the inboxes of all apps: old letters go, and how many there are is known.

use crate::{operations::parsed, store};
use angarium_base::{AppId, Result, clock::Millis};
use angarium_kit::{
    Kit,
    dead_letters::{Change, Inbox},
    metrics::KindOfWork,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How often it is looked for letters that are to go.
const EXPIRE_EVERY: Duration = Duration::from_secs(5);
/// How often letters are counted.
const MEASURE_EVERY: Duration = Duration::from_secs(15);
/// Letters that are looked up at a time.
const PIECE: i64 = 500;
/// How long a redrive that has ended is shown.
const RUNS_KEPT_MS: Millis = 7 * 86_400_000;

/// Removes letters that are older than `keep`, until `stop`. May be dropped at any await.
pub async fn expire(kit: Kit, keep: Duration, stop: CancellationToken) {
    let mut failing = false;
    loop {
        let all = async {
            while expire_once(&kit, keep).await? > 0 && !stop.is_cancelled() {}
            let before = kit.clock.now() - RUNS_KEPT_MS;
            kit.db.write(move |tx| store::forget_runs(tx, before)).await
        };
        match all.await {
            Ok(_) => failing = false,
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(?error, "old dead letters cannot be removed at the moment; will try again");
            }
            Err(_) => {}
        }
        if stop.run_until_cancelled(tokio::time::sleep(EXPIRE_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Removes one piece of what is too old, an app at a time. Returns how many letters that were.
///
/// # Errors
/// When the store cannot do its work.
pub async fn expire_once(kit: &Kit, keep: Duration) -> Result<usize> {
    let now = kit.clock.now();
    let before = now.saturating_sub(keep.as_millis().try_into().unwrap_or(Millis::MAX));
    let mut of_apps: BTreeMap<AppId, Vec<String>> = BTreeMap::new();
    for (app, id) in kit.db.read(move |tx| store::expired(tx, before, PIECE)).await? {
        of_apps.entry(app).or_default().push(id);
    }
    let mut expired = 0;
    for (app, ids) in of_apps {
        let inbox = Inbox::of(kit, &app).await?;
        let kinds = kit
            .db
            .write(move |tx| {
                let mut kinds = Vec::new();
                for id in &ids {
                    // Given up again in the meantime, it is no longer old.
                    let Some(row) = store::remove(tx, &app, id, before)? else { continue };
                    inbox.tell(tx, now, &parsed(id)?, &row.letter, Change::Expired);
                    kinds.push(row.letter.kind);
                }
                Ok(kinds)
            })
            .await?;
        expired += kinds.len();
        kinds.iter().for_each(|kind| Inbox::count(kit, kind, Change::Expired, 1));
    }
    Ok(expired)
}

/// Keeps the metrics of what is in the inboxes fresh, until `stop`.
pub async fn measure(kit: Kit, stop: CancellationToken) {
    let mut seen = BTreeSet::new();
    loop {
        if let Err(error) = measure_once(&kit, &mut seen).await {
            tracing::debug!(?error, "dead letters were not counted");
        }
        if stop.run_until_cancelled(tokio::time::sleep(MEASURE_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Counts letters; `seen` are the kinds that were counted before, which may be none by now.
///
/// # Errors
/// When the store cannot be asked.
pub async fn measure_once(kit: &Kit, seen: &mut BTreeSet<String>) -> Result<()> {
    let depths = kit.db.read(store::depths).await?;
    let metrics = &kit.metrics;
    let depth_of = |kind: &str| metrics.dead_letters.get_or_create(&KindOfWork { kind: kind.to_owned() });
    for gone in seen.iter().filter(|kind| !depths.iter().any(|(there, ..)| there == *kind)) {
        depth_of(gone).set(0);
    }
    for (kind, letters, _) in &depths {
        depth_of(kind).set(*letters);
        seen.insert(kind.clone());
    }
    let oldest = depths.iter().map(|(.., last_at)| kit.clock.now() - last_at).max();
    metrics.dead_letters_oldest_seconds.set(oldest.unwrap_or(0).max(0) / 1_000);
    Ok(())
}
