//! Load with an account: writers of every kind that note what they send and what is acknowledged.

use angarium_suite::{Caller, GUARD, Oracle, World, note, oracle::KEY};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// Batches of NDJSON, single events and tracking calls, from several connections at a time.
pub struct Writers {
    signals: Arc<Signals>,
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Signals {
    stop: AtomicBool,
    pause: AtomicBool,
    refused: AtomicUsize,
    broken: AtomicUsize,
}

#[derive(Clone)]
struct Writer {
    caller: Caller,
    oracle: Arc<Oracle>,
    signals: Arc<Signals>,
    /// Pause between the beginnings of two requests.
    every: Duration,
}

impl Writers {
    /// As fast as they are answered.
    pub fn start(caller: &Caller, oracle: &Arc<Oracle>) -> Writers {
        Writers::at_pace(caller, oracle, Duration::ZERO)
    }

    /// So many events a second, if they are taken as fast.
    pub fn steady(caller: &Caller, oracle: &Arc<Oracle>, events_per_s: u32) -> Writers {
        // Each writer sends so many events at a time, as a rule.
        let each = 3 * 20 + 3 + 1;
        Writers::at_pace(caller, oracle, Duration::from_secs(each) / events_per_s)
    }

    fn at_pace(caller: &Caller, oracle: &Arc<Oracle>, every: Duration) -> Writers {
        let signals = Arc::new(Signals::default());
        let writer =
            Writer { caller: caller.clone(), oracle: oracle.clone(), signals: signals.clone(), every };
        let mut tasks = JoinSet::new();
        for _ in 0..3 {
            tasks.spawn(writer.clone().post(1..40));
            tasks.spawn(writer.clone().post(1..2));
        }
        tasks.spawn(writer.track());
        Writers { signals, tasks }
    }

    /// Requests that were answered with a refusal.
    pub fn refused(&self) -> usize {
        self.signals.refused.load(Relaxed)
    }

    /// Requests that got no answer, though a server took the connection.
    pub fn broken(&self) -> usize {
        self.signals.broken.load(Relaxed)
    }

    /// Holds back new requests, or lets them go again.
    pub fn pause(&self, on: bool) {
        self.signals.pause.store(on, Relaxed);
    }

    /// Lets every request that is under way be answered.
    pub async fn stop(mut self) {
        self.signals.stop.store(true, Relaxed);
        let all =
            async { while self.tasks.join_next().await.transpose().expect("no writer panics").is_some() {} };
        tokio::time::timeout(GUARD, all).await.expect("every writer comes to an end");
    }
}

impl Writer {
    /// Waits through a pause; false when it is time to stop.
    async fn goes_on(&self) -> bool {
        while self.signals.pause.load(Relaxed) && !self.signals.stop.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        !self.signals.stop.load(Relaxed)
    }

    /// Posts events with ids of their own. What gets no yes is sent again with the same ids, or given up.
    async fn post(self, sizes: std::ops::Range<usize>) {
        let mut pace = Pace::new(self.every);
        while self.goes_on().await {
            pace.next().await;
            let events: Vec<Value> = (0..fastrand::usize(sizes.clone())).map(|_| new_event()).collect();
            for event in &events {
                self.oracle.sent("load", &event["params"]);
            }
            let (content_type, body) = match events.as_slice() {
                [event] => ("application/json", event.to_string()),
                events => ("application/x-ndjson", events.iter().map(|event| format!("{event}\n")).collect()),
            };
            while !self.try_post(&events, content_type, &body).await && self.goes_on().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if fastrand::u8(0..3) == 0 {
                    break;
                }
            }
        }
    }

    async fn try_post(&self, events: &[Value], content_type: &str, body: &str) -> bool {
        let answer = match self.caller.try_post("/events", content_type, body.to_owned()).await {
            Ok(answer) => answer,
            Err(error) => {
                self.note_lost(&error);
                return false;
            }
        };
        if answer.status == 503 {
            assert!(!answer.header("retry-after").is_empty(), "503 without Retry-After: {}", answer.text());
            self.signals.refused.fetch_add(1, Relaxed);
            return false;
        }
        assert_eq!(answer.status, 202, "{}", answer.text());
        let said = answer.json();
        let taken =
            said["accepted"].as_u64().unwrap_or_default() + said["duplicates"].as_u64().unwrap_or_default();
        assert_eq!(taken as usize, events.len(), "{said}");
        for event in events {
            self.oracle.acknowledged(&event["params"]);
        }
        true
    }

    /// Tracking calls have no id, so each is sent once.
    async fn track(self) {
        let mut pace = Pace::new(self.every);
        while self.goes_on().await {
            pace.next().await;
            let params = json!({KEY: format!("t{:016x}", fastrand::u64(..)), "n": "1", "of": "a b"});
            self.oracle.sent("call", &params);
            let path = format!("/t/call?{KEY}={}&n=1&of=a%20b", params[KEY].as_str().unwrap_or_default());
            match self.caller.try_open(&path).await {
                Ok(answer) if answer.status == 204 => self.oracle.acknowledged(&params),
                Ok(answer) => {
                    assert_eq!(answer.status, 503, "{}", answer.text());
                    self.signals.refused.fetch_add(1, Relaxed);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => {
                    self.note_lost(&error);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    fn note_lost(&self, error: &reqwest::Error) {
        if !error.is_connect() {
            note(&format!("a request got no answer: {error:?}"));
            self.signals.broken.fetch_add(1, Relaxed);
        }
    }
}

/// When to send next; who is late makes up for it.
struct Pace(Option<tokio::time::Interval>);

impl Pace {
    fn new(every: Duration) -> Pace {
        Pace((!every.is_zero()).then(|| tokio::time::interval(every)))
    }

    async fn next(&mut self) {
        if let Some(interval) = &mut self.0 {
            interval.tick().await;
        }
    }
}

/// An event that can be told from all others, of any size up to some kilobytes, and awkward to keep intact.
pub fn new_event() -> Value {
    let key = format!("e{:016x}", fastrand::u64(..));
    let awkward = ["é", "\"", "\\", "\n", "\u{1}", "😀", "\u{202e}", "</script>", " "];
    let text: String =
        (0..fastrand::usize(0..200)).map(|_| awkward[fastrand::usize(..awkward.len())]).collect();
    json!({
        "type": "load",
        "id": key,
        "params": {KEY: key, "n": fastrand::i64(..), "text": text, "nested": {"list": [1, null, true, {"a": []}]}},
    })
}

/// Every record of the stream, however it is asked for: no gap and no other order.
pub async fn records_are_all(world: &World, records: &[Value]) {
    let streams = world.get("/streams").await.json();
    let events =
        streams["items"].as_array().and_then(|items| items.iter().find(|item| item["stream"] == "events"));
    let counted = events.and_then(|events| events["records"].as_u64());
    assert_eq!(counted, Some(records.len() as u64), "the stream has as many places as records");
    let again = world.all_records("events", 77).await;
    assert!(again == records, "another page size shows another stream");
}
