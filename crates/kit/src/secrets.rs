//! Secrets at rest: sealed with a key that is not in the store.
//!
//! The first key seals, all of them open: so a new key is put first, what is sealed is sealed again, and the old one
//! goes. Sealed with ChaCha20-Poly1305 (RFC 8439), a random nonce each, bound to what it is for.

use angarium_base::{Context, Error, Result, error::INTERNAL, secret};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use std::sync::Arc;

angarium_base::codes! {
    /// This server has no key to keep secrets with. Who runs it sets `secrets.keys` in the configuration, the same for all processes; with the store in the data directory one is made by itself.
    SECRETS_UNAVAILABLE = "secrets_unavailable": Unavailable;
    /// A key for secrets is 32 random bytes in base64: `openssl rand -base64 32` makes one.
    INVALID_SECRETS_KEY = "invalid_secrets_key": Invalid;
}

/// The keys that secrets are sealed with. Cloning it is cheap.
#[derive(Clone, Default)]
pub struct Secrets(Arc<[Named]>);

struct Named {
    /// The beginning of the key's hash: says which key sealed something.
    name: String,
    key: LessSafeKey,
}

impl Secrets {
    /// Keys in base64, the one that seals first. None: nothing can be sealed.
    ///
    /// # Errors
    /// `invalid_secrets_key`.
    pub fn new(keys: &[impl AsRef<str>]) -> Result<Secrets> {
        keys.iter()
            .map(|key| named(key.as_ref()))
            .collect::<Result<Vec<_>>>()
            .map(|keys| Secrets(keys.into()))
    }

    /// A new key, in base64.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new_key() -> Result<String> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).or_error(INTERNAL, "the system has no randomness to give")?;
        Ok(STANDARD.encode(bytes))
    }

    /// Whether there is a key to seal with.
    pub fn can_seal(&self) -> bool {
        !self.0.is_empty()
    }

    /// Seals `plain`; only [`Secrets::open`] with the same `purpose` gives it back.
    ///
    /// # Errors
    /// `secrets_unavailable` when there is no key.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Result<Vec<u8>> {
        let first = self.0.first().ok_or_else(no_key)?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).or_error(INTERNAL, "the system has no randomness to give")?;
        let mut sealed = plain.to_vec();
        first
            .key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.as_bytes()),
                &mut sealed,
            )
            .or_error(INTERNAL, "a secret could not be sealed")?;
        Ok([first.name.as_bytes(), &nonce, &sealed].concat())
    }

    /// What was sealed.
    ///
    /// # Errors
    /// `secrets_unavailable` when its key is not among ours; `internal` when it was sealed for something else, or is damaged.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let damaged = || INTERNAL.err("a sealed secret is damaged");
        let (name, rest) = sealed.split_at_checked(NAME_LEN).ok_or_else(damaged)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let named = self.0.iter().find(|named| named.name.as_bytes() == name).ok_or_else(no_key)?;
        let mut plain = rest.to_vec();
        let aad = Aad::from(purpose.as_bytes());
        let opened = named.key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut plain);
        let length = opened.map_err(|_| damaged())?.len();
        plain.truncate(length);
        Ok(plain)
    }

    /// Whether the first key sealed this; if not, it is to be sealed again before its key goes.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        self.0.first().is_some_and(|first| sealed.starts_with(first.name.as_bytes()))
    }
}

/// Letters of a key's name.
const NAME_LEN: usize = 8;

fn named(text: &str) -> Result<Named> {
    let bad = || INVALID_SECRETS_KEY.err("a key for secrets is 32 random bytes in base64");
    let bytes = STANDARD.decode(text.trim()).ok().filter(|bytes| bytes.len() == 32).ok_or_else(bad)?;
    let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| bad())?;
    let name = secret::hex(&secret::hash(text.trim()))[..NAME_LEN].to_owned();
    Ok(Named { name, key: LessSafeKey::new(key) })
}

fn no_key() -> Error {
    SECRETS_UNAVAILABLE.err("this server has no key for this secret; who runs it sets `secrets.keys`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    const TWO: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=";

    #[test]
    fn what_is_sealed_is_opened_with_its_key_for_its_purpose_only() {
        let old = Secrets::new(&[ONE]).unwrap();
        let sealed = old.seal("webhook", b"whsec_1").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"whsec_1"));
        assert_ne!(sealed, old.seal("webhook", b"whsec_1").unwrap(), "a nonce each");
        assert_eq!(old.open("webhook", &sealed).unwrap(), b"whsec_1");
        assert_eq!(old.open("other", &sealed).unwrap_err().code().name, "internal");
        let rotated = Secrets::new(&[TWO, ONE]).unwrap();
        assert_eq!(rotated.open("webhook", &sealed).unwrap(), b"whsec_1");
        assert!(old.is_current(&sealed) && !rotated.is_current(&sealed));
        let gone = Secrets::new(&[TWO]).unwrap();
        assert_eq!(gone.open("webhook", &sealed).unwrap_err().code().name, "secrets_unavailable");
        assert_eq!(Secrets::default().seal("a", b"b").unwrap_err().code().name, "secrets_unavailable");
    }

    #[test]
    fn no_flipped_bit_and_no_shorter_text_is_opened() {
        let secrets = Secrets::new(&[ONE]).unwrap();
        let sealed = secrets.seal("a", b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert!(secrets.open("a", &other).is_err(), "byte {at}");
            assert!(secrets.open("a", &sealed[..at]).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn a_key_is_32_bytes() {
        for text in ["", "abc", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5", "!"] {
            assert!(Secrets::new(&[text]).is_err(), "{text}");
        }
    }
}
