//! Redrives by a filter: what was there when they were asked for, once each, whoever dies on the way.

use crate::world::{World, path_of};
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn names(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|at| format!("{prefix}{at:05}")).collect()
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let world = World::new().await;
    world.give_up(&world.app, "work", names("a", 30)).await;
    world.give_up(&world.app, "vain", names("late", 12)).await;
    for (body, n) in [
        (json!({ "dry_run": true }), 42),
        (json!({ "dry_run": true, "kind": "work" }), 30),
        (json!({ "dry_run": true, "code": "timeout", "rate": 5 }), 12),
        (json!({ "dry_run": true, "max": 7 }), 7),
    ] {
        let answer = world.post("/redrive", &body).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "matches": n })), "{body}");
    }
    assert_eq!(world.all("").await.len(), 42);
    assert_eq!(world.get("/redrives").await.json(), json!({ "items": [], "next": null }));
    for wrong in [
        json!({ "rate": 0 }),
        json!({ "rate": 10_001 }),
        json!({ "max": -1 }),
        json!({ "from": "now" }),
        json!({ "kind": "a\u{0}" }),
        json!({ "knd": "work" }),
    ] {
        assert_eq!(world.post("/redrive", &wrong).await.status, 422, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_runs_what_was_there_and_leaves_what_came_later() {
    let world = World::new().await;
    world.give_up(&world.app, "work", names("a", 1_200)).await;
    world.give_up(&world.app, "work", names("late", 40)).await;
    world.give_up(&world.other, "work", names("a", 3)).await;
    let path = path_of(&world.post("/redrive", &json!({ "code": "refused", "rate": 10_000 })).await);
    world.give_up(&world.app, "work", names("b", 5)).await;
    let run = world.ended(&path).await;
    assert_eq!((&run["state"], &run["matched"]), (&json!("done"), &json!(1_200)));
    assert_eq!((&run["redriven"], &run["failed"], &run["rate"]), (&json!(1_200), &json!(0), &json!(10_000)));
    assert!(run["ended_at"].is_string());
    assert_eq!(world.dues(&world.app, "a").await, (1_200, 1, 1));
    assert_eq!(world.dues(&world.app, "late").await, (40, 0, 0));
    assert_eq!(world.dues(&world.app, "b").await, (5, 0, 0));
    assert_eq!(world.dues(&world.other, "a").await, (3, 0, 0));
    assert_eq!(world.all("").await.len(), 45);
    assert_eq!(world.get("/redrives").await.json()["items"][0], run);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_again_is_not_run_again_by_the_same_redrive() {
    let world = World::new().await;
    world.give_up(&world.app, "vain", names("v", 300)).await;
    let run = world.ended(&path_of(&world.post("/redrive", &json!({ "rate": 10_000 })).await)).await;
    assert_eq!((&run["state"], &run["redriven"]), (&json!("done"), &json!(300)));
    assert_eq!(world.dues(&world.app, "v").await, (300, 1, 1));
    assert_eq!(world.all("").await.len(), 300, "they are in the inbox again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_that_die_at_any_moment_and_run_twice_redrive_each_letter_once() {
    let world = World::new().await;
    world.give_up(&world.app, "work", names("a", 2_000)).await;
    let path = path_of(&world.post("/redrive", &json!({ "rate": 5_000 })).await);
    let mut deaths = 0;
    world
        .eventually("the redrive ends", async || {
            let two = async {
                let work =
                    || angarium_dead_letters::run_redrives(world.kit.clone(), CancellationToken::new());
                tokio::join!(work(), work());
            };
            // Dropped where they stand, like those of a process that is killed.
            let life = Duration::from_micros(500 + (deaths % 40) * 1_000);
            assert!(tokio::time::timeout(life, two).await.is_err(), "workers do not end by themselves");
            deaths += 1;
            world.get(&path).await.json()["state"] == "done"
        })
        .await;
    assert!(deaths > 3, "they died {deaths} times");
    assert_eq!(world.get(&path).await.json()["redriven"], 2_000);
    assert_eq!(world.dues(&world.app, "a").await, (2_000, 1, 1));
    let redriven = world.changes().await.into_iter().filter(|(change, _)| change == "redriven");
    assert_eq!(redriven.count(), 2_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_cannot_be_run_again_does_not_hold_up_the_others() {
    let world = World::new().await;
    world.give_up(&world.app, "work", names("a", 600)).await;
    world.give_up(&world.app, "strange", names("s", 2)).await;
    for gone in ["a00000", "a00123", "a00599"] {
        world.forget_work(&world.app, gone).await;
    }
    let run = world.ended(&path_of(&world.post("/redrive", &json!({ "rate": 10_000 })).await)).await;
    assert_eq!((&run["matched"], &run["redriven"], &run["failed"]), (&json!(602), &json!(597), &json!(5)));
    assert_eq!(world.dues(&world.app, "a").await, (597, 1, 1));
    assert_eq!(world.all("").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_that_is_stopped_goes_no_further() {
    let world = World::new().await;
    world.give_up(&world.app, "work", names("a", 50)).await;
    let path = path_of(&world.post("/redrive", &json!({ "rate": 1 })).await);
    let stop = CancellationToken::new();
    let worker = tokio::spawn(angarium_dead_letters::run_redrives(world.kit.clone(), stop.clone()));
    let what = "the first letter is run again at once";
    world.eventually(what, async || world.get(&path).await.json()["redriven"] != 0).await;
    let stopped = world.send("POST", &format!("{path}/stop"), None, "").await.json();
    assert_eq!(stopped["state"], "stopped");
    let redriven = stopped["redriven"].as_i64().unwrap();
    assert!(redriven < 50, "at one a second, {redriven} were run again");
    assert_eq!(world.ended(&path).await, stopped);
    assert_eq!(world.all("").await.len() as i64, 50 - redriven);
    assert_eq!(world.send("POST", &format!("{path}/stop"), None, "").await.json(), stopped);
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_of_some_letters_takes_the_first() {
    let world = World::new().await;
    world.give_up(&world.app, "work", names("a", 20)).await;
    let run =
        world.ended(&path_of(&world.post("/redrive", &json!({ "max": 7, "rate": 10_000 })).await)).await;
    assert_eq!((&run["matched"], &run["redriven"], &run["state"]), (&json!(7), &json!(7), &json!("done")));
    let left = world.all("").await;
    assert_eq!((left.len(), &left[0]["source"]), (13, &json!("a00007")));
}

#[tokio::test]
async fn what_nobody_can_do_and_too_much_at_a_time_is_refused() {
    let world = World::new().await;
    world.give_up(&world.app, "strange", names("s", 1)).await;
    assert_eq!(world.post("/redrive", &json!({ "kind": "strange" })).await.status, 409);
    let first = world.send("POST", "/redrive", Some("one"), "{}").await;
    let again = world.send("POST", "/redrive", Some("one"), "{}").await;
    assert_eq!((first.status, first.body), (again.status, again.body), "asked for once");
    for _ in 1..10 {
        assert_eq!(world.post("/redrive", &json!({})).await.status, 202);
    }
    assert_eq!(world.post("/redrive", &json!({})).await.status, 409);
    let page = world.get("/redrives?limit=6").await.json();
    let rest = world.get(&format!("/redrives?after={}", page["next"].as_str().unwrap())).await.json();
    assert_eq!((page["items"].as_array().unwrap().len(), rest["items"].as_array().unwrap().len()), (6, 4));
    assert_eq!(rest["next"], json!(null));
    for (path, status) in [("/redrives/rdr_x", 404), ("/redrives?after=cid-x", 422)] {
        assert_eq!(world.get(path).await.status, status, "{path}");
    }
}
