//! The SQL of leases and processes. What decides is the condition of the statement that acts.

use super::{member::Member, process::Process};
use angarium_base::{Result, clock::Millis};
use angarium_db::{Row, Tx, v};

/// A lease as it stands; one that was given back has an empty holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    pub holder: String,
    pub beat: i64,
}

pub fn lease(tx: &mut Tx<'_>, name: &str) -> Result<Option<LeaseRow>> {
    tx.maybe("SELECT holder, beat FROM leases WHERE name = $1", v![name], |row| {
        Ok(LeaseRow { holder: row.get(0)?, beat: row.get(1)? })
    })
}

/// Takes the lease for `holder`, if since `seen_beat` was read (`None`: there was no such lease) nobody has changed it.
pub fn take_lease(
    tx: &mut Tx<'_>,
    name: &str,
    holder: &str,
    seen_beat: Option<i64>,
    now: Millis,
) -> Result<bool> {
    let taken = match seen_beat {
        None => tx.exec(
            "INSERT INTO leases (name, holder, beat, since, renewed_at) VALUES ($1, $2, 1, $3, $3) \
             ON CONFLICT (name) DO NOTHING",
            v![name, holder, now],
        )?,
        Some(beat) => tx.exec(
            "UPDATE leases SET holder = $2, beat = beat + 1, since = $3, renewed_at = $3 \
             WHERE name = $1 AND beat = $4",
            v![name, holder, now, beat],
        )?,
    };
    Ok(taken > 0)
}

/// Returns `false` when it is another's by now.
pub fn renew_lease(tx: &mut Tx<'_>, name: &str, holder: &str, now: Millis) -> Result<bool> {
    let renewed = tx.exec(
        "UPDATE leases SET beat = beat + 1, renewed_at = $3 WHERE name = $1 AND holder = $2",
        v![name, holder, now],
    )?;
    Ok(renewed > 0)
}

/// Makes the lease free, if it is `holder`'s.
pub fn give_back_lease(tx: &mut Tx<'_>, name: &str, holder: &str) -> Result<()> {
    tx.exec(
        "UPDATE leases SET holder = '', beat = beat + 1 WHERE name = $1 AND holder = $2",
        v![name, holder],
    )?;
    Ok(())
}

/// Forgets all processes and frees all leases: for a store that one process has at a time.
pub fn forget_all(tx: &mut Tx<'_>) -> Result<()> {
    tx.exec("DELETE FROM processes", &[])?;
    tx.exec("UPDATE leases SET holder = '', beat = beat + 1 WHERE holder <> ''", &[])?;
    Ok(())
}

/// Writes that the process was seen; makes its row if there is none (any more).
pub fn see_process(
    tx: &mut Tx<'_>,
    member: &Member,
    now: Millis,
    lag_ms: i64,
    detail: Option<&str>,
) -> Result<()> {
    tx.exec(
        "INSERT INTO processes (id, host, pid, roles, version, address, started_at, seen_at, lag_ms, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (id) DO UPDATE SET seen_at = $8, lag_ms = $9, detail = $10",
        v![
            member.id.as_str(),
            &member.host,
            member.pid,
            &member.roles_text(),
            &member.version,
            &member.address,
            member.started_at,
            now,
            lag_ms,
            detail
        ],
    )?;
    Ok(())
}

pub fn delete_process(tx: &mut Tx<'_>, id: &str) -> Result<()> {
    tx.exec("DELETE FROM processes WHERE id = $1", v![id])?;
    Ok(())
}

pub fn forget_processes(tx: &mut Tx<'_>, before: Millis) -> Result<()> {
    tx.exec("DELETE FROM processes WHERE seen_at < $1", v![before])?;
    Ok(())
}

/// Every process, the oldest first, with the leases it holds.
pub fn processes(tx: &mut Tx<'_>) -> Result<Vec<Process>> {
    let mut all = tx.query(
        "SELECT id, host, pid, roles, version, address, started_at, seen_at, lag_ms, detail FROM processes \
         ORDER BY started_at, id",
        &[],
        process,
    )?;
    tx.each("SELECT name, holder FROM leases ORDER BY name", &[], |row| {
        let (name, holder): (String, String) = (row.get(0)?, row.get(1)?);
        if let Some(process) = all.iter_mut().find(|process| process.id == holder) {
            process.leases.push(name);
        }
        Ok(true)
    })?;
    Ok(all)
}

fn process(row: &Row<'_>) -> Result<Process> {
    Ok(Process {
        id: row.get(0)?,
        host: row.get(1)?,
        pid: row.get(2)?,
        roles: row.get::<String>(3)?.split(',').map(str::to_owned).collect(),
        version: row.get(4)?,
        address: row.get(5)?,
        started_at: row.get(6)?,
        seen_at: row.get(7)?,
        lag_ms: row.get(8)?,
        detail: row.get(9)?,
        leases: Vec::new(),
    })
}
