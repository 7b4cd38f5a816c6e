//! The grammar of RFC 8259, without recursion.
//!
//! Containers are read by two loops, one over members and one over elements, that stop where a container
//! opens or closes; what surrounds the innermost one waits on a stack:
//!
//! ```text
//!             ┌── opened: push ──┐
//!   inside ──▶ members / elements ──▶ closed: pop ──▶ nothing left: done
//! ```
//!
//! Functions start with the reader on the first byte they speak of and leave it behind the last one.

use super::{
    Kind, Reader, Syntax,
    flaw::{Found, Place, Refusal},
    keys::Frame,
    text::{hex4, is_low_surrogate, plain_end},
};

/// The way out of the grammar. Boxed, so that the results of the hot functions fit into registers.
pub(super) type Halt = Box<Syntax>;

/// Numbers up to this length without an exponent cannot overflow: the largest float has 309 digits.
const SURELY_FINITE: usize = 300;

/// Longer numbers are refused, however small they are: nobody measures so exactly.
pub(super) const LONGEST_NUMBER: usize = 400;

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips white space and looks at the byte behind it.
    #[inline(always)]
    pub(super) fn after_space(&mut self) -> Option<u8> {
        let mut byte = self.byte()?;
        while matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
            byte = self.byte()?;
        }
        Some(byte)
    }

    /// Reads one value that starts with `first`.
    #[inline]
    pub(super) fn whole(&mut self, first: Option<u8>) -> Result<Kind, Halt> {
        let kind = self.start(first)?;
        if matches!(kind, Kind::Array | Kind::Object) {
            self.inside(kind)?;
        }
        Ok(kind)
    }

    /// Reads a scalar to its end, or the bracket that opens an array or object.
    // Always inlined, as is white space: a call for each token costs a sixth of the throughput.
    #[inline(always)]
    fn start(&mut self, first: Option<u8>) -> Result<Kind, Halt> {
        match first {
            Some(b'"') => self.string(Place::Here).map(|()| Kind::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Kind::Number),
            Some(b't') => self.literal("true", "expected `true`").map(|()| Kind::Bool),
            Some(b'f') => self.literal("false", "expected `false`").map(|()| Kind::Bool),
            Some(b'n') => self.literal("null", "expected `null`").map(|()| Kind::Null),
            Some(b'{') => {
                self.at += 1;
                Ok(Kind::Object)
            }
            Some(b'[') => {
                self.at += 1;
                Ok(Kind::Array)
            }
            _ => Err(self.no_value()),
        }
    }

    /// Reads what is in a container, behind its opening bracket.
    fn inside(&mut self, kind: Kind) -> Result<(), Halt> {
        let mut frame = self.open(kind);
        loop {
            let opened = if frame.object { self.members(&mut frame)? } else { self.elements(&mut frame)? };
            if let Some(kind) = opened {
                self.push(frame);
                frame = self.open(kind);
                continue;
            }
            self.keys.forget(&frame);
            match self.pop() {
                Some(outer) => frame = outer,
                None => return Ok(()),
            }
        }
    }

    fn open(&mut self, kind: Kind) -> Frame<'a> {
        if self.frames.len() + self.beyond.len() >= self.limits.depth {
            self.refuse(Refusal::TooDeep, Place::Here, self.at - 1);
        }
        self.keys.frame(kind == Kind::Object)
    }

    fn push(&mut self, frame: Frame<'a>) {
        if self.frames.len() < self.limits.depth {
            self.frames.push(frame);
        } else {
            self.beyond.push(frame.object);
        }
    }

    /// What is below the limit comes back without its keys and its count: its value is refused already.
    fn pop(&mut self) -> Option<Frame<'a>> {
        match self.beyond.pop() {
            Some(object) => {
                let mut frame = self.keys.frame(object);
                frame.members = 1;
                Some(frame)
            }
            None => self.frames.pop(),
        }
    }

    /// Reads members up to the end of the object (`None`) or into the next container.
    fn members(&mut self, frame: &mut Frame<'a>) -> Result<Option<Kind>, Halt> {
        while self.next_key(frame)?.is_some() {
            let first = self.after_space();
            let kind = self.start(first)?;
            if matches!(kind, Kind::Array | Kind::Object) {
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }

    /// Reads elements up to the end of the array (`None`) or into the next container.
    fn elements(&mut self, frame: &mut Frame<'a>) -> Result<Option<Kind>, Halt> {
        while self.has_element(frame.members == 0)? {
            frame.members += 1;
            if frame.members > self.limits.members {
                self.refuse(Refusal::TooManyElements, Place::Around, self.at);
            }
            let kind = self.start(self.byte())?;
            if matches!(kind, Kind::Array | Kind::Object) {
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }

    /// Reads up to the next element, or the end of the array.
    #[inline]
    pub(super) fn has_element(&mut self, first: bool) -> Result<bool, Halt> {
        match self.after_space() {
            Some(b']') => {
                self.at += 1;
                return Ok(false);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.after_space();
            }
            _ if first => {}
            _ => return Err(self.fault("expected `,` or `]`")),
        }
        Ok(true)
    }

    /// Reads the next key and its colon, or the end of the object (`None`), and checks the key against those
    /// before. Gives the key as it stands between its quotes.
    #[inline]
    pub(super) fn next_key(&mut self, frame: &mut Frame<'a>) -> Result<Option<&'a str>, Halt> {
        match self.after_space() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if frame.members > 0 => {
                self.at += 1;
                if self.after_space() != Some(b'"') {
                    return Err(self.fault("expected a key in `\"`"));
                }
            }
            Some(b'"') if frame.members == 0 => {}
            _ if frame.members == 0 => return Err(self.fault("expected a key in `\"`, or `}`")),
            _ => return Err(self.fault("expected `,` or `}`")),
        }
        let start = self.at;
        self.string(Place::Around)?;
        let raw = &self.text[start + 1..self.at - 1];
        self.note(frame, raw);
        if self.after_space() != Some(b':') {
            return Err(self.fault("expected `:`"));
        }
        self.at += 1;
        Ok(Some(raw))
    }

    /// Counts a member and compares its key. A value that has a flaw needs no second one.
    #[inline]
    fn note(&mut self, frame: &mut Frame<'a>, raw: &'a str) {
        frame.members += 1;
        if self.found.is_some() {
            return;
        }
        if frame.members > self.limits.members {
            self.refuse(Refusal::TooManyMembers, Place::Around, self.at - raw.len() - 2);
        } else if !self.keys.insert(frame, raw, self.escaped) {
            // Behind the key: the way to it leads through the key itself.
            self.refuse(Refusal::DuplicateKey, Place::Here, self.at);
        }
    }

    #[cold]
    fn refuse(&mut self, refusal: Refusal, place: Place, at: usize) {
        self.found.get_or_insert(Found { refusal, place, at });
    }

    /// Reads a string, and leaves in `escaped` whether it has escapes.
    #[inline]
    fn string(&mut self, place: Place) -> Result<(), Halt> {
        let start = self.at;
        self.escaped = false;
        let bytes = self.text.as_bytes();
        self.at = plain_end(bytes, start + 1);
        if bytes.get(self.at) == Some(&b'"') {
            self.at += 1;
            return Ok(());
        }
        self.rest_of_string(place, start)
    }

    #[inline(never)]
    fn rest_of_string(&mut self, place: Place, start: usize) -> Result<(), Halt> {
        self.escaped = true;
        loop {
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    if let Some(refusal) = self.escape()? {
                        self.refuse(refusal, place, start);
                    }
                }
                _ => return Err(self.fault("a control character must be escaped")),
            }
            self.at = plain_end(self.text.as_bytes(), self.at);
        }
        self.at += 1;
        Ok(())
    }

    /// Reads one escape, or two that make a surrogate pair.
    fn escape(&mut self) -> Result<Option<Refusal>, Halt> {
        self.at += 1;
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(None)
            }
            Some(b'u') => {
                self.at += 1;
                self.code_unit()
            }
            _ => Err(self.fault("unknown escape")),
        }
    }

    /// Reads four hexadecimal digits and, after half of a pair, the other half.
    fn code_unit(&mut self) -> Result<Option<Refusal>, Halt> {
        let bytes = self.text.as_bytes();
        let Some(unit) = hex4(&bytes[self.at..]) else {
            self.at += bytes[self.at..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            return Err(self.fault("expected four hexadecimal digits"));
        };
        self.at += 4;
        match unit {
            0 => Ok(Some(Refusal::NulCharacter)),
            0xD800..=0xDBFF if is_low_surrogate(&bytes[self.at..]) => {
                self.at += 6;
                Ok(None)
            }
            0xD800..=0xDFFF => Ok(Some(Refusal::LoneSurrogate(unit))),
            _ => Ok(None),
        }
    }

    fn literal(&mut self, word: &'static str, what: &'static str) -> Result<(), Halt> {
        let rest = &self.text.as_bytes()[self.at..];
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        if word.as_bytes().starts_with(rest) {
            self.at = self.text.len();
        }
        Err(self.fault(what))
    }

    fn number(&mut self) -> Result<(), Halt> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => {
                self.at += 1;
                if matches!(self.byte(), Some(b'0'..=b'9')) {
                    return Err(self.fault("a number has no leading zeros"));
                }
            }
            Some(b'I') => return Err(self.no_value()),
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let exponent = matches!(self.byte(), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        if exponent || self.at - start > SURELY_FINITE {
            self.check_range(start);
        }
        Ok(())
    }

    /// Reads digits, at least one.
    #[inline]
    fn digits(&mut self) -> Result<(), Halt> {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        while let Some(b'0'..=b'9') = bytes.get(at) {
            at += 1;
        }
        let some = at > self.at;
        self.at = at;
        if some { Ok(()) } else { Err(self.fault("expected a digit")) }
    }

    #[inline(never)]
    fn check_range(&mut self, start: usize) {
        let text = &self.text[start..self.at];
        if text.len() > LONGEST_NUMBER {
            self.refuse(Refusal::NumberTooLong, Place::Here, start);
        } else if !text.parse::<f64>().is_ok_and(f64::is_finite) {
            self.refuse(Refusal::NumberTooLarge, Place::Here, start);
        }
    }

    /// The fault where a value should be, named after the habits that bring people here.
    #[cold]
    fn no_value(&self) -> Halt {
        let rest = &self.text[self.at..];
        self.fault(match rest.bytes().next() {
            Some(b'N') if rest.starts_with("NaN") => "NaN is not JSON",
            Some(b'I') if rest.starts_with("Infinity") => "Infinity is not JSON",
            Some(b'\'') => "a string must be in `\"`",
            Some(b'/') => "a comment is not JSON",
            _ if rest.starts_with('\u{feff}') => "a byte order mark is not JSON",
            _ => "expected a value",
        })
    }
}
