//! The agents that were parsed most recently: one lock's share of the cache.
//!
//! Invariants: it never holds more than its capacity, and an agent that was asked for once leaves before
//! one that was asked for again (CLOCK, Corbató 1968).

use super::agents::Agent;
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

/// One lock's share of the cache.
pub(super) struct Shard {
    capacity: usize,
    slots: Vec<Slot>,
    by_hash: HashMap<u64, usize, BuildHasherDefault<Hashed>>,
    /// Where the search for a slot to give away goes on.
    hand: usize,
}

struct Slot {
    hash: u64,
    header: Box<str>,
    agent: Arc<Agent>,
    /// Whether it was asked for again since the hand last passed.
    used: bool,
}

impl Shard {
    pub(super) fn new(capacity: usize) -> Shard {
        Shard { capacity, slots: Vec::new(), by_hash: HashMap::default(), hand: 0 }
    }

    pub(super) fn get(&mut self, hash: u64, header: &str) -> Option<Arc<Agent>> {
        let slot = &mut self.slots[*self.by_hash.get(&hash)?];
        // Two headers with one 64-bit hash take turns in one slot.
        if &*slot.header != header {
            return None;
        }
        slot.used = true;
        Some(slot.agent.clone())
    }

    pub(super) fn put(&mut self, hash: u64, header: &str, agent: Arc<Agent>) {
        let slot = Slot { hash, header: header.into(), agent, used: false };
        match self.by_hash.get(&hash) {
            Some(&at) => self.slots[at] = slot,
            None if self.slots.len() < self.capacity => {
                self.by_hash.insert(hash, self.slots.len());
                self.slots.push(slot);
            }
            None => {
                let at = self.free_one();
                self.by_hash.insert(hash, at);
                self.slots[at] = slot;
            }
        }
    }

    /// Turns the hand to a slot that nobody asked for since its last turn, and forgets what is there.
    fn free_one(&mut self) -> usize {
        loop {
            let at = self.hand;
            self.hand = (at + 1) % self.slots.len();
            let slot = &mut self.slots[at];
            if !std::mem::take(&mut slot.used) {
                self.by_hash.remove(&slot.hash);
                return at;
            }
        }
    }
}

/// Hands a key through that is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are u64");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_in_its_bounds_and_keeps_what_is_asked_for() {
        let mut shard = Shard::new(4);
        let agent = Arc::new(Agent::default());
        shard.put(0, "often", agent.clone());
        for hash in 1..1_000 {
            assert!(shard.get(0, "often").is_some(), "after {hash} others");
            shard.put(hash, "once", agent.clone());
            assert!(shard.slots.len() <= 4 && shard.by_hash.len() <= 4);
        }
        assert!(shard.get(999, "once").is_some());
        assert!(shard.get(999, "another of the same hash").is_none());
    }
}
