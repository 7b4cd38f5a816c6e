//! What transactions append to streams in Kafka: written with the transaction, brought to Kafka soon after.
//!
//! One process at a time brings it, in the order in which it was written, and removes what Kafka has acknowledged. A process
//! may die between the two. So whoever begins to bring looks first at what a topic ends with, and removes what is there
//! already: a record is known by its header `id`, the number of its row. What a process brings that has lost its lease
//! and does not know it yet may come twice.

use super::{KIND, Remote};
use crate::{READ_BYTES, frame::Frames};
use angarium_base::{AppId, Error, Result, error::INTERNAL};
use angarium_db::{Db, Participant, Staged, Stager, Tx, v};
use angarium_kafka::{self as kafka, Outgoing, TopicName};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::sync::Notify;

/// What a record's `id` begins with.
const ID: &str = "outbox:";
/// How often it is looked when nobody rings: what another process left.
const LOOK: Duration = Duration::from_millis(500);
const LEASE_MS: i64 = 15_000;
/// Records brought in one go.
const PIECE: i64 = 1_000;
/// So many of the last records of a topic are looked at: more than can have been brought and not removed.
const LOOK_BACK: u64 = 2 * PIECE as u64;

/// Writes staged records into the outbox: on PostgreSQL in each closure's transaction, on SQLite in the tick's.
pub struct Writing {
    pub clock: angarium_base::Clock,
    pub bell: Arc<Notify>,
}

impl Writing {
    fn write_all(&self, tx: &mut Tx<'_>, staged: Vec<Staged>) -> Result<()> {
        let now = self.clock.now();
        let mut counts: BTreeMap<(i64, String), u64> = BTreeMap::new();
        for record in staged {
            if let Some((kind, _)) = Frames(&record.frame).next() {
                *counts.entry((record.stream, kind.to_owned())).or_default() += 1;
            }
            tx.exec(
                "INSERT INTO outbox (stream, at, frame) VALUES ($1, $2, $3)",
                v![record.stream, now, &record.frame[..]],
            )?;
        }
        // In the order of their names, so that no two transactions wait for each other.
        counts.iter().try_for_each(|((stream, kind), n)| count(tx, *stream, now / 60_000, kind, *n))
    }
}

impl Stager for Writing {
    fn write(&self, tx: &mut Tx<'_>, staged: Vec<Staged>) -> Result<Box<dyn FnOnce() + Send>> {
        self.write_all(tx, staged)?;
        let bell = self.bell.clone();
        Ok(Box::new(move || bell.notify_one()))
    }
}

impl Participant for Writing {
    fn pending(&self) -> usize {
        0
    }

    fn flush(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let staged = tx.take_staged();
        self.write_all(tx, staged)
    }

    fn settle(&mut self, outcome: std::result::Result<(), &Error>) {
        if outcome.is_ok() {
            self.bell.notify_one();
        }
    }
}

/// A record in the outbox, and the stream it is for.
struct Waiting {
    id: i64,
    app: AppId,
    stream: String,
    at: i64,
    frame: Vec<u8>,
}

/// What the process that brings knows.
#[derive(Default)]
struct Known {
    /// Until when nobody else brings.
    until: i64,
    /// Topics of which nothing that they end with is in the outbox.
    clean: HashSet<TopicName>,
}

/// Runs until the journal is gone.
pub async fn relay(remote: Weak<Remote>, bell: Arc<Notify>) {
    let (mut failing, mut known) = (false, Known::default());
    loop {
        // Whichever comes first.
        let _ = tokio::time::timeout(LOOK, bell.notified()).await;
        let Some(remote) = remote.upgrade().filter(|remote| !remote.stop.is_cancelled()) else { return };
        match bring(&remote, &remote.db, &mut known).await {
            Ok(()) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(
                        ?error,
                        "the outbox cannot be brought to Kafka at the moment; will try again"
                    );
                }
                drop(remote);
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

async fn bring(remote: &Remote, db: &Db, known: &mut Known) -> Result<()> {
    loop {
        if db.read(is_empty).await? {
            return Ok(());
        }
        let (holder, now) = (remote.name().to_owned(), remote.spool.journal.clock().now());
        let taken = db.write(move |tx| take_lease(tx, &holder, now)).await?;
        if !taken || now > known.until {
            known.clean.clear();
        }
        if !taken {
            return Ok(());
        }
        known.until = now + LEASE_MS;
        let waiting = db.read(oldest).await?;
        let mut at = 0;
        while at < waiting.len() {
            // A run of one stream at a time: so the order of all is kept, also if it breaks off.
            let run = waiting[at..]
                .iter()
                .take_while(|w| w.app == waiting[at].app && w.stream == waiting[at].stream);
            let run: Vec<&Waiting> = run.collect();
            at += run.len();
            bring_run(remote, db, known, run).await?;
        }
    }
}

async fn bring_run(remote: &Remote, db: &Db, known: &mut Known, mut run: Vec<&Waiting>) -> Result<()> {
    let Some(first) = run.first() else { return Ok(()) };
    let topic = remote.topic(&first.app, &first.stream).await?;
    if !known.clean.contains(&topic) {
        let there = look_back(remote, &topic).await?;
        let is_there = |waiting: &&Waiting| {
            let data = Frames(&waiting.frame).next().map(|(_, data)| data);
            there.get(&waiting.id).is_some_and(|payload| Some(&payload[..]) == data)
        };
        let brought: Vec<i64> =
            run.extract_if(.., |waiting| is_there(waiting)).map(|waiting| waiting.id).collect();
        db.write(move |tx| brought.iter().try_for_each(|id| remove(tx, *id))).await?;
        known.clean.insert(topic.clone());
    }
    if run.is_empty() {
        return Ok(());
    }
    let records = run.iter().map(|waiting| outgoing(waiting)).collect::<Result<Vec<_>>>()?;
    let (done, outcome) = match remote.producer.produce(&topic, 0, records).await {
        Ok(offsets) => (offsets.len(), Ok(())),
        Err(unproduced) => {
            // What was not acknowledged may be there all the same.
            known.clean.remove(&topic);
            (unproduced.acknowledged.len(), Err(unproduced.error))
        }
    };
    let ids: Vec<i64> = run.iter().take(done).map(|waiting| waiting.id).collect();
    db.write(move |tx| ids.iter().try_for_each(|id| remove(tx, *id))).await?;
    outcome
}

/// What a topic ends with of what was in the outbox, by the numbers of its rows. A store that was restored gives them out
/// again, hence with what they hold.
async fn look_back(remote: &Remote, topic: &TopicName) -> Result<HashMap<i64, Bytes>> {
    let (first, end) = remote.kafka.bounds(topic, 0).await?;
    let (mut at, mut found) = (first.max(end.saturating_sub(LOOK_BACK)), HashMap::new());
    while at < end {
        let records =
            remote.kafka.read(topic, 0, at, (kafka::READ_RECORDS, READ_BYTES), Duration::ZERO).await?;
        let Some(last) = records.last() else { break };
        at = last.offset + 1;
        found.extend(
            records.into_iter().filter_map(|record| Some((row_of(record.header("id")?)?, record.payload))),
        );
    }
    Ok(found)
}

fn row_of(id: &[u8]) -> Option<i64> {
    std::str::from_utf8(id).ok()?.strip_prefix(ID)?.parse().ok()
}

fn outgoing(waiting: &Waiting) -> Result<Outgoing> {
    let (kind, data) =
        Frames(&waiting.frame).next().ok_or_else(|| INTERNAL.err("a row of outbox is damaged"))?;
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Ok(Outgoing {
        key: Some(text(waiting.app.as_str())),
        headers: vec![
            ("app".into(), text(waiting.app.as_str())),
            ("stream".into(), text(&waiting.stream)),
            (KIND.into(), text(kind)),
            ("id".into(), text(&format!("{ID}{}", waiting.id))),
            ("content-type".into(), text("application/json")),
        ],
        payload: Bytes::copy_from_slice(data),
        at_ms: waiting.at,
    })
}

/// Counts records as those of a spool of this name, which no process has.
fn count(tx: &mut Tx<'_>, stream: i64, minute: i64, kind: &str, n: u64) -> Result<()> {
    tx.exec(
        "INSERT INTO spool_counts (spool, stream, minute, kind, record_count) VALUES ('outbox', $1, $2, $3, $4) \
         ON CONFLICT (stream, minute, kind, spool) DO UPDATE SET record_count = spool_counts.record_count + excluded.record_count",
        v![stream, minute, kind, n as i64],
    )?;
    Ok(())
}

fn is_empty(tx: &mut Tx<'_>) -> Result<bool> {
    Ok(tx.maybe("SELECT id FROM outbox LIMIT 1", &[], |_| Ok(()))?.is_none())
}

fn take_lease(tx: &mut Tx<'_>, holder: &str, now: i64) -> Result<bool> {
    // What was written for an app after it was gone is for nobody.
    tx.exec("DELETE FROM outbox WHERE stream IN (SELECT id FROM streams WHERE app = '')", &[])?;
    let taken = tx.exec(
        "INSERT INTO outbox_relay (id, holder, until) VALUES (1, $1, $3) ON CONFLICT (id) DO UPDATE \
         SET holder = $1, until = $3 WHERE outbox_relay.holder = $1 OR outbox_relay.until <= $2",
        v![holder, now, now + LEASE_MS],
    )?;
    Ok(taken > 0)
}

fn oldest(tx: &mut Tx<'_>) -> Result<Vec<Waiting>> {
    tx.query(
        "SELECT o.id, s.app, s.name, o.at, o.frame FROM outbox o JOIN streams s ON s.id = o.stream ORDER BY o.id LIMIT $1",
        v![PIECE],
        |row| {
            let app = AppId::parse(&row.get::<String>(1)?).ok_or_else(|| INTERNAL.err("a row of streams is damaged"))?;
            Ok(Waiting { id: row.get(0)?, app, stream: row.get(2)?, at: row.get(3)?, frame: row.get(4)? })
        },
    )
}

fn remove(tx: &mut Tx<'_>, id: i64) -> Result<()> {
    tx.exec("DELETE FROM outbox WHERE id = $1", v![id])?;
    Ok(())
}
