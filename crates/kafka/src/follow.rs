//! Tailing a partition.

use crate::{Incoming, Kafka, TopicName};
use angarium_base::Result;
use std::time::Duration;

/// How long one look waits for a record, before the cluster is asked whether there is one.
const LOOK: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Follows one partition. It uses one of the readers while somebody waits in [`Follower::next`].
#[derive(Clone)]
pub struct Follower {
    kafka: Kafka,
    topic: TopicName,
    partition: i32,
    next: u64,
    pause: Duration,
}

impl Follower {
    #[cfg(feature = "librdkafka")]
    pub(crate) fn new(kafka: Kafka, topic: TopicName, partition: i32, from: u64) -> Follower {
        Follower { kafka, topic, partition, next: from, pause: Duration::ZERO }
    }

    /// The offset of the next record to be handed out.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Goes on at `offset`.
    pub fn seek(&mut self, offset: u64) {
        self.next = offset;
    }

    /// The next records, at least one, at most a thousand and 1 MiB; waits for them. Cancel-safe.
    ///
    /// # Errors
    /// As [`Kafka::read`]. Calling again is right after an error that may pass: the call pauses first, up to 5 s.
    pub async fn next(&mut self) -> Result<Vec<Incoming>> {
        tokio::time::sleep(self.pause).await;
        loop {
            match self.kafka.read(&self.topic, self.partition, self.next, (1_000, 1 << 20), LOOK).await {
                Ok(records) => {
                    self.pause = Duration::ZERO;
                    if let Some(last) = records.last() {
                        self.next = last.offset + 1;
                        return Ok(records);
                    }
                }
                Err(error) => {
                    self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
                    return Err(error);
                }
            }
        }
    }
}
