//! What the client promises of its operations, against a server of a few lines.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use angarium_client::{
    AppChange, Client, DeadLetterFilter, Error, Event, GroupLag, LiveFrame, LiveQuery, NewApp, NewGrant,
    NewKey, PollGroup, ReadRecords, RedrivePace, Rejection, Retry, Role, Tracked,
};
use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// A request as it arrived, in one line: method, path with query, key, body, and its `Idempotency-Key` if it has one.
type Seen = Arc<Mutex<Vec<String>>>;
type Answers = Arc<Mutex<VecDeque<Response>>>;

/// A server that gives these answers, one after the other, and a client of it.
async fn server(answers: impl IntoIterator<Item = Response>) -> (Client, Seen) {
    let seen = Seen::default();
    let answers: Answers = Arc::new(Mutex::new(answers.into_iter().collect()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().fallback(answer).with_state((seen.clone(), answers));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (Client::new(&url, Some("ang_sk_1")).unwrap(), seen)
}

async fn answer(State((seen, answers)): State<(Seen, Answers)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let text = std::str::from_utf8(&body).unwrap().trim_end().replace('\n', "|");
    let key = header(&parts.headers, "authorization");
    let kind = if parts.method == Method::GET { "accept" } else { "content-type" };
    let mut line = format!("{} {} {key} {} {text}", parts.method, parts.uri, header(&parts.headers, kind));
    if parts.headers.contains_key("idempotency-key") {
        line = format!("{line} once={}", header(&parts.headers, "idempotency-key"));
    }
    seen.lock().unwrap().push(line);
    let next = answers.lock().unwrap().pop_front();
    next.unwrap_or_else(|| StatusCode::NOT_IMPLEMENTED.into_response())
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

fn ok(body: Value) -> Response {
    body.to_string().into_response()
}

fn busy(seconds: &'static str) -> Response {
    let problem =
        json!({"status": 503, "code": "overloaded", "detail": "the queue is full", "request_id": "req_9"});
    (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", seconds)], problem.to_string()).into_response()
}

#[tokio::test]
async fn events_go_as_lines_and_come_back_counted() {
    let rejected =
        json!([{"index": 1, "code": "invalid_type", "detail": "no white space", "pointer": "/type"}]);
    let (client, seen) = server([
        ok(json!({"accepted": 1, "duplicates": 2, "rejected": rejected})),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            json!({"code": "none_accepted", "rejected": rejected}).to_string(),
        )
            .into_response(),
    ])
    .await;
    let events = [Event::new("a").with_id("1"), Event::new("b c").with_id("2")];
    let rejection = Rejection {
        index: 1,
        code: "invalid_type".into(),
        detail: "no white space".into(),
        pointer: Some("/type".into()),
    };
    let tracked = client.track_events("com.acme.shop", &events).await.unwrap();
    assert_eq!(tracked, Tracked { accepted: 1, duplicates: 2, rejected: vec![rejection.clone()] });
    let tracked = client.track_events("com.acme.shop", &events).await.unwrap();
    assert_eq!(tracked, Tracked { accepted: 0, duplicates: 1, rejected: vec![rejection] });
    assert_eq!(client.track_events("com.acme.shop", &[]).await.unwrap(), Tracked::default());
    let sent = "POST /v1/apps/com.acme.shop/events Bearer ang_sk_1 application/x-ndjson \
                {\"type\":\"a\",\"id\":\"1\"}|{\"type\":\"b c\",\"id\":\"2\"}";
    assert_eq!(*seen.lock().unwrap(), [sent, sent]);
}

#[tokio::test]
async fn a_batch_is_repeated_only_if_every_event_has_an_id() {
    let taken = || ok(json!({"accepted": 1, "rejected": []}));
    let (client, seen) = server([busy("0"), busy("1"), taken()]).await;
    let started = Instant::now();
    client.track_events("app_1", &[Event::new("a").with_new_id()]).await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), 3);
    assert!(started.elapsed() > Duration::from_secs(1), "the server's wish is respected");

    let (client, seen) = server([busy("0"), taken()]).await;
    let events = [Event::new("a").with_new_id(), Event::new("b")];
    let error = client.track_events("app_1", &events).await.unwrap_err();
    assert_eq!(error.to_string(), "the queue is full (overloaded, request req_9)");
    assert_eq!(error.problem().unwrap().retry_after, Some(Duration::ZERO));
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn retries_end() {
    let (client, seen) = server((0..9).map(|_| busy("0"))).await;
    let client = client.with_retry(Retry { attempts: 2, longest_wait: Duration::from_secs(1) });
    assert_eq!(client.list_streams("app_1").await.unwrap_err().status(), Some(503));
    assert_eq!(seen.lock().unwrap().len(), 2);
    let (client, seen) = server([busy("3600")]).await;
    let error = client.list_streams("app_1").await.unwrap_err();
    assert_eq!(error.problem().unwrap().retry_after, Some(Duration::from_secs(3600)));
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_told_at_once() {
    let not_found =
        json!({"status": 404, "code": "not_found", "detail": "there is nothing here", "request_id": "req_1"});
    let (client, seen) = server([
        (StatusCode::NOT_FOUND, not_found.to_string()).into_response(),
        ok(json!({"hello": "I am not Angarium"})),
        (StatusCode::BAD_GATEWAY, "<html>").into_response(),
    ])
    .await;
    let client = client.with_retry(Retry::NEVER);
    let error = client.show_group("app_1", "events", "g").await.unwrap_err();
    assert_eq!((error.status(), error.code()), (Some(404), Some("not_found")));
    assert!(matches!(client.list_streams("app_1").await, Err(Error::Unreadable { .. })));
    let error = client.list_streams("app_1").await.unwrap_err().to_string();
    assert!(error.ends_with("answered without saying why (HTTP 502)"), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 3);
    // Nothing listens there.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(&url, None).unwrap().with_retry(Retry::NEVER);
    let error = client.health().await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("no answer from {url}: ")) && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn streams_are_read_by_cursor_and_by_group() {
    let record = json!({"cursor": "c2", "at": "2026-01-01T00:00:00.000Z", "data": {"n": 1.10}});
    let (client, seen) = server([
        ok(json!({"items": [{"stream": "events", "records": 2, "bytes": 10, "oldest": "c1", "groups": [{"group": "cli", "lag": 2}]}]})),
        ok(json!({"items": [record], "next": "c2"})),
        ok(json!({"items": [record], "cursor": "c2", "lag": 1})),
        ok(json!({"cursor": "c2", "lag": 0})),
        ok(json!({"group": "g/1", "stream": "events", "cursor": null, "lag": 7})),
    ])
    .await;
    let streams = client.list_streams("app_1").await.unwrap();
    assert_eq!((streams[0].records, &streams[0].more["oldest"]), (2, &json!("c1")));
    assert_eq!(streams[0].groups, [GroupLag { group: "cli".into(), lag: 2 }]);
    let read = ReadRecords { after: Some("c&1".into()), limit: Some(5), wait: Some(Duration::from_secs(20)) };
    let page = client.read_records("app_1", "events", &read).await.unwrap();
    assert_eq!((page.items[0].data.get(), page.next.as_str()), ("{\"n\":1.1}", "c2"));
    let poll = PollGroup { max: 3, wait: Duration::ZERO, consumer: Some("me".into()) };
    let batch = client.poll_group("app_1", "events", "g/1", &poll).await.unwrap();
    assert_eq!((batch.items.len(), batch.lag), (1, 1));
    let group = client.commit_group("app_1", "events", "g/1", "c2", Some("me")).await.unwrap();
    assert_eq!((group.group.as_str(), group.cursor.as_deref(), group.lag), ("g/1", Some("c2"), 0));
    assert_eq!(client.show_group("app_1", "events", "g/1").await.unwrap().lag, 7);
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "GET /v1/apps/app_1/streams Bearer ang_sk_1 */* ",
            "GET /v1/apps/app_1/streams/events/records?after=c%261&limit=5&wait=20s Bearer ang_sk_1 */* ",
            "POST /v1/apps/app_1/streams/events/groups/g%2F1/poll Bearer ang_sk_1 application/json \
             {\"max\":3,\"wait\":\"0s\",\"consumer\":\"me\"}",
            "POST /v1/apps/app_1/streams/events/groups/g%2F1/commit Bearer ang_sk_1 application/json \
             {\"cursor\":\"c2\",\"consumer\":\"me\"}",
            "GET /v1/apps/app_1/streams/events/groups/g%2F1 Bearer ang_sk_1 */* ",
        ]
    );
}

#[tokio::test]
async fn apps_are_listed_to_the_last_page_and_health_is_an_answer_when_sick() {
    let app = |id: &str| json!({"id": id, "name": "Shop", "bundle_id": "com.acme.shop", "created_at": "2026-01-01T00:00:00.000Z"});
    let (client, seen) = server([
        ok(json!({"items": [app("app_1")], "next": "c1"})),
        ok(json!({"items": [app("app_2")], "next": null})),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "sick", "parts": {"db": {"status": "sick"}}}).to_string(),
        )
            .into_response(),
    ])
    .await;
    let apps = client.list_apps().await.unwrap();
    assert_eq!(apps.iter().map(|app| app.id.as_str()).collect::<Vec<_>>(), ["app_1", "app_2"]);
    let health = client.health().await.unwrap();
    assert_eq!((health.ready, health.parts["db"].status.as_str()), (false, "sick"));
    assert!(seen.lock().unwrap()[1].starts_with("GET /v1/apps?limit=1000&after=c1 "));
}

fn app(id: &str) -> Value {
    json!({"id": id, "name": "Shop", "bundle_id": "com.acme.shop", "truncate_addresses": false, "cors_origins": [],
           "created_at": "2026-01-01T00:00:00.000Z"})
}

fn refused(status: u16, code: &str) -> Response {
    let problem = json!({"status": status, "code": code, "detail": "no"}).to_string();
    (StatusCode::from_u16(status).unwrap(), [("retry-after", "0")], problem).into_response()
}

#[tokio::test]
async fn what_is_made_is_made_once_however_often_it_is_sent() {
    let (client, seen) = server([
        busy("0"),
        refused(409, "idempotency_key_in_flight"),
        ok(app("app_1")),
        refused(409, "bundle_id_taken"),
        ok(app("app_2")),
    ])
    .await;
    let new = NewApp { name: "Shop".into(), bundle_id: "com.acme.shop".into() };
    assert_eq!(client.create_app(&new, None).await.unwrap().id, "app_1");
    assert_eq!(client.create_app(&new, None).await.unwrap_err().code(), Some("bundle_id_taken"));
    client.create_app(&new, Some("order-17")).await.unwrap();
    let seen = seen.lock().unwrap().clone();
    let keys: Vec<&str> = seen.iter().map(|line| line.rsplit_once(" once=").unwrap().1).collect();
    assert_eq!((keys[0], keys[0]), (keys[1], keys[2]), "the same call has the same key");
    assert_ne!(keys[0], keys[3], "another call has another one");
    assert_eq!(keys[4], "order-17");
    let call =
        "POST /v1/apps Bearer ang_sk_1 application/json {\"name\":\"Shop\",\"bundle_id\":\"com.acme.shop\"} ";
    assert!(seen.iter().all(|line| line.starts_with(call)), "{seen:?}");
    let error = client.create_app(&new, Some("a\nb")).await.unwrap_err();
    assert!(matches!(error, Error::Setup(_)), "{error}");
}

#[tokio::test]
async fn what_was_deleted_by_a_call_without_an_answer_is_deleted() {
    let gone = || refused(404, "not_found");
    let (client, seen) = server([busy("0"), gone(), gone(), refused(429, "rate_limited"), gone()]).await;
    client.delete_key("app_1", "key_1").await.unwrap();
    assert_eq!(client.delete_grant("app_1", "grt_1").await.unwrap_err().status(), Some(404));
    let error = client.delete_app("app_1").await.unwrap_err();
    assert_eq!(error.status(), Some(404), "who was turned away has done nothing");
    assert_eq!(
        *seen.lock().unwrap(),
        ["keys/key_1", "keys/key_1", "grants/grt_1", "", ""].map(|rest| {
            let path = format!("/v1/apps/app_1/{rest}");
            format!("DELETE {} Bearer ang_sk_1  ", path.trim_end_matches('/'))
        })
    );
}

#[tokio::test]
async fn grants_keys_and_the_audit_are_sent_and_read_as_the_api_has_them() {
    let grant = json!({"id": "grt_1", "email": null, "subject": "u1", "issuer": "https://i", "tenant": null,
        "role": "sender", "created_at": "2026-01-01T00:00:00.000Z", "created_by": "console"});
    let key = json!({"id": "key_1", "name": "ci", "role": "ingest", "hint": "ang_wk_1234", "expires_at": null,
        "created_at": "2026-01-01T00:00:00.000Z", "last_used_at": null});
    let mut made = key.clone();
    made["key"] = "ang_wk_secret".into();
    let entry = json!({"id": "aud_1", "at": "2026-01-01T00:00:00.000Z", "actor": {"kind": "console"},
        "address": null, "request_id": null, "action": "keys.create",
        "target": {"kind": "key", "id": "key_1"}, "changes": {"role": "ingest"}});
    let (client, seen) = server([
        ok(grant.clone()),
        ok(grant.clone()),
        ok(made.clone()),
        ok(made.clone()),
        ok(json!({"items": [key], "next": null})),
        ok(json!({"items": [entry], "next": "caudit-1"})),
        ok(app("app_1")),
    ])
    .await;
    let new =
        NewGrant { email: None, subject: Some("u1".into()), issuer: None, tenant: None, role: Role::Sender };
    let given = client.create_grant("app_1", &new, Some("1")).await.unwrap();
    assert_eq!(serde_json::to_value(&given).unwrap(), grant, "nothing of the API's JSON is lost");
    client.change_grant("app_1", "grt_1", Role::Viewer).await.unwrap();
    let new = NewKey { name: "ci".into(), role: Role::Ingest, expires_at: None };
    let created = client.create_key("app_1", &new, Some("2")).await.unwrap();
    assert_eq!(serde_json::to_value(&created).unwrap(), made);
    assert!(!format!("{created:?}").contains("secret"), "a secret is in no log");
    client.rotate_key("app_1", "key_1", Some(Duration::from_millis(1_500)), Some("3")).await.unwrap();
    assert_eq!(serde_json::to_value(client.list_keys("app_1").await.unwrap()).unwrap(), json!([key]));
    let page = client.list_audit("app_1", Some("caudit-0"), Some(1)).await.unwrap();
    assert_eq!(serde_json::to_value(&page).unwrap(), json!({"items": [entry], "next": "caudit-1"}));
    let change = AppChange { cors_origins: Some(Vec::new()), ..AppChange::default() };
    client.change_app("app_1", &change).await.unwrap();
    let json = "Bearer ang_sk_1 application/json";
    assert_eq!(
        *seen.lock().unwrap(),
        [
            format!("POST /v1/apps/app_1/grants {json} {{\"subject\":\"u1\",\"role\":\"sender\"}} once=1"),
            format!("PATCH /v1/apps/app_1/grants/grt_1 {json} {{\"role\":\"viewer\"}}"),
            format!("POST /v1/apps/app_1/keys {json} {{\"name\":\"ci\",\"role\":\"ingest\"}} once=2"),
            format!("POST /v1/apps/app_1/keys/key_1/rotate {json} {{\"overlap\":\"1500ms\"}} once=3"),
            "GET /v1/apps/app_1/keys?limit=1000 Bearer ang_sk_1 */* ".to_owned(),
            "GET /v1/apps/app_1/audit?after=caudit-0&limit=1 Bearer ang_sk_1 */* ".to_owned(),
            format!("PATCH /v1/apps/app_1 {json} {{\"cors_origins\":[]}}"),
        ]
    );
}

#[tokio::test]
async fn a_live_feed_gives_records_and_gaps_and_remembers_its_place() {
    let feed = ": hi\n\nid: c5\ndata: {\"stream\":\"events\",\"cursor\":\"c5\",\"at\":\"2026-01-01T00:00:00.000Z\",\"data\":{}}\n\n\
                event: news\ndata: to come\n\nevent: gap\ndata: {\"gap\":3,\"cursor\":\"c8\"}\nid: c8\n\n";
    let forbidden = json!({"status": 403, "code": "forbidden", "detail": "no"}).to_string();
    let (client, seen) =
        server([feed.into_response(), (StatusCode::FORBIDDEN, forbidden).into_response()]).await;
    let query = LiveQuery {
        streams: vec!["events".into(), "messages".into()],
        event_type: Some("a".into()),
        after: Some("c4".into()),
    };
    let mut feed = client.live("app_1", &query).await.unwrap();
    assert_eq!(feed.cursor(), Some("c4"));
    let Some(LiveFrame::Record(record)) = feed.next().await.unwrap() else { panic!("a record comes first") };
    assert_eq!((record.stream.as_str(), feed.cursor()), ("events", Some("c5")));
    let Some(LiveFrame::Gap(gap)) = feed.next().await.unwrap() else { panic!("then a gap") };
    assert_eq!((gap.gap, feed.cursor()), (3, Some("c8")));
    assert!(feed.next().await.unwrap().is_none());
    assert_eq!(client.live("app_1", &query).await.err().unwrap().code(), Some("forbidden"));
    assert_eq!(
        seen.lock().unwrap()[0],
        "GET /v1/apps/app_1/live?streams=events%2Cmessages&type=a&after=c4 Bearer ang_sk_1 text/event-stream "
    );
}

#[tokio::test]
async fn dead_letters_and_redrives_are_sent_and_read_as_the_api_has_them() {
    let letter = json!({
        "id": "dead_1", "kind": "message", "code": "refused", "reason": "no", "attempts": 3,
        "first_at": "2026-01-01T00:00:00.000Z", "last_at": "2026-01-01T00:00:01.000Z", "source": "msg_1",
        "link": "/m", "media_type": "application/json", "size_bytes": 9,
    });
    let whole = format!("{},\"body\":{{\"n\": 1.50}}}}", letter.to_string().trim_end_matches('}'));
    let redriven = json!({ "id": "dead_1", "kind": "message", "source": "msg_1", "link": "/m" });
    let run = json!({
        "id": "rdr_1", "state": "running", "kind": "message", "code": null, "source": null, "from": null, "to": null,
        "rate": 50, "max": null, "matched": 2, "redriven": 1, "failed": 0,
        "started_at": "2026-01-01T00:00:00.000Z", "ended_at": null,
    });
    let (client, seen) = server([
        ok(json!({ "items": [letter], "next": "cletters-2" })),
        whole.clone().into_response(),
        ok(redriven.clone()),
        ok(json!({ "matches": 2 })),
        ok(run.clone()),
        ok(json!({ "items": [run], "next": null })),
        ok(run.clone()),
        StatusCode::NO_CONTENT.into_response(),
    ])
    .await;
    let filter = DeadLetterFilter { kind: Some("message".into()), ..DeadLetterFilter::default() };
    let page = client.list_dead_letters("app_1", &filter, Some("cletters-1"), Some(1)).await.unwrap();
    assert_eq!(serde_json::to_value(&page.items).unwrap(), json!([letter]));
    let shown = client.show_dead_letter("app_1", "dead_1").await.unwrap();
    assert_eq!(shown.body.unwrap().get(), "{\"n\": 1.50}", "an original is given out as it came");
    let one = client.redrive_dead_letter("app_1", "dead_1", Some("1")).await.unwrap();
    assert_eq!(serde_json::to_value(&one).unwrap(), redriven);
    assert_eq!(client.count_dead_letters("app_1", &filter).await.unwrap(), 2);
    let pace = RedrivePace { rate: Some(50), max: None };
    let asked = client.redrive_dead_letters("app_1", &filter, &pace, Some("2")).await.unwrap();
    assert_eq!(serde_json::to_value(&asked).unwrap(), run);
    assert_eq!(client.list_redrives("app_1").await.unwrap(), std::slice::from_ref(&asked));
    assert_eq!(client.stop_redrive("app_1", "rdr_1").await.unwrap(), asked);
    client.delete_dead_letter("app_1", "dead_1").await.unwrap();
    let (letters, json) = ("/v1/apps/app_1/dead-letters", "Bearer ang_sk_1 application/json");
    assert_eq!(
        *seen.lock().unwrap(),
        [
            format!("GET {letters}?kind=message&after=cletters-1&limit=1 Bearer ang_sk_1 */* "),
            format!("GET {letters}/dead_1 Bearer ang_sk_1 */* "),
            format!("POST {letters}/dead_1/redrive {json} {{}} once=1"),
            format!("POST {letters}/redrive {json} {{\"kind\":\"message\",\"dry_run\":true}}"),
            format!(
                "POST {letters}/redrive {json} {{\"kind\":\"message\",\"dry_run\":false,\"rate\":50}} once=2"
            ),
            format!("GET {letters}/redrives?limit=1000 Bearer ang_sk_1 */* "),
            format!("POST {letters}/redrives/rdr_1/stop {json} {{}}"),
            format!("DELETE {letters}/dead_1 Bearer ang_sk_1  "),
        ]
    );
}
