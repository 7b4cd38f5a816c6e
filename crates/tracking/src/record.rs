//! An event as it is kept: one JSON object, written once, spliced into every answer as it is.
//!
//! `{"id","type","at","received_at","device_id"?,"params":{…},"query"?,"meta":{…}}`; `params` are the bytes
//! that came in, `query` the query string of a tracking call as it was sent.

use crate::{EVENTS, Tracker, enrich::Agent, rules::Incoming};
use angarium_base::{clock::Millis, id, json::escape_into, time};
use angarium_journal::{Batch, Journal, Stream};
use angarium_kit::http::address::{self, client_address};
use http::{header, request::Parts};
use std::{net::IpAddr, sync::Arc};

/// Where a request comes from: what its events have in common.
pub struct Origin {
    pub received_at: Millis,
    received_text: String,
    host: String,
    agent: Arc<Agent>,
    ip: IpAddr,
    truncate: bool,
    /// The `meta` object of an event that says nothing of its own, without and with a place.
    meta: Option<String>,
    meta_no_place: Option<String>,
}

impl Origin {
    pub fn new(tracker: &Tracker, parts: &Parts, peer: IpAddr, truncate: bool, now: Millis) -> Origin {
        let headers = &parts.headers;
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        // HTTP/2 has it in the URI (RFC 9113, 8.3.1).
        let host = parts.uri.host().unwrap_or_else(|| text(header::HOST));
        Origin {
            received_at: now,
            received_text: time::format(now),
            host: host_name(host).to_owned(),
            agent: tracker.agents.parse(text(header::USER_AGENT)),
            ip: client_address(peer, headers, &tracker.trusted),
            truncate,
            meta: None,
            meta_no_place: None,
        }
    }

    /// The `meta` object of `event`: the request's own, unless the event speaks for somebody else.
    fn push_meta(&mut self, out: &mut String, tracker: &Tracker, event: &Incoming<'_>) {
        if event.ip.is_some() || event.user_agent.is_some() {
            let agent = match &event.user_agent {
                Some(text) => tracker.agents.parse(text),
                None => self.agent.clone(),
            };
            out.push_str(&self.render_meta(tracker, &agent, event.ip.unwrap_or(self.ip), event.no_geoip));
            return;
        }
        let cached = if event.no_geoip { &self.meta_no_place } else { &self.meta };
        if let Some(meta) = cached {
            out.push_str(meta);
            return;
        }
        let meta = self.render_meta(tracker, &self.agent, self.ip, event.no_geoip);
        out.push_str(&meta);
        *(if event.no_geoip { &mut self.meta_no_place } else { &mut self.meta }) = Some(meta);
    }

    fn render_meta(&self, tracker: &Tracker, agent: &Agent, ip: IpAddr, no_place: bool) -> String {
        let (country, city) = if no_place {
            ("XX".into(), "XX".into())
        } else {
            let place = tracker.geo.lookup(ip);
            (place.country, place.city)
        };
        let ip = address::hex(if self.truncate { address::truncate(ip) } else { ip });
        let members = [
            ("type", agent.kind),
            ("browser", &agent.browser),
            ("engine", agent.engine),
            ("version", &agent.version),
            ("os", &agent.os),
            ("host", &self.host),
            ("ip", &ip),
            ("country", &country),
            ("city", &city),
        ];
        let mut out = String::with_capacity(200);
        for (name, value) in members {
            out.push(if out.is_empty() { '{' } else { ',' });
            escape_into(&mut out, name);
            out.push(':');
            escape_into(&mut out, value);
        }
        out.push('}');
        out
    }
}

/// Collects events into a batch for the stream [`EVENTS`].
pub struct Recorder<'a> {
    tracker: &'a Tracker,
    journal: &'a Journal,
    stream: &'a Stream,
    origin: Origin,
    pub batch: Batch,
    scratch: String,
}

impl<'a> Recorder<'a> {
    pub fn new(
        tracker: &'a Tracker,
        journal: &'a Journal,
        stream: &'a Stream,
        origin: Origin,
        bytes: usize,
    ) -> Recorder<'a> {
        debug_assert_eq!(stream.name(), EVENTS);
        Recorder {
            tracker,
            journal,
            stream,
            origin,
            batch: Batch::with_capacity(bytes),
            scratch: String::new(),
        }
    }

    /// Adds an event; `query` is the query string it came as, if it did.
    pub fn add(&mut self, event: &Incoming<'_>, query: Option<&str>) {
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        out.push_str("{\"id\":");
        match &event.id {
            Some(own) => escape_into(&mut out, own),
            None => {
                out.push_str("\"evt_");
                id::push_ulid(&mut out, self.origin.received_at);
                out.push('"');
            }
        }
        out.push_str(",\"type\":");
        escape_into(&mut out, &event.event_type);
        out.push_str(",\"at\":\"");
        match event.at {
            Some(at) => time::push(&mut out, at),
            None => out.push_str(&self.origin.received_text),
        }
        out.push_str("\",\"received_at\":\"");
        out.push_str(&self.origin.received_text);
        out.push('"');
        if let Some(device) = &event.device_id {
            out.push_str(",\"device_id\":");
            escape_into(&mut out, device);
        }
        out.push_str(",\"params\":");
        out.push_str(event.params.unwrap_or("{}"));
        if let Some(query) = query {
            out.push_str(",\"query\":");
            escape_into(&mut out, query);
        }
        out.push_str(",\"meta\":");
        self.origin.push_meta(&mut out, self.tracker, event);
        out.push('}');
        self.journal.add(
            &mut self.batch,
            self.stream,
            &event.event_type,
            event.id.as_deref(),
            out.as_bytes(),
        );
        self.scratch = out;
    }
}

/// The `Host` header without its port.
fn host_name(host: &str) -> &str {
    if let Some(end) = host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        return &host[1..=end];
    }
    host.split(':').next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_without_its_port() {
        for (header, host) in
            [("a.example:8080", "a.example"), ("10.0.0.1", "10.0.0.1"), ("[::1]:80", "::1"), ("", "")]
        {
            assert_eq!(host_name(header), host);
        }
    }
}
