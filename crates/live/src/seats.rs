//! Places at the live feed: so many in all, of an app, and of one principal in an app.

use angarium_base::{AppId, Result};
use angarium_kit::{
    Kit,
    access::{Allowed, Grant},
};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

angarium_base::codes! {
    /// The server has as many live readers as it takes. Try again after `Retry-After` seconds.
    TOO_MANY_READERS = "too_many_readers": Unavailable;
    /// The app, or the key or user in it, has as many connections to the live feed as it may have. Close one, or try again after `Retry-After` seconds.
    TOO_MANY_CONNECTIONS = "too_many_connections": RateLimited;
}

const TRY_AGAIN_S: u32 = 5;

/// The places of this process that are taken.
#[derive(Default)]
pub struct Seats(Mutex<HashMap<AppId, App>>);

#[derive(Default)]
struct App {
    all: usize,
    by_principal: HashMap<String, usize>,
}

/// A place among the live readers, given back when it is dropped.
pub struct Seat {
    kit: Kit,
    seats: Arc<Seats>,
    app: AppId,
    /// [`angarium_kit::access::Principal::id`]; empty for who is anonymous.
    principal: String,
}

impl Seats {
    /// # Errors
    /// `too_many_readers`, `too_many_connections`.
    pub fn take<G: Grant>(self: &Arc<Seats>, kit: &Kit, allowed: &Allowed<G>) -> Result<Seat> {
        let limits = &kit.limits.live;
        let principal = allowed.principal.as_ref().map(|principal| principal.id()).unwrap_or_default();
        let mut apps = self.0.lock();
        if kit.metrics.live_readers.get() >= limits.readers as i64 {
            return Err(TOO_MANY_READERS
                .err("the server has as many live readers as it takes")
                .with_retry_after_s(TRY_AGAIN_S));
        }
        let refused = |what: &str, most: usize| {
            let what = format!("{what} {most} connections to the live feed, which is as many as it may have");
            TOO_MANY_CONNECTIONS.err(what).with_retry_after_s(TRY_AGAIN_S)
        };
        if let Some(app) = apps.get(allowed.app_id()) {
            if app.all >= limits.per_app {
                return Err(refused("the app has", limits.per_app));
            }
            if app.by_principal.get(&principal).is_some_and(|n| *n >= limits.per_principal) {
                return Err(refused("the key or user has", limits.per_principal));
            }
        }
        let app = apps.entry(allowed.app_id().clone()).or_default();
        app.all += 1;
        *app.by_principal.entry(principal.clone()).or_default() += 1;
        kit.metrics.live_readers.inc();
        Ok(Seat { kit: kit.clone(), seats: self.clone(), app: allowed.app_id().clone(), principal })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.kit.metrics.live_readers.dec();
        let mut apps = self.seats.0.lock();
        let Some(app) = apps.get_mut(&self.app) else { return };
        app.all -= 1;
        if let Some(n) = app.by_principal.get_mut(&self.principal) {
            *n -= 1;
            if *n == 0 {
                app.by_principal.remove(&self.principal);
            }
        }
        if app.all == 0 {
            apps.remove(&self.app);
        }
    }
}
