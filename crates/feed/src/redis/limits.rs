//! Rate limits that all processes share: one atomic script in Redis, in bounded time.
//!
//! A bucket is a string, `{namespace}:limit:{key}` = `{used}:{at}`, that expires when it is full again. The
//! script does what [`Bucket::take`](crate::limits::rules::Bucket::take) does, in the same units; its numbers
//! are doubles, exact up to 2^53.

use super::Current;
use crate::limits::{Decision, Rule};
use angarium_base::clock::Millis;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// How long a caller waits for Redis.
const PATIENCE: Duration = Duration::from_millis(50);
/// After an answer that did not come, Redis is not asked for so long: callers do not wait in vain one by one.
const REST: Duration = Duration::from_secs(1);

/// KEYS: bucket. ARGV: limit (units that come back in a millisecond), room, cost, now. Returns allowed, used.
const TAKE: &str = "
local limit, room, cost, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local used, at = 0, now
local kept = redis.call('GET', KEYS[1])
if kept then
  local u, a = string.match(kept, '^(%d+):(%-?%d+)$')
  if u then
    used, at = tonumber(u), tonumber(a)
    if now > at then
      used = math.max(0, used - (now - at) * limit)
      at = now
    end
  end
end
local allowed = 0
if used + cost <= room then
  allowed = 1
  used = used + cost
  if used > 0 then
    redis.call('SET', KEYS[1], string.format('%.0f:%.0f', used, at), 'PX', string.format('%.0f', math.ceil(used / limit) + 1000))
  end
end
return {allowed, string.format('%.0f', used)}
";

/// The way to the shared limits.
#[derive(Clone)]
pub(crate) struct Shared {
    current: Current,
    prefix: Arc<str>,
    resting: Arc<Mutex<Option<Instant>>>,
}

impl Shared {
    pub fn new(current: Current, namespace: &str) -> Shared {
        Shared { current, prefix: format!("{namespace}:limit:").into(), resting: Arc::default() }
    }

    /// `None` when Redis cannot say, within 50 ms at most.
    pub async fn take(&self, name: &str, rule: Rule, cost: u64, now: Millis) -> Option<Decision> {
        let mut connection = self.current.get()?;
        if self.resting.lock().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let mut script = redis::cmd("EVAL");
        script.arg(TAKE).arg(1).arg(format!("{}{name}", self.prefix));
        script.arg(rule.limit()).arg(rule.room()).arg(rule.units(cost)).arg(now);
        let outcome = timeout(PATIENCE, script.query_async::<(u64, u64)>(&mut connection)).await;
        match outcome {
            Ok(Ok((allowed, used))) => Some(rule.decision(allowed == 1, used, cost, true)),
            failed => {
                match failed {
                    Ok(Err(error)) => tracing::debug!(%error, "limits are not shared for a moment"),
                    _ => tracing::debug!("limits are not shared for a moment: no answer in time"),
                }
                *self.resting.lock() = Some(Instant::now() + REST);
                None
            }
        }
    }
}
