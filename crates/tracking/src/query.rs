//! Query strings: read, written, and turned into JSON and back.
//!
//! The encoding is that of forms (<https://url.spec.whatwg.org/#application/x-www-form-urlencoded>): pairs
//! separated by `&`, `+` is a space, `%41` a byte. A `%` without two hexadecimal digits stands for itself.
//! What is written here holds no space, no control character and nothing but ASCII.

use angarium_base::{
    Context, Result,
    error::{INVALID_PARAMETER, MALFORMED_BODY},
};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashMap, fmt};

/// How much of a parameter's name an error repeats.
const NAMED_MAX_BYTES: usize = 64;

/// The decoded pairs of `raw`, in order. A name without `=` has an empty value; empty pairs are skipped.
///
/// # Errors
/// `invalid_parameter`, naming the parameter whose bytes are not UTF-8.
pub fn pairs(raw: &str) -> Result<Vec<(Cow<'_, str>, Cow<'_, str>)>> {
    raw.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}

fn pair(raw: &str) -> Result<(Cow<'_, str>, Cow<'_, str>)> {
    let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
    match (decode(name), decode(value)) {
        (Some(name), Some(value)) => Ok((name, value)),
        (Some(_), None) => Err(INVALID_PARAMETER.err(format!("the value of `{}` is not UTF-8", clip(name)))),
        (None, _) => Err(INVALID_PARAMETER.err(format!("the name `{}` is not UTF-8", clip(name)))),
    }
}

/// The start of a name as it was sent: error texts hold no bytes that the client only wrote as `%…`.
fn clip(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAMED_MAX_BYTES)]
}

/// `None` when the decoded bytes are not UTF-8.
fn decode(raw: &str) -> Option<Cow<'_, str>> {
    let bytes = raw.as_bytes();
    let Some(first) = bytes.iter().position(|byte| matches!(byte, b'%' | b'+')) else {
        return Some(Cow::Borrowed(raw));
    };
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    while let [byte, after @ ..] = rest {
        let (decoded, left) = match (byte, after) {
            (b'+', _) => (b' ', after),
            (b'%', [high, low, left @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, left),
                _ => (b'%', after),
            },
            _ => (*byte, after),
        };
        out.push(decoded);
        rest = left;
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

fn digit(hex: u8) -> Option<u8> {
    (hex as char).to_digit(16).map(|digit| digit as u8)
}

/// Appends the pairs of `raw` as a JSON object of strings. The values of a name that comes again become an
/// array, in their order, where the name came first.
///
/// # Errors
/// As [`pairs`]; `out` is then as it was.
pub fn to_json_into(out: &mut String, raw: &str) -> Result<()> {
    let pairs = pairs(raw)?;
    let (repeated, next) = chains(&pairs);
    let open = out.len() + 1;
    out.push('{');
    for (at, (name, value)) in pairs.iter().enumerate().filter(|(at, _)| !repeated[*at]) {
        if out.len() > open {
            out.push(',');
        }
        push_json_string(out, name);
        out.push(':');
        if next[at].is_none() {
            push_json_string(out, value);
            continue;
        }
        out.push('[');
        push_json_string(out, value);
        let mut at = at;
        while let Some(following) = next[at] {
            out.push(',');
            push_json_string(out, &pairs[following].1);
            at = following;
        }
        out.push(']');
    }
    out.push('}');
    Ok(())
}

/// For each pair: whether its name came before, and where it comes next. Linear: a client may send
/// thousands of pairs.
fn chains(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> (Vec<bool>, Vec<Option<usize>>) {
    let mut last = HashMap::with_capacity(pairs.len());
    let (mut repeated, mut next) = (vec![false; pairs.len()], vec![None; pairs.len()]);
    for (at, (name, _)) in pairs.iter().enumerate() {
        if let Some(before) = last.insert(&**name, at) {
            repeated[at] = true;
            next[before] = Some(at);
        }
    }
    (repeated, next)
}

fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    for part in text.split_inclusive(|c: char| c < ' ' || c == '"' || c == '\\') {
        let (plain, last) = part.split_at(part.len() - part.ends_with(|c: char| c.is_ascii()) as usize);
        out.push_str(plain);
        match last.as_bytes() {
            [byte @ (b'"' | b'\\')] => out.extend(['\\', *byte as char]),
            [byte @ 0..0x20] => {
                out.push_str("\\u00");
                push_hex(out, *byte);
            }
            _ => out.push_str(last),
        }
    }
    out.push('"');
}

/// Appends `text` with all but RFC 3986's unreserved characters percent-encoded.
pub fn encode_into(out: &mut String, text: &str) {
    encode_where(out, text, |byte| !(byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)));
}

/// Appends a query string as it was sent; what a URL could not hold anyway (spaces, control characters,
/// non-ASCII) is percent-encoded.
pub fn clean_into(out: &mut String, raw: &str) {
    encode_where(out, raw, |byte| !byte.is_ascii_graphic());
}

/// `encodes` must be true for every byte that is not ASCII.
fn encode_where(out: &mut String, text: &str, encodes: impl Fn(u8) -> bool) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(&encodes) {
        out.push_str(&rest[..at]);
        let end = rest.ceil_char_boundary(at + 1);
        for byte in rest.as_bytes()[at..end].iter() {
            out.push('%');
            push_hex(out, *byte);
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
}

fn push_hex(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend([DIGITS[usize::from(byte >> 4)] as char, DIGITS[usize::from(byte & 15)] as char]);
}

/// Appends the members of a JSON object as `name=value&…`, in their order: a string as it is, `null` as
/// nothing, anything else as its compact JSON text. Half of a surrogate pair becomes U+FFFD.
///
/// # Errors
/// `malformed_body` when `params_json` is not one JSON object; `out` is then as it was.
pub fn from_json_into(out: &mut String, params_json: &str) -> Result<()> {
    let start = out.len();
    let mut json = serde_json::Deserializer::from_str(params_json);
    let written = json.deserialize_map(Members(out)).and_then(|()| json.end());
    if written.is_err() {
        out.truncate(start);
    }
    written.or_error(MALFORMED_BODY, "the parameters are not a JSON object")
}

/// Writes members as they are read, so that no tree is built and their order is kept.
struct Members<'o>(&'o mut String);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut first = true;
        while let Some((Text(name), value)) = members.next_entry::<Text, &RawValue>()? {
            if !std::mem::take(&mut first) {
                self.0.push('&');
            }
            encode_into(self.0, &name);
            self.0.push('=');
            push_value(self.0, value.get()).map_err(de::Error::custom)?;
        }
        Ok(())
    }
}

fn push_value(out: &mut String, json: &str) -> serde_json::Result<()> {
    match json.as_bytes() {
        b"null" => {}
        [b'"', ..] => encode_into(out, &serde_json::from_str::<Text>(json)?.0),
        [b'{' | b'[', ..] => encode_into(out, &compact(json)),
        _ => encode_into(out, json),
    }
    Ok(())
}

/// JSON without the white space between its tokens. Numbers keep their digits.
fn compact(json: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let keep = |c: &char| {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
        quoted || !c.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}

/// A JSON string. Read as bytes, because as text serde_json refuses half of a surrogate pair, which the
/// check of incoming events lets pass.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Text, D::Error> {
        from.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
        Ok(Text(String::from_utf8_lossy(bytes).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(by: impl Fn(&mut String)) -> String {
        let mut out = String::new();
        by(&mut out);
        out
    }

    fn to_json(raw: &str) -> String {
        written(|out| to_json_into(out, raw).unwrap())
    }

    fn from_json(json: &str) -> String {
        written(|out| from_json_into(out, json).unwrap())
    }

    #[test]
    fn pairs_are_decoded_like_a_form() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]),
            ("&&a&=v&b=&", &[("a", ""), ("", "v"), ("b", "")]),
            ("a+b=c%20d%2B", &[("a b", "c d+")]),
            ("a=1=2", &[("a", "1=2")]),
            ("a=%&b=%4&c=%zz&d=%%41", &[("a", "%"), ("b", "%4"), ("c", "%zz"), ("d", "%A")]),
            ("%F0%9F%98%80=é%00", &[("😀", "é\0")]),
        ];
        for (raw, expected) in cases {
            let pairs = pairs(raw).unwrap();
            assert_eq!(pairs.iter().map(|(n, v)| (&**n, &**v)).collect::<Vec<_>>(), *expected, "{raw}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_by_name() {
        let refused = |raw: &str| pairs(raw).unwrap_err().to_string();
        assert_eq!(refused("a=1&city=%FF"), "invalid_parameter: the value of `city` is not UTF-8");
        assert_eq!(refused("%C3%28=1"), "invalid_parameter: the name `%C3%28` is not UTF-8");
        let mut out = "before".to_owned();
        assert!(to_json_into(&mut out, "a=%FF").is_err());
        assert_eq!(out, "before");
    }

    #[test]
    fn repeated_names_become_an_array_where_the_first_one_stood() {
        assert_eq!(to_json(""), "{}");
        assert_eq!(to_json("b=1&a=2&b=3&b=&c"), r#"{"b":["1","3",""],"a":"2","c":""}"#);
        assert_eq!(to_json("q=%22%5C%0Aé%1F/"), r#"{"q":"\"\\\u000Aé\u001F/"}"#);
    }

    #[test]
    fn members_become_pairs_in_their_order() {
        assert_eq!(from_json(" {} "), "");
        assert_eq!(from_json(r#"{"b":"x y","a":null,"b":true}"#), "b=x%20y&a=&b=true");
        assert_eq!(
            from_json(r#"{"n":1.0,"big":123456789012345678901234567890}"#),
            "n=1.0&big=123456789012345678901234567890"
        );
        let nested = from_json("{\"o\": { \"k\" : [ 1, \"a \\\" b\" ] }}");
        assert_eq!(pairs(&nested).unwrap()[0].1, r#"{"k":[1,"a \" b"]}"#);
        assert_eq!(from_json(r#"{"a\u0026":"\ud800\u0000"}"#), "a%26=%EF%BF%BD%EF%BF%BD%EF%BF%BD%00");
    }

    #[test]
    fn what_is_not_an_object_is_refused_and_leaves_nothing_behind() {
        for json in ["", "[]", "1", "{\"a\":1", "{\"a\":1} x", "{\"a\":\"\\x\"}"] {
            let mut out = "before".to_owned();
            assert!(from_json_into(&mut out, json).is_err(), "{json}");
            assert_eq!(out, "before");
        }
    }

    #[test]
    fn thousands_of_pairs_take_no_time() {
        let raw: String = (0..100_000).map(|n| format!("k{}&", n % 50_000)).collect();
        let parsed: HashMap<String, Vec<String>> = serde_json::from_str(&to_json(&raw)).unwrap();
        assert_eq!(parsed.len(), 50_000);
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in any::<String>()) {
            let encoded = written(|out| encode_into(out, &text));
            prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
            prop_assert_eq!(&*decode(&encoded).unwrap(), &*text);
        }

        #[test]
        fn cleaning_changes_nothing_that_is_read(raw in any::<String>()) {
            let cleaned = written(|out| clean_into(out, &raw));
            prop_assert!(cleaned.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(&written(|out| clean_into(out, &cleaned)), &cleaned);
            prop_assert_eq!(pairs(&cleaned).ok(), pairs(&raw).ok());
        }

        #[test]
        fn strings_survive_the_way_to_json_and_back(members: Vec<(String, String)>) {
            let raw = members.iter().map(|(name, value)| written(|out| {
                encode_into(out, name);
                out.push('=');
                encode_into(out, value);
            })).collect::<Vec<_>>().join("&");
            let json: serde_json::Value = serde_json::from_str(&to_json(&raw)).unwrap();
            for (name, value) in &members {
                let found = &json[name];
                prop_assert!(found == value || found.as_array().is_some_and(|all| all.contains(&value.as_str().into())));
            }
            let mut names: Vec<_> = members.iter().map(|(name, _)| name).collect();
            names.sort();
            names.dedup();
            if names.len() == members.len() {
                prop_assert_eq!(from_json(&to_json(&raw)), raw);
            }
        }
    }
}
