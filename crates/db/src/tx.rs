//! What a transaction can do: run a statement, read rows, stage records for the journal.

use crate::codes::STORE_FAILED;
use angarium_base::{
    Error, Result,
    error::{NOT_FOUND, UNAVAILABLE},
};
use rusqlite::{
    Connection, ToSql,
    types::{ToSqlOutput, ValueRef},
};

/// A parameter of a statement.
#[derive(Clone, Copy, Debug)]
pub enum V<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl From<i64> for V<'_> {
    fn from(x: i64) -> Self {
        V::Int(x)
    }
}

impl From<bool> for V<'_> {
    fn from(x: bool) -> Self {
        V::Int(x.into())
    }
}

impl<'a> From<&'a str> for V<'a> {
    fn from(x: &'a str) -> Self {
        V::Text(x)
    }
}

impl<'a> From<&'a String> for V<'a> {
    fn from(x: &'a String) -> Self {
        V::Text(x)
    }
}

impl<'a> From<&'a [u8]> for V<'a> {
    fn from(x: &'a [u8]) -> Self {
        V::Bytes(x)
    }
}

impl<'a, T: Into<V<'a>>> From<Option<T>> for V<'a> {
    fn from(x: Option<T>) -> Self {
        x.map_or(V::Null, Into::into)
    }
}

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

/// The parameters of a statement: `v![app, limit]`.
#[macro_export]
macro_rules! v {
    ($($x:expr),* $(,)?) => { &[$($crate::V::from($x)),*] };
}

/// A row of an answer.
pub struct Row<'r>(&'r rusqlite::Row<'r>);

/// A type that a column can be read as.
pub trait Col: Sized {
    fn read(row: &Row<'_>, column: usize) -> Result<Self>;
}

macro_rules! col {
    ($($t:ty),*) => {$(impl Col for $t {
        fn read(row: &Row<'_>, column: usize) -> Result<Self> {
            row.0.get(column).map_err(failed)
        }
    })*};
}
col!(i64, bool, String, Vec<u8>, Option<i64>, Option<String>, Option<Vec<u8>>);

impl Row<'_> {
    pub fn get<T: Col>(&self, column: usize) -> Result<T> {
        T::read(self, column)
    }

    /// The bytes of a column, without copying them.
    pub fn bytes(&self, column: usize) -> Result<&[u8]> {
        self.0.get_ref(column).map_err(failed)?.as_blob().map_err(|e| failed(e.into()))
    }
}

/// A record that a closure wants in a stream; it is there if and only if the closure's work is.
#[derive(Debug)]
pub struct Staged {
    pub stream: i64,
    pub frame: Vec<u8>,
}

/// One transaction. SQL is written with `$1`, `ON CONFLICT` and `RETURNING`.
pub struct Tx<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) staged: &'a mut Vec<Staged>,
}

impl Tx<'_> {
    /// Runs one statement; returns how many rows it changed.
    pub fn exec(&mut self, sql: &'static str, params: &[V<'_>]) -> Result<u64> {
        let mut statement = self.prepare(sql, params)?;
        statement.raw_execute().map(|n| n as u64).map_err(failed)
    }

    /// Reads all rows, each through `f`.
    pub fn query<T>(
        &mut self,
        sql: &'static str,
        params: &[V<'_>],
        mut f: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut out = Vec::new();
        self.each(sql, params, |row| {
            out.push(f(row)?);
            Ok(true)
        })?;
        Ok(out)
    }

    /// Reads rows until `f` says `false`.
    pub fn each(
        &mut self,
        sql: &'static str,
        params: &[V<'_>],
        mut f: impl FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let mut statement = self.prepare(sql, params)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(failed)? {
            if !f(&Row(row))? {
                break;
            }
        }
        Ok(())
    }

    /// Reads the first row, if there is one.
    pub fn maybe<T>(
        &mut self,
        sql: &'static str,
        params: &[V<'_>],
        mut f: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut out = None;
        self.each(sql, params, |row| {
            out = Some(f(row)?);
            Ok(false)
        })?;
        Ok(out)
    }

    /// Reads the first row.
    ///
    /// # Errors
    /// `not_found` when there is none.
    pub fn one<T>(
        &mut self,
        sql: &'static str,
        params: &[V<'_>],
        f: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.maybe(sql, params, f)?.ok_or_else(|| NOT_FOUND.err("there is nothing by that name"))
    }

    fn prepare(&self, sql: &'static str, params: &[V<'_>]) -> Result<rusqlite::CachedStatement<'_>> {
        if self.connection.is_autocommit() {
            // A statement before this one cost the transaction, and its error was not heeded.
            return Err(given_up());
        }
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        bind(&mut statement, params).map_err(failed)?;
        Ok(statement)
    }

    /// Hands a framed record to the journal, which writes it in the same commit.
    pub fn stage(&mut self, stream: i64, frame: Vec<u8>) {
        self.staged.push(Staged { stream, frame });
    }

    /// The records that the closures of this tick staged; for the journal's participant.
    pub fn take_staged(&mut self) -> Vec<Staged> {
        std::mem::take(self.staged)
    }
}

/// Binds `$n` to the n-th parameter. SQLite takes `$1` for a name and numbers names as they appear, so the
/// place is read off the name.
fn bind(statement: &mut rusqlite::CachedStatement<'_>, params: &[V<'_>]) -> rusqlite::Result<()> {
    let count = statement.parameter_count();
    for index in 1..=count {
        let name = statement.parameter_name(index).and_then(|name| name.strip_prefix('$'));
        let param = name.and_then(|n| n.parse::<usize>().ok()).and_then(|n| params.get(n.checked_sub(1)?));
        let param = *param.ok_or(rusqlite::Error::InvalidParameterCount(params.len(), count))?;
        statement.raw_bind_parameter(index, param)?;
    }
    Ok(())
}

/// The engine gave the whole transaction up, as it does when its disk is full or fails.
pub(crate) fn given_up() -> Error {
    UNAVAILABLE.err("the store's disk is full or failed; nothing was accepted")
}

/// Our error for one of the engine's: what may heal is `unavailable`, the rest is a fault of ours.
pub(crate) fn failed(source: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, SystemIoFailure};
    let code = match source.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked) => UNAVAILABLE.err("the store is busy"),
        Some(DiskFull) => UNAVAILABLE.err("the store's disk is full; nothing was accepted"),
        Some(SystemIoFailure) => UNAVAILABLE.err("the store's disk failed; nothing was accepted"),
        _ => STORE_FAILED.err("the store refused a statement"),
    };
    code.with_source(source)
}
