//! The envelope that a message travels in between processes.
//!
//! ```text
//! version 1 · kind 1 · process 8 · number 8 · topic length 2 · topic · message      (big endian)
//! ```
//!
//! `process` is drawn anew for each [`crate::Feed`], so that a process knows the echo of its own messages.
//! `number` rises by one a frame of a process; no two frames are equal.

use bytes::{BufMut, Bytes, BytesMut};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 20;

/// How long a topic may be; a longer one does not leave the process.
pub(crate) const TOPIC_MAX_BYTES: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Message,
    /// What a process sends to itself, to see that the way there and back is open.
    Beat,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub kind: Kind,
    pub process: u64,
    pub number: u64,
    pub topic: &'a str,
    pub message: &'a [u8],
}

impl Frame<'_> {
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + self.topic.len() + self.message.len());
        out.put_u8(VERSION);
        out.put_u8(match self.kind {
            Kind::Message => 0,
            Kind::Beat => 1,
        });
        out.put_u64(self.process);
        out.put_u64(self.number);
        out.put_u16(self.topic.len() as u16);
        out.put_slice(self.topic.as_bytes());
        out.put_slice(self.message);
        out.freeze()
    }

    /// `None` for what is not a frame: anybody may publish on a shared server.
    pub fn decode(bytes: &[u8]) -> Option<Frame<'_>> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let [VERSION, kind, ids @ .., high, low] = header else { return None };
        let (process, number) = ids.split_first_chunk::<8>()?;
        let (topic, message) = rest.split_at_checked(u16::from_be_bytes([*high, *low]) as usize)?;
        Some(Frame {
            kind: match kind {
                0 => Kind::Message,
                1 => Kind::Beat,
                _ => return None,
            },
            process: u64::from_be_bytes(*process),
            number: u64::from_be_bytes(number.try_into().ok()?),
            topic: str::from_utf8(topic).ok()?,
            message,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_way_and_garbage_is_none() {
        let frame =
            Frame { kind: Kind::Beat, process: u64::MAX, number: 7, topic: "ä/b", message: b"\0\xff" };
        let bytes = frame.encode();
        assert_eq!(Frame::decode(&bytes), Some(frame));
        for end in 0..bytes.len() - 2 {
            assert_eq!(Frame::decode(&bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(Frame::decode(b"hello, is anybody listening there?"), None);
    }
}
