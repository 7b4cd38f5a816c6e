//! Backups of a store in use, and what becomes of damaged ones.

use crate::{code, kept, names, open, put, until};
use angarium_base::Clock;
use angarium_db::{
    Db,
    sqlite::{FILE, backup, restore, verify},
    v,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

const CLOCK: fn() -> Clock = || Clock::manual(1_700_000_000_000);

fn files(dir: &Path) -> BTreeSet<String> {
    std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// A store with `n` things, closed, and a backup of it.
async fn backed_up(dir: &Path, n: usize) -> PathBuf {
    let db = open(&dir.join("data"));
    let filled = db.write(move |tx| {
        for n in 0..n {
            put(tx, &format!("a name to look for {n:04}"))?;
            tx.exec("INSERT INTO twins (name) VALUES ($1)", v![&format!("a name to look for {n:04}")])?;
        }
        Ok(())
    });
    filled.await.unwrap();
    drop(db);
    std::fs::create_dir_all(dir.join("backups")).unwrap();
    let file = dir.join("backups/one.db");
    backup(&dir.join("data"), &file, &CLOCK(), |_, _| {}).unwrap();
    file
}

fn rows(report: &angarium_db::sqlite::Report, table: &str) -> u64 {
    report.tables.iter().find(|(name, ..)| name == table).unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_writers_write_is_one_moment_and_holds_all_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir.path().join("data"));
    let (acked, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (db, acked, stop) = (db.clone(), acked.clone(), stop.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    if stop.load(SeqCst) == 1 {
                        break;
                    }
                    let pair = db.write(move |tx| {
                        put(tx, &format!("{writer} {n}"))?;
                        tx.exec("INSERT INTO twins (name) VALUES ($1)", v![&format!("{writer} {n}")])
                    });
                    pair.await.unwrap();
                    acked.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    until("some are acknowledged", || acked.load(SeqCst) > 200).await;
    let before = acked.load(SeqCst);
    let target = dir.path().join("one.db");
    let (from, to) = (dir.path().join("data"), target.clone());
    let report =
        tokio::task::spawn_blocking(move || backup(&from, &to, &CLOCK(), |_, _| {})).await.unwrap().unwrap();
    until("writing went on", || acked.load(SeqCst) > before).await;
    stop.store(1, SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    let all =
        db.read(|tx| tx.one("SELECT count(*) FROM things", &[], |row| row.get::<i64>(0))).await.unwrap();

    let things = rows(&report, "things");
    assert!(things >= before && things <= all as u64, "{before} <= {things} <= {all}");
    assert_eq!(things, rows(&report, "twins"), "what one closure wrote is there together");
    assert_eq!(verify(&target).unwrap(), report);

    let other = dir.path().join("restored");
    assert_eq!(restore(&target, &other, false, &CLOCK()).unwrap(), (report, None));
    assert_eq!(kept(&open(&other)).await.len() as u64, things);
    drop(db);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_between_the_steps_of_a_backup_is_not_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir.path().join("data"));
    // Enough for more than one step.
    let ballast = "INSERT INTO things (name, body) VALUES ('ballast', zeroblob(20000000))";
    db.write(move |tx| tx.exec(ballast, &[])).await.unwrap();
    let (writer, runtime) = (db.clone(), tokio::runtime::Handle::current());
    let (from, to) = (dir.path().join("data"), dir.path().join("one.db"));
    let backing_up = tokio::task::spawn_blocking(move || {
        let mut steps = 0;
        let between = |_, _| {
            // Not for ever: a copy that is not of one moment begins again with every write.
            if steps == 3 {
                return;
            }
            steps += 1;
            let name = format!("between {steps}");
            runtime.block_on(writer.write(move |tx| put(tx, &name))).unwrap();
        };
        let report = backup(&from, &to, &CLOCK(), between);
        (report, steps)
    });
    let (report, steps) = backing_up.await.unwrap();
    assert!(steps > 0, "it was not interrupted at all");
    assert_eq!(rows(&report.unwrap(), "things"), 1);
    assert_eq!(kept(&db).await.len(), 1 + steps);
}

#[tokio::test]
async fn what_is_restored_equals_what_was_backed_up() {
    let dir = tempfile::tempdir().unwrap();
    let file = backed_up(dir.path(), 300).await;
    let other = dir.path().join("other");
    restore(&file, &other, false, &CLOCK()).unwrap();
    let (one, two) = (open(&dir.path().join("data")), open(&other));
    assert_eq!(kept(&two).await, kept(&one).await);
    two.write(|tx| put(tx, "and it can be written to")).await.unwrap();
    drop(two);
    let again = dir.path().join("again.db");
    backup(&other, &again, &CLOCK(), |_, _| {}).unwrap();
    assert_eq!(rows(&verify(&again).unwrap(), "things"), 301);
}

#[tokio::test]
async fn a_backup_is_one_file_and_a_restore_leaves_nothing_lying_about() {
    let dir = tempfile::tempdir().unwrap();
    let file = backed_up(dir.path(), 10).await;
    verify(&file).unwrap();
    assert_eq!(files(&dir.path().join("backups")), BTreeSet::from(["one.db".to_owned()]));
    let other = dir.path().join("other");
    restore(&file, &other, false, &CLOCK()).unwrap();
    assert_eq!(files(&other), BTreeSet::from([FILE.to_owned(), "angarium.lock".to_owned()]));
    assert_eq!(files(&dir.path().join("backups")), BTreeSet::from(["one.db".to_owned()]));
}

#[tokio::test]
async fn a_backup_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let file = backed_up(dir.path(), 10).await;
    let before = std::fs::read(&file).unwrap();
    assert_eq!(code(backup(&dir.path().join("data"), &file, &CLOCK(), |_, _| {})), "store_failed");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let nothing = backup(&dir.path().join("nowhere"), &dir.path().join("two.db"), &CLOCK(), |_, _| {});
    assert_eq!(code(nothing), "store_failed");
}

#[tokio::test]
async fn a_backup_with_flipped_bytes_is_refused_or_holds_the_very_same() {
    let dir = tempfile::tempdir().unwrap();
    let file = backed_up(dir.path(), 100).await;
    let (good, sound) = (std::fs::read(&file).unwrap(), verify(&file).unwrap());
    let damaged = dir.path().join("damaged.db");
    let mut refused = 0;
    for at in (0..good.len()).step_by(61) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        std::fs::write(&damaged, &bytes).unwrap();
        match verify(&damaged) {
            // Not every byte of a page is in use.
            Ok(report) => assert_eq!(report.tables, sound.tables, "byte {at}"),
            Err(error) => {
                assert_eq!(error.code().name, "backup_broken", "byte {at}: {error:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 50, "only {refused} were noticed");
}

#[tokio::test]
async fn damage_in_a_row_or_in_an_index_is_refused_and_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let file = backed_up(dir.path(), 40).await;
    let good = std::fs::read(&file).unwrap();
    let needle = b"a name to look for 0017";
    let places: Vec<usize> =
        (0..good.len() - needle.len()).filter(|at| good[*at..].starts_with(needle)).collect();
    assert!(places.len() >= 4, "in two tables, and in the index of each");
    for at in places {
        let mut bytes = good.clone();
        bytes[at + needle.len() - 1] ^= 1;
        let damaged = dir.path().join("damaged.db");
        std::fs::write(&damaged, &bytes).unwrap();
        assert_eq!(code(verify(&damaged)), "backup_broken", "byte {at}");
        let other = dir.path().join("other");
        assert_eq!(code(restore(&damaged, &other, false, &CLOCK())), "backup_broken");
        assert!(!other.join(FILE).exists());
    }
}

#[tokio::test]
async fn what_is_no_backup_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = backed_up(dir.path(), 40).await;
    let good = std::fs::read(&file).unwrap();
    let other = dir.path().join("no.db");
    for bytes in [&b""[..], b"no database at all", &good[..good.len() / 2]] {
        std::fs::write(&other, bytes).unwrap();
        assert_eq!(code(verify(&other)), "backup_broken", "{} bytes", bytes.len());
    }
    assert_eq!(code(verify(&dir.path().join("nowhere.db"))), "backup_broken");
    assert_eq!(code(verify(&dir.path().join("data").join(FILE))), "backup_broken", "it has no manifest");
}

#[tokio::test]
async fn a_store_that_is_there_is_only_replaced_when_told_and_then_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let file = backed_up(dir.path(), 10).await;
    let theirs = dir.path().join("theirs");
    open(&theirs).write(|tx| put(tx, "theirs")).await.unwrap();

    assert_eq!(code(restore(&file, &theirs, false, &CLOCK())), "data_dir_in_use");
    assert_eq!(kept(&open(&theirs)).await, ["theirs"]);

    let (_, aside) = restore(&file, &theirs, true, &CLOCK()).unwrap();
    assert_eq!(kept(&open(&theirs)).await.len(), 10);
    let old = dir.path().join("old");
    std::fs::create_dir(&old).unwrap();
    std::fs::rename(aside.unwrap(), old.join(FILE)).unwrap();
    assert_eq!(kept(&open(&old)).await, ["theirs"]);
}

#[tokio::test]
async fn a_store_that_is_open_is_not_restored_onto() {
    let dir = tempfile::tempdir().unwrap();
    let file = backed_up(dir.path(), 10).await;
    let theirs = dir.path().join("theirs");
    let db = open(&theirs);
    db.write(|tx| put(tx, "theirs")).await.unwrap();
    for replace in [false, true] {
        assert_eq!(code(restore(&file, &theirs, replace, &CLOCK())), "data_dir_in_use");
    }
    assert_eq!(kept(&db).await, ["theirs"]);
}

#[tokio::test]
async fn a_log_that_an_older_store_left_does_not_reach_the_restored_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = backed_up(dir.path(), 10).await;
    let theirs = dir.path().join("theirs");
    // A store that was torn away from its log: killed, and its file deleted by hand.
    let db: Db = open(&dir.path().join("torn"));
    for n in 0..20 {
        db.write(move |tx| put(tx, &format!("torn {n}"))).await.unwrap();
    }
    std::fs::create_dir(&theirs).unwrap();
    let (log, stale) = (format!("{FILE}-wal"), format!("{FILE}-wal"));
    std::fs::copy(dir.path().join("torn").join(log), theirs.join(stale)).unwrap();
    restore(&file, &theirs, false, &CLOCK()).unwrap();
    let restored = open(&theirs).read(names).await.unwrap();
    assert_eq!(restored.len(), 10);
    assert!(restored.iter().all(|name| name.starts_with("a name")));
}
