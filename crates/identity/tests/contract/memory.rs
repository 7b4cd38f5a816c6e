//! What is remembered of tokens that were verified, and when it is forgotten.

use crate::*;
use std::sync::Arc;

#[tokio::test]
async fn a_token_is_known_once_it_was_verified_and_until_it_expires() {
    let clock = Clock::manual(NOW);
    let issuer = Issuer::new(ISSUER, Keys::Pem(key!("p256.pub.pem").into()));
    let verifier = Verifier::new(settings(issuer), clock.clone()).unwrap();
    let token = mint(&pem(key!("p256.pem")), "ES256", None, &claims()).unwrap();
    assert!(verifier.known(&token).is_none());
    let identity = verifier.verify(&token).await.unwrap();
    let known = verifier.known(&token).unwrap();
    assert!(Arc::ptr_eq(&identity, &known));
    assert!(Arc::ptr_eq(&identity, &verifier.verify(&token).await.unwrap()), "verified once");
    clock.advance((3600 + LEEWAY_S as i64) * 1000 - 1);
    assert!(verifier.known(&token).is_some());
    clock.advance(1);
    assert!(verifier.known(&token).is_none());
    refused(&verifier, &token).await;
}

#[tokio::test]
async fn only_the_very_token_is_known() {
    let verifier = by_secret();
    let token = good_token();
    verifier.verify(&token).await.unwrap();
    let (message, _) = token.rsplit_once('.').unwrap();
    for other in [message, &format!("{message}."), &format!("{token} "), &token[1..], "", &"x".repeat(10_000)]
    {
        assert!(verifier.known(other).is_none(), "{other}");
    }
}

#[tokio::test]
async fn one_server_does_not_know_what_another_verified() {
    let token = good_token();
    by_secret().verify(&token).await.unwrap();
    assert!(by_secret().known(&token).is_none());
}
