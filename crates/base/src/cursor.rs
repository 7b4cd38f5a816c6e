//! Opaque positions.
//!
//! A cursor says, for each stream it speaks of, the offset of the next record to read. Its text is
//! letters, digits, `-` and `_` only, so that it can stand in a URL as it is. Callers must not look
//! inside: the layout may change, and old cursors stay readable.

use crate::error::{INVALID_CURSOR, Result};

/// A position in one or several streams: the next offset to read of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(Vec<(String, u64)>);

impl Cursor {
    pub fn new(stream: &str, next: u64) -> Cursor {
        Cursor(vec![(stream.to_owned(), next)])
    }

    /// The next offset of `stream`, if the cursor speaks of it.
    pub fn next(&self, stream: &str) -> Option<u64> {
        self.0.iter().find(|(name, _)| name == stream).map(|(_, next)| *next)
    }

    pub fn set(&mut self, stream: &str, next: u64) {
        match self.0.iter_mut().find(|(name, _)| name == stream) {
            Some(entry) => entry.1 = next,
            None => self.0.push((stream.to_owned(), next)),
        }
    }

    /// The text form: `c` and then, for each stream, its name and the offset in base 36.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(32);
        self.encode_into(&mut out);
        out
    }

    pub fn encode_into(&self, out: &mut String) {
        out.push('c');
        for (at, (stream, next)) in self.0.iter().enumerate() {
            if at > 0 {
                out.push('-');
            }
            out.push_str(stream);
            out.push('-');
            push_base36(out, *next);
        }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// `invalid_cursor` for anything that [`Cursor::encode`] did not make.
    pub fn decode(text: &str) -> Result<Cursor> {
        let bad =
            || INVALID_CURSOR.err("this is not a cursor; use one that a list, a stream or the feed gave out");
        let body = text.strip_prefix('c').ok_or_else(bad)?;
        let parts: Vec<&str> = body.split('-').collect();
        if !parts.len().is_multiple_of(2) || parts.len() > 32 {
            return Err(bad());
        }
        let mut cursor = Cursor::default();
        for pair in parts.chunks(2) {
            let named = !pair[0].is_empty() && pair[0].bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let digits = pair[1].bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            let next =
                u64::from_str_radix(pair[1], 36).ok().filter(|next| digits && *next <= i64::MAX as u64);
            match (named, next) {
                (true, Some(next)) => cursor.set(pair[0], next),
                _ => return Err(bad()),
            }
        }
        Ok(cursor)
    }
}

/// Base 36, lower case.
fn push_base36(out: &mut String, mut n: u64) {
    let mut digits = [0u8; 13];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(n % 36) as usize];
        n /= 36;
        if n == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|digit| *digit as char));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_form() {
        let mut cursor = Cursor::new("events", 0);
        cursor.set("dead_letters", i64::MAX as u64);
        let text = cursor.encode();
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{text}");
        assert_eq!(Cursor::decode(&text).unwrap(), cursor);
    }

    #[test]
    fn what_was_never_given_out_is_refused() {
        for text in [
            "",
            "c",
            "x",
            "cevents",
            "cevents-",
            "cevents-zzzzzzzzzzzzzzzz",
            "cE-1",
            "cevents-1-",
            "cevents-+1",
            "cevents-A",
            "%00",
        ] {
            assert_eq!(Cursor::decode(text).unwrap_err().code().name, "invalid_cursor", "{text}");
        }
    }
}
