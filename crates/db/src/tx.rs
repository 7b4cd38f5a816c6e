//! What a transaction can do: run a statement, read rows, stage records for the journal.
//!
//! One text for both engines; how each runs it is in its own folder.

use crate::{postgres, sqlite};
use angarium_base::{Result, error::NOT_FOUND};

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

/// The parameters of a statement: `v![app, limit]`.
#[macro_export]
macro_rules! v {
    ($($x:expr),* $(,)?) => { &[$($crate::V::from($x)),*] };
}

/// A row of an answer.
pub enum Row<'r> {
    Sqlite(&'r sqlite::Row<'r>),
    Postgres(&'r postgres::Row),
}

/// A type that a column can be read as.
pub trait Col: Sized {
    fn read(row: &Row<'_>, column: usize) -> Result<Self>;
}

macro_rules! col {
    ($($t:ty),*) => {$(impl Col for $t {
        fn read(row: &Row<'_>, column: usize) -> Result<Self> {
            match row {
                Row::Sqlite(row) => row.get(column).map_err(sqlite::failed),
                Row::Postgres(row) => postgres::column(row, column),
            }
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
        match self {
            Row::Sqlite(row) => sqlite::bytes(row, column),
            Row::Postgres(row) => postgres::bytes(row, column),
        }
    }
}

/// A record that a closure wants in a stream; it is there if and only if the closure's work is.
#[derive(Debug)]
pub struct Staged {
    pub stream: i64,
    pub frame: Vec<u8>,
}

/// One transaction. SQL is written with `$1`, `ON CONFLICT` and `RETURNING`, and runs on both engines.
///
/// On PostgreSQL a transaction sees what others commit while it runs (READ COMMITTED): a decision that has to
/// hold is the condition of the statement that acts on it (`UPDATE … WHERE`), not a read before it.
pub struct Tx<'a> {
    pub(crate) engine: Engine<'a>,
    pub(crate) staged: &'a mut Vec<Staged>,
}

pub(crate) enum Engine<'a> {
    Sqlite(sqlite::Statements<'a>),
    Postgres(&'a mut (dyn postgres::Statements + 'a)),
}

impl Tx<'_> {
    /// Runs one statement; returns how many rows it changed.
    pub fn exec(&mut self, sql: &'static str, params: &[V<'_>]) -> Result<u64> {
        match &mut self.engine {
            Engine::Sqlite(on) => on.exec(sql, params),
            Engine::Postgres(on) => on.exec(sql, params),
        }
    }

    /// Reads all rows, each through `f`.
    pub fn query<T>(
        &mut self,
        sql: &'static str,
        params: &[V<'_>],
        mut f: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut out = Vec::new();
        let mut take = |row: &Row<'_>| {
            out.push(f(row)?);
            Ok(true)
        };
        match &mut self.engine {
            Engine::Sqlite(on) => on.each(sql, params, &mut take)?,
            Engine::Postgres(on) => on.all(sql, params, &mut take)?,
        }
        Ok(out)
    }

    /// Reads rows until `f` says `false`; those after it are not fetched, or few of them.
    pub fn each(
        &mut self,
        sql: &'static str,
        params: &[V<'_>],
        mut f: impl FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        match &mut self.engine {
            Engine::Sqlite(on) => on.each(sql, params, &mut f),
            Engine::Postgres(on) => on.each(sql, params, &mut f),
        }
    }

    /// Reads the first row, if there is one. The statement is to ask for one only (`LIMIT 1`, a unique key).
    pub fn maybe<T>(
        &mut self,
        sql: &'static str,
        params: &[V<'_>],
        mut f: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut out = None;
        let mut take = |row: &Row<'_>| {
            out = Some(f(row)?);
            Ok(false)
        };
        match &mut self.engine {
            Engine::Sqlite(on) => on.each(sql, params, &mut take)?,
            Engine::Postgres(on) => on.all(sql, params, &mut take)?,
        }
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

    /// Hands a framed record to the journal, which writes it in the same commit.
    pub fn stage(&mut self, stream: i64, frame: Vec<u8>) {
        self.staged.push(Staged { stream, frame });
    }

    /// The records that the closures of this tick staged; for the journal's participant.
    pub fn take_staged(&mut self) -> Vec<Staged> {
        std::mem::take(self.staged)
    }
}
