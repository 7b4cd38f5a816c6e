//! The participants on PostgreSQL: their ticks are transactions, on a connection of their own.

use super::{
    connection::{Connection, away, failed},
    statements::{Committed, Transaction},
    threads::{Shared, connected, unknown, within},
};
use crate::Participant;
use angarium_base::{Result, error::INTERNAL};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

/// How long it waits at most before it looks whether there is something to write.
const LOOK: Duration = Duration::from_millis(200);
/// Who came while a tick was under way waits this long for others to share the next one with.
const LINGER: Duration = Duration::from_micros(200);

/// Runs until the store is closed and nothing waits.
pub fn run(shared: &Shared) {
    let (alarm, mut slot) = (shared.alarm(), None);
    let mut participants: Vec<Box<dyn Participant>> = Vec::new();
    let mut busy = false;
    loop {
        participants.append(&mut shared.joining.lock());
        if participants.iter().any(|participant| participant.pending() > 0) {
            if std::mem::replace(&mut busy, true) {
                std::thread::sleep(LINGER);
            }
            let started = Instant::now();
            let outcome = tick(shared, &mut slot, &mut participants);
            shared.note_tick(started);
            if outcome.is_err() {
                slot = None;
            }
            for participant in &mut participants {
                participant.settle(outcome.as_ref().copied());
            }
            continue;
        }
        if shared.is_closed() {
            return;
        }
        busy = false;
        alarm.wait(LOOK);
    }
}

fn tick(
    shared: &Shared,
    slot: &mut Option<Connection>,
    participants: &mut [Box<dyn Participant>],
) -> Result<()> {
    connected(slot, &shared.options)?;
    let Some(connection) = slot else { return Err(away()) };
    let mut transaction = Transaction::begin(connection, false).map_err(failed)?;
    let filled = catch_unwind(AssertUnwindSafe(|| {
        within(&mut transaction, &mut Vec::new(), |tx| {
            participants.iter_mut().try_for_each(|participant| participant.flush(tx))
        })
    }));
    filled.unwrap_or_else(|_| Err(INTERNAL.err("a part of the store met a fault; nothing was accepted")))?;
    match shared.commit(transaction) {
        Committed::Yes => Ok(()),
        Committed::No(_, error) => Err(error),
        Committed::Unknown(error) => Err(unknown(error)),
    }
}
