//! The internal listener: what an operator's network may ask of this process without saying who it is, and nothing else.

use super::{processes, readiness, show_liveness, show_metrics};
use angarium_base::error::{METHOD_NOT_ALLOWED, NOT_FOUND};
use angarium_kit::{
    Direct, Kit,
    http::{Inside, Problem, around, attend},
};
use axum::{
    Extension, Router, extract::Request, middleware::from_fn_with_state, response::IntoResponse, routing::get,
};
use std::sync::Arc;

/// What the internal listener serves.
pub fn internal_router(kit: Kit) -> Router {
    Router::new()
        .route("/health/live", get(show_liveness))
        .route("/health/ready", get(readiness::show_readiness))
        .route("/metrics", get(show_metrics))
        .route("/v1/processes", get(processes::list_processes_unasked))
        .fallback(|| async {
            Problem::from(NOT_FOUND.err(
                "this is the internal listener: it serves /metrics, /health/live, /health/ready and /v1/processes",
            ))
        })
        .method_not_allowed_fallback(|| async {
            Problem::from(METHOD_NOT_ALLOWED.err("this path takes GET and HEAD"))
        })
        .layer(from_fn_with_state(kit.clone(), around))
        .layer(Extension(Inside))
        .with_state(kit)
}

/// What the main listener answers where `/metrics` is not for those who can reach it.
pub fn hidden_metrics(detail: &'static str) -> Direct {
    Direct {
        takes: |request: &Request| request.uri().path() == "/metrics",
        answer: Arc::new(move |kit, request| {
            Box::pin(async move {
                let answer = |_| async { Problem::from(NOT_FOUND.err(detail)).into_response() };
                attend(&kit, "(none)", request, answer).await
            })
        }),
    }
}
