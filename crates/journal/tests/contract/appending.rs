//! Order, wholeness, durability, and what a transaction appends.

use crate::{ALL, NEVER, Open, START, World, code, soon, until};
use angarium_base::error::NOT_FOUND;
use angarium_db::v;
use angarium_journal::Appended;
use std::{
    collections::HashMap,
    sync::{atomic::Ordering::SeqCst, mpsc},
    task::{Context, Waker},
    time::Duration,
};

#[tokio::test(flavor = "multi_thread")]
async fn under_concurrent_appenders_offsets_have_no_gap_and_every_append_stays_whole_and_in_order() {
    const APPENDERS: usize = 8;
    const ROUNDS: usize = 60;
    let world = World::new();
    let open = std::sync::Arc::new(world.open().await);
    let appenders: Vec<_> = (0..APPENDERS)
        .map(|appender| {
            let open = open.clone();
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    // Some are large enough to be a row of their own, most are not.
                    let padding = if round % 7 == 0 { 3_000 } else { 10 };
                    let texts: Vec<String> = (0..1 + round % 4)
                        .map(|n| format!("{appender} {round} {n} {}", "x".repeat(padding)))
                        .collect();
                    open.say(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
                }
            })
        })
        .collect();
    for appender in appenders {
        appender.await.unwrap();
    }

    let all = open.all().await;
    let total: usize = (0..ROUNDS).map(|round| 1 + round % 4).sum::<usize>() * APPENDERS;
    assert_eq!(all.len(), total);
    assert_eq!(open.journal.extent_of(&open.stream).await.unwrap().next_offset, total as u64);
    let mut next: HashMap<usize, (usize, usize)> = HashMap::new();
    let mut unfinished: Option<usize> = None;
    for text in &all {
        let parts: Vec<usize> = text.split(' ').take(3).map(|part| part.parse().unwrap()).collect();
        let (appender, round, n) = (parts[0], parts[1], parts[2]);
        assert!(unfinished.is_none_or(|other| other == appender), "another came in between");
        let expected = next.entry(appender).or_default();
        assert_eq!((round, n), *expected, "of appender {appender}");
        let last = n == round % 4;
        *expected = if last { (round + 1, 0) } else { (round, n + 1) };
        unfinished = (!last).then_some(appender);
    }
    let open = world.reopen(std::sync::Arc::into_inner(open).unwrap()).await;
    assert_eq!(open.all().await, all, "and all of it is on disk");
}

#[tokio::test]
async fn appends_that_wait_together_are_stored_in_the_order_in_which_they_came() {
    let world = World::new();
    let open = world.open().await;
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let db = open.db.clone();
    let held = tokio::spawn(async move {
        db.write(move |_| {
            entered.send(()).unwrap();
            released.recv_timeout(NEVER).unwrap();
            Ok(())
        })
        .await
    });
    until("the writer is held", || inside.try_recv().is_ok()).await;
    // Small ones that share a row, between large ones that have their own.
    let said: Vec<String> =
        (0..12).map(|n| format!("{n} {}", "x".repeat(if n % 3 == 1 { 5_000 } else { 5 }))).collect();
    let appends: Vec<_> = said
        .iter()
        .map(|text| {
            let batch = open.batch(&[(None, text.as_bytes())]);
            let mut append = Box::pin(open.journal.append(&open.stream, batch));
            let polled = append.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            append
        })
        .collect();
    release.send(()).unwrap();
    for append in appends {
        assert_eq!(soon(append).await.unwrap().accepted, 1);
    }
    soon(held).await.unwrap().unwrap();
    assert_eq!(open.all().await, said);
    assert_eq!(world.reopen(open).await.all().await, said);
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_and_transactions_that_come_together_are_all_answered() {
    let world = World::new();
    let open = std::sync::Arc::new(world.open().await);
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let open = open.clone();
            tokio::spawn(async move {
                for n in 0..100 {
                    if caller % 2 == 0 {
                        open.say(&["appended"]).await;
                    } else {
                        let (journal, stream) = (open.journal.clone(), open.stream.clone());
                        let noted = open.db.write(move |tx| {
                            tx.exec("INSERT INTO notes (name) VALUES ($1)", v![&format!("{caller} {n}")])?;
                            journal.append_in(tx, &stream, "kind", b"staged");
                            Ok(())
                        });
                        soon(noted).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let all = open.all().await;
    assert_eq!(all.iter().filter(|text| *text == "appended").count(), 400);
    assert_eq!(all.iter().filter(|text| *text == "staged").count(), 400);
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_over_reopening() {
    let world = World::new();
    let mut open = world.open().await;
    let mut said = Vec::new();
    for life in 0..4 {
        for n in 0..10 {
            let text = format!("life {life}, record {n}");
            open.say(&[&text]).await;
            said.push(text);
        }
        open = world.reopen(open).await;
        assert_eq!(open.all().await, said);
    }
    let extent = open.journal.extent_of(&open.stream).await.unwrap();
    assert_eq!((extent.first_offset, extent.next_offset), (0, 40));
    assert!(world.is_kafka() || extent.bytes > 0);
}

#[tokio::test]
async fn of_an_append_whose_tick_fails_nothing_is_there() {
    let world = World::new();
    if world.is_kafka() {
        return; // It is the spool that keeps them, as the embedded engine does.
    }
    let open = world.open().await;
    let passes = open.saboteur();
    open.say(&["before"]).await;
    passes.store(0, SeqCst);
    assert_eq!(code(open.try_append(&[(None, b"lost 1"), (None, b"lost 2")]).await), "unavailable");
    assert_eq!(open.all().await, ["before"], "nor is it in the memory that readers are served from");
    assert_eq!(code(open.try_append(&[(None, b"refused")]).await), "unavailable");
    passes.store(ALL, SeqCst);
    open.healed().await;
    open.say(&["after"]).await;
    assert_eq!(open.all().await, ["before", "after"], "offsets go on without a gap");
    let open = world.reopen(open).await;
    assert_eq!(open.all().await, ["before", "after"]);
    assert_eq!(open.journal.counts(&open.stream, 0..i64::MAX, 1, 10).await.unwrap()[0].2, 2);
}

#[tokio::test]
async fn an_append_to_a_closed_store_is_refused() {
    let world = World::new();
    if world.is_kafka() {
        return; // It is the spool that keeps them, as the embedded engine does.
    }
    let open = world.open().await;
    open.say(&["before"]).await;
    open.db.close();
    assert_eq!(code(open.try_append(&[(None, b"late")]).await), "unavailable");
    let open = world.reopen(open).await;
    assert_eq!(open.all().await, ["before"]);
}

#[tokio::test]
async fn appends_that_wait_when_the_store_closes_are_finished() {
    let world = World::new();
    if world.is_kafka() {
        return; // It is the spool that keeps them, as the embedded engine does.
    }
    let open = world.open().await;
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let db = open.db.clone();
    let held = tokio::spawn(async move {
        db.write(move |_| {
            entered.send(()).unwrap();
            released.recv_timeout(NEVER).unwrap();
            Ok(())
        })
        .await
    });
    until("the writer is held", || inside.try_recv().is_ok()).await;
    let (journal, stream, batch) =
        (open.journal.clone(), open.stream.clone(), open.batch(&[(None, b"in time")]));
    let append = tokio::spawn(async move { journal.append(&stream, batch).await });
    tokio::task::yield_now().await;
    let db = open.db.clone();
    let closing = std::thread::spawn(move || db.close());
    release.send(()).unwrap();
    soon(held).await.unwrap().unwrap();
    let answer = soon(append).await.unwrap();
    closing.join().unwrap();
    let open = world.reopen(open).await;
    let expected: &[&str] = if answer.is_ok() { &["in time"] } else { &[] };
    assert_eq!(open.all().await, expected, "there if and only if it was acknowledged");
}

#[tokio::test]
async fn what_a_transaction_appends_is_there_if_and_only_if_its_state_is() {
    let world = World::new();
    let open = world.open().await;
    let note = |name: &'static str, fails: bool| {
        let (journal, stream) = (open.journal.clone(), open.stream.clone());
        open.db.write(move |tx| {
            journal.append_in(tx, &stream, "noted", name.as_bytes());
            tx.exec("INSERT INTO notes (name) VALUES ($1)", v![name])?;
            if fails { Err(NOT_FOUND.err("no")) } else { Ok(()) }
        })
    };
    let commits = open.db.stats().commits;
    note("good", false).await.unwrap();
    if world.is_embedded() {
        assert_eq!(open.db.stats().commits, commits + 1, "state and record share the commit");
    } else if !world.is_kafka() {
        // Its probe commits beside them, hence not by counting: PostgreSQL knows what wrote a row.
        let transactions =
            "SELECT COUNT(*) FROM (SELECT xmin::text FROM notes UNION SELECT xmin::text FROM journal) AS of";
        let counted = open.db.read(|tx| tx.query(transactions, &[], |r| r.get::<i64>(0))).await.unwrap();
        assert_eq!(counted, [1], "state and record share the commit");
    }
    assert_eq!(code(note("failing", true).await), "not_found");
    assert_eq!(code(note("good", false).await), "store_failed", "its state is there already");
    open.brought(1).await;
    assert_eq!(open.all().await, ["good"]);

    if world.is_embedded() {
        let passes = open.saboteur();
        passes.store(0, SeqCst);
        assert_eq!(code(note("of a failed tick", false).await), "unavailable");
        passes.store(ALL, SeqCst);
        open.healed().await;
    }
    note("last", false).await.unwrap();
    let open = world.reopen(open).await;
    open.brought(2).await;
    assert_eq!(open.all().await, ["good", "last"]);
    let notes =
        open.db.read(|tx| tx.query("SELECT name FROM notes ORDER BY name", &[], |r| r.get::<String>(0)));
    assert_eq!(notes.await.unwrap(), ["good", "last"]);
}

#[tokio::test]
async fn what_was_brought_before_a_process_died_is_not_brought_again() {
    let world = World::new();
    if !world.is_kafka() {
        return; // Elsewhere nothing is brought: it shares the commit.
    }
    let open = world.open().await;
    let note = async |open: &Open, name: &'static str| {
        let (journal, stream) = (open.journal.clone(), open.stream.clone());
        let noted = open.db.write(move |tx| {
            journal.append_in(tx, &stream, "noted", name.as_bytes());
            Ok(())
        });
        noted.await.unwrap();
    };
    let order = async |open: &Open, sql: &'static str| {
        open.db.write(move |tx| tx.exec(sql, &[])).await.unwrap();
    };
    let left = async |open: &Open| {
        let count = "SELECT COUNT(*) FROM outbox";
        open.db.read(|tx| tx.query(count, &[], |r| r.get::<i64>(0))).await.unwrap()[0]
    };
    order(&open, "CREATE TABLE gone (LIKE outbox)").await;
    order(&open, "CREATE RULE keep AS ON DELETE TO outbox DO ALSO INSERT INTO gone SELECT OLD.*").await;
    for name in ["one", "two", "three"] {
        note(&open, name).await;
    }
    open.brought(3).await;
    while left(&open).await > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    open.journal.close().await;
    // As if it had died before it could remove them. The second one is another's: its store was restored, and gave out the
    // number once more.
    order(&open, "UPDATE gone SET frame = set_byte(frame, length(frame) - 1, 120) WHERE id = 2").await;
    order(&open, "INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM gone").await;
    drop(open);
    let open = world.open().await;
    note(&open, "last").await;
    open.brought(5).await;
    while left(&open).await > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(open.all().await, ["one", "two", "three", "twx", "last"]);
}

#[tokio::test]
async fn instants_of_a_stream_never_go_back_even_if_the_clock_does() {
    let world = World::new();
    if world.is_kafka() {
        return; // Instants are those of the broker's clock.
    }
    let mut open = world.open().await;
    for (n, turn) in [0, 5_000, -60_000, 10, 1_000_000, -3_600_000].into_iter().enumerate() {
        world.clock.advance(turn);
        open.say(&["a"]).await;
        if n == 2 {
            open = world.reopen(open).await;
        }
    }
    let page = open.journal.read(&open.stream, 0, 100).await.unwrap();
    let instants: Vec<i64> = page.records().map(|record| record.at - START).collect();
    assert_eq!(instants, [0, 5_000, 5_000, 5_000, 945_010, 945_010]);
    assert_eq!(open.journal.extent_of(&open.stream).await.unwrap().last_at, START + 945_010);
}

#[tokio::test]
async fn streams_are_apart_by_name_and_by_app() {
    let world = World::new();
    let open = world.open().await;
    open.say(&["of events"]).await;
    let other_app = angarium_base::AppId::new(START);
    assert_eq!(open.journal.find_stream(&other_app, "events").await.unwrap(), None);
    let theirs = open.journal.stream(&other_app, "events").await.unwrap();
    let orders = open.journal.stream(&world.app, "orders").await.unwrap();
    for stream in [&theirs, &orders] {
        assert!(open.journal.read(stream, 0, 10).await.unwrap().is_empty());
    }
    assert_eq!(open.journal.stream(&world.app, "events").await.unwrap(), open.stream);
    let names = async |app| {
        let extents = open.journal.extents(app).await.unwrap();
        extents.into_iter().map(|extent| (extent.name, extent.next_offset)).collect::<Vec<_>>()
    };
    assert_eq!(names(&world.app).await, [("events".to_owned(), 1), ("orders".to_owned(), 0)]);
    assert_eq!(names(&other_app).await, [("events".to_owned(), 0)]);
}

#[tokio::test]
async fn an_empty_batch_is_answered_at_once_and_leaves_nothing() {
    let world = World::new();
    let open = world.open().await;
    assert_eq!(open.append(&[]).await, Appended::default());
    assert!(open.all().await.is_empty());
}

#[tokio::test]
async fn records_come_back_with_kind_and_bytes_as_they_were() {
    let world = World::new();
    let open = world.open().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let long_kind = "k".repeat(255);
    let given: [(&str, &[u8]); 4] = [("", b""), ("käse", &every_byte), (&long_kind, b"{}"), ("a", b"\0")];
    let mut batch = angarium_journal::Batch::default();
    for (kind, data) in given {
        open.journal.add(&mut batch, &open.stream, kind, None, data);
    }
    assert_eq!(batch.count(), 4);
    open.journal.append(&open.stream, batch).await.unwrap();
    let open = world.reopen(open).await;
    let page = open.journal.read(&open.stream, 0, 10).await.unwrap();
    assert_eq!(page.records().map(|r| (r.kind, r.data)).collect::<Vec<_>>(), given);
}

#[tokio::test]
async fn counts_are_per_minute_and_kind_without_the_duplicates() {
    let world = World::new();
    let open = world.open().await;
    let minute = START / 60_000;
    let append = async |kinds: &[(&str, &str)]| {
        let mut batch = angarium_journal::Batch::default();
        for (kind, id) in kinds {
            open.journal.add(&mut batch, &open.stream, kind, Some(id), b"x");
        }
        open.journal.append(&open.stream, batch).await.unwrap()
    };
    append(&[("click", "1"), ("view", "2"), ("click", "3"), ("click", "1")]).await;
    append(&[("click", "4"), ("view", "2")]).await;
    world.clock.advance(59_999);
    append(&[("view", "5")]).await;
    world.clock.advance(1);
    append(&[("click", "6"), ("click", "6")]).await;
    world.clock.advance(120_000);
    append(&[("view", "7")]).await;

    let counts = async |minutes, step, limit| {
        let counts = open.journal.counts(&open.stream, minutes, step, limit).await.unwrap();
        counts.into_iter().map(|(at, kind, n)| (at - minute, kind, n)).collect::<Vec<_>>()
    };
    let row = |at: i64, kind: &str, n: u64| (at, kind.to_owned(), n);
    let all = [row(0, "click", 3), row(0, "view", 2), row(1, "click", 1), row(3, "view", 1)];
    // Where each node tells what went through it, that takes a moment.
    let started = std::time::Instant::now();
    while counts(minute..minute + 10, 1, 100).await != all && started.elapsed() < NEVER && world.is_kafka() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(counts(minute..minute + 10, 1, 100).await, all);
    assert_eq!(counts(minute + 1..minute + 3, 1, 100).await, all[2..3]);
    assert_eq!(counts(minute..minute + 10, 1, 2).await, all[..2]);
    let hour = minute / 60 * 60 - minute;
    assert_eq!(
        counts(0..i64::MAX, 60, 100).await,
        [row(hour, "click", 4), row(hour, "view", 3)],
        "steps begin at whole multiples"
    );
    let stats = open.journal.stats();
    assert_eq!((stats.records, stats.duplicates), (7, 3));
}
