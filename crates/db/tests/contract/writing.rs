//! Ticks: what is answered is there, what fails is undone alone, one commit for all.

use crate::{code, hold, kept, open, places::places, poll, put, putting, queued, soon, until};
use angarium_base::{Error, Result, error::NOT_FOUND};
use angarium_db::{Db, Participant, Tx, v};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Poll,
};

#[tokio::test]
async fn what_a_write_answered_is_there_after_reopening() {
    for place in places() {
        let db = place.open();
        for n in 0..20 {
            let answer = db
                .write(move |tx| {
                    put(tx, &format!("thing {n:02}"))?;
                    Ok(n * 2)
                })
                .await;
            assert_eq!(answer.unwrap(), n * 2);
        }
        // Dropped without closing it: what was answered needs no farewell.
        drop(db);
        let names = kept(&place.open()).await;
        assert_eq!(names, (0..20).map(|n| format!("thing {n:02}")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_closure_that_fails_or_panics_is_undone_alone() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    let held = hold(&db);
    let before = queued(putting(&db, "before"));
    let fails = queued(db.write(|tx| {
        put(tx, "of the failing")?;
        Err::<(), _>(NOT_FOUND.err("no"))
    }));
    let between = queued(putting(&db, "between"));
    let panics = queued(db.write(|tx| -> Result<()> {
        put(tx, "of the panicking")?;
        panic!("on purpose")
    }));
    let refused = queued(putting(&db, "before"));
    let after = queued(putting(&db, "after"));
    held.release().await;

    for fine in [before, between, after] {
        soon(fine).await.unwrap();
    }
    assert_eq!(code(soon(fails).await), "not_found", "the closure's own error comes back");
    assert_eq!(code(soon(panics).await), "internal");
    assert_eq!(code(soon(refused).await), "store_failed", "a broken constraint");
    assert_eq!(kept(&db).await, ["after", "before", "between"]);
    assert!(db.health().healthy, "a closure's failure is not the store's");
    assert_eq!(db.stats().failed_commits, 0);
}

#[tokio::test]
async fn closures_that_wait_together_share_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    let held = hold(&db);
    let before = db.stats();
    let writes: Vec<_> = (0..200).map(|n| queued(putting(&db, &format!("thing {n}")))).collect();
    held.release().await;
    for write in writes {
        soon(write).await.unwrap();
    }
    let after = db.stats();
    assert_eq!(after.closures - before.closures, 200);
    // The held tick, and that of the others; a tick ends after 20 ms, so a stalled machine may need more.
    let commits = after.commits - before.commits;
    assert!(commits <= 6, "{commits} commits for 200 closures");
    assert_eq!(kept(&db).await.len(), 200);
}

#[tokio::test]
async fn closures_run_in_the_order_in_which_they_came() {
    for place in places() {
        let db = place.open();
        let held = hold(&db);
        let writes: Vec<_> = (0..50_i64)
            .map(|n| {
                queued(db.write(move |tx| {
                    put(tx, &format!("thing {n}"))?;
                    tx.one("SELECT count(*) FROM things", &[], |row| Ok((n, row.get::<i64>(0)?)))
                }))
            })
            .collect();
        held.release().await;
        for write in writes {
            let (n, seen) = soon(write).await.unwrap();
            assert_eq!(seen, n + 1, "a closure sees what came before it, and only that");
        }
    }
}

#[tokio::test]
async fn a_write_whose_caller_went_away_is_done_whole() {
    for place in places() {
        let db = place.open();
        let held = hold(&db);
        let dropped = queued(db.write(|tx| {
            put(tx, "first half")?;
            put(tx, "second half")
        }));
        drop(dropped);
        let later = queued(putting(&db, "later"));
        held.release().await;
        soon(later).await.unwrap();
        assert_eq!(kept(&db).await, ["first half", "later", "second half"]);
    }
}

#[tokio::test]
async fn a_full_queue_answers_overloaded_and_takes_again_when_there_is_room() {
    for place in places() {
        const MORE_THAN_WAIT: usize = 20_000;
        let db = place.open();
        let held = hold(&db);
        let mut waiting = Vec::new();
        let refused = loop {
            assert!(waiting.len() < MORE_THAN_WAIT, "the queue has no bound");
            let mut write = Box::pin(db.write(|_| Ok(())));
            match poll(&mut write) {
                Poll::Pending => waiting.push(write),
                Poll::Ready(refused) => break refused,
            }
        };
        assert_eq!(code(refused), "overloaded");
        assert_eq!(waiting.len(), 10_000);
        held.release().await;
        for write in waiting {
            soon(write).await.unwrap();
        }
        db.write(|tx| put(tx, "there is room again")).await.unwrap();
    }
}

#[tokio::test]
async fn closing_finishes_what_is_queued_and_refuses_what_comes_later() {
    for place in places() {
        let db = place.open();
        let held = hold(&db);
        let mut waiting: Vec<_> = (0..50).map(|n| queued(putting(&db, &format!("early {n:02}")))).collect();
        let closing = std::thread::spawn({
            let db = db.clone();
            move || db.close()
        });
        // Until the close is heard, writes are still taken, and so have to be finished.
        let mut refused = None;
        until("writes are refused", || {
            let mut write = Box::pin(putting(&db, &format!("early {:02}", waiting.len())));
            match poll(&mut write) {
                Poll::Pending => waiting.push(write),
                Poll::Ready(outcome) => refused = Some(code(outcome)),
            }
            refused.is_some()
        })
        .await;
        assert_eq!(refused, Some("unavailable"));
        // A tick takes no more closures after 20 ms: what waits is left to the ticks after the close.
        let held_since = std::time::Instant::now();
        until("the held tick is full", || held_since.elapsed() > std::time::Duration::from_millis(30)).await;
        held.release().await;
        let taken = waiting.len();
        for write in waiting {
            soon(write).await.unwrap();
        }
        closing.join().unwrap();
        assert_eq!(code(soon(db.write(|_| Ok(()))).await), "unavailable");
        assert_eq!(code(soon(db.read(|_| Ok(()))).await), "unavailable");
        db.close();
        drop(db);
        assert_eq!(kept(&place.open()).await.len(), taken);
    }
}

#[tokio::test]
async fn the_last_handle_may_go_with_a_closure() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    let (dropped, gone) = std::sync::mpsc::channel();
    {
        let held = hold(&db);
        let (own, guard) = (db.clone(), SendsOnDrop(dropped));
        drop(queued(db.write(move |tx| {
            let _captured = (&own, &guard);
            put(tx, "by the last handle")
        })));
        held.release.send(()).unwrap();
    }
    drop(db);
    // The writer thread let go of the closure, and with it of the last handle.
    gone.recv_timeout(crate::NEVER).unwrap();
    let mut again = None;
    until("the directory is free again", || {
        again = Db::open(dir.path(), &[crate::THINGS], angarium_base::Clock::manual(0)).ok();
        again.is_some()
    })
    .await;
    assert_eq!(kept(&again.unwrap()).await, ["by the last handle"]);
}

struct SendsOnDrop(std::sync::mpsc::Sender<()>);

impl Drop for SendsOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn a_closure_is_gone_before_its_caller_hears() {
    for place in places() {
        let db = place.open();
        for _ in 0..200 {
            let captured = Arc::new(());
            let inside = captured.clone();
            db.write(move |_| {
                let _captured = &inside;
                Ok(())
            })
            .await
            .unwrap();
            assert_eq!(Arc::strong_count(&captured), 1, "what a closure held is released when it answers");
        }
    }
}

/// What a participant saw, and how it is to behave.
#[derive(Default)]
struct Desk {
    staged: Mutex<Vec<(i64, Vec<u8>)>>,
    settled: Mutex<Vec<bool>>,
    fails: AtomicBool,
    panics: AtomicBool,
}

struct Clerk(Arc<Desk>);

impl Participant for Clerk {
    fn pending(&self) -> usize {
        0
    }

    fn flush(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let taken = tx.take_staged().into_iter().map(|staged| (staged.stream, staged.frame));
        self.0.staged.lock().unwrap().extend(taken);
        assert!(!self.0.panics.swap(false, SeqCst), "on purpose");
        if self.0.fails.swap(false, SeqCst) { Err(NOT_FOUND.err("on purpose")) } else { Ok(()) }
    }

    fn settle(&mut self, outcome: std::result::Result<(), &Error>) {
        self.0.settled.lock().unwrap().push(outcome.is_ok());
    }
}

fn with_clerk(db: &Db) -> Arc<Desk> {
    let desk = Arc::new(Desk::default());
    db.join(Box::new(Clerk(desk.clone())));
    desk
}

#[tokio::test]
async fn staged_records_go_with_their_closure() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    let desk = with_clerk(&db);
    let held = hold(&db);
    let first = queued(db.write(|tx| {
        tx.stage(7, b"first".to_vec());
        put(tx, "first")
    }));
    let fails = queued(db.write(|tx| {
        tx.stage(7, b"of the failing".to_vec());
        Err::<(), _>(NOT_FOUND.err("no"))
    }));
    let panics = queued(db.write(|tx| -> Result<()> {
        tx.stage(7, b"of the panicking".to_vec());
        panic!("on purpose")
    }));
    let second = queued(db.write(|tx| {
        tx.stage(8, b"second".to_vec());
        put(tx, "second")
    }));
    held.release().await;
    soon(first).await.unwrap();
    soon(second).await.unwrap();
    assert_eq!(code(soon(fails).await), "not_found");
    assert_eq!(code(soon(panics).await), "internal");
    let staged = desk.staged.lock().unwrap().clone();
    assert_eq!(staged, [(7, b"first".to_vec()), (8, b"second".to_vec())]);
}

#[tokio::test]
async fn a_participant_that_fails_or_panics_fails_its_tick_whole_and_the_store_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    let desk = with_clerk(&db);
    db.write(|tx| put(tx, "before")).await.unwrap();

    desk.fails.store(true, SeqCst);
    assert_eq!(code(soon(db.write(|tx| put(tx, "of the failed tick"))).await), "not_found");
    until("the canary succeeds", || db.health().healthy).await;
    desk.panics.store(true, SeqCst);
    assert_eq!(code(soon(db.write(|tx| put(tx, "of the panicked tick"))).await), "internal");
    assert!(desk.settled.lock().unwrap().contains(&false), "the participant is told");
    until("the canary succeeds again", || db.health().healthy).await;

    soon(db.write(|tx| put(tx, "after"))).await.unwrap();
    assert_eq!(kept(&db).await, ["after", "before"]);
}

#[tokio::test]
async fn parameters_bind_by_number_in_whatever_order_they_appear() {
    for place in places() {
        let db = place.open();
        let row = db
            .write(|tx| {
                tx.one(
                    "SELECT CAST($3 AS TEXT), CAST($1 AS TEXT), CAST($2 AS BIGINT), CAST($1 AS TEXT)",
                    v!["one", 2, None::<&str>],
                    |row| {
                        Ok((
                            row.get::<Option<String>>(0)?,
                            row.get::<String>(1)?,
                            row.get::<i64>(2)?,
                            row.get(3)?,
                        ))
                    },
                )
            })
            .await;
        assert_eq!(row.unwrap(), (None, "one".to_owned(), 2, "one".to_owned()));
        // The same cached statement with other parameters takes nothing over from the first run.
        let swap = |a: &'static str, b: &'static str| {
            db.write(move |tx| tx.one("SELECT $2 || $1", v![a, b], |row| row.get::<String>(0)))
        };
        assert_eq!(swap("a", "b").await.unwrap(), "ba");
        assert_eq!(swap("c", "d").await.unwrap(), "dc");
        let missing = db.write(|tx| {
            tx.one("SELECT CAST($1 AS TEXT), CAST($2 AS TEXT)", v!["only one"], |row| row.get::<String>(0))
        });
        assert_eq!(code(missing.await), "store_failed", "a parameter that is not given is not NULL");
    }
}
