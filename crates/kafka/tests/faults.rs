//! The promises of the shipper and of readers while the broker is killed, frozen or away.
//!
//! Not run by default, for everybody on that broker suffers: with `STACK_KAFKA` and `STACK_DIR` set (a folder with a
//! script `kafka` that runs the broker, and `kafka.pid`),
//!
//! ```sh
//! cargo test -p angarium-kafka --test faults -- --ignored
//! ```

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says what it skips")]

#[path = "contract/running.rs"]
mod running;
#[path = "contract/spool.rs"]
mod spool;
#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "contract/world.rs"]
mod world;

use angarium_base::AppId;
use running::{Running, quick};
use spool::Spool;
use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use world::{READ, World, record, soon, texts, until};

/// Held by the test whose broker it is.
static ALONE: Mutex<()> = Mutex::new(());

/// The broker of the stack, which only one test at a time has.
struct Broker {
    folder: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Broker {
    fn take() -> Option<Broker> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        #[expect(clippy::disallowed_methods, reason = "where the stack is")]
        let Ok(folder) = std::env::var("STACK_DIR") else {
            println!("skipped: optional: STACK_DIR is not set");
            return None;
        };
        Some(Broker { folder: folder.into(), _alone: alone })
    }

    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.join("kafka.pid")).unwrap();
        let outcome = Command::new("kill").args(["-s", signal, pid.trim()]).status().unwrap();
        assert!(outcome.success(), "{signal}");
    }

    fn kill(&self) {
        self.signal("KILL");
    }

    fn start(&self) {
        let mut script = Command::new(self.folder.join("kafka"));
        script.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = script.spawn().unwrap();
        // Whoever kills it next leaves nobody unwaited for.
        std::thread::spawn(move || child.wait());
    }
}

/// Appends `times` × 100 records, a few milliseconds apart.
fn feed(spool: &Spool, app: &AppId, times: u64) -> tokio::task::JoinHandle<()> {
    let (spool, app) = (spool.clone(), app.clone());
    tokio::spawn(async move {
        for _ in 0..times {
            spool.count(&app, "events", 100);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

async fn once_and_in_order(world: &World, app: &AppId, count: u64) {
    let shipped = soon(world.shipped(app, "events")).await;
    assert!(shipped == (0..count).collect::<Vec<_>>(), "{} records instead of {count}", shipped.len());
}

/// CPU time of this process so far, in clock ticks of 10 ms.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kills the broker"]
async fn a_broker_that_is_killed_again_and_again_costs_and_doubles_nothing() {
    let (Some(broker), Some(world)) = (Broker::take(), World::open()) else { return };
    let (spool, app) = (Spool::new(), AppId::new(1));
    let running = Running::start(&world, &spool, quick());
    let feeding = feed(&spool, &app, 3_000);
    for _ in 0..3 {
        // So much at once that the kill meets batches which are appended and not acknowledged.
        spool.count(&app, "events", 100_000);
        let before = spool.cursor(&app, "events");
        until("it ships", || spool.cursor(&app, "events") > before + 5_000).await;
        broker.kill();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..1_000))).await;
        broker.start();
    }
    soon(feeding).await.unwrap();
    until("all is shipped", || spool.lag() == 0).await;
    println!("{:?}", running.shipper.stats());
    running.stop().await;
    once_and_in_order(&world, &app, 600_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "freezes the broker"]
async fn a_broker_that_is_frozen_for_half_a_minute_costs_and_doubles_nothing() {
    let (Some(broker), Some(world)) = (Broker::take(), World::open()) else { return };
    let (spool, app) = (Spool::new(), AppId::new(1));
    let running = Running::start(&world, &spool, quick());
    let feeding = feed(&spool, &app, 2_000);
    until("it ships", || spool.cursor(&app, "events") > 5_000).await;
    broker.signal("STOP");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!world.kafka.status().connected, "that it hangs is told");
    broker.signal("CONT");
    soon(feeding).await.unwrap();
    until("all is shipped", || spool.lag() == 0).await;
    println!("{:?}", running.shipper.stats());
    running.stop().await;
    once_and_in_order(&world, &app, 200_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kills the broker"]
async fn a_shipper_and_a_broker_that_die_together_double_nothing() {
    let (Some(broker), Some(world)) = (Broker::take(), World::open()) else { return };
    let (spool, app) = (Spool::new(), AppId::new(1));
    spool.forgetful(true);
    let feeding = feed(&spool, &app, 2_000);
    for round in 0..3 {
        let running = Running::start(&world, &spool, quick());
        until("it ships", || running.shipper.stats().shipped > 5_000).await;
        broker.kill();
        tokio::time::sleep(Duration::from_millis(200 * round)).await;
        running.crash().await;
        spool.restart();
        broker.start();
    }
    soon(feeding).await.unwrap();
    let running = Running::start(&world, &spool, quick());
    until("all is shipped", || spool.lag() == 0).await;
    println!("{:?}", running.shipper.stats());
    running.stop().await;
    once_and_in_order(&world, &app, 200_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kills the broker"]
async fn without_a_broker_the_shipper_waits_and_does_not_spin() {
    let (Some(broker), Some(world)) = (Broker::take(), World::open()) else { return };
    let (spool, apps) = (Spool::new(), (0..20).map(|_| AppId::new(1)).collect::<Vec<_>>());
    let running = Running::start(&world, &spool, quick());
    // Known to the shipper, and more than librdkafka takes into its queue.
    apps.iter().for_each(|app| spool.count(app, "events", 1));
    until("all is shipped", || spool.lag() == 0).await;
    broker.kill();
    apps.iter().for_each(|app| spool.count(app, "events", 39_999));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = ticks();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let spent = ticks() - before;
    println!("{spent} ticks of 10 ms in 10 s, {:?}", running.shipper.stats());
    assert!(spent < 200, "{spent} of 1,000 ticks");
    broker.start();
    until("all is shipped", || spool.lag() == 0).await;
    println!("{:?}", running.shipper.stats());
    running.stop().await;
    for app in &apps {
        once_and_in_order(&world, app, 40_000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kills the broker"]
async fn a_follower_goes_on_after_the_broker_is_back() {
    let (Some(broker), Some(world)) = (Broker::take(), World::open()) else { return };
    let topic = world.topic_of(5).await;
    let mut follower = world.kafka.follow(&topic, 0, 0);
    assert_eq!(soon(follower.next()).await.unwrap().len(), 5);
    broker.kill();
    let read = soon(world.kafka.read(&topic, 0, 5, READ, Duration::from_secs(1))).await;
    assert_eq!(world::code(read), "kafka_unavailable", "that nobody answers is not said to be the end");
    broker.start();
    let producer = world.kafka.producer().unwrap();
    until("connected", || world.kafka.status().connected).await;
    soon(producer.produce(&topic, 0, vec![record("again")])).await.unwrap();
    let mut read = Vec::new();
    soon(async {
        while read.is_empty() {
            // An error that passes is tried again.
            read = follower.next().await.unwrap_or_default();
        }
    })
    .await;
    assert_eq!(texts(&read), ["again"]);
}
