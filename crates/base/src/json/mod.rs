//! A strict, borrowing check of JSON text (RFC 8259) that builds no tree.
//!
//! A [`Reader`] walks over text once and gives out slices of it. Two classes of fault are kept apart:
//!
//! | Class | Meaning | Effect |
//! |---|---|---|
//! | [`Syntax`] | the text is not JSON | reading ends, the reader is of no further use |
//! | [`Flaw`] | it is JSON, and we do not take it | noted (the first one of a value), reading goes on behind the value |
//!
//! so that one bad item of a batch costs only that item.
//!
//! | Flaw | When | Its pointer names |
//! |---|---|---|
//! | `too_deep` | more nesting than [`Limits::depth`] | the first array or object that is too deep |
//! | `too_many_members` | more members or elements than [`Limits::members`] | the object or array |
//! | `duplicate_key` | two keys of one object are equal once unescaped | the second member |
//! | `lone_surrogate` | an escaped half of a UTF-16 pair stands alone | the string; for a key, its object |
//! | `nul_character` | `\u0000`, which databases downstream cannot keep | the string; for a key, its object |
//! | `number_out_of_range` | no finite 64-bit float, or over 400 characters | the number |
//!
//! Invariants: nothing here recurses, so no nesting overflows the stack; work is linear in the text,
//! whatever its keys are; text without a flaw costs no allocation, but for the reader's own stacks, which it
//! keeps from value to value, for keys with escapes and for objects of more than 32 members.

mod flaw;
mod keys;
mod scan;
mod text;

#[cfg(test)]
mod tests;

use flaw::Found;
use keys::{Frame, Keys};
use scan::Halt;
use std::{borrow::Cow, fmt};

pub use flaw::Flaw;
pub use text::{escape_into, position};

/// What a value may hold before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Levels of arrays and objects, counted from the value that [`Reader::value`] reads.
    pub depth: usize,
    /// Members of one object, and elements of one array.
    pub members: usize,
}

/// What sort of value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// The text is not JSON at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// Bytes from the start of the reader's text.
    pub offset: usize,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub what: &'static str,
}

/// One value of the text.
#[derive(Clone, Debug)]
pub struct Raw<'a> {
    /// Exactly the value, no white space around it.
    pub text: &'a str,
    pub kind: Kind,
    /// Why it is refused: the first reason in the order of the text.
    pub flaw: Option<Box<Flaw>>,
    /// Whether a string has escapes; of no meaning for other kinds.
    escaped: bool,
}

/// Walks over JSON text from value to value.
///
/// ```
/// use angarium_base::json::{Limits, Reader};
///
/// let mut reader = Reader::new(r#"[{"a": 1}, "b"]"#, Limits { depth: 32, members: 1_000 });
/// let mut texts = Vec::new();
/// reader.array(|reader| Ok(texts.push(reader.value()?.text)))?;
/// reader.end()?;
/// assert_eq!(texts, [r#"{"a": 1}"#, r#""b""#]);
/// # Ok::<(), angarium_base::json::Syntax>(())
/// ```
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    limits: Limits,
    /// The first flaw of the value that is being read.
    found: Option<Found>,
    /// Whether the string that was read last has escapes.
    escaped: bool,
    /// The containers around the innermost one, outermost first, as far as the depth limit allows.
    frames: Vec<Frame<'a>>,
    /// Those below the limit: whether each is an object. A byte a level, as an attacker chooses how many.
    beyond: Vec<bool>,
    keys: Keys<'a>,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str, limits: Limits) -> Self {
        Reader {
            text,
            at: 0,
            limits,
            found: None,
            escaped: false,
            frames: Vec::new(),
            beyond: Vec::new(),
            keys: Keys::default(),
        }
    }

    /// The kind of the next value by its first byte; `None` when no value can start here.
    /// Afterwards [`Reader::offset`] is where that byte stands.
    #[inline]
    pub fn peek(&mut self) -> Option<Kind> {
        match self.after_space()? {
            b'"' => Some(Kind::String),
            b'{' => Some(Kind::Object),
            b'[' => Some(Kind::Array),
            b'-' | b'0'..=b'9' => Some(Kind::Number),
            b't' | b'f' => Some(Kind::Bool),
            b'n' => Some(Kind::Null),
            _ => None,
        }
    }

    /// Reads and checks one value, whatever is in it.
    ///
    /// # Errors
    /// The first place where the text stops being JSON.
    #[inline]
    pub fn value(&mut self) -> Result<Raw<'a>, Syntax> {
        let first = self.after_space();
        let start = self.at;
        let kind = self.whole(first).map_err(|halt| *halt)?;
        let text = &self.text[start..self.at];
        let flaw = self.found.take().map(|found| found.explain(text, start, self.limits));
        Ok(Raw { text, kind, flaw, escaped: self.escaped })
    }

    /// Enters an object and gives `each` its members: the unescaped key, where a lone surrogate stands as
    /// U+FFFD, and the value with a flaw of its own. What comes back is the flaw of the object itself: a
    /// duplicate key, too many members, a bad key. Members go on being given after a flaw.
    ///
    /// # Errors
    /// As [`Reader::value`], also when the next value is not an object.
    pub fn object(
        &mut self,
        mut each: impl FnMut(Cow<'a, str>, Raw<'a>),
    ) -> Result<Option<Box<Flaw>>, Syntax> {
        self.after_space();
        let start = self.at;
        self.take(b'{', "expected `{`")?;
        let mut frame = self.keys.frame(true);
        let mut own = None;
        loop {
            // The values in between have `found` for themselves.
            self.found = own;
            let key = self.next_key(&mut frame).map_err(|halt| *halt)?;
            own = self.found.take();
            let Some(key) = key else { break };
            let key = text::unescaped(key, self.escaped);
            each(key, self.value()?);
        }
        self.keys.forget(&frame);
        Ok(own.map(|found| found.explain(&self.text[start..self.at], start, self.limits)))
    }

    /// Enters an array and calls `each` before each of its elements; it must read exactly one value. No
    /// limit holds for the array itself: `each` can count.
    ///
    /// # Errors
    /// As [`Reader::value`], also when the next value is not an array, and whatever `each` fails with.
    pub fn array(
        &mut self,
        mut each: impl FnMut(&mut Reader<'a>) -> Result<(), Syntax>,
    ) -> Result<(), Syntax> {
        self.after_space();
        self.take(b'[', "expected `[`")?;
        let mut first = true;
        while self.has_element(first).map_err(|halt| *halt)? {
            first = false;
            let before = self.at;
            each(self)?;
            debug_assert!(self.at > before, "`each` must read the element");
        }
        Ok(())
    }

    /// Checks that only white space is left.
    ///
    /// # Errors
    /// `trailing characters`.
    pub fn end(&mut self) -> Result<(), Syntax> {
        match self.after_space() {
            None => Ok(()),
            Some(_) => Err(*self.fault("trailing characters")),
        }
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> usize {
        self.at
    }

    fn take(&mut self, byte: u8, what: &'static str) -> Result<(), Syntax> {
        if self.byte() != Some(byte) {
            return Err(*self.fault(what));
        }
        self.at += 1;
        Ok(())
    }

    /// The fault at the place where the reader stands.
    #[cold]
    fn fault(&self, what: &'static str) -> Halt {
        let what = if self.at < self.text.len() { what } else { "unexpected end of input" };
        let (line, column) = position(self.text, self.at);
        Box::new(Syntax { offset: self.at, line, column, what })
    }
}

impl<'a> Raw<'a> {
    /// The unescaped string; `None` for another kind of value and for a string with a flaw.
    #[inline]
    pub fn string(&self) -> Option<Cow<'a, str>> {
        if self.kind != Kind::String || self.flaw.is_some() {
            return None;
        }
        Some(text::unescaped(&self.text[1..self.text.len() - 1], self.escaped))
    }

    /// The value of a `true` or `false`.
    pub fn truth(&self) -> Option<bool> {
        (self.kind == Kind::Bool).then(|| self.text == "true")
    }
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {}, column {}", self.what, self.line, self.column)
    }
}

impl std::error::Error for Syntax {}
