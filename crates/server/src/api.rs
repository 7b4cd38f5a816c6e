//! The routes of all slices, and those that are about the server itself.

pub mod internal;
mod processes;
mod readiness;

use crate::slices;
use angarium_base::error::{METHOD_NOT_ALLOWED, NOT_FOUND};
use angarium_kit::{
    Kit, Slice,
    fleet::Role,
    http::{Problem, around},
};
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use std::fmt::Write;

angarium_base::codes! {
    /// This process does not serve this path: it runs without the role that the detail names (`roles` in its configuration). Ask a process that has it; behind a load balancer, route such paths there.
    ROLE_MISSING = "role_missing": Unavailable;
}

/// The whole HTTP surface: what every process answers, and the routes of the slices. Those whose role this process
/// does not have are refused by name.
pub fn router(slices: Vec<Slice>, kit: Kit) -> Router {
    let own = Router::new()
        .route("/health/live", get(show_liveness))
        .route("/health/ready", get(readiness::show_readiness))
        .route("/healthcheck", get(show_old_health))
        .route("/metrics", get(show_metrics))
        .route("/docs/errors", get(show_errors))
        .route("/v1/processes", get(processes::list_processes));
    slices
        .into_iter()
        .fold(own, |router, slice| {
            let is_served = kit.fleet.has(slice.served_by);
            router.merge(if is_served { slice.routes } else { refused(slice.routes, slice.served_by) })
        })
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

/// The same paths, answered with what is missing.
fn refused(routes: Router<Kit>, missing: Role) -> Router<Kit> {
    routes.route_layer(from_fn(move |_: Request, _: Next| async move {
        let role = missing.as_str();
        Problem::from(
            ROLE_MISSING.err(format!("this process runs without the role `{role}`, which serves this path")),
        )
    }))
}

/// The process runs.
async fn show_liveness() -> &'static str {
    "live\n"
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
