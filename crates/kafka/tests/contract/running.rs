//! A shipper that runs, and ends as a test wants it to.

use crate::{
    spool::Spool,
    world::{World, soon},
};
use angarium_kafka::{Shipper, shipper::Settings};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub fn quick() -> Settings {
    Settings { settle: Duration::from_millis(50), ..Settings::default() }
}

/// A shipper that runs.
pub struct Running {
    pub shipper: Shipper<Spool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub fn start(world: &World, spool: &Spool, settings: Settings) -> Running {
        let shipper = Shipper::new(world.kafka.clone(), spool.clone(), settings).unwrap();
        let (stop, runner) = (CancellationToken::new(), shipper.clone());
        let stopped = stop.clone();
        let task = tokio::spawn(async move { runner.run(stopped).await });
        Running { shipper, stop, task }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        soon(self.task).await.unwrap();
    }

    /// As a crash: nothing is waited for.
    pub async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
