//! What of a stream is in Kafka already, beyond its cursor.

use super::{LOOK_BACK_BYTES, Mark, Source, line::Line};
use crate::{Incoming, UNKNOWN_TOPIC};
use angarium_base::Result;
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

/// Records and bytes of one read.
const PAGE: (usize, usize) = (10_000, 4 << 20);

impl<S: Source> Line<S> {
    /// Moves the cursor behind what this spool has already brought to the partition of the mark. Without a mark it has
    /// brought nothing.
    pub(super) async fn look_back(&mut self) -> Result<()> {
        let Some(mark) = self.mark.clone() else { return Ok(()) };
        let Some(_) = self.held(&mark).await? else { return Ok(()) };
        // The broker answers; what it had in its sockets from before is appended meanwhile.
        tokio::time::sleep(self.shared.settings.settle).await;
        let Some((low, high)) = self.held(&mark).await? else { return Ok(()) };
        let limit = self.shared.settings.look_back_records;
        let mut at = mark.offset;
        if !(low..=high).contains(&at) {
            // Retention has passed the mark, or it is another topic by now; either way it marks nothing.
            at = low.max(high.saturating_sub(limit));
            self.mark = None;
        }
        let (end, mut bytes) = (high.min(at.saturating_add(limit)), 0);
        let (mut next, mut behind) = (self.cursor, None);
        'pages: while at < end && bytes < LOOK_BACK_BYTES {
            let kafka = &self.shared.kafka;
            let page = kafka.read(&mark.topic, mark.partition, at, PAGE, Duration::ZERO).await?;
            let Some(last) = page.last() else { break };
            at = last.offset + 1;
            for record in &page {
                bytes += record.size();
                let Some(position) = self.own_position(record) else { continue };
                if position < next {
                    continue;
                }
                if position > next && !self.follows(next, position).await? {
                    // Cannot be, unless somebody removed records from the partition.
                    tracing::error!(stream = ?self.stream, next, position, "a gap in Kafka, shipping from it on");
                    break 'pages;
                }
                self.shared.counters.skipped.fetch_add(1, Relaxed);
                (next, behind) = (position + 1, Some(record.offset + 1));
            }
        }
        if at < high {
            tracing::warn!(stream = ?self.stream, at, high, "looked back as far as allowed, not to the end");
        }
        match behind {
            Some(offset) => self.save(next, Mark { offset, ..mark }).await,
            None => Ok(()),
        }
    }

    /// The bounds of the partition; `None` when it is gone, and the mark with it.
    async fn held(&mut self, mark: &Mark) -> Result<Option<(u64, u64)>> {
        match self.shared.kafka.bounds(&mark.topic, mark.partition).await {
            Ok(bounds) => Ok(Some(bounds)),
            Err(error) if error.code().name == UNKNOWN_TOPIC.name => {
                self.mark = None;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The position of a record that this spool wrote for this stream.
    fn own_position(&self, record: &Incoming) -> Option<u64> {
        let id = std::str::from_utf8(record.header("id")?).ok()?;
        let position = id.strip_prefix(self.shared.source.spool())?.strip_prefix(':')?;
        let mine = record.header("app")? == self.stream.app.as_str().as_bytes()
            && record.header("stream")? == self.stream.stream.as_bytes();
        mine.then(|| position.parse().ok()).flatten()
    }

    /// Whether the spool has nothing between `next` and `position`.
    async fn follows(&self, next: u64, position: u64) -> Result<bool> {
        let read = self.shared.source.read(&self.stream, next, 1, 1).await?;
        Ok(read.first().is_some_and(|record| record.position == position))
    }
}
