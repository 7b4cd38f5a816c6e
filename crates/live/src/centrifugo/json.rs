//! The protocol in JSON: one object a line, several lines a frame.

use super::wire::{
    Answer, AskHistory, Command, Connect, Connected, History, Method, Position, Publications, Push,
    REJECT_UNRECOVERED, Refreshed, Subscribe, Subscribed, VERSION, offset_of,
};
use crate::pass::Who;
use angarium_journal::Record;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};
use std::{collections::BTreeMap, io::Write};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    id: u32,
    connect: Option<SaidConnect>,
    subscribe: Option<SaidSubscribe>,
    unsubscribe: Option<OfChannel>,
    publish: Option<OfChannel>,
    presence: Option<OfChannel>,
    presence_stats: Option<OfChannel>,
    history: Option<SaidHistory>,
    ping: Option<IgnoredAny>,
    send: Option<IgnoredAny>,
    rpc: Option<IgnoredAny>,
    refresh: Option<SaidRefresh>,
    sub_refresh: Option<OfChannel>,
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidConnect {
    token: String,
    subs: BTreeMap<String, SaidSubscribe>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidSubscribe {
    channel: String,
    recover: bool,
    epoch: String,
    offset: u64,
    join_leave: bool,
    flag: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OfChannel {
    channel: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidRefresh {
    token: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidHistory {
    channel: String,
    limit: i32,
    since: Option<SaidPosition>,
    reverse: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaidPosition {
    offset: u64,
    epoch: String,
}

pub fn commands(frame: &[u8]) -> Option<Vec<Command>> {
    let lines = frame.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice::<Said>(line).ok().map(Command::from)).collect()
}

impl From<Said> for Command {
    fn from(said: Said) -> Command {
        let is_empty = said.id == 0 && said.others.is_empty();
        let channel = |of: OfChannel| of.channel;
        let method = None
            .or_else(|| said.connect.map(|connect| Method::Connect(connect.into())))
            .or_else(|| said.subscribe.map(|subscribe| Method::Subscribe(subscribe.into())))
            .or_else(|| said.unsubscribe.map(channel).map(Method::Unsubscribe))
            .or_else(|| said.publish.map(channel).map(Method::Publish))
            .or_else(|| said.presence.map(channel).map(Method::Presence))
            .or_else(|| said.presence_stats.map(channel).map(Method::PresenceStats))
            .or_else(|| said.history.map(|history| Method::History(history.into())))
            .or_else(|| said.ping.map(|_| Method::Ping))
            .or_else(|| said.send.map(|_| Method::Send))
            .or_else(|| said.rpc.map(|_| Method::Rpc))
            .or_else(|| said.refresh.map(|refresh| Method::Refresh(refresh.token)))
            .or_else(|| said.sub_refresh.map(channel).map(Method::SubRefresh));
        let method = method.unwrap_or(if is_empty { Method::Pong } else { Method::Unknown });
        Command { id: said.id, method }
    }
}

impl From<SaidConnect> for Connect {
    fn from(said: SaidConnect) -> Connect {
        let sub = |(channel, sub): (String, SaidSubscribe)| Subscribe { channel, ..sub.into() };
        Connect { token: said.token, subs: said.subs.into_iter().map(sub).collect() }
    }
}

impl From<SaidSubscribe> for Subscribe {
    fn from(said: SaidSubscribe) -> Subscribe {
        Subscribe {
            channel: said.channel,
            recover: said.recover,
            position: Position { offset: said.offset, epoch: said.epoch },
            wants_joins: said.join_leave,
            rejects_unrecovered: said.flag & REJECT_UNRECOVERED != 0,
        }
    }
}

impl From<SaidHistory> for AskHistory {
    fn from(said: SaidHistory) -> AskHistory {
        let since = said.since.map(|since| Position { offset: since.offset, epoch: since.epoch });
        AskHistory { channel: said.channel, limit: said.limit, since, reverse: said.reverse }
    }
}

/// Begins a line.
fn line(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b'\n');
    }
}

/// Writes `"name":"text"`; writing into memory cannot fail.
fn text(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

pub fn answer(out: &mut Vec<u8>, id: u32, answer: &Answer) {
    line(out);
    let _ = write!(out, "{{\"id\":{id},");
    let mut member = |name: &str, value: Value| {
        let _ = write!(out, "\"{name}\":{value}");
    };
    match answer {
        Answer::Connect(connected) => {
            out.extend_from_slice(b"\"connect\":");
            write_connected(out, connected);
        }
        Answer::Subscribe(subscribed) => {
            out.extend_from_slice(b"\"subscribe\":");
            write_subscribed(out, subscribed);
        }
        Answer::History(history) => write_history(out, history),
        Answer::Unsubscribe => member("unsubscribe", json!({})),
        Answer::Ping => member("ping", json!({})),
        Answer::SubRefresh => member("sub_refresh", json!({})),
        Answer::Presence(present) => {
            let present: serde_json::Map<String, Value> =
                present.iter().map(|(client, who)| (client.clone(), info(client, who))).collect();
            member("presence", json!({ "presence": present }));
        }
        Answer::PresenceStats { clients, users } => {
            member("presence_stats", json!({ "num_clients": clients, "num_users": users }));
        }
        Answer::Refresh(Refreshed { client, ttl_s }) => {
            let mut value = json!({ "client": client, "version": VERSION });
            expires(&mut value, *ttl_s);
            member("refresh", value);
        }
        Answer::Fault(fault) => {
            let mut value = json!({ "code": fault.code, "message": fault.message });
            if fault.temporary {
                value["temporary"] = json!(true);
            }
            member("error", value);
        }
    }
    out.push(b'}');
}

fn expires(value: &mut Value, ttl_s: Option<u32>) {
    if let Some(ttl_s) = ttl_s {
        value["expires"] = json!(true);
        value["ttl"] = json!(ttl_s);
    }
}

fn info(client: &str, who: &Who) -> Value {
    json!({ "client": client, "user": who.id })
}

fn write_connected(out: &mut Vec<u8>, connected: &Connected) {
    let mut value = json!({
        "client": connected.client, "version": VERSION, "ping": connected.ping_s, "pong": true,
    });
    expires(&mut value, connected.ttl_s);
    let _ = serde_json::to_writer(&mut *out, &value);
    if connected.subs.is_empty() {
        return;
    }
    // Goes on with the object that was just ended.
    out.pop();
    out.extend_from_slice(b",\"subs\":{");
    for (at, (channel, subscribed)) in connected.subs.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        text(out, channel);
        out.push(b':');
        write_subscribed(out, subscribed);
    }
    out.extend_from_slice(b"}}");
}

fn write_subscribed(out: &mut Vec<u8>, subscribed: &Subscribed) {
    let Subscribed { was_recovering, recovered, position, publications } = subscribed;
    let _ = write!(out, "{{\"recoverable\":true,\"positioned\":true,\"epoch\":");
    text(out, &position.epoch);
    let _ = write!(out, ",\"offset\":{}", position.offset);
    if *was_recovering {
        let _ = write!(out, ",\"was_recovering\":true,\"recovered\":{recovered}");
    }
    if !publications.0.is_empty() {
        write_publications(out, publications);
    }
    out.push(b'}');
}

fn write_history(out: &mut Vec<u8>, history: &History) {
    out.extend_from_slice(b"\"history\":{\"epoch\":");
    text(out, &history.position.epoch);
    let _ = write!(out, ",\"offset\":{}", history.position.offset);
    write_publications(out, &history.publications);
    out.push(b'}');
}

fn write_publications(out: &mut Vec<u8>, publications: &Publications) {
    out.extend_from_slice(b",\"publications\":[");
    for (at, publication) in publications.0.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(publication);
    }
    out.push(b']');
}

pub fn push(out: &mut Vec<u8>, channel: &str, push: &Push<'_>) {
    line(out);
    out.extend_from_slice(b"{\"push\":{\"channel\":");
    text(out, channel);
    let (name, value) = match push {
        Push::Join { client, who } => ("join", json!({ "info": info(client, who) })),
        Push::Leave { client, who } => ("leave", json!({ "info": info(client, who) })),
        Push::Unsubscribe { code, reason } => ("unsubscribe", json!({ "code": code, "reason": reason })),
    };
    let _ = write!(out, ",\"{name}\":{value}}}}}");
}

pub fn push_publication(out: &mut Vec<u8>, channel: &str, record: &Record<'_>) {
    line(out);
    out.extend_from_slice(b"{\"push\":{\"channel\":");
    text(out, channel);
    out.extend_from_slice(b",\"pub\":");
    publication(out, record);
    out.extend_from_slice(b"}}");
}

pub fn publication(out: &mut Vec<u8>, record: &Record<'_>) {
    out.extend_from_slice(b"{\"data\":");
    out.extend_from_slice(&in_one_line(record.data));
    let _ = write!(out, ",\"offset\":{}", offset_of(record));
    if !record.kind.is_empty() {
        out.extend_from_slice(b",\"tags\":{\"kind\":");
        text(out, record.kind);
        out.push(b'}');
    }
    out.push(b'}');
}

/// A record's JSON without line feeds, which end a reply: between JSON's tokens they mean nothing, and within a
/// string there are none.
fn in_one_line(data: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if std::str::from_utf8(data).is_err() {
        // Slices write JSON text only; a damaged record must not damage its neighbours.
        return b"null".into();
    }
    match data.contains(&b'\n') {
        true => data.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect::<Vec<_>>().into(),
        false => data.into(),
    }
}

pub fn ping(out: &mut Vec<u8>) {
    line(out);
    out.extend_from_slice(b"{}");
}

#[cfg(test)]
mod tests {
    use super::super::codes;
    use super::*;

    fn said(text: &str) -> Vec<Command> {
        commands(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_frame_holds_several_commands() {
        let frame = "{\"connect\":{\"token\":\"t\",\"name\":\"js\",\"data\":{\"a\":1}},\"id\":1}\n\
                     {\"subscribe\":{\"channel\":\"events\",\"flag\":3,\"recover\":true,\"offset\":8,\"epoch\":\"e\"},\"id\":2}\n{}\n";
        let [connect, subscribe, pong] = &said(frame)[..] else { panic!("three") };
        assert_eq!((connect.id, subscribe.id), (1, 2));
        assert!(matches!(&connect.method, Method::Connect(connect) if connect.token == "t"));
        let position = Position { offset: 8, epoch: "e".into() };
        let Method::Subscribe(subscribe) = &subscribe.method else { panic!("{subscribe:?}") };
        assert_eq!((subscribe.recover, &subscribe.position), (true, &position));
        assert!(subscribe.rejects_unrecovered);
        assert_eq!(pong.method, Method::Pong);
    }

    #[test]
    fn what_is_not_known_is_no_pong_and_what_is_not_json_is_nothing() {
        assert_eq!(said("{\"id\":3,\"dance\":{}}")[0].method, Method::Unknown);
        assert_eq!(said("{\"id\":3}")[0].method, Method::Unknown);
        for wrong in ["{", "[]", "{\"id\":-1}", "{\"id\":1,\"subscribe\":{\"offset\":\"x\"}}"] {
            assert_eq!(commands(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_written_is_json_line_by_line() {
        let record = Record { offset: 4, at: 0, kind: "a\"b", data: b"{\"n\":\n1}" };
        let publications = Publications(vec![super::super::wire::Encoding::Json.publication(&record)]);
        let position = Position { offset: 4, epoch: "e".into() };
        let subscribed = |publications| Subscribed {
            was_recovering: true,
            recovered: true,
            position: position.clone(),
            publications,
        };
        let mut out = Vec::new();
        answer(&mut out, 1, &Answer::Subscribe(subscribed(publications)));
        let subs = vec![("events".to_owned(), subscribed(Publications::default()))];
        let connected = Connected { client: "c".into(), ttl_s: Some(9), subs, ping_s: 15 };
        answer(&mut out, 2, &Answer::Connect(connected));
        answer(&mut out, 3, &Answer::Fault(codes::TOO_MANY_REQUESTS));
        push_publication(&mut out, "events", &record);
        push(&mut out, "events", &Push::Unsubscribe { code: 2000, reason: "r" });
        ping(&mut out);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let publication = json!({ "data": { "n": 1 }, "offset": 5, "tags": { "kind": "a\"b" } });
        let position = json!({ "recoverable": true, "positioned": true, "epoch": "e", "offset": 4, "was_recovering": true, "recovered": true });
        let mut subscribe = position.clone();
        subscribe["publications"] = json!([publication]);
        let connect = json!({
            "client": "c", "version": VERSION, "ping": 15, "pong": true, "expires": true, "ttl": 9, "subs": { "events": position },
        });
        assert_eq!(
            lines,
            [
                json!({ "id": 1, "subscribe": subscribe }),
                json!({ "id": 2, "connect": connect }),
                json!({ "id": 3, "error": { "code": 111, "message": "too many requests", "temporary": true } }),
                json!({ "push": { "channel": "events", "pub": publication } }),
                json!({ "push": { "channel": "events", "unsubscribe": { "code": 2000, "reason": "r" } } }),
                json!({}),
            ]
        );
    }
}
