//! What is refused at the start, and that nothing of it shows secrets.

use crate::*;

fn wrong(settings: Settings, said: &str) {
    let error = Verifier::new(settings, Clock::manual(NOW)).err().unwrap_or_else(|| panic!("taken: {said}"));
    assert_eq!(error.code().name, "invalid_identity_settings");
    assert!(error.message().contains(said), "{said}: {error}");
    assert!(!format!("{error:?}").contains("hush"), "{error:?}");
}

fn with(keys: Keys, algorithms: &[&str]) -> Settings {
    let mut issuer = Issuer::new(ISSUER, keys);
    issuer.algorithms = algorithms.iter().map(|name| (*name).to_owned()).collect();
    settings(issuer)
}

fn of_pem(text: &str) -> Keys {
    Keys::Pem(text.into())
}

fn of_secret(length: usize) -> Keys {
    Keys::Secret(Secret::new("hush".repeat(64)[..length].to_owned()))
}

#[test]
fn keys_that_are_weak_or_none_are_refused() {
    let damaged = key!("rsa.pub.pem").replace("MIIB", "MIIC");
    for (keys, said) in [
        (of_secret(0), "fewer than 32 bytes"),
        (of_secret(31), "fewer than 32 bytes"),
        (of_pem(""), "not PEM text"),
        (of_pem("hush"), "not PEM text"),
        (of_pem("-----BEGIN PUBLIC KEY-----\nhush"), "damaged"),
        (of_pem(&damaged), "damaged"),
        (of_pem(key!("rsa-1024.pub.pem")), "2048 to 8192 bits"),
        (of_pem(key!("rsa-2040.pub.pem")), "2048 to 8192 bits"),
        (of_pem(key!("k256.pub.pem")), "P-256 or P-384"),
        (of_pem(key!("p521.pub.pem")), "P-256 or P-384"),
        (of_pem(key!("ed448.pub.pem")), "RSA, EC on P-256 or P-384, or Ed25519"),
        (of_pem(key!("rsa-pkcs1.pub.pem")), "PUBLIC KEY or CERTIFICATE"),
        (of_pem(&[key!("rsa.pub.pem"), key!("rsa-pkcs1.pub.pem")].concat()), "PUBLIC KEY or CERTIFICATE"),
        (of_pem(key!("rsa.pem")), "private key"),
        (of_pem(key!("rsa-pkcs1.pem")), "private key"),
        (of_pem(key!("p256-sec1.pem")), "private key"),
        (of_pem(&key!("p256.pub.pem").repeat(101)), "more than 100 keys"),
    ] {
        wrong(with(keys, &[]), said);
    }
}

#[test]
fn algorithms_fit_the_keys() {
    let rsa = || of_pem(key!("rsa.pub.pem"));
    let jwks = || Keys::Jwks("https://issuer.example/keys".into());
    for (keys, algorithm) in [
        (rsa(), "HS256"),
        (rsa(), "ES256"),
        (rsa(), "none"),
        (rsa(), "rs256"),
        (rsa(), ""),
        (of_secret(47), "HS384"),
        (of_secret(63), "HS512"),
        (of_secret(64), "RS256"),
        (of_pem(key!("p256.pub.pem")), "ES384"),
        (jwks(), "HS256"),
        (jwks(), "none"),
    ] {
        wrong(with(keys, &[algorithm]), "does not fit its keys");
    }
}

#[tokio::test]
async fn only_the_algorithms_that_are_set_are_taken() {
    let settings = with(of_pem(key!("rsa.pub.pem")), &["PS256", "RS512"]);
    let verifier = Verifier::new(settings, Clock::manual(NOW)).unwrap();
    assert_eq!(verifier.issuers()[0].algorithms, ["PS256", "RS512"]);
    let by = |algorithm| mint(&pem(key!("rsa.pem")), algorithm, None, &claims()).unwrap();
    verifier.verify(&by("PS256")).await.unwrap();
    verifier.verify(&by("RS512")).await.unwrap();
    let error = refused(&verifier, &by("RS256")).await;
    assert!(error.message().contains("allowed: PS256, RS512"), "{error}");
}

#[tokio::test]
async fn a_secret_signs_with_the_algorithms_it_is_long_enough_for() {
    for (length, expected) in [
        (32, &["HS256"][..]),
        (47, &["HS256"]),
        (48, &["HS256", "HS384"]),
        (64, &["HS256", "HS384", "HS512"]),
    ] {
        assert_eq!(verifier(of_secret(length)).issuers()[0].algorithms, expected, "{length} bytes");
    }
    let long = Keys::Secret(Secret::new(SECRET[..40].to_owned()));
    let error = refused(&verifier(long), &mint(&secret(), "HS512", None, &claims()).unwrap()).await;
    assert!(error.message().contains("allowed: HS256"), "{error}");
}

#[tokio::test]
async fn several_keys_of_several_types_stand_in_one_text() {
    let text: String = PAIRS.iter().map(|(_, _, public)| format!("a comment\n{public}\n")).collect();
    let verifier = verifier(Keys::Pem(text));
    assert_eq!(verifier.issuers()[0].key_set.keys, Some(4));
    for (algorithm, private, _) in PAIRS {
        verifier.verify(&mint(&pem(private), algorithm, Some("x"), &claims()).unwrap()).await.unwrap();
    }
    refused(&verifier, &mint(&pem(key!("p256-other.pem")), "ES256", None, &claims()).unwrap()).await;
}

#[test]
fn a_key_set_is_fetched_over_https_or_from_this_machine() {
    for url in [
        "https://issuer.example/keys",
        "http://localhost/keys",
        "http://127.0.0.1:8080/keys",
        "http://127.9.9.9/",
        "http://[::1]:80/keys",
    ] {
        verifier(Keys::Jwks(url.into()));
    }
    for (url, said) in [
        ("http://issuer.example/hush", "neither https://"),
        ("http://127.0.0.1.issuer.example/hush", "neither https://"),
        ("http://localhost.issuer.example/hush", "neither https://"),
        ("http://10.0.0.1/hush", "neither https://"),
        ("file:///hush", "neither https://"),
        ("ftp://localhost/hush", "neither https://"),
        ("/hush", "not a URL"),
        ("", "not a URL"),
        ("https://user:hush@issuer.example/", "a user or a password"),
        ("https://hush@issuer.example/", "a user or a password"),
    ] {
        wrong(with(Keys::Jwks(url.into()), &[]), said);
    }
}

#[test]
fn what_is_empty_double_or_too_much_is_named() {
    let good = || with(of_secret(32), &[]);
    let change = |change: fn(&mut Settings)| {
        let mut settings = good();
        change(&mut settings);
        settings
    };
    Verifier::new(good(), Clock::manual(NOW)).unwrap();
    wrong(change(|s| s.issuers[0].issuer.clear()), "an issuer has no name");
    wrong(change(|s| s.issuers.push(s.issuers[0].clone())), "`https://issuer.example`: it is there twice");
    wrong(change(|s| s.audience.clear()), "its audience is empty");
    wrong(change(|s| s.issuers[0].audience = Some(String::new())), "its audience is empty");
    wrong(change(|s| s.issuers[0].subject_claim.clear()), "its subject claim is empty");
    wrong(change(|s| s.issuers[0].tenant_claim.clear()), "its tenant claim is empty");
    wrong(change(|s| s.issuers[0].email_claim.clear()), "its email claim is empty");
    wrong(change(|s| s.leeway = Duration::from_secs(601)), "at most 10 minutes");
}

#[tokio::test]
async fn without_issuers_nobody_is_known() {
    let mut settings = with(of_secret(32), &[]);
    settings.issuers.clear();
    let verifier = Verifier::new(settings, Clock::manual(NOW)).unwrap();
    refused(&verifier, &good_token()).await;
    assert_eq!(verifier.issuers(), []);
}

#[test]
fn settings_print_no_secret() {
    let mut settings = with(of_secret(64), &[]);
    settings.issuers.push(Issuer::new("b", Keys::Pem("hush".into())));
    settings.issuers.push(Issuer::new("c", Keys::Jwks("https://hush@issuer.example/?hush".into())));
    let printed = format!("{settings:?}");
    assert!(printed.contains("Secret(…)") && !printed.contains("hush"), "{printed}");
}

#[test]
fn issuers_say_what_they_take() {
    let verifier = verifier(of_pem(key!("p256.pub.pem")));
    let state = &verifier.issuers()[0];
    assert_eq!((&*state.issuer, &*state.audience, state.source), (ISSUER, AUDIENCE, "pem"));
    assert_eq!((state.key_set.keys, state.key_set.fetched_at), (Some(1), None));
}
