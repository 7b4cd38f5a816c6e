//! How those who have something to write wake the thread that writes it.

use parking_lot::{Condvar, Mutex};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

/// Wakes the writer. Raising it twice before the writer looked costs one atomic swap.
#[derive(Clone, Default)]
pub struct Alarm(Arc<AlarmState>);

#[derive(Default)]
struct AlarmState {
    raised: AtomicBool,
    asleep: Mutex<()>,
    bell: Condvar,
}

impl Alarm {
    pub fn raise(&self) {
        if !self.0.raised.swap(true, SeqCst) {
            let _held = self.0.asleep.lock();
            self.0.bell.notify_one();
        }
    }

    /// Waits until it is raised, or for `at_most`.
    pub(crate) fn wait(&self, at_most: Duration) {
        let mut asleep = self.0.asleep.lock();
        if !self.0.raised.load(SeqCst) {
            self.0.bell.wait_for(&mut asleep, at_most);
        }
        self.0.raised.store(false, SeqCst);
    }
}
