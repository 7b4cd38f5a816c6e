//! Keys: made, shown without their secret, replaced, revoked.

use super::{Asking, ChangeKeys, Place, ReadKeys, Whose};
use crate::{
    model::{KeyMade, KeyView, List, NewKey, Rotation},
    operations,
    rules::{INVALID_BODY, KEY_REPLACED, LAST_ADMIN, TOO_MANY},
    store,
};
use angarium_base::error::INVALID_PARAMETER;
use angarium_kit::{
    Kit,
    access::Allowed,
    http::{
        Answer, Doc, Params, Routes,
        doc::{AFTER, LIMIT, LOCATION},
        parse_duration,
    },
    secrets::SECRETS_UNAVAILABLE,
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// How long a replaced key is good, if nothing is said.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);
const OVERLAP_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

pub fn routes() -> Routes {
    let doc = |id, summary, description| Doc::new("keys", id, summary, description);
    Routes::new()
        .get(
            "/v1/apps/{app}/keys",
            list_keys,
            doc("list_keys", "List keys", "Without their secrets, in the order in which they were made.")
                .query(&[LIMIT, AFTER])
                .answers::<List<KeyView>>(200, "a page of keys"),
        )
        .post(
            "/v1/apps/{app}/keys",
            create_key,
            doc(
                "create_key",
                "Make a key",
                "Its secret (`key`) is in this answer and never again. With the role `ingest` it is a write key \
                 (`ang_wk_…`), which may be inside an app or a page; others (`ang_sk_…`) are for servers.",
            )
            .body::<NewKey>(json!({ "name": "web shop", "role": "ingest" }))
            .answers::<KeyMade>(201, "the key")
            .with_header(LOCATION)
            .refuses(&[INVALID_BODY, TOO_MANY, SECRETS_UNAVAILABLE]),
        )
        .get(
            "/v1/apps/{app}/keys/{key}",
            show_key,
            doc("show_key", "Show a key", "Without its secret.").answers::<KeyView>(200, "the key"),
        )
        .post(
            "/v1/apps/{app}/keys/{key}/rotate",
            rotate_key,
            doc(
                "rotate_key",
                "Replace a key",
                "A new key with the name, the role and the expiry of the old one, which is good for `overlap` still. \
                 A key is replaced once: of those who ask at the same moment, one gets the new key.",
            )
            .body_or_none::<Rotation>(json!({ "overlap": "24h" }))
            .answers::<KeyMade>(201, "the new key")
            .with_header(LOCATION)
            .refuses(&[KEY_REPLACED, TOO_MANY, LAST_ADMIN, SECRETS_UNAVAILABLE]),
        )
        .delete(
            "/v1/apps/{app}/keys/{key}",
            delete_key,
            doc(
                "delete_key",
                "Revoke a key",
                "Effective at once; in other processes within 5 seconds. Feeds that were opened with it end. \
                 An app keeps at least one admin.",
            )
            .answers_empty(204, "the key is revoked")
            .refuses(&[LAST_ADMIN]),
        )
}

#[derive(Deserialize)]
struct KeyPath {
    key: String,
}

async fn list_keys(
    allowed: Allowed<ReadKeys>,
    State(kit): State<Kit>,
    params: Params,
) -> Answer<Json<List<KeyView>>> {
    let place = Place::of(&params)?;
    let (app, after, fetch) = (allowed.app_id().clone(), place.after.clone(), place.fetch());
    let rows = kit.db.read(move |tx| store::list_keys(tx, &app, &after, fetch)).await?;
    let (items, next) = place.page(rows.iter().map(KeyView::from).collect(), |key: &KeyView| key.id.clone());
    Ok(Json(List { items, next }))
}

async fn create_key(
    allowed: Allowed<ChangeKeys>,
    State(kit): State<Kit>,
    asking: Asking<NewKey>,
) -> Answer<Response> {
    let (by, new) = asking.of(allowed.principal.clone());
    let made = operations::create_key(&kit, by, allowed.app_id(), new).await?;
    Ok(created(&allowed, made))
}

fn created(allowed: &Allowed<ChangeKeys>, made: KeyMade) -> Response {
    let location = format!("{}/keys/{}", operations::app_path(allowed.app_id()), made.view.id);
    (StatusCode::CREATED, [(header::LOCATION, location)], Json(made)).into_response()
}

async fn show_key(
    allowed: Allowed<ReadKeys>,
    State(kit): State<Kit>,
    Path(path): Path<KeyPath>,
    params: Params,
) -> Answer<Json<KeyView>> {
    params.only(&[])?;
    let app = allowed.app_id().clone();
    let row = kit.db.read(move |tx| store::show_key(tx, &app, &path.key)).await?;
    Ok(Json(KeyView::from(&row)))
}

async fn rotate_key(
    allowed: Allowed<ChangeKeys>,
    State(kit): State<Kit>,
    Path(path): Path<KeyPath>,
    asking: Asking<Rotation>,
) -> Answer<Response> {
    let (by, rotation) = asking.of(allowed.principal.clone());
    let overlap = match &rotation.overlap {
        Some(text) => parse_duration("overlap", text)?,
        None => OVERLAP,
    };
    if overlap > OVERLAP_MAX {
        return Err(INVALID_PARAMETER.err("`overlap` is at most 30d").into());
    }
    let made = operations::rotate_key(&kit, by, allowed.app_id(), &path.key, overlap).await?;
    Ok(created(&allowed, made))
}

async fn delete_key(
    allowed: Allowed<ChangeKeys>,
    State(kit): State<Kit>,
    Path(path): Path<KeyPath>,
    whose: Whose,
    params: Params,
) -> Answer<StatusCode> {
    params.only(&[])?;
    let by = whose.of(allowed.principal.clone());
    operations::delete_key(&kit, by, allowed.app_id(), &path.key).await?;
    Ok(StatusCode::NO_CONTENT)
}
