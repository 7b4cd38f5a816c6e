//! What is put is there, whole; what is not put whole is not there.

use crate::{
    TYPE, all, app, bytes, chunks, code,
    places::{LARGE, options, places},
    put, read, soon,
};
use angarium_base::{Secret, error::OVERLOADED};
use angarium_blobs::Options;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

#[tokio::test]
async fn what_is_put_is_there_as_it_was() {
    for place in places() {
        let (blobs, app) = (place.open(), app());
        blobs.check().await.unwrap();
        for size in [0, 1, 300_000, 5 << 20, LARGE] {
            let content = bytes(size as u64, size);
            let made = put(&blobs, &app, "a/b.bin", &content).await;
            assert_eq!(made.size_bytes, size as u64, "{}", place.name);
            let sha256 = Secret::new("").hash();
            assert!(size > 0 || made.sha256 == sha256);
            // Some servers that speak S3 write it their way.
            let same = |kind: &str| kind.replace(' ', "") == TYPE.replace(' ', "");
            assert!(same(&made.content_type), "{}", made.content_type);
            let (found, stream) = blobs.get(&app, "a/b.bin", None).await.unwrap();
            assert!(all(stream).await.unwrap() == content, "{} {size}", place.name);
            let head = blobs.head(&app, "a/b.bin").await.unwrap();
            assert_eq!(head, found, "{}", place.name);
            assert_eq!((head.sha256, head.size_bytes), (made.sha256, made.size_bytes));
            assert!(same(&head.content_type), "{}", head.content_type);
            assert!((head.modified_at - made.modified_at).abs() < 60_000, "{head:?} {made:?}");
        }
    }
}

#[tokio::test]
async fn what_is_put_survives_a_restart() {
    for place in places().into_iter().filter(|place| place.name != "memory") {
        let app = app();
        let content = bytes(1, LARGE);
        let made = put(&place.open(), &app, "a", &content).await;
        let blobs = place.open();
        assert_eq!(blobs.head(&app, "a").await.unwrap().sha256, made.sha256);
        assert!(read(&blobs, &app, "a", None).await.unwrap() == content, "{}", place.name);
    }
}

#[tokio::test]
async fn a_put_that_fails_leaves_what_was_there() {
    for place in places() {
        let (blobs, app) = (place.open(), app());
        let old = bytes(1, 1000);
        put(&blobs, &app, "old", &old).await;
        for size in [0, 10, LARGE] {
            for name in ["old", "new"] {
                let broken = chunks(&bytes(2, size), 100_000)
                    .chain(stream::iter([Err(OVERLOADED.err("the source broke"))]));
                assert_eq!(code(blobs.put(&app, name, TYPE, broken).await), "overloaded");
            }
        }
        assert_eq!(read(&blobs, &app, "old", None).await.unwrap(), old, "{}", place.name);
        assert_eq!(code(blobs.head(&app, "new").await), "blob_not_found", "{}", place.name);
    }
}

#[tokio::test]
async fn a_put_that_nobody_waits_for_any_more_leaves_what_was_there() {
    for place in places() {
        let (blobs, app) = (place.open(), app());
        let old = bytes(1, 1000);
        put(&blobs, &app, "old", &old).await;
        for name in ["old", "new"] {
            let (told, stalled) = tokio::sync::oneshot::channel();
            let stall = stream::once(async move {
                told.send(()).unwrap();
                std::future::pending().await
            });
            let put = blobs.put(&app, name, TYPE, chunks(&bytes(2, LARGE), 100_000).chain(stall));
            soon(async {
                tokio::select! { _ = put => panic!("it ended"), told = stalled => told.unwrap() }
            })
            .await;
        }
        assert_eq!(read(&blobs, &app, "old", None).await.unwrap(), old, "{}", place.name);
        assert_eq!(code(blobs.head(&app, "new").await), "blob_not_found", "{}", place.name);
    }
}

#[tokio::test]
async fn a_blob_is_as_large_as_allowed_and_no_larger() {
    for place in places() {
        let app = app();
        let blobs = place.open_with(Options { max_bytes: 1000, ..options() });
        put(&blobs, &app, "fits", &bytes(1, 1000)).await;
        let outcome = blobs.put(&app, "large", TYPE, chunks(&bytes(1, 1001), 1000)).await;
        assert_eq!(code(outcome), "blob_too_large", "{}", place.name);
        assert_eq!(code(blobs.head(&app, "large").await), "blob_not_found", "{}", place.name);
    }
}

#[tokio::test]
async fn of_puts_at_the_same_moment_one_wins_whole() {
    for place in places() {
        let (blobs, app) = (place.open(), app());
        let contents: Vec<Bytes> =
            (0..4).map(|seed| bytes(seed, 100 + (seed as usize % 2) * LARGE)).collect();
        let puts = contents.iter().map(|content| put(&blobs, &app, "a", content));
        futures_util::future::join_all(puts).await;
        let kept = read(&blobs, &app, "a", None).await.unwrap();
        assert!(contents.contains(&kept), "{}", place.name);
        // Replaced once more, from a large one to a small one: the sum of the former is not missed.
        put(&blobs, &app, "a", &contents[0]).await;
        assert_eq!(read(&blobs, &app, "a", None).await.unwrap(), contents[0]);
    }
}

#[tokio::test]
async fn deleting_is_for_good_and_may_be_done_twice() {
    for place in places() {
        let (blobs, app) = (place.open(), app());
        for size in [3, LARGE] {
            put(&blobs, &app, "a/b/c", &bytes(1, size)).await;
            for _ in 0..2 {
                blobs.delete(&app, "a/b/c").await.unwrap();
            }
            assert_eq!(code(blobs.head(&app, "a/b/c").await), "blob_not_found", "{}", place.name);
            assert_eq!(code(read(&blobs, &app, "a/b/c", None).await), "blob_not_found", "{}", place.name);
        }
        blobs.delete(&app, "never/was").await.unwrap();
    }
}

#[tokio::test]
async fn an_app_reaches_its_own_blobs_only() {
    for place in places() {
        let (blobs, mine, yours) = (place.open(), app(), app());
        put(&blobs, &yours, "a", &bytes(1, 10)).await;
        let tries = ["a", &format!("{yours}/a"), &format!("blobs/{yours}/a")];
        for name in tries {
            assert_eq!(code(blobs.head(&mine, name).await), "blob_not_found", "{}", place.name);
            assert_eq!(code(read(&blobs, &mine, name, None).await), "blob_not_found", "{}", place.name);
            blobs.delete(&mine, name).await.unwrap();
        }
        assert!(blobs.list(&mine, "", None, 10).await.unwrap().blobs.is_empty());
        put(&blobs, &mine, "a", &bytes(2, 10)).await;
        assert_eq!(read(&blobs, &yours, "a", None).await.unwrap(), bytes(1, 10), "{}", place.name);
    }
}

#[tokio::test]
async fn names_and_types_that_cannot_be_are_refused_everywhere() {
    for place in places() {
        let (blobs, app) = (place.open(), app());
        for name in ["", "/a", "a/", "../a", "a/../../b", "a//b", ".", "a\0", "ä", "a b", "+a", "a%2fb"] {
            let content = chunks(&bytes(1, 1), 1);
            assert_eq!(code(blobs.put(&app, name, TYPE, content).await), "invalid_blob_name", "{name:?}");
            assert_eq!(code(blobs.get(&app, name, None).await), "invalid_blob_name", "{name:?}");
            assert_eq!(code(blobs.head(&app, name).await), "invalid_blob_name", "{name:?}");
            assert_eq!(code(blobs.delete(&app, name).await), "invalid_blob_name", "{name:?}");
            assert_eq!(code(blobs.list(&app, "", Some(name), 1).await), "invalid_blob_name", "{name:?}");
        }
        let content = chunks(&bytes(1, 1), 1);
        assert_eq!(code(blobs.put(&app, "a", "x\r\ny: z", content).await), "invalid_blob_type");
    }
}

#[tokio::test]
async fn any_thread_may_run_a_call() {
    for place in places() {
        let (blobs, app) = (place.open(), app());
        let calls = async move {
            put(&blobs, &app, "a", &bytes(1, 10)).await;
            assert_eq!(read(&blobs, &app, "a", Some(1..3)).await.unwrap(), bytes(1, 10).slice(1..3));
            assert_eq!(blobs.head(&app, "a").await.unwrap().size_bytes, 10);
            assert_eq!(blobs.list(&app, "", None, 10).await.unwrap().blobs.len(), 1);
            blobs.delete(&app, "a").await.unwrap();
        };
        tokio::spawn(calls).await.unwrap();
    }
}
