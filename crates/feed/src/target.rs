//! Where the feed is: one text chooses *and* configures the engine.

use crate::INVALID_FEED;
use angarium_base::{Error, Result, Secret};
use std::str::FromStr;

/// An engine and how to reach it. URLs may hold a password, so they are secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Within this process.
    Local,
    /// `redis://[user:password@]host[:port][/db]`, `rediss://…` for TLS. Redis 6 or later, Valkey.
    Redis(Secret),
    /// `postgres://user:password@host[:port]/database[?sslmode=…]`, directly and not through a pooler.
    Postgres(Secret),
}

impl Target {
    /// The engine's name, as [`crate::Status`] shows it.
    pub fn engine(&self) -> &'static str {
        match self {
            Target::Local => "local",
            Target::Redis(_) => "redis",
            Target::Postgres(_) => "postgres",
        }
    }
}

impl FromStr for Target {
    type Err = Error;

    /// Looks at the scheme; the rest of the URL is read when the feed is opened.
    fn from_str(text: &str) -> Result<Target> {
        match text.split_once("://").map_or(text, |(scheme, _)| scheme) {
            "local" => Ok(Target::Local),
            "redis" | "rediss" => Ok(Target::Redis(Secret::new(text))),
            "postgres" | "postgresql" => Ok(Target::Postgres(Secret::new(text))),
            _ => Err(INVALID_FEED.err("a feed is `local`, redis://…, rediss://… or postgres://…")),
        }
    }
}

/// Takes what we understand ourselves out of a URL: `key=value` pairs of its query, and its fragment.
pub(crate) struct Stripped {
    pub url: String,
    pub fragment: Option<String>,
    taken: Vec<(String, String)>,
}

impl Stripped {
    pub fn new(url: &str, keys: &[&str]) -> Stripped {
        let (url, fragment) = match url.split_once('#') {
            Some((url, fragment)) => (url, Some(fragment.to_owned())),
            None => (url, None),
        };
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut taken = Vec::new();
        let mut left = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((key, value)) if keys.contains(&key) => taken.push((key.to_owned(), value.to_owned())),
                _ => left.push(pair),
            }
        }
        let url = if left.is_empty() { base.to_owned() } else { format!("{base}?{}", left.join("&")) };
        Stripped { url, fragment, taken }
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.taken.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_its_engine_and_hides_its_password() {
        for (text, engine) in [
            ("local", "local"),
            ("redis://:pw@h", "redis"),
            ("rediss://u:pw@h:1/2", "redis"),
            ("postgres://u:pw@h/d", "postgres"),
            ("postgresql://u:pw@h/d", "postgres"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.engine(), engine);
            assert!(!format!("{target:?}").contains("pw"));
        }
        let refused = "kafka://u:pw@h".parse::<Target>().unwrap_err();
        assert_eq!(refused.code().name, "invalid_feed");
        assert!(!format!("{refused:?}").contains("pw"));
    }

    #[test]
    fn what_is_ours_is_taken_out_of_a_url() {
        let stripped = Stripped::new("postgres://h/d?a=1&sslmode=require&b=2#insecure", &["sslmode"]);
        assert_eq!(stripped.url, "postgres://h/d?a=1&b=2");
        assert_eq!(stripped.get("sslmode"), Some("require"));
        assert_eq!(stripped.fragment.as_deref(), Some("insecure"));
        assert_eq!(Stripped::new("redis://h?sslmode=x", &["sslmode"]).url, "redis://h");
    }
}
