//! The engine that is a folder.
//!
//! ```text
//! ROOT/tmp/01J…            being written; one older than a day was left by a crash, and goes at the next open
//! ROOT/app_…/+photos/=a    the blob `photos/a`: its content, then a trailer of 256 bytes
//! ```
//!
//! The checksum is known only at the end, and a file system keeps no attributes: so they stand behind the content, in
//! the same file, and appear with it in one rename. A second file could be there without the first one, or not match
//! it. The file and its folder are synced to the disk before a put answers. What lies in the file is the content as it
//! is, a trailer apart: `head -c -256` gives it back.

mod names;
mod trailer;
mod walk;

use crate::{
    Blob, Content, Key, Listed, codes::BLOB_CORRUPT, codes::BLOB_NOT_FOUND, codes::INVALID_BLOB_RANGE,
    writing,
};
use angarium_base::error::{INTERNAL, UNAVAILABLE};
use angarium_base::{AppId, Clock, Context, Error, Result, clock::Millis, id::push_ulid};
use bytes::Bytes;
use futures_util::stream;
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    ops::Range,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::io::AsyncWriteExt;

const CHUNK_BYTES: u64 = 256 << 10;
/// After this long nobody is still writing a temporary file.
const LEFT_OVER_MS: Millis = 24 * 60 * 60 * 1000;
/// How often a folder is made again that somebody's delete takes away as empty.
const TRIES: usize = 64;

pub(crate) struct Engine {
    root: PathBuf,
    clock: Clock,
}

impl Engine {
    pub(crate) fn open(root: &Path, clock: Clock) -> Result<Engine> {
        let engine = Engine { root: root.into(), clock };
        // Its owner's alone, whatever folder it is in.
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(engine.tmp());
        let ready = made.and_then(|()| engine.sweep());
        ready.map_err(|error| failed(error, "the folder of blobs cannot be opened"))?;
        Ok(engine)
    }

    pub(crate) async fn check(&self) -> Result<()> {
        let canary = self.temporary();
        let check = move || File::create(&canary.0).map(|_| ());
        blocking(check).await?.map_err(unwritable)
    }

    pub(crate) async fn begin(&self, key: Key, content_type: &str) -> Result<Upload> {
        let temporary = self.temporary();
        let create = move || File::create_new(&temporary.0).map(|file| (file, temporary));
        let (file, temporary) = blocking(create).await?.map_err(unwritable)?;
        Ok(Upload {
            file: tokio::fs::File::from_std(file),
            temporary,
            root: self.root.clone(),
            clock: self.clock.clone(),
            key,
            content_type: content_type.into(),
        })
    }

    pub(crate) async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<(Blob, Content)> {
        let path = self.path(key);
        let (blob, mut file) = blocking(move || look(&path)).await??;
        let range = range.unwrap_or(0..blob.size_bytes);
        if range.end > blob.size_bytes {
            return Err(INVALID_BLOB_RANGE.err("the range goes beyond the end of the blob"));
        }
        file.seek(SeekFrom::Start(range.start)).map_err(unreadable)?;
        let chunks = stream::try_unfold((file, range.end - range.start), |(file, left)| async move {
            let (chunk, file) = blocking(move || chunk(file, left)).await?.map_err(unreadable)?;
            let left = left - chunk.len() as u64;
            Ok((!chunk.is_empty()).then_some((chunk, (file, left))))
        });
        Ok((blob, Box::pin(chunks)))
    }

    pub(crate) async fn head(&self, key: &Key) -> Result<Blob> {
        let path = self.path(key);
        Ok(blocking(move || look(&path)).await??.0)
    }

    pub(crate) async fn delete(&self, key: &Key) -> Result<()> {
        let (path, root) = (self.path(key), self.root.clone());
        blocking(move || remove(&path, &root)).await?.map_err(unwritable)
    }

    pub(crate) async fn list(
        &self,
        app: &AppId,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Listed>> {
        let walk = walk::Walk::new(prefix, after, limit);
        let folder = self.root.join(app.as_str());
        blocking(move || walk.run(&folder)).await?.map_err(unreadable)
    }

    fn path(&self, key: &Key) -> PathBuf {
        names::path(&self.root, key)
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn temporary(&self) -> Temporary {
        let mut name = String::with_capacity(26);
        push_ulid(&mut name, self.clock.now());
        Temporary(self.tmp().join(name))
    }

    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.tmp())? {
            let entry = entry?;
            let age_ms = self.clock.now() - modified_at(&entry.metadata()?);
            if age_ms > LEFT_OVER_MS {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

pub(crate) struct Upload {
    file: tokio::fs::File,
    temporary: Temporary,
    root: PathBuf,
    clock: Clock,
    key: Key,
    content_type: String,
}

impl writing::Upload for Upload {
    async fn write(&mut self, piece: Bytes) -> Result<()> {
        self.file.write_all(&piece).await.map_err(unwritable)
    }

    async fn finish(mut self, size_bytes: u64, sha256: [u8; 32]) -> Result<Blob> {
        self.file.flush().await.map_err(unwritable)?;
        let mut file = self.file.into_std().await;
        let modified_at = self.clock.now();
        let blob = Blob { size_bytes, sha256, content_type: self.content_type, modified_at };
        let (path, temporary, root) = (names::path(&self.root, &self.key), self.temporary, self.root);
        let trailer = trailer::write(&blob);
        let publish = move || {
            file.write_all(&trailer)?;
            // Lists and reads tell this instant; the system's own clock is not asked.
            file.set_modified(UNIX_EPOCH + Duration::from_millis(modified_at.max(0) as u64))?;
            file.sync_all()?;
            drop(file);
            publish(&temporary, &path, &root)
        };
        blocking(publish).await?.map_err(unwritable)?;
        Ok(blob)
    }
}

/// A file that goes away with this, unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, "a temporary file of a blob stays until it is a day old");
        }
    }
}

fn publish(temporary: &Temporary, path: &Path, root: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    for _ in 0..TRIES {
        let renamed = make_folders(folder, root).and_then(|()| fs::rename(&temporary.0, path));
        match renamed {
            Err(error) if error.kind() == ErrorKind::NotFound && temporary.0.exists() => {}
            Err(error) => return Err(error),
            // Not found: it was deleted again, and the folder with it.
            Ok(()) => return sync(folder).or_else(unless_not_found),
        }
    }
    Err(io::Error::other("the folder of the blob was taken away again and again"))
}

/// Makes `folder` and what is above it, up to `root`, each of them synced.
fn make_folders(folder: &Path, root: &Path) -> io::Result<()> {
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    let Some(above) = folder.parent() else { return Ok(()) };
    make_folders(above, root)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| sync(above)),
    }
}

/// Takes the file away, and the folders that are empty without it.
fn remove(path: &Path, root: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(unless_not_found)?;
    let mut above = path.parent();
    if let Some(folder) = above {
        sync(folder).or_else(unless_not_found)?;
    }
    while let Some(folder) = above.filter(|folder| *folder != root && fs::remove_dir(folder).is_ok()) {
        above = folder.parent();
    }
    Ok(())
}

fn unless_not_found(error: io::Error) -> io::Result<()> {
    if is_absence(&error) { Ok(()) } else { Err(error) }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Brings what a folder names to the disk, where folders can be synced.
fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The open file, and what its trailer says.
fn look(path: &Path) -> Result<(Blob, File)> {
    let mut file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let not_ours =
        || BLOB_CORRUPT.err("the end of the blob is missing, or it was not written by this server");
    let size_bytes = metadata.len().checked_sub(trailer::BYTES as u64).ok_or_else(not_ours)?;
    let mut bytes = [0; trailer::BYTES];
    file.seek(SeekFrom::Start(size_bytes)).map_err(unreadable)?;
    file.read_exact(&mut bytes).map_err(unreadable)?;
    let blob = trailer::read(&bytes, modified_at(&metadata)).ok_or_else(not_ours)?;
    if blob.size_bytes != size_bytes {
        return Err(not_ours());
    }
    Ok((blob, file))
}

/// The next bytes of at most `left`; none at the end.
fn chunk(file: File, left: u64) -> io::Result<(Bytes, File)> {
    let mut chunk = Vec::with_capacity(left.min(CHUNK_BYTES) as usize);
    (&file).take(left.min(CHUNK_BYTES)).read_to_end(&mut chunk)?;
    Ok((chunk.into(), file))
}

fn modified_at(metadata: &fs::Metadata) -> Millis {
    let at: SystemTime = metadata.modified().unwrap_or(UNIX_EPOCH);
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.or_error(INTERNAL, "working on the folder of blobs")
}

fn unreadable(error: io::Error) -> Error {
    match is_absence(&error) {
        true => BLOB_NOT_FOUND.err("there is no blob by that name"),
        false => failed(error, "the folder of blobs cannot be read"),
    }
}

fn unwritable(error: io::Error) -> Error {
    failed(error, "the folder of blobs cannot be written")
}

fn failed(error: io::Error, message: &'static str) -> Error {
    UNAVAILABLE.err(message).with_retry_after_s(5).with_source(error)
}
