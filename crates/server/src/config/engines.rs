//! The four URLs that choose the engines, the roles of a process, and what goes with them.

use super::{Config, INVALID_CONFIG};
use angarium_base::{Error, Result, Secret};
use angarium_blobs::S3Access;
use angarium_db::postgres;
use angarium_journal::{Ack, RemoteOptions};
use angarium_kafka::Template;
use angarium_kit::fleet::Role;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a secret is shown as.
const HIDDEN: &str = "***";

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {
    /// Connections of this process for writes. Three more are for its own use.
    pub writers: usize,
    /// Connections of this process for reads.
    pub readers: usize,
}

impl Default for Postgres {
    fn default() -> Self {
        Postgres { writers: 6, readers: 4 }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct S3 {
    /// `https://host:port` of what speaks S3; empty for Amazon's own. With `http://` it is spoken to without TLS.
    pub endpoint: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl Default for S3 {
    fn default() -> Self {
        S3 {
            endpoint: String::new(),
            region: "us-east-1".into(),
            access_key_id: String::new(),
            secret_access_key: String::new(),
        }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// How topics are named that we make: text with `{app}` and `{stream}`.
    pub topic: String,
    /// Replicas of a topic that we make; -1 for the broker's default.
    pub replication: i32,
    /// When an event is answered: `local`, durable in this node's spool; `replicated`, acknowledged by Kafka.
    pub ack: String,
    /// Bytes that the spool may hold while Kafka is away; beyond them events are refused.
    pub spool_bytes: u64,
    /// Config of the topics that we make, such as `min.insync.replicas`.
    pub topic_config: BTreeMap<String, String>,
    /// Properties for librdkafka, such as `security.protocol`, `sasl.mechanisms`, `sasl.username`, `sasl.password`.
    pub properties: BTreeMap<String, String>,
}

impl Default for Kafka {
    fn default() -> Self {
        Kafka {
            topic: "angarium.{app}.{stream}".into(),
            replication: -1,
            ack: "local".into(),
            spool_bytes: 8 << 30,
            topic_config: BTreeMap::new(),
            properties: BTreeMap::new(),
        }
    }
}

/// Where state lies.
pub enum Store {
    Folder,
    Postgres(Box<postgres::Options>),
}

impl Config {
    pub fn store(&self) -> Result<Store> {
        match self.db.split_once("://").map_or(self.db.as_str(), |(scheme, _)| scheme) {
            "sqlite" if self.db == "sqlite" => Ok(Store::Folder),
            "postgres" | "postgresql" => {
                let options = postgres::Options::parse(&self.db)?;
                let options = options.with_connections(self.postgres.writers, self.postgres.readers);
                Ok(Store::Postgres(Box::new(options)))
            }
            _ => Err(invalid(
                "db is `sqlite` (in the data directory) or postgres://user:password@host:5432/database",
            )),
        }
    }

    /// Streams in Kafka; `None` where they are in the store. What is set for Kafka is checked all the same.
    pub fn kafka_streams(&self) -> Result<Option<RemoteOptions>> {
        let ack = match self.kafka.ack.as_str() {
            "local" => Ack::Local,
            "replicated" => Ack::Replicated,
            _ => return Err(invalid("kafka.ack is local or replicated")),
        };
        if self.kafka.spool_bytes < 1 << 20 {
            return Err(invalid("kafka.spool_bytes is at least 1048576"));
        }
        let topic = Template::parse(&self.kafka.topic)
            .map_err(|error| invalid(format!("kafka.topic: {}", error.message())))?;
        let of_url = match self.journal.as_str() {
            "store" => return Ok(None),
            url if url.starts_with("kafka://") => angarium_kafka::Options::from_url(url)?,
            _ => return Err(invalid("journal is `store` or kafka://broker1:9092,broker2:9092")),
        };
        let mut topic_config = of_url.topic_config.clone();
        topic_config.extend(self.kafka.topic_config.clone());
        let kafka = angarium_kafka::Options {
            topic,
            replication: self.kafka.replication,
            topic_config,
            properties: self.kafka.properties.clone(),
            ..of_url
        };
        kafka.check().map_err(|error| invalid(format!("kafka: {}", error.message())))?;
        Ok(Some(RemoteOptions { kafka, ack, spool_bytes: self.kafka.spool_bytes }))
    }

    /// Live fan-out; `auto` is PostgreSQL's notifications where state is in PostgreSQL, else this process alone.
    pub fn feed_target(&self) -> Result<angarium_feed::Target> {
        if self.feed != "auto" {
            return self.feed.parse();
        }
        match self.store()? {
            Store::Folder => Ok(angarium_feed::Target::Local),
            Store::Postgres(_) => Ok(angarium_feed::Target::Postgres(Secret::new(&self.db))),
        }
    }

    /// Blobs; the folder `blobs` of the data directory where nothing is said.
    pub fn blobs_target(&self) -> Result<angarium_blobs::Target> {
        if self.blobs.is_empty() {
            return Ok(angarium_blobs::Target::Folder(self.data_dir.join("blobs")));
        }
        if ["s3:", "s3//"].iter().any(|start| self.blobs.starts_with(start))
            && !self.blobs.starts_with("s3://")
        {
            return Err(invalid(
                "blobs is a folder or s3://bucket/prefix; a folder with such a name is written ./s3:…",
            ));
        }
        let access = S3Access {
            endpoint: Some(self.s3.endpoint.clone()).filter(|endpoint| !endpoint.is_empty()),
            region: self.s3.region.clone(),
            access_key_id: self.s3.access_key_id.clone(),
            secret_access_key: Secret::new(&self.s3.secret_access_key),
            allow_http: self.s3.endpoint.starts_with("http://"),
        };
        let complete = !access.access_key_id.is_empty() && !self.s3.secret_access_key.is_empty();
        angarium_blobs::Target::parse(&self.blobs, complete.then_some(&access))
    }

    /// What this process does.
    pub fn roles(&self) -> Result<Vec<Role>> {
        let mut roles = Vec::new();
        for name in self.roles.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let role = Role::parse(name).ok_or_else(|| {
                invalid(format!("roles has `{name}`; the roles are: api, live, worker, timer"))
            })?;
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        if roles.is_empty() {
            return Err(invalid("roles names no role; the roles are: api, live, worker, timer"));
        }
        Ok(roles)
    }

    pub(super) fn check_engines(&self) -> Result<()> {
        self.store()?;
        let named = |key: &str, error: Error| match error.code().name == INVALID_CONFIG.name {
            true => error,
            false => invalid(format!("{key}: {}", error.message())),
        };
        self.kafka_streams().map_err(|error| named("journal", error))?;
        self.feed_target().map_err(|error| named("feed", error))?;
        self.blobs_target().map_err(|error| invalid(format!("blobs: {}", error.message())))?;
        self.roles()?;
        Ok(())
    }

    /// The configuration as it may be shown: without passwords and keys.
    pub fn without_secrets(&self) -> Config {
        let mut shown = self.clone();
        for url in
            [&mut shown.db, &mut shown.feed, &mut shown.journal, &mut shown.blobs, &mut shown.s3.endpoint]
        {
            *url = without_password(url);
        }
        if !shown.s3.secret_access_key.is_empty() {
            shown.s3.secret_access_key = HIDDEN.into();
        }
        for (name, value) in &mut shown.kafka.properties {
            if ["password", "secret", "key", "config"].iter().any(|word| name.contains(word)) {
                *value = HIDDEN.into();
            }
        }
        shown.hide_access(HIDDEN);
        shown
    }
}

/// `scheme://user:password@host?password=password` with the passwords hidden.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let shown = match rest.rsplit_once('@') {
        Some((user, rest)) => {
            let user = user.split_once(':').map_or(user.to_owned(), |(name, _)| format!("{name}:{HIDDEN}"));
            format!("{scheme}://{user}@{rest}")
        }
        None => url.to_owned(),
    };
    let Some((place, query)) = shown.split_once('?') else { return shown };
    let hidden = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if name.to_lowercase().contains("pass") => format!("{name}={HIDDEN}"),
        _ => pair.to_owned(),
    });
    format!("{place}?{}", hidden.collect::<Vec<_>>().join("&"))
}

fn invalid(message: impl Into<String>) -> Error {
    INVALID_CONFIG.err(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_password("postgres://a:p@ss@h:5/d"), "postgres://a:***@h:5/d");
        assert_eq!(without_password("redis://:secret@h"), "redis://:***@h");
        assert_eq!(without_password("redis://h:6379"), "redis://h:6379");
        assert_eq!(
            without_password("postgres://h/d?user=a&password=b&x=y"),
            "postgres://h/d?user=a&password=***&x=y"
        );
        assert_eq!(without_password("postgres://u:p@h/d?PassWord=b"), "postgres://u:***@h/d?PassWord=***");
        assert_eq!(without_password("auto"), "auto");
    }

    #[test]
    fn engines_are_chosen_by_url_and_wrong_ones_are_named() {
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check_engines().map_err(|error| error.message().to_owned())
        };
        assert_eq!(with(|_| {}), Ok(()));
        assert_eq!(with(|c| c.db = "postgres://a:b@h/d".into()), Ok(()));
        assert_eq!(with(|c| c.feed = "redis://h".into()), Ok(()));
        assert_eq!(with(|c| c.roles = "api, worker".into()), Ok(()));
        for (change, named) in [
            ((|c| c.db = "mysql://h/d".into()) as fn(&mut Config), "db"),
            (|c| c.feed = "nats://h".into(), "feed"),
            (|c| c.journal = "rabbit://h".into(), "journal"),
            (|c| (c.journal, c.kafka.ack) = ("kafka://h:9092".into(), "never".into()), "kafka.ack"),
            (|c| (c.journal, c.kafka.topic) = ("kafka://h:9092".into(), "one".into()), "kafka.topic"),
            (|c| c.blobs = "s3://bucket".into(), "blobs"),
            (|c| c.blobs = "s3//bucket".into(), "blobs"),
            (|c| c.roles = "api,cook".into(), "cook"),
            (|c| c.roles = " ".into(), "roles"),
        ] {
            let message = with(change).unwrap_err();
            assert!(message.contains(named), "{message}");
        }
    }
}
