//! The routes of all slices, and those that are about the server itself.

use crate::slices;
use angarium_base::error::{METHOD_NOT_ALLOWED, NOT_FOUND};
use angarium_kit::{
    Kit, Slice,
    http::{Problem, around},
};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    middleware::from_fn_with_state,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use std::fmt::Write;

/// A canary write, or somebody's, must have reached the disk within this time.
const COMMIT_AGE_MAX_MS: i64 = 15_000;

/// The whole HTTP surface.
pub fn router(slices: Vec<Slice>, kit: Kit) -> Router {
    let own = Router::new()
        .route("/health/live", get(show_liveness))
        .route("/health/ready", get(show_readiness))
        .route("/healthcheck", get(show_old_health))
        .route("/metrics", get(show_metrics))
        .route("/docs/errors", get(show_errors));
    slices
        .into_iter()
        .fold(own, |router, slice| router.merge(slice.routes))
        .fallback(|| async { Problem::from(NOT_FOUND.err("there is no such path")) })
        .method_not_allowed_fallback(|| async {
            Problem::from(
                METHOD_NOT_ALLOWED
                    .err("this path does not take this method; the Allow header names those it does"),
            )
        })
        .layer(from_fn_with_state(kit.clone(), around))
        .with_state(kit)
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    parts: Parts,
}

#[derive(Serialize)]
struct Parts {
    store: StorePart,
    http: HttpPart,
}

#[derive(Serialize)]
struct StorePart {
    status: &'static str,
    /// Milliseconds since something last reached the disk: a canary write, when nobody writes.
    commit_age_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
}

#[derive(Serialize)]
struct HttpPart {
    status: &'static str,
}

/// The process runs.
async fn show_liveness() -> &'static str {
    "live\n"
}

/// Whether this process can do its work, part by part: 503 names the sick one.
async fn show_readiness(State(kit): State<Kit>) -> Response {
    let health = readiness(&kit);
    let status = if health.status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

fn readiness(kit: &Kit) -> Health {
    let store = kit.db.health();
    let stale = store.commit_age_ms > COMMIT_AGE_MAX_MS;
    let detail = match (store.healthy, stale) {
        (false, _) => Some("commits fail; nothing is accepted until one succeeds"),
        (true, true) => Some("nothing has reached the disk for longer than it should take"),
        (true, false) => None,
    };
    let stopping = kit.stop.is_cancelled();
    Health {
        status: if detail.is_none() && !stopping { "ready" } else { "not_ready" },
        version: env!("CARGO_PKG_VERSION"),
        parts: Parts {
            store: StorePart {
                status: if detail.is_none() { "ready" } else { "failed" },
                commit_age_ms: store.commit_age_ms,
                detail,
            },
            http: HttpPart { status: if stopping { "stopping" } else { "ready" } },
        },
    }
}

/// The health route of the old campaign system.
async fn show_old_health(State(kit): State<Kit>) -> Response {
    let healthy = kit.db.health().healthy;
    let status = if healthy { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    (status, Json(serde_json::json!({ "healthy": healthy }))).into_response()
}

/// Prometheus scrapes this.
async fn show_metrics(State(kit): State<Kit>) -> Response {
    let mut out = kit.metrics.encode();
    let (store, journal, health) = (kit.db.stats(), kit.journal.stats(), kit.db.health());
    for (name, help, kind, value) in [
        ("store_commits", "Physical commits, one sync each", "counter", store.commits),
        ("store_failed_commits", "Commits that failed", "counter", store.failed_commits),
        ("store_closures", "Transactions that joined a commit", "counter", store.closures),
        ("store_commit_microseconds", "Time spent in commits", "counter", store.commit_us),
        ("store_tick_microseconds", "Time spent in ticks of the writer", "counter", store.tick_us),
        ("journal_records", "Records appended", "counter", journal.records),
        ("journal_duplicates", "Records not appended for their id", "counter", journal.duplicates),
        ("journal_raw_bytes", "Bytes of records, before compression", "counter", journal.raw_bytes),
        ("journal_stored_bytes", "Bytes of batches as stored", "counter", journal.stored_bytes),
        ("journal_remembered_ids", "Record ids that are remembered", "gauge", journal.remembered_ids),
        ("store_healthy", "1 when commits succeed", "gauge", u64::from(health.healthy)),
        (
            "store_commit_age_milliseconds",
            "Since something last reached the disk",
            "gauge",
            health.commit_age_ms as u64,
        ),
    ] {
        let suffix = if kind == "counter" { "_total" } else { "" };
        // Writing into a String cannot fail.
        let _ = write!(
            out,
            "# HELP angarium_{name} {help}.\n# TYPE angarium_{name} {kind}\nangarium_{name}{suffix} {value}\n"
        );
    }
    out.push_str("# EOF\n");
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], out)
        .into_response()
}

/// Where the `type` of a problem points to.
async fn show_errors() -> Html<String> {
    let mut out =
        String::from("<!doctype html><meta charset=utf-8><title>Angarium errors</title><h1>Errors</h1><dl>");
    for code in slices::codes() {
        let _ = write!(
            out,
            "<dt id={0}><code>{0}</code> ({1})<dd>{2}",
            code.name,
            code.kind.status(),
            code.doc.trim()
        );
    }
    Html(out)
}
