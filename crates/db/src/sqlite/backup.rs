//! Backup and restore of the one file, while it is in use, and verified.
//!
//! A backup is a SQLite file of one moment, with a `backup_manifest` table: for each table how many
//! rows it has and a SHA-256 over their content. The manifest is computed from the source within the
//! same read transaction as the copy, and then again from the copy; they must agree.

use super::{FILE, open};
use crate::{
    codes::{BACKUP_BROKEN, DATA_DIR_IN_USE, STORE_FAILED},
    sqlite::statements::failed,
};
use angarium_base::{Clock, Context, Result, secret::hex};
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use sha2::{Digest, Sha256};
use std::{
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Name, rows and SHA-256 of every table.
    pub tables: Vec<(String, u64, String)>,
    pub bytes: u64,
}

/// Copies the store in `dir` to `target`, which must not exist, while another process may be using it.
///
/// # Errors
/// `store_failed` when something cannot be read or written; `backup_broken` when the copy differs.
pub fn backup(
    dir: &Path,
    target: &Path,
    clock: &Clock,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report> {
    let file = dir.join(FILE);
    if !file.exists() {
        return Err(STORE_FAILED.err(format!("there is no store in {}", dir.display())));
    }
    if target.exists() {
        return Err(
            STORE_FAILED.err(format!("{} is there already; a backup never overwrites", target.display()))
        );
    }
    let partial = beside(target, "partial");
    // What an interrupted backup left behind.
    let _ = std::fs::remove_file(&partial);
    let source = open::reader(&file)?;
    source.execute_batch("BEGIN").map_err(failed)?;
    let tables = digest(&source)?;
    // As private as the data directory.
    let private = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&partial);
    private.or_error(STORE_FAILED, "the backup cannot be written there")?;
    let mut copy = Connection::open(&partial).map_err(failed)?;
    {
        let backup = rusqlite::backup::Backup::new(&source, &mut copy).map_err(failed)?;
        // One snapshot is held throughout, so the steps only serve the progress bar.
        while backup.step(4_096).map_err(failed)? != rusqlite::backup::StepResult::Done {
            let at = backup.progress();
            progress((at.pagecount - at.remaining) as u64, at.pagecount as u64);
        }
    }
    // One file, readable from where nothing can be written: without a log beside it.
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(failed)?;
    write_manifest(&mut copy, &tables, clock)?;
    copy.close().map_err(|(_, e)| failed(e))?;
    let report = verify(&partial)?;
    if report.tables != tables {
        return Err(BACKUP_BROKEN.err("the copy is not what was read; the backup was not kept"));
    }
    sync(&partial)?;
    std::fs::rename(&partial, target).or_error(STORE_FAILED, "the backup cannot be put in its place")?;
    Ok(report)
}

/// Checks a backup against its own manifest, and the file's inner structure.
///
/// # Errors
/// `backup_broken` names the table that differs.
pub fn verify(file: &Path) -> Result<Report> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .or_error(BACKUP_BROKEN, "the backup cannot be opened")?;
    let sound: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .or_error(BACKUP_BROKEN, "the backup is not a database")?;
    if sound != "ok" {
        return Err(BACKUP_BROKEN.err("the backup's inner structure is damaged"));
    }
    let manifest = read_manifest(&connection)?;
    let found = digest(&connection).or_error(BACKUP_BROKEN, "a table of the backup cannot be read")?;
    for (name, rows, sum) in &manifest {
        match found.iter().find(|(other, ..)| other == name) {
            Some((_, n, s)) if n == rows && s == sum => {}
            Some((_, n, _)) => {
                return Err(BACKUP_BROKEN
                    .err(format!("table `{name}` has {n} rows where {rows} were saved, or other content")));
            }
            None => return Err(BACKUP_BROKEN.err(format!("table `{name}` is missing"))),
        }
    }
    let bytes = std::fs::metadata(file).or_error(BACKUP_BROKEN, "the backup cannot be read")?.len();
    Ok(Report { tables: found, bytes })
}

/// Makes `dir` a data directory with the content of a backup. A store that is there is moved aside only
/// with `replace`, to a name that is returned.
///
/// # Errors
/// `data_dir_in_use` while a server runs on it, or when there is a store and `replace` is not set;
/// `backup_broken` before anything was touched.
pub fn restore(file: &Path, dir: &Path, replace: bool, clock: &Clock) -> Result<(Report, Option<PathBuf>)> {
    let report = verify(file)?;
    let _lock = open::lock(dir)?;
    let target = dir.join(FILE);
    if target.exists() && !replace {
        return Err(DATA_DIR_IN_USE.err(format!(
            "{} has a store already; choose another directory, or say --replace to move it aside",
            dir.display()
        )));
    }
    let fresh = beside(&target, "restoring");
    std::fs::copy(file, &fresh).or_error(STORE_FAILED, "the backup cannot be copied")?;
    let restored = verify(&fresh)?;
    if restored.tables != report.tables {
        return Err(BACKUP_BROKEN.err("the copy in the data directory is not what the backup holds"));
    }
    let connection = Connection::open(&fresh).map_err(failed)?;
    connection.execute_batch("DROP TABLE backup_manifest").map_err(failed)?;
    forget_lineage(&connection)?;
    connection.close().map_err(|(_, e)| failed(e))?;
    sync(&fresh)?;
    let aside = move_aside(&target, clock)?;
    std::fs::rename(&fresh, &target)
        .or_error(STORE_FAILED, "the restored store cannot be put in its place")?;
    sync(&target)?;
    Ok((report, aside))
}

/// What the store is known by goes, and is made anew at the next start: whoever remembers positions in its streams is
/// to learn that what came after the backup is gone.
fn forget_lineage(connection: &Connection) -> Result<()> {
    const HAS: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'lineage'";
    let tables: i64 = connection.query_row(HAS, [], |row| row.get(0)).map_err(failed)?;
    if tables > 0 {
        connection.execute_batch("DELETE FROM lineage").map_err(failed)?;
    }
    Ok(())
}

/// Moves a store and its log out of the way, together: one without the other is not a store. A log that is
/// there alone goes too: it would be taken for the restored store's, and change it.
fn move_aside(target: &Path, clock: &Clock) -> Result<Option<PathBuf>> {
    let there = target.exists();
    if there {
        // Opening and closing it folds the log into the file.
        let connection = open::writer(target)?;
        connection.close().map_err(|(_, e)| failed(e))?;
    }
    let aside = beside(target, &format!("replaced-{}", clock.now()));
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (with_suffix(target, suffix), with_suffix(&aside, suffix));
        if from.exists() {
            std::fs::rename(from, to).or_error(STORE_FAILED, "the old store cannot be moved aside")?;
        }
    }
    Ok(there.then_some(aside))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    with_suffix(path, &format!(".{suffix}"))
}

fn sync(file: &Path) -> Result<()> {
    let synced = std::fs::File::open(file).and_then(|f| f.sync_all()).and_then(|()| {
        match file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            Some(dir) => std::fs::File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    });
    synced.or_error(STORE_FAILED, "the file cannot be made durable")
}

/// Rows and SHA-256 of every table, in the order of its row ids or keys.
fn digest(connection: &Connection) -> Result<Vec<(String, u64, String)>> {
    let mut names = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'backup_manifest' ORDER BY name")
        .map_err(failed)?;
    let names = names.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    let mut tables = Vec::new();
    for name in names {
        let name = name.map_err(failed)?;
        let (rows, sum) = digest_table(connection, &name)?;
        tables.push((name, rows, sum));
    }
    Ok(tables)
}

fn digest_table(connection: &Connection, name: &str) -> Result<(u64, String)> {
    let mut statement = connection
        .prepare(&format!("SELECT * FROM \"{}\" NOT INDEXED", name.replace('"', "\"\"")))
        .map_err(failed)?;
    let columns = statement.column_count();
    let mut rows = statement.query([]).map_err(failed)?;
    let (mut n, mut sum) = (0, Sha256::new());
    while let Some(row) = rows.next().map_err(failed)? {
        n += 1;
        for column in 0..columns {
            let (kind, bytes): (u8, &[u8]) = match row.get_ref(column).map_err(failed)? {
                ValueRef::Null => (0, &[]),
                ValueRef::Integer(i) => (1, &i.to_le_bytes()),
                ValueRef::Real(f) => (2, &f.to_le_bytes()),
                ValueRef::Text(t) => (3, t),
                ValueRef::Blob(b) => (4, b),
            };
            sum.update([kind]);
            sum.update((bytes.len() as u64).to_le_bytes());
            sum.update(bytes);
        }
    }
    Ok((n, hex(&sum.finalize())))
}

fn write_manifest(copy: &mut Connection, tables: &[(String, u64, String)], clock: &Clock) -> Result<()> {
    let tx = copy.transaction().map_err(failed)?;
    tx.execute_batch(
        "CREATE TABLE backup_manifest (name TEXT PRIMARY KEY, row_count BIGINT NOT NULL, sha256 TEXT NOT NULL, made_at BIGINT NOT NULL)",
    )
    .map_err(failed)?;
    for (name, rows, sum) in tables {
        tx.execute(
            "INSERT INTO backup_manifest (name, row_count, sha256, made_at) VALUES (?1, ?2, ?3, ?4)",
            (name, *rows as i64, sum, clock.now()),
        )
        .map_err(failed)?;
    }
    tx.commit().map_err(failed)
}

fn read_manifest(connection: &Connection) -> Result<Vec<(String, u64, String)>> {
    let mut statement = connection
        .prepare("SELECT name, row_count, sha256 FROM backup_manifest ORDER BY name")
        .or_error(BACKUP_BROKEN, "the file has no manifest; it was not made by `angarium backup`")?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64, row.get(2)?)))
        .or_error(BACKUP_BROKEN, "the manifest of the backup cannot be read")?;
    rows.collect::<rusqlite::Result<Vec<_>>>()
        .or_error(BACKUP_BROKEN, "the manifest of the backup is damaged")
}
