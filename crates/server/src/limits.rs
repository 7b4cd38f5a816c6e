//! Rate limits follow the configuration file while the server runs: its `[limits]`, and nothing else of it.
//!
//! The file is looked at every [`EVERY`]. One that cannot be used is said once, and the limits that hold go on holding.

use crate::{config::load_file, tls::Stamp};
use angarium_base::Result;
use angarium_kit::{Kit, gate::Rates};
use std::{fs, io, path::PathBuf, time::Duration};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(2);

/// What is known of the file.
#[derive(Clone)]
struct Known {
    /// As it was when it was read last.
    stamp: Option<Stamp>,
    rates: Rates,
    /// What was wrong the last time, as it was said.
    trouble: String,
}

/// What a look leads to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Change(Rates),
    Warn(String),
}

/// Looks at the file until `stop`, and lets its limits hold. `rates` are those of the start.
pub async fn follow(file: PathBuf, rates: Rates, kit: Kit, stop: CancellationToken) {
    let mut known = Known { stamp: None, rates, trouble: String::new() };
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        let (mut looking, path) = (known.clone(), file.clone());
        let look = move || {
            let stamp = fs::metadata(&path).map(|metadata| Stamp::of(&metadata));
            let step = looking.judge(stamp, || load_file(Some(&path))?.rates());
            (looking, step)
        };
        let Ok((looked, step)) = tokio::task::spawn_blocking(look).await else { continue };
        known = looked;
        match step {
            Step::Nothing => {}
            Step::Change(rates) => {
                kit.gate.change(rates);
                tracing::info!("the rate limits of the configuration file hold from now on");
            }
            Step::Warn(reason) => {
                tracing::warn!(%reason, "the configuration file is not used; the rate limits stay as they are");
            }
        }
    }
}

impl Known {
    /// Reads the file if it is not the one that was read last.
    fn judge(&mut self, stamp: io::Result<Stamp>, read: impl FnOnce() -> Result<Rates>) -> Step {
        let stamp = stamp.ok();
        if stamp.is_some() && stamp == self.stamp {
            return Step::Nothing;
        }
        self.stamp = stamp;
        match read() {
            Ok(rates) => {
                self.trouble.clear();
                match rates == std::mem::replace(&mut self.rates, rates) {
                    true => Step::Nothing,
                    false => Step::Change(rates),
                }
            }
            Err(error) if error.message() == self.trouble => Step::Nothing,
            Err(error) => {
                error.message().clone_into(&mut self.trouble);
                Step::Warn(self.trouble.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::INVALID_CONFIG;
    use angarium_feed::limits::Rule;

    fn a_second(limit: u64) -> Rates {
        Rates { per_key: Some(Rule::new(limit, Duration::from_secs(1))), ..Rates::default() }
    }

    fn stamp(size_bytes: u64) -> io::Result<Stamp> {
        Ok(Stamp { modified_at: None, size_bytes, inode: 1 })
    }

    #[test]
    fn limits_are_taken_over_when_the_file_is_another_and_can_be_used() {
        let mut known = Known { stamp: None, rates: a_second(1), trouble: String::new() };
        assert_eq!(known.judge(stamp(1), || Ok(a_second(1))), Step::Nothing, "as at the start");
        assert_eq!(known.judge(stamp(1), || panic!("it is the same file")), Step::Nothing);
        assert_eq!(known.judge(stamp(2), || Ok(a_second(2))), Step::Change(a_second(2)));
        assert_eq!(known.judge(stamp(3), || Ok(a_second(2))), Step::Nothing, "something else was changed");
        assert_eq!(known.judge(stamp(4), || Ok(Rates::default())), Step::Change(Rates::default()));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_said_once_and_changes_nothing() {
        let mut known = Known { stamp: None, rates: a_second(1), trouble: String::new() };
        let wrong = || Err(INVALID_CONFIG.err("line 1"));
        assert_eq!(known.judge(stamp(1), wrong), Step::Warn("line 1".into()));
        assert_eq!(known.judge(stamp(2), wrong), Step::Nothing, "the same was said");
        let gone = || Err(io::Error::from(io::ErrorKind::NotFound));
        let missing = || Err(INVALID_CONFIG.err("it cannot be read"));
        assert_eq!(known.judge(gone(), missing), Step::Warn("it cannot be read".into()));
        assert_eq!(known.judge(gone(), missing), Step::Nothing);
        assert_eq!(known.judge(stamp(3), || Ok(a_second(1))), Step::Nothing, "the limits had stayed");
        assert_eq!(known.judge(stamp(4), wrong), Step::Warn("line 1".into()), "it was well in between");
    }
}
