//! The shipper when something does not work.

use crate::{
    running::{Running, quick},
    spool::Spool,
    world::{World, until},
};
use angarium_base::AppId;
use bytes::Bytes;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_that_fails_now_and_then_delays_only() {
    let Some(world) = World::open() else { return };
    let (spool, app) = (Spool::new(), AppId::new(1));
    spool.fails_one_in(7);
    let running = Running::start(&world, &spool, quick());
    for _ in 0..30 {
        spool.count(&app, "events", 1_000);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until("all is shipped", || spool.lag() == 0).await;
    assert!(running.shipper.stats().retried > 0);
    running.stop().await;
    assert_eq!(world.shipped(&app, "events").await, (0..30_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_kafka_refuses_holds_up_its_own_stream_only() {
    let Some(world) = World::open() else { return };
    let (spool, sick, well) = (Spool::new(), AppId::new(1), AppId::new(2));
    spool.count(&sick, "events", 10);
    spool.append(&sick, "events", [Bytes::from(vec![b'x'; 3 << 20])]);
    spool.count(&sick, "events", 10);
    let running = Running::start(&world, &spool, quick());
    until("the refusal is told", || running.shipper.stats().retried > 1).await;
    spool.count(&well, "events", 1_000);
    until("others go on", || spool.cursor(&well, "events") == 1_000).await;
    until("what is before it is shipped", || spool.cursor(&sick, "events") == 10).await;
    assert!(running.shipper.stats().last_error.unwrap().contains("record at 10"));
    running.stop().await;
    assert_eq!(world.shipped(&sick, "events").await, (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_is_made_again_and_shipping_goes_on() {
    let Some(world) = World::open() else { return };
    let (spool, app) = (Spool::new(), AppId::new(1));
    let running = Running::start(&world, &spool, quick());
    spool.count(&app, "events", 5_000);
    until("all is shipped", || spool.lag() == 0).await;
    let topic = world.kafka.topic_for(&app, "events").unwrap();
    world.delete(&topic).await;
    spool.count(&app, "events", 1_000);
    until("all is shipped again", || spool.lag() == 0).await;
    // While something is on its way.
    let (fed, feeder) = (spool.clone(), app.clone());
    let feeding = tokio::spawn(async move {
        for _ in 0..300 {
            fed.count(&feeder, "events", 100);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.delete(&topic).await;
    feeding.await.unwrap();
    until("all is shipped once more", || spool.lag() == 0).await;
    running.stop().await;
    let there = world.shipped(&app, "events").await;
    assert_eq!(there.last(), Some(&35_999), "the end is there");
    assert!(there.windows(2).all(|two| two[1] == two[0] + 1), "what is there is in order, without a gap");
}
