//! What only a server can do to a store: others beside us, connections that end, a schema that others change.

use crate::{Db, NEVER, THINGS, code, kept, places::Database, put, queued, soon, until};
use angarium_base::{Clock, Result};
use angarium_db::{Migration, postgres, v};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
    mpsc,
};

const SLOW: Migration = Migration::new(
    "0002_slow",
    "CREATE TABLE once (n BIGINT); INSERT INTO once VALUES (1); SELECT pg_sleep(0.2)",
);

#[tokio::test]
async fn processes_that_start_at_the_same_moment_migrate_once() {
    let Some(database) = Database::fresh() else { return };
    let opening: Vec<_> = (0..6)
        .map(|_| {
            let options = database.options();
            std::thread::spawn(move || {
                Db::open_postgres(&options, &[THINGS, SLOW], Clock::manual(0)).map(drop)
            })
        })
        .collect();
    for thread in opening {
        thread.join().unwrap().unwrap();
    }
    let db = database.open(&[THINGS, SLOW]).unwrap();
    let rows = db.read(|tx| tx.one("SELECT count(*) FROM once", &[], |row| row.get::<i64>(0))).await;
    assert_eq!(rows.unwrap(), 1);
}

#[tokio::test]
async fn a_schema_that_is_older_or_newer_is_said_and_left_as_it_is() {
    let Some(database) = Database::fresh() else { return };
    assert_eq!(code(postgres::check(&database.options(), &[THINGS])), "schema_older");
    drop(database.open(&[THINGS]).unwrap());
    assert_eq!(code(postgres::check(&database.options(), &[THINGS])), "no error");
    assert_eq!(code(postgres::check(&database.options(), &[THINGS, SLOW])), "schema_older");
    drop(database.open(&[THINGS, SLOW]).unwrap());
    assert_eq!(code(postgres::check(&database.options(), &[THINGS])), "schema_newer");
    assert_eq!(code(database.open(&[THINGS]).map(drop)), "schema_newer");
}

#[tokio::test]
async fn migrating_alone_says_what_was_done() {
    let Some(database) = Database::fresh() else { return };
    let migrate = |steps: &[Migration]| postgres::migrate(&database.options(), steps, &Clock::manual(0));
    assert_eq!(migrate(&[THINGS]).unwrap(), ["0001_things"]);
    assert_eq!(migrate(&[THINGS, SLOW]).unwrap(), ["0002_slow"]);
    assert!(migrate(&[THINGS, SLOW]).unwrap().is_empty());
    assert_eq!(code(migrate(&[THINGS])), "schema_newer");
}

#[tokio::test]
async fn who_may_not_change_the_schema_can_work_with_one_that_is_right() {
    let Some(database) = Database::fresh() else { return };
    drop(database.open(&[THINGS]).unwrap());
    let role = format!("clerk_{}", database.name());
    database.run(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'clerk'; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    let url = database.url();
    let (_, place) = url.rsplit_once('@').unwrap();
    let options = postgres::Options::parse(&format!("postgres://{role}:clerk@{place}")).unwrap();
    let db = Db::open_postgres(&options.with_connections(1, 1), &[THINGS], Clock::manual(0)).unwrap();
    db.write(|tx| put(tx, "of a clerk")).await.unwrap();
    drop(db);
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[tokio::test]
async fn a_step_that_fails_is_undone_whole() {
    let Some(database) = Database::fresh() else { return };
    let broken =
        Migration::new("0002_broken", "CREATE TABLE half (id BIGINT); INSERT INTO nowhere VALUES (1)");
    assert_eq!(code(database.open(&[THINGS, broken]).map(drop)), "store_failed");
    let mended = Migration::new("0002_broken", "CREATE TABLE half (id BIGINT)");
    assert!(kept(&database.open(&[THINGS, mended]).unwrap()).await.is_empty());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_a_bad_url_is_said_without_its_password() {
    let options = postgres::Options::parse("postgres://a:secret@127.0.0.1:1/x").unwrap();
    assert_eq!(code(Db::open_postgres(&options, &[], Clock::manual(0)).map(drop)), "unavailable");
    let refused = postgres::Options::parse("postgres://a:secret@127.0.0.1:port/x").map(drop).unwrap_err();
    assert_eq!(refused.code().name, "invalid_store_url");
    assert!(!format!("{refused:?}").contains("secret"), "{refused:?}");
}

#[tokio::test]
async fn a_closure_whose_connection_ends_before_the_commit_is_run_again_and_done_once() {
    let Some(database) = Database::fresh() else { return };
    let db = database.open(&[THINGS]).unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let counted = runs.clone();
    let writing = queued(db.write(move |tx| {
        put(tx, "first half")?;
        if counted.fetch_add(1, SeqCst) == 0 {
            entered.send(()).unwrap();
            released.recv_timeout(NEVER).unwrap();
        }
        put(tx, "second half")
    }));
    inside.recv_timeout(NEVER).unwrap();
    database.cut();
    release.send(()).unwrap();
    soon(writing).await.unwrap();
    assert_eq!(runs.load(SeqCst), 2);
    assert_eq!(kept(&db).await, ["first half", "second half"]);
}

#[tokio::test]
async fn idle_connections_that_ended_are_made_anew_unnoticed() {
    let Some(database) = Database::fresh() else { return };
    let db = database.open(&[THINGS]).unwrap();
    for n in 0..5 {
        db.write(move |tx| put(tx, &format!("thing {n}"))).await.unwrap();
        database.cut();
        assert_eq!(kept(&db).await.len(), n + 1);
    }
}

#[tokio::test]
async fn those_who_wait_for_each_other_are_both_done() {
    let Some(database) = Database::fresh() else { return };
    let options = database.options().with_connections(4, 1);
    let db = Db::open_postgres(&options, &[THINGS], Clock::manual(0)).unwrap();
    for name in ["a", "b"] {
        db.write(move |tx| put(tx, name)).await.unwrap();
    }
    let touch = |first: &'static str, second: &'static str| {
        queued(db.write(move |tx| {
            for name in [first, second] {
                tx.exec("UPDATE things SET body = body WHERE name = $1", v![name])?;
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Ok(())
        }))
    };
    let (one, other) = (touch("a", "b"), touch("b", "a"));
    soon(one).await.unwrap();
    soon(other).await.unwrap();
}

#[tokio::test]
async fn an_error_that_a_closure_does_not_heed_commits_nothing() {
    let Some(database) = Database::fresh() else { return };
    let db = database.open(&[THINGS]).unwrap();
    let outcome = db.write(|tx| {
        put(tx, "before")?;
        let twice: Result<()> = put(tx, "before");
        assert!(twice.is_err());
        Ok(())
    });
    assert_eq!(code(soon(outcome).await), "store_failed");
    assert!(kept(&db).await.is_empty());
}

#[tokio::test]
async fn long_answers_are_read_in_portions_and_left_early() {
    let Some(database) = Database::fresh() else { return };
    let db = database.open(&[THINGS]).unwrap();
    database.run("INSERT INTO things (name) SELECT 'thing ' || n FROM generate_series(1, 5000) n");
    let seen = db.read(|tx| {
        let (mut all, mut some) = (0, 0);
        tx.each("SELECT name FROM things", &[], |_| {
            all += 1;
            Ok(true)
        })?;
        tx.each("SELECT name FROM things", &[], |_| {
            some += 1;
            Ok(some < 100)
        })?;
        Ok((all, some))
    });
    assert_eq!(soon(seen).await.unwrap(), (5_000, 100));
}

#[tokio::test]
async fn writes_are_refused_while_the_database_is_away_and_taken_again_when_it_is_back() {
    let Some(database) = Database::fresh() else { return };
    let db = database.open(&[THINGS]).unwrap();
    database.order(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", database.name()));
    database.cut();
    let refused = soon(db.write(|tx| put(tx, "while it is away"))).await.unwrap_err();
    assert_eq!(refused.code().name, "unavailable");
    assert!(refused.retry_after_s().is_some());
    until("the store knows", || !db.health().healthy).await;
    database.order(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", database.name()));
    until("the store is back", || db.health().healthy).await;
    soon(db.write(|tx| put(tx, "after"))).await.unwrap();
    assert_eq!(kept(&db).await, ["after"]);
}
