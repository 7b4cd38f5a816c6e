//! How long S3 is waited for, how its failures are told apart, and what they become.

use angarium_base::error::{Error, Result, UNAVAILABLE};
use futures_util::{Stream, StreamExt, stream};
use object_store::{BackoffConfig, RetryConfig};
use std::time::Duration;

const RETRY_AFTER_S: u32 = 5;

#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For one request to be answered.
    answer: Duration,
    /// For a call, with its retries.
    total: Duration,
}

impl Patience {
    pub(super) fn new(answer_ms: u64, patience_ms: u64) -> Patience {
        Patience { answer: Duration::from_millis(answer_ms), total: Duration::from_millis(patience_ms) }
    }

    /// 408, 429, 5xx, `SlowDown`, and connections that fail are tried again, further and further apart.
    pub(super) fn retries(self) -> RetryConfig {
        let longest = (self.total / 4).min(Duration::from_secs(5));
        let first = Duration::from_millis(100).min(longest);
        RetryConfig {
            backoff: BackoffConfig { init_backoff: first, max_backoff: longest, base: 2. },
            max_retries: 20,
            retry_timeout: self.total.saturating_sub(self.answer.min(self.total / 2)),
        }
    }

    /// What `call` gives, or `unavailable` when it takes too long.
    pub(super) async fn bound<T>(self, call: impl Future<Output = T>) -> Result<T> {
        tokio::time::timeout(self.total, call).await.map_err(|_| too_long())
    }

    /// Bounds each step of a stream.
    pub(super) fn each<T>(
        self,
        stream: impl Stream<Item = Result<T>> + Unpin,
    ) -> impl Stream<Item = Result<T>> {
        stream::try_unfold(stream, move |mut stream| async move {
            let next = self.bound(stream.next()).await?.transpose()?;
            Ok(next.map(|item| (item, stream)))
        })
    }
}

fn too_long() -> Error {
    UNAVAILABLE.err("the store of blobs does not answer").with_retry_after_s(RETRY_AFTER_S)
}

/// The source says what S3 said, with the key and without what is secret; it is for the log.
pub(super) fn unavailable(error: object_store::Error) -> Error {
    let message = match error {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            "the store of blobs does not let this server in"
        }
        _ => "the store of blobs does not answer as it should",
    };
    UNAVAILABLE.err(message).with_retry_after_s(RETRY_AFTER_S).with_source(error)
}

/// Whether the object is not there. A bucket that is not there is another matter, and has the same status.
pub(super) fn is_absence(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { source, .. } if !source.to_string().contains("NoSuchBucket"))
}
