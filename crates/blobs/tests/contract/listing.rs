//! Lists: names in order, a page at a time.

use crate::{
    app, bytes, code,
    places::{Place, places},
    put,
};

/// Among them those that a file system confuses, and those whose order a walk through folders gets wrong.
const NAMES: [&str; 14] =
    ["a", "A", "a/b", "a-b", "a.b", "a0", "a/b/c", "a/bc", "b/c/d", "b/c", "b", "Zz/y", "con", "a/B"];

/// Some servers that speak S3 keep files, and take no name that is a folder of another one. S3 does.
fn names(place: &Place) -> Vec<&'static str> {
    let is_folder = |name: &str| NAMES.iter().any(|other| other.starts_with(&format!("{name}/")));
    NAMES.into_iter().filter(|name| place.name != "s3" || !is_folder(name)).collect()
}

#[tokio::test]
async fn a_list_gives_each_name_once_in_order() {
    for place in places() {
        let (blobs, app) = (place.open(), app());
        let mut sorted = names(&place);
        for (at, name) in sorted.iter().enumerate() {
            put(&blobs, &app, name, &bytes(1, at)).await;
        }
        sorted.sort_unstable();
        for prefix in ["", "a", "a/", "a/b", "a/b/", "b/c", "b/c/", "A", "z", "a.b", "a/b/c"] {
            let wanted: Vec<_> = sorted.iter().filter(|name| name.starts_with(prefix)).collect();
            for limit in [1, 2, 5, 100] {
                let mut got = vec![];
                let mut after: Option<String> = None;
                loop {
                    let page = blobs.list(&app, prefix, after.as_deref(), limit).await.unwrap();
                    assert!(page.blobs.len() <= limit);
                    got.extend(page.blobs.into_iter().map(|listed| listed.name));
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(got.iter().collect::<Vec<_>>(), wanted, "{} {prefix:?} {limit}", place.name);
            }
        }
    }
}

#[tokio::test]
async fn a_list_begins_after_any_name_there_or_not() {
    for place in places() {
        let (blobs, app) = (place.open(), app());
        let names = names(&place);
        for name in &names {
            put(&blobs, &app, name, &bytes(1, 1)).await;
        }
        for after in ["0", "A", "a", "a-", "a/b", "a/b/0", "a/b/z", "a/zz", "b/c", "zzz", "a/b/c/d"] {
            for prefix in ["", "a/", "b"] {
                let mut wanted: Vec<_> =
                    names.iter().copied().filter(|name| *name > after && name.starts_with(prefix)).collect();
                wanted.sort_unstable();
                let page = blobs.list(&app, prefix, Some(after), 100).await.unwrap();
                let got: Vec<_> = page.blobs.iter().map(|listed| listed.name.as_str()).collect();
                assert_eq!(got, wanted, "{} {prefix:?} after {after:?}", place.name);
                assert_eq!(page.next, None);
            }
        }
    }
}

#[tokio::test]
async fn a_list_tells_sizes_and_when() {
    for place in places() {
        let (blobs, app) = (place.open(), app());
        let made = put(&blobs, &app, "a", &bytes(1, 1234)).await;
        let listed = blobs.list(&app, "", None, 0).await.unwrap().blobs.remove(0);
        assert_eq!(listed.size_bytes, 1234, "{}", place.name);
        assert!((listed.modified_at - made.modified_at).abs() < 60_000, "{}", place.name);
        for prefix in ["/", "../", "a//", "ä"] {
            assert_eq!(code(blobs.list(&app, prefix, None, 1).await), "invalid_blob_name");
        }
    }
}
