//! The feed by the browser's own EventSource.

use super::driver::Browser;
use crate::{breaker::Breaker, centrifugo::live_token};
use angarium_suite::{Setup, World, eventually, note, stream_of};
use serde_json::json;

/// Follows a feed, and counts. What a record says is not trusted: it is what its place says.
const FOLLOW: &str = "
    window.said = { events: 0, repeated: 0, missing: 0, wrong: 0, opened: 0, broken: 0, ended: false, last: false };
    let next = 0;
    const source = new EventSource(URL);
    source.onopen = () => { said.opened += 1; };
    source.onerror = () => {
        said.broken += 1;
        said.ended = source.readyState === EventSource.CLOSED;
    };
    source.addEventListener('gap', () => { said.wrong += 1; });
    source.onmessage = (event) => {
        const record = JSON.parse(event.data);
        const n = record.data.params.n;
        said.events += 1;
        if (n < next) said.repeated += 1;
        if (n > next) said.missing += n - next;
        if (event.lastEventId !== record.cursor) said.wrong += 1;
        next = Math.max(next, n + 1);
        if (record.data.type === 'last') {
            said.last = true;
            source.close();
        }
    };
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_breaks_repeat_nothing_and_miss_nothing_for_an_event_source() {
    const BREAKS: usize = 1_000;
    let config = "[live]\nretry = \"1ms\"".to_owned();
    let worlds = World::near_and_far(Setup { config, ..Setup::default() }).await;
    let world = worlds.last().expect("a world");
    let Some(browser) = Browser::start().await else { return };
    let events = stream_of(&world.get("/streams").await.json(), "events").clone();
    let beginning = events["first"].as_str().expect("a cursor");
    let token = live_token(world, world.secret_key(), json!({"streams": ["events"], "ttl_s": 900})).await;
    // An EventSource gives up for good when a head is cut in two, as this browser takes what is left for a whole one.
    let breaker = Breaker::start_sparing(&world.url(), BREAKS, 10.0..16.0).await;
    // A page whose policy lets it connect to where it comes from, and which does not do so by itself without a key.
    browser.open(&format!("http://{}/", breaker.address)).await;
    breaker.begin();
    let feed = world.path(&format!("/live?after={beginning}&token={token}")).replace(&world.url(), "");
    browser.run(&FOLLOW.replace("URL", &json!(feed).to_string())).await;
    let caller = worlds[0].caller().without_pool();
    let send = async |lines: String| {
        let sent = caller.try_post("/events", "application/x-ndjson", lines).await.expect("an answer");
        assert_eq!(sent.status, 202, "{}", sent.text());
    };
    let line = |kind: &str, n: u64| format!("{}\n", json!({"type": kind, "params": {"n": n}}));
    let mut n = 0;
    while breaker.broken() < BREAKS {
        let end = n + fastrand::u64(1..20);
        send((n..end).map(|n| line("n", n)).collect()).await;
        n = end;
        if n % 97 == 0 {
            assert_eq!(browser.run("return said.ended").await, false, "it has given up");
        }
    }
    send(line("last", n)).await;
    let said = eventually("the last record is there", async || {
        let said = browser.run("return said").await;
        (said["last"] == true || said["ended"] == true).then_some(said)
    })
    .await;
    note(&format!("{BREAKS} breaks (EventSource): {said}"));
    for none in ["repeated", "missing", "wrong"] {
        assert_eq!(said[none], 0, "{said}");
    }
    assert_eq!((&said["last"], &said["events"]), (&json!(true), &json!(n + 1)), "{said}");
    assert!(said["opened"].as_u64() > Some(BREAKS as u64 / 2), "{said}");
}
