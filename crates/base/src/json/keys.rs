//! The keys of the open objects, for finding duplicates in linear time.
//!
//! All open objects share one stack, so that a reader allocates it once. A small object compares each key with
//! all before it, fingerprints first; a large one moves its keys into a hash set, whose hash nobody outside can
//! foresee.

use super::text::unescape;
use std::{borrow::Cow, collections::HashSet};

/// Up to so many keys are compared one by one.
const FEW: usize = 32;

/// A key as it stands in the text, without its quotes.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    pub text: &'a str,
    pub escaped: bool,
}

/// An open array or object.
pub(super) struct Frame<'a> {
    pub object: bool,
    /// Members or elements so far.
    pub members: usize,
    /// Where its keys start on the stack.
    first: usize,
    /// A bit for each key so far, by its fingerprint: a key whose bit is new is new.
    bits: u64,
    /// Its keys, once there are many.
    many: Option<Box<HashSet<Cow<'a, str>>>>,
}

#[derive(Default)]
pub(super) struct Keys<'a>(Vec<Seen<'a>>);

struct Seen<'a> {
    /// Of the unescaped key.
    print: u64,
    name: Name<'a>,
}

impl<'a> Keys<'a> {
    /// The frame of a container that opens now.
    #[inline]
    pub fn frame(&self, object: bool) -> Frame<'a> {
        Frame { object, members: 0, first: self.0.len(), bits: 0, many: None }
    }

    /// Takes a key of the innermost object, which counts it already; `false` if the object has it twice.
    #[inline]
    pub fn insert(&mut self, frame: &mut Frame<'a>, name: Name<'a>) -> bool {
        if frame.members > FEW || frame.many.is_some() {
            return self.insert_among_many(frame, name);
        }
        let print = if name.escaped { print_escaped(name) } else { fingerprint(name.text.as_bytes()) };
        let bit = 1 << (print.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58);
        if frame.bits & bit != 0 {
            match self.find(frame, print, name) {
                Some(true) => return false,
                Some(false) => {}
                None => return self.insert_among_many(frame, name),
            }
        }
        frame.bits |= bit;
        if self.0.len() == self.0.capacity() {
            self.0.reserve(FEW);
        }
        self.0.push(Seen { print, name });
        true
    }

    #[inline(never)]
    fn find(&self, frame: &Frame<'a>, print: u64, name: Name<'a>) -> Option<bool> {
        for seen in self.0[frame.first..].iter().filter(|seen| seen.print == print) {
            if seen.name.escaped || name.escaped {
                return None;
            }
            if seen.name.text == name.text {
                return Some(true);
            }
        }
        Some(false)
    }

    #[inline(never)]
    fn insert_among_many(&mut self, frame: &mut Frame<'a>, name: Name<'a>) -> bool {
        let few = self.0.drain(frame.first..).map(|seen| seen.name.unescaped());
        frame.many.get_or_insert_with(|| Box::new(few.collect())).insert(name.unescaped())
    }

    /// Drops the keys of the innermost object, which has closed.
    #[inline]
    pub fn forget(&mut self, frame: &Frame<'a>) {
        self.0.truncate(frame.first);
    }
}

impl<'a> Name<'a> {
    #[inline]
    pub fn unescaped(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.text)) } else { Cow::Borrowed(self.text) }
    }
}

#[inline(never)]
fn print_escaped(name: Name<'_>) -> u64 {
    fingerprint(name.unescaped().as_bytes())
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
        _ => key.iter().fold(0, |packed, byte| packed << 8 | u64::from(*byte)),
    }
}
