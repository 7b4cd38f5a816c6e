//! One connection: how it is made, and which errors mean that it, or the attempt, is to be made again.

use crate::codes::{INVALID_STORE_URL, STORE_FAILED};
use angarium_base::{Error, Result, error::UNAVAILABLE};
use postgres::{Client, Config, error::SqlState};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where the store is, and how many connections a process keeps to it (two more are for its own use).
#[derive(Clone)]
pub struct Options {
    config: Config,
    pub(super) writers: usize,
    pub(super) readers: usize,
}

impl Options {
    /// Reads a URL: `postgres://user:password@host:5432/database?sslmode=require`.
    ///
    /// # Errors
    /// `invalid_store_url`, without the URL, which may hold a password.
    pub fn parse(url: &str) -> Result<Options> {
        let mut config: Config = url.parse().map_err(|e: postgres::Error| {
            let why = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
            INVALID_STORE_URL.err(format!("the URL of the PostgreSQL store cannot be read: {why}"))
        })?;
        if config.get_hosts().is_empty() {
            return Err(INVALID_STORE_URL.err("the URL of the PostgreSQL store names no host"));
        }
        if config.get_application_name().is_none() {
            config.application_name("angarium");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        config.keepalives_idle(Duration::from_secs(30));
        config.tcp_user_timeout(Duration::from_secs(20));
        // A server that has become a replica is passed over for the one that has not.
        config.target_session_attrs(postgres::config::TargetSessionAttrs::ReadWrite);
        Ok(Options { config, writers: 6, readers: 4 })
    }

    /// The same store with so many connections for writes and for reads, at least one each.
    #[must_use]
    pub fn with_connections(mut self, writers: usize, readers: usize) -> Options {
        (self.writers, self.readers) = (writers.max(1), readers.max(1));
        self
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        self.config.get_dbname().or(self.config.get_user()).unwrap_or("postgres")
    }

    pub fn connect(&self) -> std::result::Result<Connection, postgres::Error> {
        let mut client = self.config.connect(tls())?;
        // No statement may hold a connection, or a transaction its locks, for longer than anybody waits.
        client.batch_execute(
            "SET statement_timeout = '60s'; SET lock_timeout = '15s'; SET idle_in_transaction_session_timeout = '60s'",
        )?;
        Ok(Connection { client, statements: HashMap::new() })
    }
}

/// Certificates are checked against the system's, as everywhere else. Where there are none, no server is believed that
/// speaks TLS; one that does not can be reached.
fn tls() -> MakeRustlsConnect {
    use rustls_platform_verifier::BuilderVerifierExt;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    #[allow(clippy::expect_used, reason = "a property of the build, not of the machine")]
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS 1.2 and 1.3");
    let config = match builder.clone().with_platform_verifier() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::debug!(%error, "the system has no certificates: no PostgreSQL that speaks TLS is believed");
            builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
        }
    };
    MakeRustlsConnect::new(config)
}

pub struct Connection {
    pub client: Client,
    /// Prepared on this connection, by their text.
    pub statements: HashMap<&'static str, postgres::Statement>,
}

/// What an error of the server or of the connection means for the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It lost a race: the same on the same connection may succeed.
    Again,
    /// The connection is of no use any more: the same on another may succeed.
    Reconnect,
    /// The statement is at fault.
    Fatal,
}

/// See <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub fn verdict(error: &postgres::Error) -> Verdict {
    let Some(state) = error.code() else {
        // No answer of the server: the connection broke. A value that does not fit is a fault of ours.
        return if error.is_closed() || is_io(error) { Verdict::Reconnect } else { Verdict::Fatal };
    };
    if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE]
        .contains(state)
    {
        return Verdict::Again;
    }
    let of_the_server = [
        // Prepared before a newer version changed the table.
        SqlState::FEATURE_NOT_SUPPORTED,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::DISK_FULL,
        SqlState::OUT_OF_MEMORY,
        SqlState::IO_ERROR,
    ];
    if of_the_server.contains(state) || state.code().starts_with("08") {
        return Verdict::Reconnect;
    }
    Verdict::Fatal
}

fn is_io(error: &postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            return true;
        }
        cause = error.source();
    }
    // "connection closed" and "timeout waiting for server" have no cause.
    std::error::Error::source(error).is_none()
}

/// Our error for one of the client's: what may heal is `unavailable`, the rest is a fault of ours.
pub fn failed(source: postgres::Error) -> Error {
    let error = match verdict(&source) {
        Verdict::Again => UNAVAILABLE.err("the store is busy").with_retry_after_s(1),
        Verdict::Reconnect => away(),
        Verdict::Fatal => STORE_FAILED.err("the store refused a statement"),
    };
    error.with_source(source)
}

/// Our error for a connection that cannot be made: whatever the reason, somebody may remove it while we run.
pub fn unreachable(source: postgres::Error) -> Error {
    let why = std::error::Error::source(&source).map_or_else(|| source.to_string(), ToString::to_string);
    UNAVAILABLE.err(format!("the store cannot be reached: {why}")).with_retry_after_s(1).with_source(source)
}

pub fn away() -> Error {
    UNAVAILABLE.err("the store cannot be reached at the moment; nothing was done").with_retry_after_s(1)
}
