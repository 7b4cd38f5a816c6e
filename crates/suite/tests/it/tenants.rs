//! Apps of one's own: a server that believes the test's issuers, and what somebody with a role in an app of it can do.

use angarium_suite::{Reply, Setup, Signer, World, caller::read, eventually};
use reqwest::Method;
use serde_json::{Value, json};

/// What servers on one database keep secrets with. Everybody may know it.
const SECRETS: &str = "[secrets]\nkeys = [\"Zm9yIHRlc3RzIG9ubHk6IHRoaXJ0eS10d28gYnl0ZXM=\"]\n";

/// The issuers that a server of [`Issuers::setup`] believes.
pub struct Issuers {
    pub rsa: Signer,
    pub p256: Signer,
    pub secret: Signer,
}

impl Issuers {
    pub fn new() -> Issuers {
        Issuers {
            rsa: Signer::rsa("https://rsa.test"),
            p256: Signer::p256("https://p256.test"),
            secret: Signer::secret("https://secret.test", "a secret of the tests, which everybody may know"),
        }
    }

    pub fn setup(&self) -> Setup {
        let issuers = [&self.rsa, &self.p256, &self.secret].map(Signer::config).concat();
        Setup { config: format!("{SECRETS}{issuers}"), ..Setup::default() }
    }
}

/// How somebody says who they are.
#[derive(Clone, Debug)]
pub enum Identity {
    Nobody,
    Bearer(String),
    Basic(String),
}

impl Identity {
    pub fn on(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self {
            Identity::Nobody => request,
            Identity::Bearer(text) => request.bearer_auth(text),
            Identity::Basic(name) => request.basic_auth(name, Some("")),
        }
    }
}

/// An app and the token of whoever made it.
#[derive(Clone)]
pub struct Tenant {
    pub id: String,
    pub bundle_id: String,
    pub token: String,
    url: String,
    http: reqwest::Client,
}

/// A key, and its secret.
#[derive(Clone, Debug)]
pub struct MadeKey {
    pub id: String,
    pub secret: String,
}

impl Tenant {
    /// A new app; whose token it is becomes its admin.
    pub async fn found(world: &World, token: &str) -> Tenant {
        let bundle_id = new_bundle_id();
        let body = json!({ "name": "an app of the tests", "bundle_id": bundle_id });
        let request = world.http().post(format!("{}/v1/apps", world.url())).bearer_auth(token);
        let made = send_json(request, &body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        Tenant { id: text(&made.json(), "id"), bundle_id, ..Tenant::at(world, token) }
    }

    /// An app that is none, for asking as somebody.
    fn at(world: &World, token: &str) -> Tenant {
        Tenant {
            id: String::new(),
            bundle_id: String::new(),
            token: token.to_owned(),
            url: world.url(),
            http: world.http().clone(),
        }
    }

    /// The same app, asked for at another process.
    pub fn by(&self, world: &World) -> Tenant {
        Tenant { url: world.url(), ..self.clone() }
    }

    /// The same app, asked for with another key or token.
    pub fn with(&self, token: &str) -> Tenant {
        Tenant { token: token.to_owned(), ..self.clone() }
    }

    /// The same app, asked for by another client.
    pub fn through(&self, http: reqwest::Client) -> Tenant {
        Tenant { http, ..self.clone() }
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub fn request(&self, method: Method, rest: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}/v1/apps/{}{rest}", self.url, self.id)).bearer_auth(&self.token)
    }

    pub async fn get(&self, rest: &str) -> Reply {
        read(self.request(Method::GET, rest)).await.expect("an answer")
    }

    pub async fn post(&self, rest: &str, body: &Value) -> Reply {
        send_json(self.request(Method::POST, rest), body).await
    }

    pub async fn delete(&self, rest: &str) -> Reply {
        read(self.request(Method::DELETE, rest)).await.expect("an answer")
    }

    pub async fn key(&self, role: &str) -> MadeKey {
        self.key_of(&json!({ "name": format!("for tests: {role}"), "role": role })).await
    }

    pub async fn key_of(&self, body: &Value) -> MadeKey {
        let made = self.post("/keys", body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        MadeKey { id: text(&made.json(), "id"), secret: text(&made.json(), "key") }
    }

    /// Gives a role to somebody; the grant's id.
    pub async fn grant(&self, body: &Value) -> String {
        let made = self.post("/grants", body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        text(&made.json(), "id")
    }

    /// A grant to somebody who has never come.
    pub async fn any_grant(&self) -> String {
        self.grant(&json!({ "email": new_email(), "role": "viewer" })).await
    }

    pub async fn send_event(&self) {
        let sent = self.post("/events", &json!({ "type": "seen", "params": { "n": 1 } })).await;
        assert_eq!(sent.status, 202, "{}", sent.text());
    }

    /// A message that is persisted; its id.
    pub async fn send_message(&self) -> String {
        let sent = self.post("/messages", &json!({ "n": 1 })).await;
        assert_eq!(sent.status, 202, "{}", sent.text());
        let id = text(&sent.json(), "id");
        let shown = self.get(&format!("/messages/{id}")).await;
        assert_eq!(shown.status, 200, "{}", shown.text());
        id
    }

    pub async fn put_message_schema(&self) {
        let schema = json!({ "schema": true });
        let put = send_json(self.request(Method::PUT, "/messages/schema"), &schema).await;
        assert_eq!(put.status, 200, "{}", put.text());
    }

    /// A group that has been polled; the cursor that it may commit.
    pub async fn poll(&self, group: &str) -> String {
        let path = format!("/streams/events/groups/{group}/poll");
        let polled = self.post(&path, &json!({ "max": 1, "consumer": "one" })).await;
        assert_eq!(polled.status, 200, "{}", polled.text());
        text(&polled.json(), "cursor")
    }

    /// Everything on the pages of a list; `rest` has a query.
    pub async fn all(&self, rest: &str) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{rest}{after}")).await;
            assert_eq!(page.status, 200, "{rest}: {}", page.text());
            let mut page = page.json();
            let Value::Array(items) = page["items"].take() else { panic!("a page without items") };
            all.extend(items);
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return all,
            }
        }
    }

    /// The apps of whoever has the token.
    pub async fn apps(&self) -> Vec<Value> {
        let request = self.http.get(format!("{}/v1/apps?limit=1000", self.url)).bearer_auth(&self.token);
        let page = read(request).await.expect("an answer").json();
        page["items"].as_array().expect("a page has items").clone()
    }

    /// The same once everything is in the audit, where that is behind: in Kafka.
    pub async fn settled_state(&self) -> Value {
        let name = new_email();
        let change = send_json(self.request(Method::PATCH, ""), &json!({ "name": name })).await;
        assert_eq!(change.status, 200, "{}", change.text());
        eventually("the audit has the latest change", async || {
            let audit = self.all("/audit?limit=1000").await;
            audit.last().is_some_and(|last| last["changes"]["name"] == *name).then_some(())
        })
        .await;
        self.state().await
    }

    /// All that its admin can see of it.
    pub async fn state(&self) -> Value {
        let mut state = json!({});
        for part in ["/grants", "/keys", "/audit", "/streams", "/events"] {
            state[part] = self.all(&format!("{part}?limit=1000")).await.into();
        }
        state["app"] = self.get("").await.json();
        state
    }
}

pub async fn send_json(request: reqwest::RequestBuilder, body: &Value) -> Reply {
    let request = request.header("content-type", "application/json").body(body.to_string());
    read(request).await.expect("an answer")
}

pub fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("no `{member}`: {value}")).to_owned()
}

pub fn new_bundle_id() -> String {
    format!("com.suite.a{:016x}", fastrand::u64(..))
}

pub fn new_email() -> String {
    format!("{:016x}@suite.test", fastrand::u64(..))
}
