//! From a token to an identity: look-up, issuer, signature, claims, in this order.

use crate::{
    Identity, Settings,
    algorithm::{self, Algorithm},
    claims::Rules,
    codes::INVALID_TOKEN,
    fetch::Place,
    key::{KeySet, Verdict},
    remembered::{Entry, Hash, Remembered},
    remote::{KeySetState, Remote, Snapshot},
    settings::{Issuer, Keys},
    token::{TOKEN_MAX_BYTES, Token},
};
use angarium_base::{Clock, Error, Result, clock::Millis, secret};
use serde_json::Value;
use std::sync::Arc;

/// Verifies tokens. Shared by reference: everything in it is behind locks of its own.
pub struct Verifier {
    clock: Clock,
    leeway_ms: Millis,
    issuers: Vec<Known>,
    remembered: Remembered,
}

/// An issuer whose tokens are taken.
struct Known {
    rules: Rules,
    algorithms: Vec<Algorithm>,
    source: Source,
}

enum Source {
    Fixed { keys: Arc<KeySet>, is_secret: bool },
    Remote(Arc<Remote>),
}

/// An issuer, for readiness and for people who look for a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerState {
    pub issuer: String,
    pub audience: String,
    /// The names of those that its tokens may be signed with.
    pub algorithms: Vec<&'static str>,
    /// `secret`, `pem` or `jwks`.
    pub source: &'static str,
    pub key_set: KeySetState,
}

impl Verifier {
    /// A verifier of the tokens of these issuers. Nothing is fetched yet.
    ///
    /// # Errors
    /// `invalid_identity_settings`, which names the issuer and what is wrong: no name or a name twice, an empty audience
    /// or claim, a secret under 32 bytes, PEM that is no public key or a weak one, an algorithm that does not fit the
    /// keys, a URL that is not https, a leeway over [`crate::LEEWAY_MAX`].
    pub fn new(settings: Settings, clock: Clock) -> Result<Verifier> {
        settings.check()?;
        let issuers = settings
            .issuers
            .iter()
            .map(|issuer| Known::new(issuer, &settings, &clock))
            .collect::<Result<_>>()?;
        let leeway_ms = settings.leeway.as_millis() as Millis;
        Ok(Verifier { clock, leeway_ms, issuers, remembered: Remembered::default() })
    }

    /// Who the token speaks for, if that is known: it was verified, with the keys that its issuer has now, and is not
    /// expired. One hash and one look-up, no I/O. `None` says nothing about the token; ask [`Verifier::verify`].
    pub fn known(&self, token: &str) -> Option<Arc<Identity>> {
        if token.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let entry = self.recall(&secret::hash(token))?;
        // Whoever verifies has the set fetched again; that is not for this function, which knows no runtime.
        let is_due = self.issuers[entry.issuer].source.is_due(self.clock.now());
        (!is_due).then_some(entry.identity)
    }

    /// Who the token speaks for. Waits for a fetch of the issuer's keys when there are none yet or the token names
    /// another one, and needs the runtime for it. Cancel-safe: a fetch goes on without who waits for it.
    ///
    /// # Errors
    /// `invalid_token`; `identity_keys_unavailable` when its issuer's keys were never there.
    pub async fn verify(&self, token: &str) -> Result<Arc<Identity>> {
        // Which bounds its length, before it is hashed.
        let parsed = Token::parse(token)?;
        let hash = secret::hash(token);
        if let Some(entry) = self.recall(&hash) {
            self.issuers[entry.issuer].source.refresh_if_due();
            return Ok(entry.identity);
        }
        let (place, issuer) = self.issuer_of(&parsed)?;
        let epoch = issuer.signed(&parsed).await?;
        let identity = Arc::new(issuer.rules.identity(&parsed.claims, self.clock.now())?);
        let until = identity.expires_at.saturating_add(self.leeway_ms);
        self.remembered.insert(hash, Entry { identity: Arc::clone(&identity), issuer: place, epoch, until });
        Ok(identity)
    }

    /// For how long after its `exp` a token is taken.
    pub fn leeway_ms(&self) -> Millis {
        self.leeway_ms
    }

    /// The issuers, in the order of the settings.
    pub fn issuers(&self) -> Vec<IssuerState> {
        self.issuers.iter().map(Known::state).collect()
    }

    /// Fetches the key sets now, one after the other, where the floor allows it; [`Verifier::issuers`] tells how it went.
    /// Cancel-safe, as [`Verifier::verify`].
    pub async fn refresh(&self) {
        for issuer in &self.issuers {
            if let Source::Remote(remote) = &issuer.source {
                remote.refresh().await;
            }
        }
    }

    /// What is remembered of a token and still holds.
    fn recall(&self, hash: &Hash) -> Option<Entry> {
        let entry = self.remembered.get(hash)?;
        let holds =
            self.clock.now() < entry.until && self.issuers[entry.issuer].source.epoch() == entry.epoch;
        if !holds {
            self.remembered.forget(hash);
        }
        holds.then_some(entry)
    }

    fn issuer_of(&self, token: &Token<'_>) -> Result<(usize, &Known)> {
        let Some(Value::String(name)) = token.claims.get("iss") else {
            return Err(INVALID_TOKEN.err("the token has no `iss`; its issuer has to put it in"));
        };
        let found = self.issuers.iter().enumerate().find(|(_, issuer)| issuer.rules.issuer == *name);
        found.ok_or_else(|| {
            INVALID_TOKEN
                .err("the token's issuer is not known here; use one of those this server is set up with")
        })
    }
}

impl Known {
    fn new(issuer: &Issuer, settings: &Settings, clock: &Clock) -> Result<Known> {
        let rules = issuer.rules(settings)?;
        let keys = issuer.fixed_keys()?;
        let algorithms = issuer.allowed(keys.as_ref())?;
        let source = match (keys, &issuer.keys) {
            (None, Keys::Jwks(url)) => {
                let place = Place::new(url, settings.fetching.patience).map_err(|why| issuer.wrong(why))?;
                Source::Remote(Remote::new(&issuer.issuer, place, settings.fetching, clock.clone()))
            }
            (keys, from) => Source::Fixed {
                keys: Arc::new(keys.unwrap_or_default()),
                is_secret: matches!(from, Keys::Secret(_)),
            },
        };
        Ok(Known { rules, algorithms, source })
    }

    /// The epoch of the keys of which one signed the token.
    async fn signed(&self, token: &Token<'_>) -> Result<u64> {
        let algorithm = token.algorithm.filter(|algorithm| self.algorithms.contains(algorithm));
        let Some(algorithm) = algorithm else {
            let allowed = algorithm::names(&self.algorithms);
            let message = format!("the token's algorithm is not allowed for its issuer; allowed: {allowed}");
            return Err(INVALID_TOKEN.err(message));
        };
        let judge = |keys: &KeySet| {
            keys.judge(algorithm, token.key_id.as_deref(), token.message.as_bytes(), &token.signature)
        };
        let at_hand = self.source.keys().await?;
        match judge(&at_hand.keys) {
            Verdict::Signed => return Ok(at_hand.epoch),
            Verdict::Forged => return Err(not_signed()),
            Verdict::Unknown => {}
        }
        let newer = self.source.newer_than(at_hand.epoch).await;
        match newer.filter(|newer| judge(&newer.keys) == Verdict::Signed) {
            Some(newer) => Ok(newer.epoch),
            None => Err(not_signed()),
        }
    }

    fn state(&self) -> IssuerState {
        let (source, key_set) = match &self.source {
            Source::Remote(remote) => ("jwks", remote.state()),
            Source::Fixed { keys, is_secret } => {
                let state = KeySetState { keys: Some(keys.0.len()), fetched_at: None, failure: None };
                (if *is_secret { "secret" } else { "pem" }, state)
            }
        };
        IssuerState {
            issuer: self.rules.issuer.clone(),
            audience: self.rules.audience.clone(),
            algorithms: self.algorithms.iter().map(|algorithm| algorithm.name()).collect(),
            source,
            key_set,
        }
    }
}

fn not_signed() -> Error {
    INVALID_TOKEN.err("the token is not signed by a key that is known of its issuer; get a new one from it")
}

impl Source {
    fn epoch(&self) -> u64 {
        match self {
            Source::Fixed { .. } => 0,
            Source::Remote(remote) => remote.epoch(),
        }
    }

    fn is_due(&self, now: Millis) -> bool {
        match self {
            Source::Fixed { .. } => false,
            Source::Remote(remote) => remote.is_due(now),
        }
    }

    fn refresh_if_due(&self) {
        if let Source::Remote(remote) = self {
            remote.refresh_if_due();
        }
    }

    async fn keys(&self) -> Result<Snapshot> {
        match self {
            Source::Fixed { keys, .. } => Ok(Snapshot { keys: Arc::clone(keys), epoch: 0 }),
            Source::Remote(remote) => remote.keys().await,
        }
    }

    async fn newer_than(&self, epoch: u64) -> Option<Snapshot> {
        match self {
            Source::Fixed { .. } => None,
            Source::Remote(remote) => remote.newer_than(epoch).await,
        }
    }
}
