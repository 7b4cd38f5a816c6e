//! Several processes on one store: each test opens it more than once. PostgreSQL and Kafka.

use crate::{NEVER, Open, World, soon, until};
use std::{
    collections::HashSet,
    sync::{Arc, mpsc},
    time::Duration,
};

/// Two processes on one store; `None` on an engine that has one.
async fn two(world: &World) -> Option<(Arc<Open>, Arc<Open>)> {
    if world.is_embedded() {
        return None;
    }
    Some((Arc::new(world.open().await), Arc::new(world.open_another().await)))
}

#[tokio::test(flavor = "multi_thread")]
async fn appenders_in_several_processes_make_one_stream_without_a_gap() {
    const ROUNDS: usize = 100;
    let world = World::new();
    let Some((one, other)) = two(&world).await else { return };
    let appending: Vec<_> = [&one, &other, &one, &other]
        .into_iter()
        .enumerate()
        .map(|(n, open)| {
            let open = open.clone();
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    open.say(&[&format!("{n} {round} a"), &format!("{n} {round} b")]).await;
                }
            })
        })
        .collect();
    for appender in appending {
        appender.await.unwrap();
    }
    let (here, there) = (one.all().await, other.all().await);
    assert_eq!(here.len(), 4 * ROUNDS * 2);
    assert_eq!(here, there);
    // Kafka takes what several spools ship in between each other.
    for pair in here.chunks(2).filter(|_| !world.is_kafka()) {
        assert_eq!(pair[0].trim_end_matches('a'), pair[1].trim_end_matches('b'), "an append stays whole");
    }
    for n in 0..4 {
        let mine: Vec<_> = here.iter().filter(|text| text.starts_with(&format!("{n} "))).collect();
        let expected = (0..ROUNDS).flat_map(|round| ["a", "b"].map(|part| format!("{n} {round} {part}")));
        assert!(mine.into_iter().eq(expected.collect::<Vec<_>>().iter()), "each in its order");
    }
}

/// A transaction that has appended and does not end holds those behind it up, and nobody passes it over.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_at_the_end_never_misses_what_commits_late() {
    const WRITERS: usize = 6;
    const ROUNDS: usize = 25;
    let world = World::new();
    let Some((one, other)) = two(&world).await else { return };
    let reading = tokio::spawn({
        let open = other.clone();
        async move {
            let mut head = open.journal.watch(&open.stream).await.unwrap();
            let (mut seen, mut at) = (Vec::new(), 0);
            while seen.len() < WRITERS * ROUNDS * 2 {
                let page = soon(open.journal.read(&open.stream, at, 10_000)).await.unwrap();
                for record in page.records() {
                    assert_eq!(record.offset, at, "nothing is passed over");
                    at += 1;
                    seen.push(String::from_utf8_lossy(record.data).into_owned());
                }
                if page.is_empty() {
                    let _ = tokio::time::timeout(Duration::from_millis(20), head.changed()).await;
                }
            }
            seen
        }
    });
    let writing: Vec<_> = (0..WRITERS)
        .map(|n| {
            let open = if n % 2 == 0 { one.clone() } else { other.clone() };
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    let (journal, stream) = (open.journal.clone(), open.stream.clone());
                    let write = open.db.write(move |tx| {
                        for part in ["a", "b"] {
                            journal.append_in(tx, &stream, "kind", format!("{n} {round} {part}").as_bytes());
                        }
                        // The commit comes late, now and then.
                        std::thread::sleep(Duration::from_millis((n * round % 7) as u64));
                        tx.exec(
                            "INSERT INTO notes (name) VALUES ($1)",
                            angarium_db::v![&format!("{n} {round}")],
                        )
                    });
                    write.await.unwrap();
                }
            })
        })
        .collect();
    for writer in writing {
        writer.await.unwrap();
    }
    one.brought((WRITERS * ROUNDS * 2) as u64).await;
    let seen = tokio::time::timeout(NEVER, reading).await.expect("the reader gets all").unwrap();
    let unique: HashSet<_> = seen.iter().collect();
    assert_eq!(unique.len(), WRITERS * ROUNDS * 2, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_holds_a_stream_does_not_hold_the_others() {
    let world = World::new();
    if world.is_kafka() {
        return; // Nobody waits for a transaction there: the outbox takes what it appends.
    }
    let Some((one, other)) = two(&world).await else { return };
    let quiet = other.journal.stream(&world.app, "quiet").await.unwrap();
    let before = other.journal.stream(&world.app, "events").await.unwrap();
    // Somebody takes the end of `events` and does not go on.
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let url = world.place.url().unwrap();
    let holder = std::thread::spawn(move || {
        let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
        let mut tx = client.transaction().unwrap();
        tx.execute("UPDATE streams SET last_at = last_at WHERE name = 'events'", &[]).unwrap();
        entered.send(()).unwrap();
        released.recv_timeout(NEVER).unwrap();
        tx.commit().unwrap();
    });
    inside.recv_timeout(NEVER).unwrap();
    let held = tokio::spawn({
        let one = one.clone();
        async move { one.say(&["waits"]).await }
    });
    for n in 0..20 {
        let mut batch = angarium_journal::Batch::default();
        other.journal.add(&mut batch, &quiet, "kind", None, n.to_string().as_bytes());
        soon(other.journal.append(&quiet, batch)).await.unwrap();
    }
    assert!(!held.is_finished());
    assert_eq!(other.journal.end(&before).await.unwrap(), 0);
    release.send(()).unwrap();
    holder.join().unwrap();
    soon(held).await.unwrap();
    assert_eq!(one.all().await, ["waits"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_two_processes_take_in_at_once_is_there_once() {
    let world = World::new();
    if world.is_kafka() {
        return; // Each process remembers what came through it.
    }
    let Some((one, other)) = two(&world).await else { return };
    let ids: Vec<String> = (0..200).map(|n| format!("id {n}")).collect();
    let appending: Vec<_> = [&one, &other, &one, &other]
        .into_iter()
        .enumerate()
        .map(|(n, open)| {
            let (open, mut ids) = (open.clone(), ids.clone());
            tokio::spawn(async move {
                if n % 2 == 1 {
                    ids.reverse();
                }
                let mut accepted = 0;
                for some in ids.chunks(20) {
                    let items: Vec<crate::Item<'_>> =
                        some.iter().map(|id| (Some(id.as_str()), id.as_bytes())).collect();
                    accepted += open.append(&items).await.accepted;
                }
                accepted
            })
        })
        .collect();
    let mut accepted = 0;
    for appender in appending {
        accepted += appender.await.unwrap();
    }
    assert_eq!(accepted, 200);
    let there: HashSet<String> = one.all().await.into_iter().collect();
    assert_eq!(there, ids.into_iter().collect());
    assert_eq!(other.all().await.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_forgotten_after_the_window_and_not_before() {
    const WINDOW_MS: i64 = 80_000;
    let window = angarium_journal::Window { age_ms: WINDOW_MS, ids: 1_000_000 };
    let world = World::with(angarium_journal::Options { window, ..Default::default() });
    if world.is_kafka() {
        return; // Each process remembers what came through it, as the embedded engine does.
    }
    let Some((one, other)) = two(&world).await else { return };
    let say = async |open: &Open| open.append(&[(Some("old"), b"old")]).await.accepted;
    assert_eq!(say(&one).await, 1);
    let stop = tokio_util::sync::CancellationToken::new();
    let maintaining = tokio::spawn({
        let (journal, stop) = (other.journal.clone(), stop.clone());
        async move { journal.maintain(stop).await }
    });
    world.clock.advance(WINDOW_MS - 1);
    // Longer than the maintenance takes for a round.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(say(&other).await, 0);
    world.clock.advance(2);
    let mut accepted = 0;
    let started = std::time::Instant::now();
    while accepted == 0 && started.elapsed() < NEVER {
        accepted = say(&one).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    maintaining.await.unwrap();
    assert_eq!((accepted, say(&other).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_woken_by_what_another_process_appends() {
    let world = World::new();
    let Some((one, other)) = two(&world).await else { return };
    one.say(&["before"]).await;
    let mut head = other.journal.watch(&other.stream).await.unwrap();
    assert_eq!(*head.borrow_and_update(), 1, "a watcher starts at the end that is there");
    one.say(&["after"]).await;
    soon(head.changed()).await.unwrap();
    assert_eq!(*head.borrow_and_update(), 2);
    // Both append: what lies between one's own is seen too, in order.
    for n in 0..50 {
        let open = if n % 2 == 0 { &one } else { &other };
        open.say(&[&n.to_string()]).await;
    }
    until("all is visible", || *head.borrow() == 52).await;
    let expected: Vec<String> =
        ["before".into(), "after".into()].into_iter().chain((0..50).map(|n| n.to_string())).collect();
    assert_eq!(other.all().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_acknowledged_the_other_reads_at_once() {
    let world = World::new();
    let Some((one, other)) = two(&world).await else { return };
    for n in 1..=50 {
        one.say(&[&n.to_string()]).await;
        assert_eq!(other.all().await.len(), n);
        assert_eq!(other.journal.end(&other.stream).await.unwrap(), n as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_has_one_reader_in_all_processes_and_hands_everything_out_once() {
    const RECORDS: usize = 400;
    let world = World::new();
    let Some((one, other)) = two(&world).await else { return };
    for n in 0..RECORDS {
        one.say(&[&n.to_string()]).await;
    }
    let consuming: Vec<_> = [&one, &other, &one, &other]
        .into_iter()
        .enumerate()
        .map(|(n, open)| {
            let open = open.clone();
            tokio::spawn(async move {
                let (name, mut taken) = (format!("consumer {n}"), Vec::new());
                loop {
                    let wait = Duration::from_millis(500);
                    let handed = match open.journal.poll_group(&open.stream, "group", &name, 7, wait).await {
                        Ok(handed) => handed,
                        Err(error) if error.code().name == "group_leased" => continue,
                        Err(error) => panic!("{error:?}"),
                    };
                    if handed.page.is_empty() {
                        return taken;
                    }
                    let texts = handed.page.records().map(|r| String::from_utf8_lossy(r.data).into_owned());
                    taken.extend(texts);
                    open.journal.commit_group(&open.stream, "group", &name, handed.page.next).await.unwrap();
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for consumer in consuming {
        all.extend(tokio::time::timeout(NEVER, consumer).await.expect("an end").unwrap());
    }
    let mut numbers: Vec<usize> = all.iter().map(|text| text.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..RECORDS).collect::<Vec<_>>());
}
