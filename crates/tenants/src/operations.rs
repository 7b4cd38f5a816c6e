//! What can be done with apps, grants and keys: each one transaction of state, audit and, if the caller sent an
//! `Idempotency-Key`, its answer. The API and the server's console share them.

use crate::{
    CHANGED, load,
    model::{AppPatch, AppView, GrantRow, GrantView, KeyMade, KeyRow, KeyView, NewApp, NewGrant, NewKey},
    rules::{self, BUNDLE_ID_TAKEN, INVALID_BODY, fault},
    store::{self, Maker},
};
use angarium_base::{
    AppId, Context, GrantId, KeyId, Result, Secret,
    clock::Millis,
    error::{Fault, INTERNAL, NOT_FOUND},
    time,
};
use angarium_db::Tx;
use angarium_kit::{
    Kit,
    access::{App, FORBIDDEN, Holder, PROXY_ISSUER, Principal, Role},
    audit::{Audit, Change, Whence},
    idempotency::{self, Answered, Once},
};
use http::StatusCode;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Who does it, from where, and whether it is to be done once.
#[derive(Clone)]
pub struct By {
    /// `None`: whoever has the server's console.
    pub principal: Option<Principal>,
    pub whence: Whence,
    pub once: Option<Once>,
}

impl By {
    pub fn console() -> By {
        By { principal: None, whence: Whence::console(), once: None }
    }

    async fn audit(&self, kit: &Kit, app: &AppId) -> Result<Audit> {
        Audit::of(kit, app, self.principal.as_ref(), self.whence.clone()).await
    }

    /// As a grant says who gave it.
    fn name(&self) -> String {
        match &self.principal {
            None => "console".to_owned(),
            Some(Principal::Key(key)) => key.id.to_string(),
            Some(Principal::User(user)) => user.email.clone().unwrap_or_else(|| user.subject.clone()),
        }
    }

    /// Keeps the answer of a creation with it.
    fn settle(&self, tx: &mut Tx<'_>, location: &str, body: &[u8], sealed: Option<&[u8]>) -> Result<()> {
        let Some(once) = &self.once else { return Ok(()) };
        once.settle(tx, &created(location, body, sealed))
    }
}

fn created<'a>(location: &'a str, body: &'a [u8], sealed: Option<&'a [u8]>) -> Answered<'a> {
    Answered { status: StatusCode::CREATED, location: Some(location), body, sealed }
}

fn refuse(faults: Vec<Fault>) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let detail = format!("this cannot be: {}", faults[0].detail);
    Err(INVALID_BODY.err(detail).with_faults(faults))
}

fn text(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).or_error(INTERNAL, "an answer could not be written")
}

/// Makes the directory say what the store says, here and in other processes.
async fn refresh(kit: &Kit) -> Result<()> {
    kit.feed.publish(CHANGED, bytes::Bytes::new());
    load(&kit.db, &kit.directory).await
}

/// Makes an app. A user who makes one becomes its admin.
///
/// # Errors
/// `invalid_body`, `bundle_id_taken`, `too_many`.
pub async fn create_app(kit: &Kit, by: By, new: NewApp) -> Result<AppView> {
    refuse(rules::check_name(&new.name).into_iter().chain(rules::check_bundle_id(&new.bundle_id)).collect())?;
    let now = kit.clock.now();
    let maker = by.principal.as_ref().map_or(Maker::Console, |principal| Maker::User(principal.id()));
    let app = App {
        id: AppId::new(now),
        name: new.name,
        bundle_id: new.bundle_id,
        created_at: now,
        truncate_addresses: false,
        cors_origins: Vec::new(),
    };
    let audit = by.audit(kit, &app.id).await?;
    let grant = by.principal.as_ref().and_then(own_grant).map(|holder| GrantRow {
        id: GrantId::new(now),
        app: app.id.clone(),
        holder,
        role: Role::Admin,
        created_at: now,
        created_by: by.name(),
    });
    let view = AppView::from(&app);
    let (body, location) = (text(&view)?, app_path(&app.id));
    kit.db
        .write(move |tx| {
            if !store::insert_app(tx, &app, &maker)? {
                return Err(bundle_id_taken());
            }
            let changes = json!({ "name": app.name, "bundle_id": app.bundle_id });
            audit.write(tx, now, &change("apps.create", "app", &app.id, changes));
            if let Some(grant) = &grant {
                store::insert_grant(tx, &app.id, grant)?;
                audit.write(tx, now, &grant_change("grants.create", grant));
            }
            store::changed(tx)?;
            match &by.once {
                Some(once) => once.settle_app(tx, &created(&location, &body, None), &app.id),
                None => Ok(()),
            }
        })
        .await?;
    refresh(kit).await?;
    Ok(view)
}

fn own_grant(principal: &Principal) -> Option<Holder> {
    match principal {
        Principal::Key(_) => None,
        // A proxy's word is an address, and so is the grant: it holds whoever else vouches for it.
        Principal::User(user) if user.issuer == PROXY_ISSUER => user.email.clone().map(Holder::Email),
        Principal::User(user) => Some(Holder::Subject {
            issuer: user.issuer.clone(),
            tenant: user.tenant.clone(),
            subject: user.subject.clone(),
        }),
    }
}

pub fn app_path(app: &AppId) -> String {
    format!("/v1/apps/{app}")
}

fn bundle_id_taken() -> angarium_base::Error {
    let fault = fault("/bundle_id", BUNDLE_ID_TAKEN.name, "another app has it");
    BUNDLE_ID_TAKEN.err("another app has this bundle id; choose another one").with_faults(vec![fault])
}

fn change(action: &'static str, kind: &'static str, id: &dyn std::fmt::Display, changes: Value) -> Change {
    Change { action, kind, id: id.to_string(), changes }
}

fn grant_change(action: &'static str, grant: &GrantRow) -> Change {
    let holder = match &grant.holder {
        Holder::Email(email) => json!({ "email": email }),
        Holder::Subject { issuer, tenant, subject } => {
            json!({ "issuer": issuer, "tenant": tenant, "subject": subject })
        }
    };
    change(action, "grant", &grant.id, json!({ "holder": holder, "role": grant.role.as_str() }))
}

fn key_change(action: &'static str, key: &KeyRow) -> Change {
    let changes = json!({
        "name": key.name,
        "role": key.role.as_str(),
        "hint": key.hint,
        "expires_at": key.expires_at.map(time::format),
    });
    change(action, "key", &key.id, changes)
}

/// Changes what is given of an app, and nothing else.
///
/// # Errors
/// `invalid_body`, `bundle_id_taken`, `not_found`.
pub async fn change_app(kit: &Kit, by: By, id: &AppId, patch: AppPatch) -> Result<AppView> {
    let mut faults: Vec<Fault> = patch.name.as_deref().and_then(rules::check_name).into_iter().collect();
    faults.extend(patch.bundle_id.as_deref().and_then(rules::check_bundle_id));
    faults.extend(patch.cors_origins.as_deref().map(rules::check_origins).into_iter().flatten());
    refuse(faults)?;
    let (now, audit, id) = (kit.clock.now(), by.audit(kit, id).await?, id.clone());
    let changed = kit.db.write(move |tx| {
        let mut app = store::show_app(tx, &id)?;
        let mut changes = serde_json::Map::new();
        take(&mut app.name, &patch.name, "name", &mut changes);
        take(&mut app.bundle_id, &patch.bundle_id, "bundle_id", &mut changes);
        take(&mut app.truncate_addresses, &patch.truncate_addresses, "truncate_addresses", &mut changes);
        take(&mut app.cors_origins, &patch.cors_origins, "cors_origins", &mut changes);
        if changes.is_empty() {
            return Ok(app);
        }
        if !store::update_app(tx, &id, &app)? {
            return Err(bundle_id_taken());
        }
        store::changed(tx)?;
        audit.write(tx, now, &change("apps.change", "app", &id, changes.into()));
        Ok(app)
    });
    let app = changed.await?;
    refresh(kit).await?;
    Ok(AppView::from(&app))
}

/// Takes what is given and differs, and says so.
fn take<T: Clone + PartialEq + serde::Serialize>(
    held: &mut T,
    given: &Option<T>,
    name: &str,
    changes: &mut serde_json::Map<String, Value>,
) {
    if let Some(given) = given
        && given != held
    {
        *held = given.clone();
        changes.insert(name.to_owned(), json!(given));
    }
}

/// Deletes an app: nobody reaches it from now on, its work ends, and its data goes in the background.
///
/// # Errors
/// `not_found`.
pub async fn delete_app(kit: &Kit, by: By, id: &AppId) -> Result<()> {
    let now = kit.clock.now();
    let (actor, app) = (by.name(), id.clone());
    kit.db
        .write(move |tx| {
            store::delete_app(tx, &app, now)?;
            idempotency::forget_made(tx, &app)?;
            store::changed(tx)
        })
        .await?;
    // Its own audit goes with it: what is left is this line.
    tracing::info!(app = %id, by = actor, "an app was deleted; its data goes now");
    refresh(kit).await
}

/// Gives somebody a role in an app.
///
/// # Errors
/// `invalid_body`, `grant_exists`, `too_many`, `not_found`.
pub async fn create_grant(kit: &Kit, by: By, app: &AppId, new: NewGrant) -> Result<GrantView> {
    let issuers: Vec<String> = kit.identity.issuers().iter().map(|state| state.issuer.clone()).collect();
    let holder = match rules::holder(&new, &issuers) {
        Ok(holder) => holder,
        Err(faults) => {
            refuse(faults)?;
            return Err(INTERNAL.err("a grant was refused without a reason"));
        }
    };
    let now = kit.clock.now();
    let row = GrantRow {
        id: GrantId::new(now),
        app: app.clone(),
        holder,
        role: new.role.into(),
        created_at: now,
        created_by: by.name(),
    };
    let view = GrantView::from(&row);
    let (audit, app, body) = (by.audit(kit, app).await?, app.clone(), text(&view)?);
    kit.db
        .write(move |tx| {
            store::insert_grant(tx, &app, &row)?;
            store::changed(tx)?;
            audit.write(tx, now, &grant_change("grants.create", &row));
            by.settle(tx, &format!("{}/grants/{}", app_path(&app), row.id), &body, None)
        })
        .await?;
    refresh(kit).await?;
    Ok(view)
}

/// Gives a grant another role.
///
/// # Errors
/// `not_found`, `last_admin`.
pub async fn change_grant(kit: &Kit, by: By, app: &AppId, id: &str, role: Role) -> Result<GrantView> {
    let (now, audit) = (kit.clock.now(), by.audit(kit, app).await?);
    let (app, id) = (app.clone(), id.to_owned());
    let changed = kit.db.write(move |tx| {
        let row = store::change_grant(tx, &app, &id, role)?;
        store::changed(tx)?;
        audit.write(tx, now, &grant_change("grants.change", &row));
        Ok(row)
    });
    let row = changed.await?;
    refresh(kit).await?;
    Ok(GrantView::from(&row))
}

/// In place of a grant's id: every one that the caller has on the app.
pub const MINE: &str = "mine";

/// Takes a grant back; from others only `for_anybody`, one's own whatever one's role.
///
/// # Errors
/// `not_found`, `last_admin`; `forbidden`.
pub async fn delete_grant(kit: &Kit, by: By, app: &AppId, id: &str, for_anybody: bool) -> Result<()> {
    let (now, audit) = (kit.clock.now(), by.audit(kit, app).await?);
    let (app, id) = (app.clone(), id.to_owned());
    kit.db
        .write(move |tx| {
            let ids = match for_anybody && id != MINE {
                true => vec![id.clone()],
                false => own_grants(tx, &by, &app, &id)?,
            };
            for id in &ids {
                let row = store::delete_grant(tx, &app, id)?;
                audit.write(tx, now, &grant_change("grants.delete", &row));
            }
            store::changed(tx)
        })
        .await?;
    refresh(kit).await
}

/// The ids of the caller's own grants on an app: all, or the one that is asked for.
fn own_grants(tx: &mut Tx<'_>, by: &By, app: &AppId, asked: &str) -> Result<Vec<String>> {
    let holders = match &by.principal {
        Some(Principal::User(user)) => user.holders(),
        _ => Vec::new(),
    };
    let own: Vec<String> =
        store::grants_of(tx, app, &holders)?.iter().map(|row| row.id.to_string()).collect();
    if asked == MINE {
        return match own.is_empty() {
            true => Err(NOT_FOUND.err("you have no grant on this app; a key is revoked, by an admin")),
            false => Ok(own),
        };
    }
    match own.iter().any(|id| id == asked) {
        true => Ok(vec![asked.to_owned()]),
        false => {
            Err(FORBIDDEN
                .err("an admin of the app takes grants back; others give up their own alone (`mine`)"))
        }
    }
}

/// Makes a key. Its secret is in the answer and nowhere else.
///
/// # Errors
/// `invalid_body`, `too_many`, `not_found`; `secrets_unavailable` where the answer cannot be kept for an
/// `Idempotency-Key`.
pub async fn create_key(kit: &Kit, by: By, app: &AppId, new: NewKey) -> Result<KeyMade> {
    let now = kit.clock.now();
    let expires_at = new.expires_at.as_deref().map(|text| time::parse(text).filter(|at| *at > now));
    let mut faults: Vec<Fault> = rules::check_name(&new.name).into_iter().collect();
    if expires_at == Some(None) {
        faults.push(fault(
            "/expires_at",
            "invalid_instant",
            "`expires_at` is an RFC 3339 instant in the future such as 2031-01-31T12:00:00Z",
        ));
    }
    refuse(faults)?;
    let (made, row, secret) = new_key(app, new.name, new.role.into(), expires_at.flatten(), now)?;
    insert_key(kit, by, row, secret, &made, None).await?;
    Ok(made)
}

fn new_key(
    app: &AppId,
    name: String,
    role: Role,
    expires_at: Option<Millis>,
    now: Millis,
) -> Result<(KeyMade, KeyRow, Secret)> {
    let prefix = if role == Role::Ingest { "ang_wk_" } else { "ang_sk_" };
    let secret = Secret::random(prefix).or_error(INTERNAL, "the system has no randomness to give")?;
    let row = KeyRow {
        id: KeyId::new(now),
        app: app.clone(),
        name,
        role,
        hint: hint(&secret),
        created_at: now,
        expires_at,
        last_used_at: 0,
    };
    let made = KeyMade { view: KeyView::from(&row), key: secret.expose().to_owned() };
    Ok((made, row, secret))
}

/// How a secret begins: enough for its owner to tell it from others, and no help to guess the rest.
pub fn hint(secret: &Secret) -> String {
    secret.expose().chars().take("ang_sk_".len() + 4).collect()
}

/// Keeps a new key, and lets the one that it replaces end.
async fn insert_key(
    kit: &Kit,
    by: By,
    row: KeyRow,
    secret: Secret,
    made: &KeyMade,
    replaced: Option<(String, Duration)>,
) -> Result<()> {
    let (now, app) = (kit.clock.now(), row.app.clone());
    let (audit, body, hash) = (by.audit(kit, &app).await?, text(made)?, secret.hash());
    let sealed = match &by.once {
        Some(once) => Some(kit.secrets.seal(&once.purpose(), &body)?),
        None => None,
    };
    kit.db
        .write(move |tx| {
            let old = match &replaced {
                Some((id, _)) => Some(store::show_key(tx, &app, id)?),
                None => None,
            };
            if let Some(old) = &old {
                store::check_replaceable(tx, &app, old, now)?;
            }
            store::insert_key(tx, &app, &row, &hash)?;
            audit.write(tx, now, &key_change("keys.create", &row));
            if let Some(((_, overlap), old)) = replaced.as_ref().zip(old) {
                let ends_at = now + overlap.as_millis() as Millis;
                store::replace_key(tx, &app, &old, &row.id, ends_at)?;
                let changes = json!({ "replaced_by": row.id.as_str(), "expires_at": time::format(ends_at) });
                audit.write(tx, now, &change("keys.rotate", "key", &old.id, changes));
            }
            store::changed(tx)?;
            by.settle(tx, &format!("{}/keys/{}", app_path(&app), row.id), &body, sealed.as_deref())
        })
        .await?;
    refresh(kit).await
}

/// Makes a key like an old one, which is good for `overlap` still. A key is replaced once.
///
/// # Errors
/// `not_found`, `key_replaced`, `too_many`.
pub async fn rotate_key(kit: &Kit, by: By, app: &AppId, id: &str, overlap: Duration) -> Result<KeyMade> {
    let (owner, wanted) = (app.clone(), id.to_owned());
    let old = kit.db.read(move |tx| store::show_key(tx, &owner, &wanted)).await?;
    let (made, row, secret) = new_key(app, old.name, old.role, old.expires_at, kit.clock.now())?;
    insert_key(kit, by, row, secret, &made, Some((id.to_owned(), overlap))).await?;
    Ok(made)
}

/// Revokes a key: no request with it is let in any more, here at once, in other processes within seconds.
///
/// # Errors
/// `not_found`, `last_admin`.
pub async fn delete_key(kit: &Kit, by: By, app: &AppId, id: &str) -> Result<()> {
    let (now, audit) = (kit.clock.now(), by.audit(kit, app).await?);
    let (app, id) = (app.clone(), id.to_owned());
    kit.db
        .write(move |tx| {
            let row = store::delete_key(tx, &app, &id)?;
            store::changed(tx)?;
            audit.write(tx, now, &key_change("keys.delete", &row));
            Ok(())
        })
        .await?;
    refresh(kit).await
}

/// Every app there is, for the server's console only.
pub async fn every_app(kit: &Kit) -> Result<Vec<Arc<App>>> {
    Ok(kit.directory.apps())
}

/// Every key of an app, for the server's console.
pub async fn every_key(kit: &Kit, app: &AppId) -> Result<Vec<KeyView>> {
    let app = app.clone();
    let rows = kit.db.read(move |tx| store::list_keys(tx, &app, "", rules::KEYS_MAX as u64)).await?;
    Ok(rows.iter().map(KeyView::from).collect())
}

/// Every grant on an app, for the server's console.
pub async fn every_grant(kit: &Kit, app: &AppId) -> Result<Vec<GrantView>> {
    let app = app.clone();
    let rows = kit.db.read(move |tx| store::list_grants(tx, &app, "", rules::GRANTS_MAX as u64)).await?;
    Ok(rows.iter().map(GrantView::from).collect())
}
