//! The persister: brings what the stream has into the table, in its order, one process at a time.
//!
//! A batch that the store refuses is halved until the one that it is about stands alone; that one goes to the retries, and
//! the others on. While the store cannot be reached nothing is tried out: the batch waits.

use crate::{
    KIND, MESSAGES, Shared,
    model::{Message, Retried},
    retry, store,
};
use angarium_base::{AppId, Error, Result, clock::Millis, error::Kind};
use angarium_journal::{Record, Stream};
use angarium_kit::{
    Kit,
    dead_letters::{Change, Inbox, Letter},
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// How often it is looked for apps that have their first message.
const LOOK: Duration = Duration::from_secs(2);
/// Messages of one transaction: the store's writer is not held longer than a few milliseconds.
const ROWS: u64 = 2_048;
/// A batch below this waits a moment for company.
const FEW: usize = 256;
const LINGER: Duration = Duration::from_millis(5);
/// The log is told this often, at most, of messages that could not be persisted.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// After the store could not be written to.
const PAUSE: Duration = Duration::from_millis(500);

pub async fn run(kit: Kit, shared: Arc<Shared>, stop: CancellationToken) {
    let (mut tasks, mut running, mut failing) = (JoinSet::new(), HashSet::new(), false);
    loop {
        match kit.journal.apps_with(MESSAGES).await {
            Ok(apps) => {
                failing = false;
                for app in apps {
                    if running.insert(app.clone()) {
                        tasks.spawn(follow(kit.clone(), shared.clone(), app, stop.clone()));
                    }
                }
            }
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(?error, "it cannot be seen which apps have messages; will try again");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(LOOK) => {}
            () = shared.first.notified() => {}
            Some(ended) = tasks.join_next() => {
                if let Ok(app) = ended {
                    running.remove(&app);
                }
            }
        }
    }
    tasks.join_all().await;
}

/// Follows the stream of one app until `stop`, or until the app is gone.
async fn follow(kit: Kit, shared: Arc<Shared>, app: AppId, stop: CancellationToken) -> AppId {
    let mut failing = false;
    while !stop.is_cancelled() && kit.directory.app(app.as_str()).is_some() {
        match (Persister { kit: &kit, shared: &shared, app: &app, at: 0, untold: Untold::default() })
            .run(&stop)
            .await
        {
            Ok(()) => break,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(?error, %app, "messages cannot be persisted at the moment; will try again");
                }
                stop.run_until_cancelled(sleep(PAUSE)).await;
            }
        }
    }
    app
}

struct Persister<'a> {
    kit: &'a Kit,
    shared: &'a Shared,
    app: &'a AppId,
    /// Where in the stream it stands.
    at: u64,
    untold: Untold,
}

/// What the log does not know yet: where one message cannot be persisted, thousands may be like it.
#[derive(Clone, Copy, Default)]
struct Untold {
    given_up: usize,
    refused: usize,
    told_at: Option<Instant>,
}

impl Untold {
    fn add(&mut self, app: &AppId, given_up: usize, refused: usize) {
        self.given_up += given_up;
        self.refused += refused;
        if self.given_up + self.refused == 0 || self.told_at.is_some_and(|at| at.elapsed() < TELL_EVERY) {
            return;
        }
        let Untold { given_up, refused, .. } = *self;
        tracing::warn!(%app, given_up, refused, "messages were given up, or refused by the store, which is tried again");
        *self = Untold { told_at: Some(Instant::now()), ..Untold::default() };
    }
}

/// A record of the stream on its way into the table.
#[derive(Clone)]
struct Item {
    offset: u64,
    at: Millis,
    /// A message, or the bytes that are none.
    what: Result<Message, Vec<u8>>,
    /// Why it goes to the dead letters at once.
    fault: Option<(&'static str, String)>,
}

impl Persister<'_> {
    async fn run(&mut self, stop: &CancellationToken) -> Result<()> {
        let stream = self.kit.journal.stream(self.app, MESSAGES).await?;
        let mut head = self.kit.journal.watch(&stream).await?;
        let app = self.app.clone();
        self.at = self.kit.db.read(move |tx| store::next_offset(tx, &app)).await?;
        let mut ahead = Vec::new();
        while !stop.is_cancelled() {
            head.borrow_and_update();
            let items = match ahead.is_empty() {
                true => self.read(&stream, self.at).await?,
                false => std::mem::take(&mut ahead),
            };
            let taken = items.len();
            if let Some(last) = items.last() {
                // What comes next is read while this is being written.
                let (ahead_of_it, next) = (Persister { ..*self }, last.offset + 1);
                let (settled, read) =
                    tokio::join!(self.settle(items.into()), ahead_of_it.read(&stream, next));
                settled?;
                ahead = if taken < FEW { Vec::new() } else { read? };
            }
            let waiting = async {
                if taken == 0 {
                    // Now and then it is looked whether the app is there still.
                    let _ = tokio::time::timeout(LOOK, head.changed()).await;
                } else if taken < FEW {
                    sleep(LINGER).await;
                }
            };
            stop.run_until_cancelled(waiting).await;
            if taken == 0 && self.kit.directory.app(self.app.as_str()).is_none() {
                break;
            }
        }
        Ok(())
    }

    /// What is there from an offset on, up to a batch.
    async fn read(&self, stream: &Stream, from: u64) -> Result<Vec<Item>> {
        let page = self.kit.journal.read(stream, from, ROWS).await?;
        let schema = self.shared.schemas.of(self.kit, self.app).await?;
        let check = schema.as_deref().filter(|schema| schema.sets_aside());
        let items: Vec<Item> = page
            .records()
            .map(|record| {
                let mut item = Item::of(&record);
                if let (Ok(message), Some(schema)) = (&item.what, check)
                    && let Err(faults) = schema.check(&message.body)
                {
                    item.fault = Some(("schema_mismatch", crate::schema::sentence(&faults)));
                }
                item
            })
            .collect();
        if let Some(lost) = items.first().map(|first| first.offset - from).filter(|lost| *lost > 0) {
            tracing::error!(app = %self.app, lost, "retention removed messages before they were persisted");
            self.kit.metrics.messages_lost.inc_by(lost);
        }
        Ok(items)
    }

    /// Brings all of them where they belong.
    async fn settle(&mut self, items: Arc<[Item]>) -> Result<()> {
        let (mut waiting, mut next) = (Vec::new(), Some(0..items.len()));
        while let Some(range) = next.take().or_else(|| waiting.pop()) {
            let outcome = self.commit(&items, range.clone(), None).await;
            match outcome {
                Ok(()) => {}
                Err(error) if !is_about_a_row(&error) => return Err(error),
                Err(error) if range.len() == 1 && items[range.start].is_dead() => return Err(error),
                Err(error) if range.len() == 1 => self.commit(&items, range, Some(&error)).await?,
                Err(_) => {
                    let middle = range.start + range.len() / 2;
                    waiting.push(middle..range.end);
                    waiting.push(range.start..middle);
                }
            }
        }
        Ok(())
    }

    /// One transaction: the place in the stream, and a part of the items; one of them alone if it was `refused`.
    async fn commit(
        &mut self,
        items: &Arc<[Item]>,
        range: std::ops::Range<usize>,
        refused: Option<&Error>,
    ) -> Result<()> {
        let to = items[range.end - 1].offset + 1;
        let inbox = match items[range.clone()].iter().any(Item::is_dead) {
            true => Some(Inbox::of(self.kit, self.app).await?),
            false => None,
        };
        let (app, items, from, now) = (self.app.clone(), items.clone(), self.at, self.kit.clock.now());
        let refused = refused.map(|error| (error.code().name, retry::reason(error)));
        let count = range.len();
        let rows = if refused.is_some() {
            0
        } else {
            items[range.clone()].iter().filter(|item| !item.is_dead()).count()
        };
        let given_up = if refused.is_some() { 0 } else { count - rows };
        let tries_again = self.shared.settings.attempts > 1;
        let moved = self
            .kit
            .db
            .write(move |tx| {
                let part = &items[range.clone()];
                let Some(place) = store::advance(tx, &app, (from, to), rows, now)? else { return Ok(false) };
                if let Some((code, reason)) = &refused {
                    for message in part.iter().filter_map(|item| item.what.as_ref().ok()) {
                        let retried = Retried {
                            app: app.to_string(),
                            message: message.clone(),
                            attempts: 1,
                            attempts_before: 0,
                            first_at: now,
                            code: (*code).to_owned(),
                            reason: reason.clone(),
                        };
                        let next_at = if tries_again { retry::next_at(now, 1) } else { now };
                        store::insert_retry(tx, &app, &retried, next_at)?;
                    }
                    return Ok(true);
                }
                for item in part.iter().filter(|item| item.is_dead()) {
                    if let Some(inbox) = &inbox {
                        inbox.put(tx, now, &item.to_letter(&app, now))?;
                    }
                }
                let good =
                    part.iter().filter(|item| !item.is_dead()).filter_map(|item| item.what.as_ref().ok());
                store::insert_messages(tx, &app, &place, good)?;
                Ok(true)
            })
            .await?;
        if !moved {
            // Another process, for a moment: it is seen where that has come to.
            return Err(angarium_base::error::UNAVAILABLE.err("another process has persisted these messages"));
        }
        self.at = to;
        self.kit.metrics.messages_persisted.inc_by(rows as u64);
        Inbox::count(self.kit, KIND, Change::GivenUp, given_up as u64);
        self.untold.add(self.app, given_up, count - rows - given_up);
        Ok(())
    }
}

/// Whether the store refuses what it is given; otherwise it is the store that fails, and everything waits.
pub fn is_about_a_row(error: &Error) -> bool {
    error.code().kind == Kind::Internal
}

impl Item {
    fn of(record: &Record<'_>) -> Item {
        let what = Message::parse(record.data).ok_or_else(|| record.data.to_vec());
        let fault =
            what.is_err().then(|| (NOT_A_MESSAGE, "the record in the stream is no message".to_owned()));
        Item { offset: record.offset, at: record.at, what, fault }
    }

    fn is_dead(&self) -> bool {
        self.fault.is_some()
    }

    fn to_letter(&self, app: &AppId, now: Millis) -> Letter {
        let (code, reason) = self.fault.clone().unwrap_or((NOT_A_MESSAGE, String::new()));
        let (source, body, media_type) = match &self.what {
            Ok(message) => (message.id.clone(), message.body.clone().into_bytes(), "application/json"),
            Err(bytes) => (format!("{MESSAGES}-{}", self.offset), bytes.clone(), "application/octet-stream"),
        };
        Letter {
            kind: KIND.to_owned(),
            code: code.to_owned(),
            reason,
            attempts: 1,
            first_at: self.at,
            last_at: now,
            link: link(app, &source),
            source,
            media_type: media_type.to_owned(),
            body,
        }
    }
}

/// The reason of what lies in the stream and is no message: nothing can be made of it.
pub const NOT_A_MESSAGE: &str = "not_a_message";

/// Where a message is found.
pub fn link(app: &AppId, id: &str) -> String {
    format!("/v1/apps/{app}/messages/{id}")
}
