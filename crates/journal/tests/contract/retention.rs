//! Retention: the oldest go first, whole batches at a time, and whoever was behind is moved on.

use crate::{Open, START, World};
use angarium_journal::{Options, Retention};
use std::{collections::HashMap, time::Duration};
use tokio_util::sync::CancellationToken;

const MINUTE: i64 = 60_000;

fn keeping(age_ms: Option<i64>, bytes: Option<u64>) -> World {
    let retention = HashMap::from([("events".to_owned(), Retention { age_ms, bytes })]);
    World::with(Options { retention, ..Options::default() })
}

impl Open {
    async fn retain(&self) -> u64 {
        self.journal.retain(&CancellationToken::new()).await.unwrap()
    }

    /// First offset, next offset.
    async fn range(&self) -> (u64, u64) {
        let extent = self.journal.extent_of(&self.stream).await.unwrap();
        (extent.first_offset, extent.next_offset)
    }
}

/// Ten batches of three records, a minute apart; the clock stands at the last.
async fn ten_minutes(world: &World) -> Open {
    let open = world.open().await;
    for n in 0..10 {
        if n > 0 {
            world.clock.advance(MINUTE);
        }
        open.say(&[&format!("{n} a"), &format!("{n} b"), &format!("{n} c")]).await;
    }
    open
}

#[tokio::test]
async fn what_is_older_than_kept_goes_and_offsets_stay() {
    let world = keeping(Some(4 * MINUTE), None);
    if world.is_kafka() {
        return; // Kafka does it, as the topics are told.
    }
    let open = ten_minutes(&world).await;
    assert_eq!(open.retain().await, 15, "five batches; the one of exactly four minutes stays");
    assert_eq!(open.range().await, (15, 30));
    assert_eq!(open.retain().await, 0, "nothing is left to remove");
    open.say(&["new"]).await;
    assert_eq!(open.range().await, (15, 31));
    let left = open.walk(15, 4).await;
    assert_eq!((left.len(), left[0].as_str(), left[15].as_str()), (16, "5 a", "new"));
    let open = world.reopen(open).await;
    assert_eq!(open.range().await, (15, 31));
    assert_eq!(open.walk(15, 4).await, left);
}

#[tokio::test]
async fn readers_that_are_behind_are_moved_to_the_first_record_that_is_there() {
    let world = keeping(Some(4 * MINUTE), None);
    if world.is_kafka() {
        return; // Kafka does it, as the topics are told.
    }
    let mut open = ten_minutes(&world).await;
    open.retain().await;
    // From the memory of the process that wrote it, and from disk.
    for life in ["first", "second"] {
        for from in [0, 7, 14, 15] {
            let page = open.journal.read(&open.stream, from, 4).await.unwrap();
            let offsets: Vec<u64> = page.records().map(|record| record.offset).collect();
            assert_eq!(offsets, [15, 16, 17, 18], "{life} life, from {from}");
            assert_eq!(page.next, 19);
        }
        open = world.reopen(open).await;
    }
}

#[tokio::test]
async fn groups_that_are_behind_are_moved_on_and_told_how_much_they_missed() {
    let world = keeping(Some(4 * MINUTE), None);
    if world.is_kafka() {
        return; // Kafka does it, as the topics are told.
    }
    let open = ten_minutes(&world).await;
    open.journal.commit_group(&open.stream, "behind", "one", 4).await.unwrap();
    open.journal.commit_group(&open.stream, "ahead", "one", 20).await.unwrap();
    open.retain().await;

    let shown = open.journal.show_group(&open.stream, "behind").await.unwrap().unwrap();
    assert_eq!((shown.committed, shown.lag), (4, 15), "what is gone is no lag");
    let handed = open.journal.poll_group(&open.stream, "behind", "one", 2, Duration::ZERO).await.unwrap();
    assert_eq!((handed.expired, handed.lag, handed.page.next), (11, 15, 17));
    assert_eq!(handed.page.records().map(|r| r.offset).collect::<Vec<_>>(), [15, 16]);
    let late = open.journal.commit_group(&open.stream, "behind", "one", 5).await.unwrap();
    assert_eq!(late.lag, 15, "also for one that commits what is gone by now");
    let done = open.journal.commit_group(&open.stream, "behind", "one", 17).await.unwrap();
    assert_eq!((done.committed, done.lag), (17, 13));

    let handed = open.journal.poll_group(&open.stream, "ahead", "one", 2, Duration::ZERO).await.unwrap();
    assert_eq!((handed.expired, handed.lag), (0, 10));
}

#[tokio::test]
async fn what_is_more_than_kept_goes_oldest_first_in_whole_batches() {
    let filled = async |world: &World| {
        let open = world.open().await;
        for n in 0..10 {
            let (one, two) = (crate::noise(2_000, n), crate::noise(2_000, 100 + n));
            open.append(&[(None, &one), (None, &two)]).await;
        }
        open
    };
    let world = keeping(None, Some(17_000));
    if world.is_kafka() {
        return; // Kafka does it, as the topics are told.
    }
    let open = filled(&world).await;
    let before = open.journal.extent_of(&open.stream).await.unwrap();
    let batch = before.bytes / 10;
    assert!(batch > 4_000 && batch < 4_100);
    assert_eq!(open.retain().await, 12);
    let after = open.journal.extent_of(&open.stream).await.unwrap();
    assert_eq!((after.first_offset, after.next_offset, after.bytes), (12, 20, batch * 4));
    assert_eq!(after.retention, Retention { age_ms: None, bytes: Some(17_000) });
    assert_eq!(open.retain().await, 0);
    let open = world.reopen(open).await;
    assert_eq!(open.journal.extent_of(&open.stream).await.unwrap(), after);
    assert_eq!(open.walk(12, 3).await.len(), 8);
}

#[tokio::test]
async fn a_stream_of_which_nothing_is_left_goes_on_where_it_was() {
    let world = keeping(Some(MINUTE), None);
    if world.is_kafka() {
        return; // Kafka does it, as the topics are told.
    }
    let open = ten_minutes(&world).await;
    world.clock.advance(100 * MINUTE);
    assert_eq!(open.retain().await, 30);
    let extent = open.journal.extent_of(&open.stream).await.unwrap();
    assert_eq!((extent.first_offset, extent.next_offset, extent.bytes), (30, 30, 0));
    let open = world.reopen(open).await;
    assert!(open.journal.read(&open.stream, 0, 10).await.unwrap().is_empty());
    assert_eq!(open.journal.offset_at(&open.stream, START).await.unwrap(), 30);
    let handed = open.journal.poll_group(&open.stream, "late", "one", 2, Duration::ZERO).await.unwrap();
    assert!(handed.page.is_empty());
    assert_eq!((handed.expired, handed.lag), (30, 0));
    assert_eq!(handed.page.next, 30, "a cursor that can be committed");
    open.say(&["new"]).await;
    assert_eq!(open.walk(30, 10).await, ["new"]);
    let page = open.journal.read(&open.stream, 0, 10).await.unwrap();
    assert_eq!(page.records().map(|record| record.offset).collect::<Vec<_>>(), [30]);
}

#[tokio::test]
async fn many_batches_are_removed_in_pieces_until_all_are_gone() {
    let world = keeping(Some(MINUTE), None);
    if world.is_kafka() {
        return; // Kafka does it, as the topics are told.
    }
    let open = world.open().await;
    for _ in 0..200 {
        open.say(&["old"]).await;
    }
    world.clock.advance(2 * MINUTE);
    open.say(&["new"]).await;
    assert_eq!(open.retain().await, 200);
    assert_eq!(open.range().await, (200, 201));
}

#[tokio::test]
async fn counts_go_with_what_they_count() {
    let world = keeping(Some(4 * MINUTE), None);
    if world.is_kafka() {
        return; // Kafka does it, as the topics are told.
    }
    let open = ten_minutes(&world).await;
    open.retain().await;
    let counts = open.journal.counts(&open.stream, 0..i64::MAX, 1, 100).await.unwrap();
    let minutes: Vec<i64> = counts.iter().map(|(minute, ..)| minute - START / MINUTE).collect();
    assert_eq!(minutes, [5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn instants_are_found_among_what_is_left() {
    let world = keeping(Some(4 * MINUTE), None);
    if world.is_kafka() {
        return; // Kafka does it, as the topics are told.
    }
    let open = ten_minutes(&world).await;
    open.retain().await;
    let offset_at = async |at| open.journal.offset_at(&open.stream, at).await.unwrap();
    assert_eq!(offset_at(START).await, 15);
    assert_eq!(offset_at(START + 7 * MINUTE).await, 21);
    assert_eq!(offset_at(START + 20 * MINUTE).await, 30);
}

#[tokio::test]
async fn streams_not_named_follow_the_star_and_without_it_are_kept() {
    let star = Retention { age_ms: Some(MINUTE), bytes: None };
    let retention = HashMap::from([("*".to_owned(), star), ("events".to_owned(), Retention::default())]);
    let world = World::with(Options { retention, ..Options::default() });
    if world.is_kafka() {
        return; // Kafka does it, as the topics are told.
    }
    let open = ten_minutes(&world).await;
    let other = open.journal.stream(&world.app, "other").await.unwrap();
    let mut batch = angarium_journal::Batch::default();
    open.journal.add(&mut batch, &other, "kind", None, b"x");
    open.journal.append(&other, batch).await.unwrap();
    world.clock.advance(2 * MINUTE);
    assert_eq!(open.retain().await, 1);
    assert_eq!(open.range().await, (0, 30), "events are kept for ever");
    assert_eq!(open.journal.extent_of(&other).await.unwrap().retention, star);
}

#[tokio::test(start_paused = true)]
async fn the_maintenance_applies_retention_by_itself() {
    let world = keeping(Some(4 * MINUTE), None);
    if world.is_kafka() {
        return; // Kafka does it, as the topics are told.
    }
    let open = ten_minutes(&world).await;
    let stop = CancellationToken::new();
    let (journal, token) = (open.journal.clone(), stop.clone());
    let maintaining = tokio::spawn(async move { journal.maintain(token).await });
    let started = std::time::Instant::now();
    while open.range().await != (15, 30) {
        assert!(started.elapsed() < crate::NEVER);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    crate::soon(maintaining).await.unwrap();
}
