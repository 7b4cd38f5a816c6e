//! What a request carries to say who calls, and whose it is.

use super::{Asked, Principal, UNAUTHENTICATED, User, page::check_page};
use crate::{Kit, http::Peer};
use angarium_base::{Error, Result};
use base64::Engine as _;
use http::{HeaderMap, header::AUTHORIZATION};
use std::sync::Arc;

/// What a request carries.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// An API key.
    Key(String),
    /// A JSON Web Token.
    Token(String),
}

impl Credential {
    /// Tells a key from a token.
    ///
    /// # Errors
    /// `unauthenticated` for what is neither.
    pub fn read(text: &str) -> Result<Credential> {
        if text.starts_with("ang_") {
            return Ok(Credential::Key(text.to_owned()));
        }
        if angarium_identity::looks_like_token(text) {
            return Ok(Credential::Token(text.to_owned()));
        }
        Err(UNAUTHENTICATED.err("this is neither a key (ang_sk_…, ang_wk_…) nor a JSON Web Token"))
    }

    /// Whose it is.
    ///
    /// # Errors
    /// `unauthenticated`, `invalid_token`; `identity_keys_unavailable` while an issuer's keys cannot be had.
    pub async fn principal(&self, kit: &Kit) -> Result<Principal> {
        match self {
            Credential::Key(key) => {
                let known = kit.directory.key(key, kit.clock.now());
                known.map(Principal::Key).ok_or_else(|| {
                    UNAUTHENTICATED.err(
                        "this key is not known, has expired or was revoked; an admin of the app makes another",
                    )
                })
            }
            Credential::Token(token) => {
                let identity = match kit.identity.known(token) {
                    Some(identity) => identity,
                    None => kit.identity.verify(token).await?,
                };
                Ok(Principal::User(Arc::new(User {
                    issuer: identity.issuer.clone(),
                    tenant: identity.tenant.clone().unwrap_or_default(),
                    subject: identity.subject.clone(),
                    email: identity.email.clone(),
                    good_until: Some(identity.expires_at.saturating_add(kit.identity.leeway_ms())),
                })))
            }
        }
    }
}

/// The key or token that the `Authorization` header carries, if there is one. With `basic`, the name of
/// `Authorization: Basic` may be a key.
///
/// # Errors
/// `unauthenticated` when there is a header and it cannot be read.
pub fn presented(headers: &HeaderMap, basic: bool) -> Result<Option<Credential>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let unreadable =
        || UNAUTHENTICATED.err("the Authorization header cannot be read; send one, `Bearer <key or token>`");
    if values.next().is_some() {
        return Err(unreadable());
    }
    let (scheme, rest) = value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or_else(unreadable)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Credential::read(rest.trim()).map(Some);
    }
    if basic && scheme.eq_ignore_ascii_case("basic") {
        let decoded =
            base64::engine::general_purpose::STANDARD.decode(rest.trim()).map_err(|_| unreadable())?;
        let pair = String::from_utf8(decoded).map_err(|_| unreadable())?;
        return Credential::read(pair.split(':').next().unwrap_or_default()).map(Some);
    }
    Err(unreadable())
}

/// Who calls, by the header or, where config trusts one, by a proxy's word.
///
/// # Errors
/// `unauthenticated` when nobody can be made out; `foreign_origin`.
pub(crate) async fn who(kit: &Kit, asked: Asked<'_>, basic: bool) -> Result<Principal> {
    match presented(asked.headers, basic)? {
        Some(credential) => credential.principal(kit).await,
        None => vouched_for(kit, asked)?.ok_or_else(no_identity),
    }
}

/// The user that a trusted proxy names in a header.
fn vouched_for(kit: &Kit, asked: Asked<'_>) -> Result<Option<Principal>> {
    let Some(proxy) = &kit.proxy else { return Ok(None) };
    let mut values = asked.headers.get_all(&proxy.header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let peer = asked.extensions.get::<Peer>().map(|Peer(address)| address.ip());
    if !peer.is_some_and(|address| proxy.is_trusted(address)) {
        // Whoever comes around the proxy may write what they like.
        return Ok(None);
    }
    let name = value.to_str().ok().map(|text| text.trim().to_lowercase());
    let name = name.filter(|name| is_email(name) && values.next().is_none());
    let email = name.ok_or_else(|| {
        let header = &proxy.header;
        UNAUTHENTICATED.err(format!("the proxy's header `{header}` is not one e-mail address"))
    })?;
    check_page(kit, asked)?;
    let (issuer, subject) = (PROXY_ISSUER.to_owned(), email.clone());
    let user = User { issuer, tenant: String::new(), subject, email: Some(email), good_until: None };
    Ok(Some(Principal::User(Arc::new(user))))
}

/// The issuer of users that a proxy names.
pub const PROXY_ISSUER: &str = "proxy";

/// Whether a text can be an address of e-mail: something, an `@`, something with a dot or a name; no white space.
pub fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    let is_plain = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@')
    };
    text.chars().count() <= 254 && is_plain(name) && is_plain(host)
}

fn no_identity() -> Error {
    UNAUTHENTICATED.err("this needs an identity: send `Authorization: Bearer <key or token>`")
}
