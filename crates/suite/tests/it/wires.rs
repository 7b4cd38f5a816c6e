//! Segment's calls and PostHog's, as their libraries send them: kept once, under their names, and answered in the form
//! that makes these libraries do the right thing.

use crate::bad_input::packed::gzip;
use angarium_suite::{Reply, World, caller::read, eventually};
use reqwest::{
    Method, RequestBuilder,
    header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT},
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const FORM: &str = "application/x-www-form-urlencoded";

fn to(world: &World, method: Method, target: &str) -> RequestBuilder {
    world.http().request(method, format!("{}{target}", world.url()))
}

async fn answer(request: RequestBuilder) -> Reply {
    read(request).await.expect("an answer")
}

/// Posts as Segment's libraries do, with the write key as the name of Basic authentication.
async fn segment(world: &World, path: &str, body: &Value) -> Reply {
    let request = to(world, Method::POST, path).basic_auth(world.write_key(), Some(""));
    answer(request.header(CONTENT_TYPE, "application/json").body(body.to_string())).await
}

/// Posts as PostHog's do, with the key in the body.
async fn posthog(world: &World, path: &str, body: &Value) -> Reply {
    let request = to(world, Method::POST, path).header(CONTENT_TYPE, "application/json");
    answer(request.body(body.to_string())).await
}

async fn kept(world: &World) -> Vec<Value> {
    world.all_events().await.into_iter().map(|mut record| record["data"].take()).collect()
}

/// Accepted, duplicates, and the index and code of each that was rejected.
fn outcome(reply: &Reply) -> (u64, u64, Vec<(u64, String)>) {
    let body = reply.json();
    let rejected = body["rejected"].as_array().expect("each that was rejected is named").iter();
    let named = |item: &Value| {
        (item["index"].as_u64().expect("an index"), item["code"].as_str().expect("a code").to_owned())
    };
    let count = |name: &str| body[name].as_u64().expect("a count");
    (count("accepted"), count("duplicates"), rejected.map(named).collect())
}

fn track(n: usize) -> Value {
    json!({"type": "track", "event": "Level Up", "userId": "u", "messageId": format!("m{n}"), "properties": {"n": n}})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_segments_is_taken_with_and_without_a_slash() {
    let world = World::start().await;
    let calls = ["track", "identify", "page", "screen", "group", "alias", "t", "i", "p", "s", "g", "a"];
    for (n, path) in calls.iter().flat_map(|call| [format!("/v1/{call}"), format!("/v1/{call}/")]).enumerate()
    {
        let body = json!({"event": "x", "userId": "u", "messageId": format!("m{n}")});
        let reply = segment(&world, &path, &body).await;
        assert_eq!((reply.status, outcome(&reply)), (200, (1, 0, vec![])), "{path}: {}", reply.text());
        assert_eq!(reply.json()["success"], true);
    }
    for (n, path) in ["batch", "import", "b"]
        .iter()
        .flat_map(|call| [format!("/v1/{call}"), format!("/v1/{call}/")])
        .enumerate()
    {
        let body = json!({"batch": [track(100 + n)], "sentAt": "2026-01-31T12:00:00Z"});
        let reply = segment(&world, &path, &body).await;
        assert_eq!((reply.status, outcome(&reply)), (200, (1, 0, vec![])), "{path}: {}", reply.text());
    }
    let types: Vec<Value> = kept(&world).await.into_iter().map(|mut event| event["type"].take()).collect();
    let twice = ["x", "identify", "page", "screen", "group", "alias"].map(|name| [name; 2]).concat();
    assert_eq!(types[..24], [twice.clone(), twice].concat());
    assert_eq!(types[24..], ["Level_Up"; 6]);
    assert_eq!(segment(&world, "/v1/charge", &json!({})).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_becomes_an_event_and_loses_nothing() {
    let world = World::start().await;
    let body = json!({"batch": [{
        "integrations": {}, "anonymousId": null, "properties": {"total": 9.5, "userId": "other"},
        "timestamp": "2026-01-31T12:00:00.000+00:00", "context": {"ip": "203.0.113.9", "library": {"name": "l"}},
        "userId": "u1", "type": "track", "event": "Order Completed", "messageId": "m1", "_metadata": {"x": 1},
        "writeKey": world.write_key(),
    }], "writeKey": world.write_key()});
    let request = to(&world, Method::POST, "/v1/batch").header(USER_AGENT, "analytics-python/2.4.0");
    assert_eq!(answer(request.body(body.to_string())).await.status, 200);
    let event = &kept(&world).await[0];
    assert_eq!([&event["type"], &event["id"], &event["device_id"]], ["Order_Completed", "m1", "u1"]);
    assert_eq!(event["at"], "2026-01-31T12:00:00.000Z");
    let params = json!({
        "event": "Order Completed", "originalTimestamp": "2026-01-31T12:00:00.000+00:00", "integrations": {},
        "context": {"ip": "203.0.113.9", "library": {"name": "l"}}, "userId": "u1", "_metadata": {"x": 1},
        "total": 9.5, "properties.userId": "other",
    });
    assert_eq!(event["params"], params);
    // A write key speaks for itself only.
    assert_eq!(event["meta"]["ip"], "ffff7f000001");
    let request = to(&world, Method::POST, "/v1/track").bearer_auth(world.secret_key());
    let body = json!({"event": "x", "context": {"ip": "203.0.113.9"}});
    assert_eq!(answer(request.body(body.to_string())).await.status, 200);
    assert_eq!(kept(&world).await[1]["meta"]["ip"], "ffffcb007109");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_set_right_by_when_it_says_it_sent() {
    let world = World::start().await;
    let body = json!({"batch": [
        {"type": "page", "timestamp": "2001-01-01T00:00:00Z"}, {"type": "screen", "timestamp": "2001-01-01T00:00:10Z"},
    ], "sentAt": "2001-01-01T00:00:10Z"});
    assert_eq!(segment(&world, "/v1/batch", &body).await.status, 200);
    let event = json!({"api_key": world.write_key(), "event": "x", "timestamp": "2001-01-01T00:00:10Z", "sent_at": "2001-01-01T00:00:10Z"});
    assert_eq!(posthog(&world, "/capture/", &event).await.status, 200);
    let [page, screen, single] = &kept(&world).await[..] else { panic!("three events") };
    assert_eq!([&screen["at"], &single["at"]], [&screen["received_at"], &single["received_at"]]);
    let seconds =
        |event: &Value| event["at"].as_str().expect("an instant")[17..19].parse::<u64>().expect("seconds");
    assert_eq!((60 + seconds(screen) - seconds(page)) % 60, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_is_kept_once() {
    let world = World::start().await;
    let batch = |calls: &[usize]| json!({"batch": calls.iter().map(|n| track(*n)).collect::<Vec<_>>()});
    assert_eq!(outcome(&segment(&world, "/v1/batch", &batch(&[1, 2])).await), (2, 0, vec![]));
    let again = segment(&world, "/v1/batch", &batch(&[1, 2, 3])).await;
    assert_eq!((again.status, outcome(&again)), (200, (1, 2, vec![])));
    assert_eq!(outcome(&segment(&world, "/v1/track", &track(3)).await), (0, 1, vec![]));
    let event =
        json!({"api_key": world.write_key(), "batch": [{"event": "e", "distinct_id": "u", "uuid": "e1"}]});
    assert_eq!(outcome(&posthog(&world, "/batch/", &event).await), (1, 0, vec![]));
    assert_eq!(outcome(&posthog(&world, "/batch", &event).await), (0, 1, vec![]));
    assert_eq!(kept(&world).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_call_costs_its_neighbours_nothing() {
    let world = World::start().await;
    let large = json!({"type": "track", "event": "x", "properties": {"text": "x".repeat(32 << 10)}});
    let body = json!({"batch": [track(1), {"type": "track"}, {"type": "charge"}, large, track(2), 7]});
    let reply = segment(&world, "/v1/batch", &body).await;
    let rejected = [(1, "missing"), (2, "unknown_call"), (3, "event_too_large"), (5, "wrong_type")];
    let rejected = rejected.map(|(index, code)| (index, code.to_owned())).to_vec();
    assert_eq!((reply.status, outcome(&reply)), (200, (2, 0, rejected)));
    assert_eq!(reply.json()["rejected"][0]["pointer"], "/event");
    let reply = segment(&world, "/v1/batch", &json!({"batch": [large, {}]})).await;
    assert_eq!((reply.status, &*reply.code()), (400, "nothing_kept"));
    assert_eq!(outcome(&reply).2.len(), 2);
    assert_eq!(reply.header("content-type"), "application/problem+json");
    let reply = segment(&world, "/v1/track", &json!({"userId": "u"})).await;
    assert_eq!((reply.status, &*reply.code(), outcome(&reply).2.len()), (400, "nothing_kept", 1));
    assert!(
        reply.json()["detail"].as_str().is_some_and(|detail| detail.contains("`event`")),
        "{}",
        reply.text()
    );
    // Nothing to keep is no fault.
    assert_eq!(segment(&world, "/v1/batch", &json!({"batch": []})).await.status, 200);
    assert_eq!(segment(&world, "/v1/batch", &json!({})).await.code(), "invalid_envelope");
    let broken = to(&world, Method::POST, "/v1/batch")
        .basic_auth(world.write_key(), Some(""))
        .body("{\"batch\":[NaN]}");
    assert_eq!(answer(broken).await.code(), "malformed_json");
    assert_eq!(kept(&world).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_be_packed_and_no_larger_than_segment_takes() {
    let world = World::start().await;
    let post = |path: &str| to(&world, Method::POST, path).basic_auth(world.write_key(), Some(""));
    let batch = json!({"batch": [track(1)]}).to_string();
    let packed = post("/v1/batch").header(CONTENT_ENCODING, "gzip").body(gzip(batch.as_bytes()));
    assert_eq!(answer(packed).await.status, 200);
    let large = json!({"batch": [], "padding": " ".repeat(500 << 10)}).to_string();
    let packed = post("/v1/batch").header(CONTENT_ENCODING, "gzip").body(gzip(large.as_bytes()));
    for request in [packed, post("/v1/batch").body(large.clone())] {
        let reply = answer(request).await;
        assert_eq!((reply.status, &*reply.code()), (413, "body_too_large"));
    }
    // PostHog's make larger ones.
    let event = |n: usize| json!({"event": "e", "uuid": format!("e{n}"), "properties": {"text": "x".repeat(50 << 10)}});
    let events: Vec<Value> = (0..50).map(event).collect();
    let body = json!({"api_key": world.write_key(), "batch": events}).to_string();
    assert!(body.len() > 2 << 20);
    let packed =
        to(&world, Method::POST, "/batch/").header(CONTENT_ENCODING, "gzip").body(gzip(body.as_bytes()));
    assert_eq!(outcome(&answer(packed).await), (50, 0, vec![]));
    assert_eq!(kept(&world).await.len(), 51);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_found_where_it_may_stand_and_is_the_same_everywhere() {
    let world = World::start().await;
    let (key, secret) = (world.write_key().to_owned(), world.secret_key().to_owned());
    let post = |path: &str, body: Value| to(&world, Method::POST, path).body(body.to_string());
    let track = |key: &str| json!({"event": "x", "writeKey": key});
    let event = |key: &str| json!({"event": "x", "api_key": key});
    for (request, status) in [
        (post("/v1/track", track("")).basic_auth(&key, Some("")), 200),
        (post("/v1/track", track(&key)), 200),
        (post("/v1/track", track(&key)).basic_auth(&key, Some("")), 200),
        (post("/v1/track", track(&secret)), 200),
        (post("/v1/track", track("")).bearer_auth(&secret), 200),
        (post("/v1/track", track("")), 401),
        (post("/v1/track", track("ang_wk_nobody")), 401),
        (post("/v1/track", track(&key)).bearer_auth("ang_wk_nobody"), 401),
        (post("/v1/track", track(&key)).bearer_auth(&secret), 401),
        // A URL is no place for a key where a header can be sent.
        (post(&format!("/v1/track?writeKey={key}"), track("")), 401),
        (post(&format!("/beacon/v1/batch?writeKey={key}"), json!({"batch": [{"type": "page"}]})), 200),
        (
            post(
                &format!("/beacon/v1/batch/?writeKey={key}"),
                json!({"batch": [{"type": "page"}], "writeKey": secret}),
            ),
            401,
        ),
        (post("/capture", event(&key)), 200),
        (post("/capture", json!({"event": "x", "token": key})), 200),
        (post("/capture", json!({"event": "x", "properties": {"token": key}})), 200),
        (post(&format!("/e/?api_key={key}"), json!({"event": "x"})), 200),
        (post("/capture", event("")), 401),
        (post("/capture", event(&key)).bearer_auth(&secret), 401),
        (post("/capture", json!({"event": "x", "api_key": key, "token": secret})), 401),
        (post(&format!("/e/?token={key}"), event(&secret)), 401),
    ] {
        let shown = format!("{request:?}");
        let reply = answer(request).await;
        assert_eq!(reply.status, status, "{shown}: {}", reply.text());
    }
    let both = answer(post("/v1/track", track(&key)).bearer_auth(&secret)).await;
    let detail = both.json()["detail"].as_str().expect("a detail").to_owned();
    assert!(detail.contains("the Authorization header and `writeKey` in the body"), "{detail}");
    let everything = world.get("/streams/events/records").await.text();
    assert!(!everything.contains(&key) && !everything.contains(&secret), "{everything}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pixel_is_an_image_whatever_becomes_of_the_call() {
    let world = World::start().await;
    let key = world.write_key();
    for (target, status) in [
        (format!("/pixel/v1/track?writeKey={key}&anonymousId=a1&event=Mail+Opened&properties.n=1"), 200),
        (format!("/pixel/v1/page?writeKey={key}&anonymousId=a1&name=Home"), 200),
        (format!("/pixel/v1/track?writeKey={key}&anonymousId=a1"), 400),
        ("/pixel/v1/track?event=x".into(), 401),
        ("/pixel/v1/track?event=x&writeKey=nobody".into(), 401),
        (format!("/pixel/v1/page?writeKey={key}&name=%ff"), 400),
    ] {
        let reply = answer(to(&world, Method::GET, &target)).await;
        assert_eq!((reply.status, reply.header("content-type")), (status, "image/gif"), "{target}");
        assert_eq!((reply.body.len(), &reply.body[..6]), (43, &b"GIF89a"[..]), "{target}");
        assert!(reply.header("cache-control").contains("no-store"));
    }
    let head = to(&world, Method::HEAD, &format!("/pixel/v1/page?writeKey={key}&name=Home"));
    assert_eq!(answer(head).await.status, 200);
    let metrics = world.open("/metrics").await.text();
    assert!(metrics.contains("angarium_pixel_refused_total 4"), "{metrics}");
    for (reason, count) in [("missing", 1), ("unauthenticated", 2), ("invalid_query", 1)] {
        let line = format!("angarium_events_rejected_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    assert!(!metrics.contains("reason=\"nothing_kept\""), "a refusal is counted once: {metrics}");
    let events = kept(&world).await;
    assert_eq!(events.len(), 2);
    assert_eq!([&events[0]["type"], &events[0]["device_id"]], ["Mail_Opened", "a1"]);
    assert_eq!(events[0]["params"], json!({"event": "Mail Opened", "anonymousId": "a1", "n": "1"}));
    assert_eq!(events[1]["params"], json!({"anonymousId": "a1", "name": "Home"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn posthogs_events_come_in_every_form_that_its_libraries_know() {
    let world = World::start().await;
    let key = world.write_key();
    let event = |n: usize| json!({"event": "e", "distinct_id": "u", "uuid": format!("e{n}"), "properties": {"n": n, "token": key}});
    let encoded = |n: usize| {
        let json = event(n).to_string();
        json.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>()
    };
    let post = |path: &str| to(&world, Method::POST, path);
    let base64 = [
        "eyJldmVudCI6ImUiLCJkaXN0aW5jdF9pZCI6InUiLCJ1dWlkIjoiZTciLCJwcm9wZXJ0aWVzIjp7Im4iOjd9fQ==",
        "eyJldmVudCI6ImUiLCJkaXN0aW5jdF9pZCI6InUiLCJ1dWlkIjoiZTgiLCJwcm9wZXJ0aWVzIjp7Im4iOjh9fQ==",
    ];
    let requests = [
        post("/batch/")
            .body(json!({"api_key": key, "batch": [event(0)], "historical_migration": true}).to_string()),
        post("/capture").body(event(1).to_string()),
        post("/e/?ip=0&_=1795259046000&ver=1.2")
            .header(CONTENT_TYPE, "text/plain")
            .body(json!([event(2)]).to_string()),
        post("/e/?compression=gzip-js")
            .header(CONTENT_TYPE, "text/plain")
            .body(gzip(json!([event(3)]).to_string().as_bytes())),
        post("/e").header(CONTENT_ENCODING, "gzip").body(gzip(event(4).to_string().as_bytes())),
        post("/capture/").header(CONTENT_TYPE, FORM).body(format!("data={}", encoded(5))),
        to(&world, Method::GET, &format!("/e/?data={}", encoded(6))),
        post("/e/?compression=base64")
            .header(CONTENT_TYPE, FORM)
            .body(format!("data={}&api_key={key}", base64[0])),
        to(&world, Method::GET, &format!("/capture?api_key={key}&data={}", base64[1])),
    ];
    let count = requests.len();
    for (n, request) in requests.into_iter().enumerate() {
        let reply = answer(request).await;
        assert_eq!((reply.status, &reply.json()["status"]), (200, &json!(1)), "{n}: {}", reply.text());
    }
    let events = kept(&world).await;
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["params"]["n"].as_u64()).collect();
    assert_eq!(numbers, (0..count as u64).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event["device_id"] == "u" && event["params"]["token"].is_null()));
    let refused = answer(to(&world, Method::GET, "/e/")).await;
    assert_eq!((refused.status, &*refused.code()), (400, "invalid_envelope"));
    assert_eq!(answer(to(&world, Method::HEAD, &format!("/e/?data={}", encoded(9)))).await.status, 200);
    assert_eq!(kept(&world).await.len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_to_come_again_is_told_when() {
    let world =
        World::start_with("[http]\nevent_bytes = 65536\nbody_bytes = 524288\nbodies_bytes = 524288").await;
    let key = world.write_key();
    let body =
        json!({"batch": [track(1)], "writeKey": key, "api_key": key, "padding": " ".repeat(200 << 10)});
    let address = world.url().replace("http://", "");
    let head = "POST /v1/batch HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n";
    let head = format!("{head}Authorization: Bearer {key}\r\n\r\n");
    let unfinished = [head.as_bytes(), &vec![b' '; 400 << 10]].concat();
    for path in ["/v1/batch", "/batch/"] {
        eventually("there is no room", async || {
            // Somebody whose body does not end takes most of the room that all bodies have together, unless the other
            // one was there first; hence another try.
            let mut slow = TcpStream::connect(&address).await.expect("the server takes connections");
            // It is refused itself where the one before it has not gone yet.
            let _ = slow.write_all(&unfinished).await;
            // A refusal may be lost whose request was still being sent (RFC 9112, 9.6).
            let reply = read(to(&world, Method::POST, path).body(body.to_string())).await.ok()?;
            assert!([200, 503].contains(&reply.status), "{}", reply.text());
            (reply.status == 503).then(|| assert_eq!(reply.header("retry-after"), "1"))
        })
        .await;
    }
}
