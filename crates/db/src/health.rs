//! What the store says about itself.

use angarium_base::clock::Millis;

/// Whether the store can make things durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Commits succeed. When not, every write is refused until a canary write has succeeded.
    pub healthy: bool,
    /// Milliseconds since the last commit that reached stable storage (a canary write, when nobody writes).
    pub commit_age_ms: Millis,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Physical commits, each with one sync.
    pub commits: u64,
    pub failed_commits: u64,
    /// Closures that were run.
    pub closures: u64,
    /// Microseconds the writer spent in `COMMIT`, which includes the sync.
    pub commit_us: u64,
    /// Microseconds the writer spent in ticks, commits included.
    pub tick_us: u64,
}
