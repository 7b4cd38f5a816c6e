//! How records are laid out in a batch, and batches in a row.
//!
//! A frame is `u32` length of the rest, `u16` length of the kind, the kind, the data; little endian. A
//! batch is frames one after the other, lz4-compressed when it is large enough for that to pay.

use angarium_base::{Context, Error, Result, error::INTERNAL};
use bytes::Bytes;
use std::{any::Any, fmt, sync::OnceLock};

/// From this size on a batch is compressed; below it lz4 gains little.
pub const COMPRESS_FROM: usize = 4_096;
const HEAD: usize = 6;

/// A record as it lies in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: u64,
    /// Milliseconds since the epoch at which it became durable.
    pub at: i64,
    /// What filters and counters go by; for events, their type.
    pub kind: &'a str,
    pub data: &'a [u8],
}

/// A run of records of one stream that became durable together.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub first_offset: u64,
    pub count: u32,
    pub at: i64,
    /// Frames, not compressed.
    pub frames: Bytes,
    made: Made,
}

/// What somebody has made of a chunk for all its readers.
#[derive(Default)]
struct Made(OnceLock<Box<dyn Any + Send + Sync>>);

impl Clone for Made {
    fn clone(&self) -> Made {
        Made::default()
    }
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "made" } else { "-" })
    }
}

impl Chunk {
    pub(crate) fn new(first_offset: u64, count: u32, at: i64, frames: Bytes) -> Chunk {
        Chunk { first_offset, count, at, frames, made: Made::default() }
    }

    /// What `make` makes of this chunk: made by the first who asks, for all that hold the same chunk, and gone with it.
    /// One type has it; who asks for another gets `None`.
    pub fn made<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.made.0.get_or_init(|| Box::new(make())).downcast_ref()
    }

    /// The same records in chunks of at least `bytes`, but for the last one; nothing is copied.
    pub fn cut(&self, bytes: usize) -> Vec<Chunk> {
        let (mut out, mut first_offset, mut count) = (Vec::new(), self.first_offset, 0);
        let (mut start, mut end) = (0, 0);
        for frame in each(&self.frames) {
            (end, count) = (end + frame.len(), count + 1);
            if end - start >= bytes {
                out.push(Chunk::new(first_offset, count, self.at, self.frames.slice(start..end)));
                (start, first_offset, count) = (end, first_offset + u64::from(count), 0);
            }
        }
        if count > 0 {
            out.push(Chunk::new(first_offset, count, self.at, self.frames.slice(start..end)));
        }
        out
    }

    /// The offset after the last record.
    pub fn next_offset(&self) -> u64 {
        self.first_offset + u64::from(self.count)
    }

    /// The records from `offset` on.
    pub fn records_from(&self, offset: u64) -> impl Iterator<Item = Record<'_>> {
        let skip = offset.saturating_sub(self.first_offset) as usize;
        Frames(&self.frames).zip(self.first_offset..).skip(skip).map(|((kind, data), offset)| Record {
            offset,
            at: self.at,
            kind,
            data,
        })
    }
}

/// Walks the frames of a batch. A damaged tail ends the walk; [`check`] finds it out beforehand.
pub struct Frames<'a>(pub &'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = (&'a str, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (frame, rest) = split(self.0)?;
        self.0 = rest;
        let kind_bytes = u16::from_le_bytes([frame[4], frame[5]]) as usize;
        let (kind, data) = frame.get(HEAD..)?.split_at_checked(kind_bytes)?;
        Some((std::str::from_utf8(kind).ok()?, data))
    }
}

/// The first frame, head included, and what follows it.
fn split(frames: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_le_bytes(*frames.first_chunk()?) as usize;
    if length < HEAD - 4 {
        return None;
    }
    frames.split_at_checked(4 + length)
}

/// Appends a frame.
///
/// # Panics
/// Never: kinds are at most 255 bytes and records at most some megabytes, both checked at the edge.
#[inline]
pub fn push(out: &mut Vec<u8>, kind: &str, data: &[u8]) {
    debug_assert!(kind.len() <= u16::MAX as usize && data.len() < u32::MAX as usize / 2);
    let length = (HEAD - 4 + kind.len() + data.len()) as u32;
    out.reserve(4 + length as usize);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(kind.len() as u16).to_le_bytes());
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(data);
}

/// Each frame, as it was pushed.
pub fn each(frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = frames;
    std::iter::from_fn(move || {
        let (frame, after) = split(rest)?;
        rest = after;
        Some(frame)
    })
}

/// The frames without those whose index is in `dropped` (ascending).
pub fn without(frames: &[u8], dropped: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(frames.len());
    let (mut rest, mut index, mut dropped) = (frames, 0u32, dropped.iter().peekable());
    while let Some((frame, after)) = split(rest) {
        if dropped.next_if(|d| **d == index).is_none() {
            out.extend_from_slice(frame);
        }
        (rest, index) = (after, index + 1);
    }
    out
}

/// How a batch is stored: codec and bytes.
pub fn pack(frames: &[u8]) -> (i64, Option<Vec<u8>>) {
    if frames.len() < COMPRESS_FROM {
        return (0, None);
    }
    let packed = lz4_flex::block::compress(frames);
    // What does not shrink by an eighth is not worth unpacking.
    if packed.len() > frames.len() - frames.len() / 8 { (0, None) } else { (1, Some(packed)) }
}

/// Undoes [`pack`].
///
/// # Errors
/// `internal` when the row is damaged.
pub fn unpack(codec: i64, raw_bytes: i64, data: &[u8]) -> Result<Bytes> {
    match codec {
        0 => Ok(Bytes::copy_from_slice(data)),
        1 => lz4_flex::block::decompress(data, raw_bytes.max(0) as usize)
            .map(Bytes::from)
            .or_error(INTERNAL, "a batch of the journal is damaged"),
        other => Err(unknown_codec(other)),
    }
}

fn unknown_codec(codec: i64) -> Error {
    INTERNAL.err(format!("a batch of the journal has the unknown codec {codec}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for i in 0..n {
            push(&mut out, "kind", format!("data {i}").as_bytes());
        }
        out
    }

    #[test]
    fn what_is_framed_and_packed_comes_back() {
        for n in [0, 1, 3, 2_000] {
            let raw = frames(n);
            let (codec, packed) = pack(&raw);
            assert_eq!(codec == 1, raw.len() >= COMPRESS_FROM, "large and repetitive batches are compressed");
            let stored = packed.as_deref().unwrap_or(&raw);
            let chunk = Chunk::new(10, n as u32, 7, unpack(codec, raw.len() as i64, stored).unwrap());
            let all: Vec<_> = chunk.records_from(0).collect();
            assert_eq!(all.len(), n);
            for (i, record) in all.iter().enumerate() {
                assert_eq!((record.offset, record.kind), (10 + i as u64, "kind"));
                assert_eq!(record.data, format!("data {i}").as_bytes());
            }
            assert_eq!(chunk.records_from(11).count(), n.saturating_sub(1));
        }
    }

    #[test]
    fn what_is_cut_holds_the_same_records() {
        let chunk = Chunk::new(10, 100, 7, frames(100).into());
        for bytes in [1, 50, 1 << 20] {
            let parts = chunk.cut(bytes);
            assert!(parts.iter().rev().skip(1).all(|part| part.frames.len() >= bytes));
            let records: Vec<_> = parts.iter().flat_map(|part| part.records_from(0)).collect();
            assert_eq!(records, chunk.records_from(0).collect::<Vec<_>>());
            assert_eq!(parts.last().map(Chunk::next_offset), Some(110));
        }
        assert_eq!(chunk.cut(1).len(), 100);
    }

    #[test]
    fn what_is_made_of_a_chunk_is_made_once() {
        let chunk = Chunk::new(0, 1, 7, frames(1).into());
        assert_eq!(chunk.made(|| 1), Some(&1));
        assert_eq!(chunk.made(|| 2), Some(&1));
        assert_eq!(chunk.made(|| "other"), None);
    }

    #[test]
    fn dropped_records_are_gone_and_the_others_stay_in_order() {
        let left = without(&frames(5), &[0, 3]);
        let data: Vec<_> =
            Frames(&left).map(|(_, data)| String::from_utf8_lossy(data).into_owned()).collect();
        assert_eq!(data, ["data 1", "data 2", "data 4"]);
    }
}
