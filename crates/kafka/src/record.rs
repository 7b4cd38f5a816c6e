//! Records as they come from Kafka and go to it.

use angarium_base::Error;
use bytes::Bytes;
#[cfg(feature = "librdkafka")]
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Its position in the partition.
    pub offset: u64,
    /// Milliseconds since the Unix epoch: the producer's, or the broker's if the topic says so; 0 if it has none.
    pub at_ms: i64,
    pub key: Option<Bytes>,
    pub headers: Vec<(String, Bytes)>,
    /// Empty for a record without a value.
    pub payload: Bytes,
}

impl Incoming {
    /// The value of the last header of that name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|(known, _)| known == name).map(|(_, value)| &value[..])
    }

    /// Bytes of key, headers and payload.
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.as_ref().map_or(0, Bytes::len) + headers + self.payload.len()
    }

    #[cfg(feature = "librdkafka")]
    pub(crate) fn copy(message: &BorrowedMessage<'_>) -> Incoming {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|header| {
                    (header.key.to_owned(), Bytes::copy_from_slice(header.value.unwrap_or_default()))
                })
                .collect()
        });
        Incoming {
            offset: message.offset().max(0) as u64,
            at_ms: message.timestamp().to_millis().unwrap_or(0),
            key: message.key().map(Bytes::copy_from_slice),
            headers,
            payload: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        }
    }
}

/// A record to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    pub key: Option<Bytes>,
    pub headers: Vec<(String, Bytes)>,
    pub payload: Bytes,
    /// Milliseconds since the Unix epoch; 0 for the instant of sending.
    pub at_ms: i64,
}

#[cfg(feature = "librdkafka")]
impl Outgoing {
    pub(crate) fn native_headers(&self) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return None;
        }
        let empty = OwnedHeaders::new_with_capacity(self.headers.len());
        Some(self.headers.iter().fold(empty, |headers, (name, value)| header(headers, name, value)))
    }
}

/// Records that were not all written.
#[derive(Debug)]
pub struct Unproduced {
    /// The offsets of the first records, all of them acknowledged, in order.
    pub acknowledged: Vec<u64>,
    /// Whether one of the others may be in Kafka all the same.
    pub unknown: bool,
    pub error: Error,
}

impl From<Error> for Unproduced {
    fn from(error: Error) -> Unproduced {
        Unproduced { acknowledged: Vec::new(), unknown: false, error }
    }
}

/// `headers` and one more.
#[cfg(feature = "librdkafka")]
pub(crate) fn header(headers: OwnedHeaders, key: &str, value: &[u8]) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}
