//! What a token bucket decides. Pure, and in whole numbers, so that nothing is lost by rounding.
//!
//! A bucket holds what was used, in units of 1/(length of the period in ms) tokens: a token is `per_ms` units,
//! and in each millisecond `limit` units come back.

use angarium_base::clock::Millis;
use std::{fmt, time::Duration};

/// The longest period, 31 days; keeps every number below 2^53 for up to three million tokens.
const PER_MAX_MS: u64 = 31 * 24 * 60 * 60 * 1000;

/// `limit` tokens come back in each period; at most `burst` can be taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    limit: u64,
    per_ms: u64,
    burst: u64,
}

/// What a caller is told, for `RateLimit` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// How many tokens a full bucket has.
    pub limit: u64,
    /// How many are left.
    pub remaining: u64,
    /// Until the bucket is full again.
    pub reset_ms: u64,
    /// Until the same may be asked again; 0 if allowed. What costs more than a full bucket is never allowed.
    pub retry_ms: u64,
    /// Whether all processes counted together; if not, only this one did.
    pub shared: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub used: u64,
    pub at: Millis,
}

impl Rule {
    /// `limit` in any `per`, all at once if they like. Periods are from 1 ms to 31 days.
    ///
    /// A limit of 0 allows nothing.
    pub fn new(limit: u64, per: Duration) -> Rule {
        Rule { limit, per_ms: (per.as_millis() as u64).clamp(1, PER_MAX_MS), burst: limit }
    }

    /// With another size of the bucket: smaller smoothes, larger lets saved-up tokens be spent at once.
    pub fn burst(self, burst: u64) -> Rule {
        Rule { burst, ..self }
    }

    /// Tokens that come back in each period.
    pub fn limit_per_period(self) -> u64 {
        self.limit
    }

    pub fn period(self) -> Duration {
        Duration::from_millis(self.per_ms)
    }

    /// Units that come back in a millisecond; of a rule that allows nothing 1, so that its bucket has an end.
    pub(crate) fn limit(self) -> u64 {
        self.limit.max(1)
    }

    /// Units in a full bucket.
    pub(crate) fn room(self) -> u64 {
        if self.limit == 0 { 0 } else { self.units(self.burst) }
    }

    pub(crate) fn units(self, tokens: u64) -> u64 {
        tokens.saturating_mul(self.per_ms)
    }

    pub(crate) fn decision(self, allowed: bool, used: u64, cost: u64, shared: bool) -> Decision {
        let retry_ms = match allowed {
            true => 0,
            // What can never be had: when there is most to be had.
            false if self.units(cost) > self.room() => used.div_ceil(self.limit()).max(1),
            false => (used.saturating_add(self.units(cost)) - self.room()).div_ceil(self.limit()),
        };
        Decision {
            allowed,
            limit: self.room() / self.per_ms,
            remaining: self.room().saturating_sub(used) / self.per_ms,
            reset_ms: used.div_ceil(self.limit()),
            retry_ms,
            shared,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.limit, self.per_ms, self.burst)
    }
}

impl Bucket {
    /// What came back until `now` is put back, then `cost` is taken if it is there. A clock that goes back
    /// gives nothing back.
    pub fn take(&mut self, rule: Rule, cost: u64, now: Millis) -> Decision {
        if self.used == 0 {
            self.at = now;
        } else if now > self.at {
            self.used = self.used.saturating_sub(now.abs_diff(self.at).saturating_mul(rule.limit()));
            self.at = now;
        }
        let used = self.used.saturating_add(rule.units(cost));
        let allowed = used <= rule.room();
        if allowed {
            self.used = used;
        }
        rule.decision(allowed, self.used, cost, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_gives_its_burst_and_then_what_comes_back() {
        let rule = Rule::new(10, SECOND).burst(2);
        let mut bucket = Bucket::default();
        assert_eq!(
            bucket.take(rule, 1, 5_000),
            Decision { allowed: true, limit: 2, remaining: 1, reset_ms: 100, retry_ms: 0, shared: false }
        );
        assert!(bucket.take(rule, 1, 5_000).allowed);
        assert_eq!(
            bucket.take(rule, 1, 5_001),
            Decision { allowed: false, limit: 2, remaining: 0, reset_ms: 199, retry_ms: 99, shared: false }
        );
        assert!(!bucket.take(rule, 1, 5_099).allowed);
        assert!(bucket.take(rule, 1, 5_100).allowed);
        assert!(!bucket.take(rule, 1, 4_000).allowed, "a clock that goes back gives nothing");
        assert!(bucket.take(rule, 2, 5_300).allowed, "a cost is taken whole");
    }

    #[test]
    fn nothing_is_lost_by_rounding() {
        let rule = Rule::new(3, SECOND).burst(1);
        let mut bucket = Bucket::default();
        let allowed = (0..30_000).filter(|now| bucket.take(rule, 1, *now).allowed).count();
        // Every 334th millisecond at best, and in the long run three a second.
        assert_eq!(allowed, 90);
    }

    #[test]
    fn what_can_never_be_had_is_refused_and_zero_only_looks() {
        let rule = Rule::new(5, SECOND);
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(rule, 6, 0).retry_ms, 1);
        assert_eq!(bucket.take(rule, u64::MAX, 0).remaining, 5);
        assert_eq!(bucket.take(rule, 0, 0).remaining, 5);
        let nothing = Rule::new(0, SECOND);
        assert!(!Bucket::default().take(nothing, 1, 0).allowed);
    }
}
