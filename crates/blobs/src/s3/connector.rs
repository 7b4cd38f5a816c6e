//! The client that S3 is reached with: the one that the workspace has anyway, its TLS by ring.
//!
//! It takes no proxy from the environment, follows no redirect, and has no deadline for a whole transfer: what is
//! bounded is how long nothing comes.

use object_store::{
    ClientOptions, Error,
    client::{HttpClient, HttpConnector},
};
use std::{sync::Arc, time::Duration};

const CONNECT: Duration = Duration::from_secs(5);
/// Connections that stay open for the next request.
const IDLE_CONNECTIONS: usize = 16;

#[derive(Debug)]
pub(super) struct Connector {
    pub(super) answer: Duration,
    pub(super) allow_http: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls().map_err(unusable)?)
            .https_only(!self.allow_http)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT.min(self.answer))
            .read_timeout(self.answer)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build()
            .map_err(unusable)?;
        Ok(HttpClient::new(client))
    }
}

fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    use rustls_platform_verifier::BuilderVerifierExt;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_platform_verifier()?.with_no_client_auth())
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: "S3", source: Box::new(error) }
}
