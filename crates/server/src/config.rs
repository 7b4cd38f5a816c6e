//! Configuration: defaults, then the file, then `ANGARIUM_SECTION__KEY` variables, then the command line.
//!
//! The variables are laid over the table of the file before one typed read, so a misspelt key is refused
//! wherever it stands. This module is the one place where the environment is read.

mod access;
mod dead_letters;
mod engines;
mod environment;
mod live;
mod messages;

pub use access::{Auth, Issuer, RateLimits, SecretKeys, TrustedProxy};
pub use dead_letters::DeadLetters;
pub use engines::{Kafka, Postgres, S3, Store};
pub use environment::{environment, profiles_file};
pub use live::Live;
pub use messages::Messages;

use angarium_base::{Error, Result};
use angarium_journal::{Retention, Window};
use angarium_kit::{
    audit::AUDIT,
    dead_letters::DEAD_LETTERS,
    http::{Limits, TrustedProxies, parse_duration},
};
use angarium_messages::MESSAGES;
use angarium_tracking::EVENTS;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

angarium_base::codes! {
    /// The configuration cannot be used. The message names the key and what it takes; `angarium config check` says the same without starting.
    INVALID_CONFIG = "invalid_config": Invalid;
}

/// Everything that can be configured.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder of this process: the store (one file, its log and a lock) where `db` is `sqlite`, and blobs.
    pub data_dir: PathBuf,
    /// State: `sqlite`, in the data directory, or `postgres://user:password@host:5432/database`, for a fleet.
    pub db: String,
    /// Streams: `store`, where the state is, or `kafka://broker1:9092,broker2:9092`, behind a spool in the data directory.
    pub journal: String,
    /// Live fan-out between processes: `auto`, `local`, `redis://…`, `rediss://…` or `postgres://…`.
    pub feed: String,
    /// Blobs: a folder (`blobs` in the data directory, if empty) or `s3://bucket/prefix`.
    pub blobs: String,
    /// What this process does, separated by commas: `api`, `live`, `worker`, `timer`.
    pub roles: String,
    /// Whether a start brings the schema up to this version; if not, and it is older, the start is refused.
    pub migrate: bool,
    pub http: Http,
    pub auth: Auth,
    pub limits: RateLimits,
    pub secrets: SecretKeys,
    pub tracking: Tracking,
    pub messages: Messages,
    pub streams: Streams,
    pub live: Live,
    pub postgres: Postgres,
    pub kafka: Kafka,
    pub s3: S3,
    /// What each stream keeps, by its name; `"*"` is for those not named. Without an entry everything is kept.
    pub retention: BTreeMap<String, Keep>,
    pub dead_letters: DeadLetters,
    pub compat: Compat,
    pub log: Log,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address and port of the internal listener, for `/metrics`, `/health/…` and `/v1/processes` without a key; none, if empty.
    pub internal: String,
    /// Whose `X-Forwarded-For` and `Forwarded` headers are believed: addresses, networks, `loopback`, `private`.
    pub trusted_proxies: Vec<String>,
    /// Connections at a time.
    pub max_connections: usize,
    /// Bytes of a request body, as sent and after inflating.
    pub body_bytes: usize,
    /// Bytes of one event.
    pub event_bytes: usize,
    /// Bytes of one message.
    pub message_bytes: usize,
    /// Bytes of all request bodies in memory together.
    pub bodies_bytes: usize,
    /// How long the headers of a request may take.
    pub header_timeout: Span,
    /// How long a body may take.
    pub body_timeout: Span,
    /// How long requests that are being answered may take after a stop was asked for.
    pub drain: Span,
    pub tls: Tls,
}

/// Files in PEM, looked at every few seconds. Without a certificate the server speaks plain HTTP.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The server's certificate, and those between it and the root, in this order.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
    /// Certificates of authorities. If given, only clients with a certificate by one of them are let in.
    pub client_ca: PathBuf,
}

impl Tls {
    /// Whether the listener speaks TLS.
    pub fn is_on(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }

    fn check(&self) -> Result<()> {
        let given = |file: &PathBuf| !file.as_os_str().is_empty();
        match (given(&self.certificate), given(&self.key), given(&self.client_ca)) {
            (true, true, _) | (false, false, false) => Ok(()),
            (true, false, _) => Err(invalid("http.tls.key is missing: http.tls.certificate needs its key")),
            (false, true, _) => {
                Err(invalid("http.tls.certificate is missing: http.tls.key needs its certificate"))
            }
            (false, false, true) => {
                Err(invalid("http.tls.client_ca needs http.tls.certificate and http.tls.key"))
            }
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Tracking {
    /// A geo-IP database in MaxMind's format; reloaded when the file changes. Without one, places are `XX`.
    pub geoip: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Streams {
    /// An event whose id was seen within this time is not kept again.
    pub dedupe_window: Span,
    /// Ids that are remembered at most; the oldest are forgotten first.
    pub dedupe_max_ids: usize,
    /// How often retention looks.
    pub retention_every: Span,
}

/// What is kept of a stream.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// Records older than this are removed.
    pub age: Option<Span>,
    /// When the stream takes more bytes on disk than this, the oldest records are removed.
    pub bytes: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Compat {
    /// Route families that take anonymous callers, for the default app: `t` (`/t/…`), `messages` (`/dummy`, `/ws`). On a
    /// loopback address both are open anyway.
    pub anonymous: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// `text` or `json`, on standard error.
    pub format: String,
}

/// A duration, written `500ms`, `20s`, `5m`, `2h` or `1d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Span, String> {
        parse_duration("it", &text)
            .map(Span)
            .map_err(|_| format!("`{text}` is not a duration such as 500ms, 20s, 5m, 2h or 1d"))
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        let ms = span.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        let fitting = units.iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
        fitting.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
    }
}

const fn seconds(s: u64) -> Span {
    Span(Duration::from_secs(s))
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data_dir: "data".into(),
            http: Http::default(),
            auth: Auth::default(),
            limits: RateLimits::default(),
            secrets: SecretKeys::default(),
            tracking: Tracking::default(),
            messages: Messages::default(),
            db: "sqlite".into(),
            journal: "store".into(),
            feed: "auto".into(),
            blobs: String::new(),
            roles: "api,live,worker,timer".into(),
            migrate: true,
            streams: Streams::default(),
            live: Live::default(),
            postgres: Postgres::default(),
            kafka: Kafka::default(),
            s3: S3::default(),
            retention: BTreeMap::new(),
            dead_letters: DeadLetters::default(),
            compat: Compat::default(),
            log: Log { level: "info".into(), format: "text".into() },
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Config::default().log
    }
}

impl Default for Http {
    fn default() -> Self {
        let limits = Limits::default();
        Http {
            listen: ([127, 0, 0, 1], 8080).into(),
            internal: String::new(),
            trusted_proxies: Vec::new(),
            max_connections: 10_000,
            body_bytes: limits.body_bytes,
            event_bytes: limits.event_bytes,
            message_bytes: limits.message_bytes,
            bodies_bytes: limits.bodies_bytes,
            header_timeout: seconds(10),
            body_timeout: Span(limits.body_timeout),
            drain: seconds(30),
            tls: Tls::default(),
        }
    }
}

impl Default for Streams {
    fn default() -> Self {
        Streams {
            dedupe_window: seconds(7 * 86_400),
            dedupe_max_ids: 10_000_000,
            retention_every: seconds(30),
        }
    }
}

/// Reads the configuration of this process: defaults, the file if there is one, the environment.
///
/// # Errors
/// `invalid_config`, naming the file or the key.
pub fn load_file(file: Option<&Path>) -> Result<Config> {
    let text = match file {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|e| invalid(format!("the configuration file {} cannot be read: {e}", file.display())))?,
        None => String::new(),
    };
    load(&text, environment()).map_err(|error| match file.filter(|_| error.message().starts_with("line ")) {
        Some(file) => invalid(format!("{}: {}", file.display(), error.message())),
        None => error,
    })
}

/// Reads a configuration from the text of a file and from variables.
///
/// # Errors
/// `invalid_config`, naming the key.
pub fn load(file: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<Config> {
    let mut table: toml::Table = file.parse().map_err(|e| invalid(shown(&e, file)))?;
    for (name, value) in variables {
        let path = name.trim_start_matches("ANGARIUM_").to_lowercase();
        let mut keys: Vec<&str> = path.split("__").collect();
        let dotted = keys.last().map(|key| key.replace('_', ".")).unwrap_or_default();
        let value = match keys.as_mut_slice() {
            // A shell's variables have no dots: SASL_PASSWORD is sasl.password.
            [section @ .., key] if is_free(section) => {
                *key = &dotted;
                toml::Value::String(value)
            }
            // An access key may look like a number.
            ["s3", _] | ["auth", "audience"] => toml::Value::String(value),
            _ => read(value),
        };
        set(&mut table, &keys, value).map_err(|e| invalid(format!("{name}: {e}")))?;
    }
    let config: Config = table.try_into().map_err(|e| invalid(shown(&e, "")))?;
    config.check()?;
    Ok(config)
}

fn invalid(message: impl Into<String>) -> Error {
    INVALID_CONFIG.err(message.into().trim_end().to_owned())
}

/// What is wrong, and where, without the value: it may be a password.
fn shown(error: &toml::de::Error, file: &str) -> String {
    let text = error.message();
    // serde writes `invalid type: integer `7`, expected a string`, and the same of values.
    let hidden = text
        .strip_prefix("invalid type: ")
        .or_else(|| text.strip_prefix("invalid value: "))
        .and_then(|rest| {
            let (found, expected) = rest.split_once(", expected ")?;
            let kind = found.split(['`', '"']).next().unwrap_or_default().trim_end();
            Some(format!("a {kind} where {expected} is expected"))
        });
    let text = hidden.unwrap_or_else(|| text.to_owned());
    let whole = error.to_string();
    let key = whole
        .lines()
        .find(|line| line.starts_with("in `"))
        .map(|line| format!(", {line}"))
        .unwrap_or_default();
    let before = error.span().and_then(|span| file.get(..span.start)).filter(|_| !file.is_empty());
    let place = before.map_or_else(String::new, |before| {
        let (line, column) =
            (before.matches('\n').count() + 1, before.chars().rev().take_while(|c| *c != '\n').count() + 1);
        format!("line {line}, column {column}: ")
    });
    format!("{place}{text}{key}")
}

/// Sections whose members are names with dots and values that are text, whatever they look like.
fn is_free(section: &[&str]) -> bool {
    matches!(section, ["kafka", "properties" | "topic_config"])
}

/// A variable's value: TOML if it can be, else a string.
fn read(value: String) -> toml::Value {
    let parsed = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("v"));
    parsed.unwrap_or_else(|| value.into())
}

/// Puts a variable's value where its name says.
fn set(table: &mut toml::Table, keys: &[&str], value: toml::Value) -> Result<(), String> {
    match keys {
        [] => Ok(()),
        [key] => {
            table.insert((*key).to_owned(), value);
            Ok(())
        }
        [key, rest @ ..] => {
            let section = table.entry(*key).or_insert_with(|| toml::Table::new().into());
            set(section.as_table_mut().ok_or_else(|| format!("`{key}` is not a section"))?, rest, value)
        }
    }
}

impl Config {
    /// What types cannot say.
    fn check(&self) -> Result<()> {
        if !["error", "warn", "info", "debug", "trace"].contains(&self.log.level.as_str()) {
            return Err(invalid("log.level is error, warn, info, debug or trace"));
        }
        if !["text", "json"].contains(&self.log.format.as_str()) {
            return Err(invalid("log.format is text or json"));
        }
        self.live.check()?;
        let is_unknown = |family: &&String| !["t", "messages"].contains(&family.as_str());
        if let Some(unknown) = self.compat.anonymous.iter().find(is_unknown) {
            return Err(invalid(format!("compat.anonymous has `{unknown}`; the families are: t, messages")));
        }
        for (name, least, value) in [
            ("http.max_connections", 1, self.http.max_connections),
            ("http.body_bytes", 1_024, self.http.body_bytes),
            ("http.event_bytes", 256, self.http.event_bytes),
            ("live.backlog", 16 << 10, usize::try_from(self.live.backlog).unwrap_or(usize::MAX)),
            ("streams.dedupe_max_ids", 1_000, self.streams.dedupe_max_ids),
        ] {
            if value < least {
                return Err(invalid(format!("{name} is at least {least}")));
            }
        }
        if self.http.event_bytes > self.http.body_bytes || self.http.body_bytes > self.http.bodies_bytes {
            return Err(invalid(
                "http.event_bytes, http.body_bytes and http.bodies_bytes rise in this order",
            ));
        }
        for (stream, keep) in &self.retention {
            // A misspelt name would keep everything, a zero would keep nothing.
            const NAMES: [&str; 5] = ["*", EVENTS, MESSAGES, DEAD_LETTERS, AUDIT];
            if !NAMES.contains(&stream.as_str()) {
                return Err(invalid(format!(
                    "retention.{stream}: there is no such stream; there are: {}",
                    NAMES.join(", ")
                )));
            }
            if keep.age.is_some_and(|age| age.0 < Duration::from_secs(1))
                || keep.bytes.is_some_and(|bytes| bytes < 1_024)
            {
                return Err(invalid(format!(
                    "retention.{stream}: `age` is at least 1s and `bytes` at least 1024"
                )));
            }
        }
        self.dead_letters.check()?;
        self.messages.check()?;
        self.check_listeners()?;
        self.check_engines()?;
        self.check_access()?;
        self.trusted_proxies()?;
        Ok(())
    }

    /// Whose word on a client's address is taken.
    pub fn trusted_proxies(&self) -> Result<TrustedProxies> {
        TrustedProxies::parse(&self.http.trusted_proxies)
            .map_err(|e| invalid(format!("http.trusted_proxies: {}", e.message())))
    }

    /// What can be wrong about the listeners, without looking at files.
    pub fn check_listeners(&self) -> Result<()> {
        self.internal()?;
        self.http.tls.check()
    }

    /// Where the internal listener listens.
    pub fn internal(&self) -> Result<Option<SocketAddr>> {
        if self.http.internal.is_empty() {
            return Ok(None);
        }
        let address = self.http.internal.parse();
        address.map(Some).map_err(|_| {
            invalid("http.internal is an address and a port such as 127.0.0.1:9464, or empty for none")
        })
    }

    /// An error about the geo-IP database, with the key and the file: it is the configuration that is wrong.
    pub fn about_geoip(&self, error: Error) -> Error {
        match &self.tracking.geoip {
            Some(file) => invalid(format!("tracking.geoip {}: {}", file.display(), error.message())),
            None => error,
        }
    }

    pub fn http_limits(&self) -> Limits {
        Limits {
            body_bytes: self.http.body_bytes,
            event_bytes: self.http.event_bytes,
            // A smaller body has room for smaller ones only.
            message_bytes: self.http.message_bytes.min(self.http.body_bytes),
            bodies_bytes: self.http.bodies_bytes,
            body_timeout: self.http.body_timeout.0,
            body_idle: self.http.body_timeout.0.min(Limits::default().body_idle),
            live: self.live.limits(),
            ..Limits::default()
        }
    }

    pub fn journal_options(&self) -> angarium_journal::Options {
        let kept = |keep: &Keep| Retention {
            age_ms: keep.age.map(|age| age.0.as_millis() as i64),
            bytes: keep.bytes,
        };
        angarium_journal::Options {
            window: Window {
                age_ms: self.streams.dedupe_window.0.as_millis() as i64,
                ids: self.streams.dedupe_max_ids,
            },
            retention: self.retention.iter().map(|(name, keep)| (name.clone(), kept(keep))).collect(),
            retention_every: self.streams.retention_every.0,
            announce: None,
        }
    }

    /// The whole configuration as it is in force, as TOML, without passwords and keys.
    pub fn show(&self) -> Result<String> {
        toml::to_string(&self.without_secrets()).map_err(|e| invalid(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(file: &str, variables: &[(&str, &str)]) -> Result<Config> {
        load(file, variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn variables_win_over_the_file_and_the_file_over_defaults() {
        let file = "data_dir = \"/d\"\n[http]\nbody_bytes = 4096\nevent_bytes = 1024\n[retention.events]\nage = \"30d\"";
        let config =
            with(file, &[("ANGARIUM_HTTP__BODY_BYTES", "8192"), ("ANGARIUM_DATA_DIR", "/e")]).unwrap();
        assert_eq!((config.http.body_bytes, config.http.event_bytes), (8192, 1024));
        assert_eq!(config.data_dir, PathBuf::from("/e"));
        assert_eq!(config.retention["events"].age, Some(seconds(30 * 86_400)));
        assert_eq!(config.http.listen, Config::default().http.listen);
    }

    #[test]
    fn a_misspelt_key_is_refused_wherever_it_stands() {
        for (file, variables) in [
            ("dta_dir = \"x\"", &[][..]),
            ("[http]\nlistne = \"x\"", &[]),
            ("", &[("ANGARIUM_HTTP__LISTNE", "x")]),
            ("", &[("ANGARIUM_HTTPS__LISTEN", "x")]),
        ] {
            let message = with(file, variables).unwrap_err().message().to_owned();
            assert!(message.contains("unknown field"), "{message}");
        }
    }

    #[test]
    fn a_value_that_may_be_a_password_is_in_no_message() {
        for file in [
            "[kafka.properties]\n\"sasl.password\" = secret77",
            "[kafka.properties]\n\"sasl.password\" = \"after\"secret77",
            "[kafka.properties]\n\"sasl.password\" = \"secret77",
            "[kafka.properties]\n\"sasl.password\" = 7777777",
            "[s3]\nsecret_access_key = 7777777",
            "[s3]\nsecret_access_key = [\"secret77\"]",
            "db = 7777777",
        ] {
            let message = with(file, &[]).unwrap_err().message().to_owned();
            assert!(!message.contains("77"), "{message}");
            let place = ["line 2, column", "kafka", "s3", "db"];
            assert!(place.iter().any(|place| message.contains(place)), "{message}");
        }
    }

    #[test]
    fn properties_of_kafka_come_from_variables_too_as_text_with_dots() {
        let variables = [
            ("ANGARIUM_KAFKA__PROPERTIES__SASL_PASSWORD", "12345678"),
            ("ANGARIUM_KAFKA__PROPERTIES__SSL.KEY.PASSWORD", "\"quoted\""),
            ("ANGARIUM_KAFKA__TOPIC_CONFIG__MIN_INSYNC_REPLICAS", "2"),
        ];
        let kafka = with("", &variables).unwrap().kafka;
        assert_eq!(kafka.properties["sasl.password"], "12345678");
        assert_eq!(kafka.properties["ssl.key.password"], "\"quoted\"");
        assert_eq!(kafka.topic_config["min.insync.replicas"], "2");
        let s3 = with("", &[("ANGARIUM_S3__ACCESS_KEY_ID", "12345678")]).unwrap().s3;
        assert_eq!(s3.access_key_id, "12345678");
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let config = with("[retention.\"*\"]\nage = \"36h\"\nbytes = 1000000", &[]).unwrap();
        assert_eq!(with(&config.show().unwrap(), &[]).unwrap(), config);
    }

    #[test]
    fn values_that_cannot_work_are_refused_with_their_key() {
        for (file, named) in [
            ("[log]\nlevel = \"loud\"", "log.level"),
            ("[http]\nheader_timeout = \"soon\"", "header_timeout"),
            ("[http]\nevent_bytes = 1", "http.event_bytes"),
            ("[http]\ninternal = \"inside\"", "http.internal"),
            ("[http.tls]\ncertificate = \"c.pem\"", "http.tls.key"),
            ("[http.tls]\nkey = \"k.pem\"", "http.tls.certificate"),
            ("[http.tls]\nclient_ca = \"ca.pem\"", "http.tls.client_ca"),
            ("[http]\ntrusted_proxies = [\"everybody\"]", "http.trusted_proxies"),
            ("[compat]\nanonymous = [\"x\"]", "compat.anonymous"),
            ("[dead_letters]\nkeep = \"0s\"", "dead_letters.keep"),
            ("[retention.events]\nage = \"0s\"", "retention.events"),
            ("[retention.evnets]\nage = \"1d\"", "retention.evnets"),
        ] {
            let message = with(file, &[]).unwrap_err().message().to_owned();
            assert!(message.contains(named), "{message}");
        }
    }
}
