//! Messages as they lie in the stream and in the table, and as they are given out.

use angarium_base::{MessageId, clock::Millis, time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A message that is to be persisted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub received_at: Millis,
    /// The document, as it came, on one line.
    pub body: String,
}

/// A message in the table.
#[derive(Clone, Debug)]
pub struct Persisted {
    pub seq: i64,
    pub message: Message,
    pub persisted_at: Millis,
}

/// A message that is tried again.
#[derive(Clone, Debug)]
pub struct Retried {
    pub app: String,
    pub message: Message,
    pub attempts: i64,
    pub attempts_before: i64,
    pub first_at: Millis,
    pub code: String,
    pub reason: String,
}

/// A record of the stream.
#[derive(Deserialize)]
struct Record<'a> {
    id: String,
    received_at: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Message {
    /// Writes the record that the stream keeps.
    pub fn render(out: &mut String, id: &MessageId, received_at: &str, document: &str) {
        out.push_str("{\"id\":\"");
        out.push_str(id.as_str());
        out.push_str("\",\"received_at\":\"");
        out.push_str(received_at);
        out.push_str("\",\"body\":");
        crate::rules::push_line(out, document);
        out.push('}');
    }

    /// Reads a record of the stream; `None` if it is no message, as somebody else may have written it.
    pub fn parse(data: &[u8]) -> Option<Message> {
        let record: Record<'_> = serde_json::from_slice(data).ok()?;
        MessageId::parse(&record.id)?;
        let received_at = time::parse(&record.received_at)?;
        Some(Message { id: record.id, received_at, body: record.body.get().to_owned() })
    }
}

/// A message as it is given out.
#[derive(Serialize)]
pub struct View<'a> {
    pub id: &'a str,
    /// The place after it in the list; absent until it is persisted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    pub received_at: String,
    pub persisted_at: Option<String>,
    /// How often it was tried to persist it, if that failed so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i64>,
    /// Why that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    pub body: &'a RawValue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let id = MessageId::new(1_700_000_000_000);
        let mut out = String::new();
        Message::render(&mut out, &id, &time::format(1_700_000_000_123), "{\"a\": [1, 2]}");
        let read = Message::parse(out.as_bytes()).unwrap();
        assert_eq!(read.id, id.as_str());
        assert_eq!(read.received_at, 1_700_000_000_123);
        assert_eq!(read.body, "{\"a\": [1, 2]}");
        for other in ["{}", "3", "{\"id\":\"msg_1\",\"received_at\":\"2026-01-01T00:00:00Z\",\"body\":1}"] {
            assert_eq!(Message::parse(other.as_bytes()), None, "{other}");
        }
    }
}
