//! A node's spool as what the shipper ships from: the embedded journal, and a cursor for each of its streams.
//!
//! What is shipped is removed: the spool holds what Kafka does not have yet, and a little more.

use crate::{Journal, store};
use angarium_base::{AppId, Error, Result, error::INTERNAL};
use angarium_db::{Tx, v};
use angarium_kafka::shipper::{Mark, Pending, Record, Source, StreamName};
use parking_lot::Mutex;
use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
};
use tokio::sync::{Notify, watch};

/// The spool, and who waits for Kafka to have something of it.
#[derive(Clone)]
pub struct Spool {
    pub journal: Journal,
    name: Arc<str>,
    appended: Arc<Notify>,
    /// Up to where each stream is shipped, by the spool's own number of it.
    shipped: Arc<Mutex<HashMap<i64, watch::Sender<u64>>>>,
    /// Bytes that the spool takes, as last looked.
    pub bytes: Arc<AtomicU64>,
}

impl Spool {
    pub async fn open(journal: Journal, appended: Arc<Notify>) -> Result<Spool> {
        let name = format!("spool_{:016x}", fresh_number(&journal)?);
        let name = journal.db().write(move |tx| own_name(tx, &name)).await?;
        let spool =
            Spool { journal, name: name.into(), appended, shipped: Arc::default(), bytes: Arc::default() };
        spool.weigh().await?;
        Ok(spool)
    }

    /// Looks how many bytes the spool takes.
    pub async fn weigh(&self) -> Result<()> {
        let bytes = self.journal.db().read(stored_bytes).await?;
        self.bytes.store(bytes, Relaxed);
        Ok(())
    }

    /// A receiver of where the stream is shipped to, changed as Kafka acknowledges.
    pub async fn watch(&self, stream: i64) -> Result<watch::Receiver<u64>> {
        if let Some(sender) = self.shipped.lock().get(&stream) {
            return Ok(sender.subscribe());
        }
        let position = self.journal.db().read(move |tx| position(tx, stream)).await?;
        self.tell(stream, position);
        let mut shipped = self.shipped.lock();
        Ok(shipped.entry(stream).or_insert_with(|| watch::Sender::new(position)).subscribe())
    }

    /// Wakes who waits for Kafka to have what lies before `position`.
    fn tell(&self, stream: i64, position: u64) {
        let mut shipped = self.shipped.lock();
        shipped.entry(stream).or_insert_with(|| watch::Sender::new(0)).send_if_modified(|now| {
            let further = position > *now;
            *now = position.max(*now);
            further
        });
    }

    async fn stream(&self, name: &StreamName) -> Result<crate::Stream> {
        let found = self.journal.find_stream(&name.app, &name.stream).await?;
        found.ok_or_else(|| INTERNAL.err("the spool has no such stream"))
    }
}

/// Unlike any other spool's.
fn fresh_number(journal: &Journal) -> Result<u64> {
    let id = AppId::new(journal.clock().now());
    Ok(xxhash_rust::xxh3::xxh3_64(id.as_str().as_bytes()))
}

fn own_name(tx: &mut Tx<'_>, fresh: &str) -> Result<String> {
    tx.exec("INSERT INTO spool (name) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM spool)", v![fresh])?;
    tx.one("SELECT name FROM spool", &[], |row| row.get(0))
}

fn stored_bytes(tx: &mut Tx<'_>) -> Result<u64> {
    tx.one("SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM streams", &[], |row| {
        Ok(row.get::<i64>(0)? as u64)
    })
}

fn position(tx: &mut Tx<'_>, stream: i64) -> Result<u64> {
    let found =
        tx.maybe("SELECT position FROM shipped WHERE stream = $1", v![stream], |row| row.get::<i64>(0))?;
    Ok(found.unwrap_or(0) as u64)
}

fn pending(tx: &mut Tx<'_>, max: usize) -> Result<Vec<Pending>> {
    tx.query(
        "SELECT s.app, s.name, coalesce(p.position, 0), s.next_offset, p.mark FROM streams s \
         LEFT JOIN shipped p ON p.stream = s.id WHERE s.next_offset > coalesce(p.position, 0) ORDER BY s.last_at LIMIT $1",
        v![max as i64],
        |row| {
            let app = AppId::parse(&row.get::<String>(0)?).ok_or_else(|| INTERNAL.err("a row of streams is damaged"))?;
            Ok(Pending {
                stream: StreamName { app, stream: row.get::<String>(1)?.into() },
                position: row.get::<i64>(2)? as u64,
                end: row.get::<i64>(3)? as u64,
                mark: row.get::<Option<String>>(4)?.as_deref().and_then(Mark::parse),
            })
        },
    )
}

/// Moves the cursor, and removes the batches that lie before it.
fn save(tx: &mut Tx<'_>, stream: i64, position: u64, mark: &str) -> Result<()> {
    tx.exec(
        "INSERT INTO shipped (stream, position, mark) VALUES ($1, $2, $3) \
         ON CONFLICT (stream) DO UPDATE SET position = $2, mark = $3",
        v![stream, position as i64, mark],
    )?;
    let row = store::stream_by_id(tx, stream)?;
    let (first, bytes) = store::whole_before(tx, stream, position)?;
    if first > row.first_offset {
        store::forget(tx, stream, row.first_offset, first, bytes)?;
    }
    Ok(())
}

impl Source for Spool {
    fn spool(&self) -> &str {
        &self.name
    }

    async fn pending(&self, max: usize) -> Result<Vec<Pending>> {
        self.journal.db().read(move |tx| pending(tx, max)).await
    }

    async fn appended(&self) {
        self.appended.notified().await;
    }

    async fn read(
        &self,
        stream: &StreamName,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>> {
        let own = self.stream(stream).await?;
        let page = self.journal.read(&own, from, max_records as u64).await?;
        let (mut out, mut bytes) = (Vec::new(), 0);
        for chunk in &page.chunks {
            for record in chunk.records_from(from) {
                bytes += record.data.len() + record.kind.len();
                if out.len() >= max_records || (bytes > max_bytes && !out.is_empty()) {
                    return Ok(out);
                }
                out.push(Record {
                    position: record.offset,
                    at_ms: record.at,
                    kind: chunk.frames.slice_ref(record.kind.as_bytes()),
                    content_type: Cow::Borrowed("application/json"),
                    traceparent: None,
                    payload: chunk.frames.slice_ref(record.data),
                });
            }
        }
        Ok(out)
    }

    async fn acknowledged(&self, stream: &StreamName, position: u64) -> Result<()> {
        let own = self.stream(stream).await?;
        self.tell(own.id, position);
        Ok(())
    }

    async fn shipped(&self, stream: &StreamName, position: u64, mark: &Mark) -> Result<()> {
        let (own, mark) = (self.stream(stream).await?, mark.to_string());
        let id = own.id;
        self.journal.db().write(move |tx| save(tx, id, position, &mark)).await?;
        self.journal.tails().forget(id, position);
        self.tell(id, position);
        Ok(())
    }
}

/// What the caller of a replicated append hears when Kafka takes too long.
pub fn not_yet() -> Error {
    angarium_base::error::UNAVAILABLE
        .err("this is kept here, but Kafka has not acknowledged it in time; it will be there later, and its ids are known")
        .with_retry_after_s(5)
}
