//! From an engine to a stream that ends well only if everything came, and came as it was put.

use crate::{Blob, Content, codes::BLOB_CORRUPT};
use angarium_base::{Error, Result};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// `content` held to the length it has to have and, when it is a full read, to the checksum.
///
/// One chunk stays here until the next one, or the verdict: who has all the bytes has the right ones.
pub(crate) fn held_to(blob: &Blob, range: Option<Range<u64>>, content: Content) -> Content {
    let checksum = range.is_none().then(|| (Sha256::new(), blob.sha256));
    let left_bytes = range.map_or(blob.size_bytes, |range| range.end - range.start);
    let state = Some(Reading { content, left_bytes, checksum, held: None });
    Box::pin(stream::try_unfold(state, |state| async move {
        match state {
            Some(reading) => reading.next().await,
            None => Ok(None),
        }
    }))
}

struct Reading {
    content: Content,
    left_bytes: u64,
    checksum: Option<(Sha256, [u8; 32])>,
    held: Option<Bytes>,
}

impl Reading {
    /// A chunk, and the state to go on with: none after the last one.
    async fn next(mut self) -> Result<Option<(Bytes, Option<Reading>)>> {
        while let Some(chunk) = self.content.next().await {
            let chunk = chunk?;
            self.left_bytes = self.left_bytes.checked_sub(chunk.len() as u64).ok_or_else(corrupt)?;
            if let Some((hash, _)) = &mut self.checksum {
                hash.update(&chunk);
            }
            if chunk.is_empty() {
                continue;
            }
            if let Some(before) = self.held.replace(chunk) {
                return Ok(Some((before, Some(self))));
            }
        }
        let is_right = self.checksum.is_none_or(|(hash, sha256)| hash.finalize()[..] == sha256);
        if self.left_bytes > 0 || !is_right {
            return Err(corrupt());
        }
        Ok(self.held.map(|last| (last, None)))
    }
}

fn corrupt() -> Error {
    BLOB_CORRUPT.err("the store does not hold what was put there")
}
