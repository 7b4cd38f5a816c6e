//! What other processes append to the same store, made visible to those who wait here.
//!
//! Only streams that somebody watches are read; of the others the end is moved, and readers find the rest in the
//! store. It looks when it is told that there is news, and now and then all the same: news may be lost.

use crate::{Journal, State, store};
use angarium_base::{AppId, Result};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::sync::Notify;

/// How often it looks when nobody says anything.
const LOOK: Duration = Duration::from_millis(250);
/// Frames that one look at one stream takes into memory at most, beyond the first batch.
const LOOK_BYTES: usize = 2 << 20;

impl Journal {
    /// Which apps have a stream of this name.
    pub async fn apps_with(&self, name: &'static str) -> Result<Vec<AppId>> {
        let owners = self.db().read(move |tx| store::owners(tx, name)).await?;
        Ok(owners.iter().filter_map(|owner| AppId::parse(owner)).collect())
    }
}

/// Runs until the journal is gone.
pub async fn run(journal: Weak<State>, bell: Arc<Notify>, shared: bool) {
    let mut failing = false;
    loop {
        if shared {
            // Whichever comes first.
            let _ = tokio::time::timeout(LOOK, bell.notified()).await;
        } else {
            bell.notified().await;
        }
        let Some(state) = journal.upgrade() else { return };
        match catch_up(&state).await {
            Ok(()) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(?error, "what others append cannot be read at the moment; will try again");
                }
                drop(state);
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

async fn catch_up(state: &State) -> Result<()> {
    let known = state.tails.ends();
    let ids: Vec<i64> = known.iter().map(|(id, ..)| *id).collect();
    if ids.is_empty() || known.iter().all(|(.., watched)| !watched) && state.db.is_shared() {
        return Ok(());
    }
    let ends = state.db.read(move |tx| store::ends(tx, &ids)).await?;
    for (id, visible, watched) in known {
        let Some((_, end)) = ends.iter().find(|(other, _)| *other == id) else { continue };
        if !watched {
            state.tails.skip_to(id, *end);
            continue;
        }
        let mut from = visible;
        while from < *end {
            let chunks = state.db.read(move |tx| store::chunks(tx, id, from, u64::MAX, LOOK_BYTES)).await?;
            let Some(first) = chunks.first() else { break };
            if first.first_offset > from {
                // Retention took what lay between.
                state.tails.skip_to(id, first.first_offset);
            }
            from = chunks.last().map_or(*end, |chunk| chunk.next_offset());
            state.tails.publish(chunks.into_iter().map(|chunk| (id, Arc::new(chunk))).collect());
        }
    }
    Ok(())
}
