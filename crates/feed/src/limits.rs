//! Rate limits by token buckets: one for all processes in Redis, or one for this process.
//!
//! With Redis gone, or slower than 50 ms, this process limits for itself with the same rule, and
//! [`Decision::shared`] says so. A caller never waits longer than that, and is never refused because of it.
//!
//! A bucket belongs to a key *and* a rule, so several rules may apply to one key.

mod local;
pub(crate) mod rules;

pub use rules::{Decision, Rule};

use crate::redis::Shared;
use angarium_base::{Clock, secret};
use std::{borrow::Cow, sync::Arc};

/// Keys that are longer are kept as their hash.
const KEY_MAX_BYTES: usize = 200;

/// A handle on the limits. Cloning it is cheap, and clones count together.
#[derive(Clone)]
pub struct Limiter {
    clock: Clock,
    shared: Option<Shared>,
    local: Arc<local::Buckets>,
}

impl Limiter {
    pub(crate) fn new(clock: Clock, shared: Option<Shared>) -> Limiter {
        Limiter { clock, shared, local: Arc::default() }
    }

    /// A limiter of this process alone.
    pub fn local(clock: Clock) -> Limiter {
        Limiter::new(clock, None)
    }

    /// Takes `cost` tokens out of the bucket of `key` and `rule`, all or none. A cost of 0 only looks.
    pub async fn check(&self, key: &str, rule: Rule, cost: u64) -> Decision {
        let now = self.clock.now();
        let key = match key.len() > KEY_MAX_BYTES {
            true => Cow::Owned(secret::hex(&secret::hash(key))),
            false => Cow::Borrowed(key),
        };
        let name = format!("{key}:{rule}");
        if let Some(shared) = &self.shared
            && let Some(decision) = shared.take(&name, rule, cost, now).await
        {
            return decision;
        }
        self.local.take(&name, rule, cost, now)
    }
}
