//! Who calls, and what they may do.
//!
//! A handler asks for [`Allowed<G>`]: proof that the caller holds grant `G` in the app that the path
//! names. There is no other way to come by an app in a handler. Another app, and an app that is not
//! there, answer the same 404.
//!
//! The directory of apps and keys is in memory, so that checking a key costs no I/O; the tenants slice
//! loads it at the start and keeps it current.

use crate::{Kit, http::Problem};
use angarium_base::{AppId, Error, KeyId, Result, clock::Millis, error::NOT_FOUND, secret};
use axum::extract::{FromRequestParts, Path};
use base64::Engine as _;
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use parking_lot::RwLock;
use serde::Deserialize;
use std::{
    collections::HashMap,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

angarium_base::codes! {
    /// There is no identity in the request, or it is not known, expired or revoked. Send `Authorization: Bearer <key>`; the keys were printed at the first start.
    UNAUTHENTICATED = "unauthenticated": Unauthenticated;
    /// The caller is known, and its role in this app does not allow this. The detail names the roles that do.
    FORBIDDEN = "forbidden": Forbidden;
}

/// What a principal may do in an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Admin,
    Operator,
    Sender,
    Viewer,
    /// Sends events and nothing else: safe inside an app or a page.
    Ingest,
}

impl Role {
    pub const ALL: [Role; 5] = [Role::Admin, Role::Operator, Role::Sender, Role::Viewer, Role::Ingest];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Operator => "operator",
            Role::Sender => "sender",
            Role::Viewer => "viewer",
            Role::Ingest => "ingest",
        }
    }

    pub fn parse(text: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// A tenant.
#[derive(Clone, Debug)]
pub struct App {
    pub id: AppId,
    pub name: String,
    pub bundle_id: String,
    pub created_at: Millis,
    /// Client addresses are kept without their last part.
    pub truncate_addresses: bool,
}

/// An API key, without its secret.
#[derive(Debug)]
pub struct Key {
    pub id: KeyId,
    pub app: AppId,
    pub name: String,
    pub role: Role,
    pub expires_at: Option<Millis>,
    /// When it was last presented; 0 if never since the start.
    pub last_used_at: AtomicI64,
}

/// Apps and keys, in memory.
#[derive(Clone, Default)]
pub struct Directory(Arc<RwLock<Entries>>);

#[derive(Default)]
struct Entries {
    apps: HashMap<AppId, Arc<App>>,
    by_bundle_id: HashMap<String, AppId>,
    keys: HashMap<[u8; 32], Arc<Key>>,
    default_app: Option<AppId>,
}

impl Directory {
    /// Takes in what the store holds, in place of what was there. The first app is the default one.
    pub fn replace(&self, apps: Vec<App>, keys: Vec<([u8; 32], Key)>) {
        let mut entries =
            Entries { default_app: apps.first().map(|app| app.id.clone()), ..Entries::default() };
        for app in apps {
            entries.by_bundle_id.insert(app.bundle_id.clone(), app.id.clone());
            entries.apps.insert(app.id.clone(), Arc::new(app));
        }
        entries.keys = keys.into_iter().map(|(hash, key)| (hash, Arc::new(key))).collect();
        *self.0.write() = entries;
    }

    /// The app by its id or its bundle id.
    pub fn app(&self, name: &str) -> Option<Arc<App>> {
        let entries = self.0.read();
        let id = AppId::parse(name).or_else(|| entries.by_bundle_id.get(name).cloned())?;
        entries.apps.get(&id).cloned()
    }

    /// The app that anonymous callers reach.
    pub fn default_app(&self) -> Option<Arc<App>> {
        let entries = self.0.read();
        entries.apps.get(entries.default_app.as_ref()?).cloned()
    }

    /// The key whose secret this is, unless it has expired.
    pub fn key(&self, presented: &str, now: Millis) -> Option<Arc<Key>> {
        let key = self.0.read().keys.get(&secret::hash(presented)).cloned()?;
        if key.expires_at.is_some_and(|at| at <= now) {
            return None;
        }
        key.last_used_at.store(now, Relaxed);
        Some(key)
    }
}

/// Which families of the compatibility surface take anonymous callers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous {
    pub t: bool,
}

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

/// Proof that the caller holds grant `G` in an app.
pub struct Allowed<G> {
    pub app: Arc<App>,
    /// `None` for an anonymous caller of a family that takes them.
    pub key: Option<Arc<Key>>,
    grant: PhantomData<G>,
}

impl<G: Grant> Allowed<G> {
    pub fn app_id(&self) -> &AppId {
        &self.app.id
    }

    /// Checks the key that the headers carry for the app that the path names.
    pub fn for_app(kit: &Kit, headers: &HeaderMap, name: &str) -> Result<Allowed<G>> {
        let presented = presented(headers, G::BASIC)?.ok_or_else(no_identity)?;
        let key = known(kit, &presented)?;
        let app = kit.directory.app(name).filter(|app| app.id == key.app).ok_or_else(unknown_app)?;
        Allowed::check(app, key)
    }

    /// Checks a key for its own app, where the path names none (the compatibility surface).
    pub fn for_own_app(kit: &Kit, presented: &str) -> Result<Allowed<G>> {
        let key = known(kit, presented)?;
        let app = kit.directory.app(key.app.as_str()).ok_or_else(unknown_app)?;
        Allowed::check(app, key)
    }

    /// The default app, for an anonymous caller. Only for families that config opens.
    pub fn anonymous(kit: &Kit) -> Result<Allowed<G>> {
        let app = kit.directory.default_app().ok_or_else(unknown_app)?;
        Ok(Allowed { app, key: None, grant: PhantomData })
    }

    fn check(app: Arc<App>, key: Arc<Key>) -> Result<Allowed<G>> {
        if !G::ROLES.contains(&key.role) {
            let roles: Vec<&str> = G::ROLES.iter().map(|role| role.as_str()).collect();
            return Err(FORBIDDEN.err(format!(
                "`{}` needs one of the roles {}; this key has the role {}",
                G::NAME,
                roles.join(", "),
                key.role.as_str()
            )));
        }
        Ok(Allowed { app, key: Some(key), grant: PhantomData })
    }
}

#[derive(Deserialize)]
struct AppPath {
    app: String,
}

impl<G: Grant> FromRequestParts<Kit> for Allowed<G> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, kit: &Kit) -> std::result::Result<Self, Problem> {
        // Who nobody knows is told so before anything is said about the app.
        let Path(AppPath { app }) = Path::from_request_parts(parts, kit).await.map_err(|_| unknown_app())?;
        Ok(Allowed::for_app(kit, &parts.headers, &app)?)
    }
}

/// A known caller, where the route is not about one app.
pub struct Caller(pub Arc<Key>);

impl FromRequestParts<Kit> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, kit: &Kit) -> std::result::Result<Self, Problem> {
        let presented = presented(&parts.headers, false)?.ok_or_else(no_identity)?;
        Ok(Caller(known(kit, &presented)?))
    }
}

/// The key that the `Authorization` header carries, if there is one.
///
/// # Errors
/// `unauthenticated` when there is a header and it cannot be read.
pub fn presented(headers: &HeaderMap, basic: bool) -> Result<Option<String>> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let unreadable = || UNAUTHENTICATED.err("the Authorization header cannot be read; send `Bearer <key>`");
    let (scheme, rest) = value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or_else(unreadable)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(rest.trim().to_owned()));
    }
    if basic && scheme.eq_ignore_ascii_case("basic") {
        let decoded =
            base64::engine::general_purpose::STANDARD.decode(rest.trim()).map_err(|_| unreadable())?;
        let pair = String::from_utf8(decoded).map_err(|_| unreadable())?;
        return Ok(pair.split(':').next().map(str::to_owned));
    }
    Err(unreadable())
}

fn known(kit: &Kit, presented: &str) -> Result<Arc<Key>> {
    kit.directory
        .key(presented, kit.clock.now())
        .ok_or_else(|| UNAUTHENTICATED.err("this key is not known, has expired or was revoked"))
}

fn no_identity() -> Error {
    UNAUTHENTICATED.err("this needs an identity: send `Authorization: Bearer <key>`")
}

fn unknown_app() -> Error {
    NOT_FOUND.err("there is no such app, or it is not yours")
}
