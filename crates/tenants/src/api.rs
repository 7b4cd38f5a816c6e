//! Apps over HTTP: list one's own, show one, change what is given.

use crate::{refresh, store};
use angarium_base::{
    error::{Fault, INVALID_PARAMETER, MALFORMED_BODY},
    time,
};
use angarium_kit::{
    Kit,
    access::{Allowed, App, Caller},
    grants,
    http::{Answer, Params, read_body},
};
use axum::{
    Json, Router,
    extract::{Request, State},
    routing::get,
};
use serde::{Deserialize, Serialize};

grants! {
    /// Read an app's name and settings.
    ReadApp = "apps:read": [Admin, Operator, Sender, Viewer];
    /// Change an app's name and settings.
    ChangeApp = "apps:change": [Admin];
}

pub fn routes() -> Router<Kit> {
    Router::new().route("/v1/apps", get(list_apps)).route("/v1/apps/{app}", get(show_app).patch(change_app))
}

#[derive(Serialize)]
struct AppView {
    id: String,
    name: String,
    bundle_id: String,
    truncate_addresses: bool,
    created_at: String,
}

impl From<&App> for AppView {
    fn from(app: &App) -> Self {
        AppView {
            id: app.id.to_string(),
            name: app.name.clone(),
            bundle_id: app.bundle_id.clone(),
            truncate_addresses: app.truncate_addresses,
            created_at: time::format(app.created_at),
        }
    }
}

#[derive(Serialize)]
struct AppList {
    items: Vec<AppView>,
    next: Option<String>,
}

/// The caller's own apps. A key belongs to one.
async fn list_apps(State(kit): State<Kit>, Caller(key): Caller, params: Params) -> Answer<Json<AppList>> {
    params.only(&["limit", "after"])?;
    params.limit()?;
    let app = kit.directory.app(key.app.as_str());
    Ok(Json(AppList { items: app.iter().map(|app| AppView::from(&**app)).collect(), next: None }))
}

async fn show_app(allowed: Allowed<ReadApp>) -> Json<AppView> {
    Json(AppView::from(&*allowed.app))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppPatch {
    name: Option<String>,
    truncate_addresses: Option<bool>,
}

/// Changes what the body names, and nothing else.
async fn change_app(
    State(kit): State<Kit>,
    allowed: Allowed<ChangeApp>,
    request: Request,
) -> Answer<Json<AppView>> {
    let (parts, body) = request.into_parts();
    let held = read_body(body, &parts.headers, &kit.limits, &kit.budget).await?;
    let patch: AppPatch = serde_json::from_slice(&held.bytes).map_err(|e| {
        let code = if e.is_data() { INVALID_PARAMETER } else { MALFORMED_BODY };
        code.err(format!("the body cannot be used: {e}; it may have `name` and `truncate_addresses`"))
    })?;
    if let Some(name) = &patch.name
        && (!(1..=255).contains(&name.chars().count()) || name.contains('\0'))
    {
        let detail = "a name has 1 to 255 characters, and no NUL".to_owned();
        let fault = Fault { pointer: "/name".into(), code: "invalid_name", detail };
        return Err(INVALID_PARAMETER
            .err("the app cannot be changed like this")
            .with_faults(vec![fault])
            .into());
    }
    let id = allowed.app_id().clone();
    let changed = kit
        .db
        .write(move |tx| store::update_app(tx, &id, patch.name.as_deref(), patch.truncate_addresses))
        .await?;
    refresh(&kit).await?;
    Ok(Json(AppView::from(&changed)))
}
