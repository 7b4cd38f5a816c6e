//! Settings of dead letters.

use super::{Span, invalid, seconds};
use angarium_base::Result;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetters {
    /// Letters that were given up longer ago are removed.
    pub keep: Span,
}

impl Default for DeadLetters {
    fn default() -> Self {
        DeadLetters { keep: seconds(30 * 86_400) }
    }
}

impl DeadLetters {
    pub fn check(&self) -> Result<()> {
        if self.keep.0 < Duration::from_secs(1) {
            return Err(invalid("dead_letters.keep is at least 1s"));
        }
        Ok(())
    }
}
