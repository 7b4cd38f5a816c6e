//! Statements on a SQLite connection.

use crate::{Row, V, codes::STORE_FAILED};
use angarium_base::{Error, Result, error::UNAVAILABLE};
use rusqlite::{
    Connection, ToSql,
    types::{ToSqlOutput, ValueRef},
};

impl ToSql for V<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            V::Null => ValueRef::Null,
            V::Int(i) => ValueRef::Integer(i),
            V::Text(t) => ValueRef::Text(t.as_bytes()),
            V::Bytes(b) => ValueRef::Blob(b),
        }))
    }
}

/// The bytes of a column, without copying them.
pub fn bytes<'r>(row: &'r rusqlite::Row<'_>, column: usize) -> Result<&'r [u8]> {
    row.get_ref(column).map_err(failed)?.as_blob().map_err(|e| failed(e.into()))
}

/// An open transaction of a connection, as a place to run statements.
pub struct Statements<'a>(pub &'a Connection);

impl Statements<'_> {
    pub fn exec(&mut self, sql: &'static str, params: &[V<'_>]) -> Result<u64> {
        let mut statement = self.prepare(sql, params)?;
        statement.raw_execute().map(|n| n as u64).map_err(failed)
    }

    pub fn each(
        &mut self,
        sql: &'static str,
        params: &[V<'_>],
        f: &mut dyn FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let mut statement = self.prepare(sql, params)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(failed)? {
            if !f(&Row::Sqlite(row))? {
                break;
            }
        }
        Ok(())
    }

    fn prepare(&self, sql: &'static str, params: &[V<'_>]) -> Result<rusqlite::CachedStatement<'_>> {
        if self.0.is_autocommit() {
            // A statement before this one cost the transaction, and its error was not heeded.
            return Err(given_up());
        }
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        bind(&mut statement, sql, params).map_err(failed)?;
        Ok(statement)
    }
}

/// Binds `$n` to the n-th parameter. SQLite takes `$1` for a name and numbers names as they appear; they are read off the
/// text, because asking for them one by one costs more with each.
fn bind(statement: &mut rusqlite::CachedStatement<'_>, sql: &str, params: &[V<'_>]) -> rusqlite::Result<()> {
    let count = statement.parameter_count();
    let wrong = || rusqlite::Error::InvalidParameterCount(params.len(), count);
    let (mut seen, mut index) = (vec![false; params.len()], 0);
    for after in sql.split('$').skip(1) {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let n: usize = after[..digits].parse().map_err(|_| wrong())?;
        let place = n.checked_sub(1).ok_or_else(wrong)?;
        if !std::mem::replace(seen.get_mut(place).ok_or_else(wrong)?, true) {
            index += 1;
            statement.raw_bind_parameter(index, params[place])?;
        }
    }
    if index == count { Ok(()) } else { Err(wrong()) }
}

/// The engine gave the whole transaction up, as it does when its disk is full or fails.
pub fn given_up() -> Error {
    UNAVAILABLE.err("the store's disk is full or failed; nothing was accepted")
}

/// Our error for one of the engine's: what may heal is `unavailable`, the rest is a fault of ours.
pub fn failed(source: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, SystemIoFailure};
    let code = match source.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked) => UNAVAILABLE.err("the store is busy"),
        Some(DiskFull) => UNAVAILABLE.err("the store's disk is full; nothing was accepted"),
        Some(SystemIoFailure) => UNAVAILABLE.err("the store's disk failed; nothing was accepted"),
        _ => STORE_FAILED.err("the store refused a statement"),
    };
    code.with_source(source)
}
