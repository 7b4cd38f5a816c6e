//! Inflating request bodies, bounded in what comes out and in what is held on the way.
//!
//! A few bytes can stand for gigabytes, and a zstd frame says itself how much of what came out its reader has
//! to keep (its window). So output is counted while it grows, and a window larger than a body may be is
//! refused before anything is decoded.

use super::body::Room;
use angarium_base::{
    Error, Result,
    error::{BODY_TOO_LARGE, MALFORMED_BODY},
};
use bytes::Bytes;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::{error::Error as StdError, io::Read};

const STEP: u64 = 64 << 10;
/// What a zstd block may hold at most (RFC 8878, 3.1.1.2.4).
const BLOCK_BYTES: u64 = 128 << 10;

/// Inflates one or several gzip members (RFC 1952).
pub fn gzip(packed: &[u8], room: &mut Room<'_>) -> Result<Bytes> {
    let mut decoder = flate2::read::MultiGzDecoder::new(packed);
    let mut out = Vec::new();
    loop {
        let before = out.len();
        let read = (&mut decoder).take(STEP).read_to_end(&mut out);
        read.map_err(|e| damaged("gzip").with_source(e))?;
        room.hold(out.len(), packed.len())?;
        if out.len() == before {
            return Ok(out.into());
        }
    }
}

/// Inflates one or several zstd frames (RFC 8878).
pub fn zstd(packed: &[u8], room: &mut Room<'_>) -> Result<Bytes> {
    let (mut out, mut decoder, mut rest) = (Vec::new(), FrameDecoder::new(), packed);
    loop {
        match Frame::of(rest).ok_or_else(|| damaged("zstd"))? {
            Frame::Skippable { bytes } => rest = rest.get(bytes..).ok_or_else(|| damaged("zstd"))?,
            Frame::Content { window, .. } if window > room.most() as u64 => {
                let most = room.most();
                return Err(BODY_TOO_LARGE.err(format!("a zstd frame may have a window of {most} bytes")));
            }
            Frame::Content { window, size } => {
                let before = out.len();
                unpack(&mut decoder, &mut rest, window, &mut |decoder, held| {
                    decoder.collect_to_writer(&mut out).map_err(bad_zstd)?;
                    room.hold(out.len(), packed.len() + held)
                })?;
                if size.is_some_and(|size| size != (out.len() - before) as u64) {
                    return Err(damaged("zstd"));
                }
            }
        }
        if rest.is_empty() {
            return Ok(out.into());
        }
    }
}

/// Unpacks a frame, and has `collect` take what is ready after each block.
fn unpack(
    decoder: &mut FrameDecoder,
    rest: &mut &[u8],
    window: u64,
    collect: &mut dyn FnMut(&mut FrameDecoder, usize) -> Result<()>,
) -> Result<()> {
    decoder.init(&mut *rest).map_err(bad_zstd)?;
    while !decoder.is_finished() {
        decoder.decode_blocks(&mut *rest, BlockDecodingStrategy::UptoBlocks(1)).map_err(bad_zstd)?;
        let held = window.min(decoder.blocks_decoded() as u64 * BLOCK_BYTES);
        collect(decoder, held as usize)?;
    }
    match decoder.get_checksum_from_data() {
        said if said.is_none() || said == decoder.get_calculated_checksum() => Ok(()),
        _ => Err(damaged("zstd")),
    }
}

/// What a zstd frame says of itself (RFC 8878, 3.1.1.1 and 3.1.2).
enum Frame {
    Content {
        window: u64,
        /// Of what comes out, if it says so.
        size: Option<u64>,
    },
    /// Nothing for us; with its header it has so many bytes.
    Skippable { bytes: usize },
}

impl Frame {
    /// `None` when no frame starts here.
    fn of(bytes: &[u8]) -> Option<Frame> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let magic = u32::from_le_bytes(*magic);
        if magic & 0xFFFF_FFF0 == 0x184D_2A50 {
            return Some(Frame::Skippable { bytes: u32::from_le_bytes(*rest.first_chunk()?) as usize + 8 });
        }
        let (descriptor, rest) = rest.split_first()?;
        let reserved = descriptor & 0b1000 != 0;
        if magic != 0xFD2F_B528 || reserved {
            return None;
        }
        let one_segment = descriptor & 0b10_0000 != 0;
        let (of_window, rest) =
            if one_segment { (None, rest) } else { rest.split_first().map(|(w, r)| (Some(w), r))? };
        let rest = rest.get([0, 1, 2, 4][usize::from(descriptor & 0b11)]..)?;
        let size = match descriptor >> 6 {
            0 if one_segment => Some(u64::from(*rest.first()?)),
            0 => None,
            1 => Some(u64::from(u16::from_le_bytes(*rest.first_chunk()?)) + 256),
            2 => Some(u64::from(u32::from_le_bytes(*rest.first_chunk()?))),
            _ => Some(u64::from_le_bytes(*rest.first_chunk()?)),
        };
        let window = match of_window {
            Some(byte) => {
                let base = 1_u64 << (10 + (byte >> 3));
                base + base / 8 * u64::from(byte & 0b111)
            }
            None => size?,
        };
        Some(Frame::Content { window, size })
    }
}

fn bad_zstd(error: impl StdError + Send + Sync + 'static) -> Error {
    damaged("zstd").with_source(error)
}

fn damaged(name: &str) -> Error {
    MALFORMED_BODY.err(format!("the body is not {name} data, or is damaged"))
}
