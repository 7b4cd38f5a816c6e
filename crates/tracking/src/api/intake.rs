//! Taking the items of a body in: good ones into a batch, bad ones by name; then all good ones are made durable.

use super::outcome::Outcome;
use crate::{
    record::Recorder,
    rules::{Incoming, MAX_EVENTS, TOO_MANY_EVENTS},
};
use angarium_base::{Result, error::Fault};
use angarium_journal::{Batch, Stream};
use angarium_kit::{Kit, metrics::Reason};

/// Bodies above this are read on a thread that may block, so that they delay nobody else's request.
const BIG_BODY_BYTES: usize = 1 << 20;

/// Does the reading of a body of `bytes`.
pub fn reading<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    if bytes > BIG_BODY_BYTES { tokio::task::block_in_place(read) } else { read() }
}

/// Makes a batch of events durable, and counts them.
pub async fn append(kit: &Kit, stream: &Stream, batch: Batch) -> Result<(usize, usize)> {
    let appended = kit.journal.append(stream, batch).await?;
    kit.metrics.events_accepted.inc_by(appended.accepted.into());
    kit.metrics.events_duplicate.inc_by(appended.duplicates.len() as u64);
    Ok((appended.accepted as usize, appended.duplicates.len()))
}

/// What became of each item of a body so far.
pub struct Intake<'a> {
    recorder: Recorder<'a>,
    event_bytes: usize,
    /// Index of the next item.
    pub index: usize,
    pub rejected: Vec<(usize, Fault)>,
}

impl<'a> Intake<'a> {
    pub fn new(recorder: Recorder<'a>, event_bytes: usize) -> Intake<'a> {
        Intake { recorder, event_bytes, index: 0, rejected: Vec::new() }
    }

    /// The index of the item that comes now.
    ///
    /// # Errors
    /// `too_many_events`
    pub fn next(&mut self) -> Result<usize> {
        if self.index == MAX_EVENTS {
            let detail = format!("a request may have {MAX_EVENTS} events; send several batches");
            return Err(TOO_MANY_EVENTS.err(detail));
        }
        self.index += 1;
        Ok(self.index - 1)
    }

    /// Takes an item that had so many `bytes`.
    pub fn take(&mut self, index: usize, event: Result<Incoming<'_>, Fault>, bytes: usize) {
        match event {
            Ok(_) if bytes > self.event_bytes => {
                let detail = format!("an event may have {} bytes; this one has {bytes}", self.event_bytes);
                self.refuse(index, Fault { pointer: String::new(), code: "event_too_large", detail });
            }
            Ok(event) => self.recorder.add(&event, None),
            Err(fault) => self.refuse(index, fault),
        }
    }

    pub fn refuse(&mut self, index: usize, fault: Fault) {
        self.rejected.push((index, fault));
    }

    /// Whether there is no good item.
    pub fn is_empty(&self) -> bool {
        self.recorder.batch.count() == 0
    }

    /// Gives up the good items. What is left are the bad ones, counted.
    pub fn drop_all(self, kit: &Kit) -> Outcome {
        count(kit, &self.rejected);
        Outcome { rejected: self.rejected, ..Outcome::default() }
    }

    /// Makes the good items durable, and counts all.
    pub async fn keep(self, kit: &Kit, stream: &Stream) -> Result<Outcome> {
        count(kit, &self.rejected);
        let (accepted, duplicates) = append(kit, stream, self.recorder.batch).await?;
        Ok(Outcome { accepted, duplicates, rejected: self.rejected })
    }
}

fn count(kit: &Kit, rejected: &[(usize, Fault)]) {
    for (_, fault) in rejected {
        kit.metrics.events_rejected.get_or_create(&Reason { reason: fault.code.to_owned() }).inc();
    }
}
