//! What an event may be. Pure: text in, an event or the fault and its place out.

use angarium_base::{
    clock::Millis,
    error::Fault,
    json::{Kind, Limits, Raw, Reader, Syntax},
    time,
};
use std::{borrow::Cow, net::IpAddr};

angarium_base::codes! {
    /// The body, or an item of it, is not JSON. The detail names line and column.
    MALFORMED_JSON = "malformed_json": Malformed;
    /// Nothing of the request could be kept. `errors` (one event) or `rejected` (several) name each place.
    INVALID_EVENT = "invalid_event": Invalid;
    /// An event's type is 1 to 255 characters, without white space or control characters.
    INVALID_TYPE = "invalid_type": Malformed;
    /// The query string of a tracking call cannot be read as parameters.
    INVALID_QUERY = "invalid_query": Malformed;
    /// The batch has more events than a request may have. Send several batches.
    TOO_MANY_EVENTS = "too_many_events": TooLarge;
    /// The event, or the query string of a tracking call, is larger than the server takes.
    EVENT_TOO_LARGE = "event_too_large": TooLarge;
}

/// What can be wrong with one event, for the documentation: the code in `errors` and `rejected`, and its meaning.
pub const FAULTS: &[(&str, &str)] = &[
    ("malformed_json", "the line is not JSON; the detail names line and column"),
    ("wrong_type", "a member, or the event itself, is of another JSON type than it must be"),
    ("missing", "`type` is not there"),
    ("invalid_type", "a type is 1 to 255 characters, without white space or control characters"),
    ("invalid_length", "`id` and `device_id` have 1 to 255 characters"),
    ("invalid_instant", "`at` is an RFC 3339 instant"),
    ("invalid_ip", "`ip` is an IPv4 or IPv6 address"),
    ("too_long", "`user_agent` is longer than it may be"),
    ("unknown_call", "a Segment call is `track`, `identify`, `page`, `screen`, `group` or `alias`"),
    ("other_key", "a PostHog event names another key than the request that it came with"),
    ("not_with_write_key", "only a secret key may say on whose behalf it speaks (`ip`, `user_agent`)"),
    ("unknown_member", "an event has no such member; everything of your own goes into `params`"),
    ("event_too_large", "the event has more bytes than `http.event_bytes`"),
    ("too_deep", "more than 32 levels of arrays and objects in `params`"),
    ("too_many_members", "more than 1,000 members in one object, or elements in one array"),
    ("duplicate_key", "two keys of one object are the same"),
    ("lone_surrogate", "half of a UTF-16 pair stands alone (`\\ud800`)"),
    ("nul_character", "a NUL character, which databases downstream cannot keep"),
    ("number_out_of_range", "a number that no 64-bit float holds, or of more than 400 characters"),
];

/// Nesting levels and members of an event's parameters. The event itself is one level more.
pub const JSON_LIMITS: Limits = Limits { depth: 32, members: 1_000 };
/// Events of one request.
pub const MAX_EVENTS: usize = 100_000;
const TEXT_MAX_CHARS: usize = 255;
const USER_AGENT_MAX_BYTES: usize = 2_048;

/// An event as it came, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Incoming<'a> {
    pub event_type: Cow<'a, str>,
    /// The parameters' text, a JSON object; `None` if there are none.
    pub params: Option<&'a str>,
    pub at: Option<Millis>,
    pub device_id: Option<Cow<'a, str>>,
    pub id: Option<Cow<'a, str>>,
    /// On whose behalf a server speaks.
    pub ip: Option<IpAddr>,
    pub user_agent: Option<Cow<'a, str>>,
    /// `$geoip_disable`: no place is looked up.
    pub no_geoip: bool,
}

/// Reads one event where `reader` stands.
///
/// # Errors
/// Outer: the text is no JSON, reading ends. Inner: this event is refused, reading can go on.
pub fn read_event<'a>(
    reader: &mut Reader<'a>,
    may_speak_for_others: bool,
) -> Result<Result<Incoming<'a>, Fault>, Syntax> {
    if reader.peek() != Some(Kind::Object) {
        reader.value()?;
        return Ok(Err(fault("", "wrong_type", "an event is an object: {\"type\": …, \"params\": {…}}")));
    }
    let mut event = Incoming::default();
    let mut refused = None;
    let own_flaw = reader.object(|key, value| {
        let taken = take_member(&mut event, &key, value, may_speak_for_others);
        if let (Err(fault), None) = (taken, &refused) {
            refused = Some(fault);
        }
    })?;
    let flaw = own_flaw.map(|flaw| fault(&flaw.pointer, flaw.code, flaw.detail));
    if let Some(fault) = flaw.or(refused) {
        return Ok(Err(fault));
    }
    if event.event_type.is_empty() {
        return Ok(Err(fault("/type", "missing", "an event needs a `type`")));
    }
    Ok(Ok(event))
}

fn take_member<'a>(
    event: &mut Incoming<'a>,
    key: &str,
    value: Raw<'a>,
    may_speak_for_others: bool,
) -> Result<(), Fault> {
    if let Some(flaw) = &value.flaw {
        return Err(fault(&format!("/{}{}", escaped(key), flaw.pointer), flaw.code, &*flaw.detail));
    }
    // An absent member and one that is null are the same, but for the type.
    if value.kind == Kind::Null && key != "type" {
        return Ok(());
    }
    match key {
        "type" => {
            let text = text(key, &value)?;
            check_type(&text).map_err(|detail| fault("/type", "invalid_type", detail))?;
            event.event_type = text;
        }
        "params" => {
            if value.kind != Kind::Object {
                return Err(fault("/params", "wrong_type", "`params` is an object"));
            }
            event.no_geoip = value.text.contains("$geoip_disable") && disables_geoip(value.text);
            event.params = Some(value.text);
        }
        "at" => {
            let text = text(key, &value)?;
            let at = time::parse(&text).ok_or_else(|| {
                fault(
                    "/at",
                    "invalid_instant",
                    "`at` is an RFC 3339 instant such as 2026-01-31T12:00:00.000Z",
                )
            })?;
            event.at = Some(at);
        }
        "id" => event.id = Some(short_text(key, &value)?),
        "device_id" => event.device_id = Some(short_text(key, &value)?),
        "ip" | "user_agent" if !may_speak_for_others => {
            let detail = "only a secret key may say on whose behalf it speaks; a write key's own address and agent count";
            return Err(fault(&format!("/{key}"), "not_with_write_key", detail));
        }
        "ip" => {
            let text = text(key, &value)?;
            let ip =
                text.parse().map_err(|_| fault("/ip", "invalid_ip", "`ip` is an IPv4 or IPv6 address"))?;
            event.ip = Some(ip);
        }
        "user_agent" => {
            let text = text(key, &value)?;
            if !is_agent(&text) {
                return Err(fault(
                    "/user_agent",
                    "too_long",
                    format!("`user_agent` may have {USER_AGENT_MAX_BYTES} bytes"),
                ));
            }
            event.user_agent = Some(text);
        }
        _ => {
            let detail = "an event has `type`, `params`, `at`, `device_id`, `id`, `ip` and `user_agent`; everything of your own goes into `params`";
            return Err(fault(&format!("/{}", escaped(key)), "unknown_member", detail));
        }
    }
    Ok(())
}

/// An event's type: 1–255 characters, without white space or control characters.
///
/// # Errors
/// What is wrong, in words.
pub fn check_type(text: &str) -> Result<(), String> {
    let chars = text.chars().count();
    if !(1..=TEXT_MAX_CHARS).contains(&chars) {
        return Err(format!("a type has 1 to {TEXT_MAX_CHARS} characters; this one has {chars}"));
    }
    match text.chars().position(|c| c.is_whitespace() || c.is_control()) {
        None => Ok(()),
        Some(at) => {
            Err(format!("a type has no white space and no control characters; character {} is one", at + 1))
        }
    }
}

pub(crate) fn text<'a>(key: &str, value: &Raw<'a>) -> Result<Cow<'a, str>, Fault> {
    value.string().ok_or_else(|| fault(&format!("/{key}"), "wrong_type", format!("`{key}` is a string")))
}

fn short_text<'a>(key: &str, value: &Raw<'a>) -> Result<Cow<'a, str>, Fault> {
    let text = text(key, value)?;
    check_length(key, &text)?;
    Ok(text)
}

/// Whether an id has the length that ids have.
pub(crate) fn check_length(key: &str, id: &str) -> Result<(), Fault> {
    if !id.is_empty() && id.chars().count() <= TEXT_MAX_CHARS {
        return Ok(());
    }
    let detail = format!("`{key}` has 1 to {TEXT_MAX_CHARS} characters");
    Err(fault(&format!("/{key}"), "invalid_length", detail))
}

/// Whether a user agent is short enough to be looked at.
pub(crate) fn is_agent(text: &str) -> bool {
    text.len() <= USER_AGENT_MAX_BYTES
}

/// Whether the parameters say `"$geoip_disable": true` at their top level, as PostHog's libraries do.
fn disables_geoip(params: &str) -> bool {
    let mut found = false;
    let _ = Reader::new(params, JSON_LIMITS).object(|key, value| {
        found |= key == "$geoip_disable" && value.truth() == Some(true);
    });
    found
}

pub(crate) fn fault(pointer: &str, code: &'static str, detail: impl Into<String>) -> Fault {
    Fault { pointer: pointer.to_owned(), code, detail: detail.into() }
}

/// A member's name as a part of a JSON pointer (RFC 6901), cut where it gets long.
pub(crate) fn escaped(key: &str) -> String {
    let short: String = key.chars().take(80).collect();
    short.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Incoming<'_>, (String, String)> {
        let mut reader = Reader::new(text, JSON_LIMITS);
        match read_event(&mut reader, true) {
            Ok(Ok(event)) => Ok(event),
            Ok(Err(fault)) => Err((fault.code.into(), fault.pointer)),
            Err(syntax) => Err(("syntax".into(), syntax.to_string())),
        }
    }

    #[test]
    fn an_event_is_taken_as_it_came() {
        let event = read(r#"{"type":"app_open","params":{"a": [1, 2.50]},"at":"2026-01-31T12:00:00+01:00","id":"x","device_id":null}"#).unwrap();
        assert_eq!(event.event_type, "app_open");
        assert_eq!(event.params, Some(r#"{"a": [1, 2.50]}"#));
        assert_eq!(event.at, time::parse("2026-01-31T11:00:00Z"));
        assert_eq!((event.id.as_deref(), event.device_id, event.no_geoip), (Some("x"), None, false));
        assert!(read(r#"{"type":"x","params":{"$geoip_disable":true}}"#).unwrap().no_geoip);
        assert!(!read(r#"{"type":"x","params":{"n":{"$geoip_disable":true}}}"#).unwrap().no_geoip);
    }

    #[test]
    fn each_fault_has_its_code_and_its_place() {
        let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(256));
        for (text, code, pointer) in [
            ("[]", "wrong_type", ""),
            ("{}", "missing", "/type"),
            (r#"{"type":""}"#, "invalid_type", "/type"),
            (r#"{"type":"a b"}"#, "invalid_type", "/type"),
            (r#"{"type":7}"#, "wrong_type", "/type"),
            (long.as_str(), "invalid_type", "/type"),
            (r#"{"type":"x","params":[]}"#, "wrong_type", "/params"),
            (r#"{"type":"x","at":"yesterday"}"#, "invalid_instant", "/at"),
            (r#"{"type":"x","parms":{}}"#, "unknown_member", "/parms"),
            (r#"{"type":"x","a/b":{}}"#, "unknown_member", "/a~1b"),
            (r#"{"type":"x","ip":"here"}"#, "invalid_ip", "/ip"),
            (r#"{"type":"x","id":""}"#, "invalid_length", "/id"),
            (r#"{"type":"x","type":"y"}"#, "duplicate_key", "/type"),
            (r#"{"type":"x","params":{"a":{"b":"\ud800"}}}"#, "lone_surrogate", "/params/a/b"),
        ] {
            assert_eq!(read(text), Err((code.into(), pointer.into())), "{text}");
        }
    }
}
