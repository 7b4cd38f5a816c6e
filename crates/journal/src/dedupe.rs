//! Which record ids were seen of late, so that a retry is not a second record.
//!
//! An id is known by a 128-bit hash of stream and id, keyed per data directory. New hashes lie in a set in memory and, in the
//! same commit as their records, in one row (`seen_recent`). A full set becomes a *run*: sorted on disk
//! (`seen_sorted`), with a filter of twenty bits an id in memory. To ask whether an id is new costs one set
//! look-up and one cache line a run; only when a filter says "perhaps" is the disk asked. So ten million
//! ids cost some 25 MB of memory, and a start reads no more than that. Ten bits would halve it, and send
//! more ids to the disk for *each* run: with it, and smaller runs, the rate fell by three quarters on the way to
//! three million ids; with this it stays level.
//!
//! An id is remembered for at least the window, and forgotten a run at a time.

pub mod shared;

use angarium_base::Result;
use angarium_db::{Tx, v};
use parking_lot::Mutex;
use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

/// Ids in a run.
const RUN_IDS: usize = 262_144;
/// Hashes in a row of `seen_sorted`.
const ROW_IDS: usize = 256;
const HASH_BYTES: usize = 16;

pub type IdHash = u128;

/// The hash an id is known by. `seed` is the data directory's own, so that collisions cannot be prepared.
pub fn hash(seed: u64, stream: i64, id: &str) -> IdHash {
    let seed = seed ^ (stream as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    xxhash_rust::xxh3::xxh3_128_with_seed(id.as_bytes(), seed)
}

/// How long ids are remembered, and how many at most.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub age_ms: i64,
    pub ids: usize,
}

/// Where the ids are remembered.
#[derive(Clone)]
pub enum Remembered {
    /// In this process, which alone appends to the store.
    Here(Arc<Mutex<Seen>>),
    /// In the store, for all processes that append to it.
    Shared(Window),
}

impl Remembered {
    /// Takes the ids in; says of each whether it was new. Part of a tick: see [`Remembered::settle`].
    pub fn admit(&self, tx: &mut Tx<'_>, ids: &[IdHash], now: i64) -> Result<Vec<bool>> {
        match self {
            Remembered::Here(seen) => {
                let mut seen = seen.lock();
                ids.iter().map(|id| seen.insert(tx, *id)).collect()
            }
            Remembered::Shared(_) => shared::admit(tx, ids, now),
        }
    }

    /// Writes what the tick added.
    pub fn flush(&self, tx: &mut Tx<'_>, now: i64) -> Result<()> {
        match self {
            Remembered::Here(seen) => seen.lock().flush(tx, now),
            Remembered::Shared(_) => Ok(()),
        }
    }

    /// Keeps what the tick added if it is durable, and takes it back if it is not.
    pub fn settle(&self, durable: bool, now: i64) {
        if let Remembered::Here(seen) = self {
            seen.lock().settle(durable, now);
        }
    }

    /// How many this process remembers.
    pub fn len(&self) -> usize {
        match self {
            Remembered::Here(seen) => seen.lock().len(),
            Remembered::Shared(_) => 0,
        }
    }
}

/// The hashes are random already.
#[derive(Default)]
pub struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only u128 keys are hashed");
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

type Set = HashSet<IdHash, BuildHasherDefault<Identity>>;

/// The ids seen within the window.
pub struct Seen {
    window: Window,
    active: Set,
    active_run: i64,
    active_since: i64,
    /// Full sets that are being sorted, oldest first.
    sealing: VecDeque<(i64, i64, Arc<Set>)>,
    /// Oldest first.
    runs: VecDeque<Run>,
    /// What this tick added, to be taken back if its commit fails.
    tick: Vec<IdHash>,
}

struct Run {
    id: i64,
    ids: usize,
    newest_at: i64,
    filter: Filter,
}

impl Seen {
    /// Reads what an earlier process left.
    pub fn load(tx: &mut Tx<'_>, window: Window, now: i64) -> Result<Seen> {
        let runs: Vec<Run> =
            tx.query("SELECT run, id_count, newest_at, filter FROM seen_runs ORDER BY run", &[], |row| {
                let filter = Filter::from_bytes(row.bytes(3)?);
                Ok(Run { id: row.get(0)?, ids: row.get::<i64>(1)? as usize, newest_at: row.get(2)?, filter })
            })?;
        let mut recent = Set::default();
        tx.each("SELECT hashes FROM seen_recent", &[], |row| {
            recent.extend(split(row.bytes(0)?));
            Ok(true)
        })?;
        let recent_run =
            tx.one("SELECT coalesce(max(run), 0) FROM seen_recent", &[], |row| row.get::<i64>(0))?;
        let newest = runs.last().map_or(0, |run| run.id);
        Ok(Seen {
            window,
            active: recent,
            active_run: recent_run.max(newest + 1),
            active_since: now,
            sealing: VecDeque::new(),
            runs: runs.into(),
            tick: Vec::new(),
        })
    }

    /// Takes the id in, unless it is known. Part of a tick: see [`Seen::settle`].
    pub fn insert(&mut self, tx: &mut Tx<'_>, id: IdHash) -> Result<bool> {
        if self.active.contains(&id) || self.sealing.iter().any(|(_, _, set)| set.contains(&id)) {
            return Ok(false);
        }
        for run in self.runs.iter().rev() {
            if run.filter.may_hold(id) && on_disk(tx, run.id, id)? {
                return Ok(false);
            }
        }
        self.active.insert(id);
        self.tick.push(id);
        Ok(true)
    }

    /// Writes what the tick added.
    pub fn flush(&mut self, tx: &mut Tx<'_>, now: i64) -> Result<()> {
        if self.tick.is_empty() {
            return Ok(());
        }
        tx.exec(
            "INSERT INTO seen_recent (run, at, hashes) VALUES ($1, $2, $3)",
            v![self.active_run, now, &join(&self.tick)[..]],
        )?;
        Ok(())
    }

    /// Keeps what the tick added if it is durable, and takes it back if it is not.
    pub fn settle(&mut self, durable: bool, now: i64) {
        if !durable {
            for id in &self.tick {
                self.active.remove(id);
            }
        }
        self.tick.clear();
        let stale = !self.active.is_empty() && now - self.active_since > self.window.age_ms / 8;
        if self.active.len() >= RUN_IDS || stale {
            let full = std::mem::take(&mut self.active);
            self.sealing.push_back((self.active_run, now, Arc::new(full)));
            self.active_run += 1;
            self.active_since = now;
        }
    }

    /// The oldest full set, to be sorted onto the disk by [`seal`].
    pub fn to_seal(&self) -> Option<(i64, i64, Arc<Set>)> {
        self.sealing.front().cloned()
    }

    /// The set of `run` lies on the disk now.
    pub fn sealed(&mut self, run: i64, filter: Filter) {
        if let Some((id, newest_at, set)) = self.sealing.pop_front() {
            debug_assert_eq!(id, run);
            self.runs.push_back(Run { id, ids: set.len(), newest_at, filter });
        }
    }

    /// Takes the oldest run out when it is older than the window, or when there are too many ids.
    pub fn expire(&mut self, now: i64) -> Option<i64> {
        let ids: usize = self.runs.iter().map(|run| run.ids).sum();
        let oldest = self.runs.front()?;
        let gone = now - oldest.newest_at > self.window.age_ms || ids > self.window.ids;
        if gone { self.runs.pop_front().map(|run| run.id) } else { None }
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        let sealing: usize = self.sealing.iter().map(|(_, _, set)| set.len()).sum();
        self.active.len() + sealing + self.runs.iter().map(|run| run.ids).sum::<usize>()
    }
}

/// A row of `seen_sorted`: its first hash, and all of them.
pub type SortedRow = (Vec<u8>, Vec<u8>);

/// A full set as rows: the first hash of each, and its hashes, sorted; and the filter over all of them.
pub fn seal(set: &Set) -> (Vec<SortedRow>, Filter) {
    let mut sorted: Vec<IdHash> = set.iter().copied().collect();
    sorted.sort_unstable();
    let mut filter = Filter::for_ids(sorted.len());
    sorted.iter().for_each(|id| filter.add(*id));
    let rows = sorted.chunks(ROW_IDS).map(|ids| (ids[0].to_be_bytes().to_vec(), join(ids))).collect();
    (rows, filter)
}

pub fn save_sorted(tx: &mut Tx<'_>, run: i64, rows: &[SortedRow]) -> Result<()> {
    for (first, hashes) in rows {
        tx.exec(
            "INSERT INTO seen_sorted (run, first_hash, hashes) VALUES ($1, $2, $3) \
             ON CONFLICT (run, first_hash) DO UPDATE SET hashes = $3",
            v![run, &first[..], &hashes[..]],
        )?;
    }
    Ok(())
}

/// Removes what an earlier process sorted of a set that it did not seal. The set is larger when it is sealed
/// again, and cut into other rows: a row left over between them would hide ids.
pub fn discard_unsealed(tx: &mut Tx<'_>) -> Result<()> {
    tx.exec("DELETE FROM seen_sorted WHERE run > (SELECT coalesce(max(run), 0) FROM seen_runs)", &[])?;
    Ok(())
}

/// The last step of sealing: from now on the run is found by its filter.
pub fn save_run(tx: &mut Tx<'_>, run: i64, ids: usize, newest_at: i64, filter: &Filter) -> Result<()> {
    tx.exec(
        "INSERT INTO seen_runs (run, id_count, newest_at, filter) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (run) DO UPDATE SET id_count = $2, newest_at = $3, filter = $4",
        v![run, ids as i64, newest_at, &filter.to_bytes()[..]],
    )?;
    tx.exec("DELETE FROM seen_recent WHERE run <= $1", v![run])?;
    Ok(())
}

pub fn delete_run(tx: &mut Tx<'_>, run: i64) -> Result<()> {
    tx.exec("DELETE FROM seen_sorted WHERE run = $1", v![run])?;
    tx.exec("DELETE FROM seen_runs WHERE run = $1", v![run])?;
    Ok(())
}

fn on_disk(tx: &mut Tx<'_>, run: i64, id: IdHash) -> Result<bool> {
    let wanted = id.to_be_bytes();
    let found = tx.maybe(
        "SELECT hashes FROM seen_sorted WHERE run = $1 AND first_hash <= $2 ORDER BY first_hash DESC LIMIT 1",
        v![run, &wanted[..]],
        |row| Ok(split(row.bytes(0)?).any(|other| other == id)),
    )?;
    Ok(found.unwrap_or(false))
}

fn join(ids: &[IdHash]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_be_bytes()).collect()
}

fn split(bytes: &[u8]) -> impl Iterator<Item = IdHash> + '_ {
    bytes.as_chunks::<HASH_BYTES>().0.iter().map(|chunk| IdHash::from_be_bytes(*chunk))
}

/// A Bloom filter whose seven bits for an id lie in one cache line (Putze, Sanders, Singler:
/// "Cache-, Hash- and Space-Efficient Bloom Filters", 2007); about one false positive in 2,000 at twenty bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Vec<[u64; 8]>);

impl Filter {
    fn for_ids(ids: usize) -> Filter {
        Filter(vec![[0; 8]; (ids * 20).div_ceil(512).max(1)])
    }

    fn add(&mut self, id: IdHash) {
        let line = self.line(id);
        for bit in bits(id) {
            self.0[line][bit / 64] |= 1 << (bit % 64);
        }
    }

    fn may_hold(&self, id: IdHash) -> bool {
        let line = &self.0[self.line(id)];
        bits(id).all(|bit| line[bit / 64] >> (bit % 64) & 1 == 1)
    }

    fn line(&self, id: IdHash) -> usize {
        (((id >> 64) * self.0.len() as u128) >> 64) as usize
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn from_bytes(bytes: &[u8]) -> Filter {
        let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let lines = words.as_chunks::<8>().0.to_vec();
        Filter(if lines.is_empty() { vec![[!0; 8]] } else { lines })
    }
}

/// Seven times nine bits of the half of the hash that does not choose the line.
fn bits(id: IdHash) -> impl Iterator<Item = usize> {
    (0..7).map(move |n| (id as u64 >> (n * 9)) as usize & 511)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_holds_what_was_added_and_little_else() {
        let ids: Vec<IdHash> = (0..50_000).map(|n| hash(7, 1, &format!("id {n}"))).collect();
        let set: Set = ids.iter().copied().collect();
        let (rows, filter) = seal(&set);
        assert_eq!(rows.iter().map(|(_, hashes)| hashes.len()).sum::<usize>(), 50_000 * HASH_BYTES);
        assert!(ids.iter().all(|id| filter.may_hold(*id)));
        let strangers = (0..50_000).filter(|n| filter.may_hold(hash(7, 1, &format!("other {n}")))).count();
        assert!(strangers < 100, "{strangers} of 50,000 strangers pass");
        assert_eq!(Filter::from_bytes(&filter.to_bytes()), filter);
    }

    #[test]
    fn the_same_id_in_another_stream_is_another_id() {
        assert_ne!(hash(7, 1, "a"), hash(7, 2, "a"));
        assert_ne!(hash(7, 1, "a"), hash(8, 1, "a"));
    }
}
