//! Tokens that are made here are taken here, and a key signs with its own algorithms only.

use crate::*;
use angarium_identity::Identity;

#[tokio::test]
async fn what_is_minted_for_an_identity_speaks_for_it() {
    let identity = Identity {
        issuer: ISSUER.into(),
        tenant: Some("acme".into()),
        subject: "alice".into(),
        email: Some("alice@example.com".into()),
        expires_at: NOW + 60_000,
    };
    let mut issuer = Issuer::new(ISSUER, Keys::Secret(Secret::new(SECRET)));
    for renamed in [false, true] {
        if renamed {
            issuer.tenant_claim = "org".into();
            issuer.subject_claim = "uid".into();
            issuer.email_claim = "mail".into();
            issuer.audience = Some("elsewhere".into());
        }
        let claims = issuer.claims(&identity, AUDIENCE, NOW);
        assert_eq!(claims["iat"], json!(NOW / 1000));
        let token = mint(&secret(), "HS256", None, &claims).unwrap();
        let verifier = Verifier::new(settings(issuer.clone()), Clock::manual(NOW)).unwrap();
        assert_eq!(*verifier.verify(&token).await.unwrap(), identity);
    }
}

#[tokio::test]
async fn every_key_signs_with_every_algorithm_of_its_type() {
    let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    for (private, public, algorithms) in [
        (key!("rsa.pem"), key!("rsa.pub.pem"), &rsa[..]),
        (key!("rsa-pkcs1.pem"), key!("rsa.cert.pem"), &rsa[..]),
        (key!("p256.pem"), key!("p256.cert.pem"), &["ES256"]),
        (key!("p384.pem"), key!("p384.pub.pem"), &["ES384"]),
        (key!("ed25519.pem"), key!("ed25519.pub.pem"), &["EdDSA"]),
    ] {
        let verifier = verifier(Keys::Pem(public.into()));
        for algorithm in algorithms {
            let token = mint(&pem(private), algorithm, Some("any"), &claims()).unwrap();
            verifier.verify(&token).await.unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        }
    }
    for algorithm in ["HS256", "HS384", "HS512"] {
        by_secret().verify(&mint(&secret(), algorithm, None, &claims()).unwrap()).await.unwrap();
    }
}

#[test]
fn a_key_that_does_not_fit_is_refused_and_not_shown() {
    let short = SigningKey::Secret(Secret::new("x".repeat(31)));
    let hs384 = SigningKey::Secret(Secret::new("x".repeat(47)));
    for (key, algorithm) in [
        (short, "HS256"),
        (hs384, "HS384"),
        (secret(), "none"),
        (secret(), "RS256"),
        (pem(key!("rsa.pem")), "HS256"),
        (pem(key!("rsa.pem")), "ES256"),
        (pem(key!("rsa-1024.pem")), "RS256"),
        (pem(key!("p256.pem")), "ES384"),
        (pem(key!("p256.pem")), "RS256"),
        (pem(key!("p256-sec1.pem")), "ES256"),
        (pem(key!("p256.pub.pem")), "ES256"),
        (pem(key!("ed25519.pem")), "ES256"),
        (pem("no PEM"), "ES256"),
    ] {
        let error = mint(&key, algorithm, None, &claims()).unwrap_err();
        assert_eq!(error.code().name, "invalid_identity_settings", "{algorithm}: {error}");
        assert!(format!("{key:?}").contains('…'), "{key:?}");
    }
}
