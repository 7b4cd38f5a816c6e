//! S3 that is ill: slow, busy, away, or wrong; and what is sent to it when a put ends early.

use crate::{
    TYPE, all, app, bytes, chunks, code,
    fake::{Fake, Reply, SECRET},
    places::LARGE,
    read, soon, until,
};
use angarium_base::{AppId, Error, Result};
use angarium_blobs::Blobs;
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The headers of an object with this content.
fn headers(content: &[u8]) -> String {
    let sha256 = angarium_base::secret::hex(&Sha256::digest(content));
    format!(
        "etag: \"e\"\r\nlast-modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n\
         content-type: text/plain\r\nx-amz-meta-sha256: {sha256}\r\n"
    )
}

fn object(content: &'static [u8]) -> Reply {
    Reply::Answer("200 OK", headers(content), content.to_vec())
}

/// What each call answers, by its name.
async fn every_call(blobs: &Blobs, app: &AppId) -> Vec<(&'static str, Result<()>)> {
    vec![
        ("check", blobs.check().await),
        ("put", blobs.put(app, "a", TYPE, chunks(&bytes(1, 9), 9)).await.map(|_| ())),
        ("put large", blobs.put(app, "a", TYPE, chunks(&bytes(1, LARGE), 1 << 20)).await.map(|_| ())),
        ("get", blobs.get(app, "a", None).await.map(|_| ())),
        ("range", blobs.get(app, "a", Some(0..1)).await.map(|_| ())),
        ("head", blobs.head(app, "a").await.map(|_| ())),
        ("delete", blobs.delete(app, "a").await),
        ("list", blobs.list(app, "", None, 10).await.map(|_| ())),
    ]
}

fn assert_unavailable(outcomes: Vec<(&'static str, Result<()>)>) {
    for (call, outcome) in outcomes {
        let error: Error = outcome.unwrap_err();
        assert_eq!((error.code().name, error.retry_after_s()), ("unavailable", Some(5)), "{call}: {error:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let fake = Fake::start(|before, _| match before {
        0 | 1 => Reply::status("503 Slow Down"),
        _ => object(b"hello"),
    })
    .await;
    let blobs = fake.open(5_000, 10_000);
    assert_eq!(soon(read(&blobs, &app(), "a", None)).await.unwrap(), "hello");
    assert_eq!(fake.count("GET", "/bucket/p/blobs/app_"), 3);
}

#[tokio::test]
async fn a_put_that_a_busy_server_refuses_is_sent_again() {
    let fake = Fake::start(|before, request| match request.method.as_str() {
        "HEAD" => Reply::status("404 Not Found"),
        _ if before < 3 => Reply::status("503 Slow Down"),
        _ => Reply::Answer("200 OK", "etag: \"e\"\r\n".into(), vec![]),
    })
    .await;
    let blobs = fake.open(5_000, 10_000);
    soon(blobs.put(&app(), "a", TYPE, chunks(&bytes(1, 100), 10))).await.unwrap();
    let puts: Vec<_> = fake.seen().into_iter().filter(|seen| seen.method == "PUT").collect();
    assert_eq!(puts.len(), 3);
    assert!(puts.iter().all(|put| put.body_bytes == 100), "{puts:?}");
}

#[tokio::test]
async fn a_server_that_stays_busy_makes_every_call_unavailable() {
    let fake = Fake::start(|_, _| Reply::status("503 Slow Down")).await;
    let (blobs, app) = (fake.open(200, 400), app());
    assert_unavailable(soon(every_call(&blobs, &app)).await);
    assert!(fake.seen().len() > 8, "none was tried again: {:?}", fake.seen());
}

#[tokio::test]
async fn a_server_that_does_not_answer_makes_every_call_unavailable() {
    let fake = Fake::start(|_, _| Reply::Hang).await;
    let (blobs, app) = (fake.open(100, 400), app());
    assert_unavailable(soon(every_call(&blobs, &app)).await);
}

#[tokio::test]
async fn a_server_that_is_not_there_makes_every_call_unavailable() {
    let blobs = Fake::gone().open(100, 400);
    assert_unavailable(soon(every_call(&blobs, &app())).await);
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_is_unavailable_at_once() {
    let body = "<Error><Code>SignatureDoesNotMatch</Code></Error>";
    let fake =
        Fake::start(move |_, _| Reply::Answer("403 Forbidden", String::new(), body.as_bytes().to_vec()))
            .await;
    let blobs = fake.open(5_000, 10_000);
    assert_unavailable(soon(every_call(&blobs, &app())).await);
    assert!(fake.seen().len() < 12, "it is of no use to try again: {:?}", fake.seen());
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_no_absent_blob() {
    let body = "<Error><Code>NoSuchBucket</Code></Error>";
    let fake =
        Fake::start(move |_, _| Reply::Answer("404 Not Found", String::new(), body.as_bytes().to_vec()))
            .await;
    let blobs = fake.open(5_000, 10_000);
    assert_eq!(code(soon(blobs.check()).await), "unavailable");
    assert_eq!(code(soon(blobs.get(&app(), "a", None)).await), "unavailable");
}

#[tokio::test]
async fn one_request_that_hangs_does_not_fail_a_call() {
    let fake = Fake::start(|before, _| if before == 0 { Reply::Hang } else { object(b"hello") }).await;
    let blobs = fake.open(100, 10_000);
    assert_eq!(soon(read(&blobs, &app(), "a", None)).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_was() {
    let fake = Fake::start(|_, request| match request.range.as_deref() {
        None => Reply::Cut(headers(b"hello, world"), 12, b"hello".to_vec()),
        Some("bytes=5-11") => Reply::Answer(
            "206 Partial Content",
            format!("{}content-range: bytes 5-11/12\r\n", headers(b"hello, world")),
            b", world".to_vec(),
        ),
        Some(other) => panic!("{other}"),
    })
    .await;
    let blobs = fake.open(5_000, 10_000);
    assert_eq!(soon(read(&blobs, &app(), "a", None)).await.unwrap(), "hello, world");
}

#[tokio::test]
async fn a_download_that_stalls_ends_as_unavailable() {
    let fake = Fake::start(|_, request| match request.range {
        None => Reply::Cut(headers(b"hello, world"), 12, b"hello".to_vec()),
        Some(_) => Reply::Hang,
    })
    .await;
    let blobs = fake.open(500, 2_000);
    let (_, content) = soon(blobs.get(&app(), "a", None)).await.unwrap();
    assert_eq!(code(soon(all(content)).await), "unavailable");
}

#[tokio::test]
async fn content_that_is_not_what_was_put_is_told_before_its_end() {
    let fake = Fake::start(|_, _| Reply::Answer("200 OK", headers(b"hello"), b"hallo".to_vec())).await;
    let blobs = fake.open(5_000, 10_000);
    let (_, mut content) = soon(blobs.get(&app(), "a", None)).await.unwrap();
    assert_eq!(code(content.next().await.unwrap()), "blob_corrupt", "the last chunk is held back");
    let foreign = Fake::start(|_, _| Reply::Answer("200 OK", "etag: \"e\"\r\n".into(), vec![])).await;
    let blobs = foreign.open(5_000, 10_000);
    assert_eq!(code(soon(blobs.get(&app(), "a", None)).await), "blob_corrupt", "it has no checksum");
}

/// An upload in parts that S3 takes; `on_part` says what becomes of a part.
async fn in_parts(on_part: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Fake {
    Fake::start(move |before, request| match request.method.as_str() {
        "HEAD" => Reply::status("404 Not Found"),
        "DELETE" => Reply::status("204 No Content"),
        "POST" if request.target.contains("uploads=") => Reply::xml(
            "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>k</Key><UploadId>u-1</UploadId>\
             </InitiateMultipartUploadResult>",
        ),
        "POST" => {
            Reply::xml("<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>")
        }
        _ if request.target.contains("partNumber") => on_part(before),
        _ => Reply::Answer("200 OK", "etag: \"e\"\r\n".into(), vec![]),
    })
    .await
}

fn taken(_: usize) -> Reply {
    Reply::Answer("200 OK", "etag: \"e\"\r\n".into(), vec![])
}

#[tokio::test]
async fn a_large_blob_has_its_sum_before_it_is_completed() {
    let fake = in_parts(taken).await;
    let blobs = fake.open(5_000, 10_000);
    soon(blobs.put(&app(), "a", TYPE, chunks(&bytes(1, LARGE), 1 << 20))).await.unwrap();
    assert_eq!(fake.count("PUT", "partNumber"), 3);
    let seen = fake.seen();
    let at = |method: &str, part: &str| {
        seen.iter().position(|seen| seen.method == method && seen.target.contains(part)).unwrap()
    };
    assert!(at("PUT", "/bucket/p/sums/app_") < at("POST", "uploadId=u-1"), "{seen:?}");
    assert_eq!(fake.count("DELETE", ""), 0);
}

#[tokio::test]
async fn the_sum_of_a_blob_goes_with_it() {
    let fake = Fake::start(|_, request| match request.method.as_str() {
        "HEAD" => Reply::Answer("200 OK", "etag: \"e\"\r\nx-amz-meta-sum: 01old\r\n".into(), vec![]),
        "DELETE" => Reply::status("204 No Content"),
        _ => taken(0),
    })
    .await;
    let (blobs, app) = (fake.open(5_000, 10_000), app());
    soon(blobs.put(&app, "a", TYPE, chunks(&bytes(1, 10), 10))).await.unwrap();
    assert_eq!(fake.count("DELETE", &format!("/p/sums/{app}/01old")), 1, "it was replaced");
    soon(blobs.delete(&app, "a")).await.unwrap();
    assert_eq!(fake.count("DELETE", &format!("/p/sums/{app}/01old")), 2, "it was deleted");
    assert_eq!(fake.count("DELETE", &format!("/p/blobs/{app}/a")), 1);
}

#[tokio::test]
async fn a_blob_that_is_replaced_while_it_is_looked_at_is_looked_at_again() {
    let fake = Fake::start(|before, request| match before {
        _ if request.target.contains("/sums/") => Reply::status("404 Not Found"),
        0 => Reply::Answer("200 OK", "etag: \"e\"\r\nx-amz-meta-sum: 01old\r\n".into(), vec![]),
        _ => object(b"hello"),
    })
    .await;
    let blobs = fake.open(5_000, 10_000);
    assert_eq!(soon(read(&blobs, &app(), "a", None)).await.unwrap(), "hello");
    let without = Fake::start(|_, request| match request.target.contains("/sums/") {
        true => Reply::status("404 Not Found"),
        false => Reply::Answer("200 OK", "etag: \"e\"\r\nx-amz-meta-sum: 01old\r\n".into(), vec![]),
    })
    .await;
    assert_eq!(code(soon(without.open(5_000, 10_000).head(&app(), "a")).await), "blob_corrupt");
}

#[tokio::test]
async fn a_large_put_that_fails_or_is_dropped_is_aborted() {
    let fake = in_parts(taken).await;
    let (blobs, app) = (fake.open(5_000, 10_000), app());
    let broken = chunks(&bytes(1, LARGE), 1 << 20)
        .chain(stream::iter([Err(angarium_base::error::OVERLOADED.err("the source broke"))]));
    assert_eq!(code(soon(blobs.put(&app, "a", TYPE, broken)).await), "overloaded");
    until("the first is aborted", || fake.count("DELETE", "uploadId=u-1") == 1).await;

    let endless = chunks(&bytes(1, LARGE), 1 << 20).chain(stream::pending());
    let before = fake.count("PUT", "partNumber");
    {
        let put = blobs.put(&app, "a", TYPE, endless);
        let begun = until("two parts of the second", || fake.count("PUT", "partNumber") == before + 2);
        tokio::select! { _ = put => panic!("it ended"), () = begun => {} }
    }
    until("the second is aborted", || fake.count("DELETE", "uploadId=u-1") == 2).await;

    let refused = in_parts(|_| Reply::status("400 Bad Request")).await;
    let blobs = refused.open(5_000, 10_000);
    let put = blobs.put(&app, "a", TYPE, chunks(&bytes(1, LARGE), 1 << 20));
    assert_eq!(code(soon(put).await), "unavailable");
    until("the third is aborted", || refused.count("DELETE", "uploadId=u-1") == 1).await;
    for fake in [fake, refused] {
        assert_eq!(fake.count("POST", "uploadId"), 0, "none was completed");
        assert_eq!(fake.count("PUT", "/sums/"), 0);
    }
}

#[tokio::test]
async fn no_more_parts_are_on_their_way_than_allowed() {
    let fake = in_parts(|_| Reply::Hang).await;
    let (blobs, app) = (fake.open(60_000, 60_000), app());
    let put = blobs.put(&app, "a", TYPE, chunks(&bytes(1, 4 * LARGE), 1 << 20));
    let looked = async {
        until("two parts", || fake.count("PUT", "partNumber") == 2).await;
        // A third one would come in this time.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(fake.count("PUT", "partNumber"), 2);
    };
    tokio::select! { _ = put => panic!("it ended"), () = looked => {} }
}
