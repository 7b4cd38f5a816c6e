//! Apps, grants, keys and the audit over HTTP.

mod apps;
mod audit;
mod grants;
mod keys;

use crate::operations::By;
use angarium_base::{Result, error::INVALID_CURSOR};
use angarium_kit::{
    Kit,
    access::Principal,
    audit::Whence,
    grants,
    http::{Params, Problem, Routes, doc, read_json},
    idempotency::Once,
};
use axum::extract::{FromRequest, FromRequestParts, Request};
use serde::de::DeserializeOwned;

grants! {
    /// Read an app's name and settings.
    ReadApp = "apps:read": [Admin, Operator, Sender, Viewer];
    /// Change an app's name and settings.
    ChangeApp = "apps:change": [Admin];
    /// Delete an app and all that it owns.
    DeleteApp = "apps:delete": [Admin];
    /// See who has which role in an app.
    ReadGrants = "grants:read": [Admin, Operator];
    /// Give and take roles in an app.
    ChangeGrants = "grants:change": [Admin];
    /// Take roles in an app back: an admin everybody's, others their own.
    DeleteGrants = "grants:delete": [Admin, Operator, Sender, Viewer];
    /// See an app's keys, without their secrets.
    ReadKeys = "keys:read": [Admin, Operator];
    /// Make and revoke keys of an app.
    ChangeKeys = "keys:change": [Admin];
    /// See who changed what in an app.
    ReadAudit = "audit:read": [Admin];
}

pub fn routes() -> Routes {
    apps::routes().merge(grants::routes()).merge(keys::routes()).merge(audit::routes())
}

/// A JSON body, and who sends it: what an operation that changes something takes.
struct Asking<T> {
    by: By,
    body: T,
}

impl<T> Asking<T> {
    /// The same, of a caller who was let in.
    fn of(self, principal: Option<Principal>) -> (By, T) {
        (By { principal, ..self.by }, self.body)
    }
}

impl<T: DeserializeOwned> FromRequest<Kit> for Asking<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, kit: &Kit) -> std::result::Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        Params::from_request_parts(&mut parts, kit).await?.only(&[])?;
        let whence = Whence::from_request_parts(&mut parts, kit).await?;
        let by = By { principal: None, whence, once: parts.extensions.get::<Once>().cloned() };
        let request = Request::from_parts(parts, body);
        Ok(Asking { by, body: read_json(kit, request).await? })
    }
}

/// Who asks, where there is no body.
struct Whose(By);

impl FromRequestParts<Kit> for Whose {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        kit: &Kit,
    ) -> std::result::Result<Self, Problem> {
        let whence = Whence::from_request_parts(parts, kit).await?;
        Ok(Whose(By { principal: None, whence, once: None }))
    }
}

impl Whose {
    fn of(self, principal: Option<Principal>) -> By {
        By { principal, ..self.0 }
    }
}

/// Bytes of an id, generously.
const ID_MAX: usize = 100;

/// What a list by id is asked for: after which id, and how many.
struct Place {
    after: String,
    limit: u64,
}

impl Place {
    /// A cursor of such a list is `cid-` and the id.
    fn of(params: &Params) -> Result<Place> {
        params.only(&[doc::LIMIT.name, doc::AFTER.name])?;
        let after = match params.given(doc::AFTER.name) {
            None => "",
            Some(text) => text
                .strip_prefix("cid-")
                .filter(|id| (1..=ID_MAX).contains(&id.len()))
                .filter(|id| id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
                .ok_or_else(|| {
                    INVALID_CURSOR.err("this is not a cursor of this list; use `next` of a page")
                })?,
        };
        Ok(Place { after: after.to_owned(), limit: params.limit()? })
    }

    /// One more than a page has: whether there is more.
    fn fetch(&self) -> u64 {
        self.limit + 1
    }

    /// Cuts a page off, and says where the next one begins.
    fn page<T>(&self, mut items: Vec<T>, id: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let more = items.len() as u64 > self.limit;
        items.truncate(self.limit as usize);
        let next = items.last().filter(|_| more).map(|last| format!("cid-{}", id(last)));
        (items, next)
    }
}
