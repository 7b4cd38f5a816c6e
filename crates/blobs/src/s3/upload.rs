//! A blob on its way to S3.
//!
//! ```text
//!  pieces ─▶ buffer ─ it is full ─▶ begin an upload in parts, once; send it as a part, a few at a time
//!               └──── it ended ───▶ no part yet: one request · else: last part, all answered, sum, complete
//! ```
//!
//! Parts are sent by tasks, so that they move on while the source is slow. Whatever ends an upload early, these tasks
//! end with it, and one more task aborts what S3 has of it.

use super::{Bucket, Path, SHA256, SUM, unavailable};
use crate::{Blob, Key, writing};
use angarium_base::error::{INTERNAL, UNAVAILABLE};
use angarium_base::{Context, Error, Result, id::push_ulid, secret};
use bytes::Bytes;
use object_store::{
    Attribute, Attributes, MultipartUpload, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
};
use std::sync::Arc;
use tokio::{runtime::Handle, task::JoinSet};

pub(crate) struct Upload {
    bucket: Arc<Bucket>,
    key: Key,
    path: Path,
    content_type: String,
    /// What is not sent yet: never more than a part, and allocated no larger.
    buffer: Vec<u8>,
    parts: Option<Parts>,
}

/// An upload in parts that S3 knows of; dropping it aborts it.
struct Parts {
    bucket: Arc<Bucket>,
    /// Under which the checksum will lie.
    sum: String,
    /// None when there is nothing to abort any more.
    upload: Option<Box<dyn MultipartUpload>>,
    sending: JoinSet<Result<()>>,
}

impl Upload {
    pub(super) fn new(bucket: Arc<Bucket>, key: Key, content_type: &str) -> Result<Upload> {
        let path = bucket.key(&key)?;
        let content_type = content_type.to_owned();
        Ok(Upload { bucket, key, path, content_type, buffer: Vec::new(), parts: None })
    }

    fn attributes(&self, sum: Attribute, value: String) -> Attributes {
        Attributes::from_iter([(Attribute::ContentType, self.content_type.clone()), (sum, value)])
    }

    /// Makes room for `more` bytes: as small blobs need it, doubling, and at once where parts were sent before.
    fn grow(&mut self, more: usize) {
        let (length, part) = (self.buffer.len(), self.bucket.part_bytes);
        if length + more > self.buffer.capacity() {
            let doubled = (length + more).max(2 * length).min(part);
            let capacity = if self.parts.is_some() { part } else { doubled };
            self.buffer.reserve_exact(capacity - length);
        }
    }

    /// Sends the buffer as a part; waits while too many are on their way.
    async fn send(&mut self) -> Result<()> {
        let part = Bytes::from(std::mem::take(&mut self.buffer));
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let begun = self.begin().await?;
                self.parts.insert(begun)
            }
        };
        while parts.sending.len() >= self.bucket.parts_in_flight {
            parts.one_answered().await?;
        }
        parts.send(part)
    }

    async fn begin(&mut self) -> Result<Parts> {
        let mut sum = String::with_capacity(26);
        push_ulid(&mut sum, self.bucket.clock.now());
        let attributes = self.attributes(SUM, sum.clone());
        let options = PutMultipartOptions { attributes, ..Default::default() };
        let begun = self.bucket.store.put_multipart_opts(&self.path, options);
        let upload = Some(self.bucket.patience.bound(begun).await?.map_err(unavailable)?);
        Ok(Parts { bucket: self.bucket.clone(), sum, upload, sending: JoinSet::new() })
    }

    async fn put_whole(&mut self, sha256: &[u8; 32]) -> Result<()> {
        let attributes = self.attributes(SHA256, secret::hex(sha256));
        let options = PutOptions { attributes, ..Default::default() };
        let content = Bytes::from(std::mem::take(&mut self.buffer));
        let put = self.bucket.store.put_opts(&self.path, content.into(), options);
        self.bucket.patience.bound(put).await?.map_err(unavailable)?;
        Ok(())
    }

    async fn complete(&mut self, mut parts: Parts, sha256: &[u8; 32]) -> Result<()> {
        while !parts.sending.is_empty() {
            parts.one_answered().await?;
        }
        let sum = self.bucket.sum_key(&self.key.app, &parts.sum)?;
        let put = self.bucket.store.put(&sum, secret::hex(sha256).into());
        self.bucket.patience.bound(put).await?.map_err(unavailable)?;
        parts.complete().await
    }

    /// The blob that was replaced is gone; a sum that stays is no harm.
    async fn forget(&mut self, sum: Option<String>) {
        let Some(id) = sum else { return };
        let Ok(path) = self.bucket.sum_key(&self.key.app, &id) else { return };
        let removed = self.bucket.patience.bound(self.bucket.remove(&path)).await;
        if let Err(error) = removed.and_then(|removed| removed) {
            tracing::info!(app = %self.key.app, %error, "the checksum of a replaced blob stays behind");
        }
    }
}

impl writing::Upload for Upload {
    async fn write(&mut self, mut piece: Bytes) -> Result<()> {
        while !piece.is_empty() {
            let room = self.bucket.part_bytes - self.buffer.len();
            let next = piece.split_to(room.min(piece.len()));
            self.grow(next.len());
            self.buffer.extend_from_slice(&next);
            if self.buffer.len() == self.bucket.part_bytes {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self, size_bytes: u64, sha256: [u8; 32]) -> Result<Blob> {
        let bucket = self.bucket.clone();
        let replaced = bucket.patience.bound(bucket.sum_of(&self.path)).await??;
        if self.parts.is_some() && !self.buffer.is_empty() {
            self.send().await?;
        }
        match self.parts.take() {
            None => self.put_whole(&sha256).await?,
            Some(parts) => self.complete(parts, &sha256).await?,
        }
        let modified_at = bucket.clock.now();
        self.forget(replaced).await;
        Ok(Blob { size_bytes, sha256, content_type: self.content_type, modified_at })
    }
}

impl Parts {
    fn send(&mut self, part: Bytes) -> Result<()> {
        let upload = self.upload.as_mut().ok_or_else(ended)?;
        let sent = upload.put_part(part.into());
        let patience = self.bucket.patience;
        self.sending.spawn(async move { patience.bound(sent).await?.map_err(unavailable) });
        Ok(())
    }

    async fn one_answered(&mut self) -> Result<()> {
        match self.sending.join_next().await {
            Some(sent) => sent.or_error(INTERNAL, "sending a part of a blob")?,
            None => Ok(()),
        }
    }

    async fn complete(&mut self) -> Result<()> {
        let patience = self.bucket.patience;
        let upload = self.upload.as_mut().ok_or_else(ended)?;
        patience.bound(upload.complete()).await?.map_err(unavailable)?;
        self.upload = None;
        Ok(())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let (Some(mut upload), Ok(runtime)) = (self.upload.take(), Handle::try_current()) else { return };
        let (mut sending, patience) = (std::mem::take(&mut self.sending), self.bucket.patience);
        runtime.spawn(async move {
            // A part that arrives after the abort would stay.
            sending.shutdown().await;
            let aborted = patience.bound(upload.abort()).await;
            if let Err(error) = aborted.and_then(|aborted| aborted.map_err(unavailable)) {
                tracing::warn!(%error, "parts of a blob that was not finished may stay in the bucket");
            }
        });
    }
}

fn ended() -> Error {
    UNAVAILABLE.err("the upload has ended")
}
