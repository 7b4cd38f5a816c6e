//! The live feed: honest about what it drops, and resumed without a seam.

pub mod feed;
mod pace;
mod protocol;

use angarium_suite::{World, caller::read, eventually, stream_of};
use feed::{Feed, WAYS, Way};
use futures_util::{SinkExt, StreamExt};
use reqwest::header::ACCEPT;
use serde_json::{Value, json};
use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

async fn send_of(world: &World, kind: &str, numbers: Range<u64>, padding: usize) {
    let padding = "x".repeat(padding);
    let event = |n| format!("{}\n", json!({"type": kind, "params": {"n": n, "p": padding}}));
    let sent = world.post("/events", "application/x-ndjson", numbers.map(event).collect::<String>()).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
}

async fn send(world: &World, numbers: Range<u64>) {
    send_of(world, "n", numbers, 0).await;
}

fn number(frame: &Value) -> u64 {
    frame["data"]["params"]["n"].as_u64().unwrap_or_else(|| panic!("no record: {frame}"))
}

fn numbers(frames: &[Value]) -> Vec<u64> {
    frames.iter().map(number).collect()
}

fn range(numbers: Range<u64>) -> Vec<u64> {
    numbers.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_what_is_new_as_it_is_kept() {
    let world = World::start().await;
    for (way, first) in WAYS.into_iter().zip([0, 100]) {
        send(&world, first..first + 10).await;
        let mut feed = Feed::open(&world, way, "").await;
        send(&world, first + 10..first + 13).await;
        send(&world, first + 13..first + 20).await;
        let frames = feed.take(10).await;
        assert_eq!(numbers(&frames), range(first + 10..first + 20), "{way:?}");
        let kept = world.all_events().await;
        for (frame, record) in frames.iter().zip(&kept[kept.len() - 10..]) {
            assert_eq!(frame["stream"], "events");
            for member in ["cursor", "at", "data"] {
                assert_eq!(frame[member], record[member], "{way:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_lets_one_type_pass_also_behind_a_cursor() {
    let world = World::start().await;
    for way in WAYS {
        let mut feed = Feed::open(&world, way, "type=a").await;
        for n in 0..50 {
            send_of(&world, if n % 5 == 0 { "a" } else { "b" }, n..n + 1, 0).await;
        }
        let frames = feed.take(10).await;
        assert!(frames.iter().all(|frame| frame["data"]["type"] == "a"));
        assert_eq!(numbers(&frames), [0, 5, 10, 15, 20, 25, 30, 35, 40, 45], "{way:?}");
        let cursor = frames[3]["cursor"].as_str().expect("a cursor");
        let mut again = Feed::open(&world, way, &format!("type=a&after={cursor}&streams=events")).await;
        assert_eq!(numbers(&again.take(6).await), [20, 25, 30, 35, 40, 45], "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_let_pass_what_they_hold_for_and_are_refused_when_they_are_none() {
    let world = World::start().await;
    for way in WAYS {
        let query = "where=params.n%3E=3&where=params.n%3C40&where=type!=b&slow=gap";
        let mut feed = Feed::open(&world, way, query).await;
        for n in 0..50 {
            send_of(&world, if n % 5 == 0 { "a" } else { "b" }, n..n + 1, 0).await;
        }
        assert_eq!(numbers(&feed.take(7).await), [5, 10, 15, 20, 25, 30, 35], "{way:?}");
    }
    for (query, said) in [
        ("where=params.n", "a comparison is missing"),
        ("where=params..n=1", "at character 8"),
        ("slow=never", "`gap` or `disconnect`"),
    ] {
        let refused = world.get(&format!("/live?{query}")).await;
        assert_eq!((refused.status, &*refused.code()), (422, "invalid_parameter"), "{query}");
        assert!(refused.text().contains(said), "{}", refused.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_all_streams_resumes_in_each_of_them_while_somebody_writes() {
    let world = World::start().await;
    let (world, total) = (&world, 1_000);
    for way in WAYS {
        let first = Feed::open(world, way, "streams=*").await;
        let writing = async {
            for start in (0..total).step_by(20) {
                send(world, start..start + 20).await;
            }
        };
        let reading = async {
            let (mut feed, mut seen) = (first, Vec::new());
            while (seen.len() as u64) < total {
                let mut last = String::new();
                for frame in feed.take(50).await {
                    last = frame["cursor"].as_str().expect("a cursor").to_owned();
                    if frame["stream"] == "events" {
                        seen.push(number(&frame));
                    }
                }
                feed = Feed::open(world, way, &format!("streams=*&after={last}")).await;
            }
            seen
        };
        let (_, seen) = tokio::join!(writing, reading);
        assert_eq!(seen, range(0..total), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_reconnections_under_writes_repeat_nothing_and_miss_nothing() {
    let world = World::start().await;
    let (world, total) = (&world, 10_000);
    for way in WAYS {
        let first = Feed::open(world, way, "").await;
        let writing = async {
            let mut n = 0;
            while n < total {
                let end = total.min(n + fastrand::u64(1..40));
                send(world, n..end).await;
                n = end;
            }
        };
        let reading = async {
            let (mut feed, mut seen) = (first, Vec::new());
            for _ in 0..50 {
                let frames = feed.take(200).await;
                seen.extend(numbers(&frames));
                let cursor = frames.last().and_then(|frame| frame["cursor"].as_str()).expect("a cursor");
                feed = Feed::resume(world, way, cursor).await;
            }
            seen
        };
        let (_, seen) = tokio::join!(writing, reading);
        assert_eq!(seen.len() as u64, total);
        assert_eq!(seen, range(0..total), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_quiet_feed_is_gone_at_once() {
    let world = World::start().await;
    let address = world.url().trim_start_matches("http://").to_owned();
    let path = world.path("/live").replace(&world.url(), "");
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nAccept: text/event-stream\r\n\r\n",
        world.secret_key()
    );
    // Also who has said more than was asked for, which nobody reads.
    for more in ["", "\r\n", "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut line = TcpStream::connect(&address).await.expect("it listens");
        line.write_all(head.as_bytes()).await.expect("it is read");
        let (mut said, mut buffer) = (String::new(), [0; 4_096]);
        while !said.contains("\nid: ") {
            let read = line.read(&mut buffer).await.expect("the feed begins");
            said.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        assert_eq!(world.get("/live/presence").await.json()["connections"], 1);
        line.write_all(more.as_bytes()).await.expect("it is taken");
        line.shutdown().await.expect("the other direction stays open");
        // What is unread makes it a reset.
        while let Ok(read @ 1..) = line.read(&mut buffer).await {
            said.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        assert!(!said.contains(": ping"), "before anything else was written to it: {said}");
        eventually("its place is free", async || {
            (world.get("/live/presence").await.json()["connections"] == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_from_the_beginning_gets_everything_and_then_what_comes() {
    let world = World::start().await;
    let (world, stop) = (&world, &AtomicBool::new(false));
    send(world, 0..3_000).await;
    let streams = world.get("/streams").await.json();
    let events = stream_of(&streams, "events");
    let beginning = events["first"].as_str().expect("a cursor");
    let writing = async {
        let mut n = 3_000;
        while !stop.load(Relaxed) {
            send(world, n..n + 10).await;
            n += 10;
        }
    };
    let reading = async {
        for way in WAYS {
            let mut feed = Feed::resume(world, way, beginning).await;
            assert_eq!(numbers(&feed.take(3_200).await), range(0..3_200), "{way:?}");
        }
        stop.store(true, Relaxed);
    };
    tokio::join!(writing, reading);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_cursor_has_been_overtaken_by_retention_is_told() {
    if angarium_suite::on_kafka() {
        return; // Kafka does it, as its topics are told, and does not say how many bytes there are.
    }
    let config = "[retention.events]\nbytes = 40000\n[streams]\nretention_every = \"100ms\"";
    let mut world = World::start_with(config).await;
    for start in (0..200).step_by(10) {
        let noise = || (0..900).map(|_| fastrand::alphanumeric()).collect::<String>();
        let lines = (start..start + 10)
            .map(|n| format!("{}\n", json!({"type": "n", "params": {"n": n, "noise": noise()}})));
        assert_eq!(
            world.post("/events", "application/x-ndjson", lines.collect::<String>()).await.status,
            202
        );
    }
    let first = eventually("old records are removed", async || {
        let list = world.get("/streams").await.json();
        let stream = stream_of(&list, "events");
        (stream["bytes"].as_u64()? <= 40_000).then(|| 200 - stream["records"].as_u64().expect("a count"))
    })
    .await;
    world.restart().await;
    for way in WAYS {
        let mut feed = Feed::resume(&world, way, "cevents-5").await;
        let gap = feed.next().await.expect("a frame");
        assert_eq!([&gap["gap"], &gap["stream"]], [&json!(first - 5), &json!("events")], "{way:?}");
        assert_eq!(gap["from"], "cevents-5", "{way:?}");
        assert_eq!(numbers(&feed.take(3).await), range(first..first + 3), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_feeds_and_says_so() {
    let mut world = World::start().await;
    let mut feeds = Vec::new();
    for n in 0..20 {
        feeds.push(Feed::open(&world, WAYS[n % 2], "").await);
    }
    send(&world, 0..5).await;
    world.ask_to_stop();
    for (n, feed) in feeds.iter_mut().enumerate() {
        assert_eq!(numbers(&feed.take(5).await), range(0..5));
        assert!(feed.next().await.is_none(), "{:?}", WAYS[n % 2]);
    }
    assert!(world.end().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_do_not_read_do_not_hold_up_a_stop() {
    let mut world = World::start().await;
    let _stuck = [Feed::open(&world, Way::Sse, "").await, Feed::open_narrow(&world, "").await];
    for start in (0..6_000).step_by(500) {
        send_of(&world, "n", start..start + 500, 4_000).await;
    }
    let since = Instant::now();
    assert!(world.terminate().await.success());
    assert!(since.elapsed() < Duration::from_secs(20), "the stop took {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_only_so_many_readers_at_a_time() {
    let world = World::start_with("[live]\nreaders = 2").await;
    let refused = async || {
        let request = world.http().get(world.path("/live")).bearer_auth(world.secret_key());
        read(request.header(ACCEPT, "text/event-stream").header("Last-Event-ID", "x"))
            .await
            .expect("an answer")
    };
    let full = async || {
        let third = refused().await;
        assert_eq!((third.status, &*third.code()), (503, "too_many_readers"));
        assert_eq!(third.header("content-type"), "application/problem+json");
        assert!(third.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));
    };
    let (one, two) = (Feed::open(&world, Way::Sse, "").await, Feed::open(&world, Way::WebSocket, "").await);
    full().await;
    let mut staying = Vec::new();
    for leaving in [two, one] {
        drop(leaving);
        eventually("a place is free", async || {
            // That nobody is there any more shows when something is sent to them.
            send(&world, 0..1).await;
            (refused().await.code() == "invalid_cursor").then_some(())
        })
        .await;
        staying.push(Feed::open(&world, Way::WebSocket, "").await);
        full().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_and_a_key_have_only_so_many_readers_and_others_have_theirs() {
    for (config, what) in [("per_app = 2", "the app has 2"), ("per_principal = 2", "the key or user has 2")] {
        let world = World::start_with(&format!("[live]\n{config}")).await;
        let staying = [Feed::open(&world, WAYS[0], "").await, Feed::open(&world, WAYS[1], "").await];
        let refused = async || {
            let request = world.http().get(world.path("/live")).bearer_auth(world.secret_key());
            let request = request.header(ACCEPT, "text/event-stream").header("Last-Event-ID", "x");
            read(request).await.expect("an answer")
        };
        let third = refused().await;
        assert_eq!((third.status, &*third.code()), (429, "too_many_connections"), "{config}");
        assert!(third.text().contains(what), "{}", third.text());
        assert!(third.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));
        drop(staying);
        eventually("the places are free", async || {
            send(&world, 0..1).await;
            (refused().await.code() == "invalid_cursor").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_says_is_not_listened_to_and_a_long_speech_ends_the_feed() {
    let world = World::start().await;
    let Feed::WebSocket(mut talker) = Feed::open(&world, Way::WebSocket, "").await else {
        unreachable!("it was asked for")
    };
    talker.send(Message::text("hello")).await.expect("it is taken");
    talker.send(Message::Ping("are you there".into())).await.expect("it is taken");
    send(&world, 0..1).await;
    // Whichever comes first, both come.
    let (mut pong, mut frame) = (false, false);
    while !(pong && frame) {
        let next = talker.next().await.expect("the feed goes on").expect("it holds");
        pong |= next.is_pong();
        frame |= next.is_text();
    }
    let speech = talker.send(Message::text("x".repeat(1 << 20))).await;
    let ended = async {
        while let Some(Ok(message)) = talker.next().await {
            assert!(!message.is_text());
        }
    };
    assert!(speech.is_err() || tokio::time::timeout(angarium_suite::GUARD, ended).await.is_ok());
    assert_eq!(world.open("/health/live").await.status, 200);
}
