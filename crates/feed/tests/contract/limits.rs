//! Rate limits: exact, shared where there is Redis, and never in the way.

use crate::{World, servers::OwnRedis, until};
use angarium_base::Clock;
use angarium_feed::{
    Feed,
    limits::{Decision, Limiter, Rule},
};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

on_every_engine! {
    a_limit_is_exact_under_concurrency
    tokens_come_back_as_the_clock_goes
    keys_and_rules_are_apart
}

/// Two processes whose clocks stand still, where there can be two.
async fn two(world: &World, clock: &Clock) -> (Feed, Feed) {
    let open = || async { Feed::open(&world.target, &world.namespace, clock.clone()).await.unwrap() };
    let (one, two) = (open().await, open().await);
    until("connected", || one.status().connected && two.status().connected).await;
    (one, two)
}

fn is_shared(world: &World) -> bool {
    world.target.engine() == "redis"
}

async fn a_limit_is_exact_under_concurrency(world: World) {
    const LIMIT: usize = 100;
    let (one, two) = two(&world, &Clock::manual(1_000_000)).await;
    let (one, two) = (one.limiter(), two.limiter());
    let rule = Rule::new(LIMIT as u64, HOUR);
    for attempt in 0..10 {
        let tasks: Vec<_> = (0..16)
            .map(|task| {
                // Where nothing is shared, 16 tasks of one process.
                let limiter = if is_shared(&world) && task % 2 == 0 { two.clone() } else { one.clone() };
                tokio::spawn(async move {
                    let mut decisions = Vec::new();
                    for _ in 0..20 {
                        decisions.push(limiter.check(&format!("key-{attempt}"), rule, 1).await);
                    }
                    decisions
                })
            })
            .collect();
        let mut decisions: Vec<Decision> = Vec::new();
        for task in tasks {
            decisions.extend(task.await.unwrap());
        }
        if decisions.iter().any(|decision| decision.shared != is_shared(&world)) {
            // This machine was too busy to answer within 50 ms, and said so: nothing is promised then.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        assert_eq!(decisions.iter().filter(|decision| decision.allowed).count(), LIMIT);
        let mut left: Vec<_> = decisions.iter().filter(|d| d.allowed).map(|d| d.remaining).collect();
        left.sort_unstable();
        assert_eq!(left, (0..LIMIT as u64).collect::<Vec<_>>());
        return;
    }
    panic!("Redis never answered in time");
}

async fn tokens_come_back_as_the_clock_goes(world: World) {
    let clock = Clock::manual(1_000_000);
    let (feed, _) = two(&world, &clock).await;
    let (limiter, model) = (feed.limiter(), Limiter::local(clock.clone()));
    let rules = [Rule::new(3, HOUR), Rule::new(1000, HOUR).burst(7), Rule::new(7, HOUR).burst(1000)];
    let mut random = fastrand::Rng::with_seed(7);
    for step in 0..300 {
        clock.advance(random.i64(0..400_000));
        let (rule, cost) = (rules[random.usize(0..rules.len())], random.u64(0..5));
        let mut decision = limiter.check("key", rule, cost).await;
        if is_shared(&world) && !decision.shared {
            crate::skipped(&format!(
                "busy: no answer within 50 ms at step {step}, what follows says nothing"
            ));
            return;
        }
        decision.shared = false;
        assert_eq!(decision, model.check("key", rule, cost).await, "step {step}: {cost} of {rule}");
    }
}

async fn keys_and_rules_are_apart(world: World) {
    let (feed, _) = two(&world, &Clock::manual(0)).await;
    let limiter = feed.limiter();
    let (one, more) = (Rule::new(1, HOUR), Rule::new(2, HOUR));
    let long = "k".repeat(5000);
    for key in ["a", "b", &long, "{x}", "a\nb"] {
        assert!(limiter.check(key, one, 1).await.allowed, "{key}");
        assert!(limiter.check(key, more, 1).await.allowed, "{key}");
    }
    assert!(!limiter.check("a", one, 2).await.allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_gone_each_process_limits_for_itself_and_later_together_again() {
    let Some(mut server) = OwnRedis::new() else { return };
    server.start().await;
    let (feed, _) = two(&server.world(), &Clock::manual(0)).await;
    let limiter = feed.limiter();
    let rule = Rule::new(5, HOUR);
    shared_again(&limiter, rule).await;

    server.kill();
    let alone = limiter.check("key", rule, 5).await;
    assert_eq!((alone.allowed, alone.shared, alone.remaining), (true, false, 0));
    assert!(!limiter.check("key", rule, 1).await.allowed, "it limits all the same");

    server.start().await;
    shared_again(&limiter, rule).await;
    let together = limiter.check("key", rule, 5).await;
    assert!(together.allowed && together.shared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_does_not_answer_holds_nobody_up() {
    let Some(mut server) = OwnRedis::new() else { return };
    server.start().await;
    let (feed, _) = two(&server.world(), &Clock::manual(0)).await;
    let limiter = feed.limiter();
    let rule = Rule::new(1000, HOUR);
    shared_again(&limiter, rule).await;

    server.signal("STOP");
    let started = Instant::now();
    for _ in 0..200 {
        assert!(!limiter.check("key", rule, 1).await.shared);
    }
    // One wait of 50 ms, and one a second from then on; one by one it would be ten seconds.
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    server.signal("CONT");
    shared_again(&limiter, rule).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_in_redis_expire_when_they_are_full_again() {
    let Some(mut server) = OwnRedis::new() else { return };
    server.start().await;
    let world = server.world();
    let (feed, _) = two(&world, &Clock::manual(0)).await;
    let limiter = feed.limiter();
    let rule = Rule::new(2, HOUR);
    shared_again(&limiter, rule).await;
    assert_eq!(server.command(&["DBSIZE"]).await, ::redis::Value::Int(0), "looking leaves nothing");
    assert!(limiter.check("key", rule, 1).await.shared);
    let key = format!("{}:limit:key:{rule}", world.namespace);
    let ::redis::Value::Int(left_ms) = server.command(&["PTTL", &key]).await else { panic!("no number") };
    assert!((1_790_000..=1_801_000).contains(&left_ms), "{left_ms}");
    server.command(&["FLUSHALL"]).await;
    server.command(&["SET", &key, "nonsense"]).await;
    assert_eq!(limiter.check("key", rule, 1).await.remaining, 1);
}

/// Waits until Redis is asked; a look costs nothing.
async fn shared_again(limiter: &Limiter, rule: Rule) {
    let started = Instant::now();
    while !limiter.check("look", rule, 0).await.shared {
        assert!(started.elapsed() < crate::NEVER, "never shared");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
