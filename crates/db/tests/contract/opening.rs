//! One process per directory, and a schema that only goes forward.

use crate::{THINGS, code, kept, open, put};
use angarium_base::Clock;
use angarium_db::{Db, Migration, sqlite};
use std::path::Path;

const BODY: Migration = Migration::new(
    "0002_size", // Fails when it comes before 0001 or twice.
    "ALTER TABLE things ADD COLUMN size BIGINT NOT NULL DEFAULT 7",
);
const LARGER: Migration = Migration::new("0003_larger", "UPDATE things SET size = size + 1");

fn opened(dir: &Path, migrations: &[Migration]) -> angarium_base::Result<Db> {
    Db::open(dir, migrations, Clock::manual(0))
}

#[tokio::test]
async fn a_directory_that_is_open_is_refused_and_free_again_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    assert_eq!(code(opened(dir.path(), &[THINGS])), "data_dir_in_use");
    db.write(|tx| put(tx, "of the first")).await.unwrap();
    drop(db);
    assert_eq!(kept(&open(dir.path())).await, ["of the first"]);
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("not/yet");
    open(&deep).write(|tx| put(tx, "a")).await.unwrap();
    assert_eq!(kept(&open(&deep)).await, ["a"]);
}

#[tokio::test]
async fn migrations_are_applied_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let sizes = async |db: &Db| {
        let read = db.read(|tx| tx.query("SELECT size FROM things", &[], |row| row.get::<i64>(0)));
        read.await.unwrap()
    };
    let db = open(dir.path());
    db.write(|tx| put(tx, "of the first version")).await.unwrap();
    drop(db);
    let all = [THINGS, BODY, LARGER];
    for _ in 0..3 {
        let db = opened(dir.path(), &all).unwrap();
        assert_eq!(sizes(&db).await, [8], "7 by the second step, 1 by the third, once");
    }
}

#[test]
fn migrating_alone_says_what_was_done_and_the_schema_can_be_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, check) = (Clock::manual(0), |steps: &[Migration]| code(sqlite::check(dir.path(), steps)));
    let migrate = |steps: &[Migration]| sqlite::migrate(dir.path(), steps, &clock);
    assert_eq!(check(&[THINGS]), "schema_older");
    assert_eq!(migrate(&[THINGS, BODY]).unwrap(), ["0001_things", "0002_size"]);
    assert!(migrate(&[THINGS, BODY]).unwrap().is_empty());
    assert_eq!(check(&[THINGS, BODY]), "no error");
    assert_eq!(check(&[THINGS, BODY, LARGER]), "schema_older");
    assert_eq!(check(&[THINGS]), "schema_newer");
    let db = opened(dir.path(), &[THINGS, BODY]).unwrap();
    assert_eq!(check(&[THINGS, BODY]), "no error", "also while it is open");
    assert_eq!(code(migrate(&[THINGS, BODY])), "data_dir_in_use");
    drop(db);
}

#[tokio::test]
async fn a_schema_with_unknown_steps_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let db = opened(dir.path(), &[THINGS, BODY]).unwrap();
    db.write(|tx| put(tx, "a")).await.unwrap();
    drop(db);
    let other = Migration::new("0002_another", "DROP TABLE things");
    assert_eq!(code(opened(dir.path(), &[THINGS])), "schema_newer");
    assert_eq!(code(opened(dir.path(), &[THINGS, other])), "schema_newer");
    let db = opened(dir.path(), &[THINGS, BODY]).unwrap();
    assert_eq!(kept(&db).await, ["a"]);
}

#[tokio::test]
async fn a_step_that_fails_is_undone_whole_and_the_directory_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let broken =
        Migration::new("0002_broken", "CREATE TABLE half (id BIGINT); INSERT INTO nowhere VALUES (1)");
    assert_eq!(code(opened(dir.path(), &[THINGS, broken])), "store_failed");
    let mended = Migration::new("0002_broken", "CREATE TABLE half (id BIGINT)");
    let db = opened(dir.path(), &[THINGS, mended]).unwrap();
    assert!(kept(&db).await.is_empty());
}
