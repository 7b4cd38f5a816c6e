//! Tracking: what is sent is kept once, intact, in order, with what is known of its sender.

use crate::bad_input::packed::{gzip, zstd};
use angarium_suite::{GUARD, Reply, World, angarium, caller::read, eventually};
use futures_util::future::join_all;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const FORM: &str = "application/x-www-form-urlencoded";

/// The answer to events that were taken.
fn outcome(reply: &Reply) -> [u64; 3] {
    assert_eq!(reply.status, 202, "{}", reply.text());
    let body = reply.json();
    let rejected = body["rejected"].as_array().map_or(0, Vec::len) as u64;
    [body["accepted"].as_u64().expect("a count"), body["duplicates"].as_u64().expect("a count"), rejected]
}

fn numbered(n: u64) -> Value {
    json!({"type": "n", "params": {"n": n}})
}

fn lines(events: impl IntoIterator<Item = Value>) -> String {
    events.into_iter().map(|event| format!("{event}\n")).collect()
}

/// The numbers of events, in order.
fn numbers<'a>(events: impl IntoIterator<Item = &'a Value>) -> Vec<u64> {
    events.into_iter().map(|event| event["params"]["n"].as_u64().expect("it has a number")).collect()
}

async fn kept(world: &World) -> Vec<Value> {
    world.all_events().await.into_iter().map(|mut record| record["data"].take()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_taken_alone_in_arrays_in_lines_and_packed() {
    let world = World::start().await;
    let packed = async |encoding: &str, body: Vec<u8>| {
        let request = world.http().post(world.path("/events")).bearer_auth(world.write_key());
        let request = request.header(CONTENT_TYPE, NDJSON).header(CONTENT_ENCODING, encoding).body(body);
        read(request).await.expect("an answer")
    };
    let two = |first: u64| lines([numbered(first), numbered(first + 1)]);
    assert_eq!(outcome(&world.post("/events", JSON, numbered(0).to_string()).await), [1, 0, 0]);
    assert_eq!(outcome(&world.post("/events", "text/plain", numbered(1).to_string()).await), [1, 0, 0]);
    // What `curl -d` says when it is not told better.
    assert_eq!(outcome(&world.post("/events", FORM, numbered(2).to_string()).await), [1, 0, 0]);
    let array = json!([numbered(3), numbered(4)]).to_string();
    assert_eq!(outcome(&world.post("/events", "application/json; charset=utf-8", array).await), [2, 0, 0]);
    for (at, kind) in [(5, NDJSON), (7, "application/jsonl"), (9, "application/ndjson")] {
        assert_eq!(outcome(&world.post("/events", kind, two(at)).await), [2, 0, 0], "{kind}");
    }
    assert_eq!(outcome(&packed("gzip", gzip(two(11).as_bytes())).await), [2, 0, 0]);
    assert_eq!(outcome(&packed("zstd", zstd(two(13).as_bytes())).await), [2, 0, 0]);
    assert_eq!(outcome(&packed("identity", two(15).into()).await), [2, 0, 0]);
    // What another zstd writes, with sequences and entropy coding, into several blocks.
    let many = lines((17..10_017).map(numbered));
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let many = ruzstd::encoding::compress_to_vec(many.as_bytes(), level);
    assert_eq!(outcome(&packed("zstd", many).await), [10_000, 0, 0]);
    assert_eq!(numbers(&kept(&world).await), (0..10_017).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_kept_as_it_was_sent() {
    let world = World::start().await;
    let text = r#"{"type":"odd/ ty","params":{}}"#.replace(' ', "\u{2060}");
    let params = r#"{"b":1.50,"a":[1e2,null,{"z":"\u00e9\n"}],"😀":"","n":12345678901234567890123}"#;
    let full = format!(
        r#"{{"id":"mine","device_id":"d-1","at":"2026-01-31T13:00:00.1239+01:00","params":{params},"type":"full"}}"#
    );
    assert_eq!(outcome(&world.post("/events", NDJSON, format!("{text}\n{full}")).await), [2, 0, 0]);
    let page = world.get("/streams/events/records").await.text();
    assert!(page.contains(params), "parameters are the bytes that came: {page}");
    let events = kept(&world).await;
    assert_eq!(events[0]["type"], "odd/\u{2060}ty");
    assert!(
        events[0]["id"].as_str().is_some_and(|id| id.starts_with("evt_") && id.len() == 30),
        "{}",
        events[0]
    );
    assert_eq!(events[0]["at"], events[0]["received_at"]);
    let full = &events[1];
    assert_eq!([&full["id"], &full["device_id"], &full["at"]], ["mine", "d-1", "2026-01-31T12:00:00.123Z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_kept_once_in_a_request_later_at_the_same_time_and_after_a_crash() {
    let mut world = World::start().await;
    let event = |id: &str| json!({"type": "once", "id": id});
    let send = async |world: &World, ids: &[&str]| {
        let events: Vec<Value> = ids.iter().map(|id| event(id)).collect();
        outcome(&world.post("/events", JSON, json!(events).to_string()).await)
    };
    assert_eq!(send(&world, &["a", "b", "a", "a"]).await, [2, 2, 0]);
    assert_eq!(send(&world, &["b", "c"]).await, [1, 1, 0]);
    assert_eq!(outcome(&world.post("/events", JSON, event("c").to_string()).await), [0, 1, 0]);
    // What was refused is not remembered.
    let refused = world.post("/events", JSON, json!({"type": "", "id": "d"}).to_string()).await;
    assert_eq!(refused.status, 422);
    assert_eq!(send(&world, &["d"]).await, [1, 0, 0]);
    let at_once = join_all((0..50).map(|_| send(&world, &["e", "f"]))).await;
    let sums =
        at_once.iter().fold([0, 0], |[a, d], [accepted, duplicates, _]| [a + accepted, d + duplicates]);
    assert_eq!(sums, [2, 98]);
    world.kill();
    world.restart().await;
    assert_eq!(send(&world, &["a", "b", "c", "d", "e", "f", "g"]).await, [1, 6, 0]);
    let ids: Vec<Value> = kept(&world).await.into_iter().map(|mut event| event["id"].take()).collect();
    assert_eq!(ids.len(), 7);
    assert_eq!(ids[..4], ["a", "b", "c", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_lines_are_kept_once_and_in_order() {
    let world = World::start().await;
    let sent = world.post("/events", NDJSON, lines((0..50_000).map(numbered))).await;
    assert_eq!(outcome(&sent), [50_000, 0, 0]);
    assert_eq!(numbers(&kept(&world).await), (0..50_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_the_list_while_others_write_sees_every_event_once() {
    let world = World::start().await;
    world.post("/events", NDJSON, lines((0..300).map(numbered))).await;
    let (done, world) = (&AtomicBool::new(false), &world);
    let writing = async {
        let mut n = 300;
        while !done.load(Relaxed) {
            outcome(&world.post("/events", NDJSON, lines([numbered(n), json!({"type": "other"})])).await);
            n += 1;
        }
    };
    let reading = async {
        let all = follow(world, "limit=7&type=n").await;
        done.store(true, Relaxed);
        all
    };
    let (_, seen) = tokio::join!(writing, reading);
    assert!(seen.len() >= 300);
    assert_eq!(numbers(&seen), (0..seen.len() as u64).collect::<Vec<_>>());
    let others = follow(world, "limit=1000&type=other").await;
    assert!(others.iter().all(|event| event["type"] == "other"));
    assert!(follow(world, "type=nobody").await.is_empty());
}

/// All pages of the list.
async fn follow(world: &World, query: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/events?{query}{after}")).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let mut page = page.json();
        let Value::Array(items) = page["items"].take() else { panic!("a page has items") };
        all.extend(items);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_can_be_cut_by_when_events_became_durable() {
    let world = World::start().await;
    let mut instants: Vec<String> = Vec::new();
    // As many as it takes until three have instants of their own.
    for n in 0.. {
        world.post("/events", JSON, numbered(n).to_string()).await;
        let events = world.all_events().await;
        instants =
            events.iter().map(|record| record["at"].as_str().expect("an instant").to_owned()).collect();
        let mut different = instants.clone();
        different.dedup();
        if different.len() >= 3 {
            break;
        }
    }
    let (middle, last) = (&instants[instants.len() / 2], instants.last().expect("three at least"));
    let count = |keep: &dyn Fn(&String) -> bool| instants.iter().filter(|at| keep(at)).count();
    for (query, expected) in [
        (format!("from={middle}"), count(&|at| at >= middle)),
        (format!("to={middle}"), count(&|at| at < middle)),
        (format!("from={middle}&to={last}&limit=2"), count(&|at| at >= middle && at < last)),
        (format!("from={last}"), count(&|at| at >= last)),
        ("from=2100-01-01T00:00:00Z".into(), 0),
        ("to=2001-01-01T00:00:00%2B01:00".into(), 0),
    ] {
        assert_eq!(follow(&world, &query).await.len(), expected, "{query} of {instants:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_counted_by_type() {
    let world = World::start().await;
    let events = [["a"; 3], ["b"; 3]].concat().into_iter().chain(["a", "c"]);
    world.post("/events", NDJSON, lines(events.map(|kind| json!({"type": kind})))).await;
    world.post("/events", NDJSON, lines([json!({"type": ""}), json!({"type": "b", "id": "x"})])).await;
    world.post("/events", NDJSON, lines([json!({"type": "b", "id": "x"})])).await;
    if angarium_suite::on_kafka() {
        // Each process tells what went through it twice a second.
        eventually("the counts are told", async || {
            let stats = world.get("/events/stats").await.json();
            let counts = stats["items"].as_array().expect("rows").iter().map(|row| row["count"].as_u64());
            (counts.sum::<Option<u64>>() == Some(9)).then_some(())
        })
        .await;
    }
    for query in ["", "?by=type", "?step=1h&from=2020-01-01T00:00:00Z"] {
        let stats = world.get(&format!("/events/stats{query}")).await;
        assert_eq!(stats.status, 200, "{}", stats.text());
        let stats = stats.json();
        let mut counts = BTreeMap::new();
        for row in stats["items"].as_array().expect("rows") {
            // A minute may have ended in between.
            *counts.entry(row["type"].as_str().expect("a type")).or_insert(0) +=
                row["count"].as_u64().expect("a count");
        }
        assert_eq!(counts, BTreeMap::from([("a", 4), ("b", 4), ("c", 1)]), "{query}");
        assert_eq!(stats["truncated"], false);
    }
    let before = world.get("/events/stats?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z").await;
    assert_eq!(before.json()["items"], json!([]));
}

async fn call(world: &World, target: &str, accept: &str) -> Reply {
    read(world.http().get(format!("{}{target}", world.url())).header(ACCEPT, accept))
        .await
        .expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracking_call_answers_nothing_or_the_image_that_was_asked_for() {
    let world = World::start().await;
    let image = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5";
    let called = call(&world, "/t/open?n=1", "*/*").await;
    assert_eq!((called.status, called.body.len()), (204, 0));
    let page = call(&world, "/t/open?n=2", "text/html,application/xhtml+xml,image/avif,*/*;q=0.8").await;
    assert_eq!(page.status, 204);
    for (target, status) in [
        ("/t/open?n=3", 200),
        ("/t/a%20b", 400),
        ("/t/open?city=%ff", 400),
        ("/t/open?write_key=nobody", 401),
    ] {
        let called = call(&world, target, image).await;
        assert_eq!((called.status, called.header("content-type")), (status, "image/gif"), "{target}");
        assert_eq!((called.body.len(), &called.body[..6]), (43, &b"GIF89a"[..]), "{target}");
        assert!(called.header("cache-control").contains("no-store"));
        assert!(!called.header("x-request-id").is_empty());
    }
    let form = world.http().post(format!("{}/t/open?n=4&a=1", world.url()));
    let form = read(form.header(CONTENT_TYPE, FORM).header(ACCEPT, image).body("a=2&b=x+y%21"))
        .await
        .expect("an answer");
    assert_eq!((form.status, form.body.len()), (204, 0));
    let empty = read(world.http().post(format!("{}/t/open?n=5", world.url()))).await.expect("an answer");
    assert_eq!(empty.status, 204);
    let events = kept(&world).await;
    let numbers: Vec<&str> = events.iter().filter_map(|event| event["params"]["n"].as_str()).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
    assert_eq!(events[3]["params"], json!({"n": "4", "a": ["1", "2"], "b": "x y!"}));
    assert_eq!(events[3]["query"], "n=4&a=1&a=2&b=x+y%21");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_key_is_taken_where_it_may_stand_and_never_kept() {
    let world = World::start().await;
    let (url, key) = (world.url(), world.write_key());
    let send = async |request: reqwest::RequestBuilder| read(request).await.expect("an answer").status;
    assert_eq!(send(world.http().get(format!("{url}/t/q?a=1&write_key={key}&b=2"))).await, 204);
    assert_eq!(send(world.http().get(format!("{url}/t/q?write_key={key}"))).await, 204);
    assert_eq!(send(world.http().get(format!("{url}/t/b")).basic_auth(key, Some(""))).await, 204);
    assert_eq!(send(world.http().get(format!("{url}/t/h")).bearer_auth(key)).await, 204);
    let form =
        |body: String| world.http().post(format!("{url}/t/f?a=1")).header(CONTENT_TYPE, FORM).body(body);
    assert_eq!(send(form(format!("b=2&write_key={key}"))).await, 204);
    assert_eq!(send(form("b=2&write_key=nobody".into())).await, 401);
    let body =
        || world.http().post(world.path("/events")).header(CONTENT_TYPE, JSON).body(numbered(1).to_string());
    assert_eq!(send(body().basic_auth(key, Some(""))).await, 202);
    assert_eq!(send(body().basic_auth(key, None::<&str>)).await, 202);
    assert_eq!(send(body().header(AUTHORIZATION, format!("bearer {key}"))).await, 202);
    assert_eq!(send(body()).await, 401);
    let everything = world.get("/streams/events/records").await.text();
    assert!(!everything.contains("write_key") && !everything.contains(key), "{everything}");
    let events = kept(&world).await;
    assert_eq!(events.len(), 8);
    assert_eq!((&events[0]["query"], &events[4]["query"]), (&json!("a=1&b=2"), &json!("a=1&b=2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_found_by_its_bundle_id_too() {
    let world = World::start().await;
    let apps =
        read(world.http().get(format!("{}/v1/apps", world.url())).bearer_auth(world.secret_key())).await;
    let apps = apps.expect("an answer").json();
    let bundle_id = apps["items"][0]["bundle_id"].as_str().expect("an app has one");
    let path = format!("{}/v1/apps/{bundle_id}/events", world.url());
    let sent = world.http().post(&path).bearer_auth(world.write_key()).body(numbered(0).to_string());
    assert_eq!(read(sent).await.expect("an answer").status, 202);
    let listed = read(world.http().get(&path).bearer_auth(world.secret_key())).await.expect("an answer");
    assert_eq!(listed.json()["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(numbers(&kept(&world).await), [0]);
}

/// A server that is open to the network, its URL and its write key; killed when dropped.
async fn public_server(world: &World, name: &str, config: &str) -> (Child, String, String) {
    let (file, data) = (world.temp_dir().join(format!("{name}.toml")), world.temp_dir().join(name));
    std::fs::write(&file, config).expect("the folder can be written to");
    let mut command = angarium(&["serve", "--json", "--listen", "0.0.0.0:0"]);
    command.arg("--config").arg(file).arg("--data-dir").arg(data);
    let mut command = Command::from(command);
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("it starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("it was piped"));
    let read = tokio::time::timeout(GUARD, stdout.read_line(&mut line)).await;
    read.expect("it becomes ready").expect("it says so");
    let ready: Value = serde_json::from_str(&line).expect("JSON");
    let text = |member: &str| ready[member].as_str().expect("it says so").to_owned();
    (child, text("url"), text("write_key"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_tracks_without_a_key_on_an_open_address_unless_config_says_so() {
    let world = World::start().await;
    let call =
        async |url: String| read(world.http().get(url).header(ACCEPT, "*/*")).await.expect("an answer");
    let (_closed, url, key) = public_server(&world, "closed", "").await;
    let refused = call(format!("{url}/t/open")).await;
    assert_eq!((refused.status, &*refused.code()), (401, "unauthenticated"));
    assert!(refused.json()["detail"].as_str().is_some_and(|detail| detail.contains("write_key")));
    let form = world.http().post(format!("{url}/t/open")).header(CONTENT_TYPE, FORM).body("a=1");
    assert_eq!(read(form).await.expect("an answer").status, 401);
    assert_eq!(call(format!("{url}/t/open?write_key={key}")).await.status, 204);
    let (_open, url, _) = public_server(&world, "open", "[compat]\nanonymous = [\"t\"]").await;
    assert_eq!(call(format!("{url}/t/open")).await.status, 204);
}

const FIREFOX: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.13; rv:56.0) Gecko/20100101 Firefox/56.0";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_carries_what_its_request_says_of_the_sender() {
    let world = World::start().await;
    let post = world.http().post(world.path("/events")).bearer_auth(world.write_key());
    let post = post.header(USER_AGENT, FIREFOX).header("X-Forwarded-For", "203.0.113.9");
    assert_eq!(read(post.body(numbered(0).to_string())).await.expect("an answer").status, 202);
    let get = world.http().get(format!("{}/t/open", world.url())).header(USER_AGENT, FIREFOX);
    assert_eq!(read(get).await.expect("an answer").status, 204);
    for event in kept(&world).await {
        let expected = json!({
            "type": "Desktop", "browser": "Firefox", "engine": "Gecko", "version": "56.0", "os": "Mac",
            "host": "127.0.0.1", "ip": "ffff7f000001", "country": "XX", "city": "XX",
        });
        assert_eq!(event["meta"], expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_secret_key_may_speak_for_others() {
    let world = World::start().await;
    let event = |member: &str, value: &str| json!({"type": "o", member: value}).to_string();
    let with_key = async |key: &str, body: String| {
        read(world.http().post(world.path("/events")).bearer_auth(key).body(body)).await.expect("an answer")
    };
    for (member, value) in [("ip", "203.0.113.9"), ("user_agent", FIREFOX)] {
        let refused = with_key(world.write_key(), event(member, value)).await;
        assert_eq!(refused.status, 422);
        let fault = &refused.json()["errors"][0];
        assert_eq!([&fault["code"], &fault["pointer"]], ["not_with_write_key", &*format!("/{member}")]);
        assert_eq!(with_key(world.secret_key(), event(member, value)).await.status, 202);
    }
    assert_eq!(with_key(world.secret_key(), event("ip", "2001:db8::1")).await.status, 202);
    let events = kept(&world).await;
    let meta: Vec<[&Value; 2]> =
        events.iter().map(|event| [&event["meta"]["ip"], &event["meta"]["browser"]]).collect();
    assert_eq!(
        meta,
        [["ffffcb007109", ""], ["ffff7f000001", "Firefox"], ["20010db8000000000000000000000001", ""]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_good_neighbours_nothing_is_kept_that_was_to_be_all_or_none() {
    let world = World::start().await;
    let mixed = lines([json!({"type": "n", "params": {"n": 0}, "id": "x"}), json!({"type": ""})]);
    let refused = world.post("/events?atomic=true", NDJSON, mixed.clone()).await;
    assert_eq!((refused.status, refused.json()["accepted"].as_u64()), (422, Some(0)));
    assert!(kept(&world).await.is_empty());
    // Nor is its id remembered.
    assert_eq!(outcome(&world.post("/events?atomic=false", NDJSON, mixed).await), [1, 0, 1]);
    let good = lines([numbered(1), numbered(2)]);
    assert_eq!(outcome(&world.post("/events?atomic", NDJSON, good).await), [2, 0, 0]);
    assert_eq!(numbers(&kept(&world).await), [0, 1, 2]);
}
