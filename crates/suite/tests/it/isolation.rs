//! Nobody sees what is not theirs: what is another app's answers byte for byte as what is not there, and stays as it
//! is; what is deleted or revoked is over, also for those that hold a connection open.

use crate::{
    surface::{Guard, Operation},
    tenants::{Identity, Issuers, Tenant, new_email, send_json},
};
use angarium_suite::{Reply, World, caller::read, eventually, note};
use futures_util::future::join_all;
use reqwest::{Method, header::ACCEPT};
use serde_json::json;
use std::time::{Duration, Instant};

/// In how long a process has to know what another one has changed; said of every such operation.
const KNOWN_ELSEWHERE: Duration = Duration::from_secs(5);
/// In how long the work of a deleted app has to be over.
const WORK_ENDS: Duration = Duration::from_secs(10);

async fn world() -> (World, Issuers) {
    let issuers = Issuers::new();
    (World::start_as(issuers.setup()).await, issuers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_anothers_answers_as_what_is_not_there_and_nothing_changes() {
    let (world, issuers) = world().await;
    let anna = Tenant::found(&world, &issuers.rsa.token(&new_email())).await;
    let ben = Tenant::found(&world, &issuers.rsa.token(&new_email())).await;
    let annas_key = anna.key("admin").await.secret;
    let annas = [&anna.token, &annas_key].map(|text| Identity::Bearer(text.clone()));
    let (mut compared, mut faults) = (0, Vec::new());
    for operation in Operation::all(&world).await {
        if !matches!(operation.guard, Guard::InApp(_)) {
            continue;
        }
        let good = operation.good(&ben).await.unwrap_or_else(|| panic!("{} has no request", operation.id));
        let before = ben.settled_state().await;
        for (sent, who) in good.iter().flat_map(|sent| annas.iter().map(move |who| (sent, who))) {
            for (bens, unknown) in [(&ben.id, like(&ben.id)), (&ben.bundle_id, like(&ben.bundle_id))] {
                let one = operation.send(&world, bens, sent, who).await;
                let other = operation.send(&world, &unknown, sent, who).await;
                compared += 1;
                if one.status != 404 || !is_same((&one, bens), (&other, &unknown)) {
                    faults.push(format!("{} in {bens}: {one:?} {other:?}", operation.id));
                }
            }
            // What has another name in every app, asked for in one's own.
            for (at, (name, id)) in sent.names.iter().enumerate().filter(|(_, (name, _))| is_id(name)) {
                let mut unknown = sent.clone();
                unknown.names[at].1 = like(id);
                let one = operation.send(&world, &anna.id, sent, who).await;
                let other = operation.send(&world, &anna.id, &unknown, who).await;
                compared += 1;
                let is_hidden = one.status == 404 || is_own_after_all(&operation, name);
                if !is_hidden || !is_same((&one, id), (&other, &unknown.names[at].1)) {
                    faults.push(format!("{} of {id}: {one:?} {other:?}", operation.id));
                }
            }
        }
        if ben.state().await != before {
            faults.push(format!("{}: something of the other app has changed", operation.id));
        }
        // The requests were good: to whom it belongs they do what they are for.
        let bens = Identity::Bearer(ben.token.clone());
        if operation.same_as != "delete_app" {
            for sent in &good {
                let answer = operation.send(&world, &ben.id, sent, &bens).await;
                assert_eq!(answer.status, operation.success(sent), "{}: {}", operation.id, answer.text());
            }
        }
    }
    note(&format!("{compared} pairs of answers compared"));
    assert!(compared > 100 && faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    let others: Vec<_> = anna.apps().await.into_iter().filter(|app| app["id"] != *anna.id).collect();
    assert!(others.is_empty(), "a list of one's apps has others: {others:?}");
}

/// Whether a name of a path is one app's only. Streams are called the same in every app.
fn is_id(name: &str) -> bool {
    name != "stream"
}

/// A group that is not there is made by polling it: in one's own app, whatever another app's groups are called.
fn is_own_after_all(operation: &Operation, name: &str) -> bool {
    name == "group" && ["poll_group", "commit_group"].contains(&&*operation.same_as)
}

/// An id of the same shape that nothing has.
fn like(id: &str) -> String {
    let (start, end) = id.split_at(id.len() - 8);
    let end: String = end.chars().rev().collect();
    let last = if end.ends_with('0') { "1" } else { "0" };
    format!("{start}{}{last}", &end[..7])
}

/// Status, headers and body, but for the date, and for the id that was asked for where it is said again.
fn is_same((one, id): (&Reply, &str), (other, unknown): (&Reply, &str)) -> bool {
    let headers = |reply: &Reply| {
        let mut headers = reply.headers.clone();
        headers.remove("date");
        headers
    };
    one.status == other.status
        && headers(one) == headers(other)
        && one.text().replace(id, "ID") == other.text().replace(unknown, "ID")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_app_is_over_at_once_and_its_data_goes() {
    let (world, issuers) = world().await;
    let token = issuers.rsa.token(&new_email());
    let tenant = Tenant::found(&world, &token).await;
    let key = tenant.with(&tenant.key("admin").await.secret);
    tenant.send_event().await;
    let made = send_json(
        tenant.request(Method::POST, "/grants").header("idempotency-key", "kept"),
        &json!({ "email": "kept@suite.test", "role": "viewer" }),
    )
    .await;
    assert_eq!(made.status, 201, "{}", made.text());
    let held = hold(&key).await;
    assert_eq!(tenant.delete("").await.status, 204);
    let since = Instant::now();

    for rest in ["", "/events", "/keys", "/streams/events/records"] {
        let (by_token, by_key) = (tenant.get(rest).await, key.get(rest).await);
        assert_eq!((by_token.status, by_key.status), (404, 401), "{rest}");
    }
    let replayed = send_json(
        tenant.request(Method::POST, "/grants").header("idempotency-key", "kept"),
        &json!({ "email": "kept@suite.test", "role": "viewer" }),
    )
    .await;
    assert_eq!(replayed.status, 404, "an old answer is not given either: {}", replayed.text());
    assert!(tenant.apps().await.is_empty());
    let same_name = json!({ "name": "another", "bundle_id": tenant.bundle_id });
    let request = world.http().post(format!("{}/v1/apps", world.url())).bearer_auth(&token);
    let another = send_json(request, &same_name).await;
    assert_eq!(another.status, 201, "its bundle id is free: {}", another.text());
    held.ends(since, WORK_ENDS).await;
    let what = "the data of a deleted app goes";
    eventually(what, async || {
        let log = world.stderr();
        log.lines().any(|line| line.contains("is gone") && line.contains(&tenant.id)).then_some(())
    })
    .await;
    note(&format!("its data was gone after {:?}", since.elapsed()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_over_at_once_and_so_is_what_it_holds_open() {
    let (_world, issuers) = world().await;
    let tenant = Tenant::found(&_world, &issuers.rsa.token(&new_email())).await;
    let made = tenant.key("admin").await;
    let key = tenant.with(&made.secret);
    let held = hold(&key).await;
    let since = Instant::now();
    assert_eq!(tenant.delete(&format!("/keys/{}", made.id)).await.status, 204);
    assert_eq!(key.get("").await.status, 401);
    held.ends(since, WORK_ENDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_is_taken_back_is_over_at_once_and_so_is_what_it_holds_open() {
    let (world, issuers) = world().await;
    let tenant = Tenant::found(&world, &issuers.rsa.token(&new_email())).await;
    let email = new_email();
    let grant = tenant.grant(&json!({ "email": email, "role": "operator" })).await;
    let other = tenant.with(&issuers.p256.token_but("other", &json!({ "email": email })));
    let held = hold(&other).await;
    let since = Instant::now();
    assert_eq!(tenant.delete(&format!("/grants/{grant}")).await.status, 204);
    assert_eq!(other.get("").await.status, 404, "as an app that is not there");
    held.ends(since, WORK_ENDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_or_revoked_at_one_process_is_over_at_the_other() {
    let issuers = Issuers::new();
    if angarium_suite::Servers::of_stack().is_none() {
        return angarium_suite::skip(
            "optional: several processes need the stack (`cargo xtask test --stack`)",
        );
    }
    let [one, two] = World::start_together(issuers.setup()).await;
    let tenant = Tenant::found(&one, &issuers.rsa.token(&new_email())).await;
    let (first, second) = (tenant.key("admin").await, tenant.key("admin").await);
    let at_two = [&first, &second].map(|key| tenant.by(&two).with(&key.secret));
    for key in &at_two {
        eventually("the key is known at the other process", async || {
            (key.get("").await.status == 200).then_some(())
        })
        .await;
    }
    let held = hold(&at_two[0]).await;
    assert_eq!(tenant.delete(&format!("/keys/{}", first.id)).await.status, 204);
    let took = over_within(&at_two[0], 401, KNOWN_ELSEWHERE).await;
    held.ends(Instant::now(), WORK_ENDS).await;
    note(&format!("a revoked key was over at the other process after {took:?}"));

    let held = hold(&at_two[1]).await;
    assert_eq!(tenant.delete("").await.status, 204);
    let since = Instant::now();
    over_within(&at_two[1], 401, WORK_ENDS).await;
    over_within(&tenant.by(&two), 404, WORK_ENDS).await;
    held.ends(since, WORK_ENDS).await;
}

/// Asks until the answer is a refusal, which must be soon.
async fn over_within(tenant: &Tenant, status: u16, bound: Duration) -> Duration {
    let since = Instant::now();
    eventually("it is over", async || (tenant.get("").await.status == status).then_some(())).await;
    let took = since.elapsed();
    assert!(took < bound, "it took {took:?}");
    took
}

/// What is changed at the same moment, each by another request, holds together: nobody's look at the store takes
/// back what another one has seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_of_many_that_are_revoked_at_the_same_moment_is_over_at_once() {
    let (world, issuers) = world().await;
    let tenant = Tenant::found(&world, &issuers.rsa.token(&new_email())).await;
    let live_and_die = async |_: usize| {
        for _ in 0..10 {
            let made = tenant.key("viewer").await;
            let key = tenant.with(&made.secret);
            assert_eq!(key.get("").await.status, 200, "a key is good when it is told");
            assert_eq!(tenant.delete(&format!("/keys/{}", made.id)).await.status, 204);
            assert_eq!(key.get("").await.status, 401, "a revoked key is over when that is told");
        }
    };
    join_all((0..24).map(live_and_die)).await;
}

/// What somebody holds open: the live feed, a long poll of a stream, and one of a group.
struct Held {
    feed: tokio::task::JoinHandle<()>,
    polls: Vec<tokio::task::JoinHandle<Reply>>,
}

async fn hold(tenant: &Tenant) -> Held {
    let end = tenant.get("/streams").await.json()["items"].as_array().expect("streams").clone();
    let events = end.iter().find(|stream| stream["stream"] == "events").expect("there is one of events");
    let last = events["last"].as_str().expect("a cursor").to_owned();
    let mut feed = tenant
        .request(Method::GET, "/live")
        .header(ACCEPT, "text/event-stream")
        .send()
        .await
        .expect("an answer");
    assert_eq!(feed.status(), 200);
    let feed = tokio::spawn(async move { while let Ok(Some(_)) = feed.chunk().await {} });
    let records = tenant.request(Method::GET, &format!("/streams/events/records?wait=50s&after={last}"));
    let group = tenant.request(Method::POST, "/streams/events/groups/held/poll");
    // It gives what there is before it waits.
    tenant.poll("held").await;
    let commit = json!({ "cursor": last, "consumer": "one" });
    let committed = tenant.post("/streams/events/groups/held/commit", &commit).await;
    assert_eq!(committed.status, 200, "{}", committed.text());
    let body = json!({ "max": 1, "wait": "50s", "consumer": "one" }).to_string();
    let group = group.header("content-type", "application/json").body(body);
    let polls =
        [records, group].map(|request| tokio::spawn(async move { read(request).await.expect("an answer") }));
    Held { feed, polls: polls.into() }
}

impl Held {
    /// All of it ends soon after `since`, the polls with a refusal.
    async fn ends(self, since: Instant, bound: Duration) {
        let ended = async {
            self.feed.await.expect("no panic");
            for poll in self.polls {
                let answer = poll.await.expect("no panic");
                assert!([401, 403, 404].contains(&answer.status), "{}: {}", answer.status, answer.text());
            }
        };
        let left = bound.saturating_sub(since.elapsed());
        tokio::time::timeout(left, ended).await.expect("what is held open ends within seconds");
    }
}
