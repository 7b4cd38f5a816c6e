//! What is taken out of a key set, and which of its keys a token is checked with.

use crate::{
    fetching::{World, jwk, token},
    *,
};

/// The set that another library made, key by key: rsa, p256, p384, ed25519.
fn foreign() -> Vec<Value> {
    let set: Value = serde_json::from_str(key!("foreign.jwks.json")).unwrap();
    set["keys"].as_array().unwrap().clone()
}

fn with(mut key: Value, changes: Value) -> Value {
    for (member, value) in changes.as_object().unwrap() {
        key[member] = value.clone();
    }
    key
}

#[tokio::test]
async fn tokens_and_sets_of_another_library_are_understood() {
    let world = World::new().await;
    world.server.publishes(&foreign());
    let mut seen = 0;
    for line in key!("foreign.txt").lines() {
        let [name, algorithm, token] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let identity = match name {
            "secret" => by_secret().verify(token).await,
            _ => world.verifier.verify(token).await,
        };
        let identity = identity.unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        assert_eq!(identity.tenant.as_deref(), Some("acme"));
        assert_eq!(identity.email.as_deref(), Some("alice@example.com"));
        seen += 1;
    }
    assert_eq!((seen, world.server.requests()), (12, 1));
}

#[tokio::test]
async fn what_cannot_be_used_is_left_out_and_the_rest_is_used() {
    let [rsa, p256, p384, ed25519] = <[Value; 4]>::try_from(foreign()).unwrap();
    let unusable = vec![
        with(rsa.clone(), json!({"use": "enc"})),
        with(rsa.clone(), json!({"use": 7})),
        with(rsa.clone(), json!({"key_ops": ["encrypt"]})),
        with(rsa.clone(), json!({"key_ops": "verify"})),
        with(rsa.clone(), json!({"alg": "RSA-OAEP"})),
        with(rsa.clone(), json!({"alg": "none"})),
        with(rsa.clone(), json!({"kty": "rsa"})),
        with(rsa.clone(), json!({"kid": 7})),
        with(rsa.clone(), json!({"n": "AQAB"})),
        with(rsa.clone(), json!({"n": rsa["n"].as_str().unwrap()[..300]})),
        with(rsa.clone(), json!({"e": "AQ"})),
        with(rsa.clone(), json!({"e": "AQAA"})),
        with(rsa.clone(), json!({"e": ""})),
        with(rsa.clone(), json!({"n": "not base64url!"})),
        with(p256.clone(), json!({"crv": "P-384"})),
        with(p256.clone(), json!({"crv": "secp256k1"})),
        with(p256.clone(), json!({"x": "AA"})),
        with(p384.clone(), json!({"crv": "P-256"})),
        with(ed25519.clone(), json!({"crv": "X25519"})),
        with(ed25519.clone(), json!({"x": "AA"})),
        json!({"kty": "oct", "k": base64url(SECRET), "alg": "HS256"}),
        json!({"kty": "new"}),
        json!({}),
        json!(7),
        Value::Null,
    ];
    let world = World::new().await;
    world.server.publishes(&[unusable.clone(), vec![p256]].concat());
    let token = token(key!("p256.pem"), Some("p256"), "alice");
    world.verifier.verify(&token).await.unwrap();
    assert_eq!(world.state().keys, Some(1), "one of {}", unusable.len() + 1);
}

#[tokio::test]
async fn a_secret_in_a_key_set_signs_nothing() {
    let world = World::new().await;
    let secret = json!({"kty": "oct", "k": base64url(SECRET), "alg": "HS256", "kid": "s"});
    world.server.publishes(&[secret, jwk(key!("p256.pub.pem"), "p")]);
    world.verifier.verify(&token(key!("p256.pem"), Some("p"), "alice")).await.unwrap();
    for id in [None, Some("s"), Some("p")] {
        let token = mint(&super::secret(), "HS256", id, &claims()).unwrap();
        let error = refused(&world.verifier, &token).await;
        assert!(error.message().contains("algorithm is not allowed"), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_names_its_algorithm_is_for_that_one_only() {
    let [rsa, ..] = <[Value; 4]>::try_from(foreign()).unwrap();
    let by = |algorithm| mint(&pem(key!("rsa.pem")), algorithm, Some("rsa"), &claims()).unwrap();
    let world = World::new().await;
    world.server.publishes(&[with(rsa, json!({"alg": "PS256", "key_ops": ["verify"]}))]);
    world.verifier.verify(&by("PS256")).await.unwrap();
    for other in ["RS256", "RS512", "PS384"] {
        refused(&world.verifier, &by(other)).await;
    }
}

#[tokio::test]
async fn the_newer_name_of_eddsa_is_understood() {
    let [_, _, _, ed25519] = <[Value; 4]>::try_from(foreign()).unwrap();
    let world = World::new().await;
    world.server.publishes(&[with(ed25519, json!({"alg": "Ed25519"}))]);
    let token = mint(&pem(key!("ed25519.pem")), "Ed25519", Some("ed25519"), &claims()).unwrap();
    world.verifier.verify(&token).await.unwrap();
}

#[tokio::test]
async fn the_named_key_decides_and_keys_without_a_name_may_be_any() {
    let mut nameless = jwk(key!("p256-other.pub.pem"), "x");
    nameless.as_object_mut().unwrap().remove("kid");
    let world = World::new().await;
    world.server.publishes(&[jwk(key!("p256.pub.pem"), "a"), nameless]);
    let (ours, other) = (key!("p256.pem"), key!("p256-other.pem"));
    for (private, id) in [(ours, Some("a")), (ours, None), (other, None), (other, Some("b"))] {
        world.verifier.verify(&token(private, id, "alice")).await.unwrap_or_else(|e| panic!("{id:?}: {e}"));
    }
    for id in ["A", "", "b", "a\0", "../a", "a' or '1'='1", "/dev/null", "http://127.0.0.1:1/"] {
        refused(&world.verifier, &token(ours, Some(id), "alice")).await;
    }
}

#[tokio::test]
async fn two_keys_of_one_name_are_both_tried() {
    let world = World::new().await;
    world.server.publishes(&[jwk(key!("p256.pub.pem"), "a"), jwk(key!("p256-other.pub.pem"), "a")]);
    for private in [key!("p256.pem"), key!("p256-other.pem")] {
        world.verifier.verify(&token(private, Some("a"), "alice")).await.unwrap();
    }
}
