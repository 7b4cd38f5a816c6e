//! The libraries themselves, unmodified but for host and key: what they send arrives once, though they are refused and
//! answers are lost on the way.

pub mod libraries;
mod proxy;

use angarium_suite::World;
use libraries::Libraries;
use proxy::Proxy;
use std::collections::BTreeMap;

/// Runs a script against a world of its own, through the proxy. What was kept, by type and by whom it is about.
async fn sent_by(libraries: &Libraries, script: &str) -> BTreeMap<(String, String), usize> {
    let world = World::start().await;
    let proxy = Proxy::start(world.http().clone(), world.url()).await;
    let ran = libraries.run(script, &[&proxy.url, world.write_key()]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // Two batches: each is refused once, is taken once with the answer lost, and comes again.
    assert!(proxy.requests() >= 6, "{} requests: {ran:?}", proxy.requests());
    let metrics = world.open("/metrics").await.text();
    let twice = metrics.lines().find_map(|line| line.strip_prefix("angarium_events_duplicate_total "));
    assert!(twice.is_some_and(|count| count != "0"), "nothing came twice: {metrics}");
    let mut kept = BTreeMap::new();
    for record in world.all_events().await {
        let event = &record["data"];
        assert!(event["meta"]["ip"] == "ffff7f000001" && event["params"].is_object(), "{event}");
        let text = |member: &str| event[member].as_str().expect("it has one").to_owned();
        *kept.entry((text("type"), text("device_id"))).or_insert(0) += 1;
    }
    kept
}

/// Each of `types` once for each user.
fn once_each(types: &[&str]) -> BTreeMap<(String, String), usize> {
    let users = ["u1", "u2"];
    let each = users.iter().flat_map(|user| types.iter().map(|name| (name.to_string(), user.to_string())));
    each.map(|event| (event, 1)).collect()
}

const SEGMENT: [&str; 6] = ["Level_Up", "identify", "page", "screen", "group", "alias"];

#[tokio::test(flavor = "multi_thread")]
async fn what_the_libraries_for_python_send_arrives_once() {
    let Some(libraries) = Libraries::for_python().await else { return };
    assert_eq!(sent_by(&libraries, "send_segment.py").await, once_each(&SEGMENT));
    let posthog = ["Level_Up", "$set", "$groupidentify", "$create_alias"];
    assert_eq!(sent_by(&libraries, "send_posthog.py").await, once_each(&posthog));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_libraries_for_node_send_arrives_once() {
    let Some(libraries) = Libraries::for_node().await else { return };
    assert_eq!(sent_by(&libraries, "send_segment.js").await, once_each(&SEGMENT));
    let posthog = ["Level_Up", "$identify", "$groupidentify", "$create_alias"];
    assert_eq!(sent_by(&libraries, "send_posthog.js").await, once_each(&posthog));
}
