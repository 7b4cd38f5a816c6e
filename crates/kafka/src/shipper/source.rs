//! What the shipper ships from.

use crate::TopicName;
use angarium_base::{AppId, Result};
use bytes::Bytes;
use std::{borrow::Cow, fmt, sync::Arc};

/// A stream of an app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName {
    pub app: AppId,
    pub stream: Arc<str>,
}

/// A place in a partition: what this spool has sent of a stream, and the cursor does not cover, is at `offset` or later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub topic: TopicName,
    pub partition: i32,
    pub offset: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl Mark {
    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Mark> {
        let mut parts = text.split('/');
        let (topic, partition, offset) = (parts.next()?, parts.next()?, parts.next()?);
        let topic = TopicName::parse(topic).ok()?;
        let mark = Mark { topic, partition: partition.parse().ok()?, offset: offset.parse().ok()? };
        (parts.next().is_none() && mark.partition >= 0).then_some(mark)
    }
}

/// A stream that has something to ship.
#[derive(Clone, Debug)]
pub struct Pending {
    pub stream: StreamName,
    /// The first position that is not shipped, and the one after the last.
    pub position: u64,
    pub end: u64,
    /// What was saved with `position`.
    pub mark: Option<Mark>,
}

/// A record of the spool. In Kafka its key is the app's id, and its headers are `app`, `stream`, `type`, `id`
/// (`{spool}:{position}`), `at` (decimal), `content-type`, and `traceparent` if there is one.
#[derive(Clone, Debug)]
pub struct Record {
    pub position: u64,
    /// Milliseconds since the Unix epoch: when the spool took it. It is in the header `at`; where the topic keeps the
    /// producer's time stamps, it is that too, and Kafka's retention goes by it.
    pub at_ms: i64,
    /// Becomes the header `type`.
    pub kind: Bytes,
    pub content_type: Cow<'static, str>,
    /// W3C Trace Context.
    pub traceparent: Option<Bytes>,
    pub payload: Bytes,
}

/// A node's spool: durable, ordered, numbered. Its futures may be dropped at any point.
pub trait Source: Send + Sync + 'static {
    /// Names this spool in every record, for ever, and no other spool anywhere. A copy needs a new one.
    /// Without `:`, 64 characters at most.
    fn spool(&self) -> &str;

    /// Up to `max` streams that have something to ship, those waiting longest first.
    fn pending(&self, max: usize) -> impl Future<Output = Result<Vec<Pending>>> + Send;

    /// Returns when something was appended since the last return; may return without.
    fn appended(&self) -> impl Future<Output = ()> + Send;

    /// The records of `stream` from position `from` on, in order: as many as fit into `max_records` and `max_bytes`,
    /// but one if there is one. Positions rise; where they do so by more than one, a look back is slower.
    fn read(
        &self,
        stream: &StreamName,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Vec<Record>>> + Send;

    /// Kafka has everything before `position`. What is remembered of it for ever, [`Source::shipped`] says, a little
    /// later.
    fn acknowledged(&self, stream: &StreamName, position: u64) -> impl Future<Output = Result<()>> + Send;

    /// Remembers, durably and in one, that everything before `position` is shipped, and `mark`. When it returns an
    /// error it may have done so. Called in order for a stream, several streams at a time.
    fn shipped(
        &self,
        stream: &StreamName,
        position: u64,
        mark: &Mark,
    ) -> impl Future<Output = Result<()>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark =
            Mark { topic: TopicName::parse("angarium.events").unwrap(), partition: 7, offset: u64::MAX };
        assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
        for wrong in ["", "t", "t/1", "t/-1/2", "t/1/2/3", "t t/1/2", "t/x/2"] {
            assert_eq!(Mark::parse(wrong), None, "{wrong}");
        }
    }
}
