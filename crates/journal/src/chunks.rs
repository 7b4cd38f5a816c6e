//! Chunks as they lie: for readers that share what they make of them, and how far behind such a reader is.

use crate::{Chunk, Journal, Stream, store};
use angarium_base::Result;
use std::sync::Arc;

impl Journal {
    /// The chunks from the one that holds `from` on, up to `max_bytes` beyond the first, from where streams are stored.
    pub async fn read_chunks(&self, stream: &Stream, from: u64, max_bytes: usize) -> Result<Vec<Arc<Chunk>>> {
        match &self.0.remote {
            Some(remote) => Box::pin(remote.read(stream, from, max_bytes as u64 / 64)).await,
            None => {
                let id = stream.id;
                let read = self.db().read(move |tx| store::chunks(tx, id, from, u64::MAX, max_bytes)).await?;
                Ok(read.into_iter().map(Arc::new).collect())
            }
        }
    }

    /// The chunks from the one that holds `from` on, up to `max_bytes` beyond the first, if they are in the tail in
    /// memory: those that all readers share.
    pub fn kept_chunks(&self, stream: &Stream, from: u64, max_bytes: usize) -> Option<Vec<Arc<Chunk>>> {
        self.0.tails.read(stream.id, from, max_bytes).filter(|chunks| !chunks.is_empty())
    }

    /// How many bytes of records lie between `from` and the newest append, about, as far as is visible here.
    pub fn bytes_after(&self, stream: &Stream, from: u64) -> u64 {
        self.0.tails.bytes_after(stream.id, from)
    }

    /// The first offset of the last `bytes` that are in memory; of the newest append, if it is larger.
    pub fn last_bytes_from(&self, stream: &Stream, bytes: u64) -> Option<u64> {
        self.0.tails.last_bytes_from(stream.id, bytes)
    }
}
