//! The keys of the open objects, for finding duplicates in linear time.
//!
//! All open objects share one stack, so that a reader allocates it once. A small object compares each key with
//! those before it, first by one bit, then by fingerprints. One that is large, or whose fingerprints collide,
//! moves its keys into a hash set, whose hash nobody outside can foresee.

use super::text::{unescape, unescaped};
use std::{borrow::Cow, collections::HashSet};

/// Up to so many keys are compared one by one.
const FEW: usize = 32;

/// An open array or object.
pub(super) struct Frame<'a> {
    pub object: bool,
    /// Members or elements so far.
    pub members: usize,
    /// Where its keys start on the stack.
    first: usize,
    /// A bit for each key so far, chosen by its fingerprint: a key whose bit is not there is new.
    bits: u64,
    /// Its keys, once they are in a set.
    #[allow(clippy::box_collection, reason = "frames are moved for each container, and sets are rare")]
    many: Option<Box<HashSet<Cow<'a, str>>>>,
}

#[derive(Default)]
pub(super) struct Keys<'a>(Vec<Seen<'a>>);

struct Seen<'a> {
    /// Of the unescaped key.
    print: u64,
    /// The key as it stands between its quotes.
    raw: &'a str,
}

impl<'a> Keys<'a> {
    /// The frame of a container that opens now.
    #[inline]
    pub fn frame(&self, object: bool) -> Frame<'a> {
        Frame { object, members: 0, first: self.0.len(), bits: 0, many: None }
    }

    /// Takes a key of the innermost object, which counts it already; `false` if the object has it twice.
    #[inline]
    pub fn insert(&mut self, frame: &mut Frame<'a>, raw: &'a str, escaped: bool) -> bool {
        if frame.members > FEW || frame.many.is_some() {
            return self.insert_among_many(frame, raw, escaped);
        }
        let print = if escaped { print_escaped(raw) } else { fingerprint(raw.as_bytes()) };
        // The golden ratio spreads the fingerprint over the top six bits (Knuth, TAOCP 6.4).
        let bit = 1 << (print.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58);
        if frame.bits & bit != 0
            && let Some(seen) = self.0[frame.first..].iter().find(|seen| seen.print == print)
        {
            // The set unescapes each key once; here, a few long keys could be unescaped over and over.
            return seen.raw != raw && self.insert_among_many(frame, raw, escaped);
        }
        frame.bits |= bit;
        if self.0.len() == self.0.capacity() {
            self.0.reserve(FEW);
        }
        self.0.push(Seen { print, raw });
        true
    }

    #[inline(never)]
    fn insert_among_many(&mut self, frame: &mut Frame<'a>, raw: &'a str, escaped: bool) -> bool {
        let few = self.0.drain(frame.first..).map(|seen| unescaped(seen.raw, seen.raw.contains('\\')));
        frame.many.get_or_insert_with(|| Box::new(few.collect())).insert(unescaped(raw, escaped))
    }

    /// Drops the keys of the innermost object, which has closed.
    #[inline]
    pub fn forget(&mut self, frame: &Frame<'a>) {
        self.0.truncate(frame.first);
    }
}

/// Out of line: keys with escapes are rare.
#[inline(never)]
fn print_escaped(raw: &str) -> u64 {
    fingerprint(unescape(raw).as_bytes())
}

/// Equal for equal keys, and seldom equal for others: the two ends and the length.
#[inline]
fn fingerprint(key: &[u8]) -> u64 {
    let ends = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29),
        _ => short(key),
    };
    ends ^ ((key.len() as u64) << 56)
}

/// Seven bytes or fewer, packed.
#[inline]
fn short(key: &[u8]) -> u64 {
    match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        _ if key.is_empty() => 0,
        _ => [0, key.len() / 2, key.len() - 1].iter().fold(0, |packed, at| packed << 8 | u64::from(key[*at])),
    }
}
