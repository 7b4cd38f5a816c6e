//! The text of strings: finding their end, unescaping, escaping, and counting lines.

use std::borrow::Cow;

/// Line and column of a byte offset, both from 1, the column in characters. An offset behind the end stands for the end.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before[..line_start].iter().filter(|byte| **byte == b'\n').count() + 1;
    let starts_character = |byte: &&u8| **byte & 0xC0 != 0x80;
    (line, before[line_start..].iter().filter(starts_character).count() + 1)
}

/// Appends `text` as a JSON string in quotes, with no more escapes than RFC 8259 demands.
pub fn escape_into(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut from = 0;
    loop {
        let stop = plain_end(text.as_bytes(), from);
        out.push_str(&text[from..stop]);
        let Some(byte) = text.as_bytes().get(stop) else { break };
        push_escape(out, *byte);
        from = stop + 1;
    }
    out.push('"');
}

fn push_escape(out: &mut String, byte: u8) {
    match byte {
        b'"' => out.push_str("\\\""),
        b'\\' => out.push_str("\\\\"),
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        b'\t' => out.push_str("\\t"),
        0x08 => out.push_str("\\b"),
        0x0C => out.push_str("\\f"),
        _ => {
            out.push_str("\\u00");
            out.extend([byte >> 4, byte & 0xF].map(|digit| b"0123456789abcdef"[usize::from(digit)] as char));
        }
    }
}

/// The text that a checked string body stands for, which is the body itself unless it has escapes.
#[inline]
pub(super) fn unescaped(body: &str, escaped: bool) -> Cow<'_, str> {
    if escaped { Cow::Owned(unescape(body)) } else { Cow::Borrowed(body) }
}

/// Unescapes a checked string body. A lone surrogate, which no text can hold, becomes U+FFFD.
pub(super) fn unescape(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let (character, length) = unescape_one(escape.as_bytes());
        out.push(character);
        rest = &escape[length..];
    }
    out.push_str(rest);
    out
}

/// The character of one escape, and the bytes it takes behind its backslash.
fn unescape_one(escape: &[u8]) -> (char, usize) {
    match escape.first() {
        Some(b'n') => ('\n', 1),
        Some(b'r') => ('\r', 1),
        Some(b't') => ('\t', 1),
        Some(b'b') => ('\u{8}', 1),
        Some(b'f') => ('\u{c}', 1),
        Some(b'u') => unescape_unit(&escape[1..]),
        Some(byte) => (*byte as char, 1),
        None => (char::REPLACEMENT_CHARACTER, 0),
    }
}

/// The character that starts with the four digits of a `\u`, and the bytes it takes with the `u`.
fn unescape_unit(digits: &[u8]) -> (char, usize) {
    let first = hex4(digits).unwrap_or(0xFFFD);
    let pair = [first, digits.get(6..).and_then(hex4).unwrap_or(0)];
    let paired = digits.get(4..).is_some_and(is_low_surrogate);
    let units = if paired { &pair[..] } else { &pair[..1] };
    match char::decode_utf16(units.iter().copied()).next() {
        Some(Ok(character)) => (character, if character.len_utf16() == 2 { 11 } else { 5 }),
        _ => (char::REPLACEMENT_CHARACTER, 5),
    }
}

/// Four hexadecimal digits at the start of `bytes`.
pub(super) fn hex4(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | (*digit as char).to_digit(16)? as u16))
}

/// Whether `bytes` start with an escaped second half of a surrogate pair.
pub(super) fn is_low_surrogate(bytes: &[u8]) -> bool {
    bytes.strip_prefix(b"\\u").and_then(hex4).is_some_and(|unit| (0xDC00..0xE000).contains(&unit))
}

/// Where the first quote, backslash or control character stands from `at` on; the length if there is none.
#[inline]
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let stops = stops(u64::from_le_bytes(*eight));
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < bytes.len() && !matches!(bytes[at], b'"' | b'\\' | 0..0x20) {
        at += 1;
    }
    at
}

/// The top bit of each byte that ends plain text. Exact for the first such byte; a borrow may add marks behind
/// it (Hacker's Delight, 6-1).
#[inline]
fn stops(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Exchanging bit 1 puts the quote (0x22) right behind the control characters and the space away from them.
    let quote_or_control = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & (ONES * 0x80)
}
