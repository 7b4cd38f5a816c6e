//! A disk that is full, a file that cannot be had: nobody is told a lie, and the store heals by itself.

use crate::{THINGS, code, hold, kept, put, putting, queued, soon, until};
use angarium_base::{Clock, Result};
use angarium_db::{Db, Migration, Tx, V, sqlite::FILE, v};
use std::path::Path;

/// A limit of pages only stops what makes the file larger, where a full disk stops everything. The triggers
/// let the canary need room too.
const CANARY_NEEDS_ROOM: Migration = Migration::new(
    "0002_room",
    "CREATE TABLE ballast (body BLOB);
          CREATE TABLE canary_room (body BLOB);
          CREATE TRIGGER canary_first AFTER INSERT ON canary BEGIN
              INSERT INTO canary_room VALUES (zeroblob(40000)); END;
          CREATE TRIGGER canary_again AFTER UPDATE ON canary BEGIN
              INSERT INTO canary_room VALUES (zeroblob(40000)); END;",
);

fn put_large(tx: &mut Tx<'_>, name: &str) -> Result<()> {
    let body = [7; 16_000];
    tx.exec("INSERT INTO things (name, body) VALUES ($1, $2)", v![name, &body[..]]).map(|_| ())
}

/// A store on a "disk" of 400 KiB, of which 200 are taken by ballast.
async fn small_store(dir: &Path) -> Db {
    let db = Db::open(dir, &[THINGS, CANARY_NEEDS_ROOM], Clock::manual(0)).unwrap();
    db.write(|tx| {
        tx.exec("INSERT INTO ballast VALUES (zeroblob(200000))", &[])?;
        tx.query("PRAGMA max_page_count = 100", &[], |_| Ok(()))
    })
    .await
    .unwrap();
    db
}

/// Fills the disk; returns the names of what was acknowledged.
async fn fill(db: &Db) -> Vec<String> {
    let mut acked = Vec::new();
    for n in 0..100 {
        let name = format!("large {n:03}");
        let own = name.clone();
        match soon(db.write(move |tx| put_large(tx, &own))).await {
            Ok(()) => acked.push(name),
            Err(error) => {
                assert_eq!(error.code().name, "unavailable");
                return acked;
            }
        }
    }
    panic!("the disk was never full")
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_heals_by_itself_with_all_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let db = small_store(dir.path()).await;
    let acked = fill(&db).await;
    assert!(acked.len() > 3);
    assert!(!db.health().healthy);

    let ran = db.stats().closures;
    for _ in 0..10 {
        assert_eq!(code(soon(db.write(|tx| put(tx, "refused"))).await), "unavailable");
    }
    assert_eq!(db.stats().closures, ran, "refused at once, not tried");
    assert_eq!(kept(&db).await, acked, "reading goes on");

    let failed = db.stats().failed_commits;
    until("the canary tries again", || db.stats().failed_commits > failed).await;
    assert!(!db.health().healthy, "a canary that fails heals nothing");

    // Somebody makes room.
    let other = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    other.execute("DELETE FROM ballast", []).unwrap();
    until("the canary succeeds", || db.health().healthy).await;

    soon(db.write(|tx| put_large(tx, "the first after"))).await.unwrap();
    let all: Vec<String> = acked.into_iter().chain(["the first after".to_owned()]).collect();
    assert_eq!(kept(&db).await, all);
    drop((db, other));
    let db = Db::open(dir.path(), &[THINGS, CANARY_NEEDS_ROOM], Clock::manual(0)).unwrap();
    assert_eq!(kept(&db).await, all);
}

#[tokio::test]
async fn when_the_disk_fills_within_a_tick_its_other_writes_are_there_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let db = small_store(dir.path()).await;
    let held = hold(&db);
    // Three small neighbours before the one that is too large, three after it.
    let small = |n: i64| queued(putting(&db, &format!("small {n}")));
    let mut writes: Vec<_> = (0..3).map(small).collect();
    let large = queued(db.write(|tx| {
        let body = vec![7; 1_000_000];
        tx.exec("INSERT INTO things (name, body) VALUES ('too large', $1)", &[V::Bytes(&body)]).map(|_| ())
    }));
    writes.extend((3..6).map(small));
    held.release.send(()).unwrap();
    assert_eq!(code(soon(large).await), "unavailable");
    let mut acked = Vec::new();
    for (n, write) in writes.into_iter().enumerate() {
        match soon(write).await {
            Ok(()) => acked.push(format!("small {n}")),
            Err(error) => assert_eq!(error.code().name, "unavailable", "small {n} may be tried again"),
        }
    }
    assert_eq!(kept(&db).await, acked, "acknowledged if and only if there");
}

#[tokio::test]
async fn a_closure_that_hides_a_full_disk_does_not_commit_half_of_itself() {
    let dir = tempfile::tempdir().unwrap();
    let db = small_store(dir.path()).await;
    let hides = db.write(|tx| {
        put(tx, "before")?;
        let body = vec![7; 1_000_000];
        let _hidden = tx.exec("INSERT INTO things (name, body) VALUES ('large', $1)", &[V::Bytes(&body)]);
        let _hidden = put(tx, "after");
        Ok(())
    });
    assert_eq!(code(soon(hides).await), "unavailable");
    assert!(kept(&db).await.is_empty());
}

#[tokio::test]
async fn while_the_file_cannot_be_had_writes_are_refused_and_not_held() {
    let dir = tempfile::tempdir().unwrap();
    let db = crate::open(dir.path());
    db.write(|tx| tx.query("PRAGMA busy_timeout = 20", &[], |_| Ok(()))).await.unwrap();
    let other = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = queued(db.write(|tx| put(tx, "first")));
    assert_eq!(code(soon(first).await), "unavailable");
    assert!(!db.health().healthy);
    assert_eq!(code(soon(db.write(|tx| put(tx, "second"))).await), "unavailable");
    other.execute_batch("ROLLBACK").unwrap();
    until("the canary succeeds", || db.health().healthy).await;
    soon(db.write(|tx| put(tx, "third"))).await.unwrap();
    assert_eq!(kept(&db).await, ["third"]);
}

#[tokio::test]
async fn health_tells_how_long_ago_the_last_commit_was() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(1_000_000);
    let db = Db::open(dir.path(), &[THINGS], clock.clone()).unwrap();
    db.write(|tx| put(tx, "a")).await.unwrap();
    assert_eq!(db.health().commit_age_ms, 0);
    clock.advance(3_000);
    assert_eq!(db.health().commit_age_ms, 3_000);
    db.write(|tx| put(tx, "b")).await.unwrap();
    assert_eq!(db.health().commit_age_ms, 0);
}
