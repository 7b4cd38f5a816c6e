//! The line that consumers of the old tracker read:
//!
//! ```text
//! app_open type=Desktop&browser=Firefox&…&country=XX&city=XX deviceid=abc&ts=123
//! └ type ┘ └ meta: always the same twelve names in one order ┘ └ the client's own parameters ┘
//! ```
//!
//! Invariant: one line, exactly two spaces, whatever the client sent. Without parameters it ends in a space.

use crate::query::{clean_into, encode_into};
use std::fmt::Write;

/// What a line says. Empty is unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineParts<'a> {
    pub event_type: &'a str,
    /// The kind of device; the line calls it `type`.
    pub kind: &'a str,
    pub browser: &'a str,
    pub engine: &'a str,
    pub version: &'a str,
    pub os: &'a str,
    /// The host that the request was for.
    pub host: &'a str,
    /// When the server received the event, in milliseconds since the Unix epoch.
    pub ts: i64,
    /// The client's address as [`angarium_kit::http::address::hex`] writes it.
    pub ip: &'a str,
    /// Milliseconds from receipt to journal.
    pub klag: i64,
    pub country: &'a str,
    pub city: &'a str,
    /// A query string, as the client sent it.
    pub params: &'a str,
}

/// The line, without an end of line.
pub fn consumer_line(parts: &LineParts<'_>) -> String {
    let mut line = String::with_capacity(224 + parts.params.len());
    encode_into(&mut line, parts.event_type);
    push_texts(
        &mut line,
        ' ',
        [
            ("type", parts.kind),
            ("browser", parts.browser),
            ("engine", parts.engine),
            ("version", parts.version),
            ("os", parts.os),
            ("host", parts.host),
        ],
    );
    // Writing into a String cannot fail.
    let _ = write!(line, "&ts={}", parts.ts);
    push_texts(&mut line, '&', [("ip", parts.ip)]);
    let _ = write!(line, "&klag={}", parts.klag);
    push_texts(&mut line, '&', [("country", or_xx(parts.country)), ("city", or_xx(parts.city))]);
    line.push(' ');
    clean_into(&mut line, parts.params);
    line
}

fn push_texts<const N: usize>(line: &mut String, before: char, pairs: [(&str, &str); N]) {
    for (at, (name, value)) in pairs.into_iter().enumerate() {
        line.push(if at == 0 { before } else { '&' });
        line.push_str(name);
        line.push('=');
        encode_into(line, value);
    }
}

fn or_xx(place: &str) -> &str {
    if place.is_empty() { "XX" } else { place }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{from_json_into, pairs};
    use proptest::prelude::*;

    const SAMPLE: LineParts = LineParts {
        event_type: "app_open",
        kind: "Desktop",
        browser: "Firefox",
        engine: "Gecko",
        version: "56.0",
        os: "Mac",
        host: "192.168.64.2",
        ts: 1_510_826_008_003,
        ip: "ffffac110001",
        klag: 266,
        country: "XX",
        city: "XX",
        params: "deviceid=abcdf&ts=123456&referrer=website",
    };

    #[test]
    fn the_old_trackers_sample_is_written_as_it_was() {
        assert_eq!(
            consumer_line(&SAMPLE),
            "app_open type=Desktop&browser=Firefox&engine=Gecko&version=56.0&os=Mac&host=192.168.64.2&\
             ts=1510826008003&ip=ffffac110001&klag=266&country=XX&city=XX deviceid=abcdf&ts=123456&referrer=website"
        );
    }

    #[test]
    fn what_is_unknown_is_empty_and_the_line_still_has_three_fields() {
        let parts = LineParts { event_type: "e", ip: "ffff7f000001", ..Default::default() };
        assert_eq!(
            consumer_line(&parts),
            "e type=&browser=&engine=&version=&os=&host=&ts=0&ip=ffff7f000001&klag=0&country=XX&city=XX "
        );
    }

    fn decoded(query: &str) -> Vec<(String, String)> {
        pairs(query).unwrap().into_iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// Any text, and often the characters that could break a line.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![any::<String>(), "[ \n\r\t&=%+#0😀é\u{0}\u{2028}]{0,12}", Just("%00".to_owned())]
    }

    proptest! {
        #[test]
        fn any_event_is_one_line_of_three_fields_that_decodes_back(
            event_type in text(),
            meta in proptest::array::uniform9(text()),
            (ts, klag) in any::<(i64, i64)>(),
            members in proptest::collection::vec((text(), text()), 0..8),
        ) {
            let object: Vec<String> = members.iter()
                .map(|(name, value)| format!("{}:{}", serde_json::json!(name), serde_json::json!(value)))
                .collect();
            let mut params = String::new();
            from_json_into(&mut params, &format!("{{{}}}", object.join(","))).unwrap();
            let [kind, browser, engine, version, os, host, ip, country, city] = &meta;
            let line = consumer_line(&LineParts {
                event_type: &event_type, kind, browser, engine, version, os, host, ts, ip, klag, country, city,
                params: &params,
            });

            prop_assert!(line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
            let fields: Vec<&str> = line.split(' ').collect();
            prop_assert_eq!(fields.len(), 3);
            prop_assert_eq!(decoded(&format!("x={}", fields[0])), [("x".to_owned(), event_type)]);
            let (ts, klag) = (ts.to_string(), klag.to_string());
            let expected = [
                ("type", kind), ("browser", browser), ("engine", engine), ("version", version), ("os", os),
                ("host", host), ("ts", &ts), ("ip", ip), ("klag", &klag),
                ("country", &or_xx(country).to_owned()), ("city", &or_xx(city).to_owned()),
            ].map(|(name, value)| (name.to_owned(), value.clone()));
            prop_assert_eq!(decoded(fields[1]), expected);
            prop_assert_eq!(decoded(fields[2]), members);
        }

        #[test]
        fn a_query_string_as_sent_cannot_break_the_line(raw in text()) {
            let line = consumer_line(&LineParts { params: &raw, ..SAMPLE });
            let fields: Vec<&str> = line.split(' ').collect();
            prop_assert_eq!(fields.len(), 3);
            prop_assert!(line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
            prop_assert_eq!(pairs(fields[2]).ok(), pairs(&raw).ok());
        }
    }
}
