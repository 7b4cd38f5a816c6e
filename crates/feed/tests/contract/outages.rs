//! Servers that are away, go away and come back.

use crate::{
    World, message, next,
    servers::{OwnRedis, free_port},
    set, until,
};
use angarium_base::Secret;
use angarium_feed::{Delivery, OUTBOX_MESSAGES, Target};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_away_local_goes_on_and_once_it_is_back_all_does() {
    let Some(mut server) = OwnRedis::new() else { return };
    let world = server.world();
    let (one, two) = (world.open().await, world.open().await);
    let (mut at_one, mut at_two) = (one.subscribe("t"), two.subscribe("t"));

    for round in ["away at the start", "killed once", "killed twice"] {
        until("not connected", || !one.status().connected && !two.status().connected).await;
        one.publish("t", round.into());
        assert_eq!(message(&mut at_one).await, round);

        server.start().await;
        // What was published meanwhile comes after that word, if it comes at all.
        for subscription in [&mut at_one, &mut at_two] {
            while next(subscription).await != Some(Delivery::Reconnected) {}
        }
        assert!(one.status().connected && two.status().connected);
        one.publish("t", "back".into());
        assert_eq!(message(&mut at_one).await, "back");
        while message(&mut at_two).await != "back" {}
        two.publish("t", "and forth".into());
        assert_eq!(message(&mut at_one).await, "and forth");
        assert_eq!(message(&mut at_two).await, "and forth");

        server.kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushing_redis_does_no_harm() {
    let Some(mut server) = OwnRedis::new() else { return };
    server.start().await;
    let world = server.world();
    let (one, two) = world.two().await;
    let mut subscription = world.subscribed(&two, "t").await;
    for flush in [&["FLUSHALL"][..], &["SCRIPT", "FLUSH"]] {
        server.command(flush).await;
        one.publish("t", "after".into());
        assert_eq!(message(&mut subscription).await, "after");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_thrown_out_by_redis_come_back() {
    let Some(mut server) = OwnRedis::new() else { return };
    server.start().await;
    let world = server.world();
    let (one, two) = world.two().await;
    let mut subscription = world.subscribed(&two, "t").await;
    let since = one.status().since;
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    assert_eq!(next(&mut subscription).await, Some(Delivery::Reconnected));
    until("one is back", || one.status().connected && one.status().since > since).await;
    one.publish("t", "again".into());
    assert_eq!(message(&mut subscription).await, "again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_does_not_answer_is_lost_and_found() {
    let Some(mut server) = OwnRedis::new() else { return };
    server.start().await;
    let world = server.world();
    let feed = world.feed().await;
    let mut subscription = world.subscribed(&feed, "t").await;
    server.signal("STOP");
    feed.publish("t", "local".into());
    assert_eq!(message(&mut subscription).await, "local");
    until("given up", || !feed.status().connected).await;
    assert_eq!(feed.status().dropped, 1, "what was on its way");
    server.signal("CONT");
    assert_eq!(next(&mut subscription).await, Some(Delivery::Reconnected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_stranger_is_left_out() {
    let Some(mut server) = OwnRedis::new() else { return };
    server.start().await;
    let world = server.world();
    let (one, two) = world.two().await;
    let mut subscription = world.subscribed(&two, "t").await;
    server.command(&["PUBLISH", &format!("{}:t", world.namespace), "what is this?"]).await;
    one.publish("t", "ours".into());
    assert_eq!(message(&mut subscription).await, "ours");
}

#[tokio::test]
async fn with_nobody_there_the_outbox_is_bounded_and_publishing_does_not_wait() {
    for url in ["redis://:hush@127.0.0.1", "postgres://u:hush@127.0.0.1"] {
        let target: Target = format!("{url}:{}", free_port()).parse().unwrap();
        let feed = World::new(target).open().await;
        let mut subscription = feed.subscribe("t");
        let started = Instant::now();
        for n in 0..OUTBOX_MESSAGES + 50 {
            feed.publish("t", n.to_string().into());
            assert_eq!(message(&mut subscription).await, n.to_string());
        }
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(feed.status().dropped, 50);
        assert!(!feed.status().connected);
        feed.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_postgres_ends_comes_back() {
    let Some(url) = set("STACK_POSTGRES") else { return };
    let name = format!("feed-test-{:x}", fastrand::u32(..));
    let mark = if url.contains('?') { '&' } else { '?' };
    let world = World::new(Target::Postgres(Secret::new(format!("{url}{mark}application_name={name}"))));
    let (one, two) = world.two().await;
    let mut subscription = world.subscribed(&two, "t").await;
    let since = one.status().since;

    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
    assert_eq!(client.execute(ended, &[&name]).await.unwrap(), 2);
    connection.abort();

    assert_eq!(next(&mut subscription).await, Some(Delivery::Reconnected));
    until("one is back", || one.status().connected && one.status().since > since).await;
    one.publish("t", "again".into());
    assert_eq!(message(&mut subscription).await, "again");
}
