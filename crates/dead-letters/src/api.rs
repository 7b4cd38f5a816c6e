//! The routes of dead letters and of redrives.

use crate::{
    model::{
        DeleteLetters, Deleted, LetterPage, LetterView, Matches, RedriveLetters, Redriven, RunPage, RunView,
        TEXT_PATTERN, WholeLetter,
    },
    operations::{self, By},
    rules::{Filter, NOT_REDRIVABLE, TOO_MANY_REDRIVES},
};
use angarium_base::{
    Cursor, RedriveId, Result,
    error::{INVALID_CURSOR, INVALID_PARAMETER},
};
use angarium_kit::{
    Kit,
    access::{Allowed, Principal},
    audit::Whence,
    grants,
    http::{
        Answer, Doc, Params, Problem, Routes,
        doc::{self, AFTER, LIMIT, LOCATION, Param},
        read_json,
    },
    idempotency::Once,
};
use axum::{
    Json,
    extract::{FromRequestParts, Path, Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

grants! {
    /// Read dead letters, and what they hold.
    ReadDeadLetters = "dead_letters:read": [Admin, Operator, Sender, Viewer];
    /// Run dead letters again, and delete them.
    ChangeDeadLetters = "dead_letters:change": [Admin, Operator];
}

const KIND: Param = Param::optional("kind", "only letters of this kind", text);
const CODE: Param = Param::optional("code", "only letters given up for this reason", text);
const SOURCE: Param = Param::optional("source", "only the letter of what has this id", text);
const FROM: Param = Param::optional("from", "only what was given up at this instant or later", doc::instant);
const TO: Param = Param::optional("to", "only what was given up before this instant", doc::instant);
/// The name of the list in its cursors: not the stream's, whose offsets are others.
const LETTERS: &str = "letters";
/// What an original comes as when its media type cannot be a header.
const BYTES: &str = "application/octet-stream";

fn text() -> Value {
    json!({ "type": "string", "maxLength": 255, "pattern": TEXT_PATTERN })
}

pub fn routes() -> Routes {
    letters().merge(redrives())
}

fn doc(id: &'static str, summary: &'static str, description: &'static str) -> Doc {
    Doc::new("dead letters", id, summary, description)
}

fn letters() -> Routes {
    Routes::new()
        .get(
            "/v1/apps/{app}/dead-letters",
            list_dead_letters,
            doc(
                "list_dead_letters",
                "List dead letters",
                "What was given up, in the order in which it was; without the originals. A page under a filter may be \
                 short, or empty, and not be the last: go on until `next` is null.",
            )
            .query(&[KIND, CODE, SOURCE, FROM, TO, LIMIT, AFTER])
            .answers::<LetterPage>(200, "a page of dead letters"),
        )
        .get(
            "/v1/apps/{app}/dead-letters/{id}",
            show_dead_letter,
            doc("show_dead_letter", "Show a dead letter", "With its original, where that is JSON.")
                .answers::<WholeLetter>(200, "the letter"),
        )
        .get(
            "/v1/apps/{app}/dead-letters/{id}/body",
            show_dead_letter_body,
            doc(
                "show_dead_letter_body",
                "Read the original of a dead letter",
                "Its bytes as they came, with their media type.",
            )
            .answers_as(200, "the original", "*/*", None),
        )
        .post(
            "/v1/apps/{app}/dead-letters/{id}/redrive",
            redrive_dead_letter,
            doc(
                "redrive_dead_letter",
                "Run a dead letter again",
                "It leaves the inbox, and its work is due again with the id it had, in one transaction. A second time it \
                 is not there any more (404): it is run again once.",
            )
            .answers::<Redriven>(202, "the work is due again")
            .with_header(LOCATION)
            .refuses(&[NOT_REDRIVABLE]),
        )
        .delete(
            "/v1/apps/{app}/dead-letters/{id}",
            delete_dead_letter,
            doc("delete_dead_letter", "Delete a dead letter", "").answers_empty(204, "the letter is gone"),
        )
        .post(
            "/v1/apps/{app}/dead-letters/delete",
            delete_dead_letters,
            doc(
                "delete_dead_letters",
                "Delete dead letters by a filter",
                "Those that are there now, 10,000 a request: `more` says whether to ask again. With `dry_run` they are \
                 counted only.",
            )
            .body_or_none::<DeleteLetters>(json!({ "kind": "message", "dry_run": true }))
            .answers::<Deleted>(200, "what was deleted, or how many would be")
            .refuses(&[INVALID_PARAMETER]),
        )
}

fn redrives() -> Routes {
    Routes::new()
        .post(
            "/v1/apps/{app}/dead-letters/redrive",
            redrive_dead_letters,
            doc(
                "redrive_dead_letters",
                "Run dead letters again by a filter",
                "Those that are there now, in the background, `rate` a second. With `dry_run` they are counted only. \
                 What is given up again meanwhile is not run a second time.",
            )
            .body_or_none::<RedriveLetters>(json!({ "kind": "message", "dry_run": true }))
            .answers::<Matches>(200, "how many letters would be run again")
            .answers::<RunView>(202, "the redrive")
            .with_header(LOCATION)
            .refuses(&[INVALID_PARAMETER, NOT_REDRIVABLE, TOO_MANY_REDRIVES]),
        )
        .get(
            "/v1/apps/{app}/dead-letters/redrives",
            list_redrives,
            doc(
                "list_redrives",
                "List redrives",
                "In the order in which they were asked for. One that has ended is shown for seven days.",
            )
            .query(&[LIMIT, AFTER])
            .answers::<RunPage>(200, "a page of redrives"),
        )
        .get(
            "/v1/apps/{app}/dead-letters/redrives/{id}",
            show_redrive,
            doc("show_redrive", "Show a redrive", "How far it is.").answers::<RunView>(200, "the redrive"),
        )
        .post(
            "/v1/apps/{app}/dead-letters/redrives/{id}/stop",
            stop_redrive,
            doc("stop_redrive", "Stop a redrive", "What it has run again stays so. One that has ended stays as it is.")
                .answers::<RunView>(200, "the redrive"),
        )
}

#[derive(Deserialize)]
struct IdPath {
    id: String,
}

/// Who asks, and whether it is to be done once.
struct Whose(By);

impl FromRequestParts<Kit> for Whose {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        kit: &Kit,
    ) -> std::result::Result<Self, Problem> {
        let whence = Whence::from_request_parts(parts, kit).await?;
        Ok(Whose(By { principal: None, whence, once: parts.extensions.get::<Once>().cloned() }))
    }
}

impl Whose {
    /// The same, of a caller who was let in.
    fn of(self, principal: Option<Principal>) -> By {
        By { principal, ..self.0 }
    }
}

async fn list_dead_letters(
    allowed: Allowed<ReadDeadLetters>,
    State(kit): State<Kit>,
    params: Params,
) -> Answer<Json<LetterPage>> {
    params.only(&["kind", "code", "source", "from", "to", "limit", "after"])?;
    let filter = Filter::new(
        ["kind", "code", "source"].map(|name| params.get(name)),
        [params.instant("from")?, params.instant("to")?],
    )?;
    let first = match params.after()? {
        Some(cursor) => cursor.next(LETTERS).ok_or_else(of_another_list)? as i64,
        None => 0,
    };
    let limit = params.limit()? as i64;
    let (rows, next) = operations::list(&kit, allowed.app_id(), filter, first, limit).await?;
    let next = next.map(|next| Cursor::new(LETTERS, next as u64).encode());
    Ok(Json(LetterPage { items: rows.into_iter().map(LetterView::from).collect(), next }))
}

fn of_another_list() -> angarium_base::Error {
    INVALID_CURSOR.err("this is not a cursor of this list; use `next` of a page")
}

async fn show_dead_letter(
    allowed: Allowed<ReadDeadLetters>,
    State(kit): State<Kit>,
    Path(path): Path<IdPath>,
    params: Params,
) -> Answer<Json<WholeLetter>> {
    params.only(&[])?;
    let row = operations::show(&kit, allowed.app_id(), &path.id).await?;
    Ok(Json(row.into()))
}

async fn show_dead_letter_body(
    allowed: Allowed<ReadDeadLetters>,
    State(kit): State<Kit>,
    Path(path): Path<IdPath>,
    params: Params,
) -> Answer<Response> {
    params.only(&[])?;
    let letter = operations::show(&kit, allowed.app_id(), &path.id).await?.letter;
    let media_type = HeaderValue::from_str(&letter.media_type).ok().filter(|value| !value.is_empty());
    // A stranger wrote it: no browser is to run it as a page of this server.
    let headers = [
        (header::CONTENT_TYPE, media_type.unwrap_or(HeaderValue::from_static(BYTES))),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((headers, letter.body).into_response())
}

async fn redrive_dead_letter(
    allowed: Allowed<ChangeDeadLetters>,
    State(kit): State<Kit>,
    Path(path): Path<IdPath>,
    whose: Whose,
    params: Params,
) -> Answer<Response> {
    params.only(&[])?;
    let by = whose.of(allowed.principal.clone());
    let redriven = operations::redrive_letter(&kit, by, allowed.app_id(), &path.id).await?;
    Ok(accepted(&redriven.link.clone(), redriven))
}

fn accepted(location: &str, body: impl serde::Serialize) -> Response {
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(body)).into_response()
}

async fn delete_dead_letter(
    allowed: Allowed<ChangeDeadLetters>,
    State(kit): State<Kit>,
    Path(path): Path<IdPath>,
    whose: Whose,
    params: Params,
) -> Answer<StatusCode> {
    params.only(&[])?;
    let by = whose.of(allowed.principal.clone());
    operations::delete_letter(&kit, by, allowed.app_id(), &path.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_dead_letters(
    allowed: Allowed<ChangeDeadLetters>,
    State(kit): State<Kit>,
    whose: Whose,
    params: Params,
    request: Request,
) -> Answer<Json<Deleted>> {
    params.only(&[])?;
    let asked: DeleteLetters = read_json(&kit, request).await?;
    if asked.dry_run {
        let matches = operations::count_matches(&kit, allowed.app_id(), &asked.filter()?).await?;
        return Ok(Json(Deleted { matches: Some(matches), deleted: 0, more: false }));
    }
    let by = whose.of(allowed.principal.clone());
    Ok(Json(operations::delete_letters(&kit, by, allowed.app_id(), &asked).await?))
}

async fn redrive_dead_letters(
    allowed: Allowed<ChangeDeadLetters>,
    State(kit): State<Kit>,
    whose: Whose,
    params: Params,
    request: Request,
) -> Answer<Response> {
    params.only(&[])?;
    let asked: RedriveLetters = read_json(&kit, request).await?;
    if asked.dry_run {
        let (filter, max) = (asked.filter()?, asked.max()?.unwrap_or(i64::MAX));
        asked.rate()?;
        let matches = operations::count_matches(&kit, allowed.app_id(), &filter).await?.min(max);
        return Ok(Json(Matches { matches }).into_response());
    }
    let by = whose.of(allowed.principal.clone());
    let run = operations::start_redrive(&kit, by, allowed.app_id(), &asked).await?;
    Ok(accepted(&operations::run_path(allowed.app_id(), &run.id), run))
}

/// A cursor of the list of redrives is `cid-` and the id.
fn place(params: &Params) -> Result<(String, i64)> {
    params.only(&[LIMIT.name, AFTER.name])?;
    let after = match params.given(AFTER.name) {
        None => String::new(),
        Some(text) => text
            .strip_prefix("cid-")
            .and_then(RedriveId::parse)
            .map(|id| id.to_string())
            .ok_or_else(of_another_list)?,
    };
    Ok((after, params.limit()? as i64))
}

async fn list_redrives(
    allowed: Allowed<ReadDeadLetters>,
    State(kit): State<Kit>,
    params: Params,
) -> Answer<Json<RunPage>> {
    let (after, limit) = place(&params)?;
    let mut runs = operations::list_runs(&kit, allowed.app_id(), after, limit + 1).await?;
    let more = runs.len() as i64 > limit;
    runs.truncate(limit as usize);
    let next = runs.last().filter(|_| more).map(|last| format!("cid-{}", last.id));
    Ok(Json(RunPage { items: runs.iter().map(RunView::from).collect(), next }))
}

async fn show_redrive(
    allowed: Allowed<ReadDeadLetters>,
    State(kit): State<Kit>,
    Path(path): Path<IdPath>,
    params: Params,
) -> Answer<Json<RunView>> {
    params.only(&[])?;
    let run = operations::show_run(&kit, allowed.app_id(), &path.id).await?;
    Ok(Json(RunView::from(&run)))
}

async fn stop_redrive(
    allowed: Allowed<ChangeDeadLetters>,
    State(kit): State<Kit>,
    Path(path): Path<IdPath>,
    whose: Whose,
    params: Params,
) -> Answer<Json<RunView>> {
    params.only(&[])?;
    let by = whose.of(allowed.principal.clone());
    let run = operations::stop_redrive(&kit, by, allowed.app_id(), &path.id).await?;
    Ok(Json(RunView::from(&run)))
}
