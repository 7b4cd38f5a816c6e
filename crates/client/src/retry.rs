//! When a call is sent again, and after how long.

use std::time::Duration;

/// How patient the client is with one call that may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often a call is sent at most, the first time included.
    pub attempts: u32,
    /// The longest single wait. A server that asks for more gets no further try: the error carries its wish.
    pub longest_wait: Duration,
}

/// The first wait when the server names none; it doubles with every attempt.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

impl Default for Retry {
    fn default() -> Retry {
        Retry { attempts: 5, longest_wait: Duration::from_secs(30) }
    }
}

impl Retry {
    /// Send everything once.
    pub const NEVER: Retry = Retry { attempts: 1, longest_wait: Duration::ZERO };

    /// How long to wait after the failed attempt number `attempt` (from 1), or `None` to give up.
    ///
    /// Never less than `asked` (the server's `Retry-After`), and up to a quarter more by `jitter` (0 to 1),
    /// so that callers who were turned away together do not come back together.
    pub(crate) fn wait(&self, attempt: u32, asked: Option<Duration>, jitter: f64) -> Option<Duration> {
        if attempt >= self.attempts || asked.is_some_and(|asked| asked > self.longest_wait) {
            return None;
        }
        let backoff = FIRST_WAIT.saturating_mul(1 << (attempt - 1).min(10)).min(LONGEST_BACKOFF);
        let wait = backoff.max(asked.unwrap_or_default());
        Some(wait.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0))
    }
}

/// Whether doing the same again may help: the server was busy, or a proxy lost it for a moment, or the first of two
/// calls with one `Idempotency-Key` is still being answered.
pub(crate) fn is_passing(status: u16, code: &str) -> bool {
    match status {
        409 => code == "idempotency_key_in_flight",
        // A process without the role stays without it.
        503 => code != "role_missing",
        _ => matches!(status, 408 | 429 | 500 | 502 | 504),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_respect_the_server_and_end() {
        let retry = Retry { attempts: 4, longest_wait: Duration::from_secs(10) };
        let ms = |attempt, asked: Option<u64>, jitter| {
            retry.wait(attempt, asked.map(Duration::from_secs), jitter).map(|wait| wait.as_millis())
        };
        assert_eq!(ms(1, None, 0.0), Some(200));
        assert_eq!(ms(3, None, 0.0), Some(800));
        assert_eq!(ms(1, Some(2), 0.0), Some(2_000), "never earlier than the server asked");
        assert_eq!(ms(1, Some(2), 1.0), Some(2_500));
        assert_eq!(ms(1, Some(11), 0.0), None, "a wait that is too long is the caller's decision");
        assert_eq!(ms(4, None, 0.0), None);
        assert_eq!(Retry::NEVER.wait(1, None, 0.0), None);
    }

    #[test]
    fn what_waiting_mends_is_told_by_status_and_code() {
        for (status, code) in [(409, "idempotency_key_in_flight"), (429, "rate_limited"), (503, "overloaded")]
        {
            assert!(is_passing(status, code), "{status} {code}");
        }
        for (status, code) in [(409, "bundle_id_taken"), (503, "role_missing"), (404, "not_found")] {
            assert!(!is_passing(status, code), "{status} {code}");
        }
    }
}
