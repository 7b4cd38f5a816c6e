//! A key, the algorithms it may be used with, and whether it made a signature.
//!
//! The type of the key decides (RFC 8725 §3.1): a public key has no way to be a secret, whatever a token says.

use crate::algorithm::Algorithm;
use angarium_base::Secret;
use ring::{
    hmac,
    signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm},
};

/// The bits of an RSA modulus: less is too weak (RFC 7518 §3.3), more than ring computes with.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key that signatures are verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its `kid`, if it has one.
    pub id: Option<Box<str>>,
    /// The one algorithm it is for, where the issuer's key set says so (RFC 7517 §4.4).
    pub algorithm: Option<Algorithm>,
    pub material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Material {
    Secret(Secret),
    Rsa(RsaKey),
    /// An uncompressed point, as the three below are checked in [`Material`]'s constructors.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Modulus and exponent, big-endian and without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RsaKey {
    n: Vec<u8>,
    e: Vec<u8>,
}

/// Why bytes are no key.
pub(crate) type Unusable = &'static str;

impl Material {
    pub fn rsa(n: &[u8], e: &[u8]) -> Result<Material, Unusable> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !RSA_BITS.contains(&bits) {
            return Err("an RSA key has 2048 to 8192 bits");
        }
        let is_odd = e.last().is_some_and(|last| last % 2 == 1);
        if !is_odd || e == [1] || e.len() > 4 {
            return Err("an RSA key's exponent is odd, above 1 and below 2^32");
        }
        Ok(Material::Rsa(RsaKey { n: n.to_vec(), e: e.to_vec() }))
    }

    /// A key on P-256 or P-384, by the length of the point (SEC 1 §2.3.3, not compressed).
    pub fn point(point: &[u8]) -> Result<Material, Unusable> {
        match (point.first(), point.len()) {
            (Some(4), 65) => Ok(Material::P256(point.to_vec())),
            (Some(4), 97) => Ok(Material::P384(point.to_vec())),
            _ => Err("an EC key is an uncompressed point on P-256 or P-384"),
        }
    }

    pub fn ed25519(key: &[u8]) -> Result<Material, Unusable> {
        match key.len() {
            32 => Ok(Material::Ed25519(key.to_vec())),
            _ => Err("an Ed25519 key has 32 bytes"),
        }
    }
}

impl Key {
    /// A key that nobody has named.
    pub fn new(material: Material) -> Key {
        Key { id: None, algorithm: None, material }
    }

    /// Whether a signature by this algorithm may be checked with this key at all. A secret is at least as long as
    /// the hash (RFC 7518 §3.2).
    pub fn takes(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Hs256, Hs384, Hs512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let fits = match (&self.material, algorithm) {
            (Material::Secret(secret), Hs256) => secret.expose().len() >= 32,
            (Material::Secret(secret), Hs384) => secret.expose().len() >= 48,
            (Material::Secret(secret), Hs512) => secret.expose().len() >= 64,
            (Material::Rsa(_), Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512) => true,
            (Material::P256(_), Es256) | (Material::P384(_), Es384) | (Material::Ed25519(_), EdDsa) => true,
            _ => false,
        };
        fits && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether this key made `signature` over `message` by `algorithm`.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.takes(algorithm) {
            return false;
        }
        match &self.material {
            Material::Secret(secret) => hmac_of(algorithm).is_some_and(|hash| {
                let key = hmac::Key::new(hash, secret.expose().as_bytes());
                hmac::verify(&key, message, signature).is_ok()
            }),
            Material::Rsa(key) => rsa_of(algorithm).is_some_and(|parameters| {
                let key = RsaPublicKeyComponents { n: &key.n, e: &key.e };
                key.verify(parameters, message, signature).is_ok()
            }),
            Material::P256(point) => made(&signature::ECDSA_P256_SHA256_FIXED, point, message, signature),
            Material::P384(point) => made(&signature::ECDSA_P384_SHA384_FIXED, point, message, signature),
            Material::Ed25519(key) => made(&signature::ED25519, key, message, signature),
        }
    }
}

fn made(by: &'static dyn VerificationAlgorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(by, key).verify(message, signature).is_ok()
}

pub(crate) fn hmac_of(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn rsa_of(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// The keys of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeySet(pub Vec<Key>);

/// What a set of keys says about a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Signed,
    /// A key that the token names did not make it.
    Forged,
    /// The key that made it, if there is one, is not among these.
    Unknown,
}

impl KeySet {
    /// Whether one of the keys made the signature: the one that the token names, or those without a name; all, if the
    /// token names none.
    pub fn judge(&self, algorithm: Algorithm, id: Option<&str>, message: &[u8], signature: &[u8]) -> Verdict {
        let mut verdict = Verdict::Unknown;
        for key in self.0.iter().filter(|key| key.takes(algorithm)) {
            let is_named = id.is_some() && key.id.as_deref() == id;
            if id.is_some() && key.id.is_some() && !is_named {
                continue;
            }
            if key.verifies(algorithm, message, signature) {
                return Verdict::Signed;
            }
            if is_named {
                verdict = Verdict::Forged;
            }
        }
        verdict
    }

    /// The algorithms that fit at least one of the keys.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        Algorithm::all().filter(|algorithm| self.0.iter().any(|key| key.takes(*algorithm))).collect()
    }
}
