//! What the first start of a data directory makes, and what every start loads.

use crate::store;
use angarium_base::{AppId, Clock, Context, KeyId, Result, Secret, error::INTERNAL};
use angarium_db::Db;
use angarium_kit::access::{App, Directory, Key, Role};
use serde::Serialize;
use std::sync::atomic::AtomicI64;

/// The app and the keys of a new data directory. The only place where keys are readable.
#[derive(Clone, Debug, Serialize)]
pub struct FirstStart {
    pub app: String,
    pub bundle_id: String,
    /// Role `admin`: for servers and people, not for apps and pages.
    pub secret_key: String,
    /// Role `ingest`: safe inside an app or a page.
    pub write_key: String,
    /// Role `viewer`: reads, changes nothing. The live page's link carries it.
    pub view_key: String,
}

/// Makes the default app and its keys, unless there is an app already.
pub async fn first_start(db: &Db, clock: &Clock) -> Result<Option<FirstStart>> {
    if !db.read(store::all_apps).await?.is_empty() {
        return Ok(None);
    }
    let now = clock.now();
    let app = AppId::new(now);
    let secret = |prefix| Secret::random(prefix).or_error(INTERNAL, "the system has no randomness to give");
    let keys = [
        (KeyId::new(now), Role::Admin, secret("ang_sk_")?),
        (KeyId::new(now), Role::Ingest, secret("ang_wk_")?),
        (KeyId::new(now), Role::Viewer, secret("ang_sk_")?),
    ];
    let [sk, wk, vk] = keys.each_ref().map(|(_, _, secret)| secret.expose().to_owned());
    let made = FirstStart {
        app: app.to_string(),
        bundle_id: "default.app.local".into(),
        secret_key: sk,
        write_key: wk,
        view_key: vk,
    };
    let bundle_id = made.bundle_id.clone();
    let ours = db.write(move |tx| {
        // Of processes that start at the same moment on one store, one makes it.
        let made = store::insert_app(
            tx,
            &App {
                id: app.clone(),
                name: "Default".into(),
                bundle_id: bundle_id.clone(),
                created_at: now,
                truncate_addresses: false,
            },
        )?;
        if !made {
            return Ok(false);
        }
        for (id, role, secret) in &keys {
            let key = Key {
                id: id.clone(),
                app: app.clone(),
                name: format!("first start: {}", role.as_str()),
                role: *role,
                expires_at: None,
                last_used_at: AtomicI64::new(0),
            };
            store::insert_key(tx, &key, &secret.hash(), now)?;
        }
        Ok(true)
    });
    Ok(ours.await?.then_some(made))
}

/// Fills the directory from the store.
pub async fn load(db: &Db, directory: &Directory) -> Result<()> {
    let (apps, keys) = db.read(|tx| Ok((store::all_apps(tx)?, store::all_keys(tx)?))).await?;
    directory.replace(apps, keys);
    Ok(())
}
