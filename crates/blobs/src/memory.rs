//! The engine for tests: a map in this process.

use crate::{Blob, Content, Key, Listed, codes::BLOB_NOT_FOUND, codes::INVALID_BLOB_RANGE, writing};
use angarium_base::{AppId, Clock, Result};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use parking_lot::Mutex;
use std::{collections::BTreeMap, ops::Bound, ops::Range, sync::Arc};

/// What a chunk of a read has at most.
const CHUNK_BYTES: usize = 256 << 10;

type Kept = Arc<Mutex<BTreeMap<Key, (Blob, Bytes)>>>;

pub(crate) struct Engine {
    kept: Kept,
    clock: Clock,
}

impl Engine {
    pub(crate) fn new(clock: Clock) -> Engine {
        Engine { kept: Kept::default(), clock }
    }

    pub(crate) async fn check(&self) -> Result<()> {
        Ok(())
    }

    pub(crate) async fn begin(&self, key: Key, content_type: &str) -> Result<Upload> {
        let (kept, clock) = (self.kept.clone(), self.clock.clone());
        Ok(Upload { kept, clock, key, content_type: content_type.into(), bytes: BytesMut::new() })
    }

    pub(crate) async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<(Blob, Content)> {
        let (blob, bytes) = self.find(key)?;
        let range = range.unwrap_or(0..blob.size_bytes);
        if range.end > blob.size_bytes {
            return Err(INVALID_BLOB_RANGE.err("the range goes beyond the end of the blob"));
        }
        let mut rest = bytes.slice(range.start as usize..range.end as usize);
        let chunks = std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| Ok(rest.split_to(rest.len().min(CHUNK_BYTES))))
        });
        Ok((blob, Box::pin(stream::iter(chunks))))
    }

    pub(crate) async fn head(&self, key: &Key) -> Result<Blob> {
        Ok(self.find(key)?.0)
    }

    pub(crate) async fn delete(&self, key: &Key) -> Result<()> {
        self.kept.lock().remove(key);
        Ok(())
    }

    pub(crate) async fn list(
        &self,
        app: &AppId,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Listed>> {
        // No name is empty, so that all come after that one.
        let from = Key { app: app.clone(), name: after.max(prefix).to_owned() };
        let bound = if prefix > after { Bound::Included(from) } else { Bound::Excluded(from) };
        let kept = self.kept.lock();
        let ours = kept
            .range((bound, Bound::Unbounded))
            .take_while(|(key, _)| key.app == *app && key.name.starts_with(prefix));
        let listed = ours.map(|(key, (blob, _))| Listed {
            name: key.name.clone(),
            size_bytes: blob.size_bytes,
            modified_at: blob.modified_at,
        });
        Ok(listed.take(limit).collect())
    }

    fn find(&self, key: &Key) -> Result<(Blob, Bytes)> {
        self.kept.lock().get(key).cloned().ok_or_else(|| BLOB_NOT_FOUND.err("there is no blob by that name"))
    }
}

pub(crate) struct Upload {
    kept: Kept,
    clock: Clock,
    key: Key,
    content_type: String,
    bytes: BytesMut,
}

impl writing::Upload for Upload {
    async fn write(&mut self, piece: Bytes) -> Result<()> {
        self.bytes.extend_from_slice(&piece);
        Ok(())
    }

    async fn finish(self, size_bytes: u64, sha256: [u8; 32]) -> Result<Blob> {
        let modified_at = self.clock.now();
        let blob = Blob { size_bytes, sha256, content_type: self.content_type, modified_at };
        self.kept.lock().insert(self.key, (blob.clone(), self.bytes.freeze()));
        Ok(blob)
    }
}
