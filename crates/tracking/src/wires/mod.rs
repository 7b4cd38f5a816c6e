//! What the libraries of other systems send, as events of ours. Pure: text in, events out.
//!
//! ```text
//! body ─▶ segment::read_body ──▶ key, sentAt, calls ──▶ segment::read_call ──┐
//!    └──▶ posthog::read_body ──▶ key, sent_at, events ─▶ posthog::read_event ┴▶ Incoming, and its params
//! ```
//!
//! Invariants: nothing of a call is lost: what has no place of its own in an event becomes a parameter ([`params`]);
//! a member that nobody knows is no fault here, other than on the native route, for these libraries grow members
//! without asking us; a key is never kept.

pub mod params;
pub mod posthog;
pub mod segment;

#[cfg(test)]
mod tests;

use crate::rules::{self, JSON_LIMITS};
use angarium_base::{
    clock::Millis,
    error::Fault,
    json::{Kind, Limits, Raw, Reader, Syntax},
    time,
};
use std::borrow::Cow;

angarium_base::codes! {
    /// The body of a Segment or PostHog request is JSON, and not what the path takes: a call, or an object with a `batch`. The detail says what is missing.
    INVALID_ENVELOPE = "invalid_envelope": Malformed;
    /// Nothing of a Segment or PostHog request could be kept; `rejected` names each fault. 400, which their libraries do not send again.
    NOTHING_KEPT = "nothing_kept": Malformed;
}

/// A member of a call becomes a member of `params`: one level deeper.
const MEMBER_LIMITS: Limits = Limits { depth: JSON_LIMITS.depth - 1, members: JSON_LIMITS.members };

/// What the calls of one request have in common.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    pub received_at: Millis,
    /// When the client says that it sent the request.
    pub sent_at: Option<Millis>,
    /// Whether an address and an agent in the call count as the speaker's.
    pub speaks_for_others: bool,
    pub key: &'a str,
}

impl Sender<'_> {
    /// When something happened that was `at` by the client's clock, which is wrong by as much as `sent_at` is.
    fn corrected(&self, at: Millis, sent_at: Option<Millis>) -> Millis {
        let skew = sent_at.map_or(0, |sent_at| self.received_at.saturating_sub(sent_at));
        at.saturating_add(skew)
    }
}

/// The members of a call that are not null, in their order.
struct Members<'a>(Vec<(Cow<'a, str>, Raw<'a>)>);

impl<'a> Members<'a> {
    /// Reads the object where `reader` stands.
    ///
    /// # Errors
    /// Outer: the text is no JSON. Inner: this call is refused, reading can go on.
    fn read(reader: &mut Reader<'a>) -> Result<Result<Members<'a>, Fault>, Syntax> {
        if reader.peek() != Some(Kind::Object) {
            reader.value()?;
            return Ok(Err(rules::fault("", "wrong_type", "a call is an object")));
        }
        let (mut members, mut refused) = (Vec::with_capacity(16), None);
        let own_flaw = reader.object(|key, value| match &value.flaw {
            Some(flaw) if refused.is_none() => {
                let pointer = format!("/{}{}", rules::escaped(&key), flaw.pointer);
                refused = Some(rules::fault(&pointer, flaw.code, &*flaw.detail));
            }
            Some(_) => {}
            // Libraries send null for what there is not.
            None if value.kind == Kind::Null => {}
            None => members.push((key, value)),
        })?;
        let flaw = own_flaw.map(|flaw| rules::fault(&flaw.pointer, flaw.code, flaw.detail));
        Ok(flaw.or(refused).map_or(Ok(Members(members)), Err))
    }

    fn get(&self, name: &str) -> Option<&Raw<'a>> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    fn take(&mut self, name: &str) -> Option<Raw<'a>> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.remove(at).1)
    }

    /// Takes the id of an event, by which it is known when it comes again.
    fn take_id(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        self.take(name).map_or(Ok(None), |value| id(name, &value))
    }

    /// The id of somebody or something; it stays a member.
    fn id(&self, name: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        self.get(name).map_or(Ok(None), |value| id(name, value))
    }
}

/// An id is text, or a number taken as text; an empty one is none.
fn id<'a>(name: &str, value: &Raw<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    let text = match value.kind {
        Kind::Number => Cow::Borrowed(value.text),
        _ => rules::text(name, value)?,
    };
    if text.is_empty() {
        return Ok(None);
    }
    rules::check_length(name, &text)?;
    Ok(Some(text))
}

/// The type of an event with this name: white space and control characters, which a type has not, become `_`.
fn type_of<'a>(name: &Cow<'a, str>) -> Result<Cow<'a, str>, Fault> {
    let name_of = |c: char| if c.is_whitespace() || c.is_control() { '_' } else { c };
    let plain = match name {
        Cow::Borrowed(name) if !name.contains(|c| name_of(c) != c) => Cow::Borrowed(*name),
        name => Cow::Owned(name.trim().chars().map(name_of).collect()),
    };
    rules::check_type(&plain).map_err(|detail| rules::fault("/event", "invalid_type", detail))?;
    Ok(plain)
}

/// Takes the name of an event: the type made of it, and the name's JSON text.
fn take_event<'a>(members: &mut Members<'a>) -> Result<(Cow<'a, str>, &'a str), Fault> {
    let Some(value) = members.take("event") else {
        return Err(rules::fault("/event", "missing", "this call needs the name of an `event`"));
    };
    let name = rules::text("event", &value)?;
    Ok((type_of(&name)?, value.text))
}

/// An instant as libraries write it: RFC 3339; without an offset it is UTC, and a date alone is its first moment.
/// What else stands there is no reason to lose an event: the instant counts as not given.
fn instant(value: &Raw<'_>) -> Option<Millis> {
    let text = value.string()?;
    let in_utc = || time::parse(&format!("{text}Z"));
    time::parse(&text).or_else(in_utc).or_else(|| time::parse(&format!("{text}T00:00:00Z")))
}

/// The first flaw of an envelope, in words.
fn flaw_of(flaw: Option<Box<angarium_base::json::Flaw>>) -> angarium_base::Result<()> {
    match flaw {
        None => Ok(()),
        Some(flaw) if flaw.pointer.is_empty() => Err(INVALID_ENVELOPE.err(flaw.detail)),
        Some(flaw) => Err(INVALID_ENVELOPE.err(format!("{} at {}", flaw.detail, flaw.pointer))),
    }
}
