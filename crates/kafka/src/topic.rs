//! Names of topics, the template they come from, and the partition of a key.

use crate::{INVALID_TOPIC, OPTIONS_REFUSED};
use angarium_base::{AppId, Result};
use std::{fmt, sync::Arc};

/// Longest name of a topic (`org.apache.kafka.common.internals.Topic`).
pub const TOPIC_CHARS: usize = 249;

/// The legal name of a topic: 1 to 249 of `[a-zA-Z0-9._-]`, neither `.` nor `..`. Cloning it is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// # Errors
    /// `kafka_invalid_topic` when Kafka would not take `name`. Nothing is replaced: two names must not become one.
    pub fn parse(name: &str) -> Result<TopicName> {
        let legal = !name.is_empty()
            && name.len() <= TOPIC_CHARS
            && !matches!(name, "." | "..")
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !legal {
            return Err(INVALID_TOPIC.err(format!(
                "a topic's name is 1 to {TOPIC_CHARS} of a-z, A-Z, 0-9, '.', '_', '-'; {:?} is not",
                name.chars().take(64).collect::<String>()
            )));
        }
        Ok(TopicName(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a topic is named: text with `{app}` and `{stream}`. `angarium.{stream}` unless told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Box<str>);

impl Default for Template {
    fn default() -> Template {
        Template("angarium.{stream}".into())
    }
}

impl Template {
    /// # Errors
    /// `kafka_options_refused` for another name in braces, one without `{stream}` (two streams would share
    /// a topic, and their positions with it), or one that names no legal topic.
    pub fn parse(text: &str) -> Result<Template> {
        let template = Template(text.into());
        if !text.contains("{stream}") {
            return Err(OPTIONS_REFUSED.err("the template of topics does not contain {stream}"));
        }
        let app = AppId::new(0);
        template.fill(&app, "events").map_err(|_| {
            OPTIONS_REFUSED
                .err("the template of topics may hold a-z, A-Z, 0-9, '.', '_', '-', {app} and {stream}")
        })?;
        Ok(template)
    }

    /// The topic of the stream `stream` of `app`.
    pub fn fill(&self, app: &AppId, stream: &str) -> Result<TopicName> {
        TopicName::parse(&self.0.replace("{app}", app.as_str()).replace("{stream}", stream))
    }
}

/// The partition of `key`, as Java's default partitioner has it: so everybody agrees who asks Kafka's own clients.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// Murmur2 with the seed of `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(data: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    for (at, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * at);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    (hash ^ (hash >> 15)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_they_do_in_java() {
        // Vectors: org.apache.kafka.common.utils.UtilsTest.testMurmur2.
        let long = "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8";
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (long, -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
        assert_eq!(partition_of(b"foobar", 1), 0);
        assert!((0..12).contains(&partition_of(b"21", 12)));
    }

    #[test]
    fn a_topic_has_a_legal_name_or_none() {
        let app = AppId::new(1);
        assert_eq!(Template::default().fill(&app, "events").unwrap().as_str(), "angarium.events");
        let own = Template::parse("a-{app}_{stream}").unwrap();
        assert_eq!(own.fill(&app, "events").unwrap().as_str(), format!("a-{app}_events"));
        for name in ["", ".", "..", "a b", "ä", "a/b", "a{b}", &"x".repeat(250)] {
            assert_eq!(TopicName::parse(name).unwrap_err().code().name, "kafka_invalid_topic", "{name}");
        }
        assert!(Template::default().fill(&app, "a b").is_err());
        for template in ["one", "{stream}{tenant}", "{stream} ", "{app}"] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }
}
