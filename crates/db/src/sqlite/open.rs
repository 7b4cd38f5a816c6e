//! Opening: the directory's lock, the connection's settings, the schema.

use super::LOCK;
use crate::{
    Migration,
    codes::{DATA_DIR_IN_USE, SCHEMA_NEWER, SCHEMA_OLDER, STORE_FAILED},
    sqlite::statements::failed,
};
use angarium_base::{Clock, Context, Result};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::{
    fs::File,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// Takes the data directory for this process, making it if it is not there.
pub fn lock(dir: &Path) -> Result<File> {
    // It holds payloads and addresses: for its owner alone, unless it was made otherwise beforehand.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .or_error(STORE_FAILED, "the data directory cannot be made")?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(dir.join(LOCK))
        .or_error(STORE_FAILED, "the data directory cannot be written to")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(DATA_DIR_IN_USE.err(format!(
            "another process has the data directory {} open; stop it, or choose another directory",
            dir.display()
        ))),
        Err(std::fs::TryLockError::Error(e)) => {
            Err(STORE_FAILED.err("the data directory cannot be locked").with_source(e))
        }
    }
}

/// A connection that may write.
pub fn writer(file: &Path) -> Result<Connection> {
    // In a folder that was made otherwise it is its owner's alone too. SQLite gives the file's companions the same mode.
    // A file that is there is not touched: closing it would give up every lock that this process has on it, and another
    // program that closes the store then takes the log from under the server.
    match File::options().create_new(true).write(true).mode(0o600).open(file) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(STORE_FAILED.err("the data directory cannot be written to").with_source(error));
        }
    }
    let connection = Connection::open(file).map_err(failed)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA wal_autocheckpoint = 16000; PRAGMA journal_size_limit = 67108864;
             PRAGMA cache_size = -8000; PRAGMA temp_store = MEMORY; PRAGMA busy_timeout = 10000;",
        )
        .map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(connection)
}

/// A connection that only reads.
pub fn reader(file: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(failed)?;
    connection.execute_batch("PRAGMA cache_size = -2000; PRAGMA busy_timeout = 10000;").map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Applies the migrations that are not yet applied, each in a transaction of its own, and returns their names.
pub fn migrate(
    connection: &mut Connection,
    migrations: &[Migration],
    clock: &Clock,
) -> Result<Vec<&'static str>> {
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY, applied_at BIGINT NOT NULL);
             CREATE TABLE IF NOT EXISTS canary (id BIGINT PRIMARY KEY, at BIGINT NOT NULL);",
        )
        .map_err(failed)?;
    refuse_newer(connection, migrations)?;
    let mut done = Vec::new();
    for migration in of_this_engine(migrations) {
        let tx = connection.transaction().map_err(failed)?;
        let applied = tx
            .query_row("SELECT 1 FROM schema_migrations WHERE name = ?1", [migration.name], |_| Ok(()))
            .optional()
            .map_err(failed)?;
        if applied.is_none() {
            tx.execute_batch(migration.sql).map_err(failed)?;
            tx.execute(
                "INSERT INTO schema_migrations (name, applied_at) VALUES (?1, ?2)",
                (migration.name, clock.now()),
            )
            .map_err(failed)?;
            tracing::info!(name = migration.name, "migrated");
            done.push(migration.name);
        }
        tx.commit().map_err(failed)?;
    }
    Ok(done)
}

/// Refuses a schema that has more steps than `migrations`, or fewer.
pub fn check(connection: &Connection, migrations: &[Migration]) -> Result<()> {
    let table = "SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'";
    let is_there = connection.query_row(table, [], |_| Ok(())).optional().map_err(failed)?.is_some();
    if is_there {
        refuse_newer(connection, migrations)?;
    }
    for step in of_this_engine(migrations) {
        let applied = "SELECT 1 FROM schema_migrations WHERE name = ?1";
        if !is_there
            || connection.query_row(applied, [step.name], |_| Ok(())).optional().map_err(failed)?.is_none()
        {
            return Err(SCHEMA_OLDER.err(format!(
                "the data directory lacks the schema step `{}`; run `angarium migrate`, or start with `migrate = true`",
                step.name
            )));
        }
    }
    Ok(())
}

fn of_this_engine(migrations: &[Migration]) -> impl Iterator<Item = &Migration> {
    migrations.iter().filter(|step| step.engines != crate::Engines::Postgres)
}

/// A schema with steps this version does not know was written by a newer one.
fn refuse_newer(connection: &Connection, migrations: &[Migration]) -> Result<()> {
    let mut statement = connection.prepare("SELECT name FROM schema_migrations").map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let name: String = row.get(0).map_err(failed)?;
        if !migrations.iter().any(|known| known.name == name) {
            return Err(SCHEMA_NEWER.err(format!(
                "the data directory has the schema step `{name}`, which this version does not know: a newer version wrote it"
            )));
        }
    }
    Ok(())
}
