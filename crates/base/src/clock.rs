//! The handle all time comes from, so that a test can turn it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Milliseconds since the Unix epoch, UTC.
pub type Millis = i64;

/// A clock: the system's, or one that a test turns by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    pub fn system() -> Clock {
        Clock(None)
    }

    /// A clock that stands at `now` until [`Clock::advance`] turns it.
    pub fn manual(now: Millis) -> Clock {
        Clock(Some(Arc::new(AtomicI64::new(now))))
    }

    /// The present instant.
    #[allow(clippy::disallowed_methods, reason = "this is the handle that everybody else asks")]
    pub fn now(&self) -> Millis {
        match &self.0 {
            Some(manual) => manual.load(Ordering::SeqCst),
            None => match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
                Ok(since) => since.as_millis() as Millis,
                Err(before) => -(before.duration().as_millis() as Millis),
            },
        }
    }

    /// Turns a manual clock by `by` milliseconds; the system's clock is left alone.
    pub fn advance(&self, by: Millis) {
        if let Some(manual) = &self.0 {
            manual.fetch_add(by, Ordering::SeqCst);
        }
    }
}
