//! A consumer of a group that reads while servers die and come back, and what it is owed: what it committed never
//! comes again, everything else does.

use angarium_suite::{Caller, GUARD};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// What the reader of a group saw happen, in order.
enum Happened {
    /// Cursors of the records that were handed out.
    Polled(Vec<String>),
    Committed(String),
    /// The answer was lost.
    PerhapsCommitted(String),
}

/// Reads as a consumer group while the server dies and comes back. Commits some of what it takes.
pub struct GroupReader {
    caller: Caller,
    done: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Vec<Happened>>,
}

const GROUP: &str = "/streams/events/groups/crash";

impl GroupReader {
    pub fn start(caller: Caller) -> GroupReader {
        let done = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(read_until_done(caller.clone(), done.clone()));
        GroupReader { caller, done, task }
    }

    /// Reads to the end of the stream, then holds what happened against the stream.
    pub async fn finish_and_check(self, records: &[Value]) {
        self.done.store(true, Relaxed);
        let happened = tokio::time::timeout(GUARD, self.task).await;
        let happened = happened.expect("the reader comes to the end").expect("the reader does not panic");
        check(&happened, records);
        let lag = self.caller.try_get(GROUP).await.expect("the server answers").json()["lag"].as_u64();
        assert_eq!(lag, Some(0), "all is committed at the end");
    }
}

async fn read_until_done(caller: Caller, done: Arc<AtomicBool>) -> Vec<Happened> {
    let mut happened = Vec::new();
    loop {
        // Asked before the poll: whatever was written before it is then part of what is polled.
        let is_last = done.load(Relaxed);
        let poll = json!({"max": fastrand::u32(1..400), "wait": "100ms", "consumer": "reader"}).to_string();
        let answer = caller.try_post(&format!("{GROUP}/poll"), "application/json", poll).await;
        let Some(answer) = answer.ok().filter(|answer| answer.status == 200) else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let batch = answer.json();
        let items = batch["items"].as_array().expect("a poll answers with items");
        let cursors: Vec<String> =
            items.iter().map(|item| item["cursor"].as_str().expect("a record has a cursor").into()).collect();
        if cursors.is_empty() {
            if is_last && batch["lag"] == 0 {
                return happened;
            }
            continue;
        }
        // All of it, a part of it, or nothing: then it has to come again.
        let commit = match fastrand::u8(0..10) {
            0..7 => cursors.last().cloned(),
            7..9 => Some(cursors[fastrand::usize(..cursors.len())].clone()),
            _ => None,
        };
        happened.push(Happened::Polled(cursors));
        let Some(commit) = commit else { continue };
        let body = json!({"cursor": commit, "consumer": "reader"}).to_string();
        match caller.try_post(&format!("{GROUP}/commit"), "application/json", body).await {
            Ok(answer) if answer.status == 200 => happened.push(Happened::Committed(commit)),
            Ok(answer) if answer.status != 503 => panic!("commit: {} {}", answer.status, answer.text()),
            _ => happened.push(Happened::PerhapsCommitted(commit)),
        }
    }
}

/// Every batch begins right after what is committed, and goes on without a gap.
fn check(happened: &[Happened], records: &[Value]) {
    let places: HashMap<&str, usize> = records
        .iter()
        .enumerate()
        .map(|(n, record)| (record["cursor"].as_str().expect("a record has a cursor"), n + 1))
        .collect();
    let place = |cursor: &str| *places.get(cursor).unwrap_or_else(|| panic!("{cursor} is not in the stream"));
    // Where the group may stand: one place, but for commits whose answer was lost.
    let mut committed = BTreeSet::from([0]);
    let mut furthest = 0;
    for (n, step) in happened.iter().enumerate() {
        match step {
            Happened::Polled(cursors) => {
                let polled: Vec<usize> = cursors.iter().map(|cursor| place(cursor)).collect();
                let before = polled[0] - 1;
                assert!(
                    committed.contains(&before),
                    "step {n}: began after {before}, committed {committed:?}"
                );
                assert!(
                    polled.windows(2).all(|pair| pair[0] + 1 == pair[1]),
                    "step {n}: a gap in {polled:?}"
                );
                // A commit whose answer was lost may still be under way, but none is undone.
                committed.retain(|place| *place >= before);
                furthest = furthest.max(before + polled.len());
            }
            Happened::Committed(cursor) => committed = BTreeSet::from([place(cursor)]),
            Happened::PerhapsCommitted(cursor) => {
                committed.insert(place(cursor));
            }
        }
    }
    assert_eq!(furthest, records.len(), "the reader saw everything");
}
