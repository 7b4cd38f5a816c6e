//! When a feed ends that its reader does not end: the server stops, or the reader may not read any more.

use crate::pass::Pass;
use angarium_kit::Kit;
use std::{pin::Pin, time::Duration};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long a feed looks for records that are there already, when the process stops.
const LAST_LOOK: Duration = Duration::from_millis(100);
/// How long it goes on at most: others of the fleet may append without an end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A feed's end: what was acknowledged before the stop is still handed out.
pub struct Ending {
    stop: CancellationToken,
    since: Option<Instant>,
    /// Over when the reader may not read any more.
    revoked: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Ending {
    pub fn of(kit: &Kit, pass: Pass) -> Ending {
        let kit_ = kit.clone();
        let revoked = Box::pin(async move { pass.ended(&kit_).await });
        Ending { stop: kit.stop.clone(), since: None, revoked }
    }

    /// What is next; `None` when the feed ends.
    pub async fn step<T>(&mut self, next: impl Future<Output = T>) -> Option<T> {
        let mut next = std::pin::pin!(next);
        let step = tokio::select! {
            biased;
            () = &mut self.revoked => return None,
            step = &mut next => step,
            () = self.stop.cancelled() => timeout(LAST_LOOK, next).await.ok()?,
        };
        (!self.is_late()).then_some(step)
    }

    /// Returns when a reader that does not take what it is given is not waited for any longer.
    pub async fn over(&mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = &mut self.revoked => {}
            () = stop.cancelled() => {
                let since = *self.since.get_or_insert_with(Instant::now);
                tokio::time::sleep_until(since + LAST_WORDS).await;
            }
        }
    }

    fn is_late(&mut self) -> bool {
        self.stop.is_cancelled() && self.since.get_or_insert_with(Instant::now).elapsed() > LAST_WORDS
    }
}
