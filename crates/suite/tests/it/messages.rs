//! Messages: any JSON, there once whatever dies, in an order that a reader can follow, and none in another's way.

use crate::fault::Clock;
use angarium_suite::{Reply, Servers, Setup, World, caller::read, eventually, is_long, note, skip};
use futures_util::{StreamExt, future::join_all};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::HashSet, os::unix::fs::MetadataExt, time::Duration};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// Everything in the list, page by page.
async fn list(world: &World, query: &str) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/messages?limit=1000&{query}{after}")).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        items.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return items,
        }
    }
}

async fn persisted(world: &World, wanted: usize) -> Vec<Value> {
    let what = format!("{wanted} messages are persisted");
    eventually(&what, async || {
        let items = list(world, "").await;
        (items.len() >= wanted).then_some(items)
    })
    .await
}

fn numbers(items: &[Value]) -> Vec<u64> {
    items.iter().filter_map(|item| item["body"]["n"].as_u64()).collect()
}

async fn send(world: &World, document: &Value) -> Value {
    let sent = world.post("/messages", JSON, document.to_string()).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
    sent.json()
}

async fn send_lines(world: &World, numbers: std::ops::Range<u64>) {
    let lines: String = numbers.map(|n| format!("{}\n", json!({ "n": n }))).collect();
    let sent = world.post("/messages", LINES, lines).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
}

async fn put_schema(world: &World, schema: &Value) -> Reply {
    let request = world.http().request(Method::PUT, world.path("/messages/schema"));
    let request = request.bearer_auth(world.secret_key()).header("content-type", JSON);
    read(request.body(schema.to_string())).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn any_json_document_is_taken_in_persisted_found_and_listed() {
    let world = World::start().await;
    let documents =
        [json!({ "text": "hällo\n" }), json!([1, [2]]), json!("x"), json!(3.5), json!(null), json!({})];
    for document in &documents {
        let sent = world.post("/messages", JSON, format!(" {document:#} \n")).await;
        assert_eq!(sent.status, 202, "{}", sent.text());
        let location = sent.header("location").to_owned();
        // Its place is good at once, although it is persisted later.
        let shown =
            read(world.http().get(format!("{}{location}", world.url())).bearer_auth(world.secret_key()));
        let shown = shown.await.expect("an answer").json();
        assert_eq!((&shown["body"], &shown["id"]), (document, &sent.json()["id"]));
        assert!(shown["persisted_at"].as_str() >= shown["received_at"].as_str(), "{shown}");
    }
    let items = persisted(&world, documents.len()).await;
    let bodies: Vec<&Value> = items.iter().map(|item| &item["body"]).collect();
    assert_eq!(bodies, documents.iter().collect::<Vec<_>>());
    let after = items[1]["cursor"].as_str().expect("a cursor");
    let second = world.get(&format!("/messages?limit=2&after={after}")).await.json();
    assert_eq!(second["items"].as_array().expect("items")[..], items[2..4]);
    let last = items.last().expect("an item");
    let after_last =
        world.get(&format!("/messages?after={}", last["cursor"].as_str().expect("a cursor"))).await;
    assert_eq!(after_last.json(), json!({ "items": [], "next": null }));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_the_good_lines_are_taken_and_the_bad_ones_named() {
    let world = World::start().await;
    let body = "{\"n\":1}\n\n{\"n\":\n{\"a\":1,\"a\":2}\n{\"n\":2}";
    let sent = world.post("/messages", LINES, body).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
    let told = sent.json();
    assert_eq!(told["accepted"], 2);
    let codes: Vec<_> =
        told["rejected"].as_array().expect("rejected").iter().map(|r| (&r["index"], &r["code"])).collect();
    assert_eq!(codes, [(&json!(1), &json!("malformed_message")), (&json!(2), &json!("duplicate_key"))]);
    assert!(told["rejected"][0]["detail"].as_str().expect("a detail").contains("line 3"), "{told}");
    let items = persisted(&world, 2).await;
    assert_eq!(numbers(&items), [1, 2]);
    let ids: Vec<_> = told["ids"].as_array().expect("ids").iter().filter(|id| !id.is_null()).collect();
    assert_eq!(items.iter().map(|item| &item["id"]).collect::<Vec<_>>(), ids);
    let none = world.post("/messages?atomic=true", LINES, body).await;
    assert_eq!((none.status, none.code().as_str()), (422, "invalid_message"), "{}", none.text());
    let bad = world.post("/messages", LINES, "{\n[").await;
    assert_eq!(bad.status, 422, "{}", bad.text());
    assert_eq!(send(&world, &json!({ "n": 3 })).await["accepted"], 1);
    assert_eq!(numbers(&persisted(&world, 3).await), [1, 2, 3], "nothing of the refused batches was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_refused_by_name_and_place() {
    let world = World::start_with("[http]\nmessage_bytes = 2000\nevent_bytes = 1000").await;
    let large = json!({ "x": "x".repeat(2_000) }).to_string();
    for (media_type, body, status, code, place) in [
        (JSON, "{\n  \"a\": }", 400, "malformed_message", "line 2, column 8"),
        (JSON, "", 400, "malformed_message", ""),
        (JSON, "{} {}", 400, "malformed_message", "x-ndjson"),
        (JSON, &*large, 413, "message_too_large", "2000"),
        (JSON, "{\"a\":\"\\ud800\"}", 422, "invalid_message", ""),
        ("image/png", "x", 415, "unsupported_media_type", "application/json"),
    ] {
        let refused = world.post("/messages", media_type, body.to_owned()).await;
        assert_eq!((refused.status, &*refused.code()), (status, code), "{body:.40}: {}", refused.text());
        assert!(refused.text().contains(place), "{}", refused.text());
    }
    for (query, code) in [
        ("limit=0", "invalid_parameter"),
        ("after=cevents-1", "invalid_cursor"),
        ("from=yesterday", "invalid_parameter"),
        ("type=x", "invalid_parameter"),
    ] {
        let refused = world.get(&format!("/messages?{query}")).await;
        assert_eq!((refused.status, &*refused.code()), (422, code), "{}", refused.text());
    }
    let unknown = world.get("/messages/msg_00000000000000000000000000").await;
    assert_eq!((unknown.status, &*unknown.code()), (404, "not_found"));
    assert_eq!(list(&world, "").await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_when_they_were_persisted() {
    let world = World::start().await;
    for n in 0..30 {
        send(&world, &json!({ "n": n })).await;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let items = persisted(&world, 30).await;
    let at = |index: usize| items[index]["persisted_at"].as_str().expect("an instant").to_owned();
    assert!((0..29).all(|index| at(index) <= at(index + 1)), "instants never go back along the list");
    for (from, to) in [(0, 29), (3, 20), (12, 13), (29, 29)] {
        let wanted: Vec<u64> =
            (0..30).filter(|n| at(*n) >= at(from) && at(*n) < at(to)).map(|n| n as u64).collect();
        let found = list(&world, &format!("from={}&to={}", at(from), at(to))).await;
        assert_eq!(numbers(&found), wanted, "from {from} to {to}");
    }
    assert_eq!(list(&world, "from=2999-01-01T00:00:00Z").await, Vec::<Value>::new());
}

/// The faults of the system that this replaces: rows by time, behind a reader that has gone on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_list_sees_every_message_once_while_eight_write_with_clocks_apart() {
    const WRITERS: u64 = 8;
    let each = if is_long() { 2_000 } else { 150 };
    let (clocks, worlds) = match Servers::of_stack().is_some() {
        true => {
            let (Some((ahead, environment)), Some((right, other))) = (Clock::right(), Clock::right()) else {
                return;
            };
            ahead.jump_to(5);
            let one = World::start_as(Setup { environment, ..Setup::default() }).await;
            let setup = Setup { environment: other, keys: Some(one.keys()), ..Setup::default() };
            let two = one.beside(setup).await;
            (vec![ahead, right], vec![one, two])
        }
        false => (Vec::new(), vec![World::start().await]),
    };
    let writing = (0..WRITERS).map(|writer| {
        let caller = worlds[writer as usize % worlds.len()].caller();
        async move {
            for n in 0..each {
                let document = json!({ "n": writer * 1_000_000 + n }).to_string();
                let sent = caller.try_post("/messages", JSON, document).await.expect("an answer");
                assert_eq!(sent.status, 202, "{}", sent.text());
            }
        }
    });
    let reading = async {
        let (mut seen, mut after) = (Vec::new(), String::new());
        while (seen.len() as u64) < WRITERS * each {
            let page =
                worlds[seen.len() % worlds.len()].get(&format!("/messages?limit=37{after}")).await.json();
            let items = page["items"].as_array().expect("items");
            seen.extend(numbers(items));
            if let Some(last) = items.last() {
                after = format!("&after={}", last["cursor"].as_str().expect("a cursor"));
            }
        }
        seen
    };
    let guarded = tokio::time::timeout(
        angarium_suite::GUARD * 3,
        futures_util::future::join(join_all(writing), reading),
    );
    let (_, seen) = guarded.await.expect("the reader sees all of them");
    let distinct: HashSet<u64> = seen.iter().copied().collect();
    assert_eq!((seen.len() as u64, distinct.len() as u64), (WRITERS * each, WRITERS * each));
    let all = list(&worlds[0], "").await;
    assert_eq!(numbers(&all), seen, "in the order in which they were persisted");
    let of_writer = |writer: u64| seen.iter().filter(move |n| *n / 1_000_000 == writer);
    let in_turn = (0..WRITERS).all(|writer| of_writer(writer).is_sorted());
    assert!(in_turn, "of one writer in the order in which they were taken in");
    note(&format!("{} processes, {} clocks, {} messages", worlds.len(), clocks.len(), seen.len()));
}

/// `POST /dummy`, `202`, and the power goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_in_the_list_although_the_server_was_killed_in_the_moment_after_its_202() {
    let mut world = World::start().await;
    let kills = if is_long() { 200 } else { 20 };
    for n in 0..kills {
        let request = world.http().post(format!("{}/dummy", world.url())).body(json!({ "n": n }).to_string());
        let sent = read(request.header("content-type", JSON)).await.expect("an answer");
        world.kill();
        assert_eq!(sent.status, 202, "{}", sent.text());
        world.restart().await;
    }
    let all = persisted(&world, kills).await;
    assert_eq!(numbers(&all), (0..kills as u64).collect::<Vec<_>>());
    let open = world.open("/dummy?limit=1000").await;
    assert_eq!(open.json()["items"].as_array().map(Vec::len), Some(kills), "{}", open.text());
    note(&format!("{kills} kills, {} messages, each there once", all.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_refuses_in_its_own_words_and_can_be_taken_away() {
    let world = World::start().await;
    send(&world, &json!("anything")).await;
    for schema in [
        json!({ "schema": { "type": "no type" } }),
        json!({}),
        json!({ "schema": { "$ref": "http://127.0.0.1:1/" } }),
    ] {
        let refused = put_schema(&world, &schema).await;
        assert_eq!(refused.status, 422, "{schema}: {}", refused.text());
    }
    let schema =
        json!({ "type": "object", "required": ["user"], "properties": { "level": { "maximum": 9 } } });
    let put = put_schema(&world, &json!({ "schema": schema })).await;
    assert_eq!((put.status, put.json()), (200, json!({ "schema": schema, "on_mismatch": "refuse" })));
    assert_eq!(world.get("/messages/schema").await.json()["schema"], schema);
    let refused = world.post("/messages", JSON, json!({ "level": 10 }).to_string()).await;
    assert_eq!(refused.status, 422);
    let errors = refused.json()["errors"].clone();
    let places: Vec<_> =
        errors.as_array().expect("errors").iter().map(|error| error["pointer"].as_str()).collect();
    assert!(places.contains(&Some("/level")) && places.contains(&Some("")), "{errors}");
    assert!(refused.text().contains("\\\"user\\\" is a required property"), "{}", refused.text());
    let batch = world.post("/messages", LINES, "{\"user\":1}\n{}\n").await.json();
    assert_eq!((&batch["accepted"], &batch["rejected"][0]["code"]), (&json!(1), &json!("schema_mismatch")));
    let request = world.http().delete(world.path("/messages/schema")).bearer_auth(world.secret_key());
    assert_eq!(read(request).await.expect("an answer").status, 204);
    assert_eq!(world.get("/messages/schema").await.status, 404);
    send(&world, &json!({ "level": 10 })).await;
    assert_eq!(persisted(&world, 3).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_one_process_sets_holds_at_the_other() {
    let Some([one, two]) = World::fleet::<2>().await else {
        return skip("optional: several processes need the stack (`cargo xtask test --stack`)");
    };
    let put = put_schema(&one, &json!({ "schema": { "type": "object" } })).await;
    assert_eq!(put.status, 200, "{}", put.text());
    eventually("the other process refuses", async || {
        (two.post("/messages", JSON, "3").await.status == 422).then_some(())
    })
    .await;
}

/// What stands in the seed's own words: accepted with 202, seen at once, in the list.
#[tokio::test(flavor = "multi_thread")]
async fn many_messages_are_persisted_in_the_order_of_their_lines() {
    let world = World::start().await;
    for start in [0, 4_000, 8_000] {
        send_lines(&world, start..start + 4_000).await;
    }
    let items = persisted(&world, 12_000).await;
    assert_eq!(numbers(&items), (0..12_000).collect::<Vec<_>>());
    let metrics = world.open("/metrics").await.text();
    assert!(metrics.contains("angarium_messages_persisted_total 12000"), "{metrics:.2000}");
}

/// What a page of the system before this one connects to; where several processes share a store, another one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_on_the_old_socket_as_they_were_posted() {
    let worlds = World::near_and_far(Setup::default()).await;
    let at = worlds.last().expect("a world").url().replace("http://", "ws://");
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("{at}/ws")).await.expect("it opens");
    let documents = [r#"{"text": "hello"}"#, "[1,  2]", "null"];
    for document in documents {
        let posted = worlds[0].http().post(format!("{}/dummy", worlds[0].url())).body(document);
        assert_eq!(read(posted).await.expect("an answer").status, 202);
    }
    for document in documents {
        let frame = tokio::time::timeout(angarium_suite::GUARD, socket.next()).await.expect("it comes");
        assert_eq!(frame.expect("a frame").expect("no fault").into_text().expect("text").as_str(), document);
    }
}

/// What people may do to the file: it is theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_reads_the_store_beside_the_server_takes_nothing_from_it() {
    let mut world = World::start_as(angarium_suite::embedded_only("the store is a file")).await;
    send_lines(&world, 0..10).await;
    persisted(&world, 10).await;
    let file = world.data_dir().join("angarium.db");
    for n in 0..3 {
        // Whoever closes the store last removes its log: the server's lock says that it is not the last.
        let inode = std::fs::metadata(&file).expect("it is there").ino();
        let locks = std::fs::read_to_string("/proc/locks").expect("the system shows its locks");
        let (owner, of) = (format!(" {} ", world.pid()), format!(":{inode} "));
        let is_held = locks.lines().any(|line| line.contains(&owner) && line.contains(&of));
        assert!(is_held, "the server has no lock on its store:\n{locks}");
        let store = rusqlite::Connection::open(&file).expect("the store can be opened beside the server");
        let count = store.query_row("SELECT count(*) FROM messages", [], |row| row.get::<_, i64>(0));
        assert!(count.expect("rows") >= 10);
        store.close().expect("it can be closed");
        assert!(file.with_extension("db-wal").exists(), "the log is the server's, and stays");
        for sent in 0..30 {
            send(&world, &json!({ "n": 10 + n * 30 + sent })).await;
        }
        world.kill();
        world.restart().await;
    }
    assert_eq!(numbers(&persisted(&world, 100).await), (0..100).collect::<Vec<_>>());
}

/// What is open to whoever is on this machine is not open to every page that a browser on it shows.
#[tokio::test(flavor = "multi_thread")]
async fn pages_from_elsewhere_neither_read_nor_write_what_is_open_on_this_machine() {
    let world = World::start_as(angarium_suite::embedded_only("it is on loopback")).await;
    let ask = async |method: Method, headers: &[(&'static str, &str)]| {
        let request = world.http().request(method, format!("{}/dummy", world.url())).body("{}");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        read(request).await.expect("an answer")
    };
    let evil = "https://evil.example";
    for method in [Method::GET, Method::POST] {
        for headers in
            [&[("origin", evil)][..], &[("sec-fetch-site", "cross-site")], &[("host", "rebound.example")]]
        {
            let refused = ask(method.clone(), headers).await;
            assert_eq!((refused.status, &*refused.code()), (403, "foreign_origin"), "{method} {headers:?}");
        }
    }
    let own = world.url();
    let taken = ask(Method::POST, &[("origin", &own), ("sec-fetch-site", "same-origin")]).await;
    assert_eq!(taken.status, 202, "{}", taken.text());
    assert_eq!(ask(Method::GET, &[]).await.status, 200);
}

/// A store that refuses one message, and takes it when the cause is gone.
struct Refusal<'a>(&'a World);

impl Refusal<'_> {
    async fn of<'a>(world: &'a World, mark: &str) -> Refusal<'a> {
        let refusal = Refusal(world);
        let shared = format!(
            "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'the poison is there'; END $$ LANGUAGE plpgsql; \
             CREATE TRIGGER poison BEFORE INSERT ON messages FOR EACH ROW WHEN (NEW.body LIKE '%{mark}%') EXECUTE FUNCTION refuse()"
        );
        let embedded = format!(
            "CREATE TRIGGER poison BEFORE INSERT ON messages WHEN NEW.body LIKE '%{mark}%' \
             BEGIN SELECT RAISE(ABORT, 'the poison is there'); END"
        );
        refusal.run(&shared, &embedded).await;
        refusal
    }

    async fn end(self) {
        self.run("DROP TRIGGER poison ON messages", "DROP TRIGGER poison").await;
    }

    async fn run(&self, shared: &str, embedded: &str) {
        match self.0.place() {
            Some(place) => place.run(shared.to_owned()).await,
            None => {
                let file = self.0.data_dir().join("angarium.db");
                let store =
                    rusqlite::Connection::open(file).expect("the store can be opened beside the server");
                store.busy_timeout(angarium_suite::GUARD).expect("a time can be set");
                store.execute_batch(embedded).expect("the trigger is made or dropped");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_that_the_store_refuses_holds_up_no_other_and_is_redriven_once() {
    const ALL: u64 = 10_000;
    let config = "[messages]\nattempts = 2".to_owned();
    let worlds = World::near_and_far(Setup { config, ..Setup::default() }).await;
    let (near, world) = (&worlds[0], worlds.last().expect("a world"));
    // The table is there as soon as the server is; the stream, too.
    send_lines(near, 0..1).await;
    persisted(world, 1).await;
    let refusal = Refusal::of(world, "\"n\":4321").await;
    send_lines(near, 1..ALL).await;
    let items = persisted(world, ALL as usize - 1).await;
    let others: Vec<u64> = (0..ALL).filter(|n| *n != 4_321).collect();
    assert_eq!(numbers(&items), others, "the others are there, in their order");
    let letter = eventually("it is a dead letter", async || {
        let list = world.get("/dead-letters?kind=message").await.json();
        list["items"].as_array().and_then(|items| items.first().cloned())
    })
    .await;
    assert_eq!((&letter["code"], &letter["attempts"]), (&json!("store_failed"), &json!(2)), "{letter}");
    assert!(letter["reason"].as_str().expect("a reason").contains("the poison is there"), "{letter}");
    // While the cause is there, it comes back, with more attempts, as the same letter's successor.
    let source = letter["source"].as_str().expect("a source").to_owned();
    let redrive = format!("/dead-letters/{}/redrive", letter["id"].as_str().expect("an id"));
    assert!(world.post(&redrive, JSON, "").await.status < 300);
    let letter = eventually("it is a dead letter again", async || {
        let list = world.get(&format!("/dead-letters?source={source}")).await.json();
        list["items"].as_array().and_then(|items| items.first().cloned())
    })
    .await;
    assert_eq!(letter["attempts"], 4, "{letter}");
    refusal.end().await;
    let redrive = format!("/dead-letters/{}/redrive", letter["id"].as_str().expect("an id"));
    let asked = join_all((0..8).map(|_| world.post(&redrive, JSON, ""))).await;
    let done = asked.iter().filter(|reply| reply.status < 300).count();
    assert_eq!(done, 1, "{:?}", asked.iter().map(|reply| reply.status).collect::<Vec<_>>());
    let items = persisted(world, ALL as usize).await;
    let wanted: Vec<u64> = others.into_iter().chain([4_321]).collect();
    assert_eq!(numbers(&items), wanted, "there once, after the others");
    let last = items.last().expect("an item");
    assert_eq!(last["id"], source);
    let others_came = items[ALL as usize - 2]["received_at"].as_str();
    assert_eq!(last["received_at"].as_str(), others_came, "it came with those of its batch");
    assert_eq!(world.get("/dead-letters").await.json()["items"], json!([]));
}
