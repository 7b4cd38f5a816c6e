//! Which pages may act for a person whom a proxy vouches for.
//!
//! A key or a token is put into a request by whoever has it. A proxy's word is in every request that a browser sends
//! through the proxy, whatever page has it sent: so what acts, and what opens a feed, has to come from a page of this
//! server, or of an origin that the app names. What only reads is left alone: no page of another origin sees the answer.

use super::{Asked, FOREIGN_ORIGIN};
use crate::Kit;
use angarium_base::Result;
use http::{HeaderMap, HeaderName, Method, Uri, header};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Where the proxy says which host it was asked for, if it asks this server by another name.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// # Errors
/// `foreign_origin`.
pub(super) fn check_page(kit: &Kit, asked: Asked<'_>) -> Result<()> {
    if !acts(asked) || is_own(asked.headers, asked.uri) || is_named(kit, asked) {
        return Ok(());
    }
    Err(FOREIGN_ORIGIN.err(
        "a page of another origin may not act for a person whom the proxy vouches for; \
         an admin of the app can name the page's origin (`cors_origins`), or the page sends a key or a token of its own",
    ))
}

/// Checks what is open to whoever is on this machine: a page from elsewhere is not, though the browser is, nor is one whose
/// name was made to lead here.
///
/// # Errors
/// `foreign_origin`.
pub fn check_open(kit: &Kit, asked: Asked<'_>) -> Result<()> {
    let host =
        text(asked.headers, &header::HOST).or(asked.uri.authority().map(|authority| authority.as_str()));
    let is_here = kit.anonymous.messages_named || host.is_none_or(names_this_machine);
    if is_here && is_own(asked.headers, asked.uri) {
        return Ok(());
    }
    Err(FOREIGN_ORIGIN.err(
        "without an identity this is open to this machine, not to pages from elsewhere: send a key or a token",
    ))
}

/// Whether nobody else can have this name, with a port or without.
fn names_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_loopback = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback || name.eq_ignore_ascii_case("localhost")
}

/// Whether the request changes something, or opens a feed.
fn acts(asked: Asked<'_>) -> bool {
    let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(asked.method);
    let wants_events =
        text(asked.headers, &header::ACCEPT).is_some_and(|it| it.contains("text/event-stream"));
    !is_safe || wants_events || asked.headers.contains_key(header::UPGRADE)
}

/// Whether a page of this server sends it, or no page at all. What browsers say of themselves, no page can write.
fn is_own(headers: &HeaderMap, uri: &Uri) -> bool {
    if headers.contains_key(&FETCH_SITE) {
        return matches!(text(headers, &FETCH_SITE), Some("same-origin" | "none"));
    }
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let Some((scheme, origin)) = text(headers, &header::ORIGIN).and_then(|origin| origin.split_once("://"))
    else {
        return false;
    };
    let forwarded = text(headers, &FORWARDED_HOST).and_then(|hosts| hosts.split(',').next());
    let asked_for = text(headers, &header::HOST).or(uri.authority().map(|authority| authority.as_str()));
    let hosts = [forwarded, asked_for];
    let mut hosts = hosts.iter().flatten().map(|host| host.trim());
    hosts.any(|host| without_port(scheme, host).eq_ignore_ascii_case(without_port(scheme, origin)))
}

/// An origin without the port that its scheme has anyway.
fn without_port<'a>(scheme: &str, host: &'a str) -> &'a str {
    let port = if scheme == "https" { ":443" } else { ":80" };
    host.strip_suffix(port).unwrap_or(host)
}

/// Whether the app of the path names the page's origin. `*` names none.
fn is_named(kit: &Kit, asked: Asked<'_>) -> bool {
    let app = kit.directory.app_of_path(asked.uri.path());
    text(asked.headers, &header::ORIGIN)
        .zip(app)
        .is_some_and(|(origin, app)| app.cors_origins.iter().any(|named| named == origin))
}

/// The value of a header that is there once.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let one = values.next().filter(|_| values.next().is_none())?;
    one.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(headers: &[(&'static str, &'static str)]) -> bool {
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), http::HeaderValue::from_static(value)));
        is_own(&pairs.collect(), &Uri::from_static("https://named.example/v1/apps"))
    }

    #[test]
    fn a_page_is_ones_own_when_the_browser_or_the_host_says_so() {
        assert!(own(&[]), "no browser");
        assert!(own(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://a.example"),
            ("host", "b:8080")
        ]));
        assert!(own(&[("sec-fetch-site", "none")]), "somebody typed the address");
        assert!(own(&[("origin", "https://a.example"), ("host", "a.example")]));
        assert!(own(&[("origin", "https://a.example"), ("host", "A.example:443")]));
        assert!(own(&[("origin", "http://a.example:8080"), ("host", "a.example:8080")]));
        assert!(own(&[("origin", "https://named.example")]), "HTTP/2 has no Host");
        let rewritten =
            [("origin", "https://a.example"), ("host", "10.0.0.1:8080"), ("x-forwarded-host", "a.example")];
        assert!(own(&rewritten), "behind a proxy");
    }

    #[test]
    fn a_page_of_another_origin_is_not() {
        assert!(!own(&[("sec-fetch-site", "cross-site")]));
        assert!(!own(&[
            ("sec-fetch-site", "same-site"),
            ("origin", "https://b.a.example"),
            ("host", "a.example")
        ]));
        assert!(!own(&[
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://a.example"),
            ("host", "a.example")
        ]));
        for origin in [
            "https://evil.example",
            "null",
            "",
            "https://a.example:8443",
            "http://a.example:443",
            "a.example",
        ] {
            assert!(!own(&[("origin", origin), ("host", "a.example")]), "{origin}");
        }
    }
}
