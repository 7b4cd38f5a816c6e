//! The SQL of apps, grants and keys. Everything but what fills the directory names the app first.

use crate::{
    model::{GrantRow, KeyRow},
    rules::{GRANT_EXISTS, KEY_REPLACED, LAST_ADMIN, TOO_MANY},
};
use angarium_base::{
    AppId, GrantId, KeyId, Result,
    clock::Millis,
    error::{INTERNAL, NOT_FOUND},
};
use angarium_db::{Row, Tx, v};
use angarium_kit::access::{App, Entries, Holder, Key, KeyEntry, Role};
use std::sync::atomic::AtomicI64;

/// A row that cannot be what this slice wrote is an error, not something to guess at.
fn damaged(what: &str) -> angarium_base::Error {
    INTERNAL.err(format!("a row of {what} is damaged"))
}

fn unknown(what: &str) -> angarium_base::Error {
    NOT_FOUND.err(format!("there is no such {what}, or it is not yours"))
}

fn app(row: &Row<'_>) -> Result<App> {
    Ok(App {
        id: AppId::parse(&row.get::<String>(0)?).ok_or_else(|| damaged("apps"))?,
        name: row.get(1)?,
        bundle_id: row.get(2)?,
        truncate_addresses: row.get::<i64>(3)? != 0,
        created_at: row.get(4)?,
        cors_origins: row.get::<String>(5)?.lines().map(str::to_owned).collect(),
    })
}

/// Rises with every change of what the directory holds.
pub fn version(tx: &mut Tx<'_>) -> Result<i64> {
    tx.one("SELECT version FROM tenants_version WHERE id = 1", &[], |row| row.get(0))
}

/// Says that what the directory holds has changed.
pub fn changed(tx: &mut Tx<'_>) -> Result<()> {
    tx.exec("UPDATE tenants_version SET version = version + 1 WHERE id = 1", &[])?;
    Ok(())
}

/// Every app, key and grant, for the directory only.
pub fn everything(tx: &mut Tx<'_>) -> Result<Entries> {
    let (version, mut default_app) = (version(tx)?, None);
    let apps = tx.query(
        "SELECT id, name, bundle_id, truncate_addresses, created_at, cors_origins, is_default FROM apps \
         WHERE deleted_at IS NULL ORDER BY created_at, id",
        &[],
        |row| {
            let app = app(row)?;
            if row.get::<i64>(6)? != 0 {
                default_app = Some(app.id.clone());
            }
            Ok(app)
        },
    )?;
    Ok(Entries { version, apps, default_app, keys: every_key(tx)?, grants: every_grant(tx)? })
}

fn every_key(tx: &mut Tx<'_>) -> Result<Vec<KeyEntry>> {
    tx.query(
        "SELECT k.secret_hash, k.id, k.app, k.name, k.role, k.expires_at, k.last_used_at FROM api_keys AS k \
         JOIN apps AS a ON a.id = k.app WHERE a.deleted_at IS NULL",
        &[],
        |row| {
            let key = Key {
                id: KeyId::parse(&row.get::<String>(1)?).ok_or_else(|| damaged("api_keys"))?,
                app: AppId::parse(&row.get::<String>(2)?).ok_or_else(|| damaged("api_keys"))?,
                name: row.get(3)?,
                role: role(row, 4, "api_keys")?,
                expires_at: row.get(5)?,
                last_used_at: AtomicI64::new(row.get(6)?),
            };
            let hash = row.get::<Vec<u8>>(0)?.try_into().map_err(|_| damaged("api_keys"))?;
            Ok(KeyEntry { hash, key })
        },
    )
}

fn every_grant(tx: &mut Tx<'_>) -> Result<Vec<(AppId, Holder, Role)>> {
    tx.query(
        "SELECT g.app, g.issuer, g.tenant, g.subject, g.email, g.role FROM grants AS g \
         JOIN apps AS a ON a.id = g.app WHERE a.deleted_at IS NULL",
        &[],
        |row| {
            let app = AppId::parse(&row.get::<String>(0)?).ok_or_else(|| damaged("grants"))?;
            Ok((app, holder(row, 1)?, role(row, 5, "grants")?))
        },
    )
}

fn role(row: &Row<'_>, column: usize, table: &str) -> Result<Role> {
    Role::parse(&row.get::<String>(column)?).ok_or_else(|| damaged(table))
}

/// The holder whose issuer is in column `at`, and the rest after it.
fn holder(row: &Row<'_>, at: usize) -> Result<Holder> {
    let email: String = row.get(at + 3)?;
    Ok(match email.is_empty() {
        true => Holder::Subject { issuer: row.get(at)?, tenant: row.get(at + 1)?, subject: row.get(at + 2)? },
        false => Holder::Email(email),
    })
}

/// Issuer, tenant, subject and address, as they are kept.
fn columns(holder: &Holder) -> [&str; 4] {
    match holder {
        Holder::Subject { issuer, tenant, subject } => [issuer, tenant, subject, ""],
        Holder::Email(email) => ["", "", "", email],
    }
}

/// Whether the store has never had an app, for the first start only.
pub fn is_new(tx: &mut Tx<'_>) -> Result<bool> {
    let any = tx.maybe("SELECT CAST(1 AS BIGINT) FROM apps LIMIT 1", &[], |row| row.get::<i64>(0))?;
    // A deleted app's row goes; that there was one stays written in the version.
    Ok(any.is_none() && version(tx)? == 1)
}

/// Who makes an app, for whom, and how.
pub enum Maker {
    FirstStart,
    Console,
    /// A user, by the name of its principal.
    User(String),
}

/// Returns whether it was made: not if there is one with its `bundle_id`.
///
/// # Errors
/// `too_many`.
pub fn insert_app(tx: &mut Tx<'_>, app: &App, maker: &Maker) -> Result<bool> {
    let is_default = matches!(maker, Maker::FirstStart);
    let created_by = match maker {
        Maker::FirstStart | Maker::Console => "",
        Maker::User(name) => name,
    };
    if !created_by.is_empty() {
        let sql = "SELECT count(*) FROM apps WHERE created_by = $1 AND deleted_at IS NULL";
        let count: i64 = tx.one(sql, v![created_by], |row| row.get(0))?;
        if count >= crate::rules::APPS_MAX {
            let most = crate::rules::APPS_MAX;
            return Err(TOO_MANY.err(format!(
                "you have made {most} apps, and cannot make more; delete one that is not used"
            )));
        }
    }
    let made = tx.exec(
        "INSERT INTO apps (id, name, bundle_id, truncate_addresses, created_at, cors_origins, is_default, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (bundle_id) DO NOTHING",
        v![
            app.id.as_str(),
            &app.name,
            &app.bundle_id,
            app.truncate_addresses,
            app.created_at,
            &app.cors_origins.join("\n"),
            is_default,
            created_by
        ],
    )?;
    Ok(made > 0)
}

/// Writes what can change of an app; returns `false` when another has its bundle id.
///
/// # Errors
/// `not_found` when it is not there.
pub fn update_app(tx: &mut Tx<'_>, id: &AppId, app: &App) -> Result<bool> {
    let taken = tx.maybe(
        "SELECT CAST(1 AS BIGINT) FROM apps WHERE bundle_id = $2 AND id <> $1",
        v![id.as_str(), &app.bundle_id],
        |row| row.get::<i64>(0),
    )?;
    if taken.is_some() {
        return Ok(false);
    }
    let changed = tx.exec(
        "UPDATE apps SET name = $2, bundle_id = $3, truncate_addresses = $4, cors_origins = $5 \
         WHERE id = $1 AND deleted_at IS NULL",
        v![id.as_str(), &app.name, &app.bundle_id, app.truncate_addresses, &app.cors_origins.join("\n")],
    )?;
    if changed == 0 { Err(unknown("app")) } else { Ok(true) }
}

pub fn show_app(tx: &mut Tx<'_>, id: &AppId) -> Result<App> {
    let found = tx.maybe(
        "SELECT id, name, bundle_id, truncate_addresses, created_at, cors_origins FROM apps \
         WHERE id = $1 AND deleted_at IS NULL",
        v![id.as_str()],
        app,
    )?;
    found.ok_or_else(|| unknown("app"))
}

/// Whether an app was made, and not deleted since.
pub fn has_app(tx: &mut Tx<'_>, id: &AppId) -> Result<bool> {
    let sql = "SELECT CAST(1 AS BIGINT) FROM apps WHERE id = $1 AND deleted_at IS NULL";
    Ok(tx.maybe(sql, v![id.as_str()], |row| row.get::<i64>(0))?.is_some())
}

/// Marks an app as deleted; its bundle id is free from now on.
///
/// # Errors
/// `not_found` when it is not there, or was deleted before.
pub fn delete_app(tx: &mut Tx<'_>, id: &AppId, now: Millis) -> Result<()> {
    let deleted = tx.exec(
        "UPDATE apps SET deleted_at = $2, bundle_id = 'deleted ' || id, is_default = 0 \
         WHERE id = $1 AND deleted_at IS NULL",
        v![id.as_str(), now],
    )?;
    if deleted == 0 { Err(unknown("app")) } else { Ok(()) }
}

/// Apps that were deleted before an instant and whose data is still there.
pub fn deleted_apps(tx: &mut Tx<'_>, before: Millis) -> Result<Vec<AppId>> {
    let ids = tx.query(
        "SELECT id FROM apps WHERE deleted_at <= $1 ORDER BY deleted_at LIMIT 100",
        v![before],
        |row| row.get::<String>(0),
    )?;
    ids.iter().map(|id| AppId::parse(id).ok_or_else(|| damaged("apps"))).collect()
}

/// Removes the last traces of a deleted app.
pub fn forget_app(tx: &mut Tx<'_>, id: &AppId) -> Result<()> {
    tx.exec("DELETE FROM api_keys WHERE app = $1", v![id.as_str()])?;
    tx.exec("DELETE FROM grants WHERE app = $1", v![id.as_str()])?;
    tx.exec("DELETE FROM apps WHERE id = $1 AND deleted_at IS NOT NULL", v![id.as_str()])?;
    Ok(())
}

/// Counts one more admin, or one less if others are left.
///
/// # Errors
/// `last_admin`.
fn count_admin(tx: &mut Tx<'_>, app: &AppId, by: i64) -> Result<()> {
    let counted = tx.exec(
        "UPDATE apps SET admins = admins + $2 WHERE id = $1 AND deleted_at IS NULL AND admins + $2 >= 1",
        v![app.as_str(), by],
    )?;
    if counted > 0 {
        return Ok(());
    }
    show_app(tx, app)?;
    Err(LAST_ADMIN.err(
        "this is the app's last admin; give somebody else the role first, or make an admin key that does not expire",
    ))
}

pub fn list_grants(tx: &mut Tx<'_>, app: &AppId, after: &str, limit: u64) -> Result<Vec<GrantRow>> {
    tx.query(
        "SELECT id, app, issuer, tenant, subject, email, role, created_at, created_by FROM grants \
         WHERE app = $1 AND id > $2 ORDER BY id LIMIT $3",
        v![app.as_str(), after, limit as i64],
        grant,
    )
}

fn grant(row: &Row<'_>) -> Result<GrantRow> {
    Ok(GrantRow {
        id: GrantId::parse(&row.get::<String>(0)?).ok_or_else(|| damaged("grants"))?,
        app: AppId::parse(&row.get::<String>(1)?).ok_or_else(|| damaged("grants"))?,
        holder: holder(row, 2)?,
        role: role(row, 6, "grants")?,
        created_at: row.get(7)?,
        created_by: row.get(8)?,
    })
}

/// # Errors
/// `not_found`.
pub fn show_grant(tx: &mut Tx<'_>, app: &AppId, id: &str) -> Result<GrantRow> {
    GrantId::parse(id).ok_or_else(|| unknown("grant"))?;
    let found = tx.maybe(
        "SELECT id, app, issuer, tenant, subject, email, role, created_at, created_by FROM grants \
         WHERE app = $1 AND id = $2",
        v![app.as_str(), id],
        grant,
    )?;
    found.ok_or_else(|| unknown("grant"))
}

/// The grants of one who may have been given several.
pub fn grants_of(tx: &mut Tx<'_>, app: &AppId, holders: &[Holder]) -> Result<Vec<GrantRow>> {
    let mut all = Vec::new();
    for holder in holders {
        let [issuer, tenant, subject, email] = columns(holder);
        all.extend(tx.maybe(
            "SELECT id, app, issuer, tenant, subject, email, role, created_at, created_by FROM grants \
             WHERE app = $1 AND issuer = $2 AND tenant = $3 AND subject = $4 AND email = $5",
            v![app.as_str(), issuer, tenant, subject, email],
            grant,
        )?);
    }
    Ok(all)
}

/// # Errors
/// `grant_exists`, `too_many`.
pub fn insert_grant(tx: &mut Tx<'_>, app: &AppId, row: &GrantRow) -> Result<()> {
    let count: i64 =
        tx.one("SELECT count(*) FROM grants WHERE app = $1", v![app.as_str()], |row| row.get(0))?;
    if count >= crate::rules::GRANTS_MAX {
        return Err(TOO_MANY.err(format!("an app may have {} grants", crate::rules::GRANTS_MAX)));
    }
    if row.role == Role::Admin {
        count_admin(tx, app, 1)?;
    }
    let [issuer, tenant, subject, email] = columns(&row.holder);
    let made = tx.exec(
        "INSERT INTO grants (id, app, issuer, tenant, subject, email, role, created_at, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (app, issuer, tenant, subject, email) DO NOTHING",
        v![
            row.id.as_str(),
            app.as_str(),
            issuer,
            tenant,
            subject,
            email,
            row.role.as_str(),
            row.created_at,
            &row.created_by
        ],
    )?;
    if made == 0 {
        return Err(
            GRANT_EXISTS.err("this principal has a grant on the app already; change its role with PATCH")
        );
    }
    Ok(())
}

/// Gives a grant another role; returns it as it is then.
///
/// # Errors
/// `not_found`, `last_admin`.
pub fn change_grant(tx: &mut Tx<'_>, app: &AppId, id: &str, role: Role) -> Result<GrantRow> {
    let before = show_grant(tx, app, id)?;
    if before.role == role {
        return Ok(before);
    }
    match (before.role, role) {
        (Role::Admin, _) => count_admin(tx, app, -1)?,
        (_, Role::Admin) => count_admin(tx, app, 1)?,
        _ => {}
    }
    // The count is right only if the role is still what it was.
    let changed = tx.exec(
        "UPDATE grants SET role = $3 WHERE app = $1 AND id = $2 AND role = $4",
        v![app.as_str(), id, role.as_str(), before.role.as_str()],
    )?;
    if changed == 0 { Err(unknown("grant")) } else { Ok(GrantRow { role, ..before }) }
}

/// # Errors
/// `not_found`, `last_admin`.
pub fn delete_grant(tx: &mut Tx<'_>, app: &AppId, id: &str) -> Result<GrantRow> {
    let before = show_grant(tx, app, id)?;
    if before.role == Role::Admin {
        count_admin(tx, app, -1)?;
    }
    let deleted = tx.exec(
        "DELETE FROM grants WHERE app = $1 AND id = $2 AND role = $3",
        v![app.as_str(), id, before.role.as_str()],
    )?;
    if deleted == 0 { Err(unknown("grant")) } else { Ok(before) }
}

pub fn list_keys(tx: &mut Tx<'_>, app: &AppId, after: &str, limit: u64) -> Result<Vec<KeyRow>> {
    tx.query(
        "SELECT id, app, name, role, hint, created_at, expires_at, last_used_at FROM api_keys \
         WHERE app = $1 AND id > $2 ORDER BY id LIMIT $3",
        v![app.as_str(), after, limit as i64],
        key,
    )
}

fn key(row: &Row<'_>) -> Result<KeyRow> {
    Ok(KeyRow {
        id: KeyId::parse(&row.get::<String>(0)?).ok_or_else(|| damaged("api_keys"))?,
        app: AppId::parse(&row.get::<String>(1)?).ok_or_else(|| damaged("api_keys"))?,
        name: row.get(2)?,
        role: role(row, 3, "api_keys")?,
        hint: row.get(4)?,
        created_at: row.get(5)?,
        expires_at: row.get(6)?,
        last_used_at: row.get(7)?,
    })
}

/// # Errors
/// `not_found`.
pub fn show_key(tx: &mut Tx<'_>, app: &AppId, id: &str) -> Result<KeyRow> {
    KeyId::parse(id).ok_or_else(|| unknown("key"))?;
    let found = tx.maybe(
        "SELECT id, app, name, role, hint, created_at, expires_at, last_used_at FROM api_keys \
         WHERE app = $1 AND id = $2",
        v![app.as_str(), id],
        key,
    )?;
    found.ok_or_else(|| unknown("key"))
}

/// Whether a key keeps its app from being without an admin.
fn counts_as_admin(role: Role, expires_at: Option<Millis>) -> bool {
    role == Role::Admin && expires_at.is_none()
}

/// # Errors
/// `too_many`.
pub fn insert_key(tx: &mut Tx<'_>, app: &AppId, row: &KeyRow, hash: &[u8; 32]) -> Result<()> {
    let count: i64 =
        tx.one("SELECT count(*) FROM api_keys WHERE app = $1", v![app.as_str()], |row| row.get(0))?;
    if count >= crate::rules::KEYS_MAX {
        return Err(TOO_MANY.err(format!("an app may have {} keys", crate::rules::KEYS_MAX)));
    }
    if counts_as_admin(row.role, row.expires_at) {
        count_admin(tx, app, 1)?;
    }
    tx.exec(
        "INSERT INTO api_keys (id, app, name, role, hint, secret_hash, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        v![
            row.id.as_str(),
            app.as_str(),
            &row.name,
            row.role.as_str(),
            &row.hint,
            &hash[..],
            row.created_at,
            row.expires_at
        ],
    )?;
    Ok(())
}

/// Lets a key that another one replaces end at an instant, if it does not end before.
///
/// # Errors
/// `key_replaced` when one was made in its place before; `last_admin`.
pub fn replace_key(tx: &mut Tx<'_>, app: &AppId, before: &KeyRow, by: &KeyId, at: Millis) -> Result<()> {
    if counts_as_admin(before.role, before.expires_at) {
        count_admin(tx, app, -1)?;
    }
    let replaced = tx.exec(
        "UPDATE api_keys SET expires_at = CASE WHEN expires_at < $3 THEN expires_at ELSE $3 END, replaced_by = $4 \
         WHERE app = $1 AND id = $2 AND replaced_by = '' \
         AND CAST(CASE WHEN expires_at IS NULL THEN 1 ELSE 0 END AS BIGINT) = $5",
        v![app.as_str(), before.id.as_str(), at, by.as_str(), before.expires_at.is_none()],
    )?;
    if replaced == 0 { Err(being_replaced()) } else { Ok(()) }
}

/// The key that is made in another's place.
///
/// # Errors
/// `key_replaced` when the other one's time is over, or when it has been replaced before.
pub fn check_replaceable(tx: &mut Tx<'_>, app: &AppId, key: &KeyRow, now: Millis) -> Result<()> {
    let by: String = tx.one(
        "SELECT replaced_by FROM api_keys WHERE app = $1 AND id = $2",
        v![app.as_str(), key.id.as_str()],
        |row| row.get(0),
    )?;
    if !by.is_empty() {
        return Err(KEY_REPLACED.err(format!("this key is being replaced by {by} already; rotate that one")));
    }
    match key.expires_at.is_some_and(|at| at <= now) {
        true => Err(KEY_REPLACED.err("this key's time is over, and it cannot be rotated; make a new key")),
        false => Ok(()),
    }
}

fn being_replaced() -> angarium_base::Error {
    KEY_REPLACED.err("this key is being replaced already; rotate the one that was made in its place")
}

/// # Errors
/// `not_found`, `last_admin`.
pub fn delete_key(tx: &mut Tx<'_>, app: &AppId, id: &str) -> Result<KeyRow> {
    let before = show_key(tx, app, id)?;
    if counts_as_admin(before.role, before.expires_at) {
        count_admin(tx, app, -1)?;
    }
    let deleted = tx.exec(
        "DELETE FROM api_keys WHERE app = $1 AND id = $2 AND CAST(CASE WHEN expires_at IS NULL THEN 1 ELSE 0 END AS BIGINT) = $3",
        v![app.as_str(), id, before.expires_at.is_none()],
    )?;
    if deleted == 0 { Err(unknown("key")) } else { Ok(before) }
}

/// Writes when a key was last used, if that is later than what is written.
pub fn use_key(tx: &mut Tx<'_>, app: &AppId, id: &KeyId, at: Millis) -> Result<()> {
    tx.exec(
        "UPDATE api_keys SET last_used_at = $3 WHERE app = $1 AND id = $2 AND last_used_at < $3",
        v![app.as_str(), id.as_str(), at],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use angarium_base::Clock;
    use angarium_db::Db;

    fn app_number(n: i64) -> App {
        App {
            id: AppId::new(n),
            name: "one".into(),
            bundle_id: format!("com.acme.a{n}"),
            created_at: n,
            truncate_addresses: false,
            cors_origins: Vec::new(),
        }
    }

    #[tokio::test]
    async fn apps_are_counted_against_who_made_them_and_not_against_who_has_a_role_in_them() {
        let temp = tempfile::tempdir().unwrap();
        let db = Db::open(temp.path(), crate::MIGRATIONS, Clock::manual(1)).unwrap();
        let (ana, ben) = (Maker::User("user:ana".into()), Maker::User("user:ben".into()));
        let made = db.write(move |tx| {
            let last = crate::rules::APPS_MAX;
            for n in 0..last {
                let app = app_number(n);
                assert!(insert_app(tx, &app, &ana)?);
                let row = GrantRow {
                    id: GrantId::new(n),
                    app: app.id.clone(),
                    holder: Holder::Email("ben@acme.com".into()),
                    role: Role::Viewer,
                    created_at: n,
                    created_by: "ana".into(),
                };
                insert_grant(tx, &app.id, &row)?;
            }
            assert!(insert_app(tx, &app_number(last), &ben)?, "what others give him is not his making");
            let refused = insert_app(tx, &app_number(last + 1), &ana).unwrap_err();
            assert_eq!(refused.code().name, "too_many");
            let one = app_by_bundle_id(tx, "com.acme.a7")?;
            delete_app(tx, &one, 1)?;
            insert_app(tx, &app_number(last + 1), &ana)
        });
        assert!(made.await.unwrap(), "one that is deleted makes room");
    }

    fn app_by_bundle_id(tx: &mut Tx<'_>, bundle_id: &str) -> Result<AppId> {
        let sql = "SELECT id FROM apps WHERE bundle_id = $1";
        let id = tx.one(sql, v![bundle_id], |row| row.get::<String>(0))?;
        AppId::parse(&id).ok_or_else(|| damaged("apps"))
    }
}
