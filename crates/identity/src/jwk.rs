//! Keys from a key set (RFC 7517 §5). What cannot be used here is left out, as §5 asks for: other key types, keys for
//! encryption, weak and damaged ones. A secret is left out too: whoever can read the set could sign with it.

use crate::{
    algorithm::Algorithm,
    key::{Key, KeySet, Material},
    token::{base64url, json_object},
};
use serde_json::{Map, Value};

/// The most keys that a set may have.
pub const KEYS_MAX: usize = 100;

/// The usable keys of a set.
///
/// # Errors
/// What is wrong, when it is no key set or has too many keys.
pub(crate) fn keys(body: &[u8]) -> Result<KeySet, &'static str> {
    let set = json_object(body).ok_or("the answer is not a key set")?;
    let listed = set.get("keys").and_then(Value::as_array).ok_or("the answer is not a key set")?;
    if listed.len() > KEYS_MAX {
        return Err("the key set has more than 100 keys");
    }
    Ok(KeySet(listed.iter().filter_map(Value::as_object).filter_map(key).collect()))
}

fn key(jwk: &Map<String, Value>) -> Option<Key> {
    let text = |name| jwk.get(name).and_then(Value::as_str);
    let bytes = |name| text(name).and_then(base64url);
    if !is_for_signatures(jwk) {
        return None;
    }
    let material = match (text("kty")?, text("crv")) {
        ("RSA", _) => Material::rsa(&bytes("n")?, &bytes("e")?),
        // Coordinates have the full length of the curve's field (RFC 7518 §6.2.1.2).
        ("EC", Some("P-256")) => Material::point(&point(&bytes("x")?, &bytes("y")?, 32)?),
        ("EC", Some("P-384")) => Material::point(&point(&bytes("x")?, &bytes("y")?, 48)?),
        ("OKP", Some("Ed25519")) => Material::ed25519(&bytes("x")?),
        _ => return None,
    };
    // An algorithm that is not known here is one that no token is taken with.
    let algorithm = match jwk.get("alg") {
        Some(name) => Some(Algorithm::named(name.as_str()?)?),
        None => None,
    };
    let id = match jwk.get("kid") {
        Some(id) => Some(id.as_str()?.into()),
        None => None,
    };
    Some(Key { id, algorithm, material: material.ok()? })
}

/// `use` and `key_ops` (RFC 7517 §4.2, §4.3), where they are there.
fn is_for_signatures(jwk: &Map<String, Value>) -> bool {
    let by_use = jwk.get("use").is_none_or(|usage| usage == "sig");
    let by_operations = jwk.get("key_ops").is_none_or(|operations| {
        operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"))
    });
    by_use && by_operations
}

fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    (x.len() == length && y.len() == length).then(|| [&[4], x, y].concat())
}
