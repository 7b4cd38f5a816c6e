//! kill -9 of the real binary at random moments under load: acknowledged ⇒ there once, there ⇒ sent, intact,
//! and alive afterwards; what a group committed never comes again, everything else does.

use crate::fault::Disk;
use crate::writers::{Writers, records_are_all};
use angarium_suite::{Caller, GUARD, Oracle, World, eventually, is_long, note};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_event_survives_kills_exactly_once() {
    let mut world = World::start().await;
    let (kills, most) = if is_long() { (100, 400) } else { (6, 2_000) };
    let starts = survive(&mut world, kills, most).await;
    // A few starts beside a dozen other tests say little about the median, but the best of them says enough.
    let start = if is_long() { starts[kills / 2] } else { starts[0] };
    assert!(start < Duration::from_secs(1), "a start after a kill takes {start:?}: {starts:?}");
}

/// A commit that takes tens of milliseconds is hit in the middle by most kills, and so is whoever says yes too early.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_events_survive_kills_on_a_slow_disk_too() {
    let Some(mut disk) = Disk::slow(500).await else { return };
    let (kills, most) = if is_long() { (50, 100) } else { (6, 100) };
    survive(&mut disk.world, kills, most).await;
}

/// Kills the server again and again under load. Between kills, up to `most` events are acknowledged.
/// How long the starts took, the quickest first.
async fn survive(world: &mut World, kills: usize, most: usize) -> Vec<Duration> {
    let oracle = Arc::new(Oracle::default());
    let writers = Writers::start(world, &oracle);
    let reader = GroupReader::start(world.caller());
    let mut starts = Vec::new();
    for kill in 1..=kills {
        let wanted = oracle.count_acknowledged() + fastrand::usize(1..most);
        eventually("the writers get something acknowledged", async || {
            (oracle.count_acknowledged() >= wanted).then_some(())
        })
        .await;
        // The moment is random, so that it falls into every phase of a commit sooner or later.
        tokio::time::sleep(Duration::from_micros(fastrand::u64(0..30_000))).await;
        world.kill();
        starts.push(world.restart().await);
        writers.pause(true);
        let owed = oracle.owed();
        let account = oracle.check(&owed, &world.all_events().await);
        writers.pause(false);
        if is_long() && kill % 10 == 0 {
            note(&format!("after {kill} kills: {account:?}"));
        }
    }
    let after_last = oracle.count_acknowledged();
    eventually("writes are accepted after the last kill", async || {
        (oracle.count_acknowledged() > after_last + 50).then_some(())
    })
    .await;
    writers.stop().await;
    let records = world.all_events().await;
    let account = oracle.check(&oracle.owed(), &records);
    records_are_all(world, &records).await;
    reader.finish_and_check(&records).await;

    starts.sort();
    let median = starts[starts.len() / 2];
    let (quickest, slowest) = (starts[0], starts[kills - 1]);
    note(&format!("{account:?}; starts after kills took {quickest:?} to {slowest:?}, {median:?} as a rule"));
    starts
}

/// What the reader of a group saw happen, in order.
enum Happened {
    /// Cursors of the records that were handed out.
    Polled(Vec<String>),
    Committed(String),
    /// The answer was lost.
    PerhapsCommitted(String),
}

/// Reads as a consumer group while the server dies and comes back. Commits some of what it takes.
struct GroupReader {
    caller: Caller,
    done: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Vec<Happened>>,
}

const GROUP: &str = "/streams/events/groups/crash";

impl GroupReader {
    fn start(caller: Caller) -> GroupReader {
        let done = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(read_until_done(caller.clone(), done.clone()));
        GroupReader { caller, done, task }
    }

    /// Reads to the end of the stream, then holds what happened against the stream.
    async fn finish_and_check(self, records: &[Value]) {
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
                committed = BTreeSet::from([before]);
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
