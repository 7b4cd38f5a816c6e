//! The inbox: read in its order, run again once, deleted, expired, counted.

use crate::world::{START, World};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};
use tokio::task::JoinSet;

fn names(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|at| format!("{prefix}{at:05}")).collect()
}

fn sources(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["source"].as_str().unwrap().to_owned()).collect()
}

fn id(item: &Value) -> String {
    item["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_who_follows_next_while_others_give_up_sees_every_letter_once_in_order() {
    let world = std::sync::Arc::new(World::new().await);
    world.give_up(&world.app, "work", names("a", 95)).await;
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let world = world.clone();
        writers.spawn(async move {
            for at in 0..10 {
                world.give_up(&world.app, "work", names(&format!("w{writer}_{at}_"), 5)).await;
            }
        });
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    while seen.len() < 95 + 4 * 50 {
        let page = world.get(&format!("?limit=10{after}")).await.json();
        let items = page["items"].as_array().unwrap();
        if let Some(next) = page["next"].as_str() {
            seen.extend(sources(items));
            after = format!("&after={next}");
        } else if writers.is_empty() {
            seen.extend(sources(items));
            break;
        } else if let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
    }
    assert_eq!(seen.len(), 95 + 4 * 50);
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len());
    assert_eq!(seen[..95], names("a", 95));
    assert_eq!(seen, sources(&world.all("limit=1000").await), "the order does not change");
}

#[tokio::test]
async fn filters_let_through_what_they_say_and_nothing_of_another_app() {
    let world = World::new().await;
    world.give_up(&world.other, "work", names("x", 3)).await;
    world.give_up(&world.app, "work", names("a", 5)).await;
    world.clock.advance(1_000);
    world.give_up(&world.app, "vain", names("late", 5)).await;
    let from = angarium_base::time::format(START + 1_000);
    for (query, n) in [
        ("", 10),
        ("kind=work", 5),
        ("kind=vain&limit=2", 5),
        ("kind=none", 0),
        ("code=timeout", 5),
        ("code=timeout&kind=work", 0),
        ("source=a00003", 1),
        (&format!("from={from}"), 5),
        (&format!("to={from}&kind=work&limit=1"), 5),
        (&format!("to={from}&kind=vain"), 0),
    ] {
        assert_eq!(world.all(query).await.len(), n, "{query}");
    }
    for wrong in ["kind=a%00b", "after=cdead_letters-1", "after=x", "limit=0", "sort=kind", "from=now"] {
        assert_eq!(world.get(&format!("?{wrong}")).await.status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn a_letter_is_shown_with_its_original_and_the_original_as_it_came() {
    let world = World::new().await;
    world.give_up(&world.app, "work", names("a", 1)).await;
    let item = world.all("").await.remove(0);
    let whole = world.get(&format!("/{}", id(&item))).await.json();
    let body = br#"{"name": "a00000"}"#;
    assert_eq!(whole["body"], json!({ "name": "a00000" }));
    assert_eq!((&whole["size_bytes"], &whole["attempts"]), (&json!(body.len()), &json!(3)));
    assert_eq!(whole["first_at"], angarium_base::time::format(START - 1_000));
    let original = world.get(&format!("/{}/body", id(&item))).await;
    assert_eq!((original.status, &original.body[..]), (200, &body[..]));
    assert_eq!(original.headers["content-type"], "application/json");
    assert_eq!(original.headers["content-disposition"], "attachment");
    assert_eq!(item.get("body"), None, "a list is without originals");
    for unknown in ["/dead_00000000000000000000000000", "/x", "/dead_00000000000000000000000000/body"] {
        assert_eq!(world.get(unknown).await.status, 404, "{unknown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_run_a_letter_again_at_once_one_does() {
    let world = std::sync::Arc::new(World::new().await);
    world.give_up(&world.app, "work", names("a", 20)).await;
    for item in world.all("").await {
        let mut asking = JoinSet::new();
        for _ in 0..8 {
            let (world, path) = (world.clone(), format!("/{}/redrive", id(&item)));
            asking.spawn(async move { world.send("POST", &path, None, "").await });
        }
        let mut statuses = asking.join_all().await.iter().map(|answer| answer.status).collect::<Vec<_>>();
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 404, 404, 404, 404, 404, 404, 404]);
    }
    assert_eq!(world.dues(&world.app, "a").await, (20, 1, 1));
    assert!(world.all("").await.is_empty());
    let redriven = world.changes().await.into_iter().filter(|(change, _)| change == "redriven");
    assert_eq!(redriven.map(|(_, source)| source).collect::<BTreeSet<_>>().len(), 20);
}

#[tokio::test]
async fn a_redrive_with_a_key_is_done_once_and_answered_alike() {
    let world = World::new().await;
    world.give_up(&world.app, "work", names("a", 1)).await;
    let path = format!("/{}/redrive", id(&world.all("").await[0]));
    let first = world.send("POST", &path, Some("once"), "").await;
    let second = world.send("POST", &path, Some("once"), "").await;
    assert_eq!((first.status, second.status), (202, 202));
    assert_eq!(first.body, second.body);
    assert_eq!(first.json()["source"], "a00000");
    assert_eq!(second.headers["location"], "/v1/works/a00000");
    assert_eq!(second.headers["idempotency-replay"], "true");
    assert_eq!(world.send("POST", &path, Some("another"), "").await.status, 404);
    assert_eq!(world.dues(&world.app, "a").await, (1, 1, 1));
}

#[tokio::test]
async fn what_cannot_be_run_again_stays_in_the_inbox() {
    let world = World::new().await;
    world.give_up(&world.app, "strange", names("s", 1)).await;
    world.give_up(&world.app, "work", names("a", 1)).await;
    world.forget_work(&world.app, "a00000").await;
    let letters = world.all("").await;
    let statuses = [
        world.send("POST", &format!("/{}/redrive", id(&letters[0])), None, "").await.status,
        world.send("POST", &format!("/{}/redrive", id(&letters[1])), None, "").await.status,
    ];
    assert_eq!(statuses, [409, 404]);
    assert_eq!(world.all("").await, letters);
    assert!(world.changes().await.iter().all(|(change, _)| change == "given_up"));
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_said_so() {
    let world = World::new().await;
    world.give_up(&world.app, "work", names("a", 1_203)).await;
    world.give_up(&world.app, "work", names("late", 10)).await;
    world.give_up(&world.other, "work", names("a", 2)).await;
    let path = format!("/{}", id(&world.all("").await[0]));
    assert_eq!(world.delete(&path).await.status, 204);
    assert_eq!(world.delete(&path).await.status, 404);
    let dry = world.post("/delete", &json!({ "code": "refused", "dry_run": true })).await.json();
    assert_eq!(dry, json!({ "matches": 1_202, "deleted": 0, "more": false }));
    let gone = world.post("/delete", &json!({ "code": "refused" })).await.json();
    assert_eq!(gone, json!({ "deleted": 1_202, "more": false }));
    assert_eq!(sources(&world.all("").await), names("late", 10));
    let deleted = world.changes().await.into_iter().filter(|(change, _)| change == "deleted");
    assert_eq!(deleted.map(|(_, source)| source).collect::<BTreeSet<_>>().len(), 1_203);
    let of_other = world.send_in(&world.other, "POST", "/delete", None, "{}").await;
    assert_eq!(of_other.status, 404);
    assert_eq!(world.dues(&world.other, "a").await.0, 2);
}

#[tokio::test]
async fn letters_expire_when_they_are_too_old_and_not_before() {
    let world = World::new().await;
    let keep = Duration::from_secs(60);
    world.give_up(&world.app, "work", names("old", 700)).await;
    world.clock.advance(30_000);
    world.give_up(&world.app, "work", names("new", 3)).await;
    world.clock.advance(30_000);
    assert_eq!(angarium_dead_letters::expire_once(&world.kit, keep).await.unwrap(), 0);
    world.clock.advance(1);
    let mut expired = 0;
    while let n @ 1.. = angarium_dead_letters::expire_once(&world.kit, keep).await.unwrap() {
        expired += n;
    }
    assert_eq!((expired, sources(&world.all("").await)), (700, names("new", 3)));
    let told = world.changes().await.into_iter().filter(|(change, _)| change == "expired");
    assert_eq!(told.map(|(_, source)| source).collect::<BTreeSet<_>>().len(), 700);
}

#[tokio::test]
async fn metrics_say_how_many_letters_there_are_and_how_old() {
    let world = World::new().await;
    let mut seen = BTreeSet::new();
    world.give_up(&world.app, "work", names("a", 3)).await;
    world.clock.advance(90_000);
    world.give_up(&world.other, "vain", names("b", 2)).await;
    let measured = async |seen: &mut BTreeSet<String>| {
        angarium_dead_letters::measure_once(&world.kit, seen).await.unwrap();
        let text = world.kit.metrics.encode();
        let lines = text.lines().filter(|line| line.starts_with("angarium_dead_letter"));
        lines.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let lines = measured(&mut seen).await;
    for line in [
        "angarium_dead_letters{kind=\"work\"} 3",
        "angarium_dead_letters{kind=\"vain\"} 2",
        "angarium_dead_letters_oldest_seconds 90",
    ] {
        assert!(lines.contains(line), "{lines:?}");
    }
    for letter in world.all("").await {
        assert_eq!(world.send("POST", &format!("/{}/redrive", id(&letter)), None, "").await.status, 202);
    }
    let lines = measured(&mut seen).await;
    for line in [
        "angarium_dead_letters{kind=\"work\"} 0",
        "angarium_dead_letters_oldest_seconds 0",
        "angarium_dead_letter_changes_total{kind=\"work\",change=\"redriven\"} 3",
    ] {
        assert!(lines.contains(line), "{lines:?}");
    }
}
