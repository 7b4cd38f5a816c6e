//! Redis: a channel a topic (`{namespace}:{topic}`), and one connection for both ways (RESP3, so Redis 6 or later).
//!
//! A message comes in as a push and goes straight to the subscribers' mailboxes; no queue lies between.
//! Pub/sub leaves nothing in the database; the rate limits ([`limits`]) do, with an expiry.
//!
//! `rediss://` is checked by the system's certificates, or those of `?sslrootcert=FILE`; `#insecure` takes any.
//! In a cluster one node's URL is enough to publish and subscribe; limits are shared for the keys of that node only.

pub(crate) mod limits;

pub(crate) use limits::Shared;

use crate::{
    INVALID_FEED,
    hub::Hub,
    line::{self, Driver, Lost},
    outbox::Outgoing,
    target::Stripped,
    tls::{self, Trust},
};
use angarium_base::{Result, Secret, error::Context};
use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    RedisConnectionInfo, Value, aio::MultiplexedConnection,
};
use rustls::pki_types::ServerName;
use std::{convert::Infallible, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

pub(crate) struct Engine {
    host: String,
    port: u16,
    settings: RedisConnectionInfo,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    namespace: String,
    current: Current,
}

/// The connection that is up, for whoever shares it.
#[derive(Clone, Default)]
pub(crate) struct Current(Arc<Mutex<Option<MultiplexedConnection>>>);

impl Current {
    pub fn get(&self) -> Option<MultiplexedConnection> {
        self.0.lock().clone()
    }
}

/// Takes the connection back when its driver ends.
struct Lent(Current);

impl Drop for Lent {
    fn drop(&mut self) {
        *self.0.0.lock() = None;
    }
}

impl Engine {
    /// # Errors
    /// `invalid_feed` when the URL is not one.
    pub fn new(url: &Secret, namespace: &str) -> Result<Engine> {
        let (scheme, rest) = url.expose().split_once("://").unwrap_or_default();
        let stripped = Stripped::new(&format!("redis://{rest}"), &["sslrootcert"]);
        // The library's error may repeat the URL, and with it the password.
        let info = (stripped.url.as_str().into_connection_info()).map_err(|_| {
            INVALID_FEED.err("the feed's URL is not redis://[user:password@]host[:port][/db]")
        })?;
        let ConnectionAddr::Tcp(host, port) = info.addr().clone() else {
            return Err(INVALID_FEED.err("the feed's URL names no host"));
        };
        let tls = match scheme {
            "rediss" => {
                let trust = match (stripped.fragment.as_deref(), stripped.get("sslrootcert")) {
                    (Some("insecure"), _) => Trust::Anybody,
                    (_, Some(path)) => Trust::File(path),
                    (_, None) => Trust::System,
                };
                let name = ServerName::try_from(host.clone())
                    .or_error(INVALID_FEED, "the host in the feed's URL is not a name that TLS can check")?;
                Some((TlsConnector::from(Arc::new(tls::config(trust)?)), name))
            }
            _ => None,
        };
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Ok(Engine { host, port, settings, tls, namespace: namespace.to_owned(), current: Current::default() })
    }

    pub fn shared(&self) -> Shared {
        Shared::new(self.current.clone(), &self.namespace)
    }

    async fn over<C>(&self, stream: C, hub: &Arc<Hub>) -> std::result::Result<(Link, Driver), Lost>
    where
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let inbox = Arc::clone(hub);
        let take = move |push: PushInfo| {
            if let (PushKind::Message, [_, Value::BulkString(frame)]) = (&push.kind, push.data.as_slice()) {
                inbox.receive(frame);
            }
            Ok::<_, Infallible>(())
        };
        // What has to be done in time is timed by the line, and by the limits.
        let config = AsyncConnectionConfig::new().set_push_sender(take).set_response_timeout(None);
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&self.settings, stream, config).await?;
        *self.current.0.lock() = Some(connection.clone());
        let lent = Lent(self.current.clone());
        let driver = Box::pin(async move {
            let _lent = lent;
            driver.await;
            Lost::from("the server closed the connection")
        });
        Ok((Link { connection, namespace: self.namespace.clone() }, driver))
    }
}

impl line::Engine for Engine {
    type Link = Link;

    async fn connect(&self, hub: &Arc<Hub>) -> std::result::Result<(Link, Driver), Lost> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => self.over(stream, hub).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await?;
                self.over(stream, hub).await
            }
        }
    }
}

pub(crate) struct Link {
    connection: MultiplexedConnection,
    namespace: String,
}

impl Link {
    fn channel(&self, topic: &str) -> String {
        format!("{}:{topic}", self.namespace)
    }

    fn channels(&self, topics: &[Arc<str>]) -> Vec<String> {
        topics.iter().map(|topic| self.channel(topic)).collect()
    }
}

impl line::Link for Link {
    async fn follow(&mut self, topics: &[Arc<str>]) -> std::result::Result<(), Lost> {
        let channels = self.channels(topics);
        Ok(self.connection.subscribe(channels).await?)
    }

    async fn leave(&mut self, topics: &[Arc<str>]) -> std::result::Result<(), Lost> {
        let channels = self.channels(topics);
        Ok(self.connection.unsubscribe(channels).await?)
    }

    async fn send(&mut self, batch: &[Outgoing]) -> std::result::Result<(), Lost> {
        let mut commands = redis::pipe();
        for outgoing in batch {
            let channel = self.channel(&outgoing.topic);
            commands.cmd("PUBLISH").arg(channel).arg(&outgoing.frame[..]).ignore();
        }
        Ok(commands.query_async::<()>(&mut self.connection).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_a_wrong_one_is_not_repeated() {
        let engine = Engine::new(&Secret::new("rediss://u:p%40w@example.org:7000/3#insecure"), "ns").unwrap();
        assert_eq!((engine.host.as_str(), engine.port, engine.settings.db()), ("example.org", 7000, 3));
        assert_eq!(engine.settings.password(), Some("p@w"));
        assert!(engine.tls.is_some());
        for wrong in ["redis://:hush@", "redis://:hush@h/x", "rediss://:hush@h?sslrootcert=/nowhere"] {
            let Err(error) = Engine::new(&Secret::new(wrong), "ns") else { panic!("{wrong} was taken") };
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }
}
