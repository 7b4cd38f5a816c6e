//! The first page in a real browser: all streams of an app, counted to the unit, in memory that does not grow.

use super::{driver::Browser, rows_become, track};
use angarium_suite::{Setup, World, eventually, is_long, note};
use serde_json::{Value, json};
use std::time::Duration;

/// A browser on the first page, connected with a key that sees every stream.
async fn at_home(world: &World) -> Option<Browser> {
    let browser = Browser::start().await?;
    browser.open(&format!("{}/#key={}", world.url(), world.secret_key())).await;
    browser.shows("#state", "live").await;
    Some(browser)
}

/// One record of the stream `audit`.
async fn make_key(world: &World, name: &str) {
    let key = json!({"name": name, "role": "ingest"}).to_string();
    assert_eq!(world.post("/keys", "application/json", key).await.status, 201);
}

async fn has_seen(browser: &Browser, stream: &str, wanted: u64) {
    browser.shows(&format!("#streams [data-stream={stream}] .n"), &wanted.to_string()).await;
}

/// Sets a field and says so, as a hand does.
async fn choose(browser: &Browser, field: &str, value: &str, event: &str) {
    let script = format!(
        "const field = document.querySelector({}); field.value = {}; field.dispatchEvent(new Event({}))",
        json!(field),
        json!(value),
        json!(event)
    );
    browser.run(&script).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_page_shows_every_stream_and_what_is_chosen_of_it() {
    let world = World::start().await;
    let Some(browser) = at_home(&world).await else { return };
    let address = browser.run("return location.href").await;
    assert!(!address.to_string().contains("key="), "the key stays in the address bar: {address}");

    assert_eq!(world.open("/t/hello?from=curl").await.status, 204);
    track(&world, ["sign_in", "sign_out", "purchase"]).await;
    make_key(&world, "for the web").await;
    browser.shows("#total", "5").await;
    has_seen(&browser, "events", 4).await;
    has_seen(&browser, "audit", 1).await;
    rows_become(&browser, "[data-stream=events]", 4).await;
    rows_become(&browser, "[data-stream=audit]", 1).await;
    browser.shows("#rows > [data-type=hello] .params", "from=curl").await;

    browser.click("#streams [data-stream=audit]").await;
    rows_become(&browser, "", 1).await;
    browser.shows("#rows > :first-child .stream", "audit").await;
    browser.click("#streams [data-stream=audit]").await;
    rows_become(&browser, "", 5).await;
    browser.type_into("#filter", "FOR THE WEB").await;
    rows_become(&browser, "", 1).await;
    rows_become(&browser, "[data-stream=audit]", 1).await;
    choose(&browser, "#filter", "", "input").await;
    rows_become(&browser, "", 5).await;
    eventually("the types can be chosen from", async || {
        (browser.count("#type option[value=purchase]").await == 1).then_some(())
    })
    .await;
    choose(&browser, "#type", "purchase", "change").await;
    rows_become(&browser, "", 1).await;
    rows_become(&browser, "[data-type=purchase]", 1).await;
    choose(&browser, "#type", "", "change").await;
    assert_eq!(browser.text("#total").await, "5", "a filter is none of what is counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_shown_in_full_with_the_cursor_to_go_on_from() {
    let world = World::start().await;
    let Some(browser) = at_home(&world).await else { return };
    let event = json!({"type": "first", "id": "mine-1", "params": {"big": 9_007_199_254_740_993_u64}});
    assert_eq!(world.post("/events", "application/json", event.to_string()).await.status, 202);
    track(&world, ["second", "third"]).await;
    browser.shows("#total", "3").await;
    rows_become(&browser, "", 3).await;
    browser.click("#rows > [data-type=first] summary").await;
    browser.shows("#rows .record .id code", "mine-1").await;
    let shown = browser.text("#rows .record pre").await;
    assert!(shown.contains("\n    \"big\": 9007199254740993\n"), "as it was sent: {shown}");
    let cursor = browser.text("#rows .record .cursor code").await;
    let after = world.get(&format!("/streams/events/records?after={cursor}")).await.json();
    let types: Vec<&Value> =
        after["items"].as_array().expect("items").iter().map(|item| &item["data"]["type"]).collect();
    assert_eq!(types, ["second", "third"]);
    browser.click("#rows .record button").await;
    rows_become(&browser, "[data-type=first]", 1).await;
    rows_become(&browser, "", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_is_paused_the_list_stands_and_the_counters_go_on() {
    let world = World::start().await;
    let Some(browser) = at_home(&world).await else { return };
    track(&world, ["before"]).await;
    rows_become(&browser, "", 1).await;
    browser.click("#pause").await;
    track(&world, vec!["meanwhile"; 30]).await;
    make_key(&world, "meanwhile").await;
    browser.shows("#waiting", "31 waiting").await;
    browser.shows("#total", "32").await;
    has_seen(&browser, "audit", 1).await;
    rows_become(&browser, "", 1).await;
    browser.click("#pause").await;
    rows_become(&browser, "", 32).await;
    rows_become(&browser, "[data-type=meanwhile]", 30).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_without_a_key_is_told_where_it_is() {
    let world = World::start().await;
    let Some(browser) = Browser::start().await else { return };
    browser.open(&format!("{}/", world.url())).await;
    browser.shows("#state", "needs a key").await;
    assert_eq!(browser.count("#ask:not([hidden])").await, 1);
    assert!(browser.text("#ask").await.contains("first-start.json"));
    assert_eq!(browser.run("return document.activeElement.id").await, "key", "it can be typed at once");
    browser.type_into("#key", "ang_sk_nobody_has_this").await;
    browser.click("#form button").await;
    browser.shows("#state", "key refused").await;
    browser.type_into("#key", world.secret_key()).await;
    browser.click("#form button").await;
    browser.shows("#state", "live").await;
    track(&world, ["hello"]).await;
    browser.shows("#total", "1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_restarts_every_record_of_every_stream_is_counted_once() {
    let mut world = World::start().await;
    let Some(browser) = at_home(&world).await else { return };
    for round in 1..=3 {
        track(&world, vec!["before"; 15]).await;
        world.kill();
        eventually("the page notices that the server is gone", async || {
            (browser.text("#state").await != "live").then_some(())
        })
        .await;
        world.restart().await;
        track(&world, vec!["after"; 15]).await;
        make_key(&world, "after").await;
        has_seen(&browser, "events", round * 30).await;
        has_seen(&browser, "audit", round).await;
        browser.shows("#total", &(round * 31).to_string()).await;
        browser.shows("#state", "live").await;
        rows_become(&browser, "", round * 31).await;
        let ids = "return new Set([...document.querySelectorAll('#rows > [data-type]')].map((row) => JSON.parse(row.entry.raw).data.id)).size";
        assert_eq!(browser.run(ids).await, round * 31, "nothing is shown twice");
        assert_eq!(browser.text("#gaps").await, "0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_skipped_is_said_and_counted() {
    let world = World::start().await;
    let Some(browser) = at_home(&world).await else { return };
    for (n, gap) in [
        (5, json!({"gap": 5, "stream": "events", "from": "cevents-2", "cursor": "caudit-0-events-0"})),
        (12, json!({"gap": 7, "stream": "events", "cursor": "caudit-0-events-0"})),
    ] {
        browser.run(&format!("take('gap', {}, '')", json!(gap.to_string()))).await;
        browser.shows("#gaps", &n.to_string()).await;
    }
    eventually("both are in the list", async || (browser.count("#rows > .notice").await == 2).then_some(()))
        .await;
    assert!(
        browser
            .text("#rows > .notice[data-gap='5']")
            .await
            .contains("/streams/events/records?after=cevents-2;")
    );
    assert_eq!(browser.text("#total").await, "0", "what was not received was not seen");
    track(&world, ["goes_on"]).await;
    browser.shows("#total", "1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_stood_still_has_each_record_seen_or_skipped() {
    const SENT: u64 = 40_000;
    let world = World::start().await;
    let Some(browser) = at_home(&world).await else { return };
    track(&world, ["before"]).await;
    browser.shows("#total", "1").await;
    // The page stops reading; what lies between it and the server fills up, and the server leaves it behind.
    let shut = "const read = ReadableStreamDefaultReader.prototype.read; \
        const gate = new Promise((open) => { window.goOn = open }); \
        ReadableStreamDefaultReader.prototype.read = async function () { await gate; return read.call(this) }";
    browser.run(shut).await;
    let event = json!({"type": "many", "params": {"text": "x".repeat(700)}}).to_string() + "\n";
    for _ in 0..SENT / 1_000 {
        let answer = world.post("/events", "application/x-ndjson", event.repeat(1_000)).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    browser.run("goOn()").await;
    let number = async |id: &str| browser.text(id).await.parse::<u64>().unwrap_or_default();
    eventually("each record is seen or skipped", async || {
        (number("#total").await + number("#gaps").await == SENT + 1).then_some(())
    })
    .await;
    let skipped = number("#gaps").await;
    note(&format!("of {SENT} records, {skipped} were skipped"));
    assert!(skipped > 0, "the page was not left behind");
    assert_eq!(browser.count("#missed:not([hidden])").await, 1, "it is said where it is not drowned");
    track(&world, ["goes_on"]).await;
    browser.shows("#rows > :first-child .type", "goes_on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_counted_to_the_unit_and_the_tab_does_not_grow() {
    const EACH: u64 = 100;
    let batches: u64 = if is_long() { 900 } else { 200 };
    let worlds = World::near_and_far(Setup::default()).await;
    let Some(browser) = at_home(worlds.last().expect("a world")).await else { return };
    // A hundred every tenth of a second; late ones are made up for.
    let caller = worlds[0].caller();
    let sending = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        for batch in 0..batches {
            tick.tick().await;
            let lines: String = (0..EACH).map(|n| flood_event(batch * EACH + n) + "\n").collect();
            let answer = caller.try_post("/events", "application/x-ndjson", lines).await.expect("an answer");
            assert_eq!(answer.status, 202, "{}", answer.text());
        }
    });
    let half_seen = async || {
        let seen = browser.text("#total").await.parse::<u64>().unwrap_or_default();
        (seen >= batches * EACH / 2).then_some(())
    };
    eventually("half of it is seen", half_seen).await;
    let (middle, middle_nodes) = browser.held().await;
    sending.await.expect("all of it is sent");
    browser.shows("#total", &(batches * EACH).to_string()).await;
    has_seen(&browser, "events", batches * EACH).await;
    assert_eq!(browser.text("#gaps").await, "0");
    rows_become(&browser, "", 200).await;
    let (end, end_nodes) = browser.held().await;
    note(&format!(
        "the page's heap: {middle} bytes in the middle, {end} at the end; nodes: {middle_nodes}, {end_nodes}"
    ));
    assert!(end < middle + (2 << 20), "the heap grew from {middle} to {end} bytes");
    assert!(end_nodes < 12_000, "{end_nodes} nodes are in the document");
    assert!(browser.count("#type option").await <= 202, "types to choose from are bounded");
}

/// An event with a type of its own for every few, so that what the page remembers of types is seen too.
fn flood_event(n: u64) -> String {
    let text = format!("{n:0>200}");
    json!({"type": format!("kind_{}", n % 1_000), "params": {"n": n, "text": text}}).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_phone_nothing_is_wider_than_the_screen() {
    let world = World::start().await;
    let Some(browser) = Browser::start().await else { return };
    browser.be_a_phone(360).await;
    browser.open(&format!("{}/", world.url())).await;
    browser.shows("#state", "needs a key").await;
    fits(&browser, "the form").await;
    browser.type_into("#key", world.secret_key()).await;
    browser.click("#form button").await;
    browser.shows("#state", "live").await;
    fits(&browser, "the empty page").await;
    let wide = "w".repeat(200);
    let event = json!({"type": wide, "id": wide, "params": {"wide": wide, "n": 1}});
    assert_eq!(world.post("/events", "application/json", event.to_string()).await.status, 202);
    make_key(&world, &wide).await;
    rows_become(&browser, "", 2).await;
    browser
        .run("document.querySelectorAll('#rows details, #try').forEach((each) => { each.open = true })")
        .await;
    eventually("both records are open", async || {
        (browser.count("#rows .record pre").await == 2).then_some(())
    })
    .await;
    fits(&browser, "a record in full").await;
    let gap = json!({"gap": 1_000_000, "stream": "audit", "from": "caudit-0", "cursor": "caudit-0-events-0"});
    browser.run(&format!("take('gap', {}, '')", json!(gap.to_string()))).await;
    let strange = json!({"stream": wide, "cursor": "c", "at": "never", "data": [wide]}).to_string();
    browser.run(&format!("take('', {}, '')", json!(strange))).await;
    browser.shows("#gaps", "1000000").await;
    rows_become(&browser, "", 3).await;
    fits(&browser, "what was skipped, and a record of another shape").await;
    browser.open(&super::events_url(&world)).await;
    browser.shows("#state", "live").await;
    assert_eq!(world.post("/events", "application/json", event.to_string()).await.status, 202);
    let again = json!({"type": wide, "params": {"wide": wide}}).to_string();
    assert_eq!(world.post("/events", "application/json", again).await.status, 202);
    rows_become(&browser, "", 1).await;
    fits(&browser, "the page of tracking events").await;
}

/// Nothing is wider than a screen of 360 pixels, and what is to be touched is 44 high.
async fn fits(browser: &Browser, what: &str) {
    assert_eq!(browser.run("return document.documentElement.scrollWidth").await, 360, "{what}");
    let small = browser.run(
        "return [...document.querySelectorAll('button, input, select, summary, textarea, footer a')] \
         .filter((each) => each.offsetHeight > 0 && each.offsetHeight < 44).map((each) => `${each.outerHTML.slice(0, 120)} ${each.offsetHeight}`)",
    );
    assert_eq!(small.await, json!([]), "{what}: too small for a finger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_in_the_box_is_sent_and_the_answer_is_said() {
    let world = World::start().await;
    let Some(browser) = at_home(&world).await else { return };
    let place = format!("/v1/apps/{}/messages/msg_1", world.app());
    answer_with(&browser, &[(400, "/", "line 1, column 3: a value is missing"), (202, &place, "")]).await;
    browser.click("#try summary").await;
    browser.type_into("#message", "[1,").await;
    browser.click("#send button").await;
    browser.shows("#sent.bad", "400: line 1, column 3: a value is missing").await;
    browser.type_into("#message", "{\"a\": 9007199254740993}").await;
    browser.click("#send button").await;
    browser.shows("#sent:not(.bad)", "202: durable as msg_1").await;
    let path = format!("v1/apps/{}/messages", world.app());
    let wanted = json!([[path, true, "[1,"], [path, true, "{\"a\": 9007199254740993}"]]);
    assert_eq!(browser.run("return sent").await, wanted, "as it was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_only_read_sends_as_anybody_may() {
    let world = World::start().await;
    let Some(browser) = Browser::start().await else { return };
    browser.open(world.live_url()).await;
    browser.shows("#state", "live").await;
    let elsewhere = "/v1/apps/app_other/messages/msg_2";
    answer_with(&browser, &[(403, "/", "your role"), (202, elsewhere, ""), (403, "/", ""), (401, "/", "")])
        .await;
    browser.click("#try summary").await;
    browser.click("#send button").await;
    let said = "202: durable as msg_2; it went to the server's default app, app_other, and is not shown here";
    browser.shows("#sent", said).await;
    browser.click("#send button").await;
    browser.shows("#sent.bad", "403: this key may only read; connect with one that may send").await;
    let paths = browser.run("return sent.map(([path, keyed]) => [path, keyed])").await;
    let own = format!("v1/apps/{}/messages", world.app());
    assert_eq!(paths, json!([[own, true], ["dummy", false], [own, true], ["dummy", false]]));
}

/// What the page posts is noted in `sent`, and answered one after the other: a status, a place, and what is wrong.
async fn answer_with(browser: &Browser, answers: &[(u16, &str, &str)]) {
    let script = "const [ask, answers] = [window.fetch, ANSWERS]; window.sent = []; \
        window.fetch = async (path, options) => { \
            if (options?.method !== 'POST') return ask(path, options); \
            sent.push([path, 'Authorization' in options.headers, options.body]); \
            const [status, place, detail] = answers.shift(); \
            return new Response(JSON.stringify(status === 202 ? {} : {detail}), {status, headers: {Location: place}}); }";
    browser.run(&script.replace("ANSWERS", &json!(answers).to_string())).await;
}

/// The story of the system before this one: somebody posts, everybody sees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_anybody_posts_is_on_the_page_at_once_and_in_the_list() {
    let world = World::start().await;
    let Some(browser) = Browser::start().await else { return };
    browser.open(world.live_url()).await;
    browser.shows("#state", "live").await;
    let posted = world.http().post(format!("{}/dummy", world.url())).body("{\"hello\":\"from anybody\"}");
    assert_eq!(posted.send().await.expect("an answer").status(), 202);
    has_seen(&browser, "messages", 1).await;
    rows_become(&browser, "[data-stream=messages]", 1).await;
    browser.click("#try summary").await;
    browser.type_into("#message", "{\"hello\":\"from the box\"}").await;
    browser.click("#send button").await;
    has_seen(&browser, "messages", 2).await;
    let listed = eventually("both are in the list", async || {
        let list = world.open("/dummy").await.json();
        list["items"].as_array().filter(|items| items.len() == 2).cloned()
    })
    .await;
    let said: Vec<&Value> = listed.iter().map(|message| &message["body"]["hello"]).collect();
    assert_eq!(said, ["from anybody", "from the box"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_markup_stays_text_on_the_first_page() {
    let world = World::start().await;
    let Some(browser) = at_home(&world).await else { return };
    let markup = "<img/src=x/onerror=hit=1><script>hit=1</script>";
    let event = json!({"type": markup, "params": {"<b>name</b>": markup, "quote": "\"><svg onload=hit=1>"}});
    assert_eq!(world.post("/events", "application/json", event.to_string()).await.status, 202);
    browser.shows("#rows > [data-type] .type", markup).await;
    browser.click("#rows > [data-type] summary").await;
    eventually("the record is shown", async || {
        browser.text("#rows .record pre").await.contains("onload=hit=1").then_some(())
    })
    .await;
    assert_eq!(browser.count("#rows script, #rows img, #rows svg, #rows .params b b, #type img").await, 0);
    assert_eq!(browser.run("return typeof hit").await, "undefined", "a script of an event has run");
}
