//! What is JSON and refused. While scanning only an offset is noted; the pointer is made afterwards, by
//! walking over the value a second time, so that sound values pay nothing for it.

use super::{
    Limits,
    scan::LONGEST_NUMBER,
    text::{plain_end, unescape},
};

/// It is JSON, and we do not accept it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// RFC 6901 JSON pointer, relative to the value that was read.
    pub pointer: String,
    /// `too_deep`, `too_many_members`, `duplicate_key`, `lone_surrogate`, `nul_character` or `number_out_of_range`.
    pub code: &'static str,
    pub detail: String,
}

/// A flaw as the scan notes it.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub refusal: Refusal,
    pub place: Place,
    /// An offset into the reader's text.
    pub at: usize,
}

/// What is wrong.
#[derive(Clone, Copy)]
pub(super) enum Refusal {
    TooDeep,
    TooManyMembers,
    TooManyElements,
    DuplicateKey,
    LoneSurrogate(u16),
    NulCharacter,
    NumberTooLarge,
    NumberTooLong,
}

/// Which value a flaw's offset stands for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    /// The value that starts there, or whose key ends there.
    Here,
    /// The array or object around it. A bad key is no part of a pointer: it cannot always be written.
    Around,
}

impl Found {
    /// The flaw in full. `value` is all of the value, and starts at the offset `start`.
    #[cold]
    pub fn explain(self, value: &str, start: usize, limits: Limits) -> Box<Flaw> {
        let mut path = path_to(value, self.at - start);
        if self.place == Place::Around {
            path.pop();
        }
        Box::new(Flaw { pointer: pointer(&path), code: self.code(), detail: self.detail(limits) })
    }

    fn code(self) -> &'static str {
        match self.refusal {
            Refusal::TooDeep => "too_deep",
            Refusal::TooManyMembers | Refusal::TooManyElements => "too_many_members",
            Refusal::DuplicateKey => "duplicate_key",
            Refusal::LoneSurrogate(_) => "lone_surrogate",
            Refusal::NulCharacter => "nul_character",
            Refusal::NumberTooLarge | Refusal::NumberTooLong => "number_out_of_range",
        }
    }

    fn detail(self, limits: Limits) -> String {
        let holder = if self.place == Place::Around { "a key of this object" } else { "the string" };
        match self.refusal {
            Refusal::TooDeep => format!("nested deeper than {} levels", limits.depth),
            Refusal::TooManyMembers => format!("the object has more than {} members", limits.members),
            Refusal::TooManyElements => format!("the array has more than {} elements", limits.members),
            Refusal::DuplicateKey => "the object has this key twice".to_owned(),
            Refusal::LoneSurrogate(unit) => {
                format!(
                    "{holder} has `\\u{unit:04x}`, which is half of a surrogate pair, without its other half"
                )
            }
            Refusal::NulCharacter => format!("{holder} has `\\u0000`, which cannot be stored"),
            Refusal::NumberTooLarge => "the number is too large for a 64-bit float".to_owned(),
            Refusal::NumberTooLong => format!("the number has more than {LONGEST_NUMBER} characters"),
        }
    }
}

/// One step from a container to what is in it.
enum Step<'a> {
    /// The raw text of the key; empty before the first one.
    Key(&'a str),
    Index(usize),
}

/// The steps from `value`, which is known to be JSON, to the offset `at` within it.
fn path_to(value: &str, at: usize) -> Vec<Step<'_>> {
    let bytes = value.as_bytes();
    let mut path = Vec::new();
    let mut here = 0;
    while here < at {
        match bytes[here] {
            b'{' => path.push(Step::Key("")),
            b'[' => path.push(Step::Index(0)),
            b'}' | b']' => drop(path.pop()),
            b',' => {
                if let Some(Step::Index(index)) = path.last_mut() {
                    *index += 1;
                }
            }
            b'"' => {
                let end = string_end(bytes, here + 1);
                // Of strings, only keys have a colon behind them.
                if bytes[end + 1..].trim_ascii_start().first() == Some(&b':') {
                    path.pop();
                    path.push(Step::Key(&value[here + 1..end]));
                }
                here = end;
            }
            _ => {}
        }
        here += 1;
    }
    path
}

/// Where the closing quote of a string stands whose body starts at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        at = plain_end(bytes, at);
        if bytes.get(at) != Some(&b'\\') {
            return at;
        }
        at += 2;
    }
}

fn pointer(path: &[Step<'_>]) -> String {
    path.iter().fold(String::new(), |mut pointer, step| {
        pointer.push('/');
        match step {
            Step::Key(raw) => pointer.push_str(&unescape(raw).replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => pointer.push_str(&index.to_string()),
        }
        pointer
    })
}
