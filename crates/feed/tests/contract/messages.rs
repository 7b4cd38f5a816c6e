//! What happens to a message on its way.

use crate::{World, message, next, soon, until};
use angarium_base::Clock;
use angarium_feed::{Delivery, Feed, MESSAGE_MAX_BYTES, Target};
use bytes::Bytes;

on_every_engine! {
    processes_hear_each_other
    own_messages_come_once
    messages_of_a_publisher_keep_their_order
    any_bytes_arrive_as_they_were
    big_messages_arrive_whole_and_in_order
    a_message_that_is_too_large_is_dropped_and_counted
    topics_and_namespaces_are_apart
}

async fn processes_hear_each_other(world: World) {
    let (one, two) = world.two().await;
    let (mut at_one, mut at_two) =
        (world.subscribed(&one, "talk").await, world.subscribed(&two, "talk").await);
    one.publish("talk", "from one".into());
    assert_eq!(message(&mut at_two).await, "from one");
    two.publish("talk", "from two".into());
    assert_eq!(message(&mut at_two).await, "from two");
    assert_eq!(message(&mut at_one).await, "from one");
    assert_eq!(message(&mut at_one).await, "from two");
    let status = one.status();
    assert_eq!((status.dropped, status.lagged), (0, 0));
    if world.is_remote() {
        assert_eq!((status.published, status.received), (1, 1));
    }
}

async fn own_messages_come_once(world: World) {
    let (one, two) = world.two().await;
    let mut mine = world.subscribed(&one, "mine").await;
    let mut theirs = world.subscribed(&two, "mine").await;
    for n in 0..50u8 {
        one.publish("mine", Bytes::copy_from_slice(&[n]));
    }
    for n in 0..50u8 {
        assert_eq!(message(&mut mine).await, [n][..]);
        assert_eq!(message(&mut theirs).await, [n][..]);
    }
    // The echoes came before this.
    two.publish("mine", "end".into());
    assert_eq!(message(&mut mine).await, "end");
}

async fn messages_of_a_publisher_keep_their_order(world: World) {
    let (one, two) = world.two().await;
    let mut subscription = world.subscribed(&one, "order").await;
    let publishing = [(0u8, one.clone()), (1, two)].map(|(who, feed)| {
        tokio::spawn(async move {
            for n in 0..500u16 {
                feed.publish("order", Bytes::copy_from_slice(&[who, (n >> 8) as u8, n as u8]));
                tokio::task::yield_now().await;
            }
            feed
        })
    });
    let mut expected = [0u16; 2];
    while expected != [500, 500] {
        let got = message(&mut subscription).await;
        let (who, n) = (got[0] as usize, u16::from_be_bytes([got[1], got[2]]));
        assert_eq!(n, expected[who], "of publisher {who}");
        expected[who] += 1;
    }
    for task in publishing {
        soon(task).await.unwrap();
    }
}

async fn any_bytes_arrive_as_they_were(world: World) {
    let (one, two) = world.two().await;
    let mut subscription = world.subscribed(&two, "ä topic/with:any 'thing'").await;
    let every: Vec<u8> = (0..=255).collect();
    for bytes in [&b""[..], b"\0", b"\xff\xfe'; --", &every] {
        one.publish("ä topic/with:any 'thing'", Bytes::copy_from_slice(bytes));
        assert_eq!(message(&mut subscription).await, bytes);
    }
}

async fn big_messages_arrive_whole_and_in_order(world: World) {
    let (one, two) = world.two().await;
    let mut subscription = world.subscribed(&two, "big").await;
    // Around the lengths at which PostgreSQL needs one more part, and all alike inside.
    for size in [5_800, 5_900, 8_000, 65_536, MESSAGE_MAX_BYTES, 1] {
        one.publish("big", vec![7; size].into());
    }
    for size in [5_800, 5_900, 8_000, 65_536, MESSAGE_MAX_BYTES, 1] {
        let got = message(&mut subscription).await;
        assert!(got.len() == size && got.iter().all(|byte| *byte == 7), "{} of {size} bytes", got.len());
    }
}

async fn a_message_that_is_too_large_is_dropped_and_counted(world: World) {
    let feed = world.feed().await;
    let mut subscription = world.subscribed(&feed, "large").await;
    feed.publish("large", vec![0; MESSAGE_MAX_BYTES + 1].into());
    feed.publish("large", "next".into());
    assert_eq!(message(&mut subscription).await, "next");
    assert_eq!((feed.status().published, feed.status().dropped), (2, 1));
}

async fn topics_and_namespaces_are_apart(world: World) {
    let (one, two) = world.two().await;
    let elsewhere = World::new(world.target.clone());
    let stranger = elsewhere.feed().await;
    let mut here = world.subscribed(&two, "here").await;
    let mut there = elsewhere.subscribed(&stranger, "here").await;
    one.publish("there", "another topic".into());
    stranger.publish("here", "another namespace".into());
    one.publish("here", "right".into());
    assert_eq!(message(&mut here).await, "right");
    assert_eq!(message(&mut there).await, "another namespace");
    until("nothing else", || two.status().dropped == 0).await;
    two.close().await;
    assert_eq!(next(&mut here).await, None);
}

#[tokio::test]
async fn what_is_no_feed_is_refused() {
    for url in ["kafka://h", "redis://h/not-a-number", "postgres://h?sslmode=maybe", ""] {
        let opened = match url.parse::<Target>() {
            Ok(target) => Feed::open(&target, "ns", Clock::system()).await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert_eq!(opened.unwrap_err().code().name, "invalid_feed", "{url}");
    }
    for namespace in ["", "a:b", &"n".repeat(65)] {
        assert!(Feed::open(&Target::Local, namespace, Clock::system()).await.is_err());
    }
}

#[tokio::test]
async fn a_local_subscriber_is_never_told_to_look_for_itself() {
    let feed = World::local().unwrap().feed().await;
    let mut subscription = feed.subscribe("t");
    feed.publish("t", "only".into());
    assert_eq!(next(&mut subscription).await, Some(Delivery::Message("only".into())));
    assert!(feed.status().connected);
}
