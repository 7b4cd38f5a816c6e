//! Statements in a transaction of a PostgreSQL connection: prepared once a connection, read in portions.

use super::connection::{Connection, Verdict, failed, verdict};
use crate::{Row, V, codes::STORE_FAILED};
use angarium_base::{Error, Result};
use bytes::BytesMut;
use postgres::{
    error::SqlState,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};
use std::{collections::HashMap, error::Error as StdError};

/// Rows that [`Transaction::each`] fetches first, and at most, in one go.
const PORTION: i32 = 8;
const PORTION_MAX: i32 = 256;

type Boxed = Box<dyn StdError + Sync + Send>;

impl ToSql for V<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Boxed> {
        match *self {
            V::Null => Ok(IsNull::Yes),
            V::Int(n) if *ty == Type::INT8 => n.to_sql(ty, out),
            V::Int(n) if *ty == Type::INT4 => i32::try_from(n)?.to_sql(ty, out),
            V::Int(n) if *ty == Type::INT2 => i16::try_from(n)?.to_sql(ty, out),
            V::Int(n) if *ty == Type::BOOL => (n != 0).to_sql(ty, out),
            V::Text(text) if <&str as ToSql>::accepts(ty) => text.to_sql(ty, out),
            V::Bytes(bytes) if *ty == Type::BYTEA => bytes.to_sql(ty, out),
            _ => Err(format!("a parameter of the wrong kind for {ty}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A whole number of any width, or a truth value: SQLite has one kind of them.
struct Number(i64);

impl<'a> FromSql<'a> for Number {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> std::result::Result<Number, Boxed> {
        Ok(Number(match *ty {
            Type::INT8 => i64::from_sql(ty, raw)?,
            Type::INT4 => i32::from_sql(ty, raw)?.into(),
            Type::INT2 => i16::from_sql(ty, raw)?.into(),
            _ => bool::from_sql(ty, raw)?.into(),
        }))
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::INT4, Type::INT2, Type::BOOL].contains(ty)
    }
}

/// A column read as one of the kinds a [`crate::Col`] has.
pub trait Column: Sized {
    fn column(row: &postgres::Row, column: usize) -> std::result::Result<Self, postgres::Error>;
}

macro_rules! columns {
    ($($t:ty: $read:ty, $from:expr;)*) => {$(impl Column for $t {
        fn column(row: &postgres::Row, column: usize) -> std::result::Result<Self, postgres::Error> {
            row.try_get::<_, $read>(column).map($from)
        }
    })*};
}
columns! {
    i64: Number, |n| n.0;
    bool: Number, |n| n.0 != 0;
    String: String, |text| text;
    Vec<u8>: Vec<u8>, |bytes| bytes;
    Option<i64>: Option<Number>, |n| n.map(|n| n.0);
    Option<String>: Option<String>, |text| text;
    Option<Vec<u8>>: Option<Vec<u8>>, |bytes| bytes;
}

pub fn column<T: Column>(row: &postgres::Row, column: usize) -> Result<T> {
    T::column(row, column).map_err(failed)
}

pub fn bytes(row: &postgres::Row, column: usize) -> Result<&[u8]> {
    row.try_get(column).map_err(failed)
}

/// A transaction that is open, and what became of its statements.
pub struct Transaction<'c> {
    inner: postgres::Transaction<'c>,
    statements: &'c mut HashMap<&'static str, postgres::Statement>,
    /// Whether it was begun for reading only.
    reads: bool,
    /// What the first statement that failed means; after it PostgreSQL takes no other.
    pub failure: Option<Verdict>,
}

/// What a [`crate::Tx`] needs of a transaction.
pub trait Statements {
    fn exec(&mut self, sql: &'static str, params: &[V<'_>]) -> Result<u64>;

    /// All rows at once.
    fn all(&mut self, sql: &'static str, params: &[V<'_>], f: &mut OnRow<'_>) -> Result<()>;

    /// Rows in portions, until `f` says `false`.
    fn each(&mut self, sql: &'static str, params: &[V<'_>], f: &mut OnRow<'_>) -> Result<()>;
}

/// Takes a row, and says whether there is to be another.
pub type OnRow<'f> = dyn FnMut(&Row<'_>) -> Result<bool> + 'f;

/// How a commit ended.
pub enum Committed {
    Yes,
    /// The server said no: nothing was done.
    No(Verdict, Error),
    /// The connection broke before the server answered: it was done, or it was not.
    Unknown(Error),
}

impl<'c> Transaction<'c> {
    pub fn begin(
        on: &'c mut Connection,
        reads: bool,
    ) -> std::result::Result<Transaction<'c>, postgres::Error> {
        let Connection { client, statements } = on;
        let mut builder = client.build_transaction();
        if reads {
            builder = builder.read_only(true).isolation_level(postgres::IsolationLevel::RepeatableRead);
        }
        Ok(Transaction { inner: builder.start()?, statements, reads, failure: None })
    }

    pub fn commit(self) -> Committed {
        match self.inner.commit() {
            Ok(()) => Committed::Yes,
            // A server that ends the connection says so also after it has committed.
            Err(error) if error.code().is_some() && verdict(&error) != Verdict::Reconnect => {
                Committed::No(verdict(&error), failed(error))
            }
            Err(error) => Committed::Unknown(failed(error)),
        }
    }

    /// Ends it without a trace. Whether that is heard is no matter: what is not committed is undone.
    pub fn undo(self) -> std::result::Result<(), postgres::Error> {
        self.inner.rollback()
    }

    fn prepare(&mut self, sql: &'static str, params: &[V<'_>]) -> Result<postgres::Statement> {
        let statement = match self.statements.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let statement = self.inner.prepare(sql).map_err(|error| self.note(error))?;
                self.statements.insert(sql, statement.clone());
                statement
            }
        };
        if statement.params().len() > params.len() {
            return Err(STORE_FAILED.err("a statement has fewer parameters than it names"));
        }
        // SQLite takes more than the text names; here the number is exact.
        if statement.params().len() < params.len() {
            return Err(STORE_FAILED.err("a statement has more parameters than it names"));
        }
        Ok(statement)
    }

    fn note(&mut self, error: postgres::Error) -> Error {
        if self.reads && error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
            self.failure.get_or_insert(Verdict::Fatal);
            return STORE_FAILED.err("a read wanted to write").with_source(error);
        }
        self.failure.get_or_insert(verdict(&error));
        failed(error)
    }
}

impl Statements for Transaction<'_> {
    fn exec(&mut self, sql: &'static str, params: &[V<'_>]) -> Result<u64> {
        let statement = self.prepare(sql, params)?;
        let done = self.inner.execute(&statement, &given(params));
        done.map_err(|error| self.note(error))
    }

    fn all(&mut self, sql: &'static str, params: &[V<'_>], f: &mut OnRow<'_>) -> Result<()> {
        let statement = self.prepare(sql, params)?;
        let rows = self.inner.query(&statement, &given(params)).map_err(|error| self.note(error))?;
        for row in &rows {
            if !f(&Row::Postgres(row))? {
                break;
            }
        }
        Ok(())
    }

    fn each(&mut self, sql: &'static str, params: &[V<'_>], f: &mut OnRow<'_>) -> Result<()> {
        let statement = self.prepare(sql, params)?;
        let portal = self.inner.bind(&statement, &given(params)).map_err(|error| self.note(error))?;
        let mut portion = PORTION;
        loop {
            let rows = self.inner.query_portal(&portal, portion).map_err(|error| self.note(error))?;
            for row in &rows {
                if !f(&Row::Postgres(row))? {
                    return Ok(());
                }
            }
            if rows.len() < portion as usize {
                return Ok(());
            }
            portion = (portion * 2).min(PORTION_MAX);
        }
    }
}

fn given<'p>(params: &'p [V<'p>]) -> Vec<&'p (dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}
