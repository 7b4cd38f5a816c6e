//! The promises of the identity port, each with a test that fails when it is broken.
//!
//! The keys in `keys/` were made with OpenSSL for these tests and are used for nothing else; `foreign.txt` and
//! `foreign.jwks.json` were made from them with joserfc, so that not only what this crate signs is shown to verify.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

#[path = "contract/attacks.rs"]
mod attacks;
#[path = "contract/fake.rs"]
mod fake;
#[path = "contract/fetching.rs"]
mod fetching;
#[path = "contract/key_sets.rs"]
mod key_sets;
#[path = "contract/memory.rs"]
mod memory;
#[path = "contract/minting.rs"]
mod minting;
#[path = "contract/rules.rs"]
mod rules;
#[path = "contract/settings.rs"]
mod settings;

use angarium_base::{Clock, Error, Secret, clock::Millis};
use angarium_identity::{Fetching, Issuer, Keys, Settings, SigningKey, Verifier, mint};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long anything may take before it counts as never.
const NEVER: Duration = Duration::from_secs(20);
/// Where the clock of a test stands at first: a whole second.
const NOW: Millis = 1_800_000_000_000;
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "angarium";
const LEEWAY_S: u64 = 60;
/// The secret that the tokens in `foreign.txt` are signed with; long enough for HS512.
const SECRET: &str = "a secret for these tests only, sixty-four bytes or a few more ....";

macro_rules! key {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/", $name))
    };
}
use key;

/// Four keys of four types, each with the algorithm that tests use it with.
const PAIRS: [(&str, &str, &str); 4] = [
    ("RS256", key!("rsa.pem"), key!("rsa.pub.pem")),
    ("ES256", key!("p256.pem"), key!("p256.pub.pem")),
    ("ES384", key!("p384.pem"), key!("p384.pub.pem")),
    ("EdDSA", key!("ed25519.pem"), key!("ed25519.pub.pem")),
];

fn pem(text: &str) -> SigningKey {
    SigningKey::Pem(Secret::new(text))
}

fn secret() -> SigningKey {
    SigningKey::Secret(Secret::new(SECRET))
}

fn settings(issuer: Issuer) -> Settings {
    Settings {
        issuers: vec![issuer],
        audience: AUDIENCE.into(),
        leeway: Duration::from_secs(LEEWAY_S),
        fetching: Fetching::default(),
    }
}

/// A verifier of one issuer's tokens, whose clock stands.
fn verifier(keys: Keys) -> Verifier {
    Verifier::new(settings(Issuer::new(ISSUER, keys)), Clock::manual(NOW)).unwrap()
}

fn by_secret() -> Verifier {
    verifier(Keys::Secret(Secret::new(SECRET)))
}

/// Claims of a good token: an hour from now.
fn claims() -> Map<String, Value> {
    let good = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW / 1000 + 3600});
    good.as_object().unwrap().clone()
}

/// A good token in which some claims are others; `null` takes one out.
fn token_with(changes: Value) -> String {
    let mut claims = claims();
    for (claim, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.remove(claim),
            value => claims.insert(claim.clone(), value.clone()),
        };
    }
    mint(&secret(), "HS256", None, &claims).unwrap()
}

fn good_token() -> String {
    token_with(json!({}))
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of any text, signed with HMAC-SHA-256 by any bytes.
fn forged(header: &str, claims: &str, key: &[u8]) -> String {
    let message = format!("{}.{}", base64url(header), base64url(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    let signature = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", base64url(signature))
}

async fn refused(verifier: &Verifier, token: &str) -> Error {
    let error = verifier.verify(token).await.expect_err("the token was taken");
    assert_eq!(error.code().name, "invalid_token", "{error}");
    assert_eq!(error.kind().status(), 401);
    assert!(verifier.known(token).is_none(), "a token that was refused is not remembered");
    error
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(NEVER, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
