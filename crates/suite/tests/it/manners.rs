//! The manners of every route: who is told what by headers, whatever the route does.

use crate::tenants::{Issuers, Tenant, new_bundle_id, new_email, send_json};
use angarium_suite::{Reply, World, caller::read};
use reqwest::{Method, header::HeaderMap};
use serde_json::json;

const SHOP: &str = "https://shop.example";

async fn ask(world: &World, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
    let request = world.caller().http().request(method, format!("{}{path}", world.url()));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    read(request).await.expect("an answer, whole")
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().expect("text"))
}

async fn open_to(world: &World, origins: serde_json::Value) {
    let body = json!({ "cors_origins": origins }).to_string();
    let changed = world.caller().send(Method::PATCH, "", "application/json", body).await.expect("an answer");
    assert_eq!(changed.status, 200, "{}", changed.text());
}

#[tokio::test]
async fn whose_pages_may_call_an_app_is_not_told_to_whom_the_app_is_not() {
    let issuers = Issuers::new();
    let world = World::start_as(issuers.setup()).await;
    let tenant = Tenant::found(&world, &issuers.rsa.token(&new_email())).await;
    let origins = json!({ "cors_origins": [SHOP] });
    assert_eq!(send_json(tenant.request(Method::PATCH, ""), &origins).await.status, 200);
    let stranger = format!("Bearer {}", issuers.rsa.token(&new_email()));
    let own = format!("Bearer {}", tenant.token);
    let allowed = async |app: &str, authorization: &str| {
        let headers = [("origin", SHOP), ("authorization", authorization)];
        let answer = ask(&world, Method::GET, &format!("/v1/apps/{app}"), &headers).await;
        (answer.status, header(&answer.headers, "access-control-allow-origin").to_owned())
    };
    assert_eq!(allowed(&tenant.bundle_id, &own).await, (200, SHOP.to_owned()));
    for who in [&*stranger, "Bearer nobody"] {
        let unknown = allowed(&new_bundle_id(), who).await;
        assert_eq!(allowed(&tenant.bundle_id, who).await, unknown);
        assert_eq!(allowed(&tenant.id, who).await, unknown);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_may_call_where_the_app_says_so_and_no_others() {
    let world = World::start().await;
    let path = format!("/v1/apps/{}/events", world.app());
    let key = format!("Bearer {}", world.write_key());
    let preflight = |origin: &'static str| {
        [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization"),
        ]
    };
    let before = ask(&world, Method::OPTIONS, &path, &preflight(SHOP)).await;
    assert_eq!(before.status, 204);
    assert_eq!(header(&before.headers, "access-control-allow-origin"), "", "nobody was let in");

    open_to(&world, json!([SHOP])).await;
    let asked = ask(&world, Method::OPTIONS, &path, &preflight(SHOP)).await;
    assert_eq!(header(&asked.headers, "access-control-allow-origin"), SHOP);
    assert!(header(&asked.headers, "access-control-allow-methods").contains("POST"));
    assert!(header(&asked.headers, "access-control-allow-headers").contains("Authorization"));
    assert_eq!(header(&asked.headers, "access-control-allow-credentials"), "", "no cookies are used");
    let other = ask(&world, Method::OPTIONS, &path, &preflight("https://evil.example")).await;
    assert_eq!(header(&other.headers, "access-control-allow-origin"), "");
    assert_eq!(header(&other.headers, "vary"), "Origin");

    for path in [path.as_str(), "/v1/batch", "/batch/"] {
        let asked = ask(&world, Method::OPTIONS, path, &preflight(SHOP)).await;
        assert_eq!(
            (asked.status, header(&asked.headers, "access-control-allow-origin")),
            (204, SHOP),
            "{path}"
        );
    }
    // Refusals can be read by the page too: that is how it learns what is wrong.
    let headers = [("origin", SHOP), ("authorization", key.as_str()), ("content-type", "application/json")];
    let refused = ask(&world, Method::POST, &path, &headers).await;
    assert_eq!((refused.status, header(&refused.headers, "access-control-allow-origin")), (400, SHOP));
    assert!(header(&refused.headers, "access-control-expose-headers").contains("Retry-After"));

    open_to(&world, json!(["*"])).await;
    let any = ask(&world, Method::OPTIONS, &path, &preflight("https://evil.example")).await;
    assert_eq!(header(&any.headers, "access-control-allow-origin"), "https://evil.example");
    let wrong = json!({ "cors_origins": ["https://shop.example/path", "shop.example"] }).to_string();
    let refused = world.caller().send(Method::PATCH, "", "application/json", wrong).await.expect("an answer");
    let places: Vec<_> =
        refused.json()["errors"].as_array().expect("errors").iter().map(|e| e["pointer"].clone()).collect();
    assert_eq!((refused.status, places), (422, vec![json!("/cors_origins/0"), json!("/cors_origins/1")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_says_what_it_is_and_whose_request_it_was() {
    let world = World::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let paths = ["/health/live", "/v1/apps", "/nowhere", "/openapi.json", "/t/hello", "/kafidx", "/docs"];
    for path in paths {
        let named = [("x-request-id", "mine-1"), ("traceparent", trace)];
        let answer = ask(&world, Method::GET, path, &named).await;
        assert_eq!(header(&answer.headers, "x-request-id"), "mine-1", "{path}");
        assert_eq!(header(&answer.headers, "traceparent"), trace, "{path}");
        assert_eq!(header(&answer.headers, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header(&answer.headers, "referrer-policy"), "no-referrer", "{path}");
        assert!(header(&answer.headers, "content-security-policy").contains("default-src 'none'"), "{path}");
        assert!(!header(&answer.headers, "cache-control").is_empty(), "{path}");
        if answer.status >= 400 {
            assert_eq!(answer.json()["request_id"], "mine-1", "{path}");
        }
        let bad = [("x-request-id", "not one name"), ("traceparent", "00-0-0-01")];
        let answer = ask(&world, Method::GET, path, &bad).await;
        assert!(header(&answer.headers, "x-request-id").starts_with("req_"), "{path}");
        assert_eq!(header(&answer.headers, "traceparent"), "", "{path}");
    }
    let refused = ask(&world, Method::GET, "/v1/apps", &[]).await;
    assert_eq!((refused.status, header(&refused.headers, "www-authenticate")), (401, "Bearer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_say_what_they_take_and_long_answers_are_packed() {
    let world = World::start().await;
    let options = ask(&world, Method::OPTIONS, "/v1/apps", &[]).await;
    assert_eq!(options.status, 204);
    let mut allowed: Vec<&str> = header(&options.headers, "allow").split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    assert_eq!(ask(&world, Method::OPTIONS, "/nowhere", &[]).await.status, 404);
    let whole = ask(&world, Method::GET, "/openapi.json", &[]).await;
    let head = ask(&world, Method::HEAD, "/openapi.json", &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.headers.get("content-type"), whole.headers.get("content-type"));
    let packed = ask(&world, Method::GET, "/openapi.json", &[("accept-encoding", "gzip")]).await;
    assert_eq!(header(&packed.headers, "content-encoding"), "gzip");
    assert!(packed.body.len() * 5 < whole.body.len(), "{} of {}", packed.body.len(), whole.body.len());
    let short = ask(&world, Method::GET, "/health/live", &[("accept-encoding", "gzip")]).await;
    assert_eq!(header(&short.headers, "content-encoding"), "");
}
