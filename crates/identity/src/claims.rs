//! What the claims of a token must be (RFC 7519 §4.1), and the identity they make. Pure: the instant is an argument.

use crate::{Identity, codes::INVALID_TOKEN};
use angarium_base::{Error, Result, clock::Millis, time};
use serde_json::{Map, Value};

/// The claim that the tenant is in, unless it is set otherwise, and how an old service wrote it.
pub(crate) const TENANT: &str = "tenantId";
const OLD_TENANT: &str = "tenentId";

const NAME_CHARACTERS: usize = 255;
/// The longest address (RFC 5321 §4.5.3.1): 64 before the `@`, 255 behind it.
const EMAIL_BYTES: usize = 320;

/// What an issuer's tokens are held to.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub issuer: String,
    pub audience: String,
    pub subject_claim: String,
    pub tenant_claim: String,
    pub email_claim: String,
    pub leeway_ms: Millis,
}

impl Rules {
    /// The identity that the claims make at `now`.
    ///
    /// # Errors
    /// `invalid_token`, which says what is wrong and shows no claim but `exp` and `nbf`.
    pub fn identity(&self, claims: &Map<String, Value>, now: Millis) -> Result<Identity> {
        let expires_at = self.check_time(claims, now)?;
        self.check_audience(claims)?;
        let subject = name(claims, &self.subject_claim)?.ok_or_else(|| missing(&self.subject_claim))?;
        Ok(Identity {
            issuer: self.issuer.clone(),
            tenant: self.tenant(claims)?,
            subject,
            email: self.email(claims),
            expires_at,
        })
    }

    /// `exp` (RFC 7519 §4.1.4): on or after it the token is over; `nbf` (§4.1.5): before it the token is not yet good.
    fn check_time(&self, claims: &Map<String, Value>, now: Millis) -> Result<Millis> {
        let expires_at = instant(claims, "exp")?.ok_or_else(|| missing("exp"))?;
        if now >= expires_at.saturating_add(self.leeway_ms) {
            let at = time::format(expires_at);
            return Err(
                INVALID_TOKEN.err(format!("the token expired at {at}; get a new one from its issuer"))
            );
        }
        match instant(claims, "nbf")? {
            Some(from) if now < from.saturating_sub(self.leeway_ms) => {
                let at = time::format(from);
                Err(INVALID_TOKEN
                    .err(format!("the token is good from {at} on; check the clocks if that is past")))
            }
            _ => Ok(expires_at),
        }
    }

    /// `aud` (RFC 7519 §4.1.3): one string, or several of which one is this server's.
    fn check_audience(&self, claims: &Map<String, Value>) -> Result<()> {
        let is_ours = match claims.get("aud") {
            None => return Err(missing("aud")),
            Some(Value::String(audience)) => *audience == self.audience,
            Some(Value::Array(all)) => {
                all.iter().all(Value::is_string) && all.iter().any(|one| *one == *self.audience)
            }
            Some(_) => false,
        };
        if is_ours {
            return Ok(());
        }
        let audience = &self.audience;
        Err(INVALID_TOKEN
            .err(format!("the token is for another audience; `aud` for this server is `{audience}`")))
    }

    fn tenant(&self, claims: &Map<String, Value>) -> Result<Option<String>> {
        let tenant = name(claims, &self.tenant_claim)?;
        if self.tenant_claim != TENANT {
            return Ok(tenant);
        }
        match (tenant, name(claims, OLD_TENANT)?) {
            (Some(one), Some(other)) if one != other => {
                Err(INVALID_TOKEN
                    .err(format!("the token has `{TENANT}` and `{OLD_TENANT}`, and they differ")))
            }
            (one, other) => Ok(one.or(other)),
        }
    }

    /// An address that is not verified, or is none, is left out: the token is good without it.
    fn email(&self, claims: &Map<String, Value>) -> Option<String> {
        let is_verified = match claims.get("email_verified") {
            None | Some(Value::Null | Value::Bool(true)) => true,
            // Some issuers write it as text.
            Some(Value::String(text)) => text == "true",
            Some(_) => false,
        };
        let email = claims.get(&self.email_claim)?.as_str()?;
        let is_address = email.len() <= EMAIL_BYTES
            && email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
            && !email.chars().any(|c| c.is_control() || c.is_whitespace());
        // Only ASCII: other letters have lower cases that make two people's addresses one.
        (is_verified && is_address).then(|| email.to_ascii_lowercase())
    }
}

/// A claim that names somebody.
fn name(claims: &Map<String, Value>, claim: &str) -> Result<Option<String>> {
    match claims.get(claim) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if is_name(name) => Ok(Some(name.clone())),
        Some(_) => {
            let rule = "is not a string of 1 to 255 characters without control characters";
            Err(INVALID_TOKEN.err(format!("the token's `{claim}` {rule}")))
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= NAME_CHARACTERS && !text.chars().any(char::is_control)
}

/// A NumericDate (RFC 7519 §2): seconds, which may have a fraction.
fn instant(claims: &Map<String, Value>, claim: &str) -> Result<Option<Millis>> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let whole = value.as_i64().map(|seconds| seconds.saturating_mul(1000));
    // The conversion saturates.
    let at = whole.or_else(|| value.as_f64().map(|seconds| (seconds * 1000.0) as Millis));
    at.map(Some).ok_or_else(|| INVALID_TOKEN.err(format!("the token's `{claim}` is not a number of seconds")))
}

fn missing(claim: &str) -> Error {
    INVALID_TOKEN.err(format!("the token has no `{claim}`; its issuer has to put it in"))
}
