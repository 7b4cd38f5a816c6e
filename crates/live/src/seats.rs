//! Who is connected to the live feed: so many in all, of an app, and of one principal in an app.

use angarium_base::{AppId, Result, clock::Millis};
use angarium_kit::{
    Kit,
    access::{Allowed, Grant},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

angarium_base::codes! {
    /// The server has as many live readers as it takes. Try again after `Retry-After` seconds.
    TOO_MANY_READERS = "too_many_readers": Unavailable;
    /// The app, or the key or user in it, has as many connections to the live feed as it may have. Close one, or try again after `Retry-After` seconds.
    TOO_MANY_CONNECTIONS = "too_many_connections": RateLimited;
}

const TRY_AGAIN_S: u32 = 5;

/// One connection.
#[allow(dead_code, reason = "read by who shows who is connected")]
pub struct Connected {
    /// [`angarium_kit::access::Principal::id`]; empty for who is anonymous.
    pub principal: String,
    /// `websocket`, `sse`, `centrifugo`.
    pub protocol: &'static str,
    pub since: Millis,
    /// The names of the streams it follows.
    pub streams: Mutex<Vec<String>>,
}

/// All connections of this process.
#[derive(Default)]
pub struct Seats(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    next: u64,
    apps: HashMap<AppId, App>,
}

#[derive(Default)]
struct App {
    connected: BTreeMap<u64, Arc<Connected>>,
    by_principal: HashMap<String, usize>,
}

/// A place among the live readers, given back when it is dropped.
pub struct Seat {
    kit: Kit,
    seats: Arc<Seats>,
    app: AppId,
    number: u64,
    connected: Arc<Connected>,
}

impl Seats {
    /// # Errors
    /// `too_many_readers`, `too_many_connections`.
    pub fn take<G: Grant>(
        self: &Arc<Seats>,
        kit: &Kit,
        allowed: &Allowed<G>,
        protocol: &'static str,
    ) -> Result<Seat> {
        let limits = &kit.limits.live;
        let principal = allowed.principal.as_ref().map(|principal| principal.id()).unwrap_or_default();
        let mut taken = self.0.lock();
        if kit.metrics.live_readers.get() >= limits.readers as i64 {
            return Err(TOO_MANY_READERS
                .err("the server has as many live readers as it takes")
                .with_retry_after_s(TRY_AGAIN_S));
        }
        let refused = |what: &str, most: usize| {
            let what = format!("{what} {most} connections to the live feed, which is as many as it may have");
            TOO_MANY_CONNECTIONS.err(what).with_retry_after_s(TRY_AGAIN_S)
        };
        if let Some(app) = taken.apps.get(allowed.app_id()) {
            if app.connected.len() >= limits.per_app {
                return Err(refused("the app has", limits.per_app));
            }
            if app.by_principal.get(&principal).is_some_and(|n| *n >= limits.per_principal) {
                return Err(refused("the key or user has", limits.per_principal));
            }
        }
        let number = taken.next;
        taken.next += 1;
        let since = kit.clock.now();
        let connected =
            Arc::new(Connected { principal: principal.clone(), protocol, since, streams: Mutex::default() });
        let app = taken.apps.entry(allowed.app_id().clone()).or_default();
        app.connected.insert(number, connected.clone());
        *app.by_principal.entry(principal).or_default() += 1;
        kit.metrics.live_readers.inc();
        let app = allowed.app_id().clone();
        Ok(Seat { kit: kit.clone(), seats: self.clone(), app, number, connected })
    }

    /// Who is connected to an app's feed here, who came first being first.
    #[allow(dead_code, reason = "for who shows who is connected")]
    pub fn connected(&self, app: &AppId) -> Vec<Arc<Connected>> {
        self.0.lock().apps.get(app).map_or_else(Vec::new, |app| app.connected.values().cloned().collect())
    }
}

impl Seat {
    /// What is known of this connection.
    pub fn connected(&self) -> &Connected {
        &self.connected
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.kit.metrics.live_readers.dec();
        let mut taken = self.seats.0.lock();
        let Some(app) = taken.apps.get_mut(&self.app) else { return };
        app.connected.remove(&self.number);
        if let Some(n) = app.by_principal.get_mut(&self.connected.principal) {
            *n -= 1;
            if *n == 0 {
                app.by_principal.remove(&self.connected.principal);
            }
        }
        if app.connected.is_empty() {
            taken.apps.remove(&self.app);
        }
    }
}
