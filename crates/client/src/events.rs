//! Tracking events, one at a time or by the batch, and what became of them.

use crate::{
    Client, Error, Page, Result,
    error::Problem,
    transport::{CALL_TIMEOUT, Call, duration_text},
};
use bytes::Bytes;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;

/// A fact to be tracked. What is `None` is not sent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Event {
    #[serde(rename = "type")]
    pub event_type: String,
    /// Names the event for the caller: a second one with the same id is a duplicate and is not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When it happened, RFC 3339 with any offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// On whose behalf it is sent; takes a secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// With which agent that one spoke; takes a secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// A JSON object of whatever belongs to the fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Box<RawValue>>,
}

/// What became of a batch of events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    pub accepted: u64,
    /// Events whose id the server has already seen.
    #[serde(default)]
    pub duplicates: u64,
    #[serde(default)]
    pub rejected: Vec<Rejection>,
}

/// One event that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Its place in the batch, from 0.
    pub index: usize,
    pub code: String,
    pub detail: String,
    /// RFC 6901 JSON pointer of the faulty place within the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

/// Which events of an app to list; what is `None` is not asked for.
#[derive(Clone, Debug, Default)]
pub struct ListEvents {
    /// Only those of this type.
    pub event_type: Option<String>,
    /// Received at or after this instant, RFC 3339.
    pub from: Option<String>,
    /// Received before this instant, RFC 3339.
    pub to: Option<String>,
    /// The cursor to go on after: `next` of a page.
    pub after: Option<String>,
    /// 1 to 1000.
    pub limit: Option<u32>,
}

/// Which counts of events to show; what is `None` is as the server has it: the last hour by the minute.
#[derive(Clone, Debug, Default)]
pub struct ShowEventStats {
    /// A number of whole minutes, up to a day.
    pub step: Option<Duration>,
    /// RFC 3339.
    pub from: Option<String>,
    /// RFC 3339.
    pub to: Option<String>,
}

/// How many events of each type there were in each step of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventStats {
    /// How long a step is, such as `1m`.
    pub step: String,
    /// The oldest first; steps without events are not there.
    pub items: Vec<EventCount>,
    /// Whether there was more: ask for a shorter time or a longer step.
    pub truncated: bool,
}

/// The events of one type in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCount {
    /// The step's first instant.
    pub at: String,
    /// Of the events.
    #[serde(rename = "type")]
    pub event_type: String,
    /// How many there were.
    pub count: u64,
}

impl Event {
    pub fn new(event_type: impl Into<String>) -> Event {
        Event { event_type: event_type.into(), ..Event::default() }
    }

    /// Sets the parameters, anything that serializes to a JSON object. Error: it does not serialize.
    pub fn with_params(mut self, params: &impl Serialize) -> Result<Event> {
        let params = serde_json::value::to_raw_value(params);
        self.params = Some(params.map_err(|error| Error::Setup(format!("params are not JSON: {error}")))?);
        Ok(self)
    }

    pub fn with_id(mut self, id: impl Into<String>) -> Event {
        self.id = Some(id.into());
        self
    }

    /// Gives it a random id, so that sending it can be repeated without counting it twice.
    pub fn with_new_id(self) -> Event {
        self.with_id(format!("cli_{:032x}", fastrand::u128(..)))
    }
}

impl Client {
    /// Sends events in one request, and returns when what was accepted is durable.
    ///
    /// Good events are kept and bad ones are named in [`Tracked::rejected`], also when all are bad: that is
    /// no error here. The request is repeated only if every event has an id. Errors: the server refused the
    /// request as a whole, could not be reached, or gave no readable answer.
    pub async fn track_events(&self, app: &str, events: &[Event]) -> Result<Tracked> {
        if events.is_empty() {
            return Ok(Tracked::default());
        }
        let call = Call {
            method: Method::POST,
            url: self.url(&["v1", "apps", app, "events"]),
            body: Some(("application/x-ndjson", ndjson(events)?)),
            timeout: CALL_TIMEOUT,
            idempotent: events.iter().all(|event| event.id.is_some()),
            once: None,
        };
        match self.answer(call).await {
            Ok(answer) => self.read(&answer),
            Err(Error::Refused(problem)) => {
                all_rejected(&problem, events.len()).ok_or(Error::Refused(problem))
            }
            Err(error) => Err(error),
        }
    }

    /// A page of the app's events as they are kept, the oldest first.
    pub async fn list_events(&self, app: &str, list: &ListEvents) -> Result<Page<Box<RawValue>>> {
        let mut url = self.url(&["v1", "apps", app, "events"]);
        for (name, value) in [
            ("type", list.event_type.clone()),
            ("from", list.from.clone()),
            ("to", list.to.clone()),
            ("after", list.after.clone()),
            ("limit", list.limit.map(|limit| limit.to_string())),
        ] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        self.get(url, Duration::ZERO).await
    }

    /// How many events of each type there were, step by step.
    pub async fn show_event_stats(&self, app: &str, show: &ShowEventStats) -> Result<EventStats> {
        let mut url = self.url(&["v1", "apps", app, "events", "stats"]);
        url.query_pairs_mut().append_pair("by", "type");
        let pairs =
            [("step", show.step.map(duration_text)), ("from", show.from.clone()), ("to", show.to.clone())];
        for (name, value) in pairs {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        self.get(url, Duration::ZERO).await
    }
}

fn ndjson(events: &[Event]) -> Result<Bytes> {
    let mut body = Vec::with_capacity(events.len() * 512);
    for event in events {
        serde_json::to_writer(&mut body, event).map_err(|error| Error::Setup(error.to_string()))?;
        body.push(b'\n');
    }
    Ok(body.into())
}

/// Reads the 422 that answers a batch in which nothing was acceptable.
fn all_rejected(problem: &Problem, sent: usize) -> Option<Tracked> {
    let rejected: Vec<Rejection> = serde_json::from_value(problem.more.get("rejected")?.clone()).ok()?;
    let duplicates = match problem.more.get("duplicates").and_then(serde_json::Value::as_u64) {
        Some(duplicates) => duplicates,
        None => sent.saturating_sub(rejected.len()) as u64,
    };
    Some(Tracked { accepted: 0, duplicates, rejected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_sent() {
        let event = Event::new("signup").with_params(&serde_json::json!({"n": 1})).unwrap();
        let body = ndjson(&[event.with_id("x"), Event::new("b")]).unwrap();
        assert_eq!(
            std::str::from_utf8(&body).unwrap(),
            "{\"type\":\"signup\",\"id\":\"x\",\"params\":{\"n\":1}}\n{\"type\":\"b\"}\n"
        );
    }
}
