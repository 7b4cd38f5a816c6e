//! `GET /v1/processes`: the processes of the fleet. Every process answers it, whatever its roles.

use angarium_base::{clock::Millis, time};
use angarium_kit::{
    Kit,
    access::{Allowed, Caller, presented},
    fleet::Process,
    grants,
    http::{Answer, Params},
};
use axum::{Json, extract::State, http::HeaderMap};
use serde::Serialize;

grants! {
    /// See the processes of the fleet.
    ReadFleet = "processes:read": [Admin];
}

#[derive(Serialize)]
pub struct ProcessList {
    items: Vec<ProcessView>,
    next: Option<String>,
}

#[derive(Serialize)]
struct ProcessView {
    id: String,
    host: String,
    pid: i64,
    roles: Vec<String>,
    version: String,
    address: String,
    started_at: String,
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
pub async fn list_processes(
    State(kit): State<Kit>,
    Caller(_): Caller,
    headers: HeaderMap,
    params: Params,
) -> Answer<Json<ProcessList>> {
    params.only(&[])?;
    Allowed::<ReadFleet>::for_own_app(&kit, &presented(&headers, false)?.unwrap_or_default())?;
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
