//! What has been tried against verifiers of tokens (RFC 8725 §2), and is refused here.

use crate::*;
use proptest::prelude::*;
use std::sync::LazyLock;

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn text(claims: &Map<String, Value>) -> String {
    Value::Object(claims.clone()).to_string()
}

fn der(pem: &str) -> Vec<u8> {
    let lines: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(lines).unwrap()
}

#[tokio::test]
async fn a_public_key_is_never_a_secret() {
    for (algorithm, _, public) in PAIRS {
        let verifier = verifier(Keys::Pem(public.into()));
        let der = der(public);
        let secrets: [&[u8]; 6] =
            [public.as_bytes(), public.trim().as_bytes(), &der, &der[der.len() - 32..], b"", &[0; 32]];
        for secret in secrets {
            let error = refused(&verifier, &forged(HEADER, &text(&claims()), secret)).await;
            assert!(error.message().contains("algorithm is not allowed"), "{error}");
            assert!(error.message().contains(algorithm), "{error}");
            let lying = HEADER.replace("HS256", algorithm);
            refused(&verifier, &forged(&lying, &text(&claims()), secret)).await;
        }
    }
}

#[tokio::test]
async fn a_key_is_used_with_the_algorithms_of_its_type_only() {
    let names = [
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
        "EdDSA",
    ];
    for (algorithm, private, public) in PAIRS {
        let verifier = verifier(Keys::Pem(public.into()));
        let token = mint(&pem(private), algorithm, None, &claims()).unwrap();
        verifier.verify(&token).await.unwrap();
        for other in names.into_iter().filter(|other| *other != algorithm) {
            let rest = token.split_once('.').unwrap().1;
            let swapped = format!("{}.{rest}", base64url(HEADER.replace("HS256", other)));
            refused(&verifier, &swapped).await;
        }
    }
}

#[tokio::test]
async fn none_is_no_algorithm_in_any_spelling() {
    let verifiers = [by_secret(), verifier(Keys::Pem(key!("rsa.pub.pem").into()))];
    let good = good_token();
    let signature = good.rsplit_once('.').unwrap().1;
    for name in
        ["none", "None", "NONE", "nOnE", "", " ", "HS256 ", "hs256", "HS256\\u0020", "null", "HS1", "ES256K"]
    {
        let header = format!(r#"{{"alg":"{name}"}}"#);
        for verifier in &verifiers {
            let unsigned = format!("{}.{}.", base64url(&header), base64url(text(&claims())));
            refused(verifier, &unsigned).await;
            refused(verifier, &format!("{unsigned}{signature}")).await;
            refused(verifier, &forged(&header, &text(&claims()), SECRET.as_bytes())).await;
        }
    }
}

#[tokio::test]
async fn a_header_says_one_thing_and_nothing_that_is_not_understood() {
    let verifier = by_secret();
    let signed = |header: &str| forged(header, &text(&claims()), SECRET.as_bytes());
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":"application/JWT"}"#,
        r#"{"alg":"HS256","kid":"some","jku":"http://127.0.0.1:1/","x5u":"x","new":{}}"#,
        r#" { "alg" : "HS256" } "#,
    ] {
        verifier.verify(&signed(header)).await.unwrap_or_else(|error| panic!("{header}: {error}"));
    }
    for (header, said) in [
        (r#"{"alg":"none","alg":"HS256"}"#, "not a JSON Web Token"),
        (r#"{"alg":"HS256","alg":"none"}"#, "not a JSON Web Token"),
        (r#"{"alg":"HS256","\u0061lg":"HS256"}"#, "not a JSON Web Token"),
        (r#"{"alg":"HS256","kid":"a","kid":"b"}"#, "not a JSON Web Token"),
        (r#"{"alg":["HS256"]}"#, "no `alg`"),
        (r#"{"alg":null}"#, "no `alg`"),
        (r#"{"ALG":"HS256"}"#, "no `alg`"),
        (r#"{}"#, "no `alg`"),
        (r#"["HS256"]"#, "not a JSON Web Token"),
        (r#"{"alg":"HS256"}{}"#, "not a JSON Web Token"),
        (r#"{"alg":"HS256""#, "not a JSON Web Token"),
        ("{\"alg\":\"HS256\",\"x\":\"\u{1}\"}", "not a JSON Web Token"),
        (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, "`crit`"),
        (r#"{"alg":"HS256","crit":[]}"#, "`crit`"),
        (r#"{"alg":"HS256","crit":null}"#, "`crit`"),
        (r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#, "`crit`"),
        (r#"{"alg":"HS256","typ":"logout+jwt"}"#, "`typ`"),
        (r#"{"alg":"HS256","typ":"dpop+jwt"}"#, "`typ`"),
        (r#"{"alg":"HS256","typ":7}"#, "`typ`"),
        (r#"{"alg":"HS256","kid":7}"#, "`kid` is not a string"),
        (r#"{"alg":"HS256","kid":null}"#, "`kid` is not a string"),
    ] {
        let error = refused(&verifier, &signed(header)).await;
        assert!(error.message().contains(said), "{header}: {error}");
    }
}

#[tokio::test]
async fn no_claim_is_there_twice_and_claims_are_an_object() {
    let verifier = by_secret();
    let good = text(&claims());
    let inside = good.trim_start_matches('{');
    for claims in [
        format!(r#"{{"sub":"bob",{inside}"#),
        format!(r#"{{"exp":1,{inside}"#),
        format!(r#"{{"\u0073ub":"bob",{inside}"#),
        format!(r#"{{"a":{{"b":1,"b":2}},{inside}"#),
        format!("[{good}]"),
        format!("{good}{good}"),
        format!("{good},"),
        String::new(),
        "null".into(),
        format!("{}{good}{}", "[".repeat(5000), "]".repeat(5000)),
    ] {
        refused(&verifier, &forged(HEADER, &claims, SECRET.as_bytes())).await;
    }
}

#[tokio::test]
async fn a_key_in_the_header_is_not_looked_at() {
    let set: Value = serde_json::from_str(key!("foreign.jwks.json")).unwrap();
    let own = &set["keys"][1];
    assert_eq!(own["crv"], "P-256");
    let verifier = verifier(Keys::Pem(key!("p256-other.pub.pem").into()));
    let header = json!({"alg": "ES256", "jwk": own, "kid": "p256"}).to_string();
    let message = format!("{}.{}", base64url(header), base64url(text(&claims())));
    let random = ring::rand::SystemRandom::new();
    let by = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let pair = ring::signature::EcdsaKeyPair::from_pkcs8(by, &der(key!("p256.pem")), &random).unwrap();
    let signature = pair.sign(&random, message.as_bytes()).unwrap();
    let token = format!("{message}.{}", base64url(signature));
    refused(&verifier, &token).await;
    let same = crate::verifier(Keys::Pem(key!("p256.pub.pem").into()));
    same.verify(&token).await.expect("it is well signed, by a key that is nobody's");
}

#[tokio::test]
async fn a_signature_is_whole_and_written_in_one_way() {
    for (algorithm, private, public) in PAIRS {
        let verifier = verifier(Keys::Pem(public.into()));
        let token = mint(&pem(private), algorithm, None, &claims()).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let of = |bytes: &[u8]| format!("{message}.{}", base64url(bytes));
        for other in [
            format!("{message}."),
            message.to_owned(),
            of(&bytes[..bytes.len() - 1]),
            of(&bytes[1..]),
            of(&[&bytes[..], &[0]].concat()),
            of(&[&[0], &bytes[..]].concat()),
            // r = s = 0 passes where curves are computed without a look at the numbers.
            of(&vec![0; bytes.len()]),
            of(&vec![0xff; bytes.len()]),
            format!("{token}="),
            format!("{token}=="),
            format!("{token}."),
            format!("{token}.{signature}"),
            format!(" {token}"),
            format!("{token}\n"),
            format!("Bearer {token}"),
            token.replace('.', ".."),
        ] {
            refused(&verifier, &other).await;
        }
        verifier.verify(&token).await.unwrap();
    }
}

#[tokio::test]
async fn parts_of_two_good_tokens_make_no_third() {
    let verifier = by_secret();
    let (alice, bob) = (good_token(), token_with(json!({"sub": "bob"})));
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (alice, bob) = (parts(&alice), parts(&bob));
    refused(&verifier, &format!("{}.{}.{}", alice[0], bob[1], alice[2])).await;
    refused(&verifier, &format!("{}.{}.{}", bob[0], alice[1], bob[2])).await;
}

/// A good token of every type of key, and its verifier.
static SIGNED: LazyLock<Vec<(Verifier, String)>> = LazyLock::new(|| {
    let of = |(algorithm, private, public): (&str, &str, &str)| {
        (verifier(Keys::Pem(public.into())), mint(&pem(private), algorithm, None, &claims()).unwrap())
    };
    PAIRS.into_iter().map(of).chain([(by_secret(), good_token())]).collect()
});

fn verified(verifier: &Verifier, token: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(verifier.verify(token)).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_never_verifies(which in 0..5usize, part in 0..3usize, at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let (verifier, token) = &SIGNED[which];
        let mut parts: Vec<Vec<u8>> = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        let at = at.index(parts[part].len());
        parts[part][at] ^= 1 << bit;
        let flipped = parts.iter().map(base64url).collect::<Vec<_>>().join(".");
        prop_assert!(!verified(verifier, &flipped));
    }

    #[test]
    fn a_changed_character_never_verifies(which in 0..5usize, at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.=-]") {
        let (verifier, token) = &SIGNED[which];
        let at = at.index(token.len());
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assert_eq!(verified(verifier, &changed), changed == *token);
    }

    #[test]
    fn no_text_brings_it_down(text in "\\PC{0,300}", parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..5)) {
        let bytes = parts.iter().map(base64url).collect::<Vec<_>>().join(".");
        for (verifier, _) in SIGNED.iter() {
            prop_assert!(!verified(verifier, &text));
            prop_assert!(!verified(verifier, &bytes));
        }
    }
}
