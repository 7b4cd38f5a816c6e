//! A process as the fleet sees it.

use angarium_base::clock::Millis;

/// A process that was not seen for this long is taken for gone.
pub const GONE_AFTER_MS: Millis = 30_000;
/// A process that was not seen for this long is forgotten.
pub(super) const FORGOTTEN_AFTER_MS: Millis = 24 * 3_600_000;

/// A row of the table of processes. Of another version it may be: roles are text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub id: String,
    pub host: String,
    pub pid: i64,
    pub roles: Vec<String>,
    pub version: String,
    /// Where it listens.
    pub address: String,
    /// By its own clock, as is `seen_at`.
    pub started_at: Millis,
    pub seen_at: Millis,
    /// How late its last sign of life reached the store: what it waits for its processor and for the store.
    pub lag_ms: Millis,
    /// What does not work in it at the moment.
    pub detail: Option<String>,
    /// The leases it holds.
    pub leases: Vec<String>,
}

impl Process {
    /// `ready`, or `gone` when it was not seen for [`GONE_AFTER_MS`] by the clock of who asks: clocks of a fleet are
    /// to agree within some seconds for this. Nothing but this word depends on it.
    pub fn state(&self, now: Millis) -> &'static str {
        if now - self.seen_at > GONE_AFTER_MS { "gone" } else { "ready" }
    }
}
