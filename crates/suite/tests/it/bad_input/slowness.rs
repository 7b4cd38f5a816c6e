//! Requests that do not arrive: nobody waits for them longer than configured, and they take nothing from others.

use super::{Expected, JSON, check, good, wire::Wire};
use angarium_suite::World;
use std::time::{Duration, Instant};

/// Far below what a server without these limits would take, far above what one with them does.
const SOON: Duration = Duration::from_secs(20);

async fn hasty() -> World {
    World::start_with("[http]\nheader_timeout = \"1s\"\nbody_timeout = \"1s\"").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_arrive_in_time_is_not_waited_for() {
    let world = hasty().await;
    let open = |headers: &[&str]| Wire::open(&world, "POST", "/events", headers);
    let timeout = || Expected::ProblemOrClosed(408, "request_timeout");
    let event = good(0);
    let rows = [
        ("half a request line", Wire::bytes("GET /v1/apps HT"), timeout()),
        ("a request line", Wire::bytes("GET /v1/apps HTTP/1.1\r\n"), timeout()),
        ("headers without an end", Wire::bytes("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "), timeout()),
        (
            "a body of which nothing comes",
            open(&[JSON, "Content-Length: 100"]),
            Expected::Problem(408, "request_timeout", "in time"),
        ),
        (
            "half a body",
            open(&[JSON, "Content-Length: 100"]).with(event.as_bytes()),
            Expected::Problem(408, "request_timeout", "in time"),
        ),
        (
            "chunks that stop",
            open(&[JSON, "Transfer-Encoding: chunked"]).with(b"1\r\n{\r\n"),
            Expected::Problem(408, "request_timeout", "in time"),
        ),
        (
            "half a form",
            Wire::head(
                "POST",
                "/t/bad",
                &["Content-Type: application/x-www-form-urlencoded", "Content-Length: 9"],
            )
            .with(b"a=1"),
            Expected::Problem(408, "request_timeout", "in time"),
        ),
    ];
    // All of them at once: none holds up another, nor whoever sends what is good.
    let world = &world;
    let slow = futures_util::future::join_all(rows.iter().map(async |(name, wire, expected)| {
        let since = Instant::now();
        let reply = wire.send(world).await;
        let found = match (&reply, expected) {
            (None, Expected::ProblemOrClosed(..)) => Ok(()),
            (None, _) => Err("the connection was closed without an answer".to_owned()),
            (Some(reply), expected) => check(reply, expected, 0),
        };
        found.unwrap_or_else(|why| panic!("{name}: {why}\n{reply:?}"));
        assert!(since.elapsed() < SOON, "{name} was waited for for {:?}", since.elapsed());
    }));
    let good = world.post("/events", "application/json", good(1));
    let (_, good) = tokio::join!(slow, good);
    assert_eq!(good.status, 202);
    assert_eq!(world.all_events().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_and_says_nothing_is_let_go() {
    let world = hasty().await;
    for (name, said) in
        [("nothing", ""), ("a letter", "P"), ("the start of an HTTP/2 preface", "PRI * HTTP/2.0\r\n")]
    {
        let since = Instant::now();
        let reply = tokio::time::timeout(SOON, Wire::bytes(said).send(&world)).await;
        let reply = reply.unwrap_or_else(|_| panic!("who says {name} holds a connection for ever"));
        assert!(reply.is_none_or(|reply| reply.status == 408), "{name}");
        assert!(since.elapsed() < SOON);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_announces_a_body_and_does_not_send_it_takes_nothing_from_others() {
    let world = World::start_with("[http]\nbody_timeout = \"30s\"").await;
    let silent = Wire::open(&world, "POST", "/events", &[JSON, "Content-Length: 16777216"]);
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(silent.begin(&world).await);
    }
    let reply = world.post("/events", "application/json", good(1)).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    drop(connections);
}
