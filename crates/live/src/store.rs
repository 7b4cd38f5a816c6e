//! The live feed's SQL: the key of its tokens, and who follows at which process.

use angarium_base::{AppId, Result, clock::Millis};
use angarium_db::{Tx, v};

/// What tokens are sealed with, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    pub is_sealed: bool,
    pub bytes: Vec<u8>,
}

/// The key that is kept; `offered`, if there was none. Whoever comes first wins.
pub fn token_key(tx: &mut Tx<'_>, offered: &TokenKey) -> Result<TokenKey> {
    tx.exec(
        "INSERT INTO live_token_key (one, is_sealed, token_key) VALUES (1, $1, $2) ON CONFLICT DO NOTHING",
        v![offered.is_sealed, &offered.bytes[..]],
    )?;
    tx.one("SELECT is_sealed, token_key FROM live_token_key WHERE one = 1", &[], |row| {
        Ok(TokenKey { is_sealed: row.get::<i64>(0)? != 0, bytes: row.get(1)? })
    })
}

/// Keeps the same key sealed anew, unless somebody else has changed it since.
pub fn seal_token_key(tx: &mut Tx<'_>, before: &TokenKey, sealed: &[u8]) -> Result<()> {
    tx.exec(
        "UPDATE live_token_key SET is_sealed = 1, token_key = $2 WHERE one = 1 AND token_key = $1",
        v![&before.bytes[..], sealed],
    )?;
    Ok(())
}

/// Who follows an app at one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceRow {
    pub connections: i64,
    /// JSON.
    pub entries: String,
}

/// Writes who follows an app at a process, until `expires_at`.
pub fn publish_presence(
    tx: &mut Tx<'_>,
    app: &AppId,
    process: &str,
    row: &PresenceRow,
    expires_at: Millis,
) -> Result<()> {
    tx.exec(
        "INSERT INTO live_presence (app, process, connections, entries, expires_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (app, process) DO UPDATE SET connections = $3, entries = $4, expires_at = $5",
        v![app.as_str(), process, row.connections, &row.entries, expires_at],
    )?;
    Ok(())
}

/// Removes what a process wrote of apps that nobody follows there any more.
pub fn withdraw_presence(tx: &mut Tx<'_>, app: &AppId, process: &str) -> Result<()> {
    tx.exec("DELETE FROM live_presence WHERE app = $1 AND process = $2", v![app.as_str(), process])?;
    Ok(())
}

/// Removes what is over, and what a process that starts anew has left.
pub fn expire_presence(tx: &mut Tx<'_>, now: Millis) -> Result<()> {
    tx.exec("DELETE FROM live_presence WHERE expires_at < $1", v![now])?;
    Ok(())
}

/// Who follows an app at other processes than this one.
pub fn presence_elsewhere(
    tx: &mut Tx<'_>,
    app: &AppId,
    process: &str,
    now: Millis,
) -> Result<Vec<PresenceRow>> {
    tx.query(
        "SELECT connections, entries FROM live_presence WHERE app = $1 AND process <> $2 AND expires_at >= $3 \
         ORDER BY process LIMIT 100",
        v![app.as_str(), process, now],
        |row| Ok(PresenceRow { connections: row.get(0)?, entries: row.get(1)? }),
    )
}

/// Removes what there is of an app that is gone; how many rows went.
pub fn erase(tx: &mut Tx<'_>, app: &AppId) -> Result<u64> {
    tx.exec("DELETE FROM live_presence WHERE app = $1", v![app.as_str()])
}
