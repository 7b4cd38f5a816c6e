//! The routes of all slices, and those that are about the server itself.

mod docs;
pub mod internal;
mod processes;
mod readiness;

use crate::slices;
use angarium_base::error::{METHOD_NOT_ALLOWED, NOT_FOUND};
use angarium_kit::{
    Kit, Slice,
    access::{FORBIDDEN, Public},
    fleet::Role,
    http::{Doc, Operation, Problem, Routes, around, openapi::document},
};
use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Response},
};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    fmt::Write,
    sync::{Arc, OnceLock},
};
use tower_http::{
    CompressionLevel,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
};

angarium_base::codes! {
    /// This process does not serve this path: it runs without the role that the detail names (`roles` in its configuration). Ask a process that has it; behind a load balancer, route such paths there.
    ROLE_MISSING = "role_missing": Unavailable;
}

/// The routes of this program and of its slices, as they are declared: what the document is made of.
pub fn routes(slices: Vec<Slice>) -> (Routes, Vec<Operation>) {
    let all = slices.into_iter().fold(own_routes(), |routes, slice| routes.merge(slice.routes));
    let operations = all.operations().to_vec();
    (all, operations)
}

fn own_routes() -> Routes {
    let doc = |id, summary, description| Doc::new("server", id, summary, description);
    Routes::new()
        .get(
            "/health/live",
            show_liveness,
            doc("show_liveness", "Whether the process runs", "").answers_as(
                200,
                "it runs",
                "text/plain",
                None,
            ),
        )
        .get(
            "/health/ready",
            show_readiness,
            doc(
                "show_readiness",
                "Whether the process can do its work",
                "Part by part; 503 names the sick one.",
            )
            .answers::<readiness::Readiness>(200, "it can")
            .answers::<readiness::Readiness>(503, "it cannot"),
        )
        .get(
            "/healthcheck",
            show_old_health,
            doc("show_old_health", "The health route of the old campaign system", "")
                .answers::<OldHealth>(200, "healthy")
                .answers::<OldHealth>(500, "not healthy"),
        )
        .get(
            "/metrics",
            show_metrics_here,
            doc(
                "show_metrics",
                "Metrics, for Prometheus",
                "Where the listener is public, only the internal one has them.",
            )
            .answers_as(200, "OpenMetrics", "application/openmetrics-text", None)
            .refuses(&[NOT_FOUND]),
        )
        .get(
            "/openapi.json",
            show_openapi,
            doc("show_openapi", "This document", "")
                .answers::<serde_json::Map<String, serde_json::Value>>(200, "OpenAPI 3.1"),
        )
        .get(
            "/docs",
            docs::show_docs,
            doc("show_docs", "The documentation of the API", "").answers_as(200, "a page", "text/html", None),
        )
        .get(
            "/docs/errors",
            show_errors,
            doc("show_errors", "What the codes of problems mean", "").answers_as(
                200,
                "a page",
                "text/html",
                None,
            ),
        )
        .get(
            "/v1/processes",
            processes::list_processes,
            doc("list_processes", "List the processes of the fleet", "For admins of the default app.")
                .answers::<processes::ProcessList>(200, "every process that was seen within the last day")
                .refuses(&[FORBIDDEN]),
        )
}

/// What is said of a path that is none of ours.
pub const NO_SUCH_PATH: &str = "there is no such path; /docs has all";

/// The document of all routes.
pub fn openapi(slices: Vec<Slice>) -> serde_json::Value {
    document(&routes(slices).1, env!("CARGO_PKG_VERSION"))
}

/// The document, made when it is first asked for.
#[derive(Clone)]
struct Described(Arc<(Vec<Operation>, OnceLock<Bytes>)>);

/// The whole HTTP surface: what every process answers, and the routes of the slices. Those whose role this process
/// does not have are refused by name.
pub fn router(slices: Vec<Slice>, kit: Kit) -> Router {
    let mut routes = own_routes();
    for slice in slices {
        let is_served = kit.fleet.has(slice.served_by);
        routes = routes.merge(if is_served { slice.routes } else { refused(slice.routes, slice.served_by) });
    }
    let described = Described(Arc::new((routes.operations().to_vec(), OnceLock::new())));
    routes
        .with(described)
        .into_router()
        .fallback(|| async { Problem::from(NOT_FOUND.err(NO_SUCH_PATH)) })
        .method_not_allowed_fallback(|| async {
            Problem::from(
                METHOD_NOT_ALLOWED
                    .err("this path does not take this method; the Allow header names those it does"),
            )
        })
        .layer(from_fn_with_state(kit.clone(), around))
        .layer(compression())
        .with_state(kit)
}

/// Packs long answers for those who take gzip. The feed is never held back by it, images are packed already.
fn compression() -> CompressionLayer<impl Predicate> {
    let worth_it = SizeAbove::new(1024)
        .and(NotForContentType::SSE)
        .and(NotForContentType::IMAGES)
        .and(NotForContentType::const_new("application/octet-stream"));
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth_it)
}

/// The same paths, answered with what is missing.
fn refused(routes: Routes, missing: Role) -> Routes {
    routes.refused(move |_: Request, _: Next| async move {
        let role = missing.as_str();
        let detail = format!("this process runs without the role `{role}`, which serves this path");
        Problem::from(ROLE_MISSING.err(detail)).into_response()
    })
}

async fn show_openapi(_: Public, Extension(described): Extension<Described>) -> Response {
    let (operations, made) = &*described.0;
    let text = made.get_or_init(|| document(operations, env!("CARGO_PKG_VERSION")).to_string().into());
    ([(header::CONTENT_TYPE, "application/json")], text.clone()).into_response()
}

async fn show_liveness(_: Public) -> &'static str {
    "live\n"
}

/// As the old campaign system said it.
#[derive(Serialize, JsonSchema)]
struct OldHealth {
    healthy: bool,
}

async fn show_old_health(_: Public, State(kit): State<Kit>) -> Response {
    let healthy = kit.db.health().healthy;
    let status = if healthy { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    (status, Json(OldHealth { healthy })).into_response()
}

async fn show_readiness(_: Public, State(kit): State<Kit>) -> Response {
    readiness::show_readiness(State(kit)).await
}

async fn show_metrics_here(_: Public, State(kit): State<Kit>) -> Response {
    show_metrics(State(kit)).await
}

/// Prometheus scrapes this.
async fn show_metrics(State(kit): State<Kit>) -> Response {
    let mut out = kit.metrics.encode();
    let (store, journal, health) = (kit.db.stats(), kit.journal.stats(), kit.db.health());
    let feed = kit.feed.status();
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
        (
            "feed_connected",
            "1 when other processes can be told and heard",
            "gauge",
            u64::from(feed.connected),
        ),
        ("feed_published", "Messages given to the feed", "counter", feed.published),
        ("feed_received", "Messages that came from other processes", "counter", feed.received),
        ("feed_dropped", "Messages that did not go to other processes", "counter", feed.dropped),
        ("feed_lagged", "Messages that slow listeners in this process did not get", "counter", feed.lagged),
        (
            "process_lag_milliseconds",
            "How late the last sign of life was",
            "gauge",
            kit.fleet.lag_ms() as u64,
        ),
    ] {
        push_metric(&mut out, name, help, kind, value);
    }
    if let Some(shipping) = kit.journal.shipping() {
        for (name, help, kind, value) in [
            ("kafka_connected", "1 when Kafka answers", "gauge", u64::from(shipping.connected)),
            ("kafka_shipped", "Records that Kafka acknowledged", "counter", shipping.shipped),
            (
                "kafka_skipped",
                "Records found in Kafka after a crash and not sent again",
                "counter",
                shipping.skipped,
            ),
            (
                "kafka_retried",
                "Streams whose shipping failed and was tried again",
                "counter",
                shipping.retried,
            ),
            ("spool_lag_records", "Records in the spool that Kafka does not have yet", "gauge", shipping.lag),
            ("spool_bytes", "Bytes of records in the spool", "gauge", shipping.spool_bytes),
        ] {
            push_metric(&mut out, name, help, kind, value);
        }
    }
    out.push_str("# EOF\n");
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], out)
        .into_response()
}

fn push_metric(out: &mut String, name: &str, help: &str, kind: &str, value: u64) {
    let suffix = if kind == "counter" { "_total" } else { "" };
    // Writing into a String cannot fail.
    let _ = write!(
        out,
        "# HELP angarium_{name} {help}.\n# TYPE angarium_{name} {kind}\nangarium_{name}{suffix} {value}\n"
    );
}

/// Where the `type` of a problem points to.
async fn show_errors(_: Public) -> Html<String> {
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
