//! Readers that are too slow: what they are told, what they cost, and that nobody else notices.

use super::{Feed, Way, number, numbers, range, send_of};
use angarium_suite::{Setup, World};
use futures_util::StreamExt;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

/// More than a batch, which Kafka may hand on in several parts; much less than all.
const BACKLOG: u64 = 512 << 10;
/// Events that are sent at a time.
const BATCH: u64 = 50;
/// Enough to fill every buffer between server and reader several times over.
const PADDING: usize = 4_000;
const TOTAL: u64 = 6_000;

async fn worlds() -> Vec<World> {
    let config = format!("[live]\nbacklog = {BACKLOG}");
    World::near_and_far(Setup { config, ..Setup::default() }).await
}

/// Sends it all, and has a fast reader see that not a frame is missing.
async fn send_all(world: &World, fast: &mut Feed) {
    for start in (0..TOTAL).step_by(BATCH as usize) {
        send_of(world, "n", start..start + BATCH, PADDING).await;
        // In step with the writer it is never far behind.
        assert_eq!(numbers(&fast.take(BATCH as usize).await), range(start..start + BATCH));
    }
}

/// The `n` records behind a cursor, and where they end.
async fn fetch(world: &World, from: &str, n: u64) -> (Vec<u64>, String) {
    let (mut fetched, mut next) = (Vec::new(), from.to_owned());
    while (fetched.len() as u64) < n {
        let limit = (n - fetched.len() as u64).min(1_000);
        let page = world.get(&format!("/streams/events/records?after={next}&limit={limit}")).await.json();
        fetched.extend(numbers(page["items"].as_array().expect("items")));
        next = page["next"].as_str().expect("a cursor").to_owned();
    }
    (fetched, next)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_told_exactly_what_it_missed_and_holds_up_nobody() {
    let worlds = worlds().await;
    let world = worlds.last().expect("a world");
    let mut slow = Feed::open_narrow(world, "").await;
    let mut fast = Feed::open(world, Way::Sse, "").await;
    send_all(&worlds[0], &mut fast).await;
    let (mut seen, mut missed) = (0, 0);
    while seen + missed < TOTAL {
        let frame = slow.next().await.expect("the feed goes on");
        let Some(n) = frame["gap"].as_u64() else {
            assert_eq!(
                number(&frame),
                seen + missed,
                "what comes is in order, and gaps say how much does not"
            );
            seen += 1;
            continue;
        };
        assert_eq!(frame["stream"], "events");
        let (fetched, end) = fetch(world, frame["from"].as_str().expect("a cursor"), n).await;
        assert_eq!(fetched, range(seen + missed..seen + missed + n), "what was missed can be fetched");
        assert_eq!(frame["cursor"], *end, "and ends where the feed goes on");
        missed += n;
    }
    assert!(missed > 0, "the reader was slow, and nothing was dropped for it");
    assert!(seen > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_that_asked_for_it_is_sent_away_and_resumes_where_it_was() {
    let worlds = worlds().await;
    let world = worlds.last().expect("a world");
    let Feed::WebSocket(mut slow) = Feed::open_narrow(world, "slow=disconnect").await else {
        unreachable!("it was asked for")
    };
    let mut fast = Feed::open(world, Way::Sse, "").await;
    send_all(&worlds[0], &mut fast).await;
    let (mut seen, mut last) = (Vec::new(), String::new());
    let goodbye = loop {
        match slow.next().await.expect("a goodbye").expect("the connection holds") {
            Message::Text(text) => {
                let frame: Value = serde_json::from_str(&text).expect("JSON");
                seen.push(number(&frame));
                last = frame["cursor"].as_str().expect("a cursor").to_owned();
            }
            Message::Close(Some(why)) => break why,
            _ => {}
        }
    };
    assert_eq!(u16::from(goodbye.code), 4_008);
    assert!(goodbye.reason.ends_with(&last), "{} and {last}", goodbye.reason);
    assert_eq!(seen, range(0..seen.len() as u64));
    assert!((seen.len() as u64) < TOTAL, "the reader was slow, and was not sent away");
    // Who comes back far behind is not sent away again.
    let mut back = Feed::open(world, Way::WebSocket, &format!("slow=disconnect&after={last}")).await;
    assert_eq!(numbers(&back.take(TOTAL as usize - seen.len()).await), range(seen.len() as u64..TOTAL));
}

/// What readers that never read may add to the server's memory.
const MOST_MIB: u64 = 48;
const STUCK: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_never_read_cost_no_memory_and_a_hundred_thousand_messages_reach_who_does() {
    const MESSAGES: u64 = 100_000;
    let worlds = World::near_and_far(Setup::default()).await;
    let (near, world) = (&worlds[0], worlds.last().expect("a world"));
    send_of(near, "n", 0..1, 0).await;
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        stuck.push(Feed::open_narrow(world, "").await);
    }
    let mut fast = Feed::open(world, Way::WebSocket, "").await;
    let before = anonymous_mib(world);
    let (mut expected, batch) = (1, 1_000);
    let mut peak = before;
    while expected <= MESSAGES {
        send_of(near, "n", expected..expected + batch, 200).await;
        assert_eq!(numbers(&fast.take(batch as usize).await), range(expected..expected + batch));
        expected += batch;
        peak = peak.max(anonymous_mib(world));
    }
    println!("{before} MiB before, {peak} MiB at the highest, with {STUCK} readers who never read");
    // The tail in memory and the shelf of what is rendered are in it.
    assert!(peak - before < MOST_MIB + 24, "{peak} MiB after {before}");
    // The slow ones are told, and what was missed is exactly what they are told.
    let mut one = stuck.pop().expect("there are some");
    let (mut at, mut gaps) = (1, 0);
    while at < expected {
        let frame = one.next().await.expect("the feed goes on");
        match frame["gap"].as_u64() {
            Some(n) => (at, gaps) = (at + n, gaps + 1),
            None => {
                assert_eq!(number(&frame), at);
                at += 1;
            }
        }
    }
    assert!(gaps > 0, "nothing was dropped for a reader who did not read");
}

fn anonymous_mib(world: &World) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1_024
}
