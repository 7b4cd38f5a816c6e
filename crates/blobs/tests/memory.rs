//! That memory does not grow with the blob: all that this process allocates is counted while 200 MiB go in and out.
//!
//! A test of its own, because the count is the whole process's. What the memory engine keeps is memory: it is not here.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

#[path = "contract/places.rs"]
#[allow(dead_code, reason = "the contract uses more of it")]
mod places;

use angarium_base::{AppId, Result};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const SIZE: usize = 200 << 20;
const CHUNK: usize = 1 << 20;
/// Three parts of 5 MiB, and 5 MiB for the chunks on their way, the buffers of connections and files, and the runtime.
const MOST: usize = 20 << 20;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: everything is handed on to the system's allocator as it came.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: as for this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as for this function.
        unsafe { System.dealloc(at, layout) }
    }
}

/// How much more than at its beginning `work` had allocated at any moment.
async fn peak<T>(work: impl Future<Output = T>) -> (usize, T) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let out = work.await;
    (PEAK.load(Relaxed).saturating_sub(before), out)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_the_blob() {
    for place in places::places().into_iter().filter(|place| place.name != "memory") {
        let (blobs, app) = (place.open(), AppId::new(1_000));
        let generated = stream::iter((0..SIZE / CHUNK).map(|at| Ok(Bytes::from(vec![at as u8; CHUNK]))));
        let (most, made) = peak(blobs.put(&app, "large", "a/b", generated)).await;
        assert_eq!(made.unwrap().size_bytes, SIZE as u64);
        println!("{}: put took {} KiB at most", place.name, most >> 10);
        assert!(most < MOST, "{}: put took {most} bytes", place.name);

        let reading = async {
            let (_, mut content) = blobs.get(&app, "large", None).await?;
            let mut size = 0;
            while let Some(chunk) = content.next().await {
                size += chunk?.len();
            }
            Ok(size)
        };
        let (most, size): (_, Result<_>) = peak(reading).await;
        assert_eq!(size.unwrap(), SIZE);
        println!("{}: get took {} KiB at most", place.name, most >> 10);
        assert!(most < MOST, "{}: get took {most} bytes", place.name);
        blobs.delete(&app, "large").await.unwrap();
    }
}
