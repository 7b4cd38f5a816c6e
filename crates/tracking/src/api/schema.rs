//! What bodies and answers look like, for the document only: they are read and written without building trees.

#![expect(dead_code, reason = "schemas only")]

use angarium_kit::http::doc;
use schemars::JsonSchema;

/// One event.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// What happened: 1 to 255 characters, no white space, no control characters.
    #[schemars(length(min = 1, max = 255), regex(pattern = doc::EVENT_TYPE_PATTERN))]
    r#type: String,
    /// Anything: 32 levels and 1,000 members an object at most, no key twice.
    params: Option<serde_json::Map<String, serde_json::Value>>,
    /// When it happened; when it was received, if not given.
    #[schemars(extend("format" = "date-time"))]
    at: Option<String>,
    #[schemars(length(min = 1, max = 255))]
    device_id: Option<String>,
    /// One that was seen within seven days is not kept again.
    #[schemars(length(min = 1, max = 255))]
    id: Option<String>,
    /// On whose behalf a server speaks; not with a write key.
    #[schemars(extend("format" = "ipv4"))]
    ip: Option<String>,
    /// As `ip`.
    #[schemars(length(max = 2048))]
    user_agent: Option<String>,
}

/// One event, or several.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum EventsBody {
    One(Event),
    Several(#[schemars(length(max = 100_000))] Vec<Event>),
}

/// What became of the events of a request.
#[derive(JsonSchema)]
pub struct Tracked {
    accepted: u64,
    /// Those whose id was seen before.
    duplicates: u64,
    rejected: Vec<RejectedEvent>,
    /// Only when more were rejected than are named.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    rejected_total: Option<u64>,
}

/// An event that was not taken.
#[derive(JsonSchema)]
struct RejectedEvent {
    /// Its place in the body, from 0.
    index: u64,
    code: String,
    detail: String,
    /// The faulty place in the event, RFC 6901.
    pointer: String,
}

/// A call of Segment's. Which members it must have goes by its kind; others than these are kept as parameters.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct SegmentCall {
    /// Which call it is, where its path does not say so.
    r#type: Option<String>,
    /// The name of a track call.
    event: Option<String>,
    message_id: Option<String>,
    user_id: Option<String>,
    anonymous_id: Option<String>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

/// Several calls of Segment's.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct SegmentBatch {
    batch: Vec<SegmentCall>,
    /// The write key, where no header has it; anything but a text is none.
    #[schemars(with = "Option<serde_json::Value>")]
    write_key: Option<String>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

/// An event of PostHog's. Other members than these are kept as parameters.
#[derive(JsonSchema)]
pub struct PosthogEvent {
    /// What happened.
    event: String,
    distinct_id: Option<String>,
    properties: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

/// Several events of PostHog's.
#[derive(JsonSchema)]
pub struct PosthogBatch {
    batch: Vec<PosthogEvent>,
    /// The write key, where no header has it; anything but a text is none.
    #[schemars(with = "Option<serde_json::Value>")]
    api_key: Option<String>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

/// What PostHog's libraries for browsers send.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum PosthogBody {
    Batch(PosthogBatch),
    One(PosthogEvent),
    Several(Vec<PosthogEvent>),
}

/// The same as a form.
#[derive(JsonSchema)]
pub struct PosthogForm {
    /// JSON, or base64 of it.
    data: String,
    /// The write key, where no header has it.
    api_key: Option<String>,
}

/// What became of Segment's calls.
#[derive(JsonSchema)]
pub struct SegmentTracked {
    success: bool,
    #[serde(flatten)]
    tracked: Tracked,
}

/// What became of PostHog's events.
#[derive(JsonSchema)]
pub struct PosthogTracked {
    /// 1: what its libraries look for.
    status: u8,
    #[serde(flatten)]
    tracked: Tracked,
}
