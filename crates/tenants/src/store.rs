//! The SQL of apps and keys.

use angarium_base::{
    AppId, KeyId, Result,
    clock::Millis,
    error::{INTERNAL, NOT_FOUND},
};
use angarium_db::{Row, Tx, v};
use angarium_kit::access::{App, Key, Role};
use std::sync::atomic::AtomicI64;

/// A row that cannot be what this slice wrote is an error, not something to guess at.
fn damaged(what: &str) -> angarium_base::Error {
    INTERNAL.err(format!("a row of {what} is damaged"))
}

fn app(row: &Row<'_>) -> Result<App> {
    Ok(App {
        id: AppId::parse(&row.get::<String>(0)?).ok_or_else(|| damaged("apps"))?,
        name: row.get(1)?,
        bundle_id: row.get(2)?,
        truncate_addresses: row.get::<i64>(3)? != 0,
        created_at: row.get(4)?,
    })
}

/// Every app, the first one first. For the directory only.
pub fn all_apps(tx: &mut Tx<'_>) -> Result<Vec<App>> {
    tx.query(
        "SELECT id, name, bundle_id, truncate_addresses, created_at FROM apps ORDER BY created_at, id",
        &[],
        app,
    )
}

/// Every key, by the hash of its secret. For the directory only.
pub fn all_keys(tx: &mut Tx<'_>) -> Result<Vec<([u8; 32], Key)>> {
    tx.query("SELECT secret_hash, id, app, name, role, expires_at FROM api_keys", &[], |row| {
        let key = Key {
            id: KeyId::parse(&row.get::<String>(1)?).ok_or_else(|| damaged("api_keys"))?,
            app: AppId::parse(&row.get::<String>(2)?).ok_or_else(|| damaged("api_keys"))?,
            name: row.get(3)?,
            role: Role::parse(&row.get::<String>(4)?).ok_or_else(|| damaged("api_keys"))?,
            expires_at: row.get(5)?,
            last_used_at: AtomicI64::new(0),
        };
        let hash = row.get::<Vec<u8>>(0)?.try_into().map_err(|_| damaged("api_keys"))?;
        Ok((hash, key))
    })
}

/// Returns whether it was made: not if there is one with its `bundle_id`.
pub fn insert_app(tx: &mut Tx<'_>, app: &App) -> Result<bool> {
    let made = tx.exec(
        "INSERT INTO apps (id, name, bundle_id, truncate_addresses, created_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (bundle_id) DO NOTHING",
        v![app.id.as_str(), &app.name, &app.bundle_id, app.truncate_addresses, app.created_at],
    )?;
    Ok(made > 0)
}

/// Changes what is given of an app.
///
/// # Errors
/// `not_found` when it is not there.
pub fn update_app(tx: &mut Tx<'_>, id: &AppId, name: Option<&str>, truncate: Option<bool>) -> Result<App> {
    let changed = tx.exec(
        "UPDATE apps SET name = coalesce($2, name), truncate_addresses = coalesce($3, truncate_addresses) WHERE id = $1",
        v![id.as_str(), name, truncate],
    )?;
    if changed == 0 {
        return Err(NOT_FOUND.err("there is no such app, or it is not yours"));
    }
    tx.one(
        "SELECT id, name, bundle_id, truncate_addresses, created_at FROM apps WHERE id = $1",
        v![id.as_str()],
        app,
    )
}

pub fn insert_key(tx: &mut Tx<'_>, key: &Key, hash: &[u8; 32], now: Millis) -> Result<()> {
    tx.exec(
        "INSERT INTO api_keys (id, app, name, role, secret_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        v![
            key.id.as_str(),
            key.app.as_str(),
            &key.name,
            key.role.as_str(),
            &hash[..],
            now,
            key.expires_at
        ],
    )?;
    Ok(())
}
