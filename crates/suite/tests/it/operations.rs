//! What an operator does: start, configure, watch, stop. It works as the manual says, and says in words what does not.

use crate::wire::Wire;
use angarium_suite::{Keys, Ran, Setup, World, angarium, embedded_only, eventually, run};
use serde_json::{Value, json};
use std::{collections::HashMap, os::unix::fs::PermissionsExt, path::Path, time::Duration};

const EVENT: &str = r#"{"type":"slow","params":{"n":1}}"#;

/// A request whose body is not there yet: the server waits for the rest.
async fn slow_request(world: &World) -> Wire {
    let mut wire = Wire::open(world).await;
    let head = format!(
        "POST /v1/apps/{}/events HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        world.app(),
        world.secret_key(),
        EVENT.len()
    );
    wire.send(&head).await;
    wire.send(&EVENT[..5]).await;
    let what = "the request is under way";
    eventually(what, async || (metric(world, "angarium_http_requests_in_flight").await >= 2.0).then_some(()))
        .await;
    wire
}

pub async fn no_more_connections(world: &World) {
    let url = world.url();
    let address = url.rsplit('/').next().expect("a URL has an address");
    let what = "new connections are refused";
    eventually(what, async || tokio::net::TcpStream::connect(address).await.is_err().then_some(())).await;
}

#[tokio::test]
async fn a_stop_lets_what_is_under_way_finish() {
    let mut world = World::start().await;
    let mut wire = slow_request(&world).await;
    world.ask_to_stop();
    no_more_connections(&world).await;
    wire.send(&EVENT[5..]).await;
    let answer = wire.rest().await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(world.end().await.code(), Some(0), "{}", world.stderr());
    world.restart().await;
    assert_eq!(world.all_events().await.len(), 1);
}

#[tokio::test]
async fn a_stop_waits_for_the_slow_only_as_long_as_configured() {
    let mut world = World::start_with("[http]\ndrain = \"300ms\"").await;
    let wire = slow_request(&world).await;
    assert_eq!(world.terminate().await.code(), Some(0), "{}", world.stderr());
    assert!(world.stderr().contains("still busy"), "{}", world.stderr());
    drop(wire);
    world.restart().await;
    assert!(world.all_events().await.is_empty(), "half a request is no event");
}

#[tokio::test]
async fn a_second_wish_to_stop_ends_it_at_once() {
    let mut world = World::start_with("[http]\ndrain = \"1h\"").await;
    let _wire = slow_request(&world).await;
    world.ask_to_stop();
    no_more_connections(&world).await;
    assert_eq!(world.terminate().await.code(), Some(1), "{}", world.stderr());
    assert!(world.stderr().contains("asked twice"), "{}", world.stderr());
}

#[tokio::test]
async fn whoever_only_watches_does_not_hold_up_a_stop() {
    let mut world = World::start_with("[http]\ndrain = \"1h\"").await;
    let mut wires = Vec::new();
    for (rest, more) in [
        ("live", "Accept: text/event-stream\r\n"),
        (
            "live",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ),
        ("streams/events/records?wait=20s", ""),
    ] {
        let mut wire = Wire::open(&world).await;
        let (app, key) = (world.app(), world.secret_key());
        wire.send(&format!(
            "GET /v1/apps/{app}/{rest} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\n{more}\r\n"
        ))
        .await;
        wires.push(wire);
    }
    // An idle connection that is kept alive.
    let mut wire = Wire::open(&world).await;
    wire.send("GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert!(wire.some().await.starts_with("HTTP/1.1 200 "));
    wires.push(wire);
    for (wire, status) in wires.iter_mut().zip(["200", "101"]) {
        let head = wire.some().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    assert_eq!(world.terminate().await.code(), Some(0), "{}", world.stderr());
}

#[tokio::test]
async fn a_second_server_on_a_data_directory_is_refused() {
    let world = World::start_as(embedded_only("on PostgreSQL several processes are welcome")).await;
    let ran = serve(world.data_dir(), &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("another process has the data directory"), "{ran:?}");
    assert_eq!(world.open("/health/ready").await.status, 200, "the first does not notice");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let world = World::start().await;
    let address = world.url().replace("http://", "");
    let ran = serve(&world.temp_dir().join("other"), &["--listen", &address]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(&format!("{address} cannot be listened on")), "{ran:?}");
}

/// Runs a server that is expected to end by itself.
async fn serve(data_dir: &Path, more: &[&str]) -> Ran {
    let mut command = angarium(&["serve", "--data-dir"]);
    command.arg(data_dir);
    if !more.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(more);
    run(command).await
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_wrong_usage_and_names_the_key() {
    let temp = tempfile::tempdir().expect("temporary folders can be made");
    let file = temp.path().join("angarium.toml");
    let path = file.to_str().expect("a path is text");
    for (config, named) in [
        ("[http]\nlistne = \"127.0.0.1:0\"", "listne"),
        ("colour = \"blue\"", "colour"),
        ("[log]\nlevel = \"loud\"", "log.level"),
        ("[http]\nbody_timeout = \"soon\"", "body_timeout"),
        ("[http]\nbody_bytes = \"many\"", "body_bytes"),
        ("[tracking]\ngeoip = \"/nowhere/at/all.mmdb\"", "tracking.geoip /nowhere/at/all.mmdb"),
        ("[http", "angarium.toml: line 1, column 6"),
    ] {
        std::fs::write(&file, config).expect("it can be written");
        let check = run(angarium(&["config", "check", "--config", path])).await;
        let start = serve(&temp.path().join("data"), &["--config", path]).await;
        for ran in [check, start] {
            assert_eq!(ran.code, Some(2), "{config}: {ran:?}");
            assert!(ran.stderr.contains(named), "{config}: {ran:?}");
            assert_eq!(ran.stdout, "", "{config}");
        }
        assert!(!temp.path().join("data").exists(), "{config}: a data directory was made");
    }
    let mut misspelt = angarium(&["config", "check"]);
    misspelt.env("ANGARIUM_HTTP__LISTNE", "127.0.0.1:0");
    let ran = run(misspelt).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("listne"), "{ran:?}");
}

#[tokio::test]
async fn the_configuration_in_force_can_be_shown_and_used_again() {
    let temp = tempfile::tempdir().expect("temporary folders can be made");
    let file = temp.path().join("angarium.toml");
    std::fs::write(&file, "[http]\nevent_bytes = 4096\ndrain = \"5m\"\n[retention.events]\nage = \"30d\"\n")
        .expect("it can be written");
    let show = async |more: &[&str]| {
        let mut command = angarium(&["config", "show", "--config"]);
        command.arg(&file).args(more).env("ANGARIUM_LIVE__READERS", "7");
        run(command).await.printed()
    };
    let shown: Value = serde_json::from_str(&show(&["--json"]).await).expect("--json prints JSON");
    assert_eq!(shown["http"]["event_bytes"], 4096);
    assert_eq!(shown["live"]["readers"], 7, "a variable counts more than the file");
    assert_eq!(shown["http"]["drain"], "5m");
    assert_eq!(shown["retention"]["events"]["age"], "30d");
    assert_eq!(shown["log"]["level"], "info");

    let text = show(&[]).await;
    std::fs::write(&file, &text).expect("it can be written");
    assert_eq!(show(&[]).await, text, "what is shown is a configuration");
    let checked =
        run(angarium(&["config", "check", "--config", file.to_str().expect("a path is text")])).await;
    assert!(checked.printed().contains("valid"));
}

#[tokio::test]
async fn keys_are_shown_once_and_kept_for_the_owner_alone() {
    let mut world = World::start().await;
    let file = world.data_dir().join("first-start.json");
    let mode = std::fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept: Value =
        serde_json::from_slice(&std::fs::read(&file).expect("it can be read")).expect("it is JSON");
    for key in ["app", "secret_key", "write_key"] {
        assert_eq!(kept[key], world.ready()[key], "{key}");
    }
    world.restart().await;
    assert_eq!(*world.ready(), json!({"url": world.url(), "internal_url": null}));
    assert_eq!(world.get("").await.status, 200, "the key is good after a restart");
    let mut stored = Vec::new();
    read_all_but(&file, world.data_dir(), &mut stored);
    for key in [world.secret_key(), world.write_key()] {
        let is_there = stored.windows(key.len()).any(|bytes| bytes == key.as_bytes());
        assert!(!is_there, "the store has only a hash of a key");
    }
}

#[tokio::test]
async fn the_files_of_a_folder_that_others_can_enter_are_their_owners_alone() {
    let temp = tempfile::tempdir().expect("temporary folders can be made");
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    set(temp.path(), 0o755);
    let on_it = embedded_only("it is about the files of the folder");
    let mut world = World::start_as(Setup { data_dir: Some(temp.path().into()), ..on_it }).await;
    for entry in std::fs::read_dir(temp.path()).expect("it is there").flatten() {
        let mode = entry.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}: {mode:o}", entry.file_name());
    }
    let said = |log: &str| log.contains("is not its owner's alone") && log.contains("local-issuer.json");
    assert!(!said(&world.stderr()), "{}", world.stderr());
    set(&temp.path().join("local-issuer.json"), 0o644);
    world.restart().await;
    assert!(said(&world.stderr()), "{}", world.stderr());
}

#[tokio::test]
async fn a_first_start_that_dies_leaves_no_app_without_its_keys() {
    let mut world = World::start_as(embedded_only("it is about a file of the folder")).await;
    let (file, mine) =
        (world.data_dir().join("first-start.json"), format!("first-start-{}.json", world.app()));
    let waiting = world.data_dir().join(mine);
    let kept = std::fs::read(&file).expect("it is there");
    // Killed between the commit and the name.
    world.kill();
    std::fs::rename(&file, &waiting).expect("it can be renamed");
    world.restart().await;
    assert_eq!(std::fs::read(&file).expect("the next start gives it its name"), kept);
    assert!(!waiting.exists());

    // Keys that never were in the store; and a folder that has lost its file.
    world.kill();
    let never = world.data_dir().join("first-start-app_01ARZ3NDEKTSV4RRFFQ69G5FAV.json");
    std::fs::rename(&file, &never).expect("it can be renamed");
    world.restart().await;
    assert!(!never.exists() && !file.exists(), "nobody takes them for keys");
    assert!(
        world.stderr().contains("`angarium admin keys create --app default.app.local"),
        "{}",
        world.stderr()
    );
}

#[tokio::test]
async fn whenever_a_first_start_is_killed_the_next_one_has_keys() {
    for at in 0..12 {
        let temp = tempfile::tempdir().expect("temporary folders can be made");
        let data_dir = temp.path().join("data");
        let mut command = tokio::process::Command::new(angarium(&[]).get_program());
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data_dir);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).kill_on_drop(true);
        let mut killed = command.spawn().expect("it can be started");
        // Where in its start it is then differs from run to run.
        let _ = tokio::time::timeout(Duration::from_millis(30 + 20 * at), killed.wait()).await;
        killed.kill().await.expect("it is ours");

        let on_it =
            Setup { data_dir: Some(data_dir.clone()), ..embedded_only("it is about a file of the folder") };
        let file = data_dir.join("first-start.json");
        let world = World::start_as(Setup { keys: Some(Keys::nobodys()), ..on_it }).await;
        let kept = std::fs::read(&file).expect("a start leaves the keys");
        let kept: Value = serde_json::from_slice(&kept).expect("whole");
        let key = kept["secret_key"].as_str().expect("a key");
        let me = world.http().get(format!("{}/v1/me", world.url())).bearer_auth(key);
        assert_eq!(me.send().await.expect("an answer").status(), 200, "killed after {} ms", 30 + 20 * at);
    }
}

/// Every byte below a folder, but those of one file.
fn read_all_but(file: &Path, folder: &Path, bytes: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).expect("it can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_all_but(file, &path, bytes);
        } else if path != file {
            bytes.extend(std::fs::read(path).expect("it can be read"));
        }
    }
}

#[tokio::test]
async fn health_is_told_part_by_part() {
    let world = World::start().await;
    assert_eq!(world.open("/health/live").await.status, 200);
    let ready = world.open("/health/ready").await;
    assert_eq!(ready.status, 200);
    let ready = ready.json();
    assert_eq!(ready["status"], "ready");
    assert_eq!([&ready["parts"]["store"]["status"], &ready["parts"]["http"]["status"]], ["ready", "ready"]);
    let old = world.open("/healthcheck").await;
    assert_eq!((old.status, old.json()), (200, json!({"healthy": true})));
    let status = world.run(&["status", "--json"]).await.printed();
    let _: Value = serde_json::from_str(&status).expect("--json prints JSON");
}

/// Every sample of `/metrics`, by name and labels. The text must be OpenMetrics.
async fn metrics(world: &World) -> HashMap<String, f64> {
    let answer = world.open("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.header("content-type").starts_with("application/openmetrics-text"),
        "{:?}",
        answer.headers
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    let (mut samples, mut families) = (HashMap::new(), Vec::new());
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let name = family.split(' ').next().unwrap_or_default();
            assert!(!families.contains(&name), "{name} is there twice");
            families.push(name);
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line:?}"));
        let family = families.last().unwrap_or_else(|| panic!("no type: {line:?}"));
        assert!(name.starts_with(*family) && name.starts_with("angarium_"), "{line:?} stands under {family}");
        assert!(samples.insert(name.to_owned(), value).is_none(), "twice: {line:?}");
    }
    samples
}

/// One sample; 0 while it is not there.
pub async fn metric(world: &World, name: &str) -> f64 {
    metrics(world).await.get(name).copied().unwrap_or_default()
}

#[tokio::test]
async fn the_counters_move_with_what_happens() {
    let world = World::start().await;
    let before = metrics(&world).await;
    let body = "{\"type\":\"a\",\"id\":\"1\"}\n{\"type\":\"b\",\"id\":\"1\"}\n{\"type\":\"c\"}\nnonsense\n";
    let answer = world.post("/events", "application/x-ndjson", body).await;
    assert_eq!(answer.json()["accepted"], 2, "{}", answer.text());
    assert_eq!(world.open("/t/d").await.status, 204);
    let after = metrics(&world).await;
    let moved = |name: &str| {
        after.get(name).copied().unwrap_or_default() - before.get(name).copied().unwrap_or_default()
    };
    assert_eq!(moved("angarium_events_accepted_total"), 3.0, "{after:#?}");
    assert_eq!(moved("angarium_journal_records_total"), 3.0);
    assert_eq!(moved("angarium_journal_duplicates_total"), 1.0);
    assert!(moved("angarium_store_commits_total") >= 1.0);
    let rejected: f64 = after
        .keys()
        .filter(|name| name.starts_with("angarium_events_rejected_total"))
        .map(|name| moved(name))
        .sum();
    assert_eq!(rejected, 1.0);
    let requests: Vec<_> =
        after.keys().filter(|name| name.contains("route=\"/v1/apps/{app}/events\"")).collect();
    assert_eq!(requests.len(), 1, "a route is counted by its pattern: {requests:?}");
    let text = world.open("/metrics").await.text();
    assert!(!text.contains(world.app()) && !text.contains("ang_"), "a metric names an app or a key");
}

#[tokio::test]
async fn a_doctor_finds_what_is_wrong_and_says_so_by_its_exit_code() {
    let world = World::start_as(embedded_only("the doctor looks at a data directory")).await;
    let examine = async |arguments: &[&str]| {
        let ran = world.run(&[&["doctor", "--json"], arguments].concat()).await;
        let said: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        assert_eq!(ran.code, Some(if said["well"] == true { 0 } else { 1 }), "{ran:?}");
        let findings = said["findings"].as_array().cloned().expect("there are findings");
        let ill = findings.iter().filter(|finding| finding["well"] == false);
        // How fast the disk of the machine is that tests run on is not the matter here.
        let ill = ill.filter(|finding| finding["part"] != "disk");
        ill.map(|finding| finding["part"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let data_dir = world.data_dir().to_str().expect("a path is text");
    assert_eq!(examine(&["--data-dir", data_dir]).await, [""; 0]);
    let temp = world.temp_dir().to_str().expect("a path is text");
    assert_eq!(examine(&["--data-dir", temp]).await, ["data directory"]);
    assert_eq!(examine(&["--data-dir", data_dir, "--url", "http://127.0.0.1:9"]).await, ["server"]);
    assert_eq!(examine(&["--data-dir", data_dir, "--key", "ang_sk_wrong"]).await, ["key"]);
    let config = world.temp_dir().join("wrong.toml");
    std::fs::write(&config, "colour = \"blue\"").expect("it can be written");
    assert_eq!(examine(&["--config", config.to_str().expect("a path is text")]).await, ["configuration"]);
}

#[tokio::test]
async fn no_key_and_no_payload_is_in_the_log() {
    for format in ["text", "json"] {
        let setup =
            Setup { config: format!("[log]\nlevel = \"debug\"\nformat = \"{format}\""), ..Setup::default() };
        let mut world = World::start_as(setup).await;
        say_secrets_everywhere(&world).await;
        assert_eq!(world.terminate().await.code(), Some(0));
        let log = world.stderr();
        assert!(
            log.contains("answered") && log.contains("refused"),
            "the log is not the one that was asked for: {log}"
        );
        for secret in [world.secret_key(), world.write_key(), "MARKER", "ang_sk_", "ang_wk_"] {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} is in the {format} log");
        }
    }
}

/// Requests, good and bad, with a marker in every place that a caller's data can be.
async fn say_secrets_everywhere(world: &World) {
    let ok = json!({"type": "MARKER", "id": "MARKER", "device_id": "MARKER", "params": {"MARKER": "MARKER"}});
    let bodies = [
        ok.to_string(),
        ok.to_string() + "MARKER",
        r#"{"type":"MARKER","params":"MARKER"}"#.into(),
        r#"{"type":"MARKER x","MARKER":1}"#.into(),
        r#"{"type":"a","at":"MARKER","ip":"MARKER"}"#.into(),
        r#"{"type":"a","params":{"MARKER":MARKER}}"#.into(),
        r#"{"type":"a","params":{"MARKER":"\u0000"}}"#.into(),
        "MARKER".into(),
    ];
    for body in bodies {
        for content_type in
            ["application/json", "application/x-ndjson", "application/x-www-form-urlencoded", "MARKER"]
        {
            assert!(world.post("/events", content_type, body.clone()).await.status < 500);
        }
        let group = "/streams/events/groups/g/poll";
        assert!(world.post(group, "application/json", body.clone()).await.status < 500);
        assert!(world.patch("", &json!({"name": 1, "MARKER": body})).await.status < 500);
    }
    for rest in [
        "/streams/events/records?after=MARKER",
        "/streams/MARKER/records",
        "/events?type=MARKER&from=MARKER",
        "/MARKER",
    ] {
        assert!(world.get(rest).await.status < 500);
    }
    let write_key = world.write_key();
    for path in [
        "/t/MARKER?MARKER=MARKER".into(),
        "/t/MARKER%00?a=MARKER".into(),
        "/t/a?%FFMARKER=%F".into(),
        format!("/t/MARKER?write_key={write_key}&a=MARKER"),
        format!("/t/MARKER?write_key={write_key}MARKER"),
        "/MARKER".into(),
    ] {
        assert!(world.open(&path).await.status < 500);
    }
    for authorization in ["Bearer ang_sk_MARKER", "Basic TUFSS0VSOk1BUktFUg==", "MARKER MARKER"] {
        let call = world.http().get(world.path("")).header("Authorization", authorization);
        assert!(call.send().await.expect("the server answers").status().is_client_error());
    }
}
