//! What is set about issuers, and what is refused at the start rather than at the first token.

use crate::{
    algorithm::{self, Algorithm},
    claims::{Rules, TENANT},
    codes::INVALID_IDENTITY_SETTINGS,
    key::{Key, KeySet, Material},
    pem,
};
use angarium_base::{Error, Result, Secret, clock::Millis};
use std::{fmt, time::Duration};

/// The most by which clocks may differ.
pub const LEEWAY_MAX: Duration = Duration::from_secs(600);

/// Whose tokens are taken, and for whom they must be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Each with a name of its own.
    pub issuers: Vec<Issuer>,
    /// What `aud` of a token must hold (RFC 8725 §3.9).
    pub audience: String,
    /// How far the clocks of issuers may be from this server's; at most [`LEEWAY_MAX`].
    pub leeway: Duration,
    pub fetching: Fetching,
}

/// Who signs tokens, with which keys, and where the claims are.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Exactly what `iss` says.
    pub issuer: String,
    pub keys: Keys,
    /// The names of the algorithms that are taken; empty: all that fit the keys.
    pub algorithms: Vec<String>,
    /// In place of [`Settings::audience`].
    pub audience: Option<String>,
    pub subject_claim: String,
    /// When it is `tenantId`, the spelling `tenentId` is read too.
    pub tenant_claim: String,
    pub email_claim: String,
}

/// The keys of an issuer.
#[derive(Clone)]
pub enum Keys {
    /// For HS256 32 bytes or more, 48 for HS384, 64 for HS512 (RFC 7518 §3.2).
    Secret(Secret),
    /// One or several public keys or certificates as PEM text.
    Pem(String),
    /// The URL of a key set (RFC 7517 §5): https, or http to this machine.
    Jwks(String),
}

/// When key sets are fetched.
#[derive(Clone, Copy, Debug)]
pub struct Fetching {
    /// The age at which a set is fetched again, in the background.
    pub refresh_after: Duration,
    /// The least time between two fetches, failed ones too.
    pub floor: Duration,
    /// How long a fetch may take.
    pub patience: Duration,
}

impl Default for Fetching {
    fn default() -> Fetching {
        Fetching {
            refresh_after: Duration::from_secs(600),
            floor: Duration::from_secs(30),
            patience: Duration::from_secs(5),
        }
    }
}

impl Issuer {
    /// An issuer with the usual claims: `sub`, `tenantId`, `email`.
    pub fn new(issuer: impl Into<String>, keys: Keys) -> Issuer {
        Issuer {
            issuer: issuer.into(),
            keys,
            algorithms: vec![],
            audience: None,
            subject_claim: "sub".into(),
            tenant_claim: TENANT.into(),
            email_claim: "email".into(),
        }
    }

    pub(crate) fn rules(&self, settings: &Settings) -> Result<Rules> {
        let audience = self.audience.as_ref().unwrap_or(&settings.audience);
        for (what, text) in [
            ("audience", audience),
            ("subject claim", &self.subject_claim),
            ("tenant claim", &self.tenant_claim),
            ("email claim", &self.email_claim),
        ] {
            if text.is_empty() {
                return Err(self.wrong(format!("its {what} is empty")));
            }
        }
        Ok(Rules {
            issuer: self.issuer.clone(),
            audience: audience.clone(),
            subject_claim: self.subject_claim.clone(),
            tenant_claim: self.tenant_claim.clone(),
            email_claim: self.email_claim.clone(),
            leeway_ms: settings.leeway.as_millis() as Millis,
        })
    }

    /// The keys that are known without asking anybody; `None` for a key set at a URL.
    pub(crate) fn fixed_keys(&self) -> Result<Option<KeySet>> {
        let keys = match &self.keys {
            Keys::Secret(secret) => KeySet(vec![Key::new(Material::Secret(secret.clone()))]),
            Keys::Pem(text) => pem::keys(text).map_err(|why| self.wrong(why))?,
            Keys::Jwks(_) => return Ok(None),
        };
        if keys.algorithms().is_empty() {
            return Err(
                self.wrong("its secret has fewer than 32 bytes; make one with `openssl rand -hex 32`")
            );
        }
        Ok(Some(keys))
    }

    /// The algorithms that tokens of this issuer may be signed with.
    pub(crate) fn allowed(&self, keys: Option<&KeySet>) -> Result<Vec<Algorithm>> {
        let fitting = match keys {
            Some(keys) => keys.algorithms(),
            None => Algorithm::all().filter(|algorithm| !algorithm.is_symmetric()).collect(),
        };
        if self.algorithms.is_empty() {
            return Ok(fitting);
        }
        let named = self.algorithms.iter().map(|name| {
            Algorithm::named(name).filter(|algorithm| fitting.contains(algorithm)).ok_or_else(|| {
                let fitting = algorithm::names(&fitting);
                self.wrong(format!("an algorithm does not fit its keys; those that do are {fitting}"))
            })
        });
        named.collect()
    }

    pub(crate) fn wrong(&self, why: impl fmt::Display) -> Error {
        INVALID_IDENTITY_SETTINGS.err(format!("issuer `{}`: {why}", self.issuer))
    }
}

impl Settings {
    /// What concerns no single issuer's keys.
    pub(crate) fn check(&self) -> Result<()> {
        if self.leeway > LEEWAY_MAX {
            return Err(
                INVALID_IDENTITY_SETTINGS.err("the leeway is at most 10 minutes; set the clocks instead")
            );
        }
        for (at, issuer) in self.issuers.iter().enumerate() {
            if issuer.issuer.is_empty() {
                return Err(INVALID_IDENTITY_SETTINGS
                    .err("an issuer has no name; give what its tokens have as `iss`"));
            }
            if self.issuers[..at].iter().any(|other| other.issuer == issuer.issuer) {
                return Err(issuer.wrong("it is there twice; give all its keys in one place"));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A private key may have been put where a public one belongs, and a password into a URL.
        f.write_str(match self {
            Keys::Secret(_) => "Secret(…)",
            Keys::Pem(_) => "Pem(…)",
            Keys::Jwks(_) => "Jwks(…)",
        })
    }
}
