//! The promises of the blobs port, each with a test that fails when it is broken, on every engine that is there:
//! memory, a folder, and S3 where `STACK_S3` says where a server is. What S3 does when it is ill is played by
//! [`fake`].

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

#[path = "contract/fake.rs"]
mod fake;
#[path = "contract/folder.rs"]
mod folder;
#[path = "contract/listing.rs"]
mod listing;
#[path = "contract/places.rs"]
mod places;
#[path = "contract/putting.rs"]
mod putting;
#[path = "contract/reading.rs"]
mod reading;
#[path = "contract/s3.rs"]
mod s3;

use angarium_base::{AppId, Result};
use angarium_blobs::{Blob, Blobs, Content};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::{
    ops::Range,
    time::{Duration, Instant},
};

/// How long anything may take before it counts as never.
const NEVER: Duration = Duration::from_secs(20);
const TYPE: &str = "text/plain; charset=utf-8";

fn app() -> AppId {
    AppId::new(1_000)
}

/// `size` bytes, different for each `seed`.
fn bytes(seed: u64, size: usize) -> Bytes {
    (0..size as u64).map(|at| ((at + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// `content` in chunks of `chunk` bytes.
fn chunks(content: &Bytes, chunk: usize) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
    let mut rest = content.clone();
    stream::iter(std::iter::from_fn(move || {
        (!rest.is_empty()).then(|| Ok(rest.split_to(chunk.min(rest.len()))))
    }))
}

async fn put(blobs: &Blobs, app: &AppId, name: &str, content: &Bytes) -> Blob {
    blobs.put(app, name, TYPE, chunks(content, 100_000)).await.unwrap()
}

async fn read(blobs: &Blobs, app: &AppId, name: &str, range: Option<Range<u64>>) -> Result<Bytes> {
    let (_, content) = blobs.get(app, name, range).await?;
    all(content).await
}

async fn all(mut content: Content) -> Result<Bytes> {
    let mut out = Vec::new();
    while let Some(chunk) = content.next().await {
        out.extend_from_slice(&chunk?);
    }
    Ok(out.into())
}

/// The name of the code a call failed with.
fn code<T>(outcome: Result<T>) -> &'static str {
    match outcome {
        Ok(_) => "no error",
        Err(error) => error.code().name,
    }
}

/// The answer, or a failed test: nothing may hang.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(NEVER, future).await.expect("an answer")
}

/// Waits until `fact` holds.
async fn until(what: &str, mut fact: impl FnMut() -> bool) {
    let started = Instant::now();
    while !fact() {
        assert!(started.elapsed() < NEVER, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
