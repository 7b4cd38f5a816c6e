//! PostHog's events, as its libraries send them (<https://posthog.com/docs/api/capture>).
//!
//! | Of the event | Becomes |
//! |---|---|
//! | `event` | the type; the name as it was is the parameter `event` |
//! | `uuid`, else the property `$insert_id` | the event's id, so that a retry does not count twice |
//! | `timestamp` | `at`, corrected by `sent_at`; it stays a parameter |
//! | `offset` where there is no `timestamp` | `at`: so many milliseconds before the receipt |
//! | `distinct_id`, also among the properties | `device_id`; it stays a parameter |
//! | the properties `$ip` and `$raw_user_agent` | the speaker's, with a secret key; they stay parameters |
//! | the property `$geoip_disable` | no place is looked up |
//! | `properties` | the parameters, member by member |
//! | `api_key`, `token`, also among the properties | nothing |
//! | anything else | a parameter of its name |

use super::{
    INVALID_ENVELOPE, MEMBER_LIMITS, Members, Sender, flaw_of, id, instant, params::Params, take_event,
};
use crate::{
    query,
    rules::{self, Incoming, JSON_LIMITS, MALFORMED_JSON},
};
use angarium_base::{
    Result as BaseResult,
    clock::Millis,
    error::Fault,
    json::{Kind, Raw, Reader, Syntax},
};
use base64::Engine as _;
use std::borrow::Cow;

/// A body, taken apart as far as it must be before its sender is known.
#[derive(Debug, Default, PartialEq)]
pub struct Body<'a> {
    /// Each key, and where it stands. Of events that name keys themselves, the first one's.
    pub keys: Vec<(&'static str, Cow<'a, str>)>,
    pub sent_at: Option<Millis>,
    /// The text of the one event, or of the array of events.
    pub events: &'a str,
}

/// What a request sent as its events, unpacked.
#[derive(Debug, PartialEq)]
pub struct Document<'a> {
    pub text: Cow<'a, str>,
    /// The keys in the form around it.
    pub keys: Vec<String>,
}

/// The document in `sent`, a body or a query string: JSON is itself; otherwise it is a form whose `data` is JSON or
/// base64 of it, as old libraries for browsers send it.
///
/// # Errors
/// `invalid_envelope` when there is no document in it.
pub fn document(sent: &str) -> BaseResult<Document<'_>> {
    if is_json(sent) {
        return Ok(Document { text: Cow::Borrowed(sent), keys: Vec::new() });
    }
    let (mut data, mut keys) = (None, Vec::new());
    for (name, value) in pairs(sent)? {
        match &*name {
            "data" => data = Some(value),
            "api_key" | "token" => keys.push(value.into_owned()),
            _ => {}
        }
    }
    let Some(data) = data.filter(|data| !data.is_empty()) else {
        let detail = "there is no event: send {\"api_key\", \"batch\": […]}, an event, or `data=` with one";
        return Err(INVALID_ENVELOPE.err(detail));
    };
    if is_json(&data) {
        return Ok(Document { text: data, keys });
    }
    let unreadable = || INVALID_ENVELOPE.err("`data` is JSON, or base64 of JSON");
    // A `+` that nobody encoded has become a space on the way.
    let packed = data.trim().replace(' ', "+");
    let bytes = BASE64.decode(packed).map_err(|_| unreadable())?;
    Ok(Document { text: String::from_utf8(bytes).map_err(|_| unreadable())?.into(), keys })
}

/// What the query of a request says; its events may be in it too, or in the body.
#[derive(Debug, Default, PartialEq)]
pub struct Query {
    pub keys: Vec<String>,
    /// `_` or `sent_at`, in milliseconds, as browsers' libraries of some years send it.
    pub sent_at: Option<Millis>,
}

/// # Errors
/// `invalid_envelope` when it cannot be read as parameters.
pub fn read_query(raw: &str) -> BaseResult<Query> {
    let mut query = Query::default();
    for (name, value) in pairs(raw)? {
        match &*name {
            "api_key" | "token" => query.keys.push(value.into_owned()),
            "_" | "sent_at" => query.sent_at = value.parse().ok().or(query.sent_at),
            _ => {}
        }
    }
    Ok(query)
}

fn is_json(text: &str) -> bool {
    text.trim_ascii_start().starts_with(['{', '['])
}

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

fn pairs(raw: &str) -> BaseResult<Pairs<'_>> {
    query::pairs(raw).map_err(|e| INVALID_ENVELOPE.err(e.message().to_owned()))
}

/// With or without padding.
const BASE64: base64::engine::GeneralPurpose = base64::engine::GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    base64::engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// Takes a document apart. All of it is checked to be JSON.
///
/// # Errors
/// `malformed_json`; `invalid_envelope` when there is neither an event nor a batch.
pub fn read_body(text: &str) -> BaseResult<Body<'_>> {
    let mut reader = Reader::new(text, JSON_LIMITS);
    let mut body = Body { events: text.trim_ascii(), ..Body::default() };
    let kind = reader.peek();
    let read = match kind {
        Some(Kind::Object) => read_object(&mut reader, &mut body),
        Some(Kind::Array) => first_of(&mut reader).map(|first| {
            body.keys = first.map(keys_of_event).unwrap_or_default();
            None
        }),
        _ => reader.value().map(|_| None),
    };
    let flaw =
        read.and_then(|flaw| reader.end().map(|()| flaw)).map_err(|e| MALFORMED_JSON.err(e.to_string()))?;
    if !matches!(kind, Some(Kind::Object | Kind::Array)) {
        return Err(
            INVALID_ENVELOPE.err("the body is an event, an array of events, or an object with a `batch`")
        );
    }
    if body.is_batch(text) {
        flaw_of(flaw)?;
    }
    Ok(body)
}

impl Body<'_> {
    fn is_batch(&self, text: &str) -> bool {
        self.events.len() < text.trim_ascii().len()
    }
}

type ObjectFlaw = Option<Box<angarium_base::json::Flaw>>;

/// An event, or an object with a batch of them.
fn read_object<'a>(reader: &mut Reader<'a>, body: &mut Body<'a>) -> Result<ObjectFlaw, Syntax> {
    let (mut properties, mut batch) = (None, None);
    let flaw = reader.object(|name, value| match &*name {
        "api_key" | "token" => push_key(&mut body.keys, &name, &value),
        "sent_at" => body.sent_at = instant(&value),
        "batch" if value.kind == Kind::Array => batch = Some(value.text),
        "properties" => properties = Some(value.text),
        _ => {}
    })?;
    let inner = match batch {
        Some(events) => {
            body.events = events;
            let first = first_of(&mut Reader::new(events, JSON_LIMITS))?;
            first.map(keys_of_event)
        }
        None => properties.map(|properties| keys_of(properties, "`token` among the properties")),
    };
    // Those of events count where the request says none.
    if body.keys.is_empty() {
        body.keys = inner.unwrap_or_default();
    }
    Ok(flaw)
}

fn push_key<'a>(keys: &mut Vec<(&'static str, Cow<'a, str>)>, name: &str, value: &Raw<'a>) {
    let place = if name == "token" { "`token` in the body" } else { "`api_key` in the body" };
    keys.extend(value.string().filter(|key| !key.is_empty()).map(|key| (place, key)));
}

/// The text of an array's first element. The array is read to its end.
fn first_of<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>, Syntax> {
    let mut first = None;
    reader.array(|reader| {
        let value = reader.value()?;
        first.get_or_insert(value.text);
        Ok(())
    })?;
    Ok(first)
}

fn keys_of_event(event: &str) -> Vec<(&'static str, Cow<'_, str>)> {
    let (mut own, mut properties) = (Vec::new(), None);
    // What is no object has no keys, and is refused when the events are read.
    let _ = Reader::new(event, JSON_LIMITS).object(|name, value| match &*name {
        "api_key" | "token" => push_key(&mut own, &name, &value),
        "properties" => properties = Some(value.text),
        _ => {}
    });
    match properties {
        Some(properties) if own.is_empty() => keys_of(properties, "`token` among the properties"),
        _ => own,
    }
}

fn keys_of<'a>(properties: &'a str, place: &'static str) -> Vec<(&'static str, Cow<'a, str>)> {
    let mut keys = Vec::new();
    let _ = Reader::new(properties, JSON_LIMITS).object(|name, value| {
        if name == "token" {
            keys.extend(value.string().filter(|key| !key.is_empty()).map(|key| (place, key)));
        }
    });
    keys
}

/// Reads one event where `reader` stands, and writes its parameters into `params`. The event that comes back is without
/// them, as they are the caller's.
///
/// # Errors
/// Outer: the text is no JSON, reading ends. Inner: this event is refused, reading can go on.
pub fn read_event<'a>(
    reader: &mut Reader<'a>,
    sender: &Sender<'_>,
    params: &mut String,
) -> Result<Result<Incoming<'a>, Fault>, Syntax> {
    Ok(Members::read(reader)?.and_then(|members| event(members, sender, params)))
}

/// A reader for the text of events, as deep as an event may be.
pub fn reader(events: &str) -> Reader<'_> {
    Reader::new(events, MEMBER_LIMITS)
}

fn event<'a>(
    mut members: Members<'a>,
    sender: &Sender<'_>,
    params: &mut String,
) -> Result<Incoming<'a>, Fault> {
    let (event_type, name) = take_event(&mut members)?;
    let mut event = Incoming { event_type, ..Incoming::default() };
    for key in ["api_key", "token"] {
        let own = members.take(key).and_then(|value| value.string());
        let other = own.is_some_and(|own| !own.is_empty() && own != sender.key);
        if other {
            let detail = "this event names another key than the request it came with; send it by itself";
            return Err(rules::fault(&format!("/{key}"), "other_key", detail));
        }
    }
    let sent_at = members.take("sent_at").and_then(|value| instant(&value)).or(sender.sent_at);
    let properties = members.take("properties");
    let said = properties.as_ref().map(said_in_properties).transpose()?;
    let said = said.unwrap_or_default();
    event.id = members.take_id("uuid")?.or(said.insert_id);
    event.at = match members.get("timestamp") {
        Some(timestamp) => instant(timestamp).map(|at| sender.corrected(at, sent_at)),
        None => members.get("offset").and_then(|offset| before(sender.received_at, offset)),
    };
    event.device_id = members.id("distinct_id")?.or(said.distinct_id);
    if sender.speaks_for_others {
        event.ip = said.ip.and_then(|ip| ip.parse().ok());
        event.user_agent = said.user_agent.filter(|agent| rules::is_agent(agent));
    }
    let mut params = Params::open(params);
    params.add("event".into(), name);
    for (name, value) in members.0 {
        params.add(name, value.text);
    }
    if let Some(properties) = properties {
        event.no_geoip = params.add_all_of("properties", &properties, sender.key)?.no_geoip;
    }
    params.close()?;
    Ok(event)
}

/// `offset` milliseconds before `at`; browsers send it because only their own clock's differences can be trusted.
fn before(at: Millis, offset: &Raw<'_>) -> Option<Millis> {
    let offset: f64 = offset.text.parse().ok()?;
    // Saturates, and NaN is not JSON.
    Some(at.saturating_sub(offset as i64))
}

/// What properties say that is more than a parameter.
#[derive(Default)]
struct Said<'a> {
    distinct_id: Option<Cow<'a, str>>,
    insert_id: Option<Cow<'a, str>>,
    ip: Option<Cow<'a, str>>,
    user_agent: Option<Cow<'a, str>>,
}

fn said_in_properties<'a>(value: &Raw<'a>) -> Result<Said<'a>, Fault> {
    let (mut said, mut refused) = (Said::default(), None);
    let mut keep = |place: &mut Option<Cow<'a, str>>, name: &str, value: &Raw<'a>| match id(name, value) {
        Ok(id) => *place = id,
        Err(mut fault) => {
            fault.pointer.insert_str(0, "/properties");
            refused.get_or_insert(fault);
        }
    };
    // It was checked when the event was read; only what is no object ends this, and is refused as such.
    let _ = Reader::new(value.text, MEMBER_LIMITS).object(|name, value| match &*name {
        _ if value.kind == Kind::Null => {}
        "distinct_id" => keep(&mut said.distinct_id, &name, &value),
        "$insert_id" => keep(&mut said.insert_id, &name, &value),
        "$ip" => said.ip = value.string(),
        "$raw_user_agent" => said.user_agent = value.string(),
        _ => {}
    });
    refused.map_or(Ok(said), Err)
}
