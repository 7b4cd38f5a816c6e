//! A record of a stream as one line of text.

use super::table::misleads;
use angarium_client::Record;
use angarium_tracking::{
    line::{LineParts, consumer_line},
    query,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LineFormat {
    /// `type meta params`, both as query strings; a record that is no event as its JSON
    Line,
    /// {"cursor", "at", "data"}
    Json,
}

/// The parts of an event record that a line is made of.
#[derive(Deserialize)]
pub struct EventData<'a> {
    #[serde(borrow, rename = "type")]
    pub event_type: Cow<'a, str>,
    #[serde(borrow)]
    received_at: Cow<'a, str>,
    #[serde(borrow)]
    pub params: Option<&'a RawValue>,
    /// The query string of a `/t` event, as the client sent it.
    query: Option<String>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "type")]
    kind: Option<String>,
    browser: Option<String>,
    engine: Option<String>,
    version: Option<String>,
    os: Option<String>,
    host: Option<String>,
    ip: Option<String>,
    country: Option<String>,
    city: Option<String>,
}

/// Appends the record and a line end; never a line end within it.
pub fn push(out: &mut Vec<u8>, record: &Record, format: LineFormat) {
    match format {
        LineFormat::Line => match event(record) {
            Some(event) => out.extend_from_slice(event_line(&event, &record.at).as_bytes()),
            None => push_json(out, record.data.get()),
        },
        LineFormat::Json => {
            let json = serde_json::to_string(record).unwrap_or_else(|_| record.data.get().to_owned());
            push_json(out, &json);
        }
    }
    out.push(b'\n');
}

/// The record's event, if it is one.
pub fn event(record: &Record) -> Option<EventData<'_>> {
    serde_json::from_str(record.data.get()).ok()
}

/// The consumer line of an event that became durable at `stored_at`.
fn event_line(event: &EventData<'_>, stored_at: &str) -> String {
    let received = angarium_base::time::parse(&event.received_at);
    let stored = angarium_base::time::parse(stored_at);
    let ts = received.or(stored).unwrap_or_default();
    let meta = &event.meta;
    let mut params = String::new();
    match (&event.query, event.params) {
        (Some(query), _) => params.push_str(query),
        (None, Some(json)) => {
            // Params are an object, or the event would not have been taken; else they are left out.
            let _ = query::from_json_into(&mut params, json.get());
        }
        (None, None) => {}
    }
    consumer_line(&LineParts {
        event_type: &event.event_type,
        kind: or_empty(&meta.kind),
        browser: or_empty(&meta.browser),
        engine: or_empty(&meta.engine),
        version: or_empty(&meta.version),
        os: or_empty(&meta.os),
        host: or_empty(&meta.host),
        ts,
        ip: or_empty(&meta.ip),
        klag: stored.map_or(0, |stored| (stored - ts).max(0)),
        country: meta.country.as_deref().unwrap_or("XX"),
        city: meta.city.as_deref().unwrap_or("XX"),
        params: &params,
    })
}

/// JSON text on one line: outside of its tokens a line end is white space, and inside there is none.
pub fn push_json(out: &mut Vec<u8>, json: &str) {
    for char in json.chars() {
        match char {
            '\n' | '\r' | '\t' => out.push(b' '),
            // Within JSON they stand in texts only, where they may be written so: none reaches a terminal.
            char if misleads(char) => {
                out.extend_from_slice(format!("\\u{:04x}", char as u32).as_bytes());
            }
            char => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn or_empty(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(data: &str, format: LineFormat) -> String {
        let data = RawValue::from_string(data.into()).unwrap();
        let record = Record { cursor: "c1".into(), at: "2017-11-07T10:06:48.269Z".into(), data };
        let mut out = Vec::new();
        push(&mut out, &record, format);
        String::from_utf8(out).unwrap()
    }

    const META: &str = r#""meta":{"type":"Desktop","browser":"Firefox","engine":"Gecko","version":"56.0","os":"Mac",
        "host":"192.168.64.2","ip":"ffffac110001","country":"XX","city":"XX"}"#;

    #[test]
    fn an_event_is_the_line_that_consumers_of_the_old_tracker_read() {
        let data = format!(
            r#"{{"id":"evt_1","type":"click","at":"2017-11-07T10:06:48.003Z","received_at":"2017-11-07T10:06:48.003Z",
                "params":{{"b":"2","a":"1"}},"query":"b=2&a=1",{META}}}"#
        );
        assert_eq!(
            line(&data, LineFormat::Line),
            "click type=Desktop&browser=Firefox&engine=Gecko&version=56.0&os=Mac&host=192.168.64.2\
             &ts=1510049208003&ip=ffffac110001&klag=266&country=XX&city=XX b=2&a=1\n"
        );
    }

    #[test]
    fn an_event_without_a_query_string_gets_one_from_its_params() {
        let data = format!(
            r#"{{"type":"click","received_at":"2017-11-07T10:06:48.003Z","params":{{"a":1}},{META}}}"#
        );
        assert!(line(&data, LineFormat::Line).ends_with("&country=XX&city=XX a=1\n"));
    }

    #[test]
    fn any_record_is_one_line() {
        assert_eq!(line("{\n \"text\": \"hi\"\r\n}", LineFormat::Line), "{  \"text\": \"hi\"  }\n");
        assert_eq!(
            line("[\"\u{9b}2J\u{7f}\"]", LineFormat::Line),
            "[\"\\u009b2J\\u007f\"]\n",
            "nothing that a terminal obeys"
        );
        assert_eq!(
            line("[1,\n2]", LineFormat::Json),
            "{\"cursor\":\"c1\",\"at\":\"2017-11-07T10:06:48.269Z\",\"data\":[1, 2]}\n"
        );
    }
}
