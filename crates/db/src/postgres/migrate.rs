//! The schema, brought up by one process at a time.

use super::connection::{Options, failed, unreachable};
use crate::{
    Engines, Migration,
    codes::{SCHEMA_NEWER, SCHEMA_OLDER, STORE_FAILED},
};
use angarium_base::{Clock, Result};
use postgres::Client;

/// The advisory lock that is held while the schema is looked at and changed: "angarium" as a number.
const LOCK: i64 = 0x616e_6761_7269_756d;

/// Applies the migrations that are not yet applied, each in a transaction of its own, and returns their names.
/// Processes that start at the same moment wait for one another; where nothing is to be done, nobody waits and no
/// right to change the schema is needed.
pub fn bring_up(options: &Options, migrations: &[Migration], clock: &Clock) -> Result<Vec<&'static str>> {
    let mut connection = options.connect().map_err(unreachable)?;
    let client = &mut connection.client;
    refuse_old_server(client)?;
    if let Some(applied) = recorded(client)? {
        refuse_newer(&applied, migrations)?;
        if missing(&applied, migrations).next().is_none() {
            return Ok(Vec::new());
        }
    }
    client.batch_execute("SET lock_timeout = 0; SET statement_timeout = 0").map_err(failed)?;
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).map_err(failed)?;
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY, applied_at BIGINT NOT NULL);
             CREATE TABLE IF NOT EXISTS canary (id BIGINT PRIMARY KEY, at BIGINT NOT NULL);",
        )
        .map_err(failed)?;
    let applied = applied(client)?;
    refuse_newer(&applied, migrations)?;
    let mut done = Vec::new();
    for migration in missing(&applied, migrations) {
        let mut tx = client.transaction().map_err(failed)?;
        tx.batch_execute(&dialect(migration.sql)).map_err(failed)?;
        tx.execute(
            "INSERT INTO schema_migrations (name, applied_at) VALUES ($1, $2)",
            &[&migration.name, &clock.now()],
        )
        .map_err(failed)?;
        tx.commit().map_err(failed)?;
        tracing::info!(name = migration.name, "migrated");
        done.push(migration.name);
    }
    // The lock goes with the connection.
    Ok(done)
}

pub fn check(options: &Options, migrations: &[Migration]) -> Result<()> {
    let mut connection = options.connect().map_err(unreachable)?;
    let client = &mut connection.client;
    refuse_old_server(client)?;
    let applied = recorded(client)?.unwrap_or_default();
    refuse_newer(&applied, migrations)?;
    match missing(&applied, migrations).next() {
        None => Ok(()),
        Some(step) => Err(SCHEMA_OLDER.err(format!(
            "the database lacks the schema step `{}`; run `angarium migrate`, or start with `migrate = true`",
            step.name
        ))),
    }
}

/// The names of the steps that were applied; `None` in a database that nobody has brought up.
fn recorded(client: &mut Client) -> Result<Option<Vec<String>>> {
    let there: Option<String> = client
        .query_one("SELECT CAST(to_regclass('schema_migrations') AS TEXT)", &[])
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    there.map(|_| applied(client)).transpose()
}

fn applied(client: &mut Client) -> Result<Vec<String>> {
    let rows = client.query("SELECT name FROM schema_migrations", &[]).map_err(failed)?;
    rows.iter().map(|row| row.try_get(0).map_err(failed)).collect()
}

fn refuse_newer(applied: &[String], migrations: &[Migration]) -> Result<()> {
    match applied.iter().find(|name| !migrations.iter().any(|known| known.name == **name)) {
        None => Ok(()),
        Some(name) => Err(SCHEMA_NEWER.err(format!(
            "the database has the schema step `{name}`, which this version does not know: a newer version wrote it"
        ))),
    }
}

fn refuse_old_server(client: &mut Client) -> Result<()> {
    let row = client.query_one("SELECT current_setting('server_version_num')::int", &[]).map_err(failed)?;
    let version: i32 = row.try_get(0).map_err(failed)?;
    if version < 150_000 {
        return Err(STORE_FAILED.err("this PostgreSQL is older than 15; use 15 or newer"));
    }
    Ok(())
}

/// The steps for this engine that are not yet applied, in order.
fn missing<'a>(applied: &'a [String], migrations: &'a [Migration]) -> impl Iterator<Item = &'a Migration> {
    let of_this_engine = migrations.iter().filter(|step| step.engines != Engines::Sqlite);
    of_this_engine.filter(|step| !applied.iter().any(|name| name == step.name))
}

/// Schemas are written as SQLite has them; the words that PostgreSQL has no or another word for.
fn dialect(sql: &str) -> String {
    sql.replace(" BLOB", " BYTEA").replace(") WITHOUT ROWID", ")")
}
