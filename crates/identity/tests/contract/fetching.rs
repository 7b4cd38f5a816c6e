//! When key sets are fetched, by how many, and what holds while they cannot be.

use crate::{
    fake::{Fake, Reply, ok, status},
    *,
};
use std::sync::Arc;

const REFRESH: i64 = 600_000;
const FLOOR: i64 = 30_000;
/// How long a fetch may take in these tests.
const PATIENCE: Duration = Duration::from_millis(300);

/// An issuer with a key set, and the verifier of its tokens.
pub struct World {
    pub server: Fake,
    pub clock: Clock,
    pub verifier: Arc<Verifier>,
}

impl World {
    pub async fn new() -> World {
        World::with_patience(NEVER).await
    }

    async fn with_patience(patience: Duration) -> World {
        let (server, clock) = (Fake::start().await, Clock::manual(NOW));
        let mut settings = settings(Issuer::new(ISSUER, Keys::Jwks(server.url().into())));
        settings.fetching.patience = patience;
        let verifier = Arc::new(Verifier::new(settings, clock.clone()).unwrap());
        World { server, clock, verifier }
    }

    /// One that has already fetched the first key, and a token that it knows.
    async fn with_first_key() -> (World, String) {
        let (world, token) = (World::new().await, by_first("alice"));
        world.server.publishes(&[first()]);
        world.verifier.verify(&token).await.unwrap();
        (world, token)
    }

    pub fn state(&self) -> angarium_identity::KeySetState {
        self.verifier.issuers()[0].key_set.clone()
    }

    async fn until_requests(&self, count: usize) {
        until("a request", || self.server.requests() == count).await;
    }
}

fn first() -> Value {
    jwk(key!("p256.pub.pem"), "first")
}

fn second() -> Value {
    jwk(key!("p256-other.pub.pem"), "second")
}

/// The JWK of a public key on P-256, whose point ends its DER.
pub fn jwk(pem: &str, id: &str) -> Value {
    let lines: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(lines).unwrap();
    let (x, y) = der[der.len() - 64..].split_at(32);
    json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y), "kid": id, "use": "sig"})
}

/// A token for somebody, good for a day.
pub fn token(private: &str, id: Option<&str>, subject: &str) -> String {
    let mut claims = claims();
    claims.insert("sub".into(), json!(subject));
    claims.insert("exp".into(), json!(NOW / 1000 + 86_400));
    mint(&pem(private), "ES256", id, &claims).unwrap()
}

fn by_first(subject: &str) -> String {
    token(key!("p256.pem"), Some("first"), subject)
}

fn by_second(subject: &str) -> String {
    token(key!("p256-other.pem"), Some("second"), subject)
}

async fn unavailable(world: &World, token: &str) -> Error {
    let error = world.verifier.verify(token).await.unwrap_err();
    assert_eq!(error.code().name, "identity_keys_unavailable", "{error}");
    assert_eq!(error.kind().status(), 503);
    assert!(!error.message().contains("127.0.0.1"), "{error}");
    error
}

#[tokio::test]
async fn a_set_without_a_usable_key_is_an_outage_and_takes_no_good_key_away() {
    for useless in
        [vec![], vec![json!({"kty": "oct", "k": "c2VjcmV0"})], vec![json!({"kty": "new"}), json!(7)]]
    {
        let (world, known) = World::with_first_key().await;
        world.server.publishes(&useless);
        world.clock.advance(REFRESH);
        world.verifier.refresh().await;
        assert_eq!(world.server.requests(), 2);
        world.verifier.verify(&known).await.unwrap();
        world.verifier.verify(&by_first("bob")).await.unwrap();
        let state = world.state();
        let (_, failure) = state.failure.expect("it is said");
        assert!(failure.contains("no key that can be used"), "{failure}");
        assert_eq!((state.keys, state.fetched_at), (Some(1), Some(NOW)));
    }
    let world = World::new().await;
    world.server.publishes(&[]);
    unavailable(&world, &by_first("alice")).await;
}

#[tokio::test]
async fn nothing_is_fetched_before_a_token_asks_for_it() {
    let world = World::new().await;
    world.server.publishes(&[first()]);
    assert_eq!(world.state().keys, None);
    refused(&world.verifier, &good_token()).await;
    let mut elsewhere = claims();
    elsewhere.insert("iss".into(), json!("https://nobody.example"));
    refused(&world.verifier, &mint(&pem(key!("p256.pem")), "ES256", None, &elsewhere).unwrap()).await;
    assert_eq!(world.server.requests(), 0, "a token with no way to be good asks for nothing");
    world.verifier.verify(&by_first("alice")).await.unwrap();
    world.verifier.verify(&by_first("bob")).await.unwrap();
    assert_eq!(world.server.requests(), 1);
    let state = world.state();
    assert_eq!((state.keys, state.fetched_at, state.failure), (Some(1), Some(NOW), None));
}

#[tokio::test]
async fn all_who_wait_share_one_fetch() {
    let world = World::new().await;
    world.server.publishes(&[first()]);
    world.server.hold();
    let ask = |number: usize| {
        let verifier = Arc::clone(&world.verifier);
        tokio::spawn(async move { verifier.verify(&by_first(&number.to_string())).await })
    };
    let waiting: Vec<_> = (0..50).map(ask).collect();
    world.until_requests(1).await;
    world.server.release();
    for verified in waiting {
        verified.await.unwrap().unwrap();
    }
    assert_eq!(world.server.requests(), 1);
}

#[tokio::test]
async fn a_fetch_goes_on_without_who_began_it() {
    let world = World::new().await;
    world.server.publishes(&[first()]);
    world.server.hold();
    let verifier = Arc::clone(&world.verifier);
    let impatient = tokio::spawn(async move { verifier.verify(&by_first("alice")).await });
    world.until_requests(1).await;
    impatient.abort();
    assert!(impatient.await.unwrap_err().is_cancelled());
    world.server.release();
    world.verifier.verify(&by_first("bob")).await.unwrap();
    assert_eq!(world.server.requests(), 1);
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_and_the_floor_has_passed() {
    let (world, _) = World::with_first_key().await;
    world.server.publishes(&[first(), second()]);
    world.clock.advance(FLOOR - 1);
    refused(&world.verifier, &by_second("bob")).await;
    assert_eq!(world.server.requests(), 1, "the floor has not passed");
    world.clock.advance(1);
    world.verifier.verify(&by_second("bob")).await.unwrap();
    assert_eq!(world.server.requests(), 2);
    world.verifier.verify(&by_first("carol")).await.unwrap();
    assert_eq!(world.server.requests(), 2);
}

#[tokio::test]
async fn unknown_names_of_keys_cause_one_fetch_a_floor() {
    let (world, _) = World::with_first_key().await;
    world.clock.advance(FLOOR);
    for number in 0..20 {
        refused(&world.verifier, &token(key!("p256-other.pem"), Some(&number.to_string()), "eve")).await;
    }
    assert_eq!(world.server.requests(), 2);
    world.clock.advance(FLOOR);
    let forged = token(key!("p256-other.pem"), Some("first"), "eve");
    refused(&world.verifier, &forged).await;
    assert_eq!(world.server.requests(), 2, "a bad signature by a known key is no reason to fetch");
    refused(&world.verifier, &token(key!("p256-other.pem"), None, "eve")).await;
    assert_eq!(world.server.requests(), 3, "a token that names no key may be by a new one");
}

#[tokio::test]
async fn a_set_is_fetched_again_by_age_and_nobody_waits_for_it() {
    let (world, token) = World::with_first_key().await;
    world.clock.advance(REFRESH - 1);
    assert!(world.verifier.known(&token).is_some());
    world.clock.advance(1);
    world.server.hold();
    assert!(world.verifier.known(&token).is_none(), "somebody has to begin the fetch");
    world.verifier.verify(&token).await.unwrap();
    assert!(world.verifier.known(&token).is_some(), "and one is enough");
    world.verifier.verify(&by_first("bob")).await.unwrap();
    world.until_requests(2).await;
    world.server.release();
    until("the refresh", || world.state().fetched_at == Some(NOW + REFRESH)).await;
    assert!(world.verifier.known(&token).is_some(), "the set is the same, so nothing is forgotten");
    assert_eq!(world.server.requests(), 2);
}

#[tokio::test]
async fn a_key_that_has_left_the_set_is_not_accepted_after_the_refresh() {
    let (world, remembered) = World::with_first_key().await;
    let fresh = by_first("bob");
    assert!(world.verifier.known(&remembered).is_some());
    world.server.publishes(&[second()]);
    world.clock.advance(REFRESH);
    world.verifier.verify(&remembered).await.unwrap();
    until("the refresh", || world.state().fetched_at == Some(NOW + REFRESH)).await;
    refused(&world.verifier, &remembered).await;
    refused(&world.verifier, &fresh).await;
    world.verifier.verify(&by_second("carol")).await.unwrap();
}

#[tokio::test]
async fn keys_that_were_had_are_used_while_the_server_is_away() {
    let (world, token) = World::with_first_key().await;
    world.server.replies(status("500 Internal Server Error"));
    let mut expected = 1;
    for round in 0..3 {
        world.clock.advance(if round == 0 { REFRESH } else { FLOOR });
        assert!(world.verifier.known(&token).is_none(), "it is time to try again");
        world.verifier.verify(&token).await.unwrap();
        expected += 1;
        world.until_requests(expected).await;
        let now = NOW + REFRESH + i64::from(round) * FLOOR;
        until("it failed", || world.state().failure.is_some_and(|(at, _)| at == now)).await;
        world.verifier.verify(&by_first("bob")).await.unwrap();
        refused(&world.verifier, &by_second("eve")).await;
        assert!(world.verifier.known(&token).is_some());
        assert_eq!(world.server.requests(), expected, "none before the floor");
    }
    let state = world.state();
    assert_eq!((state.keys, state.fetched_at), (Some(1), Some(NOW)));
    assert!(state.failure.unwrap().1.contains("answered 500"));
    world.server.publishes(&[first()]);
    world.clock.advance(FLOOR);
    world.verifier.refresh().await;
    assert_eq!(world.state().failure, None);
}

#[tokio::test]
async fn without_any_keys_it_is_an_outage_and_no_bad_token() {
    let world = World::new().await;
    world.server.replies(status("503 Service Unavailable"));
    let token = by_first("alice");
    assert_eq!(unavailable(&world, &token).await.retry_after_s(), Some(30));
    world.server.publishes(&[first()]);
    world.clock.advance(FLOOR - 500);
    assert_eq!(unavailable(&world, &token).await.retry_after_s(), Some(1));
    assert_eq!(world.server.requests(), 1, "the floor holds for fetches that failed too");
    world.clock.advance(500);
    world.verifier.verify(&token).await.unwrap();
    assert_eq!(world.server.requests(), 2);
}

#[tokio::test]
async fn an_answer_that_is_no_key_set_is_a_failure_that_says_so() {
    let many: Vec<_> = (0..101).map(|number| jwk(key!("p256.pub.pem"), &number.to_string())).collect();
    let huge = json!({"keys": [first()], "filler": "x".repeat(300 << 10)}).to_string();
    let redirect = Reply::Answer("302 Found", "location: http://127.0.0.1:1/\r\n".into(), vec![]);
    for (reply, said) in [
        (status("404 Not Found"), "answered 404"),
        (status("204 No Content"), "answered 204"),
        (redirect, "answered 302; set the address that it leads to"),
        (ok("<html>"), "not a key set"),
        (ok("[]"), "not a key set"),
        (ok("{}"), "not a key set"),
        (ok(r#"{"keys":{}}"#), "not a key set"),
        (ok(format!(r#"{{"keys":[],"keys":[{}]}}"#, first())), "not a key set"),
        (ok(huge), "larger than 256 KiB"),
        (ok(json!({"keys": many}).to_string()), "more than 100 keys"),
    ] {
        let world = World::new().await;
        world.server.replies(reply);
        unavailable(&world, &by_first("alice")).await;
        let state = world.state();
        let (at, failure) = state.failure.unwrap();
        assert!(failure.contains(said), "{failure}");
        assert_eq!((at, state.keys, state.fetched_at), (NOW, None, None));
    }
}

#[tokio::test]
async fn a_bad_answer_takes_no_key_away() {
    let (world, _) = World::with_first_key().await;
    for (round, reply) in (1..).zip([ok("{}"), ok(vec![b' '; 300 << 10])]) {
        world.server.replies(reply);
        world.clock.advance(FLOOR);
        world.verifier.refresh().await;
        assert_eq!(world.state().failure.unwrap().0, NOW + round * FLOOR);
        world.verifier.verify(&by_first(&round.to_string())).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_slow_or_never_ends_is_given_up() {
    for reply in [Reply::Silence, Reply::Endless] {
        let world = World::with_patience(PATIENCE).await;
        world.server.replies(reply);
        let token = by_first("alice");
        tokio::time::timeout(NEVER, unavailable(&world, &token)).await.expect("it waits for ever");
        assert_eq!(world.server.requests(), 1);
        assert!(world.state().failure.unwrap().1.contains("in time"), "{:?}", world.state());
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_outage() {
    let clock = Clock::manual(NOW);
    let settings = settings(Issuer::new(ISSUER, Keys::Jwks("http://127.0.0.1:1/keys".into())));
    let verifier = Verifier::new(settings, clock).unwrap();
    verifier.refresh().await;
    let state = verifier.issuers()[0].key_set.clone();
    assert!(state.failure.unwrap().1.contains("cannot be reached"));
    let error = verifier.verify(&by_first("alice")).await.unwrap_err();
    assert_eq!(error.code().name, "identity_keys_unavailable");
}
