//! The schema of an app's messages.

use super::{ManageMessages, ReadMessages, SchemaBody, SchemaView, State, no_schema};
use crate::{
    rules::INVALID_SCHEMA,
    schema::{CHANGED, MAX_BYTES, OnMismatch, Schema},
    store,
};
use angarium_base::{Context, Result, error::INTERNAL};
use angarium_kit::{
    Kit,
    access::Allowed,
    audit::{Audit, Change, Whence},
    http::{Answer, read_json},
};
use axum::{
    Extension, Json,
    extract::{self, Request},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::json;

pub async fn show_schema(
    allowed: Allowed<ReadMessages>,
    extract::State(kit): extract::State<Kit>,
) -> Answer<Response> {
    let app = allowed.app_id().clone();
    let row = kit.db.read(move |tx| store::schema(tx, app.as_str())).await?.ok_or_else(no_schema)?;
    let schema =
        serde_json::from_str(&row.document).or_error(INTERNAL, "a schema in the store is no JSON")?;
    Ok(Json(SchemaView { schema, on_mismatch: OnMismatch::parse(&row.on_mismatch) }).into_response())
}

pub async fn put_schema(
    allowed: Allowed<ManageMessages>,
    extract::State(kit): extract::State<Kit>,
    Extension(shared): Extension<State>,
    whence: Whence,
    request: Request,
) -> Answer<Response> {
    let body: SchemaBody = read_json(&kit, request).await?;
    let document = body.schema.to_string();
    if document.len() > MAX_BYTES {
        return Err(INVALID_SCHEMA.err(format!("a schema may have {MAX_BYTES} bytes")).into());
    }
    tokio::task::block_in_place(|| Schema::compile(&body.schema))?;
    let audit = Audit::of(&kit, allowed.app_id(), allowed.principal.as_ref(), whence).await?;
    let (app, on_mismatch, now) = (allowed.app_id().clone(), body.on_mismatch, kit.clock.now());
    kit.db
        .write(move |tx| {
            store::put_schema(tx, &app, on_mismatch.as_str(), &document, now)?;
            let changes = json!({ "on_mismatch": on_mismatch });
            audit.write(tx, now, &change("messages.put_schema", app.as_str(), changes));
            Ok(())
        })
        .await?;
    changed(&kit, &shared).await?;
    Ok(Json(SchemaView { schema: body.schema, on_mismatch }).into_response())
}

pub async fn delete_schema(
    allowed: Allowed<ManageMessages>,
    extract::State(kit): extract::State<Kit>,
    Extension(shared): Extension<State>,
    whence: Whence,
) -> Answer<StatusCode> {
    let audit = Audit::of(&kit, allowed.app_id(), allowed.principal.as_ref(), whence).await?;
    let (app, now) = (allowed.app_id().clone(), kit.clock.now());
    kit.db
        .write(move |tx| {
            if store::delete_schema(tx, &app)? {
                audit.write(tx, now, &change("messages.delete_schema", app.as_str(), json!({})));
            }
            Ok(())
        })
        .await?;
    changed(&kit, &shared).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn change(action: &'static str, app: &str, changes: serde_json::Value) -> Change {
    Change { action, kind: "message_schema", id: app.to_owned(), changes }
}

async fn changed(kit: &Kit, shared: &State) -> Result<()> {
    kit.feed.publish(CHANGED, bytes::Bytes::new());
    shared.schemas.look(kit).await
}
