//! Apps, and the principals that hold roles in them: keys and users.

use super::{Directory, Role};
use angarium_base::{AppId, KeyId, clock::Millis};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

/// A tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    pub id: AppId,
    pub name: String,
    pub bundle_id: String,
    pub created_at: Millis,
    /// Client addresses are kept without their last part.
    pub truncate_addresses: bool,
    /// Whose pages may call from a browser: origins such as `https://shop.example`, or `*`.
    pub cors_origins: Vec<String>,
}

/// An API key, without its secret.
#[derive(Debug)]
pub struct Key {
    pub id: KeyId,
    pub app: AppId,
    pub name: String,
    pub role: Role,
    pub expires_at: Option<Millis>,
    /// When it was last presented; 0 if never.
    pub last_used_at: AtomicI64,
}

impl Key {
    /// Notes that it was presented.
    pub(super) fn used(&self, now: Millis) {
        self.last_used_at.store(now, Relaxed);
    }
}

/// A person or a service that an issuer of tokens vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub issuer: String,
    /// Empty where the issuer names none.
    pub tenant: String,
    pub subject: String,
    /// In lower case.
    pub email: Option<String>,
    /// Until when its token is taken: `exp`, and the leeway for clocks that differ.
    pub good_until: Option<Millis>,
}

impl User {
    /// As whom it may have been given a grant.
    pub fn holders(&self) -> Vec<Holder> {
        let User { issuer, tenant, subject, email, .. } = self.clone();
        let mut holders = vec![Holder::Subject { issuer, tenant, subject }];
        holders.extend(email.map(Holder::Email));
        holders
    }
}

/// Who a grant is given to: a subject within its issuer and tenant, or whoever has an e-mail address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    Subject { issuer: String, tenant: String, subject: String },
    Email(String),
}

/// Who calls.
#[derive(Clone, Debug)]
pub enum Principal {
    Key(Arc<Key>),
    User(Arc<User>),
}

impl Principal {
    /// A name that is this principal's alone and stays the same: what it made is kept under it.
    pub fn id(&self) -> String {
        match self {
            Principal::Key(key) => key.id.to_string(),
            // No part has control characters, so no two users share a name.
            Principal::User(user) => format!("user:{}\n{}\n{}", user.issuer, user.tenant, user.subject),
        }
    }

    /// The roles it has in an app; none if the app is not its own.
    pub fn roles_in(&self, directory: &Directory, app: &AppId) -> Roles {
        match self {
            Principal::Key(key) if key.app == *app => Roles::one(key.role),
            Principal::Key(_) => Roles::default(),
            Principal::User(user) => directory.roles_of(user, app),
        }
    }
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    pub fn one(role: Role) -> Roles {
        Roles(1 << role as u8)
    }

    pub fn add(&mut self, role: Role) {
        self.0 |= 1 << role as u8;
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    pub fn any(self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.has(*role))
    }

    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}
