//! `GET /health/ready`: whether this process can do its work, part by part.
//!
//! A part that has *failed*, or a process that stops, makes it 503: no work may be sent here. A part that is *degraded*
//! does not: the process does all it promises, and something that was best effort is less than usual. `status` stays
//! `ready` then, and the part says what.

use angarium_db::Db;
use angarium_journal::Shipping;
use angarium_kit::{Kit, fleet::feed_trouble};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

/// A canary write, or somebody's, must have reached the disk within this time.
const COMMIT_AGE_MAX_MS: i64 = 15_000;

/// Said wherever an operator looks.
const OPEN: &str = "callers without an identity are let in on an address that is not this machine's alone (compat.anonymous)";

#[derive(Serialize, JsonSchema)]
pub struct Readiness {
    status: &'static str,
    version: String,
    /// Of this run of the process.
    process: String,
    roles: Vec<&'static str>,
    /// How late its last sign of life reached the store.
    lag_ms: i64,
    parts: Parts,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReadinessParts")]
struct Parts {
    store: StorePart,
    /// What takes events in where streams are in Kafka.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    spool: Option<StorePart>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    kafka: Option<KafkaPart>,
    feed: FeedPart,
    http: HttpPart,
}

#[derive(Serialize, JsonSchema)]
struct StorePart {
    status: &'static str,
    engine: &'static str,
    /// Milliseconds since something last reached the disk: a canary write, when nobody writes.
    commit_age_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    detail: Option<&'static str>,
}

#[derive(Serialize, JsonSchema)]
struct KafkaPart {
    status: &'static str,
    /// Records in the spool that Kafka does not have yet.
    lag: u64,
    spool_bytes: u64,
    /// Beyond so many, events are refused.
    spool_bytes_max: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    detail: Option<&'static str>,
}

#[derive(Serialize, JsonSchema)]
struct FeedPart {
    status: &'static str,
    engine: &'static str,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    detail: Option<&'static str>,
}

#[derive(Serialize, JsonSchema)]
struct HttpPart {
    status: &'static str,
    /// Families of routes that take callers without an identity, for the default app.
    anonymous: Vec<&'static str>,
    /// Where those are open to others than this machine.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    detail: Option<&'static str>,
}

/// 503 names the sick part.
pub async fn show_readiness(State(kit): State<Kit>) -> Response {
    let readiness = readiness(&kit);
    let is_ready = readiness.status == "ready";
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

fn readiness(kit: &Kit) -> Readiness {
    let store = store_part(&kit.db);
    let (spool, kafka) = (kit.journal.spool_db().map(store_part), kit.journal.shipping().map(kafka_part));
    let is_stopping = kit.stop.is_cancelled();
    let has_failed = store.detail.is_some()
        || spool.as_ref().is_some_and(|spool| spool.detail.is_some())
        || kafka.as_ref().is_some_and(|kafka| kafka.status == "failed");
    let is_ready = !has_failed && !is_stopping;
    let detail = feed_trouble(&kit.feed);
    let member = kit.fleet.member();
    Readiness {
        status: if is_ready { "ready" } else { "not_ready" },
        version: member.version.clone(),
        process: member.id.to_string(),
        roles: member.roles.iter().map(|role| role.as_str()).collect(),
        lag_ms: kit.fleet.lag_ms(),
        parts: Parts {
            store,
            spool,
            kafka,
            feed: FeedPart {
                status: if detail.is_none() { "ready" } else { "degraded" },
                engine: kit.feed.status().engine,
                detail,
            },
            http: http_part(kit, is_stopping),
        },
    }
}

fn http_part(kit: &Kit, is_stopping: bool) -> HttpPart {
    let anonymous = kit.anonymous.families();
    let is_open = kit.anonymous.is_public && !anonymous.is_empty();
    HttpPart {
        status: if is_stopping { "stopping" } else { "ready" },
        anonymous,
        detail: is_open.then_some(OPEN),
    }
}

fn kafka_part(shipping: Shipping) -> KafkaPart {
    let is_full = shipping.spool_bytes >= shipping.spool_bytes_max;
    let (status, detail) = match (is_full, shipping.connected) {
        (true, _) => ("failed", Some("the spool is full: nothing is accepted until Kafka has taken some")),
        (false, false) => ("degraded", Some("Kafka does not answer: events are kept in the spool")),
        (false, true) => ("ready", None),
    };
    KafkaPart {
        status,
        lag: shipping.lag,
        spool_bytes: shipping.spool_bytes,
        spool_bytes_max: shipping.spool_bytes_max,
        detail,
    }
}

fn store_part(db: &Db) -> StorePart {
    let store = db.health();
    let is_stale = store.commit_age_ms > COMMIT_AGE_MAX_MS;
    let detail = match (store.healthy, is_stale) {
        (false, _) => Some("commits fail; what needs the store is refused until one succeeds"),
        (true, true) => Some("nothing has reached the disk for longer than it should take"),
        (true, false) => None,
    };
    StorePart {
        status: if detail.is_none() { "ready" } else { "failed" },
        engine: db.engine(),
        commit_age_ms: store.commit_age_ms,
        detail,
    }
}
