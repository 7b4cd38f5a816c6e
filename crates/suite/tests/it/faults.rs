//! PostgreSQL and Redis that fail under load: what was acknowledged is kept, nothing is kept twice, health says what is
//! going on, and it is over when they are back.

use crate::fleet::{all_is_there_once, more_is_acknowledged};
use crate::group_reader::GroupReader;
use crate::live::feed::{Feed, Way};
use crate::writers::Writers;
use angarium_suite::{
    Caller, On, Oracle, OwnServer, Servers, Setup, World, eventually, is_long, note, on_kafka, skip,
};
use serde_json::json;
use std::sync::Arc;

/// Two processes under load, read by a group.
struct Loaded {
    worlds: [World; 2],
    oracle: Arc<Oracle>,
    writers: Writers,
    reader: GroupReader,
}

impl Loaded {
    /// On the stack, but for the servers of one's own. `None` where there is no stack.
    async fn start(own: impl FnOnce(&mut Servers)) -> Option<Loaded> {
        let mut servers = stack()?;
        own(&mut servers);
        let worlds: [World; 2] =
            World::start_together(Setup { on: On::Servers(servers), ..Setup::default() }).await;
        let (oracle, balanced) = (Arc::new(Oracle::default()), Caller::balanced(&[&worlds[0], &worlds[1]]));
        let writers = Writers::start(&balanced, &oracle);
        Some(Loaded { worlds, oracle, writers, reader: GroupReader::start(balanced) })
    }

    async fn more_is_acknowledged(&self, more: usize) {
        more_is_acknowledged(&self.oracle, more).await;
    }

    async fn are_ready(&self) {
        for world in &self.worlds {
            let what = "the process becomes ready by itself";
            eventually(what, async || (world.open("/health/ready").await.status == 200).then_some(())).await;
        }
    }

    async fn finish_and_check(self) {
        self.more_is_acknowledged(100).await;
        self.are_ready().await;
        self.writers.stop().await;
        all_is_there_once(&self.worlds, &self.oracle, Some(self.reader)).await;
    }
}

/// `None`, which has been said then, where the suite does not run on the stack.
fn stack() -> Option<Servers> {
    let servers = Servers::of_stack();
    if servers.is_none() {
        skip("optional: servers that fail need the stack (`cargo xtask test --stack`)");
    }
    servers
}

fn rounds() -> usize {
    if is_long() { 20 } else { 3 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_postgres_that_end_under_load_lose_nothing() {
    let Some(loaded) = Loaded::start(|_| {}).await else { return };
    let mut cut = 0;
    for _ in 0..rounds() {
        loaded.more_is_acknowledged(200).await;
        cut += loaded.worlds[0].place().expect("it is on the stack").cut().await;
        loaded.are_ready().await;
    }
    // In one round there may be few: a connection that ended is made anew when it is needed.
    assert!(cut >= 2, "two processes had {cut} connections");
    note(&format!("{cut} connections were ended; {} requests were refused", loaded.writers.refused()));
    assert_eq!(loaded.writers.broken(), 0, "a request was not answered");
    loaded.finish_and_check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_is_killed_under_load_loses_nothing_acknowledged() {
    if stack().is_none() {
        return;
    }
    let Some(mut postgres) = OwnServer::postgres().await else { return };
    let url = postgres.url();
    let Some(loaded) = Loaded::start(|servers| servers.postgres = url).await else { return };
    for _ in 0..rounds() {
        loaded.more_is_acknowledged(200).await;
        let refused = loaded.writers.refused();
        postgres.kill();
        if on_kafka() {
            // Events do not need it.
            loaded.more_is_acknowledged(200).await;
        } else {
            let what = "writes are refused";
            eventually(what, async || (loaded.writers.refused() > refused + 20).then_some(())).await;
        }
        for world in &loaded.worlds {
            the_store_is_called_sick(world).await;
        }
        postgres.start().await;
        loaded.are_ready().await;
    }
    note(&format!("{} requests were refused", loaded.writers.refused()));
    assert_eq!(loaded.writers.broken(), 0, "a request was not answered");
    loaded.finish_and_check().await;
}

async fn the_store_is_called_sick(world: &World) {
    let what = "readiness names the store";
    eventually(what, async || (world.open("/health/ready").await.status == 503).then_some(())).await;
    let ready = world.open("/health/ready").await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    let parts = &ready.json()["parts"];
    assert_ne!(parts["store"]["status"], "ready", "{parts}");
    assert!(parts["store"]["detail"].is_string(), "{parts}");
    assert_eq!(parts["http"]["status"], "ready", "{parts}");
    let live = world.open("/health/live").await.status;
    assert_eq!(live, 200, "a database that is away is no reason to restart the process");
    assert!(world.open("/metrics").await.text().contains("\nangarium_store_healthy 0\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_flushed_under_load_does_no_harm() {
    if stack().is_none() {
        return;
    }
    let Some(redis) = OwnServer::redis().await else { return };
    let url = redis.url();
    let Some(loaded) = Loaded::start(|servers| servers.redis = url).await else { return };
    for round in 0..rounds() {
        loaded.more_is_acknowledged(200).await;
        assert!(redis.redis_command("FLUSHALL").await.starts_with("+OK"));
        is_seen_live_at_the_other(&loaded, round).await;
    }
    assert_eq!((loaded.writers.refused(), loaded.writers.broken()), (0, 0), "Redis is in nobody's way");
    loaded.finish_and_check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_under_load_does_no_harm() {
    if stack().is_none() {
        return;
    }
    let Some(mut redis) = OwnServer::redis().await else { return };
    let url = redis.url();
    let Some(loaded) = Loaded::start(|servers| servers.redis = url).await else { return };
    for round in 0..rounds() {
        loaded.more_is_acknowledged(200).await;
        redis.kill();
        loaded.more_is_acknowledged(200).await;
        is_seen_live_at_the_other(&loaded, 2 * round).await;
        let name = format!("renamed in round {round}");
        assert_eq!(loaded.worlds[0].patch("", &json!({ "name": name })).await.status, 200);
        eventually("a change is seen at the other", async || {
            (loaded.worlds[1].get("").await.json()["name"] == *name).then_some(())
        })
        .await;
        the_feed_is(&loaded, "degraded").await;
        redis.start().await;
        the_feed_is(&loaded, "ready").await;
        is_seen_live_at_the_other(&loaded, 2 * round + 1).await;
    }
    assert_eq!((loaded.writers.refused(), loaded.writers.broken()), (0, 0), "Redis is in nobody's way");
    loaded.finish_and_check().await;
}

/// Readiness says so, and yes: what is accepted does not hang on Redis.
async fn the_feed_is(loaded: &Loaded, state: &str) {
    for world in &loaded.worlds {
        eventually(&format!("readiness says that the feed is {state}"), async || {
            let ready = world.open("/health/ready").await;
            assert_eq!(ready.status, 200, "{}", ready.text());
            (ready.json()["parts"]["feed"]["status"] == *state).then_some(())
        })
        .await;
    }
}

/// What is sent to one process comes to who watches at the other.
async fn is_seen_live_at_the_other(loaded: &Loaded, mark: usize) {
    let [one, two] = &loaded.worlds;
    let mut feed = Feed::open(two, Way::Sse, "type=mark").await;
    let event = json!({"type": "mark", "params": {"mark": mark}}).to_string();
    assert_eq!(one.post("/events", "application/json", event).await.status, 202);
    let frame = feed.next().await.expect("the feed goes on");
    assert_eq!(frame["data"]["params"]["mark"], mark);
}
