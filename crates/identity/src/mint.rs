//! Making a token: for development and for tests. A server signs nothing in production.

use crate::{
    Identity, Issuer,
    algorithm::Algorithm,
    codes::INVALID_IDENTITY_SETTINGS,
    key::{Key, Material, hmac_of},
};
use angarium_base::{Error, Result, Secret, clock::Millis};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
        RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
    },
};
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde_json::{Map, Value, json};

/// What a token is signed with.
#[derive(Clone, Debug)]
pub enum SigningKey {
    /// As in [`crate::Keys::Secret`].
    Secret(Secret),
    /// A private key as PEM text: PKCS #8 (`PRIVATE KEY`), or `RSA PRIVATE KEY`.
    Pem(Secret),
}

impl Issuer {
    /// The claims by which a token of this issuer speaks for `identity`, under the names that are set here. The audience
    /// is the issuer's own, or else `audience`.
    pub fn claims(&self, identity: &Identity, audience: &str, issued_at: Millis) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert("iss".into(), json!(self.issuer));
        claims.insert("aud".into(), json!(self.audience.as_deref().unwrap_or(audience)));
        claims.insert(self.subject_claim.clone(), json!(identity.subject));
        claims.insert("iat".into(), json!(issued_at.div_euclid(1000)));
        claims.insert("exp".into(), json!(identity.expires_at.div_euclid(1000)));
        if let Some(tenant) = &identity.tenant {
            claims.insert(self.tenant_claim.clone(), json!(tenant));
        }
        if let Some(email) = &identity.email {
            claims.insert(self.email_claim.clone(), json!(email));
        }
        claims
    }
}

/// A token with these claims, whatever they are, signed by `key` with the algorithm of that name; `key_id` becomes `kid`.
///
/// # Errors
/// `invalid_identity_settings` when the algorithm is not known, or does not fit the key.
pub fn mint(
    key: &SigningKey,
    algorithm: &str,
    key_id: Option<&str>,
    claims: &Map<String, Value>,
) -> Result<String> {
    let by = Algorithm::named(algorithm).ok_or_else(|| {
        wrong("that is no algorithm that tokens are signed with here; take HS256, RS256, ES256 or EdDSA")
    })?;
    let mut header = Map::new();
    header.insert("alg".into(), json!(by.name()));
    header.insert("typ".into(), json!("JWT"));
    if let Some(id) = key_id {
        header.insert("kid".into(), json!(id));
    }
    let part = |object: &Map<String, Value>| {
        URL_SAFE_NO_PAD.encode(serde_json::Value::Object(object.clone()).to_string())
    };
    let mut token = format!("{}.{}", part(&header), part(claims));
    let signature = sign(key, by, token.as_bytes())?;
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(token)
}

fn sign(key: &SigningKey, by: Algorithm, message: &[u8]) -> Result<Vec<u8>> {
    match key {
        SigningKey::Secret(secret) => {
            let hash = hmac_of(by)
                .filter(|_| Key::new(Material::Secret(secret.clone())).takes(by))
                .ok_or_else(|| wrong("a secret of 32, 48 or 64 bytes signs with HS256, HS384 or HS512"))?;
            Ok(hmac::sign(&hmac::Key::new(hash, secret.expose().as_bytes()), message).as_ref().to_vec())
        }
        SigningKey::Pem(text) => {
            let section = <(SectionKind, Vec<u8>)>::from_pem_slice(text.expose().as_bytes());
            let (kind, der) = section.map_err(|_| wrong("the signing key is not PEM text"))?;
            sign_with_private(kind, &der, by, message)
        }
    }
}

fn sign_with_private(kind: SectionKind, der: &[u8], by: Algorithm, message: &[u8]) -> Result<Vec<u8>> {
    match (kind, by) {
        (SectionKind::PrivateKey, Algorithm::Es256) => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, der, message),
        (SectionKind::PrivateKey, Algorithm::Es384) => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, der, message),
        (SectionKind::PrivateKey, Algorithm::EdDsa) => {
            // OpenSSL leaves the public key out, against which it would be checked.
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| unfit())?;
            Ok(pair.sign(message).as_ref().to_vec())
        }
        (SectionKind::PrivateKey | SectionKind::RsaPrivateKey, _) => {
            let encoding = rsa_of(by).ok_or_else(unfit)?;
            let pair = match kind {
                SectionKind::PrivateKey => rsa::KeyPair::from_pkcs8(der),
                _ => rsa::KeyPair::from_der(der),
            };
            let pair = pair.map_err(|_| unfit())?;
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), message, &mut signature).map_err(|_| unfit())?;
            Ok(signature)
        }
        _ => Err(wrong("the signing key is not PKCS #8; convert it with `openssl pkcs8 -topk8 -nodes`")),
    }
}

fn ecdsa(by: &'static EcdsaSigningAlgorithm, der: &[u8], message: &[u8]) -> Result<Vec<u8>> {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(by, der, &random).map_err(|_| unfit())?;
    Ok(pair.sign(&random, message).map_err(|_| unfit())?.as_ref().to_vec())
}

fn rsa_of(by: Algorithm) -> Option<&'static dyn RsaEncoding> {
    match by {
        Algorithm::Rs256 => Some(&RSA_PKCS1_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_SHA512),
        _ => None,
    }
}

fn unfit() -> Error {
    wrong(
        "the signing key does not fit the algorithm: RS and PS take RSA of 2048 bits or more, ES256 P-256, ES384 P-384, EdDSA Ed25519",
    )
}

fn wrong(why: &'static str) -> Error {
    INVALID_IDENTITY_SETTINGS.err(why)
}
