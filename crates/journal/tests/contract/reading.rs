//! Pages, from memory and from disk, and the wake-up of those who wait.

use crate::{Open, START, World, noise, soon};

/// Small rows, rows that are compressed, rows that cannot be: records of each, in several ticks.
async fn mixed(open: &Open) -> Vec<String> {
    let mut said = Vec::new();
    for round in 0..6 {
        let small = format!("small {round}");
        open.say(&[&small]).await;
        let many: Vec<String> = (0..40).map(|n| format!("{round} of many {n} {}", "x".repeat(200))).collect();
        open.say(&many.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let hex: String = noise(4_000, round).iter().map(|byte| char::from(32 + byte % 95)).collect();
        open.say(&[&hex, "after the noise"]).await;
        said.push(small);
        said.extend(many);
        said.extend([hex, "after the noise".to_owned()]);
    }
    said
}

async fn every_page_size_walks_every_record_once(open: &Open, said: &[String]) {
    for max in [1, 2, 3, 7, 40, 41, 100, 10_000, u64::MAX] {
        assert_eq!(open.walk(0, max).await, said, "pages of {max}");
    }
}

async fn every_offset_is_a_place_to_begin(open: &Open, said: &[String]) {
    for from in 0..=said.len() as u64 + 2 {
        let page = open.journal.read(&open.stream, from, 5).await.unwrap();
        let expected: Vec<_> = said.iter().enumerate().skip(from as usize).take(5).collect();
        let got: Vec<_> =
            page.records().map(|r| (r.offset, String::from_utf8_lossy(r.data).into_owned())).collect();
        assert_eq!(got.len(), expected.len(), "from {from}");
        for ((offset, text), (index, said)) in got.iter().zip(expected) {
            assert_eq!((*offset, text), (index as u64, said));
        }
        assert_eq!(page.next, from + got.len() as u64);
    }
}

#[tokio::test]
async fn pages_of_any_size_from_any_offset_hold_every_record_once_from_memory_and_from_disk() {
    let world = World::new();
    let open = world.open().await;
    let said = mixed(&open).await;
    let stats = open.journal.stats();
    assert!(stats.stored_bytes < stats.raw_bytes * 3 / 4, "some rows are compressed");
    every_page_size_walks_every_record_once(&open, &said).await;
    every_offset_is_a_place_to_begin(&open, &said).await;

    let open = world.reopen(open).await;
    every_page_size_walks_every_record_once(&open, &said).await;
    every_offset_is_a_place_to_begin(&open, &said).await;

    // Old rows from disk, new ones from memory.
    let more = mixed(&open).await;
    let said: Vec<String> = said.into_iter().chain(more).collect();
    every_page_size_walks_every_record_once(&open, &said).await;
    every_offset_is_a_place_to_begin(&open, &said).await;
}

#[tokio::test]
async fn a_reader_passes_from_disk_to_memory_without_losing_its_place() {
    let world = World::new();
    let open = world.open().await;
    // More than is kept in memory.
    for n in 0..14 {
        let (one, two) = (noise(400_000, n * 2), noise(400_000, n * 2 + 1));
        open.append(&[(None, &one), (None, &two)]).await;
    }
    for max in [1, 3, 1_000] {
        let mut at = 0;
        loop {
            let page = open.journal.read(&open.stream, at, max).await.unwrap();
            if page.is_empty() {
                break;
            }
            let bytes: usize = page.records().map(|record| record.data.len()).sum();
            assert!(bytes <= 4 << 20, "a page is bounded in bytes: {bytes}");
            for record in page.records() {
                assert_eq!(record.offset, at);
                assert!(record.data == noise(400_000, at), "record {at} is intact");
                at += 1;
            }
            assert_eq!(page.next, at);
        }
        assert_eq!(at, 28);
    }
}

#[tokio::test]
async fn a_page_of_no_records_and_one_beyond_the_end_are_empty_and_stay_where_they_are() {
    let world = World::new();
    let open = world.open().await;
    for _ in 0..2 {
        for (from, max) in [(0, 0), (0, 10), (500, 10), (u64::MAX >> 1, 10)] {
            let page = open.journal.read(&open.stream, from, max).await.unwrap();
            if from > 0 || max == 0 {
                assert!(page.is_empty());
                assert_eq!((page.records().count(), page.next), (0, from));
            }
        }
        open.say(&["a"]).await;
    }
}

#[tokio::test]
async fn whoever_watches_is_rung_after_the_commit() {
    let world = World::new();
    let open = world.open().await;
    open.say(&["before"]).await;
    let mut bell = open.journal.watch(&open.stream).await.unwrap();
    assert_eq!(*bell.borrow_and_update(), 1);
    for n in 1..=20 {
        let (append, rung) = tokio::join!(open.say(&["a", "b"]), async {
            soon(bell.changed()).await.unwrap();
            let next = *bell.borrow_and_update();
            // What the bell says is on disk by now, and readable.
            let on_disk = open.journal.extent_of(&open.stream).await.unwrap().next_offset;
            let readable = open.journal.read(&open.stream, next - 1, 10).await.unwrap().records().count();
            (next, on_disk, readable)
        });
        let () = append;
        assert_eq!(rung, (1 + 2 * n, 1 + 2 * n, 1));
    }
    let other = open.journal.stream(&world.app, "other").await.unwrap();
    let mut batch = angarium_journal::Batch::default();
    open.journal.add(&mut batch, &other, "kind", None, b"x");
    open.journal.append(&other, batch).await.unwrap();
    assert!(!bell.has_changed().unwrap(), "another stream rings another bell");

    let open = world.reopen(open).await;
    assert_eq!(*open.journal.watch(&open.stream).await.unwrap().borrow(), 41, "also in another life");
}

#[tokio::test]
async fn what_a_transaction_appends_rings_too() {
    let world = World::new();
    let open = world.open().await;
    let mut bell = open.journal.watch(&open.stream).await.unwrap();
    let (journal, stream) = (open.journal.clone(), open.stream.clone());
    open.db
        .write(move |tx| {
            journal.append_in(tx, &stream, "kind", b"staged");
            Ok(())
        })
        .await
        .unwrap();
    soon(bell.changed()).await.unwrap();
    assert_eq!(*bell.borrow(), 1);
}

#[tokio::test]
async fn the_offset_of_an_instant_is_that_of_the_first_record_at_it_or_later() {
    let world = World::new();
    if world.is_kafka() {
        return; // Instants are those of the broker's clock.
    }
    let open = world.open().await;
    let offset_at =
        async |open: &Open, after: i64| open.journal.offset_at(&open.stream, START + after).await.unwrap();
    assert_eq!(offset_at(&open, 0).await, 0, "of an empty stream, its end");
    for _ in 0..3 {
        open.say(&["a", "b"]).await;
        open.say(&["c"]).await;
        world.clock.advance(1_000);
    }
    for (after, offset) in [(-1, 0), (0, 0), (1, 3), (1_000, 3), (1_001, 6), (2_000, 6), (2_001, 9)] {
        assert_eq!(offset_at(&open, after).await, offset, "after {after} ms");
    }
    let open = world.reopen(open).await;
    assert_eq!(offset_at(&open, 1_000).await, 3);
}
