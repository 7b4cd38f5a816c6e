//! Apps, keys and grants, in memory.

use super::{
    Role,
    principal::{App, Holder, Key, Roles, User},
};
use angarium_base::{AppId, KeyId, clock::Millis, secret};
use parking_lot::RwLock;
use percent_encoding::percent_decode_str;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::sync::watch;

/// Apps, keys and grants. Cloning it is cheap, and clones are one.
#[derive(Clone)]
pub struct Directory(Arc<Shared>);

struct Shared {
    index: RwLock<Index>,
    /// Rises with every change.
    version: watch::Sender<u64>,
}

/// What the store holds.
#[derive(Default)]
pub struct Entries {
    /// Rises with every change in the store; read before the rest.
    pub version: i64,
    pub apps: Vec<App>,
    /// The app that anonymous callers reach, if there is one.
    pub default_app: Option<AppId>,
    pub keys: Vec<KeyEntry>,
    pub grants: Vec<(AppId, Holder, Role)>,
}

/// A key and the SHA-256 of its secret.
pub struct KeyEntry {
    pub hash: [u8; 32],
    pub key: Key,
}

#[derive(Default)]
struct Index {
    apps: HashMap<AppId, Arc<App>>,
    by_bundle_id: HashMap<String, AppId>,
    keys: HashMap<[u8; 16], Stored>,
    by_key_id: HashMap<KeyId, Arc<Key>>,
    grants: HashMap<Holder, Vec<(AppId, Role)>>,
    default_app: Option<AppId>,
    version: i64,
}

struct Stored {
    hash: [u8; 32],
    key: Arc<Key>,
}

impl Default for Directory {
    fn default() -> Directory {
        Directory(Arc::new(Shared { index: RwLock::default(), version: watch::Sender::new(0) }))
    }
}

impl Directory {
    /// Takes in what the store holds, in place of what was there; not what is older than that, as two who have
    /// changed something and read it may come in either order.
    pub fn replace(&self, entries: Entries) {
        let Entries { version, default_app, .. } = entries;
        let mut index = Index { version, default_app, ..Index::default() };
        for app in entries.apps {
            index.by_bundle_id.insert(app.bundle_id.clone(), app.id.clone());
            index.apps.insert(app.id.clone(), Arc::new(app));
        }
        for (app, holder, role) in entries.grants {
            index.grants.entry(holder).or_default().push((app, role));
        }
        let mut held = self.0.index.write();
        if version < held.version {
            return;
        }
        for KeyEntry { hash, key } in entries.keys {
            // When a key was last used is known here before it is in the store.
            if let Some(before) = held.keys.get(&half(&hash)) {
                key.last_used_at.fetch_max(before.key.last_used_at.load(Relaxed), Relaxed);
            }
            let key = Arc::new(key);
            index.by_key_id.insert(key.id.clone(), key.clone());
            index.keys.insert(half(&hash), Stored { hash, key });
        }
        *held = index;
        drop(held);
        self.0.version.send_modify(|version| *version += 1);
    }

    /// Tells of changes: whoever holds a connection open looks then whether it is still allowed to.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// The app by its id or its bundle id.
    pub fn app(&self, name: &str) -> Option<Arc<App>> {
        let index = self.0.index.read();
        let id = AppId::parse(name).or_else(|| index.by_bundle_id.get(name).cloned())?;
        index.apps.get(&id).cloned()
    }

    /// The app that a path names, as the router reads it: `/v1/apps/{app}/…`.
    pub fn app_of_path(&self, path: &str) -> Option<Arc<App>> {
        let name = path.strip_prefix("/v1/apps/")?.split('/').next()?;
        self.app(&percent_decode_str(name).decode_utf8().ok()?)
    }

    /// Every app, by id: for the server's console.
    pub fn apps(&self) -> Vec<Arc<App>> {
        let mut apps: Vec<_> = self.0.index.read().apps.values().cloned().collect();
        apps.sort_by(|a, b| a.id.cmp(&b.id));
        apps
    }

    /// The app that anonymous callers reach.
    pub fn default_app(&self) -> Option<Arc<App>> {
        let index = self.0.index.read();
        index.apps.get(index.default_app.as_ref()?).cloned()
    }

    /// The key whose secret this is, unless it has expired.
    pub fn key(&self, presented: &str, now: Millis) -> Option<Arc<Key>> {
        let hash = secret::hash(presented);
        let key = {
            let index = self.0.index.read();
            let stored = index.keys.get(&half(&hash))?;
            same(&stored.hash, &hash).then(|| stored.key.clone())?
        };
        if key.expires_at.is_some_and(|at| at <= now) {
            return None;
        }
        key.used(now);
        Some(key)
    }

    /// The key of this id, unless it has expired: for what was made in its name.
    pub fn key_by_id(&self, id: &KeyId, now: Millis) -> Option<Arc<Key>> {
        let key = self.0.index.read().by_key_id.get(id).cloned()?;
        key.expires_at.is_none_or(|at| at > now).then_some(key)
    }

    /// Whether the key is still there and has not expired.
    pub fn has_key(&self, id: &KeyId, now: Millis) -> bool {
        self.key_expires(id).is_some_and(|expires_at| expires_at.is_none_or(|at| at > now))
    }

    /// When the key expires, if ever; `None` when it is not there.
    pub fn key_expires(&self, id: &KeyId) -> Option<Option<Millis>> {
        self.0.index.read().by_key_id.get(id).map(|key| key.expires_at)
    }

    /// The roles of a user in an app.
    pub fn roles_of(&self, user: &User, app: &AppId) -> Roles {
        let mut roles = Roles::default();
        self.each_grant(user, |of, role| {
            if of == app {
                roles.add(role);
            }
        });
        roles
    }

    /// The apps that a user has a grant on, by id.
    pub fn apps_of(&self, user: &User) -> Vec<Arc<App>> {
        let mut ids = Vec::new();
        self.each_grant(user, |app, _| ids.push(app.clone()));
        ids.sort();
        ids.dedup();
        let index = self.0.index.read();
        ids.iter().filter_map(|id| index.apps.get(id).cloned()).collect()
    }

    fn each_grant(&self, user: &User, mut f: impl FnMut(&AppId, Role)) {
        let index = self.0.index.read();
        for holder in user.holders() {
            for (app, role) in index.grants.get(&holder).into_iter().flatten() {
                f(app, *role);
            }
        }
    }

    /// Whether a page of `origin` may call some app: a preflight does not say which.
    pub fn is_known_origin(&self, origin: &str) -> bool {
        let index = self.0.index.read();
        index.apps.values().any(|app| app.takes_origin(origin))
    }

    /// When keys were last used, of those that were.
    pub fn last_uses(&self) -> Vec<(AppId, KeyId, Millis)> {
        let index = self.0.index.read();
        let uses = index.keys.values().map(|stored| {
            (stored.key.app.clone(), stored.key.id.clone(), stored.key.last_used_at.load(Relaxed))
        });
        uses.filter(|(_, _, at)| *at > 0).collect()
    }
}

impl App {
    /// Whether its settings let pages of `origin` call.
    pub fn takes_origin(&self, origin: &str) -> bool {
        self.cors_origins.iter().any(|taken| taken == "*" || taken == origin)
    }
}

/// What a hash is found by. That a look-up may take longer for one half than for another says nothing of a secret.
fn half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

/// Compares in a time that does not depend on where two hashes differ.
fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    std::hint::black_box(one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b))) == 0
}
