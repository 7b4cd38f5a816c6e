//! A token in compact form (RFC 7515 §7.1), taken apart and not yet believed.

use crate::{algorithm::Algorithm, codes::INVALID_TOKEN};
use angarium_base::{
    Result,
    json::{Limits, Reader},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// The longest token.
pub const TOKEN_MAX_BYTES: usize = 8 << 10;

/// What header, claims and key sets may hold.
const LIMITS: Limits = Limits { depth: 16, members: 1_000 };

/// Whether a text is meant as a token: three parts of base64url characters between dots, the last of them empty when
/// nobody has signed it. Says nothing about whether it is a good one.
pub fn looks_like_token(text: &str) -> bool {
    let is_base64url = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let mut parts = text.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    !header.is_empty() && !claims.is_empty() && [header, claims, signature].into_iter().all(is_base64url)
}

/// The parts of a token.
pub(crate) struct Token<'a> {
    /// `None` when the token names one that is not known here, like `none`.
    pub algorithm: Option<Algorithm>,
    /// The `kid`.
    pub key_id: Option<String>,
    pub claims: Map<String, Value>,
    /// What is signed.
    pub message: &'a str,
    pub signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// # Errors
    /// `invalid_token` when it is not a token, or one with extensions.
    pub fn parse(text: &'a str) -> Result<Token<'a>> {
        if text.len() > TOKEN_MAX_BYTES {
            return Err(
                INVALID_TOKEN.err("the token is longer than 8192 bytes; ask its issuer for fewer claims")
            );
        }
        let malformed = || INVALID_TOKEN.err("the token is not a JSON Web Token in compact form");
        if !looks_like_token(text) {
            return Err(malformed());
        }
        let (message, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = message.split_once('.').ok_or_else(malformed)?;
        let part = |text| base64url(text).as_deref().and_then(json_object).ok_or_else(malformed);
        let (header, claims) = (part(header)?, part(claims)?);
        let (algorithm, key_id) = read_header(&header)?;
        Ok(Token {
            algorithm,
            key_id,
            claims,
            message,
            signature: base64url(signature).ok_or_else(malformed)?,
        })
    }
}

/// Algorithm and `kid`. Keys and addresses of keys in the header (`jwk`, `jku`, `x5c`, `x5u`) are not looked at.
fn read_header(header: &Map<String, Value>) -> Result<(Option<Algorithm>, Option<String>)> {
    if header.contains_key("crit") {
        return Err(INVALID_TOKEN.err("the token's header has `crit`, and no extension is understood here"));
    }
    if !header.get("typ").is_none_or(is_access_token) {
        return Err(
            INVALID_TOKEN.err("the token's `typ` is not `JWT` or `at+jwt`; it is a token for something else")
        );
    }
    let Some(Value::String(algorithm)) = header.get("alg") else {
        return Err(INVALID_TOKEN.err("the token's header has no `alg`"));
    };
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.clone()),
        Some(_) => return Err(INVALID_TOKEN.err("the token's `kid` is not a string")),
    };
    Ok((Algorithm::named(algorithm), key_id))
}

/// A token of another type (a logout token, a proof of possession) is not one to sign in with: RFC 8725 §3.11.
/// `application/` may be left out (RFC 7515 §4.1.9); `at+jwt` is from RFC 9068 §2.1.
fn is_access_token(typ: &Value) -> bool {
    let Some(typ) = typ.as_str().map(str::to_ascii_lowercase) else { return false };
    ["jwt", "at+jwt"].contains(&typ.strip_prefix("application/").unwrap_or(&typ))
}

/// The bytes of base64url without padding (RFC 7515 §2), written in the only way there is.
pub(crate) fn base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A JSON object whose members, at any depth, have different names (RFC 7515 §4, RFC 7519 §4).
pub(crate) fn json_object(bytes: &[u8]) -> Option<Map<String, Value>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut reader = Reader::new(text, LIMITS);
    let value = reader.value().ok()?;
    reader.end().ok()?;
    if value.flaw.is_some() {
        return None;
    }
    match serde_json::from_str(value.text).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}
