//! The protocol in Protobuf: messages behind their lengths. What the client libraries for phones speak.
//!
//! The numbers of the fields are those of Centrifugo's client protocol; what is not known is passed over, as Protobuf
//! wants it (<https://protobuf.dev/programming-guides/encoding/>).

use super::wire::{
    Answer, AskHistory, Command, Connect, Connected, Method, Position, Push, REJECT_UNRECOVERED, Refreshed,
    Subscribe, Subscribed, VERSION, offset_of,
};
use crate::pass::Who;
use angarium_journal::Record;

/// A field's content.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn number(&self) -> u64 {
        match self {
            Field::Number(number) => *number,
            Field::Bytes(_) => 0,
        }
    }

    fn bytes(&self) -> &'a [u8] {
        match self {
            Field::Number(_) => &[],
            Field::Bytes(bytes) => bytes,
        }
    }

    fn text(&self) -> Option<String> {
        String::from_utf8(self.bytes().to_vec()).ok()
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// Hands every field of a message to `take`; `None` when it is not one, or `take` says so.
fn each(mut bytes: &[u8], mut take: impl FnMut(u64, Field<'_>) -> Option<()>) -> Option<()> {
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            1 => Field::Bytes(bytes.split_off(..8)?),
            2 => Field::Bytes(delimited(&mut bytes)?),
            5 => Field::Bytes(bytes.split_off(..4)?),
            _ => return None,
        };
        take(key >> 3, field)?;
    }
    Some(())
}

pub fn commands(mut frame: &[u8]) -> Option<Vec<Command>> {
    let mut commands = Vec::new();
    while !frame.is_empty() {
        commands.push(command(delimited(&mut frame)?)?);
    }
    Some(commands)
}

fn command(bytes: &[u8]) -> Option<Command> {
    let (mut id, mut method) = (0, None);
    each(bytes, |number, field| {
        let told = field.bytes();
        match number {
            1 => id = u32::try_from(field.number()).ok()?,
            4 => method = Some(Method::Connect(connect(told)?)),
            5 => method = Some(Method::Subscribe(subscribe(told)?)),
            6 => method = Some(Method::Unsubscribe(first_text(told)?)),
            7 => method = Some(Method::Publish(first_text(told)?)),
            8 => method = Some(Method::Presence(first_text(told)?)),
            9 => method = Some(Method::PresenceStats(first_text(told)?)),
            10 => method = Some(Method::History(history(told)?)),
            11 => method = Some(Method::Ping),
            12 => method = Some(Method::Send),
            13 => method = Some(Method::Rpc),
            14 => method = Some(Method::Refresh(first_text(told)?)),
            15 => method = Some(Method::SubRefresh(first_text(told)?)),
            _ => method = Some(Method::Unknown),
        }
        Some(())
    })?;
    let method = method.unwrap_or(if id == 0 { Method::Pong } else { Method::Unknown });
    Some(Command { id, method })
}

/// The text of the first field.
fn first_text(bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    each(bytes, |number, field| {
        if number == 1 {
            text = field.text()?;
        }
        Some(())
    })?;
    Some(text)
}

fn connect(bytes: &[u8]) -> Option<Connect> {
    let mut connect = Connect::default();
    each(bytes, |number, field| {
        match number {
            1 => connect.token = field.text()?,
            3 => {
                let (mut channel, mut sub) = (String::new(), Subscribe::default());
                each(field.bytes(), |number, field| {
                    match number {
                        1 => channel = field.text()?,
                        2 => sub = subscribe(field.bytes())?,
                        _ => {}
                    }
                    Some(())
                })?;
                connect.subs.push(Subscribe { channel, ..sub });
            }
            _ => {}
        }
        Some(())
    })?;
    Some(connect)
}

fn subscribe(bytes: &[u8]) -> Option<Subscribe> {
    let mut subscribe = Subscribe::default();
    each(bytes, |number, field| {
        match number {
            1 => subscribe.channel = field.text()?,
            3 => subscribe.recover = field.number() != 0,
            6 => subscribe.position.epoch = field.text()?,
            7 => subscribe.position.offset = field.number(),
            11 => subscribe.wants_joins = field.number() != 0,
            14 => subscribe.rejects_unrecovered = field.number() & REJECT_UNRECOVERED != 0,
            _ => {}
        }
        Some(())
    })?;
    Some(subscribe)
}

fn history(bytes: &[u8]) -> Option<AskHistory> {
    let mut asked = AskHistory::default();
    each(bytes, |number, field| {
        match number {
            1 => asked.channel = field.text()?,
            // Negative numbers come with their sign over all 64 bits.
            7 => asked.limit = field.number() as i32,
            8 => {
                let mut since = Position::default();
                each(field.bytes(), |number, field| {
                    match number {
                        1 => since.offset = field.number(),
                        2 => since.epoch = field.text()?,
                        _ => {}
                    }
                    Some(())
                })?;
                asked.since = Some(since);
            }
            9 => asked.reverse = field.number() != 0,
            _ => {}
        }
        Some(())
    })?;
    Some(asked)
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A number; 0 is not written.
fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    if value != 0 {
        push_varint(out, field << 3);
        push_varint(out, value);
    }
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    push_varint(out, field << 3 | 2);
    push_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn text(out: &mut Vec<u8>, field: u64, value: &str) {
    if !value.is_empty() {
        bytes(out, field, value.as_bytes());
    }
}

fn message(out: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(out, field, &inner);
}

fn reply(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    push_varint(out, inner.len() as u64);
    out.extend_from_slice(&inner);
}

pub fn answer(out: &mut Vec<u8>, id: u32, answer: &Answer) {
    reply(out, |out| {
        number(out, 1, u64::from(id));
        match answer {
            Answer::Fault(fault) => message(out, 2, |out| {
                number(out, 1, u64::from(fault.code));
                text(out, 2, &fault.message);
                number(out, 3, u64::from(fault.temporary));
            }),
            Answer::Connect(connected) => message(out, 5, |out| write_connected(out, connected)),
            Answer::Subscribe(subscribed) => message(out, 6, |out| write_subscribed(out, subscribed)),
            Answer::Unsubscribe => message(out, 7, |_| {}),
            Answer::Presence(present) => message(out, 9, |out| {
                for (client, who) in present {
                    message(out, 1, |out| {
                        text(out, 1, client);
                        message(out, 2, |out| info(out, client, who));
                    });
                }
            }),
            Answer::PresenceStats { clients, users } => message(out, 10, |out| {
                number(out, 1, u64::from(*clients));
                number(out, 2, u64::from(*users));
            }),
            Answer::History(history) => message(out, 11, |out| {
                history.publications.0.iter().for_each(|publication| bytes(out, 1, publication));
                text(out, 2, &history.position.epoch);
                number(out, 3, history.position.offset);
            }),
            Answer::Ping => message(out, 12, |_| {}),
            Answer::Refresh(Refreshed { client, ttl_s }) => message(out, 14, |out| {
                text(out, 1, client);
                text(out, 2, VERSION);
                expires(out, *ttl_s);
            }),
            Answer::SubRefresh => message(out, 15, |_| {}),
        }
    });
}

/// In the answers to connect and refresh alike.
fn expires(out: &mut Vec<u8>, ttl_s: Option<u32>) {
    number(out, 3, u64::from(ttl_s.is_some()));
    number(out, 4, u64::from(ttl_s.unwrap_or(0)));
}

fn info(out: &mut Vec<u8>, client: &str, who: &Who) {
    text(out, 1, &who.id);
    text(out, 2, client);
}

fn write_connected(out: &mut Vec<u8>, connected: &Connected) {
    text(out, 1, &connected.client);
    text(out, 2, VERSION);
    expires(out, connected.ttl_s);
    for (channel, subscribed) in &connected.subs {
        message(out, 6, |out| {
            text(out, 1, channel);
            message(out, 2, |out| write_subscribed(out, subscribed));
        });
    }
    number(out, 7, u64::from(connected.ping_s));
    number(out, 8, 1);
}

fn write_subscribed(out: &mut Vec<u8>, subscribed: &Subscribed) {
    number(out, 3, 1);
    text(out, 6, &subscribed.position.epoch);
    subscribed.publications.0.iter().for_each(|publication| bytes(out, 7, publication));
    number(out, 8, u64::from(subscribed.recovered));
    number(out, 9, subscribed.position.offset);
    number(out, 10, 1);
    number(out, 12, u64::from(subscribed.was_recovering));
}

pub fn push(out: &mut Vec<u8>, channel: &str, push: &Push<'_>) {
    reply(out, |out| {
        message(out, 4, |out| {
            text(out, 2, channel);
            match push {
                Push::Join { client, who } => {
                    message(out, 5, |out| message(out, 1, |out| info(out, client, who)));
                }
                Push::Leave { client, who } => {
                    message(out, 6, |out| message(out, 1, |out| info(out, client, who)));
                }
                Push::Unsubscribe { code, reason } => message(out, 7, |out| {
                    number(out, 2, u64::from(*code));
                    text(out, 3, reason);
                }),
            }
        });
    });
}

pub fn push_publication(out: &mut Vec<u8>, channel: &str, record: &Record<'_>) {
    reply(out, |out| {
        message(out, 4, |out| {
            text(out, 2, channel);
            message(out, 4, |out| publication(out, record));
        });
    });
}

pub fn publication(out: &mut Vec<u8>, record: &Record<'_>) {
    bytes(out, 4, record.data);
    number(out, 6, offset_of(record));
    if !record.kind.is_empty() {
        message(out, 7, |out| {
            text(out, 1, "kind");
            text(out, 2, record.kind);
        });
    }
}

/// An empty reply.
pub fn ping(out: &mut Vec<u8>) {
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_as_they_are_written_elsewhere() {
        let mut frame = Vec::new();
        reply(&mut frame, |out| {
            number(out, 1, 300);
            message(out, 5, |out| {
                text(out, 1, "events");
                number(out, 3, 1);
                text(out, 6, "e");
                number(out, 7, 1 << 40);
                // A field of the future, of a fixed length.
                out.extend_from_slice(&[99 << 3 & 0x7f | 5 | 0x80, 6, 1, 2, 3, 4]);
                number(out, 14, 3);
            });
        });
        reply(&mut frame, |out| {
            number(out, 1, 2);
            message(out, 10, |out| {
                text(out, 1, "events");
                number(out, 7, -1_i64 as u64);
                message(out, 8, |out| number(out, 1, 5));
            });
        });
        ping(&mut frame);
        let position = Position { offset: 1 << 40, epoch: "e".into() };
        let subscribe = Subscribe {
            channel: "events".into(),
            recover: true,
            position,
            wants_joins: false,
            rejects_unrecovered: true,
        };
        let since = Some(Position { offset: 5, epoch: String::new() });
        let history = AskHistory { channel: "events".into(), limit: -1, since, reverse: false };
        let expected = [
            Command { id: 300, method: Method::Subscribe(subscribe) },
            Command { id: 2, method: Method::History(history) },
            Command { id: 0, method: Method::Pong },
        ];
        assert_eq!(commands(&frame).as_deref(), Some(&expected[..]));
        for cut in 1..frame.len() - 1 {
            // No prefix is read as something else, and none panics.
            let read = commands(&frame[..cut]).unwrap_or_default();
            assert!(read.iter().zip(&expected).all(|(read, expected)| read == expected), "{cut}");
        }
    }
}
