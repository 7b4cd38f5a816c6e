//! Settings of messages.

use super::{Config, Span, invalid};
use angarium_base::Result;
use angarium_messages::Settings;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Messages {
    /// How often it is tried to persist a message before it becomes a dead letter.
    pub attempts: u32,
    /// Messages persisted longer ago than this are removed from the table; none, if not set.
    pub keep: Option<Span>,
}

impl Default for Messages {
    fn default() -> Self {
        Messages { attempts: 5, keep: None }
    }
}

impl Messages {
    pub fn check(&self) -> Result<()> {
        if !(1..=100).contains(&self.attempts) {
            return Err(invalid("messages.attempts is 1 to 100"));
        }
        if self.keep.is_some_and(|keep| keep.0 < Duration::from_secs(1)) {
            return Err(invalid("messages.keep is at least 1s"));
        }
        Ok(())
    }
}

impl Config {
    /// The settings of messages, as the slice takes them.
    pub fn messages(&self) -> Settings {
        Settings {
            attempts: self.messages.attempts.into(),
            keep_ms: self.messages.keep.map(|keep| keep.0.as_millis() as i64),
        }
    }
}
