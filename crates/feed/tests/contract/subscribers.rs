//! Subscribers that are slow, go away, or are many.

use crate::{World, message, next, soon, until};
use angarium_feed::{Delivery, MAILBOX_BYTES, MAILBOX_MESSAGES, MESSAGE_MAX_BYTES};

on_every_engine! {
    a_slow_subscriber_lags_and_is_told_how_much
    a_mailbox_is_bounded_in_bytes
    unsubscribing_frees
    closing_sends_what_waits_and_ends_subscriptions
    many_topics_come_and_go
    a_second_subscriber_hears_at_once
}

async fn a_slow_subscriber_lags_and_is_told_how_much(world: World) {
    let (one, two) = world.two().await;
    let mut slow = world.subscribed(&two, "much").await;
    let mut quick = world.subscribed(&two, "other").await;
    for n in 0..MAILBOX_MESSAGES + 100 {
        one.publish("much", n.to_string().into());
    }
    one.publish("other", "not held up".into());
    assert_eq!(message(&mut quick).await, "not held up");
    assert_eq!(next(&mut slow).await, Some(Delivery::Lagged(100)));
    for n in 100..MAILBOX_MESSAGES + 100 {
        assert_eq!(message(&mut slow).await, n.to_string());
    }
    assert_eq!(two.status().lagged, 100);
}

async fn a_mailbox_is_bounded_in_bytes(world: World) {
    let (one, two) = world.two().await;
    let mut slow = world.subscribed(&two, "bytes").await;
    let fitting = MAILBOX_BYTES / MESSAGE_MAX_BYTES;
    for n in 0..fitting + 2 {
        one.publish("bytes", vec![n as u8; MESSAGE_MAX_BYTES].into());
    }
    until("all there", || two.status().lagged == 2).await;
    assert_eq!(next(&mut slow).await, Some(Delivery::Lagged(2)));
    for n in 2..fitting + 2 {
        assert_eq!(message(&mut slow).await[0], n as u8);
    }
}

async fn unsubscribing_frees(world: World) {
    let (one, two) = world.two().await;
    let gone = world.subscribed(&two, "gone").await;
    let mut kept = world.subscribed(&two, "kept").await;
    assert_eq!(two.status().topics, 2);
    drop(gone);
    assert_eq!(two.status().topics, 1);
    if world.is_remote() {
        // Soon the engine sends it no more: a message to `gone`, then one to `kept`, and only that one comes.
        for round in 0.. {
            let before = two.status().received;
            one.publish("gone", "nobody".into());
            one.publish("kept", "somebody".into());
            assert_eq!(message(&mut kept).await, "somebody");
            if two.status().received == before + 1 {
                break;
            }
            assert!(round < 1000, "it is still sent");
        }
    }
    let mut again = world.subscribed(&two, "gone").await;
    one.publish("gone", "back".into());
    assert_eq!(message(&mut again).await, "back");
}

async fn closing_sends_what_waits_and_ends_subscriptions(world: World) {
    let (one, two) = world.two().await;
    let mut theirs = world.subscribed(&two, "end").await;
    let mut mine = world.subscribed(&one, "end").await;
    for n in 0..1000 {
        one.publish("end", n.to_string().into());
    }
    soon(one.close()).await;
    one.publish("end", "too late".into());
    for subscription in [&mut theirs, &mut mine] {
        for n in 0..1000 {
            assert_eq!(message(subscription).await, n.to_string());
        }
    }
    assert_eq!(next(&mut mine).await, None);
    assert_eq!(next(&mut one.subscribe("end")).await, None);
    assert_eq!(one.status().dropped, 1);
    if world.is_remote() {
        assert!(!one.status().connected);
        drop(two);
    }
    assert_eq!(next(&mut theirs).await, None, "the last handle closes too");
}

async fn many_topics_come_and_go(world: World) {
    const TOPICS: usize = 6_000;
    let (one, two) = world.two().await;
    let topic = |n: usize| format!("topic-{n}");
    let mut subscriptions: Vec<_> = (0..TOPICS).map(|n| two.subscribe(&topic(n))).collect();
    if world.is_remote() {
        for subscription in &mut subscriptions {
            assert_eq!(next(subscription).await, Some(Delivery::Reconnected));
        }
    }
    let mut kept = subscriptions.split_off(TOPICS - 10);
    drop(subscriptions);
    assert_eq!(two.status().topics, 10);
    for (at, subscription) in kept.iter_mut().enumerate() {
        let topic = topic(TOPICS - 10 + at);
        one.publish(&topic, topic.clone().into());
        assert_eq!(message(subscription).await, topic);
    }
}

async fn a_second_subscriber_hears_at_once(world: World) {
    let (one, two) = world.two().await;
    let mut first = world.subscribed(&two, "same").await;
    let mut second = two.subscribe("same");
    one.publish("same", "both".into());
    assert_eq!(message(&mut first).await, "both");
    assert_eq!(message(&mut second).await, "both");
    drop(first);
    one.publish("same", "one".into());
    assert_eq!(message(&mut second).await, "one");
}
