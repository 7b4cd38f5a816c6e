//! Rate limits: token buckets per key or user, per app, and per client address.
//!
//! Which limits hold comes from the configuration and can change while the server runs. With a feed on Redis all
//! processes count together, otherwise each for itself. A caller is told where it stands (`RateLimit` and
//! `RateLimit-Policy`, <https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/>) whenever a limit
//! holds for it, and what to wait for when it is refused.

use crate::access::{App, Asked, Principal};
use angarium_base::Result;
use angarium_feed::limits::{Decision, Limiter, Rule};
use http::{HeaderMap, HeaderValue};
use parking_lot::{Mutex, RwLock};
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

angarium_base::codes! {
    /// A rate limit is used up: the detail names which one, and `Retry-After` when there is room again. `RateLimit` headers of every answer say how much is left.
    RATE_LIMITED = "rate_limited": RateLimited;
}

/// The limits in force; `None` limits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests of one key or one user.
    pub per_key: Option<Rule>,
    /// Requests in one app.
    pub per_app: Option<Rule>,
    /// Requests from one client address, whoever calls.
    pub per_address: Option<Rule>,
}

/// Counts requests, and refuses those beyond the limits. Cloning it is cheap, and clones are one.
#[derive(Clone)]
pub struct Gate(Arc<Shared>);

struct Shared {
    limiter: Limiter,
    rates: RwLock<Rates>,
    is_on: AtomicBool,
}

/// Where a request stands with the limits that hold for it.
#[derive(Clone, Default)]
pub struct Standing(Arc<Mutex<Vec<Counted>>>);

/// A limit that a request was counted against, and what came of it.
type Counted = (&'static str, Rule, Decision);

impl Gate {
    pub fn new(limiter: Limiter, rates: Rates) -> Gate {
        let gate = Gate(Arc::new(Shared { limiter, rates: RwLock::default(), is_on: AtomicBool::default() }));
        gate.change(rates);
        gate
    }

    /// Lets other limits hold from now on.
    pub fn change(&self, rates: Rates) {
        *self.0.rates.write() = rates;
        self.0.is_on.store(rates != Rates::default(), Relaxed);
    }

    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Relaxed)
    }

    /// Lets in a request to an app, of an anonymous caller if there is no principal.
    ///
    /// # Errors
    /// `rate_limited`.
    pub async fn enter(&self, asked: Asked<'_>, app: &App, principal: Option<&Principal>) -> Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        let rates = *self.0.rates.read();
        if let Some(principal) = principal {
            self.count(asked, "key", rates.per_key, &principal.id()).await?;
        }
        self.count(asked, "app", rates.per_app, app.id.as_str()).await
    }

    /// Lets in a request that is about no app.
    ///
    /// # Errors
    /// `rate_limited`.
    pub async fn enter_alone(&self, asked: Asked<'_>, principal: &Principal) -> Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        let rule = self.0.rates.read().per_key;
        self.count(asked, "key", rule, &principal.id()).await
    }

    /// Lets in a request of a client address. IPv6 addresses count by their network of 64 bits, which one client has.
    ///
    /// # Errors
    /// `rate_limited`.
    pub async fn enter_from(&self, asked: Asked<'_>, address: IpAddr) -> Result<()> {
        let rule = self.0.rates.read().per_address;
        let name = match address.to_canonical() {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("{:x?}", &v6.segments()[..4]),
        };
        self.count(asked, "address", rule, &name).await
    }

    async fn count(
        &self,
        asked: Asked<'_>,
        what: &'static str,
        rule: Option<Rule>,
        name: &str,
    ) -> Result<()> {
        let Some(rule) = rule else { return Ok(()) };
        let decision = self.0.limiter.check(&format!("{what}:{name}"), rule, 1).await;
        if let Some(standing) = asked.extensions.get::<Standing>() {
            standing.0.lock().push((what, rule, decision));
        }
        if decision.allowed {
            return Ok(());
        }
        let seconds = u32::try_from(decision.retry_ms.div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        let whose = match what {
            "key" => "this key or user",
            "app" => "this app",
            _ => "this client address",
        };
        let detail = format!(
            "{whose} may make {} requests in {} s, and has; there is room again in {seconds} s. \
             Send batches, or ask who runs this server for a higher limit (`limits.per_{what}`)",
            rule.limit_per_period(),
            rule.period().as_secs_f64(),
        );
        Err(RATE_LIMITED.err(detail).with_retry_after_s(seconds))
    }
}

impl Standing {
    /// Tells the caller in the headers of the answer.
    pub fn write(&self, headers: &mut HeaderMap) {
        let held = self.0.lock();
        let list = |one: fn(&Counted) -> String| {
            let text = held.iter().map(one).collect::<Vec<_>>().join(", ");
            HeaderValue::from_str(&text).ok().filter(|_| !held.is_empty())
        };
        let policy = list(|(what, rule, decision)| {
            format!("\"{what}\";q={};w={}", decision.limit, window_s(*rule, decision.limit))
        });
        let standing = list(|(what, _, decision)| {
            format!("\"{what}\";r={};t={}", decision.remaining, decision.reset_ms.div_ceil(1000))
        });
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", standing)] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }
}

/// The seconds in which a whole bucket comes back: so many requests in so much time is what a caller may count on.
fn window_s(rule: Rule, bucket: u64) -> u64 {
    let a_bucket_ms =
        u128::from(bucket) * rule.period().as_millis() / u128::from(rule.limit_per_period().max(1));
    u64::try_from(a_bucket_ms.div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_window_is_that_of_the_whole_bucket() {
        let rule = |limit, ms| Rule::new(limit, Duration::from_millis(ms));
        assert_eq!(window_s(rule(1000, 1000), 1000), 1);
        assert_eq!(window_s(rule(10, 1000), 50), 5, "a larger bucket takes longer to fill");
        assert_eq!(window_s(rule(100, 60_000), 20), 12, "a smaller one is full sooner");
        assert_eq!(window_s(rule(10, 500), 10), 1);
    }
}
