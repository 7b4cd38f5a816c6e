//! What is read is what was put: all of it, or exactly the bytes asked for.

use crate::{
    all, app, bytes, code,
    places::{LARGE, places},
    put, read,
};

#[tokio::test]
async fn a_range_is_exact() {
    for place in places() {
        let (blobs, app) = (place.open(), app());
        for size in [1000, LARGE as u64] {
            let content = bytes(3, size as usize);
            put(&blobs, &app, "a", &content).await;
            let middle = size / 2;
            for range in [0..1, 0..size, size - 1..size, middle..middle + 1, 7..middle, middle..size] {
                let (blob, stream) = blobs.get(&app, "a", Some(range.clone())).await.unwrap();
                let wanted = content.slice(range.start as usize..range.end as usize);
                assert!(all(stream).await.unwrap() == wanted, "{} {range:?}", place.name);
                assert_eq!(blob.size_bytes, size, "the blob's size, not the range's");
            }
        }
    }
}

#[tokio::test]
#[allow(clippy::reversed_empty_ranges, reason = "it is what is refused")]
async fn a_range_beyond_the_end_is_refused() {
    for place in places() {
        let (blobs, app) = (place.open(), app());
        put(&blobs, &app, "a", &bytes(1, 10)).await;
        put(&blobs, &app, "empty", &bytes(1, 0)).await;
        for range in [0..11, 9..11, 10..11, 50..60, 0..u64::MAX, 5..5, 7..3] {
            let outcome = blobs.get(&app, "a", Some(range.clone())).await;
            assert_eq!(code(outcome), "invalid_blob_range", "{} {range:?}", place.name);
        }
        assert_eq!(code(blobs.get(&app, "empty", Some(0..1)).await), "invalid_blob_range", "{}", place.name);
        assert_eq!(code(blobs.get(&app, "none", Some(0..1)).await), "blob_not_found", "{}", place.name);
    }
}

#[tokio::test]
async fn a_reader_is_not_touched_by_what_is_put_meanwhile() {
    for place in places() {
        let (blobs, app) = (place.open(), app());
        let old = bytes(1, 50_000);
        put(&blobs, &app, "a", &old).await;
        let (_, stream) = blobs.get(&app, "a", None).await.unwrap();
        put(&blobs, &app, "a", &bytes(2, 70_000)).await;
        blobs.delete(&app, "a").await.unwrap();
        assert!(all(stream).await.unwrap() == old, "{}", place.name);
        assert_eq!(code(read(&blobs, &app, "a", None).await), "blob_not_found", "{}", place.name);
    }
}
