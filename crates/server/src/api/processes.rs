//! `GET /v1/processes`: the processes of the fleet. Every process answers it, whatever its roles.

use angarium_base::{clock::Millis, time};
use angarium_kit::{
    Kit,
    access::{Caller, FORBIDDEN},
    fleet::Process,
    http::{Answer, Params},
};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::Serialize;

/// The processes of the fleet.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProcessPage")]
pub struct ProcessList {
    items: Vec<ProcessView>,
    next: Option<String>,
}

/// A process of the fleet.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Process")]
struct ProcessView {
    id: String,
    host: String,
    pid: i64,
    roles: Vec<String>,
    version: String,
    address: String,
    #[schemars(extend("format" = "date-time"))]
    started_at: String,
    #[schemars(extend("format" = "date-time"))]
    seen_at: String,
    /// `gone` when it was not seen for half a minute; it is forgotten after a day.
    state: &'static str,
    lag_ms: Millis,
    leases: Vec<String>,
    /// What does not work in it at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl ProcessView {
    fn new(process: Process, now: Millis) -> ProcessView {
        ProcessView {
            state: process.state(now),
            id: process.id,
            host: process.host,
            pid: process.pid,
            roles: process.roles,
            version: process.version,
            address: process.address,
            started_at: time::format(process.started_at),
            seen_at: time::format(process.seen_at),
            lag_ms: process.lag_ms,
            leases: process.leases,
            detail: process.detail,
        }
    }
}

/// Every process that was seen within the last day, the oldest first.
///
/// Hosts and addresses are the operator's affair, and the default app is the operator's: others have theirs.
pub async fn list_processes(
    Caller(principal): Caller,
    State(kit): State<Kit>,
    params: Params,
) -> Answer<Json<ProcessList>> {
    params.only(&[])?;
    let default_app = kit.directory.default_app();
    let is_operator = default_app.is_some_and(|app| {
        principal.roles_in(&kit.directory, &app.id).has(angarium_kit::access::Role::Admin)
    });
    if !is_operator {
        return Err(FORBIDDEN
            .err("the processes are for admins of the default app, and for the internal listener (`http.internal`)")
            .into());
    }
    list(&kit).await
}

/// The same on the internal listener, which asks nobody who they are.
pub async fn list_processes_unasked(State(kit): State<Kit>, params: Params) -> Answer<Json<ProcessList>> {
    params.only(&[])?;
    list(&kit).await
}

async fn list(kit: &Kit) -> Answer<Json<ProcessList>> {
    let now = kit.clock.now();
    let processes = kit.fleet.processes().await?;
    let items = processes.into_iter().map(|process| ProcessView::new(process, now)).collect();
    Ok(Json(ProcessList { items, next: None }))
}
