//! The buckets of this process: a bounded number of keys, of which those not asked for longest go first.

use super::rules::{Bucket, Decision, Rule};
use angarium_base::clock::Millis;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Keys in a generation; two are kept. A key that goes is forgotten, hence let in again.
const GENERATION_KEYS: usize = 32_768;

#[derive(Default)]
pub(crate) struct Buckets(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<Box<str>, Bucket>,
    old: HashMap<Box<str>, Bucket>,
}

impl Buckets {
    pub fn take(&self, name: &str, rule: Rule, cost: u64, now: Millis) -> Decision {
        self.0.lock().bucket(name).take(rule, cost, now)
    }
}

impl Generations {
    /// The bucket of a name, which is then among the young.
    fn bucket(&mut self, name: &str) -> &mut Bucket {
        if !self.young.contains_key(name) && self.young.len() >= GENERATION_KEYS {
            self.old = std::mem::take(&mut self.young);
        }
        let Generations { young, old } = self;
        young.entry(name.into()).or_insert_with(|| old.remove(name).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn keys_are_bounded_and_those_in_use_stay() {
        let buckets = Buckets::default();
        let rule = Rule::new(1, Duration::from_secs(3600));
        assert!(buckets.take("busy", rule, 1, 0).allowed);
        for other in 0..GENERATION_KEYS * 3 {
            buckets.take(&other.to_string(), rule, 1, 0);
            if other % 1000 == 0 {
                assert!(!buckets.take("busy", rule, 1, 0).allowed, "forgotten after {other} others");
            }
        }
        let kept = buckets.0.lock();
        assert!(kept.young.len() + kept.old.len() <= 2 * GENERATION_KEYS);
    }
}
