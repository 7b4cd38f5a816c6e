//! What is left of the streams of an app that is gone: nothing but their numbers.

use crate::{Journal, store};
use angarium_base::{AppId, Result};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Batches that one closure removes.
const PIECE: i64 = 64;

impl Journal {
    /// Removes every record of every stream of `app`, its groups and counts, a piece at a time, until `stop`. To be
    /// called when nobody appends to them any more, and again until it succeeds.
    ///
    /// # Errors
    /// `unavailable`, also while Kafka does not delete a topic.
    pub async fn delete_streams(&self, app: &AppId, stop: &CancellationToken) -> Result<()> {
        let owner = app.clone();
        for stream in self.db().read(move |tx| store::streams(tx, owner.as_str())).await? {
            if let Some(remote) = self.remote() {
                remote.delete_topic(app, &stream.name).await?;
            }
            while !stop.is_cancelled() {
                if self.db().write(move |tx| store::delete_some(tx, stream.id, PIECE)).await? == 0 {
                    break;
                }
                // Leaves the writer to those who wait for an answer.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if stop.is_cancelled() {
                return Ok(());
            }
            self.db().write(move |tx| store::abandon(tx, stream.id)).await?;
            self.tails().forget(stream.id, stream.next_offset);
        }
        self.forget_app(app);
        Ok(())
    }
}
