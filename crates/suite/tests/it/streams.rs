//! Streams: reading by cursor, waiting for more, and groups that remember how far they got.

use angarium_suite::{Reply, World, caller::read, eventually, stream_of};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

const JSON: &str = "application/json";

async fn send(world: &World, numbers: std::ops::Range<u64>) {
    let lines: String = numbers.map(|n| format!("{}\n", json!({"type": "n", "params": {"n": n}}))).collect();
    let sent = world.post("/events", "application/x-ndjson", lines).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
}

/// The numbers of the events in a page.
fn numbers(page: &Value) -> Vec<u64> {
    let items = page["items"].as_array().unwrap_or_else(|| panic!("not a page: {page}"));
    items.iter().map(|item| item["data"]["params"]["n"].as_u64().expect("it has a number")).collect()
}

fn range(numbers: std::ops::Range<u64>) -> Vec<u64> {
    numbers.collect()
}

async fn records(world: &World, query: &str) -> Value {
    let page = world.get(&format!("/streams/events/records?{query}")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    page.json()
}

/// One consumer of a group of the events.
struct Consumer<'a> {
    world: &'a World,
    group: &'a str,
    name: &'a str,
}

impl Consumer<'_> {
    async fn post(&self, verb: &str, mut body: Value) -> Reply {
        if !self.name.is_empty() {
            body["consumer"] = self.name.into();
        }
        let path = format!("/streams/events/groups/{}/{verb}", self.group);
        self.world.post(&path, JSON, body.to_string()).await
    }

    async fn poll(&self, max: u64) -> Value {
        let page = self.post("poll", json!({"max": max})).await;
        assert_eq!(page.status, 200, "{}", page.text());
        page.json()
    }

    /// Commits what a poll gave out.
    async fn commit(&self, page: &Value) -> Value {
        let done = self.post("commit", json!({"cursor": page["cursor"]})).await;
        assert_eq!(done.status, 200, "{}", done.text());
        done.json()
    }

    async fn show(&self) -> Reply {
        self.world.get(&format!("/streams/events/groups/{}", self.group)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_read_by_cursor_in_order_without_end() {
    let world = World::start().await;
    let empty = records(&world, "").await;
    assert_eq!(numbers(&empty), range(0..0));
    send(&world, 0..250).await;
    let first =
        records(&world, &format!("after={}&limit=100", empty["next"].as_str().expect("a cursor"))).await;
    assert_eq!(numbers(&first), range(0..100));
    let next = first["next"].as_str().expect("a cursor");
    assert_eq!(first["items"][99]["cursor"], next, "the last record's place is where to go on");
    // From the middle of a page, as from its end.
    let middle = first["items"][41]["cursor"].as_str().expect("a cursor");
    assert_eq!(numbers(&records(&world, &format!("after={middle}&limit=3")).await), range(42..45));
    let rest = records(&world, &format!("after={next}&limit=1000")).await;
    assert_eq!(numbers(&rest), range(100..250));
    let end = rest["next"].as_str().expect("a cursor").to_owned();
    let nothing = records(&world, &format!("after={end}")).await;
    assert_eq!((numbers(&nothing), nothing["next"].as_str()), (range(0..0), Some(&*end)));
    send(&world, 250..251).await;
    assert_eq!(numbers(&records(&world, &format!("after={end}")).await), [250]);
    let instants: Vec<&str> =
        rest["items"].as_array().expect("items").iter().filter_map(|i| i["at"].as_str()).collect();
    assert!(instants.is_sorted() && instants.len() == 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_an_app_are_there_before_their_first_record() {
    let world = World::start().await;
    let events = async || {
        let list = world.get("/streams").await.json();
        let items = list["items"].as_array().expect("items").clone();
        items.into_iter().find(|stream| stream["stream"] == "events").expect("there are events")
    };
    let before = events().await;
    assert_eq!(
        [&before["records"], &before["last_at"], &before["groups"]],
        [&json!(0), &Value::Null, &json!([])]
    );
    send(&world, 0..10).await;
    let (from, to) =
        (before["last"].as_str().expect("a cursor"), before["first"].as_str().expect("a cursor"));
    assert_eq!(from, to);
    let consumer = Consumer { world: &world, group: "g", name: "" };
    let page = consumer.poll(4).await;
    consumer.commit(&page).await;
    let after = events().await;
    assert_eq!([&after["records"], &after["groups"]], [&json!(10), &json!([{"group": "g", "lag": 6}])]);
    let is_kafka = angarium_suite::on_kafka();
    assert!(
        is_kafka || after["last_at"].is_string() && after["bytes"].as_u64().is_some_and(|bytes| bytes > 0)
    );
    let last = after["last"].as_str().expect("a cursor");
    assert_eq!(numbers(&records(&world, &format!("after={last}")).await), range(0..0));
}

/// Requests that are being answered, but for the one that asks.
async fn others_in_flight(world: &World) -> u64 {
    let metrics = world.open("/metrics").await.text();
    let line = metrics.lines().find(|line| line.starts_with("angarium_http_requests_in_flight "));
    line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).expect("it is counted") - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_at_the_end_is_woken_by_the_next_record() {
    let world = World::start().await;
    send(&world, 0..3).await;
    let end = records(&world, "").await["next"].as_str().expect("a cursor").to_owned();
    let since = Instant::now();
    let consumer = Consumer { world: &world, group: "g", name: "" };
    let page = consumer.poll(10).await;
    consumer.commit(&page).await;
    let reading = async { records(&world, &format!("after={end}&wait=50s")).await };
    let polling = async { consumer.post("poll", json!({"wait": "50s"})).await.json() };
    let writing = async {
        eventually("both wait", async || (others_in_flight(&world).await == 2).then_some(())).await;
        send(&world, 3..4).await;
    };
    let (read, polled, ()) = tokio::join!(reading, polling, writing);
    assert_eq!((numbers(&read), numbers(&polled)), (vec![3], vec![3]));
    assert!(since.elapsed() < Duration::from_secs(40), "they were not woken: {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_in_vain_gets_an_empty_page_when_the_time_is_over() {
    let world = World::start().await;
    let since = Instant::now();
    let nothing = records(&world, "wait=300ms").await;
    assert!(numbers(&nothing).is_empty() && nothing["next"].is_string());
    let consumer = Consumer { world: &world, group: "g", name: "" };
    let polled = consumer.post("poll", json!({"wait": 300})).await.json();
    assert_eq!([&polled["items"], &polled["lag"], &polled["expired"]], [&json!([]), &json!(0), &json!(0)]);
    assert!(since.elapsed() >= Duration::from_millis(600), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_long_polls_at_once() {
    let mut world = World::start().await;
    let caller = world.caller();
    let waiting = tokio::spawn(async move { caller.try_get("/streams/events/records?wait=60s").await });
    eventually("it waits", async || (others_in_flight(&world).await == 1).then_some(())).await;
    let since = Instant::now();
    assert!(world.terminate().await.success());
    let page = waiting.await.expect("no panic").expect("an answer");
    assert_eq!((page.status, numbers(&page.json())), (200, vec![]));
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_gets_again_what_it_did_not_commit_and_never_what_it_did() {
    let mut world = World::start().await;
    send(&world, 0..10).await;
    let consumer = Consumer { world: &world, group: "g.1_x-Y", name: "" };
    let first = consumer.poll(4).await;
    assert_eq!((numbers(&first), &first["lag"]), (range(0..4), &json!(10)));
    assert_eq!(numbers(&consumer.poll(6).await), range(0..6), "not committed, it comes again");
    let done = consumer.commit(&first).await;
    assert_eq!([&done["lag"], &done["cursor"]], [&json!(6), &first["cursor"]]);
    assert_eq!(consumer.commit(&first).await["lag"], 6, "the same place again is fine");
    assert_eq!(numbers(&consumer.poll(2).await), [4, 5]);
    world.kill();
    world.restart().await;
    let consumer = Consumer { world: &world, group: "g.1_x-Y", name: "" };
    let shown = consumer.show().await.json();
    assert_eq!(
        [&shown["lag"], &shown["cursor"], &shown["stream"]],
        [&json!(6), &first["cursor"], &json!("events")]
    );
    let rest = consumer.poll(10_000).await;
    assert_eq!((numbers(&rest), &rest["lag"]), (range(4..10), &json!(6)));
    consumer.commit(&rest).await;
    assert_eq!(numbers(&consumer.poll(10).await), range(0..0));
    let other = Consumer { world: &world, group: "other", name: "" };
    assert_eq!(numbers(&other.poll(100).await), range(0..10), "another group reads for itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_must_lie_between_what_is_committed_and_the_end() {
    let world = World::start().await;
    send(&world, 0..10).await;
    let consumer = Consumer { world: &world, group: "g", name: "" };
    let (early, late) = (consumer.poll(3).await, consumer.poll(8).await);
    consumer.commit(&late).await;
    let back = consumer.post("commit", json!({"cursor": early["cursor"]})).await;
    assert_eq!((back.status, &*back.code()), (409, "commit_out_of_range"));
    let beyond = late["cursor"].as_str().expect("a cursor").replace("events-8", "events-b");
    let beyond = consumer.post("commit", json!({ "cursor": beyond })).await;
    assert_eq!((beyond.status, &*beyond.code()), (409, "commit_out_of_range"));
    assert_eq!(numbers(&consumer.poll(10).await), [8, 9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_has_one_reader_at_a_time() {
    let world = World::start().await;
    send(&world, 0..10).await;
    let [anna, ben] = ["anna", "ben"].map(|name| Consumer { world: &world, group: "g", name });
    let page = anna.poll(3).await;
    assert_eq!(anna.show().await.json()["consumer"], "anna");
    let refused = ben.post("poll", json!({"wait": "250ms"})).await;
    assert_eq!((refused.status, &*refused.code()), (409, "group_leased"));
    let refused = ben.post("commit", json!({"cursor": page["cursor"]})).await;
    assert_eq!((refused.status, &*refused.code()), (409, "group_leased"));
    assert_eq!(numbers(&anna.poll(3).await), range(0..3), "at once again, to the same consumer");
    // A commit frees the group, and who waits for it gets it.
    let waiting = ben.post("poll", json!({"max": 3, "wait": "50s"}));
    let (taken, _) = tokio::join!(waiting, anna.commit(&page));
    let taken = taken.json();
    assert_eq!(numbers(&taken), range(3..6));
    assert_eq!(anna.post("poll", json!({})).await.code(), "group_leased");
    ben.commit(&taken).await;
    assert_eq!(numbers(&anna.poll(100).await), range(6..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_found_nothing_holds_nobody_up() {
    let world = World::start().await;
    let [anna, ben] = ["anna", "ben"].map(|name| Consumer { world: &world, group: "g", name });
    assert_eq!(numbers(&anna.poll(10).await), range(0..0));
    send(&world, 0..3).await;
    // Anna was given nothing that could come twice.
    assert_eq!(numbers(&ben.poll(10).await), range(0..3));
    let page = ben.poll(10).await;
    ben.commit(&page).await;
    let (one, two) =
        tokio::join!(anna.post("poll", json!({"wait": "300ms"})), ben.post("poll", json!({"wait": "300ms"})));
    assert_eq!((one.status, two.status), (200, 200), "both may wait at the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_take_turns_get_every_record_once() {
    let world = World::start().await;
    let (world, total, written) = (&world, 2_000, &AtomicBool::new(false));
    let writing = async {
        for start in (0..total).step_by(50) {
            send(world, start..start + 50).await;
        }
        written.store(true, Relaxed);
    };
    let consuming = async |name: &'static str| {
        let consumer = Consumer { world, group: "turns", name };
        let mut mine = Vec::new();
        loop {
            let last = written.load(Relaxed);
            let page = consumer.post("poll", json!({"max": 37, "wait": "1s"})).await;
            if page.code() == "group_leased" {
                continue;
            }
            let page = page.json();
            // Only the holder of the lease can commit, so nobody else has been given these.
            if consumer.post("commit", json!({"cursor": page["cursor"]})).await.status == 200 {
                mine.extend(numbers(&page));
            }
            if last && numbers(&page).is_empty() {
                return mine;
            }
        }
    };
    let (_, one, two, three) = tokio::join!(writing, consuming("one"), consuming("two"), consuming("three"));
    let mut all = [one, two, three].concat();
    all.sort_unstable();
    assert_eq!(all, range(0..total));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_deleted_begins_anew() {
    let world = World::start().await;
    send(&world, 0..5).await;
    let consumer = Consumer { world: &world, group: "g", name: "" };
    let delete = async || {
        let url = world.path("/streams/events/groups/g");
        read(world.http().delete(url).bearer_auth(world.secret_key())).await.expect("an answer")
    };
    assert_eq!(delete().await.status, 404);
    let page = consumer.poll(5).await;
    consumer.commit(&page).await;
    assert_eq!(delete().await.status, 204);
    assert_eq!(consumer.show().await.status, 404);
    assert_eq!(numbers(&consumer.poll(2).await), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_removes_is_counted_for_those_who_had_not_read_it() {
    if angarium_suite::on_kafka() {
        return; // Kafka does it, as its topics are told, and does not say how many bytes there are.
    }
    let config = "[retention.events]\nbytes = 40000\n[streams]\nretention_every = \"100ms\"";
    let mut world = World::start_with(config).await;
    let total = 200;
    for start in (0..total).step_by(10) {
        // What does not compress, so that it takes its room on disk.
        let noise = || (0..900).map(|_| fastrand::alphanumeric()).collect::<String>();
        let lines = (start..start + 10)
            .map(|n| format!("{}\n", json!({"type": "n", "params": {"n": n, "noise": noise()}})));
        assert_eq!(
            world.post("/events", "application/x-ndjson", lines.collect::<String>()).await.status,
            202
        );
        if start == 0 {
            let consumer = Consumer { world: &world, group: "g", name: "" };
            let page = consumer.poll(5).await;
            assert_eq!(numbers(&page), range(0..5));
            consumer.commit(&page).await;
        }
    }
    let left = eventually("old records are removed", async || {
        let list = world.get("/streams").await.json();
        let stream = stream_of(&list, "events");
        let bytes = stream["bytes"].as_u64().expect("a size");
        (bytes <= 40_000).then(|| stream["records"].as_u64().expect("a count"))
    })
    .await;
    assert!(left > 0 && left < total, "{left}");
    let consumer = Consumer { world: &world, group: "g", name: "" };
    let page = consumer.poll(1_000).await;
    assert_eq!(numbers(&page), range(total - left..total));
    assert_eq!([&page["expired"], &page["lag"]], [&json!(total - left - 5), &json!(left)]);
    consumer.commit(&page).await;
    assert_eq!(consumer.poll(10).await["expired"], 0);
    let late = Consumer { world: &world, group: "late", name: "" };
    assert_eq!(late.poll(10).await["expired"], total - left);
    let left_after_all = async |world: &World| numbers(&records(world, "limit=1000").await);
    assert_eq!(left_after_all(&world).await, range(total - left..total), "what was removed is not given out");
    world.restart().await;
    assert_eq!(left_after_all(&world).await, range(total - left..total));
    send(&world, total..total + 1).await;
    let all = left_after_all(&world).await;
    assert_eq!(all.last(), Some(&total), "the stream goes on where it was");
}
