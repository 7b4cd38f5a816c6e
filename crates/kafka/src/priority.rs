//! Threads that give way: they get what processors have left when others want to run, and a little more, so that they
//! always get on.

use crate::UNAVAILABLE;
use angarium_base::{Context, Result};

/// Runs `work` to its end on a thread that gives way. So do the threads that it starts: they begin as nice as theirs is.
pub(crate) fn lowered<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("kafka-open".into()).spawn_scoped(scope, || {
            lower();
            work()
        });
        let ended = thread.or_error(UNAVAILABLE, "no thread for a client of Kafka")?.join();
        ended.map_err(|_| UNAVAILABLE.err("a client of Kafka was not made"))
    })
}

/// The calling thread gives way from now on.
pub(crate) fn lower() {
    // A tenth of the weight of who is not nice: https://man7.org/linux/man-pages/man7/sched.7.html
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}
