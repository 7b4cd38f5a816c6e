//! A disk that fails: syncs that end in EIO, writes that find no space. Nothing is accepted that is not kept,
//! what is there can be read, and it is over as soon as the disk works again.

use crate::fault::{Disk, Fault};
use crate::writers::{Writers, new_event, records_are_all};
use angarium_suite::{GUARD, Oracle, Reply, World, eventually, oracle::KEY};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_is_no_acknowledgement() {
    nothing_is_accepted_while_the_disk_fails(Fault::Sync).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_no_acknowledgement() {
    nothing_is_accepted_while_the_disk_fails(Fault::Space).await;
}

async fn nothing_is_accepted_while_the_disk_fails(fault: Fault) {
    let Some(mut disk) = Disk::start().await else { return };
    let oracle = Oracle::default();
    for _ in 0..20 {
        assert_eq!(post(&disk.world, &oracle, &sent(&oracle)).await.status, 202);
    }
    let kept = disk.world.all_events().await;

    disk.fail(fault);
    let mut refused = Vec::new();
    for _ in 0..20 {
        let event = sent(&oracle);
        let since = Instant::now();
        let answer = post(&disk.world, &oracle, &event).await;
        let took = since.elapsed();
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|s| s > 0), "{:?}", answer.headers);
        assert!(took < Duration::from_secs(1), "a refusal took {took:?}");
        refused.push(event);
    }
    a_refused_tracking_call(&disk.world, &oracle).await;
    the_store_is_called_sick(&disk.world).await;
    assert!(disk.world.all_events().await == kept, "what is there can be read, and nothing else");

    disk.work_again(fault);
    becomes_ready(&disk.world).await;
    assert_eq!(post(&disk.world, &oracle, &sent(&oracle)).await.status, 202);
    for event in &refused[..10] {
        assert_eq!(post(&disk.world, &oracle, event).await.status, 202, "what was refused can be sent again");
    }
    oracle.check(&oracle.owed(), &disk.world.all_events().await);

    disk.world.restart().await;
    let records = disk.world.all_events().await;
    oracle.check(&oracle.owed(), &records);
    records_are_all(&disk.world, &records).await;
    assert_eq!(post(&disk.world, &oracle, &sent(&oracle)).await.status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_now_and_then_under_load_loses_nothing() {
    let Some(mut disk) = Disk::start().await else { return };
    let oracle = Arc::new(Oracle::default());
    let writers = Writers::start(&disk.world.caller(), &oracle);
    for fault in [Fault::Sync, Fault::Space, Fault::Sync, Fault::Space] {
        let (acknowledged, refused) = (oracle.count_acknowledged(), writers.refused());
        eventually("writes are acknowledged", async || {
            (oracle.count_acknowledged() > acknowledged + 200).then_some(())
        })
        .await;
        disk.fail(fault);
        eventually("writes are refused", async || (writers.refused() > refused + 20).then_some(())).await;
        disk.work_again(fault);
        becomes_ready(&disk.world).await;
    }
    // And once more, with the power gone while the disk fails.
    let refused = writers.refused();
    disk.fail(Fault::Sync);
    eventually("writes are refused", async || (writers.refused() > refused + 20).then_some(())).await;
    disk.world.kill();
    disk.work_again(Fault::Sync);
    disk.world.restart().await;
    let acknowledged = oracle.count_acknowledged();
    eventually("writes are acknowledged again", async || {
        (oracle.count_acknowledged() > acknowledged).then_some(())
    })
    .await;
    writers.stop().await;
    let records = disk.world.all_events().await;
    oracle.check(&oracle.owed(), &records);
    records_are_all(&disk.world, &records).await;
}

async fn becomes_ready(world: &World) {
    let what = "the server becomes ready by itself";
    eventually(what, async || (world.open("/health/ready").await.status == 200).then_some(())).await;
}

/// A new event that the oracle knows of.
fn sent(oracle: &Oracle) -> Value {
    let event = new_event();
    oracle.sent("load", &event["params"]);
    event
}

async fn post(world: &World, oracle: &Oracle, event: &Value) -> Reply {
    let posting = world.post("/events", "application/json", event.to_string());
    let answer = tokio::time::timeout(GUARD, posting).await.expect("every request is answered");
    if answer.status == 202 {
        oracle.acknowledged(&event["params"]);
    }
    answer
}

async fn a_refused_tracking_call(world: &World, oracle: &Oracle) {
    oracle.sent("call", &json!({KEY: "call"}));
    let answer = world.open(&format!("/t/call?{KEY}=call")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(!answer.header("retry-after").is_empty());
}

async fn the_store_is_called_sick(world: &World) {
    let ready = world.open("/health/ready").await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert_ne!(ready.json()["parts"]["store"]["status"], "ready", "{}", ready.text());
    assert_eq!(ready.json()["parts"]["http"]["status"], "ready", "{}", ready.text());
    assert_eq!(
        world.open("/health/live").await.status,
        200,
        "a sick disk is no reason to restart the process"
    );
    let old = world.open("/healthcheck").await;
    assert_eq!((old.status, old.json()), (500, json!({"healthy": false})));
    assert!(world.open("/metrics").await.text().contains("\nangarium_store_healthy 0\n"));
}
