//! The live feed for clients of Centrifugo: their own library, and what it says on the wire.

mod client;

use crate::{
    backup,
    breaker::Breaker,
    sdks::libraries::Libraries,
    tenants::{Issuers, Tenant, text},
};
use angarium_suite::{Setup, World, embedded_only, eventually, tokens::now_s};
use client::{Client, offsets};
use serde_json::{Value, json};
use std::ops::Range;

async fn send_padded(world: &World, kind: &str, numbers: Range<u64>, padding: usize) {
    let padding = "x".repeat(padding);
    let event = |n| format!("{}\n", json!({"type": kind, "params": {"n": n, "p": padding}}));
    // A connection that is kept may be closed by the server in the moment in which it is used again.
    let caller = world.caller().without_pool();
    let sent =
        caller.try_post("/events", "application/x-ndjson", numbers.map(event).collect::<String>()).await;
    let sent = sent.expect("an answer");
    assert_eq!(sent.status, 202, "{}", sent.text());
}

async fn send(world: &World, numbers: Range<u64>) {
    send_padded(world, "n", numbers, 0).await;
}

fn range(numbers: Range<u64>) -> Vec<u64> {
    numbers.collect()
}

fn recovered(subscribed: &Value) -> Vec<u64> {
    offsets(subscribed["publications"].as_array().map_or(&[][..], Vec::as_slice))
}

/// Their library behind a line that breaks, while events come.
async fn followed_through_breaks(encoding: &str, breaks: usize) {
    let Some(libraries) = Libraries::for_centrifugo().await else { return };
    let worlds = World::near_and_far(Setup::default()).await;
    let world = worlds.last().expect("a world");
    let breaker = Breaker::start(&world.url(), breaks, 8.0..16.0).await;
    let url = format!("ws://{}/connection/websocket", breaker.address);
    let arguments = [&*url, world.secret_key(), "events", encoding];
    let writing = async {
        let mut n = 0;
        while breaker.broken() < breaks {
            let end = n + fastrand::u64(1..20);
            send(&worlds[0], n..end).await;
            n = end;
        }
        send_padded(&worlds[0], "last", n..n + 1, 0).await;
        n + 1
    };
    let (ran, sent) = tokio::join!(libraries.run("follow_channel.js", &arguments), writing);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said: Value = serde_json::from_str(&ran.stdout).expect("it says what came");
    angarium_suite::note(&format!("{breaks} breaks ({encoding}): {said}"));
    for none in ["repeated", "missing", "wrong", "unrecovered"] {
        assert_eq!(said[none], 0, "{said}");
    }
    assert_eq!((&said["first"], &said["offsets"]), (&json!(1), &json!(sent)), "{said}");
    // Some break before the client is connected, and of those it knows nothing.
    assert!(said["connected"].as_u64() > Some(breaks as u64 / 2), "{said}");
    assert!(said["recovered"].as_u64() > Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_breaks_repeat_nothing_and_miss_nothing_for_their_own_library() {
    followed_through_breaks("json", 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_phones_speak_is_as_good() {
    followed_through_breaks("protobuf", 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_frame_connects_and_subscribes_and_publications_follow() {
    let world = World::start().await;
    send(&world, 0..3).await;
    let mut client = Client::open(&world).await;
    let frame = [
        json!({ "connect": { "token": world.secret_key(), "name": "js" }, "id": 1 }),
        json!({ "subscribe": { "channel": "events", "flag": 1 }, "id": 2 }),
    ];
    client.say(&frame.map(|command| command.to_string()).join("\n")).await;
    let connected = client.next().await.expect("an answer");
    assert_eq!((&connected["id"], &connected["connect"]["pong"]), (&json!(1), &json!(true)));
    assert!(connected["connect"]["ping"].as_u64() > Some(0), "{connected}");
    let subscribed = client.next().await.expect("an answer");
    assert_eq!((&subscribed["id"], &subscribed["subscribe"]["offset"]), (&json!(2), &json!(3)));
    assert_eq!(subscribed["subscribe"]["recoverable"], true);
    send(&world, 3..5).await;
    let publications = client.publications(2).await;
    assert_eq!(offsets(&publications), [4, 5]);
    assert_eq!(
        (&publications[0]["data"]["params"]["n"], &publications[0]["tags"]["kind"]),
        (&json!(3), &json!("n"))
    );
    let ended = client.call(json!({ "unsubscribe": { "channel": "events" } })).await;
    assert_eq!(ended["unsubscribe"], json!({}));
    send(&world, 5..6).await;
    assert_eq!(client.call(json!({ "ping": {} })).await["ping"], json!({}));
    assert_eq!(client.subscribe("events").await["offset"], 6, "what came in between was not asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_recovered_and_the_rest_of_much_follows_without_a_seam() {
    let world = World::start().await;
    let world = &world;
    send(world, 0..10).await;
    let mut client = Client::connected(world, world.secret_key()).await;
    let epoch = client.subscribe("events").await["epoch"].clone();
    // More than one answer has, and while more comes.
    for start in (10..6_000).step_by(599) {
        send(world, start..(start + 599).min(6_000)).await;
    }
    let mut again = Client::connected(world, world.secret_key()).await;
    let (subscribed, ()) = tokio::join!(again.recover("events", 8, &epoch), send(world, 6_000..7_000));
    assert_eq!((&subscribed["was_recovering"], &subscribed["recovered"]), (&json!(true), &json!(true)));
    let mut seen = recovered(&subscribed);
    assert!(seen.len() < 5_000, "an answer is bounded: {}", seen.len());
    seen.extend(offsets(&again.publications(7_000 - 8 - seen.len()).await));
    assert_eq!(seen, range(9..7_001));
    // At the end there is nothing to recover, and that is said.
    let mut third = Client::connected(world, world.secret_key()).await;
    let nothing = third.recover("events", 7_000, &epoch).await;
    assert_eq!((&nothing["recovered"], recovered(&nothing)), (&json!(true), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_cannot_be_recovered_is_told_so() {
    let world = World::start().await;
    send(&world, 0..10).await;
    let mut client = Client::connected(&world, world.secret_key()).await;
    for (offset, epoch) in [(5, json!("another")), (11, json!(""))] {
        let subscribed = client.recover("events", offset, &epoch).await;
        assert_eq!((&subscribed["was_recovering"], &subscribed["recovered"]), (&json!(true), &json!(false)));
        assert_eq!((&subscribed["offset"], recovered(&subscribed)), (&json!(10), vec![]));
        client.call(json!({ "unsubscribe": { "channel": "events" } })).await;
        let strict =
            json!({ "channel": "events", "recover": true, "offset": offset, "epoch": epoch, "flag": 2 });
        assert_eq!(client.refusal(json!({ "subscribe": strict })).await, 112);
    }
    let any = client.recover("events", 5, &json!("")).await;
    assert_eq!(recovered(&any), range(6..11), "an empty epoch is any");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_is_not_recovered_and_the_rest_is() {
    let config = "[retention.events]\nbytes = 40000\n[streams]\nretention_every = \"100ms\"".to_owned();
    // Kafka removes what is old by itself, when it thinks best.
    let world = World::start_as(Setup { config, ..embedded_only("retention is the server's own") }).await;
    let mut n = 0;
    let first = eventually("retention takes something", async || {
        send_padded(&world, "n", n..n + 10, 1_000).await;
        n += 10;
        let records = world.get("/streams/events/records?limit=1").await.json();
        let first = records["items"][0]["data"]["params"]["n"].as_u64()?;
        (first > 0).then_some(first)
    })
    .await;
    let mut client = Client::connected(&world, world.secret_key()).await;
    let gone = client.recover("events", first.saturating_sub(1), &json!("")).await;
    assert_eq!(gone["recovered"], false, "{first}");
    assert_eq!(
        client.refusal(json!({ "history": { "channel": "events", "since": { "offset": 0 } } })).await,
        112
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn history_goes_forwards_and_backwards() {
    let world = World::start().await;
    send(&world, 0..20).await;
    let mut client = Client::connected(&world, world.secret_key()).await;
    let mut history = async |asked: Value| {
        let mut asked = asked;
        asked["channel"] = json!("events");
        client.call(json!({ "history": asked })).await["history"].clone()
    };
    let of = |history: &Value| offsets(history["publications"].as_array().expect("there are some or none"));
    let position = history(json!({})).await;
    assert_eq!(
        (&position["offset"], of(&position)),
        (&json!(20), vec![]),
        "without a limit, the position alone"
    );
    assert_eq!(of(&history(json!({ "limit": 3 })).await), [1, 2, 3]);
    assert_eq!(of(&history(json!({ "limit": 3, "reverse": true })).await), [20, 19, 18]);
    assert_eq!(of(&history(json!({ "limit": -1 })).await), range(1..21));
    let since = json!({ "offset": 10, "epoch": position["epoch"] });
    assert_eq!(of(&history(json!({ "limit": 3, "since": since })).await), [11, 12, 13]);
    assert_eq!(of(&history(json!({ "limit": 3, "since": since, "reverse": true })).await), [9, 8, 7]);
    let strange = json!({ "channel": "events", "limit": 1, "since": { "offset": 1, "epoch": "another" } });
    assert_eq!(client.refusal(json!({ "history": strange })).await, 112);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_the_numbers_that_clients_know() {
    let world = World::start().await;
    let client = &mut Client::connected(&world, world.secret_key()).await;
    let of = |channel: &str| json!({ "channel": channel });
    let table = [
        (json!({ "subscribe": of("nothing") }), 102),
        (json!({ "subscribe": of("com.else.where:events") }), 102),
        (json!({ "subscribe": of("") }), 107),
        (json!({ "publish": { "channel": "events", "data": {} } }), 103),
        (json!({ "rpc": { "method": "dance", "data": {} } }), 108),
        (json!({ "dance": {} }), 104),
        (json!({ "history": { "channel": "events", "limit": 1001 } }), 106),
        (json!({ "sub_refresh": of("events") }), 103),
        (json!({ "presence": of("nothing") }), 102),
    ];
    for (command, code) in table {
        assert_eq!(client.refusal(command.clone()).await, code, "{command}");
    }
    client.subscribe("events").await;
    assert_eq!(client.refusal(json!({ "subscribe": of("events") })).await, 105);
    let by_app = format!("{}:events", world.app());
    assert!(client.subscribe(&by_app).await["epoch"].is_string(), "an app can be named");
    // What is said out of order, or not at all, ends it for good.
    for (frame, code) in [
        (json!({ "subscribe": of("events"), "id": 1 }).to_string(), 3501),
        (json!({ "connect": {}, "id": 1 }).to_string(), 3500),
        (json!({ "connect": { "token": "nonsense" }, "id": 1 }).to_string(), 3500),
        (json!({ "connect": { "token": format!("ang_sk_{}", "0".repeat(64)) }, "id": 1 }).to_string(), 3500),
        (json!({ "connect": { "token": "ang_lt_AAAA" }, "id": 1 }).to_string(), 3500),
        ("this is no JSON".to_owned(), 3501),
    ] {
        let mut client = Client::open(&world).await;
        client.say(&frame).await;
        assert_eq!(client.end().await, code, "{frame}");
    }
    let mut twice = Client::connected(&world, world.secret_key()).await;
    twice.say(&json!({ "connect": { "token": world.secret_key() }, "id": 9 }).to_string()).await;
    assert_eq!(twice.end().await, 3501);
    let mut by_header = Client::open_with(&world, world.secret_key()).await;
    assert!(by_header.call(json!({ "connect": {} })).await["connect"]["client"].is_string());
    let mut sends_only = Client::connected(&world, world.write_key()).await;
    assert_eq!(sends_only.refusal(json!({ "subscribe": of("events") })).await, 103);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_over_is_asked_for_again_and_another_goes_on_in_its_place() {
    let issuers = Issuers::new();
    let world = World::start_as(issuers.setup()).await;
    let of = |left_s: i64| issuers.rsa.token_but("u1", &json!({ "exp": now_s() as i64 + left_s }));
    let tenant = Tenant::found(&world, &of(600)).await;
    let mut client = Client::open(&world).await;
    assert_eq!(client.refusal(json!({ "connect": { "token": of(-100) } })).await, 109);
    // The same connection may come with another.
    let connected = client.call(json!({ "connect": { "token": of(5) } })).await["connect"].clone();
    assert_eq!(connected["expires"], true);
    assert!(connected["ttl"].as_u64().is_some_and(|ttl| (1..=5).contains(&ttl)), "{connected}");
    assert!(client.subscribe("events").await["epoch"].is_string());
    let refreshed = client.call(json!({ "refresh": { "token": of(100) } })).await["refresh"].clone();
    assert!(refreshed["ttl"].as_u64() > Some(50), "{refreshed}");
    // It outlives the first token, and what it follows does too.
    let mut brief = Client::connected(&world, &of(6)).await;
    assert_eq!(brief.end().await, 3005);
    tenant.send_event().await;
    assert_eq!(offsets(&client.publications(1).await), [1]);
    let another = issuers.rsa.token("u2");
    client.say(&json!({ "refresh": { "token": another }, "id": 99 }).to_string()).await;
    assert_eq!(client.end().await, 3500, "nobody becomes somebody else");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_key_or_the_role_the_connection_ends() {
    let issuers = Issuers::new();
    let world = World::start_as(issuers.setup()).await;
    let admin = issuers.rsa.token("admin");
    let (one, two) = (Tenant::found(&world, &admin).await, Tenant::found(&world, &admin).await);
    let key = one.key("viewer").await;
    let mut by_key = Client::connected(&world, &key.secret).await;
    assert_eq!(one.delete(&format!("/keys/{}", key.id)).await.status, 204);
    assert_eq!(by_key.end().await, 3500);
    let grant = one.grant(&json!({ "email": "p@suite.test", "role": "viewer" })).await;
    two.grant(&json!({ "email": "p@suite.test", "role": "viewer" })).await;
    let token = issuers.rsa.token_but("p", &json!({ "email": "p@suite.test", "email_verified": true }));
    let mut client = Client::connected(&world, &token).await;
    assert_eq!(client.refusal(json!({ "subscribe": { "channel": "events" } })).await, 102, "which app's?");
    let [first, second] = [&one, &two].map(|tenant| format!("{}:events", tenant.bundle_id));
    for channel in [&first, &second] {
        assert!(client.subscribe(channel).await["epoch"].is_string());
    }
    assert_eq!(one.delete(&format!("/grants/{grant}")).await.status, 204);
    let push = client.next().await.expect("a push")["push"].clone();
    assert_eq!((&push["channel"], &push["unsubscribe"]["code"]), (&json!(first), &json!(2000)));
    two.send_event().await;
    assert_eq!(client.next().await.expect("a push")["push"]["channel"], *second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_cut_off_and_recovers_all_of_it() {
    let world = World::start_with("[live]\nbacklog = 800000").await;
    let mut slow = Client::open_narrow(&world).await;
    slow.call(json!({ "connect": { "token": world.secret_key() } })).await;
    let epoch = slow.subscribe("events").await["epoch"].clone();
    for start in (0..6_000).step_by(50) {
        send_padded(&world, "n", start..start + 50, 4_000).await;
    }
    let mut seen = Vec::new();
    let code = loop {
        match slow.next().await {
            Ok(push) => seen.extend(push["push"]["pub"]["offset"].as_u64()),
            Err(code) => break code,
        }
    };
    assert_eq!(code, 3008);
    assert_eq!(seen, range(1..seen.len() as u64 + 1));
    let mut again = Client::connected(&world, world.secret_key()).await;
    let subscribed = again.recover("events", seen.len() as u64, &epoch).await;
    assert_eq!(subscribed["recovered"], true);
    seen.extend(recovered(&subscribed));
    let left = 6_000 - seen.len();
    seen.extend(offsets(&again.publications(left).await));
    assert_eq!(seen, range(1..6_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_a_ping_and_who_says_nothing_are_let_go() {
    let world = World::start().await;
    let (mut silent, mut mute) =
        (Client::open(&world).await, Client::connected(&world, world.secret_key()).await);
    mute.is_mute = true;
    let (silent, mute) = tokio::join!(silent.end(), mute.end());
    assert_eq!((silent, mute), (3502, 3012));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_so() {
    let mut world = World::start().await;
    let mut client = Client::connected(&world, world.secret_key()).await;
    client.subscribe("events").await;
    let (code, _) = tokio::join!(client.end(), world.terminate());
    assert_eq!(code, 3001);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_nobody_recovers_what_came_after_the_backup() {
    let world = backup::embedded().await;
    send(&world, 0..5).await;
    let file = backup::back_up(&world).await;
    let mut client = Client::connected(&world, world.secret_key()).await;
    let epoch = client.subscribe("events").await["epoch"].clone();
    let folder = world.temp_dir().join("restored");
    backup::copy("restore", &file, &folder, &[]).await.printed();
    let restored = backup::start_on(&folder, &world).await;
    // Others have the same offsets by now.
    send(&restored, 100..110).await;
    let mut again = Client::connected(&restored, restored.secret_key()).await;
    let subscribed = again.recover("events", 7, &epoch).await;
    assert_eq!((&subscribed["recovered"], &subscribed["offset"]), (&json!(false), &json!(15)));
    assert_ne!(subscribed["epoch"], epoch);
}

/// A live token, made by a key.
pub async fn live_token(world: &World, key: &str, body: Value) -> String {
    let caller = world.caller().with_key(key);
    let made =
        caller.try_post("/live/tokens", "application/json", body.to_string()).await.expect("an answer");
    assert_eq!(made.status, 201, "{}", made.text());
    text(&made.json(), "token")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_token_is_for_its_streams_and_for_nothing_else() {
    let world = World::start().await;
    let token =
        live_token(&world, world.secret_key(), json!({ "streams": ["events"], "subject": "player-1" })).await;
    assert!(token.starts_with("ang_lt_"), "{token}");
    let mut client = Client::open(&world).await;
    let connected = client.call(json!({ "connect": { "token": token } })).await["connect"].clone();
    assert_eq!(connected["expires"], true);
    assert!(client.subscribe("events").await["epoch"].is_string());
    for (channel, code) in [("audit", 103), ("nothing", 103), ("com.else.where:events", 102)] {
        assert_eq!(client.refusal(json!({ "subscribe": { "channel": channel } })).await, code, "{channel}");
    }
    assert_eq!(
        client.refusal(json!({ "presence": { "channel": "events" } })).await,
        103,
        "it says nothing of that"
    );
    let present = world.get("/live/presence").await.json();
    assert_eq!(present["items"][0]["kind"], "token");
    assert_eq!((&present["items"][0]["id"], &present["connections"]), (&json!("player-1"), &json!(1)));
    // Elsewhere it is nothing.
    let holder = world.caller().with_key(&token);
    for path in ["/events", "/streams", "/keys", "/live/presence"] {
        assert_eq!(holder.try_get(path).await.expect("an answer").status, 401, "{path}");
    }
    let minted = holder.try_post("/live/tokens", "application/json", "{\"streams\":[\"events\"]}").await;
    assert_eq!(minted.expect("an answer").status, 401);
    assert_eq!(holder.try_get("/live?streams=audit").await.expect("an answer").status, 403);
    let logged = world.stderr();
    assert!(!logged.contains(&token), "it is in no log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_token_opens_the_feed_by_its_query_and_ends_with_its_maker() {
    let world = World::start().await;
    let admin = world.caller();
    let key = admin.try_post(
        "/keys",
        "application/json",
        json!({ "name": "minter", "role": "sender" }).to_string(),
    );
    let key = key.await.expect("an answer").json();
    let token = live_token(&world, &text(&key, "key"), json!({ "streams": ["events"], "ttl_s": 60 })).await;
    let open = async |query: &str| {
        let url = world.path(&format!("/live?{query}"));
        let request = world.http().get(url).header("accept", "text/event-stream");
        request.send().await.expect("an answer")
    };
    let mut feed = open(&format!("token={token}")).await;
    assert_eq!(feed.status(), 200);
    assert_eq!(open(&format!("token={token}x")).await.status(), 401);
    assert_eq!(open(&format!("token={}", world.secret_key())).await.status(), 401, "keys are not for URLs");
    send(&world, 0..1).await;
    let mut read = String::new();
    while !read.contains("\"n\":0") {
        let chunk = feed.chunk().await.expect("the connection holds").expect("the feed goes on");
        read.push_str(&String::from_utf8_lossy(&chunk));
    }
    let mut client = Client::connected(&world, &token).await;
    let gone = admin.send(reqwest::Method::DELETE, &format!("/keys/{}", text(&key, "id")), "", "").await;
    assert_eq!(gone.expect("an answer").status, 204);
    assert_eq!(client.end().await, 3500);
    while feed.chunk().await.expect("it ends as it should").is_some() {}
    assert_eq!(open(&format!("token={token}")).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_come_and_go_are_seen_by_who_asks() {
    let world = World::start().await;
    let mut watcher = Client::connected(&world, world.secret_key()).await;
    let subscribe = json!({ "subscribe": { "channel": "events", "join_leave": true } });
    assert!(watcher.call(subscribe).await["subscribe"].is_object());
    let body = json!({ "streams": ["events"], "subject": "player-2", "presence": true });
    let token = live_token(&world, world.secret_key(), body).await;
    let mut player = Client::connected(&world, &token).await;
    player.subscribe("events").await;
    let joined = watcher.next().await.expect("a push")["push"].clone();
    assert_eq!((&joined["channel"], &joined["join"]["info"]["user"]), (&json!("events"), &json!("player-2")));
    let stats =
        player.call(json!({ "presence_stats": { "channel": "events" } })).await["presence_stats"].clone();
    assert_eq!(stats, json!({ "num_clients": 2, "num_users": 2 }));
    let present =
        player.call(json!({ "presence": { "channel": "events" } })).await["presence"]["presence"].clone();
    let client = text(&joined["join"]["info"], "client");
    assert_eq!(present[&client]["user"], "player-2", "{present}");
    drop(player);
    let left = watcher.next().await.expect("a push")["push"].clone();
    assert_eq!(left["leave"]["info"], joined["join"]["info"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_tokens_and_shows_who_is_there() {
    let world = World::start().await;
    let made = world.run(&["live", "token", "--ttl", "1m", "--subject", "player-3", "--quiet"]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let mut client = Client::connected(&world, made.stdout.trim()).await;
    client.subscribe("events").await;
    let shown = world.run(&["live", "presence", "--json"]).await;
    let presence: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!((&presence["connections"], &presence["items"][0]["id"]), (&json!(1), &json!("player-3")));
    assert_eq!(presence["items"][0]["protocols"], json!(["centrifugo"]));
    let refused = world.run(&["live", "token", "--ttl", "2h"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("3600"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_takes_what_another_has_made_and_knows_who_is_there() {
    let Some([one, two]) = World::fleet().await else { return };
    let token = live_token(&one, one.secret_key(), json!({ "streams": ["events"], "subject": "p" })).await;
    let mut client = Client::connected(&two, &token).await;
    let epoch = client.subscribe("events").await["epoch"].clone();
    send(&one, 0..5).await;
    assert_eq!(offsets(&client.publications(5).await), range(1..6));
    let mut other = Client::connected(&one, &token).await;
    assert_eq!(
        recovered(&other.recover("events", 2, &epoch).await),
        range(3..6),
        "the epoch is the stream's"
    );
    let seen = eventually("both are seen", async || {
        let present = one.get("/live/presence").await.json();
        (present["connections"] == 2).then_some(present)
    });
    assert_eq!(seen.await["items"][0]["connections"], 2);
}
