//! Tokens that were verified, by their SHA-256: a bounded number, of which those not asked for longest go first.

use crate::Identity;
use angarium_base::clock::Millis;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// The most tokens that are remembered. One that goes is verified again.
pub const REMEMBERED_MAX: usize = SHARDS * 2 * GENERATION;

/// Parts with a lock of their own, so that cores do not wait for each other.
const SHARDS: usize = 16;
/// Tokens of a part in a generation; two are kept.
const GENERATION: usize = 320;

pub(crate) type Hash = [u8; 32];

/// What is known about a token.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub identity: Arc<Identity>,
    /// Its issuer's place among the issuers.
    pub issuer: usize,
    /// Which of the issuer's key sets it was verified with.
    pub epoch: u64,
    /// From when on it is expired, leeway counted in.
    pub until: Millis,
}

#[derive(Default)]
pub(crate) struct Remembered([Mutex<Generations>; SHARDS]);

#[derive(Default)]
struct Generations {
    young: HashMap<Hash, Entry>,
    old: HashMap<Hash, Entry>,
}

impl Remembered {
    pub fn get(&self, hash: &Hash) -> Option<Entry> {
        let mut shard = self.shard(hash).lock();
        if let Some(entry) = shard.young.get(hash) {
            return Some(entry.clone());
        }
        let entry = shard.old.remove(hash)?;
        shard.insert(*hash, entry.clone());
        Some(entry)
    }

    pub fn insert(&self, hash: Hash, entry: Entry) {
        self.shard(&hash).lock().insert(hash, entry);
    }

    pub fn forget(&self, hash: &Hash) {
        let mut shard = self.shard(hash).lock();
        shard.young.remove(hash);
        shard.old.remove(hash);
    }

    fn shard(&self, hash: &Hash) -> &Mutex<Generations> {
        &self.0[usize::from(hash[0]) % SHARDS]
    }
}

impl Generations {
    fn insert(&mut self, hash: Hash, entry: Entry) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&hash) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use angarium_base::secret;

    fn entry() -> Entry {
        let identity =
            Identity { issuer: "i".into(), tenant: None, subject: "s".into(), email: None, expires_at: 0 };
        Entry { identity: Arc::new(identity), issuer: 0, epoch: 0, until: 0 }
    }

    #[test]
    fn tokens_are_bounded_and_those_in_use_stay() {
        let remembered = Remembered::default();
        let busy = secret::hash("busy");
        remembered.insert(busy, entry());
        for other in 0..REMEMBERED_MAX * 3 {
            remembered.insert(secret::hash(&other.to_string()), entry());
            if other % 100 == 0 {
                assert!(remembered.get(&busy).is_some(), "forgotten after {other} others");
            }
        }
        let kept = |shard: &Mutex<Generations>| {
            let shard = shard.lock();
            shard.young.len() + shard.old.len()
        };
        assert!(remembered.0.iter().map(kept).sum::<usize>() <= REMEMBERED_MAX);
        remembered.forget(&busy);
        assert!(remembered.get(&busy).is_none());
    }
}
