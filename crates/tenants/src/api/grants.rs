//! Grants: who has which role in an app.

use super::{Asking, ChangeGrants, DeleteGrants, Place, ReadGrants, Whose};
use crate::{
    model::{GrantPatch, GrantView, List, NewGrant, NewGrantOf},
    operations,
    rules::{GRANT_EXISTS, INVALID_BODY, LAST_ADMIN, TOO_MANY},
    store,
};
use angarium_kit::{
    Kit,
    access::{Allowed, Role},
    http::{
        Answer, Doc, Params, Routes,
        doc::{AFTER, LIMIT, LOCATION},
    },
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::json;

pub fn routes() -> Routes {
    let doc = |id, summary, description| Doc::new("grants", id, summary, description);
    Routes::new()
        .get(
            "/v1/apps/{app}/grants",
            list_grants,
            doc("list_grants", "List grants", "In the order in which they were given.")
                .query(&[LIMIT, AFTER])
                .answers::<List<GrantView>>(200, "a page of grants"),
        )
        .post(
            "/v1/apps/{app}/grants",
            create_grant,
            doc(
                "create_grant",
                "Give somebody a role",
                "By address of e-mail, also before they ever came, or by the subject of their tokens.",
            )
            .body::<NewGrantOf>(json!({ "email": "ana@acme.com", "role": "viewer" }))
            .answers::<GrantView>(201, "the grant")
            .with_header(LOCATION)
            .refuses(&[INVALID_BODY, GRANT_EXISTS, TOO_MANY]),
        )
        .get(
            "/v1/apps/{app}/grants/{grant}",
            show_grant,
            doc("show_grant", "Show a grant", "").answers::<GrantView>(200, "the grant"),
        )
        .patch(
            "/v1/apps/{app}/grants/{grant}",
            change_grant,
            doc("change_grant", "Give a grant another role", "An app keeps at least one admin.")
                .body::<GrantPatch>(json!({ "role": "operator" }))
                .answers::<GrantView>(200, "the grant as it is now")
                .refuses(&[LAST_ADMIN]),
        )
        .delete(
            "/v1/apps/{app}/grants/{grant}",
            delete_grant,
            doc(
                "delete_grant",
                "Take a grant back",
                "Effective at once; in other processes within 5 seconds. An app keeps at least one admin. Whoever has a \
                 grant may give it up, whatever its role; `mine` in place of an id are all that the caller has on the app.",
            )
            .answers_empty(204, "the grant is gone")
            .refuses(&[LAST_ADMIN]),
        )
}

#[derive(Deserialize)]
struct GrantPath {
    grant: String,
}

async fn list_grants(
    allowed: Allowed<ReadGrants>,
    State(kit): State<Kit>,
    params: Params,
) -> Answer<Json<List<GrantView>>> {
    let place = Place::of(&params)?;
    let (app, after, fetch) = (allowed.app_id().clone(), place.after.clone(), place.fetch());
    let rows = kit.db.read(move |tx| store::list_grants(tx, &app, &after, fetch)).await?;
    let (items, next) =
        place.page(rows.iter().map(GrantView::from).collect(), |grant: &GrantView| grant.id.clone());
    Ok(Json(List { items, next }))
}

async fn create_grant(
    allowed: Allowed<ChangeGrants>,
    State(kit): State<Kit>,
    asking: Asking<NewGrant>,
) -> Answer<Response> {
    let (by, new) = asking.of(allowed.principal.clone());
    let view = operations::create_grant(&kit, by, allowed.app_id(), new).await?;
    let location = format!("{}/grants/{}", operations::app_path(allowed.app_id()), view.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view)).into_response())
}

async fn show_grant(
    allowed: Allowed<ReadGrants>,
    State(kit): State<Kit>,
    Path(path): Path<GrantPath>,
    params: Params,
) -> Answer<Json<GrantView>> {
    params.only(&[])?;
    let app = allowed.app_id().clone();
    let row = kit.db.read(move |tx| store::show_grant(tx, &app, &path.grant)).await?;
    Ok(Json(GrantView::from(&row)))
}

async fn change_grant(
    allowed: Allowed<ChangeGrants>,
    State(kit): State<Kit>,
    Path(path): Path<GrantPath>,
    asking: Asking<GrantPatch>,
) -> Answer<Json<GrantView>> {
    let (by, patch) = asking.of(allowed.principal.clone());
    let role = patch.role.into();
    Ok(Json(operations::change_grant(&kit, by, allowed.app_id(), &path.grant, role).await?))
}

async fn delete_grant(
    allowed: Allowed<DeleteGrants>,
    State(kit): State<Kit>,
    Path(path): Path<GrantPath>,
    whose: Whose,
    params: Params,
) -> Answer<StatusCode> {
    params.only(&[])?;
    let by = whose.of(allowed.principal.clone());
    operations::delete_grant(&kit, by, allowed.app_id(), &path.grant, allowed.is(Role::Admin)).await?;
    Ok(StatusCode::NO_CONTENT)
}
