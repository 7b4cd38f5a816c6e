//! Who calls, and what they may do.
//!
//! ```text
//!  Authorization ─▶ credential ─▶ principal (key or user) ─▶ grant on the app of the path ─▶ Allowed<G>
//!        none of it known: 401          no grant: 404, as an unknown app     not this role: 403
//! ```
//!
//! A handler asks for [`Allowed<G>`]: proof that the caller holds grant `G` in an app. There is no other way to come
//! by an app in a handler. Another app, and an app that is not there, answer the same 404.
//!
//! The [`Directory`] of apps, keys and grants is in memory, so that checking costs no I/O; the tenants slice loads it
//! at the start and keeps it current.

mod allowed;
mod credential;
mod directory;
mod grant;
mod page;
mod principal;
mod proxy;
mod role;

pub use allowed::{Allowed, Asked, Caller, nobody};
pub(crate) use credential::who;
pub use credential::{Credential, PROXY_ISSUER, is_email, presented};
pub use directory::{Directory, Entries, KeyEntry};
pub use grant::{ByKey, Grant, Guard, Guarded, Public};
pub use page::check_open;
pub use principal::{App, Holder, Key, Principal, Roles, User};
pub use proxy::Proxy;
pub use role::Role;

angarium_base::codes! {
    /// There is no identity in the request, or it is not known, expired or revoked. Send `Authorization: Bearer <key or token>`; the keys were printed at the first start.
    UNAUTHENTICATED = "unauthenticated": Unauthenticated;
    /// The caller is known, and its role in this app does not allow this. The detail names the roles that do.
    FORBIDDEN = "forbidden": Forbidden;
    /// A page of another origin sent this in the name of a person whom the proxy (`auth.proxy`) vouches for. An admin can name the origin in the app's `cors_origins`; a page with a key or a token of its own needs none of this.
    FOREIGN_ORIGIN = "foreign_origin": Forbidden;
}

/// Which families of the compatibility surface take anonymous callers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous {
    /// Tracking calls: `/t/…`.
    pub t: bool,
    /// Messages: `/dummy` and `/ws`.
    pub messages: bool,
    /// Whether the configuration names `messages`; otherwise they are open to this machine alone.
    pub messages_named: bool,
    /// Whether others than this machine reach the listener.
    pub is_public: bool,
}

impl Anonymous {
    /// The families by name.
    pub fn families(self) -> Vec<&'static str> {
        let families = [("t", self.t), ("messages", self.messages)];
        families.iter().filter(|(_, open)| *open).map(|(name, _)| *name).collect()
    }
}
