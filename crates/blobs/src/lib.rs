//! The blobs port: bytes by name, streamed both ways, each app by itself.
//!
//! ```text
//!  put(app, name, stream) ──▶ size and SHA-256 on the way ──▶ engine: all of it becomes visible, or nothing
//!  get(app, name, range)  ◀── stream, held to its length and checksum ◀── engine
//! ```
//!
//! Promises, each with its test in `tests/contract.rs`:
//! * what [`Blobs::put`] answers with `Ok` is kept, whole; a put that fails, or that nobody waits for any more, leaves
//!   what was there before, and nothing half done to pay for;
//! * memory does not grow with the blob: a put holds at most [`Options::part_bytes`] times one more than
//!   [`Options::parts_in_flight`], a get one chunk of what the engine reads;
//! * a full read ends well only if its bytes are the ones that were put; its last chunk is not given out before;
//! * an app names its own blobs only: there is no name that leads elsewhere;
//! * when the engine is away, every call answers `unavailable` within [`Options::patience_ms`].
//!
//! Engines: memory, for tests; a folder, synced to the disk; S3 and what speaks it.

mod codes;
mod folder;
mod memory;
mod name;
mod reading;
mod s3;
mod target;
mod writing;

pub use codes::{
    BLOB_CORRUPT, BLOB_NOT_FOUND, BLOB_TOO_LARGE, CODES, INVALID_BLOB_NAME, INVALID_BLOB_RANGE,
    INVALID_BLOB_TYPE, INVALID_BLOBS_TARGET,
};
pub use target::{S3Access, Target};

use angarium_base::{AppId, Clock, Result, clock::Millis, secret};
use bytes::Bytes;
use futures_util::Stream;
use std::{fmt, ops::Range, pin::Pin, sync::Arc};

/// The content of a blob, in chunks.
pub type Content = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// The most that [`Blobs::list`] gives at once.
pub const LIST_LIMIT: usize = 1000;

/// What a blob is, beside its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub size_bytes: u64,
    /// Of the whole content.
    pub sha256: [u8; 32],
    pub content_type: String,
    /// When it was last put: by this server's clock, or by S3's, whose answers are in whole seconds.
    pub modified_at: Millis,
}

impl Blob {
    /// The checksum in lower-case hexadecimal.
    pub fn sha256_hex(&self) -> String {
        secret::hex(&self.sha256)
    }
}

/// A blob in a list: what every engine knows without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub size_bytes: u64,
    pub modified_at: Millis,
}

/// Some blobs in the order of their names, byte by byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub blobs: Vec<Listed>,
    /// What to give as `after` for the next page; `None` when this is the last one.
    pub next: Option<String>,
}

/// Limits, the same for all engines.
#[derive(Clone, Debug)]
pub struct Options {
    /// The largest blob that is taken.
    pub max_bytes: u64,
    /// What is sent to S3 at once. At least 5 MiB, S3's own limit, and more where `max_bytes` would need more than
    /// S3's 10,000 parts.
    pub part_bytes: usize,
    /// How many parts of one blob are on their way at once.
    pub parts_in_flight: usize,
    /// How long S3 may say nothing before a request is tried again.
    pub answer_ms: u64,
    /// How long a call may take, its retries included, before it answers `unavailable`. Of a stream: each of its steps.
    pub patience_ms: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_bytes: 5 << 30,
            part_bytes: 8 << 20,
            parts_in_flight: 4,
            answer_ms: 20_000,
            patience_ms: 45_000,
        }
    }
}

/// A handle on the blobs of all apps. Cloning it is cheap.
#[derive(Clone)]
pub struct Blobs {
    engine: Arc<Engine>,
    max_bytes: u64,
}

enum Engine {
    Memory(memory::Engine),
    Folder(folder::Engine),
    S3(s3::Engine),
}

/// Does the same with whichever engine it is.
macro_rules! on {
    ($blobs:expr, $engine:ident => $do:expr) => {
        match &*$blobs.engine {
            Engine::Memory($engine) => $do,
            Engine::Folder($engine) => $do,
            Engine::S3($engine) => $do,
        }
    };
}

/// A blob whose name is known to be good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    app: AppId,
    name: String,
}

impl Key {
    fn new(app: &AppId, name: &str) -> Result<Key> {
        name::check(name)?;
        Ok(Key { app: app.clone(), name: name.into() })
    }
}

impl Blobs {
    /// Opens the engine that `target` names. S3 is not asked before the first call: see [`Blobs::check`].
    ///
    /// # Errors
    /// `unavailable` when the folder cannot be made; `invalid_blobs_target` when the target cannot be used.
    pub fn open(target: &Target, options: Options, clock: Clock) -> Result<Blobs> {
        let max_bytes = options.max_bytes;
        let engine = match target {
            Target::Memory => Engine::Memory(memory::Engine::new(clock)),
            Target::Folder(root) => Engine::Folder(folder::Engine::open(root, clock)?),
            Target::S3 { bucket, prefix, access } => {
                Engine::S3(s3::Engine::open(bucket, prefix, access, options, clock)?)
            }
        };
        Ok(Blobs { engine: Arc::new(engine), max_bytes })
    }

    /// Whether the engine is there and lets us work, by asking it.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn check(&self) -> Result<()> {
        on!(self, engine => engine.check().await)
    }

    /// Keeps what `content` gives under `name`, in place of what was there, and answers when it is kept.
    ///
    /// An error of `content` ends the put and is returned as it is. Dropping the future ends it too. Readers see the
    /// blob as it was until they see it whole. After `unavailable` it is the old one or the new one.
    ///
    /// # Errors
    /// `invalid_blob_name`, `invalid_blob_type`, `blob_too_large`, `unavailable`, and what `content` fails with.
    pub async fn put(
        &self,
        app: &AppId,
        name: &str,
        content_type: &str,
        content: impl Stream<Item = Result<Bytes>> + Send,
    ) -> Result<Blob> {
        let key = Key::new(app, name)?;
        name::check_content_type(content_type)?;
        on!(self, engine => {
            let upload = engine.begin(key, content_type).await?;
            writing::write(upload, content, self.max_bytes).await
        })
    }

    /// The blob and its content: all of it, or the bytes of `range`, which are exactly those.
    ///
    /// A stream that ends without an error has given everything; of a full read it is also known that the checksum
    /// matches. A blob that is put or deleted meanwhile does not change what an open stream gives.
    ///
    /// # Errors
    /// `invalid_blob_name`, `blob_not_found`, `invalid_blob_range` when `range` is empty or goes beyond the end,
    /// `blob_corrupt`, `unavailable`; the latter two also later, from the stream.
    pub async fn get(&self, app: &AppId, name: &str, range: Option<Range<u64>>) -> Result<(Blob, Content)> {
        let key = Key::new(app, name)?;
        if range.as_ref().is_some_and(|range| range.start >= range.end) {
            return Err(INVALID_BLOB_RANGE.err("the range is empty"));
        }
        let (blob, content) = on!(self, engine => engine.get(&key, range.clone()).await)?;
        let content = reading::held_to(&blob, range, content);
        Ok((blob, content))
    }

    /// The blob without its content.
    ///
    /// # Errors
    /// `invalid_blob_name`, `blob_not_found`, `blob_corrupt`, `unavailable`.
    pub async fn head(&self, app: &AppId, name: &str) -> Result<Blob> {
        let key = Key::new(app, name)?;
        on!(self, engine => engine.head(&key).await)
    }

    /// Takes the blob away. One that is not there is fine.
    ///
    /// # Errors
    /// `invalid_blob_name`, `unavailable`.
    pub async fn delete(&self, app: &AppId, name: &str) -> Result<()> {
        let key = Key::new(app, name)?;
        on!(self, engine => engine.delete(&key).await)
    }

    /// Blobs of `app` whose names begin with `prefix` and come after `after`, at most `limit` of them, and at most
    /// [`LIST_LIMIT`]. What is put or deleted while somebody goes through the pages may be seen or not.
    ///
    /// # Errors
    /// `invalid_blob_name` for a prefix or an `after` that no name has, `unavailable`.
    pub async fn list(&self, app: &AppId, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page> {
        name::check_prefix(prefix)?;
        after.map_or(Ok(()), name::check)?;
        let limit = limit.clamp(1, LIST_LIMIT);
        // One more than asked for tells whether there is another page.
        let mut blobs = on!(self, engine => engine.list(app, prefix, after.unwrap_or(""), limit + 1).await)?;
        let has_more = blobs.len() > limit;
        blobs.truncate(limit);
        let next = blobs.last().filter(|_| has_more).map(|last| last.name.clone());
        Ok(Page { blobs, next })
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = match &*self.engine {
            Engine::Memory(_) => "memory",
            Engine::Folder(_) => "folder",
            Engine::S3(_) => "s3",
        };
        write!(f, "Blobs({engine})")
    }
}
