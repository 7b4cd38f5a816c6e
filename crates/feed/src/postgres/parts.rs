//! Frames as the text of notifications, which must be shorter than 8,000 bytes.
//!
//! `{number}.{index}.{parts}.{base64}` (hexadecimal): a frame is cut into as many as it takes. They are sent in one
//! transaction, and PostgreSQL delivers the notifications of a transaction in order and with no others between,
//! so a receiver puts together one frame at a time. Number and index also keep parts from being equal:
//! equal notifications of a transaction are delivered once.

use crate::MESSAGE_MAX_BYTES;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

/// In base 64 that is 7,867 bytes, which leaves 132 for the rest.
const PART_BYTES: usize = 5_900;
const PARTS_MAX: usize = (MESSAGE_MAX_BYTES + 2048) / PART_BYTES + 1;

pub(super) fn of(number: u64, frame: &[u8]) -> impl Iterator<Item = String> {
    let parts = frame.len().div_ceil(PART_BYTES);
    frame.chunks(PART_BYTES).enumerate().map(move |(index, bytes)| {
        let mut text = format!("{number:x}.{index:x}.{parts:x}.");
        STANDARD_NO_PAD.encode_string(bytes, &mut text);
        text
    })
}

/// The frame whose parts are coming in.
#[derive(Default)]
pub(super) struct Assembly {
    /// Who sends it, and its number.
    of: (i32, u64),
    next: usize,
    bytes: Vec<u8>,
}

impl Assembly {
    /// The frame, when this was its last part. What does not fit together is left out.
    pub fn put(&mut self, sender: i32, text: &str) -> Option<Vec<u8>> {
        let mut fields = text.splitn(4, '.');
        let mut number = || u64::from_str_radix(fields.next()?, 16).ok();
        let (of, index, parts) = ((sender, number()?), number()? as usize, number()? as usize);
        let bytes = STANDARD_NO_PAD.decode(fields.next()?).ok()?;
        if index == 0 {
            *self = Assembly { of, ..Assembly::default() };
        }
        if of != self.of || index != self.next || index >= parts || parts > PARTS_MAX {
            return None;
        }
        self.bytes.extend_from_slice(&bytes);
        self.next += 1;
        (self.next == parts).then(|| std::mem::take(&mut self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_into_short_parts_and_put_together_again() {
        for size in [1, PART_BYTES, PART_BYTES + 1, MESSAGE_MAX_BYTES + 1044] {
            let frame: Vec<u8> = (0..size).map(|i| (i / 7) as u8).collect();
            let parts: Vec<String> = of(u64::MAX, &frame).collect();
            assert!(parts.iter().all(|part| part.len() < 8_000));
            let mut assembly = Assembly::default();
            let put: Vec<_> = parts.iter().filter_map(|part| assembly.put(7, part)).collect();
            assert_eq!(put, [frame]);
        }
    }

    #[test]
    fn a_frame_with_a_part_missing_and_garbage_are_left_out() {
        let frame = vec![1; 3 * PART_BYTES];
        let parts: Vec<String> = of(1, &frame).collect();
        let mut assembly = Assembly::default();
        for (sender, text) in
            [(7, parts[0].as_str()), (7, &parts[2]), (8, &parts[1]), (7, "hello"), (7, "1.0.x.")]
        {
            assert_eq!(assembly.put(sender, text), None);
        }
        assert_eq!(parts.iter().filter_map(|part| assembly.put(7, part)).count(), 1, "the next one is whole");
    }
}
