//! Fetching a key set: one request, bounded in time and bytes, that follows nobody elsewhere.

use crate::{jwk, key::KeySet};
use reqwest::{
    Client, Url,
    header::{ACCEPT, HeaderValue},
};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// The largest key set.
pub const KEY_SET_MAX_BYTES: usize = 256 << 10;

/// Why a key set was not had: what may be shown, and for the log what lies behind it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub what: String,
    pub source: Option<reqwest::Error>,
}

impl From<&'static str> for Failure {
    fn from(what: &'static str) -> Failure {
        Failure { what: what.into(), source: None }
    }
}

/// Where a key set is, and how to get there.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    url: Url,
    client: Client,
}

impl Place {
    /// # Errors
    /// What is wrong with the URL, or with this system's TLS.
    pub fn new(url: &str, patience: Duration) -> Result<Place, String> {
        let url = Url::parse(url).map_err(|_| "the address of its key set is not a URL")?;
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err("the address of its key set is neither https:// nor http:// to this machine".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the address of its key set has a user or a password; key sets are public".into());
        }
        let client = client(url.scheme() == "https", patience)?;
        Ok(Place { url, client })
    }

    /// # Errors
    /// When there is no answer in time, another status than 200, too much of it, or no key set in it that has a usable key.
    pub async fn get(&self) -> Result<KeySet, Failure> {
        let accept = HeaderValue::from_static("application/jwk-set+json, application/json");
        let mut response =
            self.client.get(self.url.clone()).header(ACCEPT, accept).send().await.map_err(lost)?;
        match response.status().as_u16() {
            200 => {}
            status @ 300..400 => {
                let what =
                    format!("the server of the key set answered {status}; set the address that it leads to");
                return Err(Failure { what, source: None });
            }
            status => {
                let what = format!("the server of the key set answered {status}");
                return Err(Failure { what, source: None });
            }
        }
        let mut body = vec![];
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > KEY_SET_MAX_BYTES {
                return Err("the key set is larger than 256 KiB".into());
            }
            body.extend_from_slice(&chunk);
        }
        let keys = jwk::keys(&body)?;
        // More likely a fault of the server's than an issuer without keys: what was had goes on.
        match keys.0.is_empty() {
            true => Err("the key set has no key that can be used here".into()),
            false => Ok(keys),
        }
    }
}

fn lost(error: reqwest::Error) -> Failure {
    let what = match error.is_timeout() {
        true => "the server of the key set did not answer in time",
        false => "the server of the key set cannot be reached",
    };
    Failure { what: what.into(), source: Some(error.without_url()) }
}

fn client(trusts_system: bool, patience: Duration) -> Result<Client, String> {
    Client::builder()
        .user_agent(concat!("angarium/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls(trusts_system).map_err(|error| format!("no TLS: {error}"))?)
        .https_only(trusts_system)
        .no_proxy()
        // What a redirect leads to is nobody's whom the settings name.
        .redirect(reqwest::redirect::Policy::none())
        .timeout(patience)
        .pool_max_idle_per_host(1)
        .build()
        .map_err(|error| format!("no HTTP client: {}", error.without_url()))
}

/// The system's own root certificates; none are read when the server speaks plain HTTP.
fn tls(trusts_system: bool) -> Result<rustls::ClientConfig, rustls::Error> {
    use rustls_platform_verifier::BuilderVerifierExt;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(match trusts_system {
        true => config.with_platform_verifier()?.with_no_client_auth(),
        false => config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth(),
    })
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
