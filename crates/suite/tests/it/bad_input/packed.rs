//! Bodies in gzip and zstd, and bombs of both.

use flate2::{Compression, write::GzEncoder};
use std::io::Write;

pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("memory can be written to");
    encoder.finish().expect("memory can be written to")
}

/// Ten megabytes that inflate to ten gigabytes.
pub fn gzip_bomb() -> Vec<u8> {
    // A member of one megabyte, again and again: gzip members may follow one another.
    let member = {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![b' '; 1 << 20];
        (0..100).for_each(|_| encoder.write_all(&zeros).expect("memory can be written to"));
        encoder.finish().expect("memory can be written to")
    };
    member.repeat((10 << 20) / member.len())
}

/// The magic number of a zstd frame (RFC 8878, 3.1.1).
const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// What one block may hold at most.
const BLOCK: usize = 128 << 10;

/// A zstd frame that holds `body` as it is.
pub fn zstd(body: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    // One segment, its size in four bytes.
    out.push(0b1010_0000);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    let mut blocks = body.chunks(BLOCK).peekable();
    while let Some(block) = blocks.next() {
        out.extend_from_slice(&block_header(block.len(), 0, blocks.peek().is_none()));
        out.extend_from_slice(block);
    }
    out
}

/// A zstd frame with a checksum that its content does not have.
pub fn zstd_with_false_checksum(body: &[u8]) -> Vec<u8> {
    let mut out = zstd(body);
    out[4] |= 0b100;
    out.extend_from_slice(b"nope");
    out
}

/// A frame that decoders pass over (RFC 8878, 3.1.2).
pub fn skippable(bytes: usize) -> Vec<u8> {
    let mut out = 0x184D_2A50_u32.to_le_bytes().to_vec();
    out.extend_from_slice(&(bytes as u32).to_le_bytes());
    out.resize(8 + bytes, 7);
    out
}

/// `blocks` blocks of four bytes that stand for 128 KiB each, in a frame with a window of 2 to the `window_log`.
pub fn zstd_bomb(blocks: usize, window_log: u8) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[0, (window_log - 10) << 3]);
    push_repeats(&mut out, blocks);
    out
}

/// The same, in a frame that says it is one segment of so many bytes.
pub fn zstd_bomb_in_one_segment(blocks: usize) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.push(0b1110_0000);
    out.extend_from_slice(&((blocks * BLOCK) as u64).to_le_bytes());
    push_repeats(&mut out, blocks);
    out
}

fn push_repeats(out: &mut Vec<u8>, blocks: usize) {
    for n in 1..=blocks {
        out.extend_from_slice(&block_header(BLOCK, 1, n == blocks));
        out.push(b' ');
    }
}

/// `kind` is 0 for bytes as they are and 1 for one byte that is repeated.
fn block_header(size: usize, kind: u32, last: bool) -> [u8; 3] {
    let [low, middle, high, _] = (u32::from(last) | kind << 1 | (size as u32) << 3).to_le_bytes();
    [low, middle, high]
}
