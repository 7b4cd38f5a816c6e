//! Query parameters, read strictly: an unknown or repeated one is named, never ignored.

use super::Problem;
use crate::Kit;
use angarium_base::{Cursor, Result, clock::Millis, error::INVALID_PARAMETER, time};
use axum::extract::FromRequestParts;
use http::request::Parts;
use std::{borrow::Cow, collections::BTreeMap, time::Duration};

/// The query parameters of a request.
#[derive(Debug, Default)]
pub struct Params(BTreeMap<String, String>);

impl FromRequestParts<Kit> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Kit) -> std::result::Result<Self, Problem> {
        Ok(Params::parse(parts.uri.query().unwrap_or(""))?)
    }
}

impl Params {
    pub fn parse(query: &str) -> Result<Params> {
        Ok(Params::parse_with(query, "")?.0)
    }

    /// The same, and all values of `several`, the parameter that may be there more than once.
    pub fn parse_with(query: &str, several: &str) -> Result<(Params, Vec<String>)> {
        let (mut params, mut values) = (BTreeMap::new(), Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?.into_owned();
            let value = decode(value)?.into_owned();
            if !several.is_empty() && name == several {
                values.push(value);
                continue;
            }
            if params.insert(name.clone(), value).is_some() {
                return Err(INVALID_PARAMETER.err(format!("the parameter `{name}` is there twice")));
            }
        }
        Ok((Params(params), values))
    }

    /// Refuses parameters that the route does not know: a misspelt one would silently do nothing.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(INVALID_PARAMETER.err(format!(
                "there is no parameter `{name}` here; there are: {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            ))),
        }
    }

    /// A text; an empty one is none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// As it came: an empty text is no number, no instant and no cursor.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// `limit`: 1 to 1000, 100 if not given.
    pub fn limit(&self) -> Result<u64> {
        let Some(text) = self.given("limit") else { return Ok(100) };
        // `parse` takes a plus sign too.
        let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        digits
            .and_then(|text| text.parse().ok())
            .filter(|n| (1..=1000).contains(n))
            .ok_or_else(|| INVALID_PARAMETER.err("`limit` is a whole number from 1 to 1000"))
    }

    /// `after`: a cursor.
    pub fn after(&self) -> Result<Option<Cursor>> {
        self.given("after").map(Cursor::decode).transpose()
    }

    /// A duration such as `500ms`, `20s`, `5m`, `2h`, `1d`; a bare number is milliseconds.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>> {
        self.given(name).map(|text| parse_duration(name, text)).transpose()
    }

    /// An instant, RFC 3339.
    pub fn instant(&self, name: &str) -> Result<Option<Millis>> {
        let Some(text) = self.given(name) else { return Ok(None) };
        time::parse(text).map(Some).ok_or_else(|| {
            INVALID_PARAMETER.err(format!("`{name}` is an RFC 3339 instant such as 2026-01-31T12:00:00Z"))
        })
    }

    /// `true` or `false`; a bare name is true.
    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.given(name) {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(_) => Err(INVALID_PARAMETER.err(format!("`{name}` is true or false"))),
        }
    }
}

/// Reads a duration; `name` is for the error.
pub fn parse_duration(name: &str, text: &str) -> Result<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let ms = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_ms)).filter(|_| unit_ms > 0);
    ms.map(Duration::from_millis).ok_or_else(|| {
        INVALID_PARAMETER.err(format!("`{name}` is a duration such as 500ms, 20s, 5m, 2h or 1d"))
    })
}

fn decode(text: &str) -> Result<Cow<'_, str>> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| (b as char).to_digit(16));
                match (digit(bytes.next()), digit(bytes.next())) {
                    (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
                    _ => {
                        return Err(INVALID_PARAMETER
                            .err("the query has a `%` that two hexadecimal digits do not follow"));
                    }
                }
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| INVALID_PARAMETER.err("the query is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, ms) in [("250", 250), ("250ms", 250), ("2s", 2_000), ("1m", 60_000), ("1d", 86_400_000)] {
            assert_eq!(parse_duration("wait", text).unwrap(), Duration::from_millis(ms));
        }
        for text in ["", "s", "-1s", "1 s", "1w", "99999999999999999999d"] {
            assert!(parse_duration("wait", text).is_err(), "{text}");
        }
    }

    #[test]
    fn unknown_repeated_and_broken_parameters_are_named() {
        let message = |query: &str| match Params::parse(query).and_then(|p| p.only(&["limit"])) {
            Ok(()) => String::new(),
            Err(error) => error.message().to_owned(),
        };
        assert_eq!(message("limit=5"), "");
        assert!(message("limt=5").contains("`limt`"));
        assert!(message("limit=5&limit=6").contains("twice"));
        let (params, values) = Params::parse_with("where=a&limit=5&where=b", "where").unwrap();
        assert_eq!((params.limit().unwrap(), values), (5, vec!["a".to_owned(), "b".to_owned()]));
        assert!(message("limit=%f").contains('%'));
        assert!(message("limit=%ff").contains("UTF-8"));
        for refused in ["limit=0", "limit=", "limit=+5"] {
            assert!(Params::parse(refused).unwrap().limit().is_err(), "{refused}");
        }
        assert!(Params::parse("from=").unwrap().instant("from").is_err());
        assert!(Params::parse("after=").unwrap().after().is_err());
    }
}
