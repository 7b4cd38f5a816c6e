//! One connection pool, one key, and how a single call is sent, repeated and read.

use crate::{
    error::{Error, Problem, Result},
    retry::{self, Retry},
};
use bytes::{Bytes, BytesMut};
use reqwest::{
    Method, RequestBuilder, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From the first byte sent to the last byte read, on top of what a long poll asked for.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read into memory.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// A client of one Angarium server. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<Url>,
    authorization: Option<HeaderValue>,
    retry: Retry,
}

/// What one operation sends.
pub(crate) struct Call {
    pub method: Method,
    pub url: Url,
    pub body: Option<(&'static str, Bytes)>,
    pub timeout: Duration,
    /// Whether sending it twice does no more than sending it once.
    pub idempotent: bool,
    /// The `Idempotency-Key` by which the server tells a call that is sent again from another one.
    pub once: Option<String>,
}

impl Call {
    /// A call without a body that may be repeated.
    pub fn of(method: Method, url: Url, timeout: Duration) -> Call {
        Call { method, url, body: None, timeout, idempotent: true, once: None }
    }

    fn with_json(self, body: &impl Serialize) -> Result<Call> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Setup(error.to_string()))?;
        Ok(Call { body: Some(("application/json", body.into())), ..self })
    }
}

pub(crate) struct Answer {
    pub status: u16,
    pub body: Bytes,
    retry_after: Option<Duration>,
}

impl Client {
    /// A client of the server at `url` (`http://` or `https://`, a path prefix is kept), speaking with `key`.
    ///
    /// Nothing is sent yet. Errors: [`Error::Setup`] if the URL or the key cannot be used, or if the system
    /// has no root certificates for an `https` URL.
    pub fn new(url: &str, key: Option<&str>) -> Result<Client> {
        let base = parse_base(url)?;
        let trusted = if base.scheme() == "https" { Trusted::System } else { Trusted::Nobody };
        Client::build(base, key, trusted)
    }

    /// The same, trusting the authorities whose certificates are in `ca_pem` and no others.
    ///
    /// Errors: [`Error::Setup`] also if `ca_pem` has no certificate.
    pub fn with_ca(url: &str, key: Option<&str>, ca_pem: &[u8]) -> Result<Client> {
        Client::build(parse_base(url)?, key, Trusted::These(ca_pem))
    }

    fn build(base: Url, key: Option<&str>, trusted: Trusted<'_>) -> Result<Client> {
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("angarium-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // An API does not redirect, and the key is for this server only.
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls(trusted)?);
        if is_loopback(&base) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| Error::Setup(format!("no HTTP client: {error}")))?;
        let authorization = key.map(bearer).transpose()?;
        Ok(Client { http, base: Arc::new(base), authorization, retry: Retry::default() })
    }

    /// The same client with another patience.
    pub fn with_retry(mut self, retry: Retry) -> Client {
        self.retry = retry;
        self
    }

    /// The server's URL, without user and password.
    pub fn server(&self) -> String {
        let mut url = Url::clone(&self.base);
        // A URL that cannot have them has none.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// The URL of a path, each segment percent-encoded.
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = Url::clone(&self.base);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, url: Url, wait: Duration) -> Result<T> {
        let answer = self.answer(Call::of(Method::GET, url, CALL_TIMEOUT + wait)).await?;
        self.read(&answer)
    }

    /// Posts JSON to an operation that may be repeated.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        url: Url,
        body: &impl Serialize,
        wait: Duration,
    ) -> Result<T> {
        let call = Call::of(Method::POST, url, CALL_TIMEOUT + wait).with_json(body)?;
        let answer = self.answer(call).await?;
        self.read(&answer)
    }

    /// Posts JSON to an operation that makes something, once for each `Idempotency-Key`; a random one if not given.
    pub(crate) async fn create<T: DeserializeOwned>(
        &self,
        url: Url,
        body: &impl Serialize,
        once: Option<&str>,
    ) -> Result<T> {
        let once = once.map_or_else(|| format!("cli_{:032x}", fastrand::u128(..)), str::to_owned);
        let call = Call { once: Some(once), ..Call::of(Method::POST, url, CALL_TIMEOUT).with_json(body)? };
        let answer = self.answer(call).await?;
        self.read(&answer)
    }

    /// Sets what `body` names, which twice is the same as once.
    pub(crate) async fn change<T: DeserializeOwned>(&self, url: Url, body: &impl Serialize) -> Result<T> {
        self.set(Method::PATCH, url, body).await
    }

    /// The same by another method.
    pub(crate) async fn set<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: &impl Serialize,
    ) -> Result<T> {
        let call = Call::of(method, url, CALL_TIMEOUT).with_json(body)?;
        let answer = self.answer(call).await?;
        self.read(&answer)
    }

    /// Deletes what is there. When an earlier attempt got no proper answer, not to be there any more is what was wanted.
    pub(crate) async fn delete(&self, url: Url) -> Result<()> {
        let mut lost = false;
        match self.answer_noting(Call::of(Method::DELETE, url, CALL_TIMEOUT), &mut lost).await {
            Err(Error::Refused(problem)) if lost && problem.status == 404 => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Sends a call, again if that may help, and returns a successful answer.
    pub(crate) async fn answer(&self, call: Call) -> Result<Answer> {
        self.answer_noting(call, &mut false).await
    }

    /// The same; `lost` becomes true with an attempt of which nobody knows what it did.
    async fn answer_noting(&self, call: Call, lost: &mut bool) -> Result<Answer> {
        let mut attempt = 1;
        loop {
            let (error, asked) = match self.exchange(&call).await {
                Ok(answer) if answer.is_success() => return Ok(answer),
                Ok(answer) => {
                    *lost |= answer.status >= 500;
                    let problem = self.problem(&answer);
                    let (asked, passing) =
                        (problem.retry_after, retry::is_passing(problem.status, &problem.code));
                    let error = Error::Refused(Box::new(problem));
                    if !passing {
                        return Err(error);
                    }
                    (error, asked)
                }
                Err(error @ Error::Unreachable { .. }) => {
                    *lost = true;
                    (error, None)
                }
                Err(error) => return Err(error),
            };
            match self.retry.wait(attempt, asked, fastrand::f64()).filter(|_| call.idempotent) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
            attempt += 1;
        }
    }

    /// Sends a call once and reads its answer, whatever its status.
    pub(crate) async fn exchange(&self, call: &Call) -> Result<Answer> {
        let mut request = self.request(call.method.clone(), call.url.clone()).timeout(call.timeout);
        if let Some((media_type, body)) = &call.body {
            request = request.header(CONTENT_TYPE, *media_type).body(body.clone());
        }
        if let Some(once) = &call.once {
            let once = HeaderValue::from_str(once)
                .map_err(|_| Error::Setup("an Idempotency-Key is visible ASCII".into()))?;
            request = request.header("idempotency-key", once);
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        self.receive(response).await
    }

    /// Opens an answer that is read piece by piece; an error answer is read and returned as the error.
    pub(crate) async fn open(&self, url: Url, accept: &'static str) -> Result<Response> {
        let request = self.request(Method::GET, url).header(ACCEPT, accept);
        let response = tokio::time::timeout(CALL_TIMEOUT, request.send())
            .await
            .map_err(|late| self.unreachable(late))?
            .map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = tokio::time::timeout(CALL_TIMEOUT, self.receive(response))
            .await
            .map_err(|late| self.unreachable(late))??;
        Err(self.refusal(&answer))
    }

    pub(crate) fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Unreachable { server: self.server(), source: source.into() }
    }

    pub(crate) fn unreadable(&self, detail: impl fmt::Display) -> Error {
        Error::Unreadable { server: self.server(), detail: detail.to_string() }
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T> {
        serde_json::from_slice(&answer.body).map_err(|error| self.unreadable(error))
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.authorization {
            Some(key) => request.header(AUTHORIZATION, key.clone()),
            None => request,
        }
    }

    async fn receive(&self, mut response: Response) -> Result<Answer> {
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(self.unreadable(format_args!("an answer of more than {MAX_ANSWER_BYTES} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, body: body.freeze(), retry_after })
    }

    fn refusal(&self, answer: &Answer) -> Error {
        Error::Refused(Box::new(self.problem(answer)))
    }

    /// The problem that an answer carries, or one made from its status if it carries none.
    fn problem(&self, answer: &Answer) -> Problem {
        let mut problem: Problem = serde_json::from_slice(&answer.body).unwrap_or_default();
        problem.status = answer.status;
        problem.retry_after = answer.retry_after;
        if problem.detail.is_empty() && problem.title.is_empty() {
            problem.detail = format!("{} answered without saying why", self.server());
        }
        problem
    }
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Shows the server, never the key.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.server()).field("retry", &self.retry).finish()
    }
}

/// A duration as the API writes it: `20s`, or `1500ms` where seconds are too coarse.
pub(crate) fn duration_text(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

fn parse_base(url: &str) -> Result<Url> {
    let base = Url::parse(url).map_err(|error| Error::Setup(format!("{url:?} is not a URL: {error}")))?;
    match base.scheme() {
        "http" | "https" => Ok(base),
        other => Err(Error::Setup(format!("a URL starts with http:// or https://, not with {other}:"))),
    }
}

fn bearer(key: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.trim()))
        .map_err(|_| Error::Setup("the key has characters that no key has".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether the server is on this machine, where no proxy can be in between.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Whose certificates a server may show.
enum Trusted<'a> {
    /// No root certificates are read: the server speaks plain HTTP.
    Nobody,
    System,
    /// Authorities, in PEM.
    These(&'a [u8]),
}

fn tls(trusted: Trusted<'_>) -> Result<rustls::ClientConfig> {
    use rustls_platform_verifier::BuilderVerifierExt;
    let no_tls = |error: rustls::Error| Error::Setup(format!("no TLS: {error}"));
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(no_tls)?;
    let config = match trusted {
        Trusted::System => config.with_platform_verifier().map_err(no_tls)?,
        Trusted::Nobody => config.with_root_certificates(RootCertStore::empty()),
        Trusted::These(pem) => config.with_root_certificates(roots(pem)?),
    };
    Ok(config.with_no_client_auth())
}

fn roots(pem: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| {
            Error::Setup(format!("a certificate of the authority cannot be used: {error}"))
        })?;
    }
    match roots.is_empty() {
        true => Err(Error::Setup("there is no certificate of an authority in PEM".into())),
        false => Ok(roots),
    }
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3); its other form, a date, is not what Angarium sends.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_made_from_a_url_and_shows_no_key() {
        let client = Client::new("https://user:pw@example.org/angarium/", Some("ang_sk_secret")).unwrap();
        assert_eq!(client.server(), "https://example.org/angarium");
        assert_eq!(client.url(&["v1", "apps", "a/b"]).path(), "/angarium/v1/apps/a%2Fb");
        let shown = format!("{client:?}");
        assert!(!shown.contains("secret") && !shown.contains("pw"), "{shown}");
        for (url, key) in [("localhost:8080", None), ("not a url", None), ("http://h", Some("a\nb"))] {
            assert!(matches!(Client::new(url, key), Err(Error::Setup(_))), "{url}");
        }
        for pem in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let made = Client::with_ca("https://h", None, pem.as_bytes());
            assert!(matches!(made, Err(Error::Setup(_))), "{pem}");
        }
    }

    #[test]
    fn durations_are_written_as_the_api_reads_them() {
        for (ms, text) in [(0, "0s"), (20_000, "20s"), (1_500, "1500ms")] {
            assert_eq!(duration_text(Duration::from_millis(ms)), text);
        }
    }
}
