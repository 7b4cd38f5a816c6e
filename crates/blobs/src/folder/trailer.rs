//! What stands behind the content of a blob in its file. Pure.
//!
//! ```text
//! 0      8          16       48     49               169 … 248      256
//! magic  size (LE)  SHA-256  type's length · type    zeros          the first 8 bytes of the SHA-256 of all before
//! ```
//!
//! Its length is fixed, so that a list knows a blob's size from the file's.

use crate::{Blob, name::CONTENT_TYPE_BYTES};
use angarium_base::clock::Millis;
use sha2::{Digest, Sha256};

pub(super) const BYTES: usize = 256;
const MAGIC: &[u8; 8] = b"angblob1";
const TYPE_AT: usize = 49;
const CHECK_AT: usize = BYTES - 8;

pub(super) fn write(blob: &Blob) -> [u8; BYTES] {
    let mut out = [0; BYTES];
    let content_type = blob.content_type.as_bytes();
    out[..8].copy_from_slice(MAGIC);
    out[8..16].copy_from_slice(&blob.size_bytes.to_le_bytes());
    out[16..48].copy_from_slice(&blob.sha256);
    // Names and types were checked on the way in: this one is not longer.
    let length = content_type.len().min(CONTENT_TYPE_BYTES);
    out[48] = length as u8;
    out[TYPE_AT..TYPE_AT + length].copy_from_slice(&content_type[..length]);
    let check = check(&out);
    out[CHECK_AT..].copy_from_slice(&check);
    out
}

/// The blob that a trailer speaks of; `None` if these bytes are not one, or not as they were written.
pub(super) fn read(bytes: &[u8; BYTES], modified_at: Millis) -> Option<Blob> {
    if &bytes[..8] != MAGIC || bytes[CHECK_AT..] != check(bytes) {
        return None;
    }
    let content_type = bytes[TYPE_AT..CHECK_AT].get(..usize::from(bytes[48]))?;
    Some(Blob {
        size_bytes: u64::from_le_bytes(bytes[8..16].try_into().ok()?),
        sha256: bytes[16..48].try_into().ok()?,
        content_type: String::from_utf8(content_type.to_vec()).ok()?,
        modified_at,
    })
}

fn check(bytes: &[u8; BYTES]) -> [u8; 8] {
    let mut out = [0; 8];
    out.copy_from_slice(&Sha256::digest(&bytes[..CHECK_AT])[..8]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_is_read_as_it_was_written_or_not_at_all() {
        let content_type = format!("a/{}", "b".repeat(CONTENT_TYPE_BYTES - 2));
        let blob = Blob { size_bytes: u64::MAX, sha256: [7; 32], content_type, modified_at: 5 };
        let bytes = write(&blob);
        assert_eq!(read(&bytes, 5), Some(blob));
        for at in 0..BYTES {
            let mut broken = bytes;
            broken[at] ^= 1;
            assert_eq!(read(&broken, 5), None, "byte {at}");
        }
    }
}
