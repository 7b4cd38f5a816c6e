//! Plain HTTP with a key and no retries: what a test sends is what it wrote.

use crate::{World, tls_client};
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// Who calls a server, or several in turn: cheap to clone, and good for as long as they keep their ports.
#[derive(Clone)]
pub struct Caller {
    http: reqwest::Client,
    urls: Vec<String>,
    turn: Arc<AtomicUsize>,
    app: String,
    key: String,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Caller {
    /// `ca` is whom it trusts where the URL is `https`.
    pub(crate) fn new(url: &str, app: &str, key: &str, ca: &str) -> Caller {
        let http = client_with(tls_client(ca, None, &[]));
        let (urls, turn) = (vec![url.to_owned()], Arc::default());
        Caller { http, urls, turn, app: app.to_owned(), key: key.to_owned() }
    }

    /// Whoever calls these worlds through a load balancer: one after the other, and the next one where no
    /// connection is taken. A request that was sent is not sent again.
    pub fn balanced(worlds: &[&World]) -> Caller {
        let urls = worlds.iter().map(|world| world.url()).collect();
        Caller { urls, turn: Arc::default(), ..worlds[0].caller() }
    }

    /// The same caller with a new connection for each request.
    pub fn without_pool(&self) -> Caller {
        Caller { http: client_without_pool(), ..self.clone() }
    }

    /// Of the first server, if there are several.
    pub fn url(&self) -> &str {
        &self.urls[0]
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The URL of something of the app.
    pub fn path(&self, rest: &str) -> String {
        format!("{}{}", self.url(), self.in_app(rest))
    }

    fn in_app(&self, rest: &str) -> String {
        format!("/v1/apps/{}{rest}", self.app)
    }

    /// The same caller by another client.
    pub fn by(&self, http: reqwest::Client) -> Caller {
        Caller { http, ..self.clone() }
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
        let path = self.in_app(rest);
        self.in_turn(|url| self.http.get(format!("{url}{path}")).bearer_auth(&self.key)).await
    }

    pub async fn send(
        &self,
        method: Method,
        rest: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<Reply> {
        let (path, mut body) = (self.in_app(rest), Some(body.into()));
        let request = |url: &str| {
            let request = self.http.request(method.clone(), format!("{url}{path}")).bearer_auth(&self.key);
            // A body that is made on the way can be sent once; nobody sends one to several servers.
            let copy = body.as_ref().and_then(|body| body.as_bytes()).map(|bytes| bytes.to_vec().into());
            request.header(CONTENT_TYPE, content_type).body(copy.or_else(|| body.take()).unwrap_or_default())
        };
        self.in_turn(request).await
    }

    /// Sends something that needs no key.
    pub async fn try_open(&self, path: &str) -> reqwest::Result<Reply> {
        self.in_turn(|url| self.http.get(format!("{url}{path}"))).await
    }

    /// The answer of the server whose turn it is, or of the next one that takes a connection.
    async fn in_turn(
        &self,
        mut request: impl FnMut(&str) -> reqwest::RequestBuilder,
    ) -> reqwest::Result<Reply> {
        let first = self.turn.fetch_add(1, Relaxed);
        let mut turns = (first..first + self.urls.len()).map(|turn| &self.urls[turn % self.urls.len()]);
        let mut answer = read(request(turns.next().expect("there is a server"))).await;
        for url in turns {
            if !answer.as_ref().is_err_and(reqwest::Error::is_connect) {
                break;
            }
            answer = read(request(url)).await;
        }
        answer
    }
}

/// Sends a request and reads the answer to its end.
pub async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Ok(Reply { status, headers, body: answer.bytes().await?.to_vec() })
}

/// What a list of streams says of the one of this name.
///
/// # Panics
/// When it is not there.
pub fn stream_of(list: &Value, name: &str) -> Value {
    let mut items = list["items"].as_array().into_iter().flatten();
    items.find(|item| item["stream"] == name).unwrap_or_else(|| panic!("no stream {name}: {list}")).clone()
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
pub fn client_with(tls: rustls::ClientConfig) -> reqwest::Client {
    plain(tls).build().expect("a client whose TLS is made can always be made")
}

/// The same without TLS, which opens a connection for each request: some servers close idle ones without a word.
pub fn client_without_pool() -> reqwest::Client {
    let plain = plain(tls_client("", None, &[])).pool_max_idle_per_host(0);
    plain.build().expect("a client whose TLS is made can always be made")
}

fn plain(tls: rustls::ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(10))
        .timeout(crate::GUARD)
}
