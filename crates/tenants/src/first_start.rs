//! What the first start of a data directory makes.

use crate::{
    model::{GrantRow, KeyRow},
    operations::hint,
    store::{self, Maker},
};
use angarium_base::{AppId, Clock, Context, GrantId, KeyId, Result, Secret, clock::Millis, error::INTERNAL};
use angarium_db::Db;
use angarium_kit::access::{App, Holder, Role};
use serde::Serialize;

/// The bundle id of the first start's app.
pub const BUNDLE_ID: &str = "default.app.local";

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
    /// Of the data directory's own issuer, for development: a user who is admin of the app, and may make others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// What a first start is about to make: readable already, and in nobody's store yet.
pub struct Making {
    pub first: FirstStart,
    app: App,
    keys: [(KeyRow, Secret); 3],
    admin: Option<GrantRow>,
}

/// A default app and its keys, unless there has been an app already. `admin` is a user who is its admin too.
///
/// # Errors
/// When the store cannot be read.
pub async fn first_start(db: &Db, clock: &Clock, admin: Option<Holder>) -> Result<Option<Making>> {
    if !db.read(store::is_new).await? {
        return Ok(None);
    }
    let now = clock.now();
    let app = App {
        id: AppId::new(now),
        name: "Default".into(),
        bundle_id: BUNDLE_ID.into(),
        created_at: now,
        truncate_addresses: false,
        cors_origins: Vec::new(),
    };
    let keys = [
        new_key(&app, Role::Admin, now)?,
        new_key(&app, Role::Ingest, now)?,
        new_key(&app, Role::Viewer, now)?,
    ];
    let [secret_key, write_key, view_key] = keys.each_ref().map(|(_, secret)| secret.expose().to_owned());
    let first = FirstStart {
        app: app.id.to_string(),
        bundle_id: app.bundle_id.clone(),
        secret_key,
        write_key,
        view_key,
        token: None,
    };
    let admin = admin.map(|holder| GrantRow {
        id: GrantId::new(now),
        app: app.id.clone(),
        holder,
        role: Role::Admin,
        created_at: now,
        created_by: "first start".into(),
    });
    Ok(Some(Making { first, app, keys, admin }))
}

impl Making {
    /// Puts it into the store; `None` when another process was first.
    ///
    /// # Errors
    /// When the store cannot be written to.
    pub async fn commit(self, db: &Db) -> Result<Option<FirstStart>> {
        let Making { first, app, keys, admin } = self;
        let ours = db.write(move |tx| {
            // Of processes that start at the same moment on one store, one makes it.
            if !store::insert_app(tx, &app, &Maker::FirstStart)? {
                return Ok(false);
            }
            for (row, secret) in &keys {
                store::insert_key(tx, &app.id, row, &secret.hash())?;
            }
            if let Some(grant) = &admin {
                store::insert_grant(tx, &app.id, grant)?;
            }
            store::changed(tx)?;
            Ok(true)
        });
        Ok(ours.await?.then_some(first))
    }
}

/// Whether the store has an app with this id: whether what a first start was about to make was made.
///
/// # Errors
/// When the store cannot be read.
pub async fn has_app(db: &Db, id: &str) -> Result<bool> {
    let Some(id) = AppId::parse(id) else { return Ok(false) };
    db.read(move |tx| store::has_app(tx, &id)).await
}

fn new_key(app: &App, role: Role, now: Millis) -> Result<(KeyRow, Secret)> {
    let prefix = if role == Role::Ingest { "ang_wk_" } else { "ang_sk_" };
    let secret = Secret::random(prefix).or_error(INTERNAL, "the system has no randomness to give")?;
    let row = KeyRow {
        id: KeyId::new(now),
        app: app.id.clone(),
        name: format!("first start: {}", role.as_str()),
        role,
        hint: hint(&secret),
        created_at: now,
        expires_at: None,
        last_used_at: 0,
    };
    Ok((row, secret))
}
