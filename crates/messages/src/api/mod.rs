//! The routes of messages.

mod list;
mod schema;
mod send;

use crate::{
    MESSAGES, Shared,
    rules::{INVALID_MESSAGE, INVALID_SCHEMA, MALFORMED_MESSAGE, MESSAGE_TOO_LARGE, TOO_MANY_MESSAGES},
    schema::OnMismatch,
};
use angarium_base::{Result, error::NOT_FOUND};
use angarium_kit::{
    Kit,
    access::{Allowed, Grant, UNAUTHENTICATED, check_open, presented},
    grants,
    http::{
        Doc, Routes,
        doc::{self, AFTER, LIMIT, LOCATION, Param, instant},
    },
};
use http::request::Parts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

grants! {
    /// Send messages.
    SendMessages = "messages:send": [Admin, Operator, Sender, Ingest];
    /// Read messages.
    ReadMessages = "messages:read": [Admin, Operator, Sender, Viewer];
    /// Say what messages may be.
    ManageMessages = "messages:manage": [Admin];
}

const FROM: Param = Param::optional("from", "only what was persisted then or later", instant);
const TO: Param = Param::optional("to", "only what was persisted before", instant);
const ATOMIC: Param = Param::optional("atomic", "take all messages or none", doc::flag);

pub fn routes() -> Routes {
    let doc = |id, summary, description| Doc::new("messages", id, summary, description);
    let send = |doc: Doc| {
        doc.bodies(
            vec![("application/json", Some(doc::schema_of::<Document>)), ("application/x-ndjson", None)],
            Some(json!({ "text": "hello" })),
        )
        .query(&[ATOMIC])
        .answers::<Taken>(
            202,
            "the message is durable and will be persisted; of several, what became of them",
        )
        .with_header(LOCATION)
        .refuses(&[MALFORMED_MESSAGE, INVALID_MESSAGE, MESSAGE_TOO_LARGE, TOO_MANY_MESSAGES])
    };
    let list =
        |doc: Doc| doc.query(&[LIMIT, AFTER, FROM, TO]).answers::<MessagePage>(200, "a page of messages");
    const SEND: &str = "Any JSON document is one message; `application/x-ndjson` has one a line. 202 when everything good in \
                        the body is durable; a worker persists it within moments. `Location` (of one message) is where it \
                        is found.";
    const LIST: &str = "In the order in which they were persisted. `next` is a cursor, or null at the end; each message has \
                        its own, too: whoever goes on after the last one sees every message once, whoever writes meanwhile.";
    Routes::new()
        .post("/v1/apps/{app}/messages", send::send_messages, send(doc("send_messages", "Send messages", SEND)))
        .get("/v1/apps/{app}/messages", list::list_messages, list(doc("list_messages", "List messages", LIST)))
        .get(
            "/v1/apps/{app}/messages/{id}",
            list::show_message,
            doc(
                "show_message",
                "Show a message",
                "One that was taken in a moment ago is waited for. One that could not be persisted yet has `attempts` and \
                 `reason`; one that was given up is among the dead letters.",
            )
            .answers::<Message>(200, "the message"),
        )
        .get(
            "/v1/apps/{app}/messages/schema",
            schema::show_schema,
            doc("show_message_schema", "Show the schema of messages", "").answers::<SchemaView>(200, "the schema"),
        )
        .put(
            "/v1/apps/{app}/messages/schema",
            schema::put_schema,
            doc(
                "put_message_schema",
                "Set the schema of messages",
                "Messages that come from now on are checked by this JSON Schema: refused in the schema's own words, or, with \
                 `set_aside`, taken in and put among the dead letters. Other processes follow within 5 s. Nothing is \
                 fetched for a `$ref`.",
            )
            .body::<SchemaBody>(json!({ "schema": { "type": "object" }, "on_mismatch": "refuse" }))
            .answers::<SchemaView>(200, "the schema")
            .refuses(&[INVALID_SCHEMA]),
        )
        .delete(
            "/v1/apps/{app}/messages/schema",
            schema::delete_schema,
            doc("delete_message_schema", "Take every JSON document again", "").answers_empty(204, "there is no schema any more"),
        )
        .post(
            "/dummy",
            send::send_dummy,
            send(doc("send_dummy", "Send messages to the caller's app", "As `POST /v1/apps/{app}/messages`, for the app of the key or token, else for the default app.")),
        )
        .get(
            "/dummy",
            list::list_dummy,
            list(doc("list_dummy", "List messages of the caller's app", "As `GET /v1/apps/{app}/messages`, for the app of the key or token, else for the default app.")),
        )
}

/// Any JSON document.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[expect(dead_code, reason = "a schema only: documents are taken in as they are")]
struct Document(Value);

/// What a message, or several, were taken in as.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MessagesTaken")]
struct Taken {
    /// Of one message.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    id: Option<String>,
    accepted: usize,
    /// Of several: the id of each line that was taken, null for those that were not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    ids: Option<Vec<Option<String>>>,
    rejected: Vec<Rejected>,
}

/// A line that was not taken.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "RejectedMessage")]
struct Rejected {
    index: usize,
    code: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pointer: String,
    detail: String,
}

/// A message as it is kept.
#[derive(JsonSchema)]
#[schemars(rename = "Message")]
#[expect(dead_code, reason = "a schema only: bodies are given out as they were sent")]
struct Message {
    id: String,
    /// The place after it in the list.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    cursor: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    received_at: String,
    /// Null until it is persisted.
    #[schemars(extend("format" = "date-time"))]
    persisted_at: Option<String>,
    /// How often it was tried to persist it, if that failed so far.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    attempts: Option<i64>,
    /// Why that failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    reason: Option<String>,
    /// The document, as it was sent.
    body: Value,
}

/// A page of messages.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a schema only: bodies are given out as they were sent")]
struct MessagePage {
    items: Vec<Message>,
    /// Where to go on, or null at the end.
    next: Option<String>,
}

/// A JSON Schema, and what becomes of messages that it does not allow.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewMessageSchema")]
#[serde(deny_unknown_fields)]
struct SchemaBody {
    /// A JSON Schema: an object, or true or false.
    #[schemars(extend("type" = ["object", "boolean"]))]
    schema: Value,
    #[serde(default)]
    on_mismatch: OnMismatch,
}

/// The schema of an app's messages.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MessageSchema")]
struct SchemaView {
    /// A JSON Schema.
    schema: Value,
    on_mismatch: OnMismatch,
}

fn no_schema() -> angarium_base::Error {
    NOT_FOUND.err("this app's messages have no schema: every JSON document is one")
}

/// Who calls on the compatibility surface: a key or a token, or nobody, where that is open.
async fn caller<G: Grant>(kit: &Kit, parts: &Parts) -> Result<Allowed<G>> {
    match presented(&parts.headers, true)? {
        Some(credential) => Allowed::for_own_app(kit, parts, &credential).await,
        None if kit.anonymous.messages => {
            check_open(kit, parts.into())?;
            Allowed::anonymous(kit, parts).await
        }
        None => Err(UNAUTHENTICATED.err(
            "anonymous messages are not taken here: send `Authorization: Bearer <key>`, or set `anonymous = [\"messages\"]` \
             in the server's config",
        )),
    }
}

type State = Arc<Shared>;

/// The stream of an app's messages.
async fn messages_of(kit: &Kit, app: &angarium_base::AppId) -> Result<angarium_journal::Stream> {
    kit.journal.stream(app, MESSAGES).await
}
