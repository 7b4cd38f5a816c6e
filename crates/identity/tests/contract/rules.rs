//! The rules of RFC 7519 as they are held here: a table of claims, and what is said to each.

use crate::*;
use angarium_identity::{Identity, TOKEN_MAX_BYTES, looks_like_token};

const SECOND: i64 = NOW / 1000;
const LEEWAY: i64 = LEEWAY_S as i64;

/// Changes of a good token's claims that leave it good.
fn taken() -> Vec<Value> {
    vec![
        json!({}),
        json!({"exp": SECOND - LEEWAY + 1}),
        json!({"exp": SECOND as f64 + 0.5}),
        json!({"exp": 1e300}),
        json!({"exp": i64::MAX}),
        json!({"nbf": SECOND + LEEWAY}),
        json!({"nbf": -1}),
        json!({"iat": "whenever", "jti": {"a": [1]}, "scope": 7}),
        json!({"aud": ["other", AUDIENCE]}),
        json!({"sub": "x".repeat(255)}),
        json!({"sub": "ü".repeat(255)}),
        json!({"tenantId": "acme"}),
        json!({"tenantId": "acme", "tenentId": "acme"}),
    ]
}

/// Changes that make it bad, and a part of what is said.
fn bad() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"exp": null}), "the token has no `exp`"),
        (json!({"exp": SECOND - LEEWAY}), "the token expired at 2027-01-15T07:59:00.000Z"),
        (json!({"exp": (SECOND - LEEWAY) as f64 - 0.5}), "the token expired at 2027-01-15T07:58:59.500Z"),
        (json!({"exp": -1e300}), "expired"),
        (json!({"exp": i64::MIN}), "expired"),
        (json!({"exp": 0}), "expired at 1970-01-01"),
        (json!({"exp": (SECOND + 60).to_string()}), "`exp` is not a number"),
        (json!({"exp": [SECOND + 60]}), "`exp` is not a number"),
        (json!({"exp": true}), "`exp` is not a number"),
        (json!({"nbf": SECOND + LEEWAY + 1}), "good from 2027-01-15T08:01:01.000Z on"),
        (json!({"nbf": "0"}), "`nbf` is not a number"),
        (json!({"iss": null}), "no `iss`"),
        (json!({"iss": 7}), "no `iss`"),
        (json!({"iss": [ISSUER]}), "no `iss`"),
        (json!({"iss": "https://issuer.example/"}), "issuer is not known here"),
        (json!({"iss": "https://ISSUER.example"}), "issuer is not known here"),
        (json!({"iss": ""}), "issuer is not known here"),
        (json!({"aud": null}), "no `aud`"),
        (json!({"aud": "other"}), "`aud` for this server is `angarium`"),
        (json!({"aud": "Angarium"}), "another audience"),
        (json!({"aud": "angarium "}), "another audience"),
        (json!({"aud": []}), "another audience"),
        (json!({"aud": ["other"]}), "another audience"),
        (json!({"aud": [[AUDIENCE]]}), "another audience"),
        (json!({"aud": [AUDIENCE, 7]}), "another audience"),
        (json!({"aud": {"angarium": AUDIENCE}}), "another audience"),
        (json!({"aud": true}), "another audience"),
        (json!({"sub": null}), "no `sub`"),
        (json!({"sub": ""}), "`sub` is not a string of 1 to 255"),
        (json!({"sub": 7}), "`sub` is not a string"),
        (json!({"sub": "x".repeat(256)}), "`sub` is not a string"),
        (json!({"sub": "a\nb"}), "`sub` is not a string"),
        (json!({"sub": "a\u{85}b"}), "`sub` is not a string"),
        (json!({"tenantId": ""}), "`tenantId` is not a string"),
        (json!({"tenantId": 7}), "`tenantId` is not a string"),
        (json!({"tenentId": "a\u{7f}"}), "`tenentId` is not a string"),
        (json!({"tenantId": "acme", "tenentId": "other"}), "they differ"),
    ]
}

#[tokio::test]
async fn every_claim_is_held_to_its_rule() {
    let verifier = by_secret();
    for changes in taken() {
        let verified = verifier.verify(&token_with(changes.clone())).await;
        assert!(verified.is_ok(), "{changes}: {verified:?}");
    }
    for (changes, said) in bad() {
        let token = token_with(changes.clone());
        let error = refused(&verifier, &token).await;
        assert!(error.message().contains(said), "{changes}: {error}");
    }
}

#[tokio::test]
async fn an_identity_is_what_the_claims_say() {
    let verifier = by_secret();
    let changes = json!({
        "aud": ["other", AUDIENCE], "tenantId": "acme", "email": "Alice@Example.COM", "exp": SECOND + 90,
    });
    let identity = verifier.verify(&token_with(changes)).await.unwrap();
    let expected = Identity {
        issuer: ISSUER.into(),
        tenant: Some("acme".into()),
        subject: "alice".into(),
        email: Some("alice@example.com".into()),
        expires_at: NOW + 90_000,
    };
    assert_eq!(*identity, expected);
}

#[tokio::test]
async fn the_tenant_is_read_in_the_old_spelling_too_unless_another_claim_is_set() {
    let old = token_with(json!({"tenentId": "acme"}));
    assert_eq!(by_secret().verify(&old).await.unwrap().tenant.as_deref(), Some("acme"));
    let mut issuer = Issuer::new(ISSUER, Keys::Secret(Secret::new(SECRET)));
    issuer.tenant_claim = "org".into();
    issuer.subject_claim = "uid".into();
    issuer.email_claim = "mail".into();
    let verifier = Verifier::new(settings(issuer), Clock::manual(NOW)).unwrap();
    let changes =
        json!({"tenentId": "acme", "tenantId": 7, "org": "o", "uid": "u", "mail": "m@x", "sub": null});
    let identity = verifier.verify(&token_with(changes)).await.unwrap();
    assert_eq!((identity.tenant.as_deref(), &*identity.subject), (Some("o"), "u"));
    assert_eq!(identity.email.as_deref(), Some("m@x"));
}

#[tokio::test]
async fn an_address_counts_only_when_it_is_one_and_not_unverified() {
    let verifier = by_secret();
    for (changes, expected) in [
        (json!({"email": "A@B.example"}), Some("a@b.example")),
        (json!({"email": "A@b", "email_verified": true}), Some("a@b")),
        (json!({"email": "a@b", "email_verified": "true"}), Some("a@b")),
        (json!({"email": "a@b", "email_verified": false}), None),
        (json!({"email": "a@b", "email_verified": "false"}), None),
        (json!({"email": "a@b", "email_verified": 0}), None),
        (json!({"email": "nobody"}), None),
        (json!({"email": "@b"}), None),
        (json!({"email": "a@"}), None),
        (json!({"email": "a @b"}), None),
        (json!({"email": "a\t@b"}), None),
        (json!({"email": ["a@b"]}), None),
        (json!({"email": format!("{}@b", "a".repeat(320))}), None),
        // KELVIN SIGN, whose lower case is an ordinary k.
        (json!({"email": "\u{212a}im@b"}), Some("\u{212a}im@b")),
    ] {
        let identity = verifier.verify(&token_with(changes.clone())).await.unwrap();
        assert_eq!(identity.email.as_deref(), expected, "{changes}");
    }
}

#[tokio::test]
async fn time_is_that_of_the_clock_handle() {
    let clock = Clock::manual(NOW);
    let issuer = Issuer::new(ISSUER, Keys::Secret(Secret::new(SECRET)));
    let verifier = Verifier::new(settings(issuer), clock.clone()).unwrap();
    let (now, later) = (token_with(json!({})), token_with(json!({"nbf": SECOND + 600})));
    verifier.verify(&now).await.unwrap();
    refused(&verifier, &later).await;
    clock.advance(540_000);
    verifier.verify(&later).await.unwrap();
    clock.advance((3600 + LEEWAY - 540) * 1000);
    refused(&verifier, &now).await;
}

#[tokio::test]
async fn each_issuer_has_its_own_keys_and_audience() {
    let mut own = Issuer::new("other", Keys::Pem(key!("p256.pub.pem").into()));
    own.audience = Some("elsewhere".into());
    let mut settings = settings(Issuer::new(ISSUER, Keys::Secret(Secret::new(SECRET))));
    settings.issuers.push(own);
    let verifier = Verifier::new(settings, Clock::manual(NOW)).unwrap();
    let by_other = |changes: Value| {
        let mut claims = claims();
        claims.extend(changes.as_object().unwrap().clone());
        mint(&pem(key!("p256.pem")), "ES256", None, &claims).unwrap()
    };
    let token = by_other(json!({"iss": "other", "aud": "elsewhere"}));
    assert_eq!(verifier.verify(&token).await.unwrap().issuer, "other");
    let error = refused(&verifier, &by_other(json!({"iss": "other"}))).await;
    assert!(error.message().contains("`elsewhere`"), "{error}");
    refused(&verifier, &by_other(json!({}))).await;
    refused(&verifier, &token_with(json!({"iss": "other", "aud": "elsewhere"}))).await;
}

#[tokio::test]
async fn a_token_has_at_most_8_kib() {
    let verifier = by_secret();
    let of_length = |filler: usize| token_with(json!({"filler": "x".repeat(filler)}));
    let fits = (0..).map(|less| of_length(6000 - less)).find(|token| token.len() <= TOKEN_MAX_BYTES).unwrap();
    assert!(fits.len() > TOKEN_MAX_BYTES - 8, "{}", fits.len());
    verifier.verify(&fits).await.unwrap();
    let error = refused(&verifier, &of_length(6100)).await;
    assert!(error.message().contains("8192 bytes"), "{error}");
    refused(&verifier, &"x.".repeat(5_000_000)).await;
}

#[test]
fn what_is_meant_as_a_token_is_told_from_a_key() {
    for token in [&*good_token(), "a.b.c", "a-_0.b.c", "a.b."] {
        assert!(looks_like_token(token), "{token}");
    }
    let key = format!("ang_sk_{}", "0".repeat(64));
    for other in
        [&*key, "", ".", "..", "a.b", "a.b.c.d", "a.b.c.d.e", ".b.c", "a..c", "a.b.c=", "a.b.c ", "a.b.ü"]
    {
        assert!(!looks_like_token(other), "{other}");
    }
}

#[tokio::test]
async fn no_message_repeats_what_a_token_says() {
    let verifier = by_secret();
    for changes in [
        json!({"iss": "hush-hush"}),
        json!({"aud": "hush-hush"}),
        json!({"sub": "hush-hush\n"}),
        json!({"exp": "hush-hush"}),
        json!({"tenantId": "hush-hush", "tenentId": "other"}),
    ] {
        let token = token_with(changes);
        let error = refused(&verifier, &token).await;
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        assert!(!format!("{error:?}").contains(token.split('.').next_back().unwrap()));
    }
}
