//! The data of deleted apps: goes in the background, a piece at a time, and is tried again until it is gone.

use crate::store;
use angarium_base::{AppId, Result, clock::Millis};
use angarium_kit::{Eraser, Kit, dead_letters, idempotency};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked for deleted apps.
const LOOK: Duration = Duration::from_secs(5);
/// By then no process lets anybody into the app any more, and what was let in is over.
const GRACE_MS: Millis = 15_000;
/// Blobs that are removed between two looks at the stop token.
const BLOBS: usize = 1_000;

pub async fn run(kit: Kit, stop: CancellationToken) {
    let mut failing = false;
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        match sweep(&kit, &stop).await {
            Ok(()) => failing = false,
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(?error, "the data of a deleted app cannot be removed; will try again");
            }
            Err(_) => {}
        }
    }
}

async fn sweep(kit: &Kit, stop: &CancellationToken) -> Result<()> {
    let before = kit.clock.now() - GRACE_MS;
    for app in kit.db.read(move |tx| store::deleted_apps(tx, before)).await? {
        kit.journal.delete_streams(&app, stop).await?;
        delete_blobs(kit, &app, stop).await?;
        erase(kit, &app, stop).await?;
        if stop.is_cancelled() {
            return Ok(());
        }
        let id = app.clone();
        kit.db
            .write(move |tx| {
                idempotency::delete_of(tx, id.as_str())?;
                store::forget_app(tx, &id)
            })
            .await?;
        tracing::info!(%app, "the data of a deleted app is gone");
    }
    Ok(())
}

/// What the slices keep in tables of their own.
async fn erase(kit: &Kit, app: &AppId, stop: &CancellationToken) -> Result<()> {
    let erasers = kit.parts.erasers.iter().copied().chain([dead_letters::erase as Eraser]);
    for eraser in erasers {
        loop {
            let id = app.clone();
            if stop.is_cancelled() || kit.db.write(move |tx| eraser(tx, &id)).await? == 0 {
                break;
            }
        }
    }
    Ok(())
}

async fn delete_blobs(kit: &Kit, app: &AppId, stop: &CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        let page = kit.blobs.list(app, "", None, BLOBS).await?;
        for blob in &page.blobs {
            kit.blobs.delete(app, &blob.name).await?;
        }
        if page.blobs.is_empty() {
            return Ok(());
        }
    }
    Ok(())
}
