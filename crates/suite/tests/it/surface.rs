//! Every operation of the running server's own document, and a good request for each.

use crate::dead_letters::{new_letter, new_redrive};
use crate::tenants::{Identity, Tenant, new_bundle_id, new_email};
use angarium_suite::{Reply, World};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One method of one path, as the document has it.
#[derive(Debug)]
pub struct Operation {
    pub id: String,
    /// The operation whose second path this is; its own id otherwise.
    pub same_as: String,
    pub method: Method,
    pub path: String,
    pub guard: Guard,
    pub takes_basic: bool,
    /// Statuses, and the media types of their answers.
    pub answers: BTreeMap<u16, Vec<String>>,
    example: Option<Value>,
}

#[derive(Debug, PartialEq)]
pub enum Guard {
    Public,
    Known,
    InApp(Vec<String>),
    ByKey(Vec<String>),
}

/// What asks for a WebSocket.
fn socket() -> Vec<(&'static str, &'static str)> {
    vec![
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
}

/// What is sent; `{app}` of the path is not in it.
#[derive(Clone, Default)]
pub struct Sent {
    /// Path parameters.
    pub names: Vec<(&'static str, String)>,
    /// With its question mark.
    query: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<(&'static str, String)>,
    /// What comes of it when it is let in, if that is not the first success of the document.
    status: Option<u16>,
}

impl Operation {
    /// All of them.
    pub async fn all(world: &World) -> Vec<Operation> {
        let document = world.open("/openapi.json").await.json();
        let paths = document["paths"].as_object().expect("there are paths");
        let methods = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("a path has methods");
            methods.iter().map(move |(method, value)| Operation::read(path, method, value))
        });
        methods.collect()
    }

    fn read(path: &str, method: &str, value: &Value) -> Operation {
        let answers = value["responses"].as_object().expect("there are answers").iter();
        let answers = answers.map(|(status, answer)| {
            let types = answer["content"].as_object().into_iter().flat_map(|types| types.keys().cloned());
            (status.parse().expect("a status is a number"), types.collect())
        });
        let id = value["operationId"].as_str().expect("an operation has an id").to_owned();
        let security = value["security"].as_array().expect("an operation says who is let in");
        Operation {
            same_as: value["x-angarium-alias"].as_str().unwrap_or(&id).to_owned(),
            id,
            method: method.to_uppercase().parse().expect("a method"),
            path: path.to_owned(),
            guard: Guard::read(&value["x-angarium-guard"]),
            takes_basic: security.iter().any(|way| way.get("basic").is_some()),
            answers: answers.collect(),
            example: value["requestBody"]["content"]["application/json"].get("example").cloned(),
        }
    }

    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        self.method == Method::GET && self.same_as != "track_by_query"
    }

    /// Whether callers without an identity are let in on a loopback address.
    pub fn is_open_on_loopback(&self) -> bool {
        ["track_by_query", "send_dummy", "list_dummy", "follow_messages"].contains(&&*self.same_as)
    }

    /// What comes of a good request.
    pub fn success(&self, sent: &Sent) -> u16 {
        let first = || self.answers.keys().copied().find(|status| *status < 400);
        sent.status.or_else(first).unwrap_or_else(|| panic!("{} never succeeds", self.id))
    }

    /// Good requests for it in an app, each with things of its own to act on. `None`: nobody has written one.
    pub async fn good(&self, tenant: &Tenant) -> Option<Vec<Sent>> {
        let plain = Sent { body: self.example(json!({})), ..Sent::default() };
        let one = |name: &'static str, value: String| Sent { names: vec![(name, value)], ..plain.clone() };
        Some(match &*self.same_as {
            "show_liveness" | "show_readiness" | "show_old_health" | "show_metrics" | "show_openapi"
            | "show_docs" | "show_errors" | "show_live_page" | "show_home" | "show_identity"
            | "list_processes" | "list_apps" | "show_app" | "change_app" | "delete_app" | "list_grants"
            | "list_keys" | "create_key" | "show_presence" | "create_live_token" | "list_audit"
            | "list_events" | "show_event_stats" | "list_streams" | "list_messages" | "list_dummy"
            | "put_message_schema" => vec![plain],
            "create_app" => {
                let body = self.example(json!({ "bundle_id": new_bundle_id() }));
                vec![Sent { body, ..plain }]
            }
            "create_grant" => {
                let body = self.example(json!({ "email": new_email() }));
                vec![Sent { body, ..plain }]
            }
            "show_grant" | "change_grant" | "delete_grant" => vec![one("grant", tenant.any_grant().await)],
            "show_key" | "rotate_key" | "delete_key" => vec![one("key", tenant.key("viewer").await.id)],
            "track_events" => {
                let line = format!("{}\n", json!({ "type": "seen" }));
                let lines = Sent { body: Some(("application/x-ndjson", line)), ..Sent::default() };
                vec![Sent { body: self.example(json!({ "id": new_email() })), ..plain }, lines]
            }
            "track_by_query" => {
                let body = (self.method == Method::POST)
                    .then(|| ("application/x-www-form-urlencoded", "a=1".to_owned()));
                vec![Sent { names: vec![("type", "seen".into())], body, status: Some(204), ..plain }]
            }
            "list_dead_letters" | "redrive_dead_letters" | "delete_dead_letters" | "list_redrives" => {
                vec![plain]
            }
            "show_dead_letter" | "show_dead_letter_body" | "redrive_dead_letter" | "delete_dead_letter" => {
                vec![one("id", new_letter(tenant).await)]
            }
            "show_redrive" | "stop_redrive" => vec![one("id", new_redrive(tenant).await)],
            "send_messages" | "send_dummy" => {
                let lines = ("application/x-ndjson", "{\"n\":1}\n[2]\n".to_owned());
                vec![plain, Sent { body: Some(lines), ..Sent::default() }]
            }
            "show_message" => vec![one("id", tenant.send_message().await)],
            "show_message_schema" | "delete_message_schema" => {
                tenant.put_message_schema().await;
                vec![plain]
            }
            "read_records" => vec![one("stream", "events".into())],
            "poll_group" => vec![self.of_group(new_group(), json!({}))],
            "show_group" | "delete_group" | "commit_group" => {
                let group = new_group();
                tenant.send_event().await;
                let cursor = tenant.poll(&group).await;
                vec![self.of_group(group, json!({ "cursor": cursor }))]
            }
            "connect_centrifugo" => {
                vec![Sent { headers: socket(), status: Some(101), ..Sent::default() }]
            }
            "follow_messages" => vec![Sent { headers: socket(), status: Some(101), ..Sent::default() }],
            "follow_feed" => {
                let events = vec![("accept", "text/event-stream")];
                vec![
                    Sent { headers: socket(), status: Some(101), ..Sent::default() },
                    Sent { headers: events, status: Some(200), ..Sent::default() },
                ]
            }
            // The key is whose who comes, in a header; in the body it would have to be the same.
            "track_segment_calls" => {
                vec![Sent { body: Some(("application/json", self.segment_call())), ..plain }]
            }
            "track_segment_pixel" => {
                vec![Sent { query: "?event=seen&anonymousId=a1", body: None, ..plain }]
            }
            "track_posthog_events" if self.method == Method::GET => {
                let query = "?data=%7B%22event%22%3A%22seen%22%2C%22distinct_id%22%3A%22u1%22%7D";
                vec![Sent { query, body: None, ..plain }]
            }
            "track_posthog_events" => {
                let body = json!({ "batch": [{ "event": "seen", "distinct_id": "u1" }] }).to_string();
                vec![Sent { body: Some(("application/json", body)), ..plain }]
            }
            _ => return None,
        })
    }

    /// What the path takes: one call, or several.
    fn segment_call(&self) -> String {
        let call = json!({
            "type": "track", "event": "seen", "userId": "u1", "groupId": "g1", "previousId": "u0", "messageId": new_email(),
        });
        let name = self.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        match name {
            "batch" | "import" | "b" => json!({ "batch": [call] }).to_string(),
            _ => call.to_string(),
        }
    }

    fn of_group(&self, group: String, others: Value) -> Sent {
        let names = vec![("stream", "events".to_owned()), ("group", group)];
        let body = self.example(others);
        Sent { names, body, ..Sent::default() }
    }

    /// The example that the document gives, but for some members that it has.
    fn example(&self, others: Value) -> Option<(&'static str, String)> {
        let mut example = self.example.clone()?;
        for (name, value) in others.as_object().into_iter().flatten() {
            if let Some(member) = example.get_mut(name) {
                *member = value.clone();
            }
        }
        Some(("application/json", example.to_string()))
    }

    /// Sends it; of an answer without an end, only the beginning is read.
    pub async fn send(&self, world: &World, app: &str, sent: &Sent, who: &Identity) -> Reply {
        let path = sent.names.iter().fold(self.path.replace("{app}", app), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), value)
        });
        assert!(!path.contains('{'), "{}: a name of the path is not given: {path}", self.id);
        let url = format!("{}{path}{}", world.url(), sent.query);
        let request = world.http().request(self.method.clone(), url);
        let mut request = who.on(request).header("x-request-id", "of-the-suite");
        for (name, value) in &sent.headers {
            request = request.header(*name, *value);
        }
        if let Some((content_type, body)) = &sent.body {
            request = request.header("content-type", *content_type).body(body.clone());
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{}: {error:?}", self.id));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
        let has_end = status != 101 && content_type != Some("text/event-stream");
        let body = match has_end {
            true => answer.bytes().await.expect("an answer comes to its end").to_vec(),
            false => Vec::new(),
        };
        Reply { status, headers, body }
    }
}

impl Guard {
    fn read(value: &Value) -> Guard {
        let roles = || {
            let roles = value["roles"].as_array().expect("a guard names roles").iter();
            roles.map(|role| role.as_str().expect("a role is text").to_owned()).collect()
        };
        match value["kind"].as_str() {
            Some("public") => Guard::Public,
            Some("known") => Guard::Known,
            Some("in_app") => Guard::InApp(roles()),
            Some("by_key") => Guard::ByKey(roles()),
            other => panic!("no guard is called {other:?}"),
        }
    }
}

fn new_group() -> String {
    format!("g{:016x}", fastrand::u64(..))
}
