//! A spool in memory, whose cursor can be held back and whose calls can be made to fail.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use angarium_base::{AppId, Result};
use angarium_kafka::{
    UNAVAILABLE,
    shipper::{Mark, Pending, Record, Source, StreamName},
};
use bytes::Bytes;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};
use tokio::sync::Notify;

#[derive(Clone)]
pub struct Spool(Arc<State>);

struct State {
    name: String,
    streams: Mutex<BTreeMap<StreamName, Stream>>,
    appended: Notify,
    /// Cursors are taken, and forgotten at the next restart.
    forgetful: AtomicBool,
    /// One in so many calls fails; 0 for none.
    fails_one_in: AtomicU64,
    calls: AtomicU64,
}

#[derive(Default)]
struct Stream {
    payloads: Vec<Bytes>,
    cursor: u64,
    mark: Option<Mark>,
    durable: (u64, Option<Mark>),
}

#[allow(dead_code, reason = "each of the programs that include this uses some")]
impl Spool {
    pub fn new() -> Spool {
        Spool(Arc::new(State {
            name: format!("spool-{:016x}", fastrand::u64(..)),
            streams: Mutex::default(),
            appended: Notify::new(),
            forgetful: AtomicBool::new(false),
            fails_one_in: AtomicU64::new(0),
            calls: AtomicU64::new(0),
        }))
    }

    pub fn append(&self, app: &AppId, stream: &str, payloads: impl IntoIterator<Item = Bytes>) {
        let name = StreamName { app: app.clone(), stream: stream.into() };
        self.0.streams.lock().unwrap().entry(name).or_default().payloads.extend(payloads);
        self.0.appended.notify_one();
    }

    /// `count` more records, each with its position as payload.
    pub fn count(&self, app: &AppId, stream: &str, count: u64) {
        let name = StreamName { app: app.clone(), stream: stream.into() };
        let from = self.0.streams.lock().unwrap().get(&name).map_or(0, |stream| stream.payloads.len() as u64);
        self.append(app, stream, (from..from + count).map(|at| Bytes::from(at.to_string())));
    }

    pub fn forgetful(&self, forgetful: bool) {
        self.0.forgetful.store(forgetful, SeqCst);
    }

    pub fn fails_one_in(&self, calls: u64) {
        self.0.fails_one_in.store(calls, SeqCst);
    }

    /// As after a crash: only what was durable is known.
    pub fn restart(&self) {
        for stream in self.0.streams.lock().unwrap().values_mut() {
            (stream.cursor, stream.mark) = stream.durable.clone();
        }
    }

    pub fn cursor(&self, app: &AppId, stream: &str) -> u64 {
        let name = StreamName { app: app.clone(), stream: stream.into() };
        self.0.streams.lock().unwrap().get(&name).map_or(0, |stream| stream.cursor)
    }

    /// How much is not shipped.
    pub fn lag(&self) -> u64 {
        let streams = self.0.streams.lock().unwrap();
        streams.values().map(|stream| stream.payloads.len() as u64 - stream.cursor).sum()
    }

    fn trip(&self) -> Result<()> {
        let (call, one_in) = (self.0.calls.fetch_add(1, SeqCst), self.0.fails_one_in.load(SeqCst));
        if one_in > 0 && call % one_in == one_in - 1 {
            return Err(UNAVAILABLE.err("the test lets this call fail"));
        }
        Ok(())
    }
}

impl Source for Spool {
    fn spool(&self) -> &str {
        &self.0.name
    }

    async fn pending(&self, max: usize) -> Result<Vec<Pending>> {
        let streams = self.0.streams.lock().unwrap();
        let pending = streams.iter().filter(|(_, stream)| stream.cursor < stream.payloads.len() as u64);
        Ok(pending
            .take(max)
            .map(|(name, stream)| Pending {
                stream: name.clone(),
                position: stream.cursor,
                end: stream.payloads.len() as u64,
                mark: stream.mark.clone(),
            })
            .collect())
    }

    async fn appended(&self) {
        self.0.appended.notified().await;
    }

    async fn read(
        &self,
        stream: &StreamName,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>> {
        self.trip()?;
        let streams = self.0.streams.lock().unwrap();
        let (mut bytes, mut records) = (0, Vec::new());
        let payloads = streams[stream].payloads.get(from as usize..).unwrap_or_default();
        for (at, payload) in payloads.iter().enumerate().take(max_records) {
            bytes += payload.len();
            if at > 0 && bytes > max_bytes {
                break;
            }
            records.push(Record {
                position: from + at as u64,
                at_ms: 1_700_000_000_000 + at as i64,
                kind: Bytes::from_static(b"level_up"),
                content_type: Cow::Borrowed("application/json"),
                traceparent: None,
                payload: payload.clone(),
            });
        }
        Ok(records)
    }

    async fn acknowledged(&self, stream: &StreamName, position: u64) -> Result<()> {
        assert!(
            position > self.cursor(&stream.app, &stream.stream),
            "what Kafka has is beyond what was saved"
        );
        self.trip()
    }

    async fn shipped(&self, stream: &StreamName, position: u64, mark: &Mark) -> Result<()> {
        self.trip()?;
        let mut streams = self.0.streams.lock().unwrap();
        let stream = streams.get_mut(stream).unwrap();
        assert!(position >= stream.cursor, "a cursor goes forward: {position} after {}", stream.cursor);
        (stream.cursor, stream.mark) = (position, Some(mark.clone()));
        // The first mark is kept: nothing may be sent without one.
        if !self.0.forgetful.load(SeqCst) || stream.durable.1.is_none() {
            stream.durable = (position, Some(mark.clone()));
        }
        Ok(())
    }
}
