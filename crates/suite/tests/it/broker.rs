//! Kafka that fails under load, and what else may befall a spool: events go on being taken, nothing acknowledged is
//! lost, and all of it is in Kafka once when Kafka is back.
//!
//! Ignored by default: they stop the broker that others use. `cargo xtask test --stack` runs them by themselves.

use crate::{
    fault::{Disk, Fault, on_kafka},
    writers::Writers,
};
use angarium_suite::{On, Oracle, Setup, World, angarium, eventually, is_long, note, oracle::Account, run};
use std::{
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

/// An event is acknowledged when it is durable in the spool.
fn acknowledged_locally() -> Setup {
    Setup { environment: vec![("ANGARIUM_KAFKA__ACK".into(), "local".into())], ..Setup::default() }
}

/// A process whose streams are in Kafka, under load; `None`, which has been said then, where there is none.
async fn loaded() -> Option<(World, Arc<Oracle>, Writers)> {
    let servers = on_kafka("a broker that fails")?;
    let world = World::start_as(Setup { on: On::Servers(servers), ..acknowledged_locally() }).await;
    let oracle = Arc::new(Oracle::default());
    let writers = Writers::start(&world.caller(), &oracle);
    Some((world, oracle, writers))
}

async fn more_is_acknowledged(oracle: &Oracle, more: usize) {
    let wanted = oracle.count_acknowledged() + more;
    let what = "events are acknowledged";
    eventually(what, async || (oracle.count_acknowledged() >= wanted).then_some(())).await;
}

/// Waits until Kafka has all that was acknowledged, and holds it against that.
async fn all_is_in_kafka_once(world: &World, oracle: &Oracle) -> Account {
    eventually("the spool is empty", async || {
        let ready = world.open("/health/ready").await.json();
        (ready["parts"]["kafka"]["lag"] == 0).then_some(())
    })
    .await;
    let account = oracle.check(&oracle.owed(), &world.all_events().await);
    note(&account.to_string());
    assert_eq!(account.duplicates, 0);
    account
}

/// The stack's broker.
struct Broker(PathBuf);

impl Broker {
    fn of_stack() -> Broker {
        Broker(angarium_suite::stack_dir().expect("STACK_DIR is set with SUITE_ON=kafka"))
    }

    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.0.join("kafka.pid")).expect("the broker has a pid");
        let sent = Command::new("kill").args([signal, pid.trim()]).status().expect("there is `kill`");
        assert!(sent.success(), "the broker takes {signal}");
    }

    fn start(&self) {
        // Its script writes the pid and the log, and the stack stops it with the others.
        drop(Command::new(self.0.join("kafka")).spawn().expect("the script can be started"));
    }
}

async fn kafka_is(world: &World, state: &str) {
    eventually(&format!("readiness says that Kafka is {state}"), async || {
        let ready = world.open("/health/ready").await;
        assert_eq!(ready.status, 200, "a broker is in nobody's way: {}", ready.text());
        (ready.json()["parts"]["kafka"]["status"] == *state).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "optional: it stops the stack's broker, so it runs by itself"]
async fn a_broker_that_is_killed_under_load_loses_nothing_and_doubles_nothing() {
    let Some((world, oracle, writers)) = loaded().await else { return };
    let broker = Broker::of_stack();
    for _ in 0..if is_long() { 10 } else { 2 } {
        more_is_acknowledged(&oracle, 300).await;
        broker.signal("-KILL");
        kafka_is(&world, "degraded").await;
        more_is_acknowledged(&oracle, 1_000).await;
        broker.start();
        kafka_is(&world, "ready").await;
    }
    assert_eq!((writers.refused(), writers.broken()), (0, 0), "Kafka is in nobody's way");
    writers.stop().await;
    all_is_in_kafka_once(&world, &oracle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "optional: it freezes the stack's broker, so it runs by itself"]
async fn a_broker_that_is_frozen_for_half_a_minute_loses_nothing_and_doubles_nothing() {
    let Some((world, oracle, writers)) = loaded().await else { return };
    let broker = Broker::of_stack();
    more_is_acknowledged(&oracle, 300).await;
    broker.signal("-STOP");
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(30) {
        more_is_acknowledged(&oracle, 100).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    broker.signal("-CONT");
    assert_eq!((writers.refused(), writers.broken()), (0, 0), "Kafka is in nobody's way");
    writers.stop().await;
    all_is_in_kafka_once(&world, &oracle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "optional: it stops the stack's broker, so it runs by itself"]
async fn a_process_that_is_killed_while_the_broker_is_away_brings_everything_when_both_are_back() {
    let Some((mut world, oracle, writers)) = loaded().await else { return };
    let broker = Broker::of_stack();
    for _ in 0..if is_long() { 10 } else { 2 } {
        more_is_acknowledged(&oracle, 300).await;
        broker.signal("-KILL");
        more_is_acknowledged(&oracle, 300).await;
        world.restart().await;
        more_is_acknowledged(&oracle, 300).await;
        broker.start();
        more_is_acknowledged(&oracle, 300).await;
        world.restart().await;
    }
    writers.stop().await;
    all_is_in_kafka_once(&world, &oracle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "optional: it needs the stack's broker, and runs with those that do"]
async fn a_spool_on_a_full_disk_takes_nothing_and_loses_nothing() {
    let Some(mut disk) = Disk::of_spool().await else { return };
    let oracle = Arc::new(Oracle::default());
    let writers = Writers::start(&disk.world.caller(), &oracle);
    for fault in [Fault::Space, Fault::Sync, Fault::Space] {
        more_is_acknowledged(&oracle, 300).await;
        let refused = writers.refused();
        disk.fail(fault);
        eventually("events are refused", async || (writers.refused() > refused + 20).then_some(())).await;
        let sick = disk.world.open("/health/ready").await;
        assert_eq!(sick.status, 503, "who takes nothing is not ready: {}", sick.text());
        disk.work_again(fault);
        is_ready(&disk.world).await;
    }
    // And once more, with the power gone while the disk is full.
    more_is_acknowledged(&oracle, 300).await;
    disk.fail(Fault::Space);
    tokio::time::sleep(Duration::from_millis(200)).await;
    disk.world.kill();
    disk.work_again(Fault::Space);
    disk.world.restart().await;
    more_is_acknowledged(&oracle, 300).await;
    writers.stop().await;
    all_is_in_kafka_once(&disk.world, &oracle).await;
}

async fn is_ready(world: &World) {
    let what = "the server becomes ready by itself";
    eventually(what, async || (world.open("/health/ready").await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "optional: it needs the stack's broker, and runs with those that do"]
async fn a_spool_that_another_process_has_open_is_refused() {
    let Some((world, _, writers)) = loaded().await else { return };
    writers.stop().await;
    let data_dir = world.data_dir().to_str().expect("the path is UTF-8");
    let mut second = angarium(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir]);
    second.envs(world.place().expect("it is on the stack").environment());
    let refused = run(second).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("another process has the data directory") && refused.stderr.contains("spool"),
        "{refused:?}"
    );
}

#[cfg(feature = "kafka")]
mod deleted {
    use super::*;
    use crate::writers::new_event;
    use angarium_suite::Servers;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "optional: it needs the stack's broker, and runs with those that do"]
    async fn a_topic_that_is_deleted_is_made_anew_and_what_comes_then_is_there_once() {
        let Some((world, oracle, writers)) = loaded().await else { return };
        for _ in 0..2 {
            more_is_acknowledged(&oracle, 500).await;
            delete_topic(&format!("angarium.{}.events", world.app())).await;
        }
        more_is_acknowledged(&oracle, 500).await;
        assert_eq!((writers.refused(), writers.broken()), (0, 0), "a topic is in nobody's way");
        let before = oracle.count_acknowledged();
        writers.stop().await;
        // What the topic held is gone with it. What is sent from here on is not.
        eventually("the spool is empty", async || {
            let ready = world.open("/health/ready").await.json();
            (ready["parts"]["kafka"]["lag"] == 0).then_some(())
        })
        .await;
        let kept = world.all_events().await.len();
        let oracle = Oracle::default();
        for _ in 0..500 {
            let event = new_event();
            oracle.sent("load", &event["params"]);
            let sent = world.post("/events", "application/json", event.to_string()).await;
            assert_eq!(sent.status, 202, "{}", sent.text());
            oracle.acknowledged(&event["params"]);
        }
        let records = eventually("all of them are read", async || {
            let records = world.all_events().await;
            (records.len() >= kept + 500).then_some(records)
        })
        .await;
        assert!(kept > 0, "what was acknowledged after the topic was gone is there");
        let account = oracle.check(&oracle.owed(), &records[kept..]);
        note(&format!("{kept} of {before} that were acknowledged meanwhile are left; then {account}"));
        assert_eq!(account.duplicates, 0);
    }

    /// As an operator does it.
    async fn delete_topic(topic: &str) {
        use rdkafka::{ClientConfig, admin::AdminClient, admin::AdminOptions, client::DefaultClientContext};
        let brokers = Servers::of_stack().and_then(|servers| servers.kafka).expect("there is Kafka");
        let mut config = ClientConfig::new();
        let admin: AdminClient<DefaultClientContext> =
            config.set("bootstrap.servers", brokers).create().expect("librdkafka takes this");
        // Right after it was deleted it is not there, for a moment.
        eventually("the topic is deleted", async || {
            let deleted = admin.delete_topics(&[topic], &AdminOptions::new()).await.expect("Kafka answers");
            deleted.iter().all(Result::is_ok).then_some(())
        })
        .await;
    }
}
