//! The live page of tracking events in a real browser: it shows what comes, exactly, whoever sends it and whatever
//! happens to the server. The first page is in [`home`].

mod driver;
mod event_source;
mod home;

use angarium_suite::{Setup, World, eventually};
use driver::Browser;
use serde_json::json;

/// A browser on the live page of a world, connected.
pub async fn on_live_page(world: &World) -> Option<Browser> {
    let browser = Browser::start().await?;
    browser.open(&events_url(world)).await;
    browser.shows("#state", "live").await;
    Some(browser)
}

/// The page of tracking events, with the key that the first start put into the link to the first page.
fn events_url(world: &World) -> String {
    world.live_url().replace("/#", "/kafidx#")
}

async fn track(world: &World, types: impl IntoIterator<Item = &str>) {
    let lines: String = types.into_iter().map(|name| json!({"type": name}).to_string() + "\n").collect();
    let answer = world.post("/events", "application/x-ndjson", lines).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_on_the_live_page_as_they_come() {
    let world = World::start().await;
    let Some(browser) = on_live_page(&world).await else { return };
    assert_eq!(browser.text("#total").await, "0");
    let address = browser.run("return location.href").await;
    assert!(!address.to_string().contains("key="), "the key stays in the address bar: {address}");

    assert_eq!(world.open("/t/hello?from=curl&x=a%20b").await.status, 204);
    browser.shows("#total", "1").await;
    browser.shows("#rows > [data-type=hello] .params", "from=curlx=a b").await;
    track(&world, ["signup", "sign_in", "purchase", "purchase"]).await;
    browser.shows("#total", "5").await;
    browser.shows("#rows > :first-child .type", "purchase").await;
    rows_become(&browser, "", 5).await;

    browser.type_into("#filter", "SIGN").await;
    rows_become(&browser, "", 2).await;
    rows_become(&browser, "[data-type^=sign]", 2).await;
    browser.type_into("#filter", "").await;
    browser.run("document.getElementById('filter').dispatchEvent(new Event('input'))").await;
    rows_become(&browser, "", 5).await;

    browser.click("#pause").await;
    track(&world, ["while_paused"]).await;
    browser.shows("#waiting", "1 waiting").await;
    assert_eq!(browser.text("#total").await, "6");
    assert_eq!(browser.count("#rows > [data-type=while_paused]").await, 0);
    browser.click("#pause").await;
    browser.shows("#rows > :first-child .type", "while_paused").await;
}

/// Rows are drawn some time after their events were counted.
async fn rows_become(browser: &Browser, which: &str, wanted: u64) {
    let (what, rows) = (format!("there are {wanted} rows {which}"), format!("#rows > [data-type]{which}"));
    eventually(&what, async || (browser.count(&rows).await == wanted).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documentation_of_the_api_shows_every_operation() {
    let world = World::start().await;
    let Some(browser) = Browser::start().await else { return };
    browser.open(&format!("{}/docs", world.url())).await;
    let document = world.open("/openapi.json").await.json();
    let operations = document["paths"].as_object().expect("paths").values();
    let operations =
        operations.map(|methods| methods.as_object().expect("methods").len() as u64).sum::<u64>();
    eventually("all operations are shown", async || {
        (browser.count("details").await == operations).then_some(())
    })
    .await;
    browser.click("#create_app > summary").await;
    let shown = browser.text("#create_app").await;
    for part in ["POST/v1/apps", "com.acme.shop", "bundle_id_taken", "Idempotency-Key"] {
        assert!(shown.replace([' ', '\n'], "").contains(part), "{part} is not in {shown}");
    }
    browser.type_into("#filter", "rotate").await;
    eventually("the filter leaves one", async || {
        (browser.count("details:not([hidden])").await == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_door_is_said_where_an_operator_looks() {
    let config = "[compat]\nanonymous = [\"t\"]".to_owned();
    let world = World::start_as(Setup { config, is_public: true, ..Setup::default() }).await;
    let ready = world.open("/health/ready").await.json();
    let detail = ready["parts"]["http"]["detail"].as_str().expect("readiness says it");
    assert!(detail.contains("without an identity"), "{detail}");
    assert!(
        world.stderr().contains("callers without an identity are let in (compat.anonymous)"),
        "the log says it"
    );
    let closed = World::start_as(Setup { is_public: true, ..Setup::default() }).await;
    assert_eq!(closed.open("/t/hello").await.status, 401, "nobody is let in who was not asked to");
    assert_eq!(closed.open("/health/ready").await.json()["parts"]["http"]["detail"], json!(null));
    let Some(browser) = on_live_page(&world).await else { return };
    browser.shows("#open", detail).await;
    browser.open(&events_url(&closed)).await;
    browser.shows("#state", "live").await;
    assert_eq!(browser.count("#open:not([hidden])").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_markup_stays_text() {
    let world = World::start().await;
    let Some(browser) = on_live_page(&world).await else { return };
    let markup = "<img/src=x/onerror=hit=1><script>hit=1</script>";
    let event = json!({
        "type": markup,
        "params": {"<b>name</b>": markup, "quote": "\"><svg onload=hit=1>", "separator": "\u{2028}</script>"},
    });
    let answer = world.post("/events", "application/json", event.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    browser.shows("#rows > [data-type] .type", markup).await;
    // The whole record is put into the page when its row is opened.
    browser.click("#rows > [data-type] summary").await;
    let shown = "the record is shown";
    eventually(shown, async || {
        browser.text("#rows .record pre").await.contains("onload=hit=1").then_some(())
    })
    .await;
    assert_eq!(browser.count("#rows script, #rows img, #rows svg, #rows .params b b").await, 0);
    assert_eq!(browser.run("return typeof hit").await, "undefined", "a script of an event has run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_open_over_a_kill_misses_nothing() {
    let mut world = World::start().await;
    let Some(browser) = on_live_page(&world).await else { return };
    track(&world, ["before"; 10]).await;
    browser.shows("#total", "10").await;
    for kill in 1..=2 {
        world.kill();
        let what = "the page notices that the server is gone";
        eventually(what, async || (browser.text("#state").await != "live").then_some(())).await;
        world.restart().await;
        // The page has not connected again yet, or just has; it must not matter.
        track(&world, ["after"; 20]).await;
        let total = (10 + kill * 20).to_string();
        browser.shows("#total", &total).await;
        browser.shows("#state", "live").await;
        rows_become(&browser, "[data-type=after]", kill * 20).await;
        assert_eq!(browser.text("#gaps").await, "0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_thousand_events_at_once_are_counted_to_the_unit() {
    let world = World::start().await;
    let Some(browser) = on_live_page(&world).await else { return };
    for _ in 0..3 {
        track(&world, vec!["import"; 1_000]).await;
    }
    browser.shows("#total", "3000").await;
    assert_eq!(browser.text("#gaps").await, "0");
    rows_become(&browser, "", 500).await;
    track(&world, ["last"]).await;
    browser.shows("#rows > :first-child .type", "last").await;
    browser.shows("#total", "3001").await;
}
