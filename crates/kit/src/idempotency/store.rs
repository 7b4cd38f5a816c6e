//! The SQL of idempotency keys. What decides is the condition of the statement that acts.

use angarium_base::{Result, clock::Millis};
use angarium_db::{Row, Tx, v};

/// What is known of a key.
#[derive(Clone, Debug)]
pub struct Kept {
    pub fingerprint: Vec<u8>,
    pub owner: String,
    pub expires_at: Millis,
    /// `None` while the first request is in flight.
    pub answer: Option<KeptAnswer>,
}

/// An answer as it is kept.
#[derive(Clone, Debug)]
pub struct KeptAnswer {
    pub status: u16,
    /// Names and values, one a line.
    pub headers: String,
    pub body: Vec<u8>,
    pub is_sealed: bool,
}

/// Who asks, for what.
#[derive(Clone, Debug)]
pub struct Claim {
    pub scope: [u8; 32],
    pub app: String,
    pub fingerprint: [u8; 32],
    pub owner: String,
}

/// Makes the key the claimant's, if nobody has it.
pub fn insert(tx: &mut Tx<'_>, claim: &Claim, expires_at: Millis) -> Result<bool> {
    let made = tx.exec(
        "INSERT INTO idempotency (scope, app, fingerprint, owner, expires_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (scope) DO NOTHING",
        v![&claim.scope[..], &claim.app, &claim.fingerprint[..], &claim.owner, expires_at],
    )?;
    Ok(made > 0)
}

pub fn kept(tx: &mut Tx<'_>, scope: &[u8; 32]) -> Result<Option<Kept>> {
    tx.maybe(
        "SELECT fingerprint, owner, expires_at, status, headers, body, is_sealed FROM idempotency WHERE scope = $1",
        v![&scope[..]],
        |row: &Row<'_>| {
            let status: Option<i64> = row.get(3)?;
            let answer = match status {
                None => None,
                Some(status) => Some(KeptAnswer {
                    status: u16::try_from(status).unwrap_or(500),
                    headers: row.get::<Option<String>>(4)?.unwrap_or_default(),
                    body: row.get::<Option<Vec<u8>>>(5)?.unwrap_or_default(),
                    is_sealed: row.get::<i64>(6)? != 0,
                }),
            };
            Ok(Kept { fingerprint: row.get(0)?, owner: row.get(1)?, expires_at: row.get(2)?, answer })
        },
    )
}

/// Takes over from `before`, which nobody answers any more, or whose time is over; not when it has been answered
/// meanwhile, as by a commit that came through after whoever sent it had died.
pub fn take_over(
    tx: &mut Tx<'_>,
    claim: &Claim,
    before: &Kept,
    now: Millis,
    expires_at: Millis,
) -> Result<bool> {
    let taken = tx.exec(
        "UPDATE idempotency SET owner = $2, fingerprint = $3, expires_at = $4, status = NULL, headers = NULL, body = NULL \
         WHERE scope = $1 AND owner = $5 AND expires_at = $6 AND (status IS NULL OR expires_at <= $7)",
        v![
            &claim.scope[..],
            &claim.owner,
            &claim.fingerprint[..],
            expires_at,
            &before.owner,
            before.expires_at,
            now
        ],
    )?;
    Ok(taken > 0)
}

/// Keeps the answer, if the key is the claimant's still and has none.
pub fn settle(tx: &mut Tx<'_>, claim: &Claim, answer: &KeptAnswer) -> Result<bool> {
    let settled = tx.exec(
        "UPDATE idempotency SET status = $3, headers = $4, body = $5, is_sealed = $6, app = $7 \
         WHERE scope = $1 AND owner = $2 AND status IS NULL",
        v![
            &claim.scope[..],
            &claim.owner,
            i64::from(answer.status),
            &answer.headers,
            &answer.body[..],
            answer.is_sealed,
            &claim.app
        ],
    )?;
    Ok(settled > 0)
}

/// Gives the key back unanswered: nothing was done.
pub fn release(tx: &mut Tx<'_>, claim: &Claim) -> Result<()> {
    tx.exec(
        "DELETE FROM idempotency WHERE scope = $1 AND owner = $2 AND status IS NULL",
        v![&claim.scope[..], &claim.owner],
    )?;
    Ok(())
}

/// Removes some of those whose time is over; returns how many.
pub fn expire(tx: &mut Tx<'_>, now: Millis) -> Result<u64> {
    tx.exec(
        "DELETE FROM idempotency WHERE scope IN \
         (SELECT scope FROM idempotency WHERE expires_at <= $1 ORDER BY expires_at LIMIT 1000)",
        v![now],
    )
}

/// Puts another answer in place of the one that said that an app was made, and keeps it beyond the app.
pub fn replace_made(tx: &mut Tx<'_>, app: &str, answer: &KeptAnswer) -> Result<()> {
    let location = format!("%location: /v1/apps/{app}\n%");
    tx.exec(
        "UPDATE idempotency SET app = '', status = $3, headers = $4, body = $5, is_sealed = $6 \
         WHERE app = $1 AND headers LIKE $2",
        v![app, &location, i64::from(answer.status), &answer.headers, &answer.body[..], answer.is_sealed],
    )?;
    Ok(())
}

/// Removes what is kept for an app.
pub fn delete_of(tx: &mut Tx<'_>, app: &str) -> Result<()> {
    tx.exec("DELETE FROM idempotency WHERE app = $1", v![app])?;
    Ok(())
}
