//! The promises of the feed port, each with a test that fails when it is broken, on every engine.
//!
//! `STACK_REDIS` and `STACK_POSTGRES` name servers; each test has a namespace of its own there. What needs a
//! server that can be stopped starts its own Redis ([`servers`]).

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use angarium_base::Clock;
use angarium_feed::{Delivery, Feed, Subscription, Target};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Runs promises of a module on every engine that is there.
macro_rules! on_every_engine {
    ($($promise:ident)+) => {
        on_every_engine!(@ local $($promise)+);
        on_every_engine!(@ redis $($promise)+);
        on_every_engine!(@ postgres $($promise)+);
    };
    (@ $engine:ident $($promise:ident)+) => {
        mod $engine {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                if let Some(world) = crate::World::$engine() {
                    super::$promise(world).await;
                }
            })+
        }
    };
}

#[path = "contract/limits.rs"]
mod limits;
#[path = "contract/messages.rs"]
mod messages;
#[path = "contract/outages.rs"]
mod outages;
#[path = "contract/servers.rs"]
mod servers;
#[path = "contract/subscribers.rs"]
mod subscribers;
#[path = "contract/tls.rs"]
mod tls;

/// How long anything may take before it counts as never.
const NEVER: Duration = Duration::from_secs(20);

/// An engine, and a namespace of its own on it.
struct World {
    target: Target,
    namespace: String,
}

impl World {
    fn new(target: Target) -> World {
        World { target, namespace: format!("test-{:016x}", fastrand::u64(..)) }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the other engines may not be there")]
    fn local() -> Option<World> {
        Some(World::new(Target::Local))
    }

    fn redis() -> Option<World> {
        Some(World::new(set("STACK_REDIS")?.parse().unwrap()))
    }

    fn postgres() -> Option<World> {
        Some(World::new(set("STACK_POSTGRES")?.parse().unwrap()))
    }

    fn is_remote(&self) -> bool {
        self.target != Target::Local
    }

    /// A feed as it is at the start, connected or not.
    async fn open(&self) -> Feed {
        Feed::open(&self.target, &self.namespace, Clock::system()).await.unwrap()
    }

    /// A feed that is connected.
    async fn feed(&self) -> Feed {
        let feed = self.open().await;
        until("connected", || feed.status().connected).await;
        feed
    }

    /// Two processes; where there is only one, twice the same.
    async fn two(&self) -> (Feed, Feed) {
        let one = self.feed().await;
        let two = if self.is_remote() { self.feed().await } else { one.clone() };
        (one, two)
    }

    /// A subscription that hears other processes.
    async fn subscribed(&self, feed: &Feed, topic: &str) -> Subscription {
        let mut subscription = feed.subscribe(topic);
        if self.is_remote() {
            assert_eq!(next(&mut subscription).await, Some(Delivery::Reconnected));
        }
        subscription
    }
}

/// A variable of the environment; its absence is said.
#[allow(clippy::disallowed_methods, reason = "tests have no config to read it")]
fn set(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        skipped(&format!("{name} is not set"));
    }
    value
}

#[allow(clippy::print_stdout, reason = "who runs the tests is to read it")]
fn skipped(why: &str) {
    println!("skipped: optional: {why}");
}

/// The next delivery, or a failed test: nothing may hang.
async fn next(subscription: &mut Subscription) -> Option<Delivery> {
    soon(subscription.next()).await
}

async fn message(subscription: &mut Subscription) -> Bytes {
    match next(subscription).await {
        Some(Delivery::Message(message)) => message,
        other => panic!("no message but {other:?}"),
    }
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(NEVER, future).await.expect("an answer")
}

/// Waits until `fact` holds.
async fn until(what: &str, mut fact: impl FnMut() -> bool) {
    let started = Instant::now();
    while !fact() {
        assert!(started.elapsed() < NEVER, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
