//! What can be allowed, and what a route asks for before its handler runs.

use super::{Allowed, Caller, Role};
use crate::{Kit, http::Problem};
use axum::extract::FromRequestParts;
use http::request::Parts;
use std::marker::PhantomData;

/// Something a caller can be allowed to do in an app.
pub trait Grant: Send + Sync + 'static {
    const NAME: &'static str;
    const ROLES: &'static [Role];
    /// Whether a key may also come as `Authorization: Basic <key>:`, Segment's habit on ingest paths.
    const BASIC: bool = false;
}

/// Declares grants: a type each, its name, and the roles that hold it.
#[macro_export]
macro_rules! grants {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal: [$($role:ident),+] $(, basic $basic:literal)?;)+) => {$(
        $(#[doc = $doc])+
        pub struct $name;

        impl $crate::access::Grant for $name {
            const NAME: &'static str = $text;
            const ROLES: &'static [$crate::access::Role] = &[$($crate::access::Role::$role),+];
            $(const BASIC: bool = $basic;)?
        }
    )+};
}

/// What a route asks of its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing: whoever reaches the port may ask.
    Public,
    /// A known key or user.
    Known,
    /// A grant in the app that the path names.
    InApp { grant: &'static str, roles: &'static [Role], basic: bool },
    /// A grant in the caller's own app: the path names none, and the key may come in the query or in the body.
    ByKey { grant: &'static str, roles: &'static [Role] },
}

/// The first argument of every handler: what it asks of its callers.
///
/// [`crate::http::Routes`] takes no other handlers, so a route without a permission does not compile.
pub trait Guarded {
    const GUARD: Guard;
}

impl<G: Grant> Guarded for Allowed<G> {
    const GUARD: Guard = Guard::InApp { grant: G::NAME, roles: G::ROLES, basic: G::BASIC };
}

impl Guarded for Caller {
    const GUARD: Guard = Guard::Known;
}

/// A handler that whoever reaches the port may have answer: health, documents, pages without anybody's data.
pub struct Public;

impl Guarded for Public {
    const GUARD: Guard = Guard::Public;
}

impl FromRequestParts<Kit> for Public {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, _: &Kit) -> Result<Self, Problem> {
        Ok(Public)
    }
}

/// A handler that finds the key itself, in the query or in the body, and asks for `G` in the key's own app.
pub struct ByKey<G>(PhantomData<G>);

impl<G: Grant> Guarded for ByKey<G> {
    const GUARD: Guard = Guard::ByKey { grant: G::NAME, roles: G::ROLES };
}

impl<G: Grant> FromRequestParts<Kit> for ByKey<G> {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, _: &Kit) -> Result<Self, Problem> {
        Ok(ByKey(PhantomData))
    }
}
