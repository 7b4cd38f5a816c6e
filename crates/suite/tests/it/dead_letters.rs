//! Dead letters: what was given up is listed, read, run again once, deleted, and goes by itself when it is old.
//!
//! Messages are given up here because their app's schema sets them aside; without the schema they can be persisted.

use crate::tenants::Tenant;
use angarium_suite::{Ran, Setup, World, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

/// A dead letter of its own; its id. The app has no schema afterwards.
pub async fn new_letter(tenant: &Tenant) -> String {
    let schema = json!({ "schema": false, "on_mismatch": "set_aside" }).to_string();
    let put = tenant.request(Method::PUT, "/messages/schema").header("content-type", "application/json");
    let put = put.body(schema).send().await.expect("an answer");
    assert_eq!(put.status(), 200);
    let sent = tenant.post("/messages", &json!({ "text": "to be given up" })).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
    let path = format!("/dead-letters?source={}", text(&sent.json(), "id"));
    let letter = eventually("a message is given up", async || {
        tenant.get(&path).await.json()["items"].as_array()?.first().cloned()
    });
    let id = text(&letter.await, "id");
    assert_eq!(tenant.delete("/messages/schema").await.status, 204);
    id
}

/// A redrive that has nothing to do; its id.
pub async fn new_redrive(tenant: &Tenant) -> String {
    let asked = tenant.post("/dead-letters/redrive", &json!({ "source": "nothing" })).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let id = text(&asked.json(), "id");
    let path = format!("/dead-letters/redrives/{id}");
    eventually("a redrive of nothing ends", async || {
        (tenant.get(&path).await.json()["state"] == "done").then_some(())
    })
    .await;
    id
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}`: {value}")).to_owned()
}

/// Messages that the world's app gives up: their ids, in the order of the list.
async fn give_up(world: &World, n: usize) -> Vec<String> {
    let schema = json!({ "schema": false, "on_mismatch": "set_aside" }).to_string();
    let put = world.caller().send(Method::PUT, "/messages/schema", "application/json", schema).await;
    assert_eq!(put.expect("an answer").status, 200);
    let before = all(world, "/dead-letters").await.len();
    let lines: String = (0..n).map(|at| format!("{{\"n\":{at}}}\n")).collect();
    let sent = world.post("/messages", "application/x-ndjson", lines).await;
    assert_eq!((sent.status, &sent.json()["accepted"]), (202, &json!(n)), "{}", sent.text());
    let letters = eventually("the messages are given up", async || {
        let letters = all(world, "/dead-letters").await;
        (letters.len() == before + n).then_some(letters)
    });
    letters.await[before..].iter().map(|letter| text(letter, "source")).collect()
}

/// Lets the app persist every message again.
async fn mend(world: &World) {
    let gone = world.caller().send(Method::DELETE, "/messages/schema", "application/json", "").await;
    assert_eq!(gone.expect("an answer").status, 204);
}

/// Every item of a list, by its cursors.
async fn all(world: &World, list: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let sign = if list.contains('?') { '&' } else { '?' };
        let page = world.get(&format!("{list}{sign}limit=100{after}")).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        all.extend(page["items"].as_array().expect("a page has items").iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

/// Waits until these messages are persisted, each of them once.
async fn are_persisted(world: &World, ids: &[String]) {
    let messages = eventually("the messages are persisted", async || {
        let messages = all(world, "/messages").await;
        (messages.len() >= ids.len()).then_some(messages)
    });
    let persisted: Vec<String> = messages.await.iter().map(|message| text(message, "id")).collect();
    assert_eq!(persisted.len(), ids.len(), "each is there once");
    assert_eq!(persisted.iter().collect::<HashSet<_>>(), ids.iter().collect::<HashSet<_>>());
}

async fn run(world: &World, arguments: &[&str]) -> Ran {
    world.run(&[&["dead-letters"], arguments].concat()).await
}

async fn json_of(world: &World, arguments: &[&str]) -> Value {
    let printed = run(world, &[arguments, &["--json"]].concat()).await.printed();
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_is_seen_read_and_run_again_on_the_command_line() {
    let world = World::start().await;
    let ids = give_up(&world, 25).await;
    let list = json_of(&world, &["list"]).await;
    let letters = list["items"].as_array().expect("a list has items");
    assert_eq!(letters.len(), 25);
    let letter = &letters[3];
    assert_eq!((&letter["kind"], &letter["code"]), (&json!("message"), &json!("schema_mismatch")));
    let id = text(letter, "id");
    assert_eq!(json_of(&world, &["show", &id]).await["body"], json!({ "n": 3 }));
    assert_eq!(run(&world, &["body", &id]).await.printed().trim_end(), "{\"n\":3}");
    mend(&world).await;
    assert_eq!(text(&json_of(&world, &["redrive", &id]).await, "source"), ids[3]);
    let again = run(&world, &["redrive", &id]).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("any more"), "{again:?}");
    let counted = json_of(&world, &["redrive", "--kind", "message", "--dry-run"]).await;
    assert_eq!(counted, json!({ "matches": 24 }));
    let done = json_of(&world, &["redrive", "--kind", "message", "--rate", "1000", "--wait"]).await;
    assert_eq!((&done["state"], &done["redriven"], &done["failed"]), (&json!("done"), &json!(24), &json!(0)));
    are_persisted(&world, &ids).await;
    assert!(all(&world, "/dead-letters").await.is_empty());
    let deleted = json_of(&world, &["delete", "--all"]).await;
    assert_eq!(deleted, json!({ "deleted": 0 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_goes_on_after_kills_and_runs_each_letter_once() {
    let mut world = World::start().await;
    let ids = give_up(&world, 300).await;
    mend(&world).await;
    let asked = world.post("/dead-letters/redrive", "application/json", r#"{"rate": 60}"#).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let path = format!("/dead-letters/redrives/{}", text(&asked.json(), "id"));
    for part in 1..=3 {
        let what = "some letters are run again";
        let redriven = eventually(what, async || {
            let redriven = world.get(&path).await.json()["redriven"].as_u64()?;
            (redriven >= 40 * part).then_some(redriven)
        });
        assert!(redriven.await < 300, "it is killed in the middle");
        world.kill();
        world.restart().await;
    }
    let done = eventually("the redrive ends", async || {
        let run = world.get(&path).await.json();
        (run["state"] == "done").then_some(run)
    });
    let done = done.await;
    assert_eq!((&done["redriven"], &done["failed"]), (&json!(300), &json!(0)));
    are_persisted(&world, &ids).await;
    let mut changes: BTreeMap<String, usize> = BTreeMap::new();
    for record in world.all_records("dead_letters", 1_000).await {
        *changes.entry(text(&record["data"], "change")).or_default() += 1;
    }
    assert_eq!(changes, BTreeMap::from([("given_up".to_owned(), 300), ("redriven".to_owned(), 300)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_go_by_themselves_when_they_are_too_old() {
    let config = "[dead_letters]\nkeep = \"1s\"".to_owned();
    let world = World::start_as(Setup { config, ..Setup::default() }).await;
    let schema = json!({ "schema": false, "on_mismatch": "set_aside" }).to_string();
    let put = world.caller().send(Method::PUT, "/messages/schema", "application/json", schema).await;
    assert_eq!(put.expect("an answer").status, 200);
    assert_eq!(world.post("/messages", "application/json", "{}").await.status, 202);
    let changes = eventually("the letter expires", async || {
        let records = world.all_records("dead_letters", 1_000).await;
        let changes: Vec<String> = records.iter().map(|record| text(&record["data"], "change")).collect();
        (changes.len() == 2).then_some(changes)
    });
    assert_eq!(changes.await, ["given_up", "expired"]);
    assert!(all(&world, "/dead-letters").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_show_how_many_letters_there_are() {
    let world = World::start().await;
    give_up(&world, 7).await;
    let line = "angarium_dead_letters{kind=\"message\"} 7";
    let counted = eventually("the letters are counted", async || {
        let text = world.open("/metrics").await.text();
        text.lines().any(|found| found == line).then_some(text)
    });
    let given_up = "angarium_dead_letter_changes_total{kind=\"message\",change=\"given_up\"} 7";
    assert!(counted.await.lines().any(|found| found == given_up));
}
