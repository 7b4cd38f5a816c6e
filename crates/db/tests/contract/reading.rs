//! Readers: one state throughout, never behind the writer, and read only.

use crate::{code, hold, kept, places::places, put, queued, soon};
use angarium_base::{Result, error::NOT_FOUND};
use angarium_db::Tx;
use std::sync::mpsc;

fn count(tx: &mut Tx<'_>) -> Result<i64> {
    tx.one("SELECT count(*) FROM things", &[], |row| row.get(0))
}

#[tokio::test]
async fn a_reader_sees_one_state_throughout() {
    for place in places() {
        let db = place.open();
        db.write(|tx| put(tx, "one")).await.unwrap();
        let (looked, has_looked) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let reading = queued(db.read(move |tx| {
            let before = count(tx)?;
            looked.send(()).unwrap();
            may_go_on.recv_timeout(crate::NEVER).unwrap();
            Ok((before, count(tx)?))
        }));
        has_looked.recv_timeout(crate::NEVER).unwrap();
        soon(db.write(|tx| put(tx, "two"))).await.unwrap();
        assert_eq!(soon(db.read(count)).await.unwrap(), 2, "a reader that begins now sees the write");
        go_on.send(()).unwrap();
        assert_eq!(soon(reading).await.unwrap(), (1, 1));
    }
}

#[tokio::test]
async fn readers_do_not_wait_for_a_blocked_writer_and_see_nothing_of_its_tick() {
    for place in places() {
        let db = place.open();
        db.write(|tx| put(tx, "committed")).await.unwrap();
        let (wrote, has_written) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let writing = queued(db.write(move |tx| {
            put(tx, "not yet committed")?;
            wrote.send(()).unwrap();
            released.recv_timeout(crate::NEVER).unwrap();
            Ok(())
        }));
        has_written.recv_timeout(crate::NEVER).unwrap();
        for _ in 0..20 {
            assert_eq!(soon(db.read(crate::names)).await.unwrap(), ["committed"]);
        }
        release.send(()).unwrap();
        soon(writing).await.unwrap();
        assert_eq!(kept(&db).await.len(), 2);
    }
}

#[tokio::test]
async fn what_was_written_is_seen_by_the_next_read() {
    for place in places() {
        let db = place.open();
        for n in 1..=50 {
            db.write(move |tx| put(tx, &format!("thing {n}"))).await.unwrap();
            assert_eq!(db.read(count).await.unwrap(), n);
        }
    }
}

#[tokio::test]
async fn a_read_that_fails_or_panics_leaves_the_readers_in_order() {
    for place in places() {
        let db = place.open();
        // More often than there are connections, so that each had its turn.
        for _ in 0..16 {
            let panics = db.read(|tx| -> Result<()> {
                count(tx)?;
                panic!("on purpose")
            });
            assert_eq!(code(soon(panics).await), "internal");
            let fails = db.read(|tx| {
                count(tx)?;
                Err::<(), _>(NOT_FOUND.err("no"))
            });
            assert_eq!(code(soon(fails).await), "not_found");
        }
        db.write(|tx| put(tx, "new")).await.unwrap();
        for _ in 0..16 {
            assert_eq!(soon(db.read(count)).await.unwrap(), 1, "no reader is stuck in an old state");
        }
    }
}

#[tokio::test]
async fn a_read_cannot_write() {
    for place in places() {
        let db = place.open();
        assert_eq!(code(db.read(|tx| put(tx, "sneaked in")).await), "store_failed");
        assert!(kept(&db).await.is_empty());
    }
}

#[tokio::test]
async fn a_reader_whose_caller_went_away_gives_its_connection_back() {
    for place in places() {
        let db = place.open();
        let held = hold(&db);
        for _ in 0..16 {
            let (release, released) = mpsc::channel::<()>();
            drop(queued(db.read(move |_| {
                released.recv_timeout(crate::NEVER).unwrap();
                Ok(())
            })));
            // It may be gone already: dropped before it had a connection.
            let _ = release.send(());
        }
        assert_eq!(soon(db.read(count)).await.unwrap(), 0);
        held.release().await;
    }
}
