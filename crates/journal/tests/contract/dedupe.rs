//! A record whose id was seen within the window is not appended again.

use crate::{ALL, Open, World, until};
use angarium_journal::{Appended, Batch, Options, Window};
use std::sync::{Arc, atomic::Ordering::SeqCst};
use tokio_util::sync::CancellationToken;

/// More than a set in memory holds.
const A_FULL_SET: usize = 300_000;

fn with_window(age_ms: i64, ids: usize) -> World {
    World::with(Options { window: Window { age_ms, ids }, ..Options::default() })
}

impl Open {
    /// Appends one record for each id; returns which were taken for duplicates.
    async fn ids(&self, ids: &[&str]) -> Vec<u32> {
        let items: Vec<_> = ids.iter().map(|id| (Some(*id), id.as_bytes())).collect();
        let Appended { accepted, duplicates } = self.append(&items).await;
        assert_eq!(accepted as usize + duplicates.len(), ids.len());
        duplicates
    }

    /// Appends records `prefix n` in one batch; returns how many were taken for duplicates.
    async fn numbered(&self, prefix: &str, numbers: impl Iterator<Item = usize>) -> usize {
        let mut batch = Batch::default();
        for n in numbers {
            self.journal.add(&mut batch, &self.stream, "k", Some(&format!("{prefix} {n}")), b"x");
        }
        let count = batch.count();
        let Appended { accepted, duplicates } =
            crate::soon(self.journal.append(&self.stream, batch)).await.unwrap();
        assert_eq!(accepted + duplicates.len() as u32, count);
        duplicates.len()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        self.db.read(move |tx| tx.one(sql, &[], |row| row.get(0))).await.unwrap()
    }

    async fn sealed_runs(&self) -> i64 {
        self.count("SELECT count(*) FROM seen_runs").await
    }

    /// Lets the maintenance run until `done` sealed runs are on disk. Needs tokio's clock to stand.
    async fn maintain_until(&self, done: impl Fn(i64) -> bool) {
        let stop = CancellationToken::new();
        let (journal, token) = (self.journal.clone(), stop.clone());
        let maintaining = tokio::spawn(async move { journal.maintain(token).await });
        let started = std::time::Instant::now();
        while !done(self.sealed_runs().await) {
            assert!(started.elapsed() < crate::NEVER, "maintenance does not get there");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        stop.cancel();
        maintaining.await.unwrap();
    }
}

#[tokio::test]
async fn an_id_that_comes_twice_is_appended_once_within_a_batch_later_and_after_reopening() {
    let world = World::new();
    let open = world.open().await;
    assert_eq!(open.ids(&["a", "b", "a", "c", "a"]).await, [2, 4]);
    assert_eq!(open.ids(&["c", "d", "b"]).await, [0, 2]);
    assert_eq!(open.ids(&["a"]).await, [0], "nothing new is no error");
    let open = world.reopen(open).await;
    assert_eq!(open.ids(&["d", "e", "a"]).await, [0, 2]);
    let open = world.reopen(open).await;
    assert_eq!(open.ids(&["e", "a"]).await, [0, 1]);
    assert_eq!(open.all().await, ["a", "b", "c", "d", "e"]);
    if world.is_embedded() {
        assert_eq!(open.journal.stats().remembered_ids, 5);
    }
}

#[tokio::test]
async fn records_without_an_id_are_never_duplicates() {
    let world = World::new();
    let open = world.open().await;
    open.say(&["same", "same"]).await;
    open.say(&["same"]).await;
    assert_eq!(open.all().await.len(), 3);
}

#[tokio::test]
async fn of_a_large_batch_only_the_duplicates_are_left_out() {
    let world = World::new();
    let open = world.open().await;
    open.ids(&["10", "11", "500"]).await;
    let texts: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    assert_eq!(open.ids(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await, [10, 11, 500]);
    let expected: Vec<String> = ["10", "11", "500"]
        .map(str::to_owned)
        .into_iter()
        .chain(texts.into_iter().filter(|text| !["10", "11", "500"].contains(&text.as_str())))
        .collect();
    assert_eq!(open.all().await, expected);
    let open = world.reopen(open).await;
    assert_eq!(open.all().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_appends_of_one_id_exactly_one_is_kept() {
    let world = World::new();
    let open = Arc::new(world.open().await);
    for round in 0..20 {
        let appends: Vec<_> = (0..8)
            .map(|_| {
                let open = open.clone();
                tokio::spawn(async move { open.ids(&[&format!("id {round}")]).await.len() })
            })
            .collect();
        let mut duplicates = 0;
        for append in appends {
            duplicates += append.await.unwrap();
        }
        assert_eq!(duplicates, 7);
    }
    assert_eq!(open.all().await.len(), 20);
}

#[tokio::test]
async fn the_same_id_in_another_stream_is_another() {
    let world = World::new();
    let open = world.open().await;
    let other = open.journal.stream(&world.app, "other").await.unwrap();
    assert!(open.ids(&["a"]).await.is_empty());
    for duplicates in [vec![], vec![0]] {
        let mut batch = Batch::default();
        open.journal.add(&mut batch, &other, "kind", Some("a"), b"x");
        assert_eq!(open.journal.append(&other, batch).await.unwrap().duplicates, duplicates);
    }
}

#[tokio::test]
async fn a_failed_tick_takes_its_ids_back_so_that_the_retry_is_accepted() {
    let world = World::new();
    if world.is_kafka() {
        return; // It is the spool that keeps them, as the embedded engine does.
    }
    let open = world.open().await;
    let passes = open.saboteur();
    open.ids(&["before"]).await;
    passes.store(0, SeqCst);
    let retried = [(Some("a"), &b"a"[..]), (Some("b"), b"b"), (Some("before"), b"before")];
    assert_eq!(crate::code(open.try_append(&retried).await), "unavailable");
    passes.store(ALL, SeqCst);
    open.healed().await;
    assert_eq!(open.append(&retried).await, Appended { accepted: 2, duplicates: vec![2] });
    assert_eq!(open.append(&retried).await, Appended { accepted: 0, duplicates: vec![0, 1, 2] });
    let open = world.reopen(open).await;
    assert_eq!(open.all().await, ["before", "a", "b"]);
    if world.is_embedded() {
        assert_eq!(open.journal.stats().remembered_ids, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn ids_are_known_after_their_set_was_sealed_to_disk_and_after_reopening() {
    let world = World::new();
    if !world.is_embedded() {
        return; // Sets and runs are of the embedded engine; see `processes` for the other.
    }
    let open = world.open().await;
    assert_eq!(open.numbered("id", 0..A_FULL_SET).await, 0);
    let sample = || (0..A_FULL_SET).step_by(97);
    assert_eq!(open.numbered("id", sample()).await, sample().count(), "while it waits to be sealed");
    open.maintain_until(|runs| runs == 1).await;
    assert_eq!(open.count("SELECT count(*) FROM seen_recent").await, 0, "it is kept once");
    assert_eq!(open.numbered("id", sample()).await, sample().count(), "from disk");
    assert_eq!(open.numbered("other", 0..10_000).await, 0, "a filter that says perhaps is no answer");
    let open = world.reopen(open).await;
    assert_eq!(open.numbered("id", sample()).await, sample().count());
    assert_eq!(open.numbered("other", (0..10_000).step_by(7)).await, 10_000_usize.div_ceil(7));
    assert_eq!(open.journal.stats().remembered_ids as usize, A_FULL_SET + 10_000);
}

#[tokio::test(start_paused = true)]
async fn ids_are_known_although_an_earlier_process_ended_while_it_sealed_them() {
    const IDS: usize = 60_000;
    const WINDOW_MS: i64 = 80_000;
    let world = with_window(WINDOW_MS, 1_000_000);
    if !world.is_embedded() {
        return; // Sets and runs are of the embedded engine; see `processes` for the other.
    }
    let open = world.open().await;
    open.numbered("id", 0..IDS).await;
    world.clock.advance(WINDOW_MS / 8 + 1);
    open.ids(&["the set is old enough"]).await;
    // The disk fails after some rows of the set are sorted.
    open.saboteur().store(2, SeqCst);
    let journal = open.journal.clone();
    let maintaining = tokio::spawn(async move { journal.maintain(CancellationToken::new()).await });
    until("the store is sick", || !open.db.health().healthy).await;
    maintaining.abort();
    let _ = maintaining.await;
    assert_eq!(open.sealed_runs().await, 0, "it was stopped before it was done");
    assert!(open.count("SELECT count(*) FROM seen_sorted").await > 0, "but not before it began");

    // Other ids join the set, and it is sealed anew.
    let open = world.reopen(open).await;
    assert_eq!(open.numbered("id", (0..IDS).step_by(97)).await, IDS.div_ceil(97));
    open.numbered("later", 0..20_000).await;
    world.clock.advance(WINDOW_MS / 8 + 1);
    open.ids(&["old enough again"]).await;
    open.maintain_until(|runs| runs == 1).await;
    assert_eq!(open.numbered("id", (0..IDS).step_by(97)).await, IDS.div_ceil(97));
    assert_eq!(open.numbered("later", (0..20_000).step_by(7)).await, 20_000_usize.div_ceil(7));
}

#[tokio::test(start_paused = true)]
async fn an_id_is_known_throughout_the_window_and_accepted_again_after_it() {
    const WINDOW_MS: i64 = 80_000;
    let world = with_window(WINDOW_MS, 1_000_000);
    if !world.is_embedded() {
        return; // Sets and runs are of the embedded engine; see `processes` for the other.
    }
    let open = world.open().await;
    assert!(open.ids(&["old"]).await.is_empty());
    // Sets are sealed by age as well, an eighth of the window apart.
    for n in 0..7 {
        world.clock.advance(WINDOW_MS / 8 + 1);
        open.ids(&[&format!("filler {n}")]).await;
        open.maintain_until(|runs| runs == n + 1).await;
        assert_eq!(open.ids(&["old"]).await, [0], "{n} eighths later");
    }
    world.clock.advance(WINDOW_MS + 1);
    open.maintain_until(|runs| runs == 0).await;
    assert!(open.ids(&["old"]).await.is_empty(), "the window is over");
    assert_eq!(open.ids(&["old"]).await, [0], "and begins anew");
    let open = world.reopen(open).await;
    assert_eq!(open.ids(&["old"]).await, [0]);
    assert_eq!(open.all().await.iter().filter(|text| *text == "old").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_more_ids_are_remembered_than_is_told() {
    const WINDOW_MS: i64 = 80_000;
    let world = with_window(WINDOW_MS, 15_000);
    if !world.is_embedded() {
        return; // Sets and runs are of the embedded engine; see `processes` for the other.
    }
    let open = world.open().await;
    for (n, prefix) in ["first", "second"].into_iter().enumerate() {
        open.numbered(prefix, 0..10_000).await;
        world.clock.advance(WINDOW_MS / 8 + 1);
        open.ids(&[&format!("set {n} is old enough")]).await;
    }
    assert_eq!(open.journal.stats().remembered_ids, 20_002);
    open.maintain_until(|runs| runs == 1).await;
    until("the oldest are gone", || open.journal.stats().remembered_ids == 10_001).await;
    assert_eq!(open.numbered("second", (0..10_000).step_by(7)).await, 10_000_usize.div_ceil(7));
    assert_eq!(open.numbered("first", (0..10_000).step_by(7)).await, 0);
    assert_eq!(open.count("SELECT count(DISTINCT run) FROM seen_sorted").await, 1, "nor are they on disk");
}
