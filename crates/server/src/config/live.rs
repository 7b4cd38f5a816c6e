//! Settings of the live feed.

use super::{Span, invalid};
use angarium_base::Result;
use angarium_kit::http::{LiveLimits, Slow};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How far back the journal's tails know how many bytes lie before the end.
const MAX_BACKLOG: u64 = 64 << 20;

/// The live feed.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Live {
    /// Bytes of records that a reader may fall behind.
    pub backlog: u64,
    /// What happens to one that falls further behind and did not ask for anything: `gap` (it is moved ahead, and told how
    /// far) or `disconnect` (it is told where to resume).
    pub slow: String,
    /// Readers at a time.
    pub readers: usize,
    /// Readers at a time in one app.
    pub per_app: usize,
    /// Readers at a time of one key or user in one app.
    pub per_principal: usize,
    /// How long an EventSource waits before it comes again.
    pub retry: Span,
}

impl Default for Live {
    fn default() -> Self {
        let LiveLimits { backlog_bytes, readers, per_app, per_principal, retry, .. } = LiveLimits::default();
        let slow = "gap".into();
        Live { backlog: backlog_bytes, slow, readers, per_app, per_principal, retry: Span(retry) }
    }
}

impl Live {
    pub fn check(&self) -> Result<()> {
        if Slow::parse(&self.slow).is_none() {
            return Err(invalid("live.slow is gap or disconnect"));
        }
        if self.backlog > MAX_BACKLOG {
            return Err(invalid(format!("live.backlog is at most {MAX_BACKLOG}")));
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(60)).contains(&self.retry.0) {
            return Err(invalid("live.retry is from 1ms to 1m"));
        }
        Ok(())
    }

    /// As the slice takes them.
    pub fn limits(&self) -> LiveLimits {
        LiveLimits {
            backlog_bytes: self.backlog,
            slow: Slow::parse(&self.slow).unwrap_or(Slow::Gap),
            readers: self.readers,
            per_app: self.per_app,
            per_principal: self.per_principal,
            retry: self.retry.0,
        }
    }
}
