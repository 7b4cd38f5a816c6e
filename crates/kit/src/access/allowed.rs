//! Proof that a caller may do something.

use super::{
    App, Credential, FORBIDDEN, Grant, Principal, Role, UNAUTHENTICATED, credential::who, principal::Roles,
};
use crate::{Kit, http::Problem};
use angarium_base::{AppId, Error, Result, error::NOT_FOUND};
use axum::extract::{FromRequestParts, Path, Request};
use http::{Extensions, HeaderMap, Method, Uri, request::Parts};
use serde::Deserialize;
use std::{marker::PhantomData, sync::Arc, time::Duration};
use tokio::time::timeout;

/// What of a request says who calls.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    pub extensions: &'a Extensions,
}

impl<'a> From<&'a Parts> for Asked<'a> {
    fn from(parts: &'a Parts) -> Self {
        let Parts { method, uri, headers, extensions, .. } = parts;
        Asked { method, uri, headers, extensions }
    }
}

impl<'a> From<&'a mut Parts> for Asked<'a> {
    fn from(parts: &'a mut Parts) -> Self {
        let Parts { method, uri, headers, extensions, .. } = parts;
        Asked { method, uri, headers, extensions }
    }
}

impl<'a> From<&'a Request> for Asked<'a> {
    fn from(request: &'a Request) -> Self {
        let (method, uri) = (request.method(), request.uri());
        Asked { method, uri, headers: request.headers(), extensions: request.extensions() }
    }
}

/// How often those that hold a connection open look at least.
const LOOK: Duration = Duration::from_secs(60);

/// Proof that the caller holds grant `G` in an app.
pub struct Allowed<G> {
    pub app: Arc<App>,
    /// `None` for an anonymous caller of a family that takes them.
    pub principal: Option<Principal>,
    roles: Roles,
    grant: PhantomData<G>,
}

impl<G> Clone for Allowed<G> {
    fn clone(&self) -> Self {
        let (app, principal) = (self.app.clone(), self.principal.clone());
        Allowed { app, principal, roles: self.roles, grant: PhantomData }
    }
}

impl<G: Grant> Allowed<G> {
    pub fn app_id(&self) -> &AppId {
        &self.app.id
    }

    /// Whether the caller has this role in the app.
    pub fn is(&self, role: Role) -> bool {
        self.roles.has(role)
    }

    /// Whether what the caller says of others counts: a write key is in everybody's hands.
    pub fn speaks_for_others(&self) -> bool {
        self.roles.any(&[Role::Admin, Role::Operator, Role::Sender])
    }

    /// Checks who calls for the app that the path names.
    ///
    /// # Errors
    /// Who nobody knows is told so (401) before anything is said about the app; then 404 and 403.
    pub async fn for_app(kit: &Kit, asked: impl Into<Asked<'_>>, name: &str) -> Result<Allowed<G>> {
        let asked = asked.into();
        let principal = who(kit, asked, G::BASIC).await?;
        let app = kit.directory.app(name);
        Allowed::check(kit, asked, app, principal).await
    }

    /// Checks a principal that is known already for the app of this name.
    ///
    /// # Errors
    /// As [`Allowed::for_app`], but for 401.
    pub async fn for_known(
        kit: &Kit,
        asked: impl Into<Asked<'_>>,
        name: &str,
        principal: Principal,
    ) -> Result<Allowed<G>> {
        let app = kit.directory.app(name);
        Allowed::check(kit, asked.into(), app, principal).await
    }

    /// Checks a credential for its own app, where the path names none (the compatibility surface).
    ///
    /// # Errors
    /// As [`Allowed::for_app`]; and `forbidden` for a user of several apps.
    pub async fn for_own_app(
        kit: &Kit,
        asked: impl Into<Asked<'_>>,
        credential: &Credential,
    ) -> Result<Allowed<G>> {
        let principal = credential.principal(kit).await?;
        let app = match &principal {
            Principal::Key(key) => kit.directory.app(key.app.as_str()),
            Principal::User(user) => {
                let mut apps = kit.directory.apps_of(user);
                if apps.len() > 1 {
                    return Err(FORBIDDEN.err(
                        "you have grants on several apps, and this path names none; use a key, or /v1/apps/{app}/…",
                    ));
                }
                apps.pop()
            }
        };
        Allowed::check(kit, asked.into(), app, principal).await
    }

    /// The default app, for an anonymous caller. Only for families that config opens.
    pub async fn anonymous(kit: &Kit, asked: impl Into<Asked<'_>>) -> Result<Allowed<G>> {
        let app = kit.directory.default_app().ok_or_else(unknown_app)?;
        kit.gate.enter(asked.into(), &app, None).await?;
        Ok(Allowed { app, principal: None, roles: Roles::default(), grant: PhantomData })
    }

    /// Whether the proof would be given still: for those that hold a connection open.
    pub fn still_holds(&self, kit: &Kit) -> bool {
        let Some(app) = kit.directory.app(self.app.id.as_str()) else { return false };
        match &self.principal {
            None => true,
            Some(Principal::Key(key)) => kit.directory.has_key(&key.id, kit.clock.now()),
            Some(Principal::User(user)) => {
                user.good_until.is_none_or(|at| at > kit.clock.now())
                    && kit.directory.roles_of(user, &app.id).any(G::ROLES)
            }
        }
    }

    /// Returns when the proof would not be given any more: the app, the key or the grant is gone, or has expired.
    pub async fn ended(&self, kit: &Kit) {
        let mut changes = kit.directory.changes();
        while self.still_holds(kit) {
            // A change, or that the time of a key or a token is over.
            let _ = timeout(self.time_left(kit).min(LOOK), changes.changed()).await;
        }
    }

    fn time_left(&self, kit: &Kit) -> Duration {
        let expires_at = match &self.principal {
            None => None,
            Some(Principal::Key(key)) => kit.directory.key_expires(&key.id).flatten(),
            Some(Principal::User(user)) => user.good_until,
        };
        let left_ms = expires_at.map_or(u64::MAX, |at| (at - kit.clock.now()).max(0).cast_unsigned() + 1);
        Duration::from_millis(left_ms)
    }

    async fn check(
        kit: &Kit,
        asked: Asked<'_>,
        app: Option<Arc<App>>,
        principal: Principal,
    ) -> Result<Allowed<G>> {
        let app = app.ok_or_else(unknown_app)?;
        let roles = principal.roles_in(&kit.directory, &app.id);
        if roles.is_empty() {
            return Err(unknown_app());
        }
        if !roles.any(G::ROLES) {
            let named = |roles: Vec<&str>| roles.join(", ");
            return Err(FORBIDDEN.err(format!(
                "`{}` needs one of the roles {}; you have: {}. An admin of the app can give you one",
                G::NAME,
                named(G::ROLES.iter().map(|role| role.as_str()).collect()),
                named(roles.iter().map(Role::as_str).collect()),
            )));
        }
        kit.gate.enter(asked, &app, Some(&principal)).await?;
        Ok(Allowed { app, principal: Some(principal), roles, grant: PhantomData })
    }
}

#[derive(Deserialize)]
struct AppPath {
    app: String,
}

impl<G: Grant> FromRequestParts<Kit> for Allowed<G> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, kit: &Kit) -> std::result::Result<Self, Problem> {
        // No app has a name that is not UTF-8.
        let path = Path::from_request_parts(parts, kit).await;
        let name = path.map(|Path(AppPath { app })| app).unwrap_or_default();
        Ok(Allowed::for_app(kit, parts, &name).await?)
    }
}

/// A known caller, where the route is not about one app.
pub struct Caller(pub Principal);

impl FromRequestParts<Kit> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, kit: &Kit) -> std::result::Result<Self, Problem> {
        let principal = who(kit, parts.into(), false).await?;
        kit.gate.enter_alone(Asked::from(parts), &principal).await?;
        Ok(Caller(principal))
    }
}

/// An anonymous caller where none are taken.
pub fn nobody(detail: &'static str) -> Error {
    UNAUTHENTICATED.err(detail)
}

fn unknown_app() -> Error {
    NOT_FOUND.err("there is no such app, or it is not yours")
}
