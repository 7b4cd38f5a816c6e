//! The shipper: everything, once, in order.

use crate::{
    running::{Running, quick},
    spool::Spool,
    world::{World, position, until},
};
use angarium_base::AppId;
use angarium_kafka::shipper::{Settings, Source};
use std::time::Duration;

fn upto(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_once_and_in_order() {
    let Some(world) = World::open() else { return };
    let (spool, apps) = (Spool::new(), [AppId::new(1), AppId::new(2), AppId::new(3)]);
    for app in &apps {
        spool.count(app, "events", 20_000);
        spool.count(app, "deliveries", 7);
    }
    let running = Running::start(&world, &spool, quick());
    for _ in 0..20 {
        spool.count(&apps[0], "events", 50);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    until("all is shipped", || spool.lag() == 0).await;
    let stats = running.shipper.stats();
    assert_eq!((stats.shipped, stats.skipped, stats.retried, stats.last_error), (61_021, 0, 0, None));
    running.stop().await;
    for (app, count) in apps.iter().zip([21_000, 20_000, 20_000]) {
        assert_eq!(world.shipped(app, "events").await, upto(count));
        assert_eq!(world.shipped(app, "deliveries").await, upto(7));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_carries_what_it_is() {
    let Some(world) = World::open() else { return };
    let (spool, app) = (Spool::new(), AppId::new(1));
    spool.count(&app, "events", 1);
    let running = Running::start(&world, &spool, quick());
    until("all is shipped", || spool.lag() == 0).await;
    running.stop().await;
    let topic = world.kafka.topic_for(&app, "events").unwrap();
    let record = &world.all(&topic, world.kafka.partition_for(&app, 3)).await[0];
    let id = format!("{}:0", spool.spool());
    for (name, value) in [
        ("app", app.as_str()),
        ("stream", "events"),
        ("type", "level_up"),
        ("id", &id),
        ("at", "1700000000000"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(record.header(name), Some(value.as_bytes()), "{name}");
    }
    assert_eq!(record.key.as_deref(), Some(app.as_str().as_bytes()));
    assert_eq!(record.payload, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_before_the_cursor_is_saved_duplicates_nothing() {
    let Some(world) = World::open() else { return };
    // Two spools write to one app's partition, as two nodes do.
    let (spools, app) = ([Spool::new(), Spool::new()], AppId::new(1));
    spools.iter().for_each(|spool| spool.forgetful(true));
    let mut count = 0;
    // A crashed process sends nothing more; what crashes here does, until librdkafka's threads have ended.
    for round in 0..6 {
        spools.iter().for_each(|spool| spool.count(&app, "events", 4_000));
        count += 4_000;
        let running = spools.each_ref().map(|spool| Running::start(&world, spool, Settings::default()));
        match round % 3 {
            0 => until("some is shipped", || spools[0].lag() < 2_000).await,
            1 => until("all is shipped", || spools.iter().all(|spool| spool.lag() == 0)).await,
            _ => tokio::time::sleep(Duration::from_millis(fastrand::u64(60..90))).await,
        }
        for one in running {
            one.crash().await;
        }
        spools.iter().for_each(Spool::restart);
    }
    let running = spools.each_ref().map(|spool| Running::start(&world, spool, Settings::default()));
    until("all is shipped", || spools.iter().all(|spool| spool.lag() == 0)).await;
    assert!(running.iter().all(|one| one.shipper.stats().skipped > 0), "what was there was found");
    let topic = world.kafka.topic_for(&app, "events").unwrap();
    let all = world.all(&topic, world.kafka.partition_for(&app, 3)).await;
    for spool in &spools {
        let own = format!("{}:", spool.spool());
        let mine = all.iter().filter(|one| one.header("id").unwrap().starts_with(own.as_bytes()));
        let own: Vec<u64> = mine.map(position).collect();
        assert_eq!(own, upto(count));
    }
    for one in running {
        one.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_streams_than_places_all_have_their_turn() {
    let Some(world) = World::open() else { return };
    let spool = Spool::new();
    let apps: Vec<_> = (0..30).map(|_| AppId::new(1)).collect();
    apps.iter().for_each(|app| spool.count(app, "events", 300));
    let settings = Settings { streams: 2, turn: Duration::from_millis(20), batch_records: 10, ..quick() };
    let running = Running::start(&world, &spool, settings);
    // One that always has something keeps nobody out.
    let (busy, fed) = (AppId::new(1), spool.clone());
    let feeding = tokio::spawn(async move {
        loop {
            fed.count(&busy, "events", 20);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    until("all others are shipped", || apps.iter().all(|app| spool.cursor(app, "events") == 300)).await;
    feeding.abort();
    until("all is shipped", || spool.lag() == 0).await;
    assert_eq!(running.shipper.stats().retried, 0);
    running.stop().await;
    for app in &apps {
        assert_eq!(world.shipped(app, "events").await, upto(300));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_takes_in_what_is_on_its_way() {
    let Some(world) = World::open() else { return };
    let (spool, app) = (Spool::new(), AppId::new(1));
    spool.count(&app, "events", 200_000);
    let running = Running::start(&world, &spool, quick());
    until("it is under way", || spool.cursor(&app, "events") > 1_000).await;
    let shipper = running.shipper.clone();
    running.stop().await;
    let cursor = spool.cursor(&app, "events");
    assert!(cursor < 200_000, "it was to stop in the middle");
    assert_eq!(world.shipped(&app, "events").await, upto(cursor));
    assert_eq!(shipper.stats().shipped, cursor);
}
