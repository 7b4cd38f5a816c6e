//! PostgreSQL: LISTEN/NOTIFY, a channel a topic, one connection for both ways; nothing is kept in a table.
//!
//! A channel's name is a hash, because names are short (63 bytes). A batch is one transaction; frames travel as
//! text, and large ones in [`parts`]. Listening needs a session of its own: a pooler in transaction mode
//! (PgBouncer) will not do, nor will a standby.
//!
//! | `sslmode` | |
//! |---|---|
//! | `disable` | plain |
//! | `prefer` (default), `allow` | encrypted if the server can, not verified |
//! | `require` | encrypted, not verified |
//! | `verify-full`, `verify-ca` | verified by the server's name, with the system's certificates or those of `sslrootcert=FILE` |
//!
//! As in libpq, `sslrootcert` turns `require` into `verify-ca`.

mod parts;

use crate::{
    INVALID_FEED,
    hub::Hub,
    line::{self, Driver, Lost},
    outbox::Outgoing,
    target::Stripped,
    tls::{self, Trust},
};
use angarium_base::{Result, Secret, secret};
use parts::Assembly;
use std::{fmt::Write, future::poll_fn, sync::Arc, time::Duration};
use tokio_postgres::{AsyncMessage, Client, Config, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

pub(crate) struct Engine {
    config: Config,
    tls: MakeRustlsConnect,
    namespace: String,
}

impl Engine {
    /// # Errors
    /// `invalid_feed` when the URL is not one.
    pub fn new(url: &Secret, namespace: &str) -> Result<Engine> {
        let stripped = Stripped::new(url.expose(), &["sslmode", "sslrootcert"]);
        // The library's error is not passed on: it may repeat parts of the URL.
        let mut config: Config = (stripped.url.parse()).map_err(|_| {
            INVALID_FEED.err("the feed's URL is not postgres://user:password@host[:port]/database")
        })?;
        let roots = match stripped.get("sslrootcert") {
            None | Some("system") => Trust::System,
            Some(path) => Trust::File(path),
        };
        let (mode, trust) = match (stripped.get("sslmode").unwrap_or("prefer"), roots) {
            ("disable", _) => (SslMode::Disable, Trust::Anybody),
            ("prefer" | "allow", _) => (SslMode::Prefer, Trust::Anybody),
            ("require", Trust::System) => (SslMode::Require, Trust::Anybody),
            ("require" | "verify-ca" | "verify-full", roots) => (SslMode::Require, roots),
            _ => return Err(INVALID_FEED.err("sslmode is disable, prefer, require or verify-full")),
        };
        config.ssl_mode(mode);
        if config.get_application_name().is_none() {
            config.application_name("angarium feed");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        let tls = MakeRustlsConnect::new(tls::config(trust)?);
        Ok(Engine { config, tls, namespace: namespace.to_owned() })
    }
}

impl line::Engine for Engine {
    type Link = Link;

    async fn connect(&self, hub: &Arc<Hub>) -> std::result::Result<(Link, Driver), Lost> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let inbox = Arc::clone(hub);
        let driver = Box::pin(async move {
            let mut assembly = Assembly::default();
            loop {
                match poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(note))) => {
                        if let Some(frame) = assembly.put(note.process_id(), note.payload()) {
                            inbox.receive(&frame);
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Lost::from(error),
                    None => return Lost::from("the server closed the connection"),
                }
            }
        });
        Ok((Link { client, namespace: self.namespace.clone() }, driver))
    }
}

pub(crate) struct Link {
    client: Client,
    namespace: String,
}

impl Link {
    /// A name that needs no quotes: `feed_` and 160 bits of a hash.
    fn channel(&self, topic: &str) -> String {
        let hash = secret::hash(&format!("{}:{topic}", self.namespace));
        format!("feed_{}", secret::hex(&hash[..20]))
    }

    async fn each(&self, command: &str, topics: &[Arc<str>]) -> std::result::Result<(), Lost> {
        let mut commands = String::new();
        for topic in topics {
            // Writing into a String cannot fail.
            let _ = write!(commands, "{command} {};", self.channel(topic));
        }
        Ok(self.client.batch_execute(&commands).await?)
    }
}

impl line::Link for Link {
    async fn follow(&mut self, topics: &[Arc<str>]) -> std::result::Result<(), Lost> {
        self.each("LISTEN", topics).await
    }

    async fn leave(&mut self, topics: &[Arc<str>]) -> std::result::Result<(), Lost> {
        self.each("UNLISTEN", topics).await
    }

    async fn send(&mut self, batch: &[Outgoing]) -> std::result::Result<(), Lost> {
        let mut commands = String::new();
        for outgoing in batch {
            let channel = self.channel(&outgoing.topic);
            for part in parts::of(outgoing.number, &outgoing.frame) {
                // Of letters, digits, `+`, `/`, `=`, `.`: nothing in it could end the literal.
                let _ = write!(commands, "NOTIFY {channel},'{part}';");
            }
        }
        Ok(self.client.batch_execute(&commands).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_a_wrong_one_is_not_repeated() {
        let mode = |query: &str| {
            let url = Secret::new(format!("postgres://u:hush@h/d{query}"));
            Engine::new(&url, "ns").map(|engine| engine.config.get_ssl_mode())
        };
        assert_eq!(mode("").unwrap(), SslMode::Prefer);
        assert_eq!(mode("?sslmode=disable&application_name=x").unwrap(), SslMode::Disable);
        assert_eq!(mode("?sslmode=require").unwrap(), SslMode::Require);
        assert_eq!(mode("?sslmode=verify-full").unwrap(), SslMode::Require);
        for wrong in ["?sslmode=hush", "?sslmode=verify-full&sslrootcert=/nowhere", "?nothing=hush"] {
            let error = mode(wrong).unwrap_err();
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }
}
