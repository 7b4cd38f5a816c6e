//! From a stream to an engine: counts, limits and hashes what goes by.

use crate::{Blob, codes::BLOB_TOO_LARGE};
use angarium_base::Result;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use std::pin::pin;

/// What is hashed and handed on at once, so that a huge chunk does not keep a thread from other work.
const PIECE_BYTES: usize = 256 << 10;

/// A blob on its way into an engine. One that is dropped before it is finished leaves nothing behind.
pub(crate) trait Upload: Send {
    /// Takes the next bytes; waits while too many are on their way.
    fn write(&mut self, piece: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Makes the blob visible, and answers when it is kept.
    fn finish(self, size_bytes: u64, sha256: [u8; 32]) -> impl Future<Output = Result<Blob>> + Send;
}

pub(crate) async fn write(
    mut upload: impl Upload,
    content: impl Stream<Item = Result<Bytes>> + Send,
    max_bytes: u64,
) -> Result<Blob> {
    let mut content = pin!(content);
    let mut hash = Sha256::new();
    let mut size_bytes = 0u64;
    while let Some(chunk) = content.next().await {
        let mut chunk = chunk?;
        size_bytes += chunk.len() as u64;
        if size_bytes > max_bytes {
            return Err(BLOB_TOO_LARGE.err(format!("the blob is larger than {max_bytes} bytes")));
        }
        while !chunk.is_empty() {
            let piece = chunk.split_to(chunk.len().min(PIECE_BYTES));
            hash.update(&piece);
            upload.write(piece).await?;
            tokio::task::coop::consume_budget().await;
        }
    }
    upload.finish(size_bytes, hash.finalize().into()).await
}
