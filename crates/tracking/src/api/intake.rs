//! Taking the items of a body in: good ones into a batch, bad ones by name; then all good ones are made durable.

use super::outcome::Outcome;
use crate::{
    record::Recorder,
    rules::{Incoming, MAX_EVENTS, TOO_MANY_EVENTS},
};
use angarium_base::{Result, error::Fault};
use angarium_journal::{Appended, Batch, Stream};
use angarium_kit::{
    Kit,
    idempotency::{Answered, Once},
    metrics::Reason,
};
use http::StatusCode;

/// Bodies above this are read on a thread that may block, so that they delay nobody else's request.
const BIG_BODY_BYTES: usize = 1 << 20;

/// Does the reading of a body of `bytes`.
pub fn reading<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    if bytes > BIG_BODY_BYTES { tokio::task::block_in_place(read) } else { read() }
}

/// Makes a batch of events durable, and counts them.
pub async fn append(kit: &Kit, stream: &Stream, batch: Batch) -> Result<Appended> {
    let appended = kit.journal.append(stream, batch).await?;
    kit.metrics.events_accepted.inc_by(appended.accepted.into());
    kit.metrics.events_duplicate.inc_by(appended.duplicates.len() as u64);
    Ok(appended)
}

/// What became of each item of a body so far.
pub struct Intake<'a> {
    recorder: Recorder<'a>,
    event_bytes: usize,
    /// Index of the next item.
    pub index: usize,
    pub rejected: Vec<(usize, Fault)>,
    /// Gives events an id that have none, if the request is to be done once.
    once: Option<Once>,
    /// Whether each event in the batch has its id from there.
    given: Vec<bool>,
}

impl<'a> Intake<'a> {
    pub fn new(recorder: Recorder<'a>, event_bytes: usize) -> Intake<'a> {
        Intake { recorder, event_bytes, index: 0, rejected: Vec::new(), once: None, given: Vec::new() }
    }

    /// The same for a request that is to be done once.
    pub fn once(self, once: Option<Once>) -> Intake<'a> {
        Intake { once, ..self }
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
            Ok(mut event) => {
                if let Some(once) = &self.once {
                    self.given.push(event.id.is_none());
                    event.id.get_or_insert_with(|| once.event_id(index).into());
                }
                self.recorder.add(&event, None);
            }
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

    /// Whether what is kept is to be kept with its answer: streams are elsewhere than the store then, ids are remembered by
    /// each process for itself, and only the store can say, whichever process is asked, that this was done.
    pub fn settles(&self, kit: &Kit) -> Option<Once> {
        let all_given = !self.given.is_empty() && self.given.iter().all(|given| *given);
        let is_connected = kit.journal.shipping().is_some_and(|shipping| shipping.connected);
        self.once.clone().filter(|_| all_given && is_connected)
    }

    /// Makes the good items durable together with the answer, and counts all.
    pub async fn keep_settled(self, kit: &Kit, stream: &Stream, once: Once) -> Result<Outcome> {
        count(kit, &self.rejected);
        let (batch, accepted) = (self.recorder.batch, self.given.len());
        let outcome = Outcome { accepted, duplicates: 0, rejected: self.rejected };
        let (journal, stream, body) = (kit.journal.clone(), stream.clone(), outcome.text(""));
        kit.db
            .write(move |tx| {
                journal.append_batch_in(tx, &stream, &batch);
                let (status, body) = (StatusCode::ACCEPTED, body.as_bytes());
                once.settle(tx, &Answered { status, location: None, body, sealed: None })
            })
            .await?;
        kit.metrics.events_accepted.inc_by(accepted as u64);
        Ok(outcome)
    }

    /// Makes the good items durable, and counts all.
    pub async fn keep(self, kit: &Kit, stream: &Stream) -> Result<Outcome> {
        count(kit, &self.rejected);
        let appended = append(kit, stream, self.recorder.batch).await?;
        // What is there already under an id of this request's own was put there by an attempt that nobody answered.
        let is_own = |at: &&u32| self.given.get(**at as usize).is_some_and(|given| *given);
        let again = appended.duplicates.iter().filter(is_own).count();
        Ok(Outcome {
            accepted: appended.accepted as usize + again,
            duplicates: appended.duplicates.len() - again,
            rejected: self.rejected,
        })
    }
}

fn count(kit: &Kit, rejected: &[(usize, Fault)]) {
    for (_, fault) in rejected {
        kit.metrics.events_rejected.get_or_create(&Reason { reason: fault.code.to_owned() }).inc();
    }
}
