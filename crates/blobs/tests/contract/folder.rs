//! What only a folder has to promise: what lies in it.

use crate::{TYPE, app, bytes, chunks, code, put, read};
use angarium_base::{AppId, Clock};
use angarium_blobs::{Blobs, Options, Target};
use std::{fs, path::Path, path::PathBuf};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn open(root: &Path, clock: Clock) -> Blobs {
    Blobs::open(&Target::Folder(root.into()), Options::default(), clock).unwrap()
}

fn file_of(root: &Path, app: &AppId) -> PathBuf {
    root.join(app.as_str()).join("=a")
}

#[tokio::test]
async fn what_changed_on_the_disk_is_not_given_out_as_the_blob() {
    let root = tempfile::tempdir().unwrap();
    let (blobs, app) = (open(root.path(), Clock::manual(1_000)), app());
    let content = bytes(1, 600_000);
    for at in [0, 300_000, 599_999] {
        put(&blobs, &app, "a", &content).await;
        let file = file_of(root.path(), &app);
        let mut broken = fs::read(&file).unwrap();
        broken[at] ^= 1;
        fs::write(&file, &broken).unwrap();
        assert_eq!(code(read(&blobs, &app, "a", None).await), "blob_corrupt", "byte {at}");
    }
}

#[tokio::test]
async fn a_file_that_is_cut_or_foreign_is_not_a_blob() {
    let root = tempfile::tempdir().unwrap();
    let (blobs, app) = (open(root.path(), Clock::manual(1_000)), app());
    put(&blobs, &app, "a", &bytes(1, 1000)).await;
    let file = file_of(root.path(), &app);
    let whole = fs::read(&file).unwrap();
    let inserted = [&whole[..10], &whole[..]].concat();
    for broken in [&whole[..1000], &whole[..10], &[], &whole[1..], &inserted] {
        fs::write(&file, broken).unwrap();
        assert_eq!(code(blobs.head(&app, "a").await), "blob_corrupt");
        assert_eq!(code(blobs.get(&app, "a", None).await), "blob_corrupt");
    }
    fs::write(root.path().join(app.as_str()).join("README"), "not ours").unwrap();
    assert_eq!(blobs.list(&app, "", None, 10).await.unwrap().blobs.len(), 1);
}

#[tokio::test]
async fn the_content_lies_there_as_it_is_and_nothing_else_does() {
    let root = tempfile::tempdir().unwrap();
    let clock = Clock::manual(1_700_000_000_123);
    let (blobs, app) = (open(root.path(), clock.clone()), app());
    let content = bytes(1, 3_000_000);
    let made = put(&blobs, &app, "a", &content).await;
    assert_eq!(fs::read(file_of(root.path(), &app)).unwrap()[..3_000_000], content);
    assert_eq!(made.modified_at, clock.now());
    assert_eq!(blobs.head(&app, "a").await.unwrap(), made);
    let broken = chunks(&content, 1000);
    drop(blobs.put(&app, "b", TYPE, broken));
    blobs.check().await.unwrap();
    assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    put(&blobs, &app, "x/y/z", &content).await;
    blobs.delete(&app, "x/y/z").await.unwrap();
    assert_eq!(fs::read_dir(root.path().join(app.as_str())).unwrap().count(), 1, "no empty folder stays");
}

#[tokio::test]
async fn what_a_crash_left_goes_at_a_later_open() {
    let root = tempfile::tempdir().unwrap();
    let now = Clock::system().now();
    open(root.path(), Clock::manual(now));
    let left = root.path().join("tmp").join("left");
    fs::write(&left, "half").unwrap();
    open(root.path(), Clock::manual(now + DAY_MS / 2));
    assert!(left.exists(), "somebody may still be writing it");
    open(root.path(), Clock::manual(now + 2 * DAY_MS));
    assert!(!left.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_folder_that_is_emptied_while_something_is_put_there_is_made_again() {
    let root = tempfile::tempdir().unwrap();
    let (blobs, app) = (open(root.path(), Clock::manual(1_000)), app());
    let runs = (0..4).map(|task| {
        let (blobs, app) = (blobs.clone(), app.clone());
        tokio::spawn(async move {
            for _ in 0..25 {
                let name = format!("x/y/{task}");
                put(&blobs, &app, &name, &bytes(task, 10)).await;
                assert_eq!(read(&blobs, &app, &name, None).await.unwrap(), bytes(task, 10));
                blobs.delete(&app, &name).await.unwrap();
            }
        })
    });
    for run in futures_util::future::join_all(runs).await {
        run.unwrap();
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_is_told_as_unavailable() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let outcome = Blobs::open(&Target::Folder(file), Options::default(), Clock::manual(1));
    assert_eq!(code(outcome), "unavailable");
    let (blobs, app) = (open(&root.path().join("blobs"), Clock::manual(1)), app());
    fs::remove_dir_all(root.path()).unwrap();
    assert_eq!(code(blobs.check().await), "unavailable");
    let error = blobs.put(&app, "a", TYPE, chunks(&bytes(1, 1), 1)).await.unwrap_err();
    assert_eq!((error.code().name, error.retry_after_s()), ("unavailable", Some(5)));
}
