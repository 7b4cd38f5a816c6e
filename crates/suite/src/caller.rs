//! Plain HTTP with a key and no retries: what a test sends is what it wrote.

use reqwest::{
    Method,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap},
};
use serde_json::Value;
use std::time::Duration;

/// Who calls a server: cheap to clone, and good for as long as the server keeps its port.
#[derive(Clone)]
pub struct Caller {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) app: String,
    pub(crate) key: String,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Caller {
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The URL of something of the app.
    pub fn path(&self, rest: &str) -> String {
        format!("{}/v1/apps/{}{rest}", self.url, self.app)
    }

    /// The same caller with another key.
    pub fn with_key(&self, key: &str) -> Caller {
        Caller { key: key.to_owned(), ..self.clone() }
    }

    /// Error: no answer, or none to its end.
    pub async fn try_post(
        &self,
        rest: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<Reply> {
        self.send(Method::POST, rest, content_type, body).await
    }

    /// Error: no answer, or none to its end.
    pub async fn try_get(&self, rest: &str) -> reqwest::Result<Reply> {
        read(self.http.get(self.path(rest)).header(AUTHORIZATION, format!("Bearer {}", self.key))).await
    }

    pub async fn send(
        &self,
        method: Method,
        rest: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<Reply> {
        let request = self.http.request(method, self.path(rest));
        let request = request.header(AUTHORIZATION, format!("Bearer {}", self.key));
        read(request.header(CONTENT_TYPE, content_type).body(body)).await
    }

    /// Sends something that needs no key.
    pub async fn try_open(&self, path: &str) -> reqwest::Result<Reply> {
        read(self.http.get(format!("{}{path}", self.url))).await
    }
}

/// Sends a request and reads the answer to its end.
pub async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok(Reply { status, headers, body: answer.bytes().await?.to_vec() })
}

impl Reply {
    /// # Panics
    /// When the body is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in answer {}: {}", self.status, self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The stable code of a problem; empty when the answer is none.
    pub fn code(&self) -> String {
        let problem: Option<Value> = serde_json::from_slice(&self.body).ok();
        problem.as_ref().and_then(|p| p["code"].as_str()).unwrap_or_default().to_owned()
    }

    /// A header's value; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A client that does what it is told once: no retries, no redirects, no proxy.
pub(crate) fn client() -> reqwest::Client {
    plain().build().expect("a client without TLS certificates can always be made")
}

/// The same, which opens a connection for each request: some servers close idle ones without a word.
pub fn client_without_pool() -> reqwest::Client {
    plain().pool_max_idle_per_host(0).build().expect("a client without TLS certificates can always be made")
}

fn plain() -> reqwest::ClientBuilder {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(10))
        .timeout(crate::GUARD)
}
