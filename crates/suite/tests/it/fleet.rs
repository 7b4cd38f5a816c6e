//! Several processes on one database are one server: what one takes all give, once; they come and go, and one may be
//! killed at any moment.

use crate::group_reader::GroupReader;
use crate::live::feed::{Feed, WAYS};
use crate::writers::{Writers, new_event, records_are_all};
use angarium_suite::{Caller, Oracle, World, eventually, is_long, note, stream_of};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

const JSON: &str = "application/json";

/// Sends numbered events to one process.
async fn send(world: &World, numbers: std::ops::Range<u64>) {
    let lines: String = numbers.map(|n| format!("{}\n", json!({"type": "n", "params": {"n": n}}))).collect();
    let sent = world.post("/events", "application/x-ndjson", lines).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
}

fn numbers(items: &Value) -> Vec<u64> {
    let items = items.as_array().unwrap_or_else(|| panic!("no items: {items}"));
    items.iter().map(|item| number(&item["data"])).collect()
}

fn number(event: &Value) -> u64 {
    event["params"]["n"].as_u64().unwrap_or_else(|| panic!("no number: {event}"))
}

/// What a group is given, with what it was given before committed.
async fn poll_and_commit(world: &World, group: &str) -> Vec<u64> {
    let path = format!("/streams/events/groups/{group}");
    let poll = json!({"max": 50, "consumer": "c", "wait": "200ms"}).to_string();
    let page = world.post(&format!("{path}/poll"), JSON, poll).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let page = page.json();
    if page["items"] != json!([]) {
        let commit = json!({"cursor": page["cursor"], "consumer": "c"}).to_string();
        let done = world.post(&format!("{path}/commit"), JSON, commit).await;
        assert_eq!(done.status, 200, "{}", done.text());
    }
    numbers(&page["items"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_takes_the_other_lists_reads_polls_and_shows_live() {
    let Some([one, two]) = World::fleet().await else { return };
    for (at, (from, to)) in [(&one, &two), (&two, &one)].into_iter().enumerate() {
        let (first, group) = (at as u64 * 100, format!("g{at}"));
        let end = stream_of(&to.get("/streams").await.json(), "events")["last"]
            .as_str()
            .expect("a cursor")
            .to_owned();
        let mut feeds = Vec::new();
        for way in WAYS {
            feeds.push(Feed::open(to, way, "").await);
        }
        let waiting = to.caller();
        let waiting = tokio::spawn(async move {
            waiting.try_get(&format!("/streams/events/records?wait=50s&after={end}")).await
        });
        let since = Instant::now();
        send(from, first..first + 20).await;
        let wanted: Vec<u64> = (first..first + 20).collect();
        for (feed, way) in feeds.iter_mut().zip(WAYS) {
            let seen: Vec<u64> = feed.take(20).await.iter().map(|frame| number(&frame["data"])).collect();
            assert_eq!(seen, wanted, "{way:?}");
        }
        let read = waiting.await.expect("no panic").expect("an answer").json();
        assert_eq!(numbers(&read["items"]), wanted, "who waited at the end is woken");
        let took = since.elapsed();
        assert!(took < Duration::from_secs(10), "it took {took:?} to be seen");
        note(&format!("seen live and read at the other process after {took:?}"));

        let listed = to.get("/events?type=n&limit=1000").await.json();
        let listed = listed["items"].as_array().expect("a page has items").iter().map(number);
        let listed: BTreeSet<u64> = listed.collect();
        assert!(listed.is_superset(&wanted.iter().copied().collect()), "what is new is listed");
        let all: Vec<u64> = to.all_events().await.iter().map(|record| number(&record["data"])).collect();
        assert!(all.ends_with(&wanted));
        let mut polled = poll_and_commit(to, &group).await;
        polled.extend(poll_and_commit(from, &group).await);
        assert_eq!(polled, all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_are_sent_through_both_are_kept_once() {
    if angarium_suite::on_kafka() {
        return; // Each process remembers what came through it.
    }
    let Some([one, two]) = World::fleet().await else { return };
    let (batches, size) = (40, 25);
    let mut sums = [0, 0];
    for _ in 0..batches {
        let events: Vec<Value> = (0..size).map(|_| new_event()).collect();
        let body = json!(events).to_string();
        let answers =
            join_all([&one, &two, &one, &two].map(|world| world.post("/events", JSON, body.clone())));
        for answer in answers.await {
            assert_eq!(answer.status, 202, "{}", answer.text());
            for (sum, member) in sums.iter_mut().zip(["accepted", "duplicates"]) {
                *sum += answer.json()[member].as_u64().expect("a count");
            }
        }
    }
    assert_eq!(sums, [batches * size, batches * size * 3], "accepted, duplicates");
    let records = one.all_events().await;
    let ids: BTreeSet<&str> =
        records.iter().map(|record| record["data"]["id"].as_str().expect("an id")).collect();
    assert_eq!((records.len() as u64, ids.len() as u64), (batches * size, batches * size));
    assert!(two.all_events().await == records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_read_through_both_is_given_everything_once() {
    let Some([one, two]) = World::fleet().await else { return };
    let total = 1_000;
    let writing = async {
        for start in (0..total).step_by(20) {
            send(if start % 40 == 0 { &one } else { &two }, start..start + 20).await;
        }
    };
    let reading = async {
        let mut seen = Vec::new();
        while (seen.len() as u64) < total {
            seen.extend(poll_and_commit(if fastrand::bool() { &one } else { &two }, "g").await);
        }
        seen
    };
    let (_, mut seen) = tokio::join!(writing, reading);
    assert!(poll_and_commit(&one, "g").await.is_empty());
    let order: Vec<u64> = one.all_events().await.iter().map(|record| number(&record["data"])).collect();
    assert_eq!(seen, order, "in the order of the stream");
    seen.sort_unstable();
    assert_eq!(seen, (0..total).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_at_both_do_not_get_the_same() {
    let Some([one, two]) = World::fleet().await else { return };
    send(&one, 0..10).await;
    let post = async |world: &World, verb: &str, body: Value| {
        world.post(&format!("/streams/events/groups/g/{verb}"), JSON, body.to_string()).await
    };
    let page = post(&one, "poll", json!({"max": 4, "consumer": "anna"})).await.json();
    let refused = post(&two, "poll", json!({"max": 4, "consumer": "ben"})).await;
    assert_eq!((refused.status, &*refused.code()), (409, "group_leased"));
    // A commit at one process frees the group, and who waits for it at the other gets it.
    let waiting = post(&two, "poll", json!({"max": 4, "consumer": "ben", "wait": "50s"}));
    let commit = post(&one, "commit", json!({"cursor": page["cursor"], "consumer": "anna"}));
    let (taken, done) = tokio::join!(waiting, commit);
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(
        (numbers(&page["items"]), numbers(&taken.json()["items"])),
        (vec![0, 1, 2, 3], vec![4, 5, 6, 7])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_at_the_same_moment_make_one_app() {
    // That one of them says keys, and one only, is looked at where they start.
    let Some(worlds) = World::fleet::<4>().await else { return };
    for world in &worlds {
        let app = world.get("").await;
        assert_eq!((app.status, app.json()["id"].as_str()), (200, Some(world.app())), "{}", app.text());
        let streams = world.get("/streams").await.json();
        let named =
            streams["items"].as_array().expect("items").iter().filter(|item| item["stream"] == "events");
        assert_eq!(named.count(), 1, "{streams}");
    }
    join_all(worlds.iter().zip(0..).map(|(world, n)| send(world, n * 10..n * 10 + 10))).await;
    let mut all: Vec<u64> =
        worlds[3].all_events().await.iter().map(|record| number(&record["data"])).collect();
    all.sort_unstable();
    assert_eq!(all, (0..40).collect::<Vec<_>>(), "it is one stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_app_at_one_is_seen_at_the_other() {
    let Some([one, two]) = World::fleet().await else { return };
    for (from, to, wanted) in [(&one, &two, true), (&two, &one, false)] {
        let change = json!({"truncate_addresses": wanted, "name": format!("changed to {wanted}")});
        assert_eq!(from.patch("", &change).await.status, 200);
        let since = Instant::now();
        eventually("the other process says so", async || {
            let app = to.get("").await.json();
            (app["truncate_addresses"] == wanted && app["name"] == change["name"]).then_some(())
        })
        .await;
        note(&format!("a change was seen after {:?}", since.elapsed()));
        // And does so.
        let event = json!({"type": "seen", "ip": "81.2.69.142"}).to_string();
        assert_eq!(to.post("/events", JSON, event).await.status, 202);
        let records = from.all_events().await;
        let ip = if wanted { "ffff51024500" } else { "ffff5102458e" };
        assert_eq!(records.last().expect("it is there")["data"]["meta"]["ip"], ip);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_loses_nothing_and_resets_nobody() {
    let Some(mut worlds) = World::fleet::<2>().await else { return };
    let balanced = Caller::balanced(&[&worlds[0], &worlds[1]]);
    let oracle = Arc::new(Oracle::default());
    // Those who keep their connections, and those who come anew each time.
    let all = [&balanced, &balanced.without_pool()].map(|caller| Writers::start(caller, &oracle));
    let reader = GroupReader::start(balanced.clone());
    for round in 0..if is_long() { 10 } else { 2 } {
        for world in &mut worlds {
            more_is_acknowledged(&oracle, 200).await;
            assert!(world.terminate().await.success(), "round {round}: {}", world.stderr());
            more_is_acknowledged(&oracle, 50).await;
            world.restart().await;
        }
    }
    more_is_acknowledged(&oracle, 200).await;
    let (mut refused, mut broken) = (0, 0);
    for writers in all {
        (refused, broken) = (refused + writers.refused(), broken + writers.broken());
        writers.stop().await;
    }
    all_is_there_once(&worlds, &oracle, Some(reader)).await;
    assert_eq!((refused, broken), (0, 0), "answered with a refusal; without an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_event_is_there_once_whoever_of_both_is_killed() {
    let Some(mut worlds) = World::fleet::<2>().await else { return };
    let (events_per_s, lasts, pause_ms) = if is_long() {
        (2_000, Duration::from_secs(120), 4_000)
    } else {
        (400, Duration::from_secs(8), 1_500)
    };
    let balanced = Caller::balanced(&[&worlds[0], &worlds[1]]);
    let oracle = Arc::new(Oracle::default());
    let writers = Writers::steady(&balanced, &oracle, events_per_s);
    let reader = GroupReader::start(balanced);
    let (since, mut kills) = (Instant::now(), 0);
    while since.elapsed() < lasts {
        tokio::time::sleep(Duration::from_micros(fastrand::u64(0..pause_ms * 1_000))).await;
        let world = &mut worlds[fastrand::usize(..2)];
        world.kill();
        kills += 1;
        // For a while there is one only.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..1_000))).await;
        world.restart().await;
    }
    more_is_acknowledged(&oracle, 50).await;
    let took = since.elapsed();
    let (refused, broken) = (writers.refused(), writers.broken());
    writers.stop().await;
    let rate = oracle.count_acknowledged() as f64 / took.as_secs_f64();
    note(&format!(
        "{kills} kills in {took:?}, {rate:.0} events/s acknowledged, {broken} requests without an answer, {refused} refused"
    ));
    all_is_there_once(&worlds, &oracle, Some(reader)).await;
}

pub async fn more_is_acknowledged(oracle: &Oracle, more: usize) {
    let wanted = oracle.count_acknowledged() + more;
    let what = "events are acknowledged";
    eventually(what, async || (oracle.count_acknowledged() >= wanted).then_some(())).await;
}

/// Every process gives the same stream, with all that was acknowledged in it, once.
pub async fn all_is_there_once(worlds: &[World], oracle: &Oracle, reader: Option<GroupReader>) {
    for world in worlds {
        let what = "every process is ready";
        eventually(what, async || (world.open("/health/ready").await.status == 200).then_some(())).await;
    }
    let records = worlds[0].all_events().await;
    let account = oracle.check(&oracle.owed(), &records);
    note(&account.to_string());
    if account.duplicates > 0 {
        note("the duplicates were sent again to another process than the one that had taken them");
    }
    for world in &worlds[1..] {
        assert!(world.all_events().await == records, "another process shows another stream");
    }
    // In small pages a long stream takes minutes, and shows nothing that a short one does not.
    if records.len() < 20_000 {
        records_are_all(&worlds[0], &records).await;
    }
    if let Some(reader) = reader {
        reader.finish_and_check(&records).await;
    }
}
