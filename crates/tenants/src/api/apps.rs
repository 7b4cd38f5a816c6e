//! Apps: one's own, a new one, another name, none.

use super::{Asking, ChangeApp, DeleteApp, Place, ReadApp, Whose};
use crate::{
    model::{AppPatch, AppView, List, Me, MyApp, NewApp},
    operations,
    rules::{BUNDLE_ID_TAKEN, INVALID_BODY, TOO_MANY},
};
use angarium_kit::{
    Kit,
    access::{Allowed, App, Caller, FORBIDDEN, Principal, Role},
    http::{
        Answer, Doc, Params, Routes,
        doc::{AFTER, LIMIT, LOCATION},
    },
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde_json::json;
use std::sync::Arc;

pub fn routes() -> Routes {
    let doc = |id, summary, description| Doc::new("apps", id, summary, description);
    Routes::new()
        .get(
            "/v1/me",
            show_identity,
            doc("show_identity", "Show who you are", "The caller as this server sees it, and its roles.")
                .answers::<Me>(200, "the caller"),
        )
        .get(
            "/v1/apps",
            list_apps,
            doc("list_apps", "List your apps", "Those in which the caller has a role, in the order of their ids.")
                .query(&[LIMIT, AFTER])
                .answers::<List<AppView>>(200, "a page of apps")
                .refuses(&[FORBIDDEN]),
        )
        .post(
            "/v1/apps",
            create_app,
            doc(
                "create_app",
                "Create an app",
                "A user who creates an app is its first admin. A key belongs to one app for ever, so keys create none.",
            )
            .body::<NewApp>(json!({ "name": "Shop", "bundle_id": "com.acme.shop" }))
            .answers::<AppView>(201, "the app")
            .with_header(LOCATION)
            .refuses(&[FORBIDDEN, INVALID_BODY, BUNDLE_ID_TAKEN, TOO_MANY]),
        )
        .get(
            "/v1/apps/{app}",
            show_app,
            doc("show_app", "Show an app", "").answers::<AppView>(200, "the app"),
        )
        .patch(
            "/v1/apps/{app}",
            change_app,
            doc("change_app", "Change an app", "What the body names, and nothing else.")
                .body_or_none::<AppPatch>(json!({ "name": "Shop" }))
                .answers::<AppView>(200, "the app as it is now")
                .refuses(&[INVALID_BODY, BUNDLE_ID_TAKEN]),
        )
        .delete(
            "/v1/apps/{app}",
            delete_app,
            doc(
                "delete_app",
                "Delete an app",
                "Nobody reaches it from now on: in other processes, and for feeds that are open, within 10 seconds. \
                 Its data goes in the background. Its bundle id is free at once.",
            )
            .answers_empty(204, "the app is gone"),
        )
}

async fn show_identity(
    Caller(principal): Caller,
    State(kit): State<Kit>,
    params: Params,
) -> Answer<Json<Me>> {
    params.only(&[])?;
    let apps = own_apps(&kit, &principal);
    let apps = apps
        .iter()
        .map(|app| MyApp {
            id: app.id.to_string(),
            bundle_id: app.bundle_id.clone(),
            name: app.name.clone(),
            roles: principal
                .roles_in(&kit.directory, &app.id)
                .iter()
                .map(|role| Role::as_str(role).to_owned())
                .collect(),
        })
        .collect();
    Ok(Json(match principal {
        Principal::Key(key) => Me {
            kind: "key".into(),
            id: key.id.to_string(),
            name: Some(key.name.clone()),
            issuer: None,
            tenant: None,
            email: None,
            apps,
        },
        Principal::User(user) => Me {
            kind: "user".into(),
            id: user.subject.clone(),
            name: None,
            issuer: Some(user.issuer.clone()),
            tenant: (!user.tenant.is_empty()).then(|| user.tenant.clone()),
            email: user.email.clone(),
            apps,
        },
    }))
}

/// The apps in which a principal has a role, by id.
fn own_apps(kit: &Kit, principal: &Principal) -> Vec<Arc<App>> {
    match principal {
        Principal::Key(key) => kit.directory.app(key.app.as_str()).into_iter().collect(),
        Principal::User(user) => kit.directory.apps_of(user),
    }
}

async fn list_apps(
    Caller(principal): Caller,
    State(kit): State<Kit>,
    params: Params,
) -> Answer<Json<List<AppView>>> {
    let place = Place::of(&params)?;
    if let Principal::Key(key) = &principal
        && key.role == Role::Ingest
    {
        return Err(FORBIDDEN.err("a write key sends events and reads nothing").into());
    }
    let apps = own_apps(&kit, &principal);
    let rest = apps.iter().filter(|app| *app.id.as_str() > *place.after);
    let items = rest.take(place.fetch() as usize).map(|app| AppView::from(&**app)).collect();
    let (items, next) = place.page(items, |app| app.id.clone());
    Ok(Json(List { items, next }))
}

async fn create_app(
    Caller(principal): Caller,
    State(kit): State<Kit>,
    asking: Asking<NewApp>,
) -> Answer<Response> {
    if matches!(principal, Principal::Key(_)) {
        return Err(FORBIDDEN
            .err("a key belongs to one app and creates none; a user does, with a token (`angarium token mint` makes one for development), or `angarium admin apps create` at the server's console")
            .into());
    }
    let (by, new) = asking.of(Some(principal));
    let view = operations::create_app(&kit, by, new).await?;
    let location = format!("/v1/apps/{}", view.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view)).into_response())
}

async fn show_app(allowed: Allowed<ReadApp>, params: Params) -> Answer<Json<AppView>> {
    params.only(&[])?;
    Ok(Json(AppView::from(&*allowed.app)))
}

async fn change_app(
    allowed: Allowed<ChangeApp>,
    State(kit): State<Kit>,
    asking: Asking<AppPatch>,
) -> Answer<Json<AppView>> {
    let (by, patch) = asking.of(allowed.principal.clone());
    Ok(Json(operations::change_app(&kit, by, allowed.app_id(), patch).await?))
}

async fn delete_app(
    allowed: Allowed<DeleteApp>,
    State(kit): State<Kit>,
    whose: Whose,
    params: Params,
) -> Answer<StatusCode> {
    params.only(&[])?;
    operations::delete_app(&kit, whose.of(allowed.principal.clone()), allowed.app_id()).await?;
    Ok(StatusCode::NO_CONTENT)
}
