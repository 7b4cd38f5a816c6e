//! Secrets: made from the system's randomness, kept as hashes, never printed.

use sha2::{Digest, Sha256};
use std::fmt;

/// A value that no log line and no debug print shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// `prefix` and 256 random bits in hexadecimal.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn random(prefix: &str) -> std::io::Result<Secret> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        Ok(Secret(format!("{prefix}{}", hex(&bytes))))
    }

    /// The value itself. Whoever calls this must not print it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the store keeps in place of the secret. A plain SHA-256 is enough for 256 random bits.
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

/// SHA-256 of a presented secret.
pub fn hash(presented: &str) -> [u8; 32] {
    Sha256::digest(presented.as_bytes()).into()
}

/// SHA-256 of several parts, each with its length, so that no two lists of parts are one text.
pub fn hash_all(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_random_and_not_printed() {
        let (one, two) = (Secret::random("ang_sk_").unwrap(), Secret::random("ang_sk_").unwrap());
        assert_ne!(one, two);
        assert_eq!(one.expose().len(), "ang_sk_".len() + 64);
        assert!(!format!("{one:?}").contains(one.expose()));
        assert_eq!(one.hash(), hash(one.expose()));
    }
}
