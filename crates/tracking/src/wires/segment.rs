//! Segment's calls (<https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/>).
//!
//! | Of the call | Becomes |
//! |---|---|
//! | `event` of `track`, else the call's kind | the type; the name as it was is the parameter `event` |
//! | `messageId` | the event's id, so that a retry does not count twice |
//! | `originalTimestamp`, else `timestamp` | `at`, corrected by `sentAt`; as it was, the parameter `originalTimestamp` |
//! | `anonymousId`, else `context.device.id`, else `userId` | `device_id`; all stay parameters |
//! | `context.ip`, `context.userAgent` | the speaker's, with a secret key; they stay parameters |
//! | `properties`, of `identify` and `group` `traits` | the parameters, member by member |
//! | `writeKey` | nothing |
//! | anything else | a parameter of its name |

use super::{
    INVALID_ENVELOPE, MEMBER_LIMITS, Members, Sender, flaw_of, id, instant, params::Params, take_event,
};
use crate::{
    query,
    rules::{self, INVALID_QUERY, Incoming, JSON_LIMITS, MALFORMED_JSON},
};
use angarium_base::{
    Result as BaseResult,
    clock::Millis,
    error::Fault,
    json::{self, Raw, Reader, Syntax, escape_into},
};
use std::borrow::Cow;

/// Bytes of one call, and of a request: Segment's own limits, which its libraries keep to.
pub const CALL_BYTES: usize = 32 << 10;
pub const BODY_BYTES: usize = 500 << 10;

/// What a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Track,
    Identify,
    Page,
    Screen,
    Group,
    Alias,
}

impl Kind {
    const ALL: [Kind; 6] = [Kind::Track, Kind::Identify, Kind::Page, Kind::Screen, Kind::Group, Kind::Alias];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Track => "track",
            Kind::Identify => "identify",
            Kind::Page => "page",
            Kind::Screen => "screen",
            Kind::Group => "group",
            Kind::Alias => "alias",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The member whose members become parameters.
    fn holder(self) -> &'static str {
        match self {
            Kind::Identify | Kind::Group => "traits",
            _ => "properties",
        }
    }
}

/// What a request is for, by the last segment of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    One(Kind),
    /// Each call names its kind.
    Batch,
}

impl Takes {
    /// `track`, or `t` as Segment's libraries for browsers and phones abbreviate it.
    pub fn named(name: &str) -> Option<Takes> {
        match name {
            "batch" | "import" | "b" => Some(Takes::Batch),
            name => {
                let is_short = |kind: &Kind| name.len() == 1 && kind.as_str().starts_with(name);
                let short = || Kind::ALL.into_iter().find(is_short);
                Kind::named(name).or_else(short).map(Takes::One)
            }
        }
    }
}

/// A body, taken apart as far as it must be before its sender is known.
#[derive(Debug, PartialEq)]
pub struct Body<'a> {
    pub write_key: Option<Cow<'a, str>>,
    pub sent_at: Option<Millis>,
    /// The text of the one call, or of the array of calls.
    pub calls: &'a str,
}

/// Takes a body apart. All of it is checked to be JSON.
///
/// # Errors
/// `malformed_json`; `invalid_envelope` when it is no object or has no batch.
pub fn read_body(text: &str, takes: Takes) -> BaseResult<Body<'_>> {
    let mut reader = Reader::new(text, JSON_LIMITS);
    let syntax = |e: Syntax| MALFORMED_JSON.err(e.to_string());
    if reader.peek() != Some(json::Kind::Object) {
        reader.value().map_err(syntax)?;
        reader.end().map_err(syntax)?;
        return Err(INVALID_ENVELOPE.err("the body is an object: a call, or {\"batch\": [calls]}"));
    }
    let mut body = Body { write_key: None, sent_at: None, calls: text };
    let mut batch = None;
    let flaw = reader
        .object(|name, value| match &*name {
            "writeKey" => body.write_key = value.string().filter(|key| !key.is_empty()),
            "sentAt" if takes == Takes::Batch => body.sent_at = instant(&value),
            // Its own flaws are those of its calls, which are read one by one.
            "batch" if value.kind == json::Kind::Array => batch = Some(value.text),
            _ => {}
        })
        .map_err(syntax)?;
    reader.end().map_err(syntax)?;
    if takes == Takes::Batch {
        flaw_of(flaw)?;
        let missing = || INVALID_ENVELOPE.err("the body needs a `batch`, an array of calls");
        body.calls = batch.ok_or_else(missing)?;
    }
    Ok(body)
}

/// The key and the call in a pixel's query string, the call as JSON: `properties.NAME` is a member of `properties`, and
/// all values are strings.
///
/// # Errors
/// `invalid_query` when it cannot be read as parameters.
pub fn call_in_query(raw: &str) -> BaseResult<(Option<String>, String)> {
    let pairs = query::pairs(raw).map_err(|e| INVALID_QUERY.err(e.message().to_owned()))?;
    let (mut key, mut members, mut properties) = (None, String::new(), String::new());
    for (name, value) in pairs {
        if name == "writeKey" {
            key = Some(value.into_owned());
            continue;
        }
        let (object, name) = match name.strip_prefix("properties.") {
            Some(name) => (&mut properties, name),
            None => (&mut members, &*name),
        };
        push_member(object, name, &value);
    }
    if !properties.is_empty() {
        let between = if members.is_empty() { "" } else { "," };
        members.push_str(&format!("{between}\"properties\":{{{properties}}}"));
    }
    Ok((key, format!("{{{members}}}")))
}

fn push_member(object: &mut String, name: &str, value: &str) {
    if !object.is_empty() {
        object.push(',');
    }
    escape_into(object, name);
    object.push(':');
    escape_into(object, value);
}

/// Reads one call where `reader` stands, and writes its parameters into `params`. The event that comes back is without
/// them, as they are the caller's.
///
/// # Errors
/// Outer: the text is no JSON, reading ends. Inner: this call is refused, reading can go on.
pub fn read_call<'a>(
    reader: &mut Reader<'a>,
    takes: Takes,
    sender: &Sender<'_>,
    params: &mut String,
) -> Result<Result<Incoming<'a>, Fault>, Syntax> {
    Ok(Members::read(reader)?.and_then(|members| event(members, takes, sender, params)))
}

/// A reader for the text of calls, as deep as a call may be.
pub fn reader(calls: &str) -> Reader<'_> {
    Reader::new(calls, MEMBER_LIMITS)
}

fn event<'a>(
    mut members: Members<'a>,
    takes: Takes,
    sender: &Sender<'_>,
    params: &mut String,
) -> Result<Incoming<'a>, Fault> {
    let kind = match takes {
        Takes::One(kind) => {
            members.take("type");
            kind
        }
        Takes::Batch => kind_of(members.take("type"))?,
    };
    let mut params = Params::open(params);
    let mut event = Incoming { event_type: kind.as_str().into(), ..Incoming::default() };
    if kind == Kind::Track {
        let (event_type, name) = take_event(&mut members)?;
        event.event_type = event_type;
        params.add("event".into(), name);
    }
    event.id = members.take_id("messageId")?;
    members.take("writeKey");
    let sent_at = members.take("sentAt").and_then(|value| instant(&value)).or(sender.sent_at);
    if let Some(original) = members.take("originalTimestamp").or_else(|| members.take("timestamp")) {
        event.at = instant(&original).map(|at| sender.corrected(at, sent_at));
        params.add("originalTimestamp".into(), original.text);
    }
    let context = members.get("context").map(said_in_context).unwrap_or_default();
    event.device_id = match members.id("anonymousId")? {
        Some(anonymous) => Some(anonymous),
        None => context.device_id.map_or_else(|| members.id("userId"), |id| Ok(Some(id)))?,
    };
    if sender.speaks_for_others {
        event.ip = context.ip.and_then(|ip| ip.parse().ok());
        event.user_agent = context.user_agent.filter(|agent| rules::is_agent(agent));
    }
    let holder = members.take(kind.holder());
    for (name, value) in members.0 {
        params.add(name, value.text);
    }
    if let Some(holder) = holder {
        event.no_geoip = params.add_all_of(kind.holder(), &holder, sender.key)?.no_geoip;
    }
    params.close()?;
    Ok(event)
}

fn kind_of(value: Option<Raw<'_>>) -> Result<Kind, Fault> {
    let Some(value) = value else {
        return Err(rules::fault("/type", "missing", "a call of a batch needs its `type`, such as `track`"));
    };
    let name = rules::text("type", &value)?;
    Kind::named(&name).ok_or_else(|| {
        let detail = "`type` is one of `track`, `identify`, `page`, `screen`, `group` and `alias`";
        rules::fault("/type", "unknown_call", detail)
    })
}

/// What a call's `context` says of who speaks. What is not as it should be is not said: it is kept all the same.
#[derive(Default)]
struct Context<'a> {
    ip: Option<Cow<'a, str>>,
    user_agent: Option<Cow<'a, str>>,
    device_id: Option<Cow<'a, str>>,
}

fn said_in_context<'a>(value: &Raw<'a>) -> Context<'a> {
    let mut said = Context::default();
    // It was checked when the call was read; only what is no object ends this, with nothing said.
    let _ = Reader::new(value.text, MEMBER_LIMITS).object(|name, value| match &*name {
        "ip" => said.ip = value.string(),
        "userAgent" => said.user_agent = value.string(),
        "device" => {
            let _ = Reader::new(value.text, MEMBER_LIMITS).object(|name, value| {
                if name == "id" {
                    said.device_id = id("id", &value).ok().flatten();
                }
            });
        }
        _ => {}
    });
    said
}
