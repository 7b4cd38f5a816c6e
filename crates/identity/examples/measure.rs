//! How much longer it takes to verify a token than to know it. Build it with optimisation:
//! `cargo run --release -p angarium-identity --example measure`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may panic, and prints")]

use angarium_base::{Clock, Secret};
use angarium_identity::{Fetching, Identity, Issuer, Keys, Settings, SigningKey, Verifier, mint};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

const NOW: i64 = 1_800_000_000_000;
const SECRET: &str = "a secret for measuring, thirty-two bytes or a few more";

macro_rules! pair {
    ($name:literal) => {
        (
            Keys::Pem(include_str!(concat!("../tests/keys/", $name, ".pub.pem")).into()),
            SigningKey::Pem(Secret::new(include_str!(concat!("../tests/keys/", $name, ".pem")))),
        )
    };
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let secret = || Secret::new(SECRET);
    for (algorithm, (public, private)) in [
        ("HS256", (Keys::Secret(secret()), SigningKey::Secret(secret()))),
        ("RS256", pair!("rsa")),
        ("ES256", pair!("p256")),
        ("EdDSA", pair!("ed25519")),
    ] {
        let issuer = Issuer::new("https://issuer.example", public);
        let claims = issuer.claims(&identity(), "angarium", NOW);
        let token = mint(&private, algorithm, None, &claims).unwrap();
        let open = || {
            let (issuers, leeway) = (vec![issuer.clone()], Duration::ZERO);
            let settings =
                Settings { issuers, audience: "angarium".into(), leeway, fetching: Fetching::default() };
            Verifier::new(settings, Clock::manual(NOW)).unwrap()
        };
        // Each verifier sees the token once, so that none remembers it.
        let fresh: Vec<_> = (0..1_000).map(|_| open()).collect();
        let verify = nanos(fresh.len(), |at| {
            black_box(runtime.block_on(fresh[at].verify(&token)).unwrap());
        });
        let known = nanos(1_000_000, |_| {
            black_box(fresh[0].known(black_box(&token)).unwrap());
        });
        let (bytes, ratio) = (token.len(), verify / known);
        println!("{algorithm}: known {known:.0} ns, verify {verify:.0} ns, {ratio:.0} times ({bytes} bytes)");
    }
}

fn identity() -> Identity {
    Identity {
        issuer: "https://issuer.example".into(),
        tenant: Some("acme".into()),
        subject: "alice".into(),
        email: Some("alice@example.com".into()),
        expires_at: NOW + 3_600_000,
    }
}

fn nanos(times: usize, mut run: impl FnMut(usize)) -> f64 {
    let begun = Instant::now();
    (0..times).for_each(&mut run);
    begun.elapsed().as_nanos() as f64 / times as f64
}
