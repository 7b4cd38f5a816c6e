//! The job that Angarium was first made for: what happened goes in, whole and once, and comes out as lines
//! that say who it was.

use crate::{
    browser::on_live_page,
    lines::{Line, lines},
};
use angarium_suite::{Servers, Setup, World, shared_data, skip};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{BufRead, BufReader},
    net::IpAddr,
    path::Path,
    process::Stdio,
};

const CONSUME: &[&str] = &["consume", "--stream", "events", "--format", "line"];
const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";

/// A log of 503 lines, of which 500 can be read: some come twice, and agents are as odd as they come.
struct Log {
    text: Vec<u8>,
    /// Parameters of its lines, and how often each comes.
    requests: HashMap<Vec<(String, String)>, u32>,
}

impl Log {
    fn new() -> Log {
        let agents = [
            CHROME,
            "-",
            "",
            "curl/8.5.0",
            r#"odd \"quoted\" agent with \\ and 100% <b>markup</b> & more"#,
            "Gülten/1.0 (日本語; 😀)",
            "() { :; }; echo hit",
        ];
        let (mut text, mut requests) = (Vec::new(), HashMap::new());
        for n in 0..500 {
            // Every tenth line is the one before it once more.
            let n = if n % 10 == 9 { n - 1 } else { n };
            let path = format!("/some/path-{n}?q=a%20b&n={n}");
            let (status, bytes) = (200 + n % 3, 1_000 + n);
            let agent = agents[n % agents.len()];
            let referrer = if n % 2 == 0 { "http://example.org/?a=b c&d" } else { "-" };
            let line = format!(
                "203.0.113.{} - - [17/May/2015:10:05:{:02} +0000] \"GET {path} HTTP/1.1\" {status} {bytes} \"{referrer}\" \"{agent}\"\n",
                n % 250,
                n % 60
            );
            text.extend(line.into_bytes());
            if n == 100 {
                text.extend(b"this is no line of a log\n\n\xff\xfe neither is this\n");
            }
            let mut params: Vec<(String, String)> = [
                ("method", "GET".into()),
                ("path", path),
                ("protocol", "HTTP/1.1".into()),
                ("status", status.to_string()),
                ("bytes", bytes.to_string()),
            ]
            .map(|(name, value): (&str, String)| (name.to_owned(), value))
            .into();
            if referrer != "-" {
                params.push(("referrer".into(), referrer.into()));
            }
            *requests.entry(params).or_default() += 1;
        }
        Log { text, requests }
    }
}

#[tokio::test]
async fn a_log_goes_in_once_and_comes_out_as_lines_once() {
    let world = World::start().await;
    let (log, file) = (Log::new(), world.temp_dir().join("access.log"));
    std::fs::write(&file, &log.text).expect("the log can be written");
    assert_eq!(import(&world, &file).await, [500, 0, 2]);
    assert_eq!(import(&world, &file).await, [0, 500, 2], "a second import adds nothing");

    let printed = world.run(CONSUME).await.printed();
    let lines = lines(&printed);
    let mut requests = HashMap::new();
    for line in &lines {
        assert_eq!(line.event_type, "http_request");
        *requests.entry(line.params.clone()).or_default() += 1;
    }
    assert_eq!(requests, log.requests, "every line of the log is there, as often as it came");
    let of_chrome = lines.iter().filter(|line| line.meta("browser") == "Chrome").count();
    assert_eq!(of_chrome, log_lines_with(&log.text, "Chrome/120"));
    let first = &lines[0];
    assert_eq!(
        [first.meta("type"), first.meta("version"), first.meta("os")],
        ["Desktop", "120.0", "Windows"]
    );
    assert_eq!(first.meta("ip"), "ffffcb007100");
    assert_eq!([first.meta("country"), first.meta("city")], ["XX", "XX"], "there is no database");

    assert_eq!(world.run(CONSUME).await.printed(), "", "what was consumed does not come again");
    assert_eq!(world.open("/t/late?a=1").await.status, 204);
    assert!(world.run(CONSUME).await.printed().starts_with("late "), "what is new does");
}

fn log_lines_with(log: &[u8], part: &str) -> usize {
    String::from_utf8_lossy(log).lines().filter(|line| line.contains(part)).count()
}

/// Imports a log: how many lines were imported, already there, and skipped.
async fn import(world: &World, file: &Path) -> [u64; 3] {
    let file = file.to_str().expect("its path is text");
    let printed = world.run(&["import", "access-log", "--json", file]).await.printed();
    let summary: Value = serde_json::from_str(&printed).expect("--json prints JSON");
    ["imported", "already_there", "skipped"].map(|member| summary[member].as_u64().expect("it is a number"))
}

#[tokio::test]
async fn ten_thousand_real_lines_go_in_once_and_come_out_once() {
    let Some(file) = shared_data("access.log") else {
        return skip("optional: there is no access.log in ../shared/data");
    };
    let world = World::start().await;
    let in_log =
        std::fs::read(&file).expect("the log can be read").iter().filter(|byte| **byte == b'\n').count();
    let [imported, already_there, skipped] = import(&world, &file).await;
    assert_eq!((imported + skipped, already_there), (in_log as u64, 0));
    assert!(skipped < 10, "{skipped} lines were skipped");
    assert_eq!(import(&world, &file).await, [0, imported, skipped]);
    let printed = world.run(CONSUME).await.printed();
    assert_eq!(lines(&printed).len() as u64, imported);
    assert_eq!(world.run(CONSUME).await.printed(), "");
}

#[tokio::test]
async fn what_a_closed_pipe_did_not_take_comes_again() {
    let world = World::start().await;
    let params = "x".repeat(500);
    let body = (0..1_000).fold(String::new(), |mut body, n| {
        let _ = writeln!(body, "{}", json!({"type": format!("n{n}"), "params": {"of": params}}));
        body
    });
    assert_eq!(world.post("/events", "application/x-ndjson", body).await.status, 202);

    // What `head -3` does: ten lines fit into the pipe, so all ten were taken.
    let few = [CONSUME, &["--max", "10"]].concat();
    assert_eq!(take_three(&world, &few).await, ["n0", "n1", "n2"]);
    // A whole batch does not fit: the pipe closes in the middle of it.
    assert_eq!(take_three(&world, CONSUME).await, ["n10", "n11", "n12"]);
    let printed = world.run(&few).await.printed();
    assert_eq!(types(&printed), (10..20).map(|n| format!("n{n}")).collect::<Vec<_>>());
    let printed = world.run(CONSUME).await.printed();
    assert_eq!(types(&printed), (20..1_000).map(|n| format!("n{n}")).collect::<Vec<_>>());
}

fn types(printed: &str) -> Vec<String> {
    lines(printed).into_iter().map(|line| line.event_type).collect()
}

/// Reads three lines of what a command prints, and closes the pipe. The types of these lines.
async fn take_three(world: &World, arguments: &[&str]) -> Vec<String> {
    let mut command = world.command(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started");
    let stdout = child.stdout.take().expect("it was piped");
    let read = move || BufReader::new(stdout).lines().take(3).collect::<Result<Vec<_>, _>>();
    let taken =
        tokio::task::spawn_blocking(read).await.expect("reading does not panic").expect("it prints lines");
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    let ended =
        tokio::time::timeout(angarium_suite::GUARD, ended).await.expect("it ends when its pipe is closed");
    let ended = ended.expect("waiting does not panic").expect("it can be waited for");
    assert!(
        ended.status.success(),
        "a closed pipe is no failure: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
    types(&(taken.join("\n") + "\n"))
}

#[tokio::test]
async fn an_address_in_the_database_has_a_country_and_a_city() {
    let (Some(database), Some(source)) =
        (shared_data("geoip-city-test.mmdb"), shared_data("geoip-city-test.json"))
    else {
        return skip("optional: there is no geo-IP database in ../shared/data");
    };
    let setup = Setup { arguments: vec!["--geoip".into(), database.into()], ..Setup::default() };
    let world = World::start_as(setup).await;
    let places = places(&std::fs::read_to_string(source).expect("it can be read"));
    assert!(places.iter().any(|(ip, place)| ip == "81.2.69.142" && *place == ["GB", "London"]));
    let event =
        |ip: &str, params: Value| json!({"type": "seen", "ip": ip, "params": params}).to_string() + "\n";
    let mut body: String = places.iter().map(|(ip, _)| event(ip, json!({"ip": ip}))).collect();
    body += &event("127.0.0.1", json!({"ip": "127.0.0.1"}));
    body += &event("81.2.69.142", json!({"ip": "not looked up", "$geoip_disable": true}));
    let answer = world.post("/events", "application/x-ndjson", body).await;
    assert_eq!(answer.json()["accepted"], places.len() as u64 + 2, "{}", answer.text());

    let printed = world.run(CONSUME).await.printed();
    let seen: Vec<Line> = lines(&printed);
    assert_eq!(seen.len(), places.len() + 2);
    let unknown = [("127.0.0.1", "XX", "XX"), ("not looked up", "XX", "XX")];
    let known = places.iter().map(|(ip, [country, city])| (ip.as_str(), country.as_str(), city.as_str()));
    for (line, (ip, country, city)) in seen.iter().zip(known.chain(unknown)) {
        assert_eq!((line.param("ip"), line.meta("country"), line.meta("city")), (ip, country, city));
    }
}

/// The first address of each network of the database's source, with country and city.
fn places(source: &str) -> Vec<(String, [String; 2])> {
    let source: Vec<serde_json::Map<String, Value>> =
        serde_json::from_str(source).expect("the source is JSON");
    let known = |value: &Value| value.as_str().unwrap_or("XX").to_owned();
    source
        .iter()
        .flatten()
        .map(|(network, place)| {
            let address = network.split('/').next().unwrap_or_default();
            let address = address.strip_prefix("::").filter(|rest| rest.contains('.')).unwrap_or(address);
            let ip: IpAddr = address.parse().expect("a network begins with an address");
            let place = [known(&place["country"]["iso_code"]), known(&place["city"]["names"]["en"])];
            (ip.to_string(), place)
        })
        .collect()
}

#[tokio::test]
async fn addresses_are_kept_as_the_app_wants_them() {
    let mut world = World::start().await;
    let send = async |world: &World, ip: &str| {
        let event = json!({"type": "seen", "ip": ip}).to_string();
        assert_eq!(world.post("/events", "application/json", event).await.status, 202);
        let records = world.all_events().await;
        records.last().expect("it is there")["data"]["meta"]["ip"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(send(&world, "81.2.69.142").await, "ffff5102458e");
    let answer = world.patch("", &json!({"truncate_addresses": true})).await;
    assert_eq!(
        (answer.status, &answer.json()["truncate_addresses"]),
        (200, &json!(true)),
        "{}",
        answer.text()
    );
    assert_eq!(send(&world, "81.2.69.142").await, "ffff51024500");
    assert_eq!(send(&world, "2001:db8:1234:5678::9").await, "20010db8123400000000000000000000");
    world.restart().await;
    assert_eq!(send(&world, "81.2.69.142").await, "ffff51024500", "the wish is kept");
    assert_eq!(world.patch("", &json!({"truncate_addresses": false})).await.status, 200);
    assert_eq!(send(&world, "81.2.69.142").await, "ffff5102458e");
}

#[tokio::test]
async fn only_a_trusted_proxy_says_whose_request_it_is() {
    for (config, expected) in [
        ("", "ffff7f000001"),
        ("[http]\ntrusted_proxies = [\"10.0.0.0/8\"]", "ffff7f000001"),
        ("[http]\ntrusted_proxies = [\"loopback\", \"10.0.0.0/8\"]", "ffffcb007109"),
    ] {
        let world = World::start_with(config).await;
        let call = world.http().get(format!("{}/t/seen", world.url()));
        let call = call.header("X-Forwarded-For", "6.6.6.6, 203.0.113.9, 10.0.0.2");
        assert_eq!(call.send().await.expect("the server answers").status(), 204);
        let records = world.all_events().await;
        assert_eq!(records[0]["data"]["meta"]["ip"], expected, "{config}");
    }
}

/// Two that take and show, two that work: the log goes in at the first and is seen at the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_goes_in_at_one_process_is_on_the_page_of_another_in_kafka_and_consumed_once() {
    if Servers::of_stack().is_none() {
        return skip("optional: several processes need the stack (`cargo xtask test --stack`)");
    }
    let with = |roles: &str| Setup {
        environment: vec![("ANGARIUM_ROLES".into(), roles.into())],
        ..Setup::default()
    };
    let [one, two] = World::start_together(with("api,live")).await;
    let _workers = [one.beside(with("worker,timer")).await, one.beside(with("worker,timer")).await];
    let Some(browser) = on_live_page(&two).await else { return };
    let file = shared_data("access.log").unwrap_or_else(|| {
        let file = one.temp_dir().join("access.log");
        std::fs::write(&file, Log::new().text).expect("the log can be written");
        file
    });
    let [imported, already_there, _] = import(&one, &file).await;
    assert_eq!(already_there, 0);
    browser.shows("#total", &imported.to_string()).await;
    assert_eq!(browser.text("#gaps").await, "0");

    // Which process a group is read through does not matter: it is one group.
    let printed = two.run(CONSUME).await.printed();
    assert_eq!(lines(&printed).len() as u64, imported);
    for world in [&one, &two] {
        assert_eq!(world.run(CONSUME).await.printed(), "");
    }
    #[cfg(feature = "kafka")]
    if let Some(brokers) = Servers::of_stack().and_then(|servers| servers.kafka) {
        let topic = format!("angarium.{}.events", one.app());
        let ids = tokio::task::spawn_blocking(move || ids_in_kafka(&brokers, &topic)).await;
        let ids = ids.expect("reading does not panic");
        let distinct: std::collections::HashSet<&Vec<u8>> = ids.iter().collect();
        assert_eq!((ids.len() as u64, distinct.len() as u64), (imported, imported), "records, and their ids");
    }
}

/// The header `id` of every record of a topic, by a client that knows nothing of the product.
#[cfg(feature = "kafka")]
fn ids_in_kafka(brokers: &str, topic: &str) -> Vec<Vec<u8>> {
    use angarium_suite::GUARD;
    use rdkafka::{
        ClientConfig, Message, Offset, TopicPartitionList,
        consumer::{BaseConsumer, Consumer},
        message::Headers,
    };
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "suite").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("librdkafka takes this");
    let (_, end) = consumer.fetch_watermarks(topic, 0, GUARD).expect("Kafka has the topic");
    let mut whole = TopicPartitionList::new();
    whole.add_partition_offset(topic, 0, Offset::Beginning).expect("it is an offset");
    consumer.assign(&whole).expect("it can be read");
    let mut ids = Vec::new();
    while (ids.len() as i64) < end {
        let record = consumer.poll(GUARD).expect("there is one more").expect("it can be read");
        let headers = record.headers().expect("a record has headers");
        let id = headers.iter().find(|header| header.key == "id").and_then(|header| header.value);
        ids.push(id.expect("a record has an id").to_vec());
    }
    ids
}
