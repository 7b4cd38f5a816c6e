//! What is let in and until when: pages that act for whom a proxy vouches for, keys that are replaced, roles that are
//! given up, tokens that come to their end.

use crate::tenants::{Issuers, Tenant, new_bundle_id, new_email, send_json, text};
use angarium_suite::{Reply, Setup, World, caller::read, tokens::now_s};
use futures_util::future::join_all;
use reqwest::{Method, header::ACCEPT};
use serde_json::{Value, json};
use std::time::Duration;

/// A server behind a proxy that signs people in, and what somebody's browser sends through it.
struct Behind {
    world: World,
    email: String,
}

impl Behind {
    async fn start() -> Behind {
        let config = "[auth.proxy]\nheader = \"x-forwarded-email\"\naddresses = [\"loopback\"]\n";
        Behind { world: World::start_with(config).await, email: new_email() }
    }

    fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let request = self.world.http().request(method, format!("{}{path}", self.world.url()));
        let request = request.header("x-forwarded-email", &self.email);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    async fn create_app(&self, headers: &[(&str, &str)]) -> Reply {
        let body = json!({ "name": "one", "bundle_id": new_bundle_id() });
        send_json(self.request(Method::POST, "/v1/apps", headers), &body).await
    }
}

#[tokio::test]
async fn a_page_of_another_origin_does_not_act_for_whom_a_proxy_vouches_for() {
    let behind = Behind::start().await;
    let own = behind.world.url();
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "https://beside.example")],
    ] {
        let refused = behind.create_app(headers).await;
        assert_eq!((refused.status, &*refused.code()), (403, "foreign_origin"), "{headers:?}");
    }
    let listed = read(behind.request(Method::GET, "/v1/apps", &[])).await.expect("an answer").json();
    assert_eq!(listed["items"], json!([]), "nothing was made");

    for headers in [
        &[][..],
        &[("origin", &*own)],
        &[("origin", "https://public.example"), ("x-forwarded-host", "public.example")],
        &[("origin", "https://public.example"), ("sec-fetch-site", "same-origin")],
    ] {
        let made = behind.create_app(headers).await;
        assert_eq!(made.status, 201, "{headers:?}: {}", made.text());
    }
}

#[tokio::test]
async fn an_app_names_the_pages_that_act_for_whom_a_proxy_vouches_for() {
    let behind = Behind::start().await;
    let app = text(&behind.create_app(&[]).await.json(), "id");
    let page = [("origin", "https://shop.example"), ("sec-fetch-site", "cross-site")];
    let path = format!("/v1/apps/{app}");
    let patch = async |headers: &[(&str, &str)], origins: Value| {
        let body = json!({ "cors_origins": origins });
        send_json(behind.request(Method::PATCH, &path, headers), &body).await
    };
    assert_eq!(patch(&page, json!(["https://shop.example"])).await.code(), "foreign_origin");
    assert_eq!(patch(&[], json!(["*"])).await.status, 200);
    assert_eq!(patch(&page, json!([])).await.code(), "foreign_origin", "`*` names nobody");
    assert_eq!(patch(&[], json!(["https://shop.example"])).await.status, 200);
    let renamed = patch(&page, json!(["https://shop.example"])).await;
    assert_eq!(renamed.status, 200, "{}", renamed.text());
}

#[tokio::test]
async fn a_page_of_another_origin_opens_no_feed_but_with_a_token_of_its_own() {
    let behind = Behind::start().await;
    let app = text(&behind.create_app(&[]).await.json(), "id");
    let path = format!("/v1/apps/{app}/live");
    let socket = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let status =
        async |request: reqwest::RequestBuilder| request.send().await.expect("an answer").status().as_u16();
    let (own, page) = (behind.world.url(), "https://evil.example");
    for (ways, good) in [(&socket[..], 101), (&[(ACCEPT.as_str(), "text/event-stream")], 200)] {
        let open = |origin: &str| behind.request(Method::GET, &path, &[ways, &[("origin", origin)]].concat());
        assert_eq!(status(open(page)).await, 403);
        assert_eq!(status(open(&own)).await, good);
        let world = &behind.world;
        let keyed = ways
            .iter()
            .fold(world.http().get(world.path("/live")), |one, (name, value)| one.header(*name, *value));
        let keyed = keyed.header("origin", page).bearer_auth(world.secret_key());
        assert_eq!(status(keyed).await, good, "no browser adds a key by itself");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_replaced_once_and_its_successor_has_the_first_ones_time() {
    let issuers = Issuers::new();
    let world = World::start_as(issuers.setup()).await;
    let tenant = Tenant::found(&world, &issuers.rsa.token(&new_email())).await;
    let key = tenant.key("sender").await;
    let path = format!("/keys/{}/rotate", key.id);
    let rotations =
        join_all((0..20).map(|_| async { tenant.post(&path, &json!({ "overlap": "1h" })).await })).await;
    let (made, refused): (Vec<_>, Vec<_>) = rotations.iter().partition(|answer| answer.status == 201);
    assert_eq!(made.len(), 1, "{:?}", rotations.iter().map(|answer| answer.status).collect::<Vec<_>>());
    assert!(refused.iter().all(|answer| answer.status == 409 && answer.code() == "key_replaced"));
    let successor = made[0].json();
    assert_eq!(successor["expires_at"], Value::Null, "the overlap is the old key's");
    let again = tenant.post(&path, &json!({})).await;
    assert!(again.text().contains(&text(&successor, "id")), "it names the one to rotate: {}", again.text());
    let next =
        tenant.post(&format!("/keys/{}/rotate", text(&successor, "id")), &json!({ "overlap": "0s" })).await;
    assert_eq!((next.status, &next.json()["expires_at"]), (201, &Value::Null), "{}", next.text());

    let keys = tenant.get("/keys").await.json();
    let named = keys["items"].as_array().expect("a page has items").iter();
    assert_eq!(named.filter(|one| one["role"] == "sender").count(), 3, "{keys}");
}

#[tokio::test]
async fn whoever_has_a_role_may_give_it_up_and_takes_nobody_elses() {
    let issuers = Issuers::new();
    let world = World::start_as(issuers.setup()).await;
    let tenant = Tenant::found(&world, &issuers.rsa.token(&new_email())).await;
    for role in ["viewer", "sender", "operator", "admin"] {
        let email = new_email();
        let own = tenant.grant(&json!({ "email": email, "role": role })).await;
        let holder = tenant.with(&issuers.p256.token_but("holder", &json!({ "email": email })));
        if role != "admin" {
            let others = tenant.any_grant().await;
            let refused = holder.delete(&format!("/grants/{others}")).await;
            assert_eq!((refused.status, &*refused.code()), (403, "forbidden"), "{role}");
        }
        let name = if role == "viewer" { &own } else { "mine" };
        assert_eq!(holder.delete(&format!("/grants/{name}")).await.status, 204, "{role}");
        assert_eq!(holder.get("").await.status, 404, "{role}: it is not theirs any more");
    }
    let last = tenant.delete("/grants/mine").await;
    assert_eq!((last.status, &*last.code()), (409, "last_admin"));
    let key = tenant.with(&tenant.key("admin").await.secret);
    assert_eq!(key.delete("/grants/mine").await.status, 404, "a key has no grants");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_open_with_a_token_ends_when_the_token_is_taken_no_more() {
    let issuers = Issuers::new();
    let setup = issuers.setup();
    let config = format!("{}\n[auth]\nleeway = \"8s\"\n", setup.config);
    let world = World::start_as(Setup { config, ..setup }).await;
    let subject = new_email();
    let tenant = Tenant::found(&world, &issuers.rsa.token(&subject)).await;
    // Its time was over some seconds ago, by a clock that may differ from its issuer's.
    let late = tenant.with(&issuers.rsa.token_but(&subject, &json!({ "exp": now_s() - 4 })));
    let waited = late.get("/streams/events/records?wait=100ms").await;
    assert_eq!(waited.status, 200, "a poll is taken as any request: {}", waited.text());
    let feed = late.request(Method::GET, "/live").header(ACCEPT, "text/event-stream").send();
    let mut feed = feed.await.expect("an answer");
    assert_eq!(feed.status(), 200);
    let ends = async {
        let mut chunks = 0;
        while let Ok(Some(_)) = feed.chunk().await {
            chunks += 1;
        }
        chunks
    };
    let chunks = tokio::time::timeout(Duration::from_secs(20), ends).await.expect("it ends with the leeway");
    assert!(chunks > 0, "it had begun");
    assert_eq!(late.get("").await.status, 401);
}
