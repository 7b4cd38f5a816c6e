//! The internal listener: what an operator's network asks, without a key; and where `/metrics` is without one.

use crate::{operations::no_more_connections, wire::Wire};
use angarium_suite::{
    Reply, Setup, World, angarium,
    caller::{client_with, read},
    embedded_only, eventually, run, tls_client,
};
use serde_json::Value;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};

async fn world_with(http: &str) -> World {
    World::start_as(Setup {
        config: format!("[http]\n{http}"),
        arguments: vec!["--internal".into(), "127.0.0.1:0".into()],
        ..embedded_only("the listener is the same on every engine")
    })
    .await
}

fn internal_url(world: &World) -> String {
    world.ready()["internal_url"].as_str().expect("the ready line names it").to_owned()
}

/// Asks the internal listener, with no key.
async fn ask(world: &World, path: &str) -> Reply {
    try_ask(world, path).await.expect("the internal listener answers")
}

async fn try_ask(world: &World, path: &str) -> reqwest::Result<Reply> {
    let http = client_with(tls_client("", None, &[]));
    read(http.get(format!("{}{path}", internal_url(world)))).await
}

#[tokio::test]
async fn the_internal_listener_asks_nobody_who_they_are() {
    let world = world_with("").await;
    assert_eq!(ask(&world, "/health/live").await.status, 200);
    assert_eq!(ask(&world, "/health/ready").await.json()["status"], "ready");
    let metrics = ask(&world, "/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("\nangarium_store_healthy 1\n"), "{}", metrics.text());
    let processes = ask(&world, "/v1/processes").await;
    assert_eq!(processes.status, 200, "{}", processes.text());
    assert_eq!(processes.json()["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(world.open("/v1/processes").await.status, 401, "the main listener does");
    let status = run(angarium(&["status", "--url", &internal_url(&world)])).await;
    assert!(status.printed().contains("ready"), "a probe can be a command");
}

#[tokio::test]
async fn the_internal_listener_serves_nothing_else() {
    let world = world_with("").await;
    for path in ["/", "/kafidx", "/t/hello?from=test", "/v1/apps", "/docs/errors", "/healthcheck"] {
        let answer = ask(&world, path).await;
        assert_eq!((answer.status, &*answer.code()), (404, "not_found"), "{path}");
    }
    let app = format!("{}/v1/apps/{}", internal_url(&world), world.app());
    let asked = world.http().get(app).bearer_auth(world.secret_key());
    assert_eq!(read(asked).await.expect("an answer").status, 404, "a key opens nothing here");
    let posted = world.http().post(format!("{}/metrics", internal_url(&world)));
    assert_eq!(read(posted).await.expect("an answer").status, 405);
    assert!(world.all_events().await.is_empty());
}

#[tokio::test]
async fn with_an_internal_listener_the_main_one_has_no_metrics() {
    let world = world_with("").await;
    let known_by_nobody = problem(world.open("/metrics-or-so").await);
    assert_eq!(problem(world.open("/metrics").await), known_by_nobody);
    let keyed = world.http().get(format!("{}/metrics", world.url())).bearer_auth(world.secret_key());
    assert_eq!(problem(read(keyed).await.expect("an answer")), known_by_nobody);
    let posted = world.http().post(format!("{}/metrics", world.url()));
    assert_eq!(problem(read(posted).await.expect("an answer")), known_by_nobody);
    for path in ["/%6Detrics", "/metrics/", "//metrics", "/metrics?a=b"] {
        assert_eq!(world.open(path).await.status, 404, "{path}");
    }
    assert_eq!(world.open("/health/ready").await.status, 200, "health is for load balancers too");
}

/// A problem document but for what is of one request.
fn problem(answer: Reply) -> (u16, Value) {
    let mut problem = answer.json();
    problem["request_id"].take();
    (answer.status, problem)
}

#[tokio::test]
async fn the_internal_listener_says_that_the_server_stops_until_it_has() {
    let mut world = world_with("drain = \"1h\"").await;
    let mut wire = Wire::open(&world).await;
    let (app, key) = (world.app(), world.secret_key());
    wire.send(format!(
        "POST /v1/apps/{app}/events HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{{\"type\""
    ))
    .await;
    let what = "the request is under way";
    let under_way = async || {
        let metrics = ask(&world, "/metrics").await.text();
        metrics.contains("\nangarium_http_requests_in_flight 2\n").then_some(())
    };
    eventually(what, under_way).await;
    world.ask_to_stop();
    no_more_connections(&world).await;
    let ready = ask(&world, "/health/ready").await;
    assert_eq!((ready.status, &ready.json()["parts"]["http"]["status"]), (503, &"stopping".into()));
    wire.send(":\"a\"}").await;
    let answer = wire.rest().await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(world.end().await.code(), Some(0), "{}", world.stderr());
    assert!(try_ask(&world, "/health/live").await.is_err(), "it ends with the process");
}

#[tokio::test]
async fn an_address_that_everybody_reaches_shows_no_metrics_and_says_where_they_are() {
    let temp = tempfile::tempdir().expect("temporary folders can be made");
    let mut command = tokio::process::Command::from(angarium(&["serve", "--json", "--listen", "0.0.0.0:0"]));
    command.arg("--data-dir").arg(temp.path().join("data")).kill_on_drop(true);
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it can be started");
    let mut lines = BufReader::new(server.stdout.take().expect("it was piped")).lines();
    let ready = lines.next_line().await.expect("it can be read").expect("a line says it is ready");
    let ready: Value = serde_json::from_str(&ready).expect("--json prints JSON");
    assert_eq!(ready["internal_url"], Value::Null);
    let url = ready["url"].as_str().expect("the ready line has a URL");
    let http = client_with(tls_client("", None, &[]));
    let answer = read(http.get(format!("{url}/metrics"))).await.expect("an answer");
    assert_eq!((answer.status, &*answer.code()), (404, "not_found"));
    assert!(answer.text().contains("http.internal"), "{}", answer.text());
    server.kill().await.expect("it can be killed");
}

#[tokio::test]
async fn an_internal_address_that_is_taken_or_none_is_named() {
    let world = world_with("").await;
    let url = internal_url(&world);
    let taken = url.trim_start_matches("http://");
    for (address, code, named) in [
        (taken, 1, format!("{taken} cannot be listened on")),
        ("inside", 2, "http.internal is an address".into()),
    ] {
        let mut command =
            angarium(&["serve", "--listen", "127.0.0.1:0", "--internal", address, "--data-dir"]);
        command.arg(world.temp_dir().join("other"));
        let ran = run(command).await;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.contains(&named), "{ran:?}");
    }
}
