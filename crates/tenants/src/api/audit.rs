//! The audit: who changed what in an app.

use super::ReadAudit;
use crate::model::{AuditEntry, List};
use angarium_base::{Cursor, error::INVALID_CURSOR};
use angarium_kit::{
    Kit,
    access::Allowed,
    audit::AUDIT,
    http::{
        Answer, Doc, Params, Routes,
        doc::{AFTER, LIMIT},
    },
    records,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;

pub fn routes() -> Routes {
    Routes::new().get(
        "/v1/apps/{app}/audit",
        list_audit,
        Doc::new(
            "audit",
            "list_audit",
            "List what was changed, and by whom",
            "The oldest first. Every change of an app, a grant or a key; the same is in the stream `audit`, which can be followed.",
        )
        .query(&[LIMIT, AFTER])
        .answers::<List<AuditEntry>>(200, "a page of changes"),
    )
}

async fn list_audit(allowed: Allowed<ReadAudit>, State(kit): State<Kit>, params: Params) -> Answer<Response> {
    params.only(&[LIMIT.name, AFTER.name])?;
    let (limit, after) = (params.limit()?, params.after()?);
    let stream = records::find_stream(&kit, &allowed, AUDIT).await?;
    let from = match &after {
        Some(cursor) => cursor.next(AUDIT).ok_or_else(|| {
            INVALID_CURSOR.err("this cursor is of another list; use one that this list gave out")
        })?,
        None => 0,
    };
    records::check_reached(&kit.journal, &stream, from).await?;
    let page = kit.journal.read(&stream, from, limit).await?;
    let mut body = String::from("{\"items\":[");
    for (at, record) in page.records().enumerate() {
        if at > 0 {
            body.push(',');
        }
        body.push_str(&String::from_utf8_lossy(record.data));
    }
    body.push_str("],\"next\":");
    let is_end = page.is_empty() || kit.journal.end(&stream).await? <= page.next;
    match is_end {
        true => body.push_str("null"),
        false => {
            body.push('"');
            Cursor::new(AUDIT, page.next).encode_into(&mut body);
            body.push('"');
        }
    }
    body.push('}');
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
