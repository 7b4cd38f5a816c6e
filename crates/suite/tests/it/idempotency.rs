//! `Idempotency-Key`: the same request sent again and again has one effect and one answer, whatever happens meanwhile:
//! two hundred at the same moment, a restart, kill -9 at any moment, several processes.

mod repeat;

use crate::{
    fault::Clock,
    tenants::{Issuers, Tenant, new_bundle_id, new_email},
};
use angarium_suite::{GUARD, Servers, Setup, World, caller::read, eventually, is_long, note, on_kafka};
use futures_util::future::{join_all, select};
use repeat::{Kind, Repeated, new_key};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

/// Two processes where several can share a store, one elsewhere; and an app on them.
async fn worlds(setup: Setup) -> (Vec<World>, Tenant) {
    let worlds: Vec<World> = match Servers::of_stack().is_some() {
        true => World::start_together::<2>(setup).await.into(),
        false => vec![World::start_as(setup).await],
    };
    let tenant = Tenant::found(&worlds[0], &Issuers::new().rsa.token(&new_email())).await;
    for world in &worlds {
        let there = tenant.by(world);
        let what = "every process knows the app";
        eventually(what, async || (there.get("").await.status == 200).then_some(())).await;
    }
    (worlds, tenant)
}

async fn one_world() -> (World, Tenant) {
    let world = World::start_as(Issuers::new().setup()).await;
    let tenant = Tenant::found(&world, &Issuers::new().rsa.token(&new_email())).await;
    (world, tenant)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_the_same_moment_have_one_effect_and_one_answer() {
    let (worlds, tenant) = worlds(Issuers::new().setup()).await;
    for kind in Kind::ALL {
        let repeated = Repeated::new(kind, &tenant).await;
        let told = repeated.by_many(&worlds, 200).await;
        let firsts = told.answers.iter().filter(|answer| answer.header("idempotency-replay").is_empty());
        assert_eq!(firsts.count(), 1, "{kind:?}: all but one are told that it is a replay");
        note(&format!("{kind:?}: {} times 409 on the way", told.conflicts));
        repeated.has_one_effect(&told.answers).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_leaves_one_effect_and_one_answer() {
    let (mut worlds, tenant) = worlds(Issuers::new().setup()).await;
    let is_fleet = worlds.len() > 1;
    let rounds = match (is_long(), is_fleet) {
        (true, _) => 30,
        // What a process that died had claimed is taken over after half a minute.
        (false, true) => 2,
        (false, false) => 10,
    };
    let mut all_broken = 0;
    for round in 0..rounds {
        let mut repeated = Vec::new();
        for kind in Kind::ALL.into_iter().cycle().take(18) {
            repeated.push(Repeated::new(kind, &tenant).await);
        }
        let victim = fastrand::usize(..worlds.len());
        let urls: Vec<String> = worlds.iter().map(World::url).collect();
        // Three callers to a request, fifty-four in all, and the kill somewhere among their beginnings.
        let calling = join_all(repeated.iter().map(async |one| {
            tokio::time::sleep(Duration::from_micros(fastrand::u64(0..50_000))).await;
            one.by_many_at(&urls, 3).await
        }));
        let killing = async {
            tokio::time::sleep(Duration::from_micros(fastrand::u64(10_000..50_000))).await;
            worlds[victim].kill();
            worlds[victim].restart().await;
        };
        let (told, ()) = tokio::join!(calling, killing);
        let (mut broken, mut done) = (0, 0);
        for (one, told) in repeated.iter().zip(&told) {
            broken += usize::from(told.broken > 0);
            done += usize::from(told.answers.iter().all(|a| !a.header("idempotency-replay").is_empty()));
            one.has_one_effect(&told.answers).await;
        }
        note(&format!(
            "round {round}: {broken} requests were cut off or came to nobody; {done} had been done by then"
        ));
        all_broken += broken;
    }
    assert!(all_broken > 0, "no kill has hit anybody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_had_begun_another_one_ends() {
    if Servers::of_stack().is_none() {
        return angarium_suite::skip(
            "optional: several processes need the stack (`cargo xtask test --stack`)",
        );
    }
    let (mut worlds, tenant) = worlds(Issuers::new().setup()).await;
    let (survivor, tenant) = ([worlds[1].url()], tenant.by(&worlds[1]));
    let mut repeated = Vec::new();
    for _ in 0..20 {
        for kind in Kind::ALL {
            // Ids of events are remembered by the process that they came through, where streams are in Kafka.
            if !(on_kafka() && kind.is_events()) {
                repeated.push(Repeated::new(kind, &tenant).await);
            }
        }
    }
    let first = worlds[0].url();
    let beginning = join_all(repeated.iter().map(|one| one.begin(&first)));
    let killing = async {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..250))).await;
        worlds[0].kill();
    };
    let (begun, ()) = tokio::join!(beginning, killing);
    let answered = begun.into_iter().flatten().count();
    let ended = join_all(repeated.iter().map(|one| one.by_many_at(&survivor, 2))).await;
    let mut replays = 0;
    for (one, told) in repeated.iter().zip(&ended) {
        one.has_one_effect(&told.answers).await;
        replays += usize::from(told.answers.iter().all(|a| !a.header("idempotency-replay").is_empty()));
    }
    let of = repeated.len();
    note(&format!("{answered} of {of} answered before the kill; {replays} had been done by then"));
}

/// By HTTP/2 the server is told at once that nobody waits for an answer any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_leaves_no_key_in_flight() {
    let (_world, tenant) = one_world().await;
    let http2 = reqwest::Client::builder().http2_prior_knowledge().no_proxy();
    let http2 = http2.tls_backend_preconfigured(angarium_suite::tls_client("", None, &[])).build();
    let tenant = tenant.through(http2.expect("a client"));
    let send = async |key: &str, body: &str| {
        let request = tenant.request(Method::POST, "/grants").header("idempotency-key", key);
        read(request.header("content-type", "application/json").body(body.to_owned())).await
    };
    let hang_up = async || {
        let (key, body) = (new_key(), json!({ "email": new_email(), "role": "viewer" }).to_string());
        let patience = Duration::from_micros(fastrand::u64(0..12_000));
        let answered = tokio::time::timeout(patience, send(&key, &body)).await.is_ok();
        (key, body, answered)
    };
    let (mut answered, mut replays) = (0, 0);
    for _ in 0..20 {
        let hung_up = join_all((0..15).map(|_| hang_up())).await;
        for (key, body, was_answered) in hung_up {
            answered += usize::from(was_answered);
            let answer = eventually("a key is not in flight for ever", async || {
                let answer = send(&key, &body).await.expect("an answer");
                (answer.code() != "idempotency_key_in_flight").then_some(answer)
            });
            let answer = answer.await;
            assert_eq!(answer.status, 201, "{}", answer.text());
            replays += usize::from(!answer.header("idempotency-replay").is_empty());
        }
    }
    note(&format!("of 300, {answered} waited long enough; {replays} had been done when they came again"));
}

/// Whose connection to the database is cut in the middle of a commit does not know what has become of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cuts_its_connections_leaves_one_effect_and_one_answer() {
    if Servers::of_stack().is_none() {
        return angarium_suite::skip(
            "optional: a database that cuts connections needs the stack (`cargo xtask test --stack`)",
        );
    }
    let (world, tenant) = one_world().await;
    let place = world.place().expect("it is on the stack").clone();
    let urls = [world.url()];
    let mut repeated = Vec::new();
    for kind in Kind::ALL.into_iter().cycle().take(3 * 48) {
        repeated.push(Repeated::new(kind, &tenant).await);
    }
    let mut cut = 0;
    for repeated in repeated.chunks(48) {
        let calling = join_all(repeated.iter().map(|one| one.by_many_at(&urls, 2)));
        let cutting = async {
            for _ in 0..8 {
                cut += place.cut().await;
            }
        };
        let (told, ()) = tokio::join!(calling, cutting);
        let what = "the store can be reached again";
        eventually(what, async || (world.open("/health/ready").await.status == 200).then_some(())).await;
        for (one, told) in repeated.iter().zip(&told) {
            one.has_one_effect(&told.answers).await;
        }
    }
    note(&format!("{cut} connections were cut"));
}

#[tokio::test]
async fn replays_count_against_the_rate_limits() {
    let issuers = Issuers::new();
    let setup = issuers.setup();
    let config = format!("{}[limits]\nper_key = \"20/h\"\n", setup.config);
    let world = World::start_as(Setup { config, ..setup }).await;
    let tenant = Tenant::found(&world, &issuers.rsa.token(&new_email())).await;
    let (key, body) = (new_key(), json!({ "email": new_email(), "role": "viewer" }));
    let mut statuses = Vec::new();
    for _ in 0..30 {
        let request = tenant.request(Method::POST, "/grants").header("idempotency-key", &key);
        statuses.push(crate::tenants::send_json(request, &body).await.status);
    }
    let limited = statuses.iter().position(|status| *status == 429);
    assert!(limited.is_some_and(|at| (1..=20).contains(&at)), "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 429].contains(status)), "{statuses:?}");
}

#[tokio::test]
async fn a_key_is_one_principals_for_one_path_and_one_body() {
    let (_world, tenant) = one_world().await;
    let (key, other) = (new_key(), tenant.with(&tenant.key("admin").await.secret));
    let send = async |tenant: &Tenant, rest: &str, body: serde_json::Value| {
        let request = tenant.request(Method::POST, rest).header("idempotency-key", &key);
        crate::tenants::send_json(request, &body).await
    };
    let body = json!({ "name": "one", "role": "viewer" });
    let first = send(&tenant, "/keys", body.clone()).await;
    assert_eq!((first.status, first.header("idempotency-replay")), (201, ""), "{}", first.text());
    assert_eq!(first.header("idempotency-key"), key);
    let again = send(&tenant, "/keys", body.clone()).await;
    assert_eq!((again.status, again.header("idempotency-replay")), (201, "true"));
    assert_eq!((again.header("idempotency-key"), &again.body), (&*key, &first.body));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("content-type"), first.header("content-type"));

    for (rest, changed) in
        [("/keys", json!({ "name": "two", "role": "viewer" })), ("/keys?a=1", body.clone())]
    {
        let refused = send(&tenant, rest, changed).await;
        let wanted = (422, "idempotency_key_reused".to_owned());
        assert_eq!((refused.status, refused.code()), wanted, "{rest}: {}", refused.text());
    }
    let anothers = send(&other, "/keys", body.clone()).await;
    assert_eq!((anothers.status, anothers.header("idempotency-replay")), (201, ""));
    assert_ne!(anothers.body, first.body, "another principal's is another request");
    let elsewhere = send(&tenant, "/grants", json!({ "email": new_email(), "role": "viewer" })).await;
    assert_eq!((elsewhere.status, elsewhere.header("idempotency-replay")), (201, ""));
    let keys = tenant.get("/keys").await.json();
    let named = keys["items"].as_array().expect("a page has items").iter();
    assert_eq!(named.filter(|key| key["name"] == "one").count(), 2, "one of each principal");
}

#[tokio::test]
async fn a_key_that_cannot_be_is_refused() {
    let (_world, tenant) = one_world().await;
    let grant = || json!({ "email": new_email(), "role": "viewer" }).to_string();
    let long = "k".repeat(256);
    let cases: [(&str, Vec<&[u8]>, u16); 7] = [
        ("the longest", vec![&long.as_bytes()[..255]], 201),
        ("too long", vec![long.as_bytes()], 400),
        ("empty", vec![b""], 400),
        ("not ASCII", vec!["schlüssel".as_bytes()], 400),
        ("not text", vec![b"a\xffb"], 400),
        ("with a space", vec![b"a b"], 400),
        ("twice", vec![b"one", b"one"], 400),
    ];
    for (what, values, status) in cases {
        let mut request = tenant.request(Method::POST, "/grants").header("content-type", "application/json");
        for value in values {
            request = request.header("idempotency-key", value);
        }
        let answer = read(request.body(grant())).await.expect("an answer");
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        let code = if status == 400 { "invalid_idempotency_key" } else { "" };
        assert_eq!(answer.code(), code, "{what}");
    }
}

#[tokio::test]
async fn a_refusal_is_not_kept() {
    let (world, tenant) = one_world().await;
    let (key, bundle_id) = (new_key(), new_bundle_id());
    let taken = Tenant::found(&world, &Issuers::new().rsa.token(&new_email())).await;
    let body = json!({ "name": "mine", "bundle_id": taken.bundle_id });
    let create = async |body: &serde_json::Value| {
        let request = world.http().post(format!("{}/v1/apps", world.url())).bearer_auth(&tenant.token);
        crate::tenants::send_json(request.header("idempotency-key", &key), body).await
    };
    for _ in 0..2 {
        let refused = create(&body).await;
        assert_eq!((refused.status, &*refused.code()), (409, "bundle_id_taken"));
        assert_eq!(refused.header("idempotency-replay"), "", "it was asked again");
        assert_eq!(refused.header("idempotency-key"), key);
    }
    assert_eq!(taken.delete("").await.status, 204);
    let made = create(&body).await;
    assert_eq!((made.status, made.header("idempotency-replay")), (201, ""), "{}", made.text());
    let reused = create(&json!({ "name": "mine", "bundle_id": bundle_id })).await;
    assert_eq!(reused.status, 422, "an answer that is kept binds the key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_survives_a_restart_and_no_secret_in_it_is_readable_in_the_store() {
    let (mut world, tenant) = one_world().await;
    let mut repeated = Vec::new();
    for kind in Kind::ALL {
        let one = Repeated::new(kind, &tenant).await;
        let told = one.by_many(std::slice::from_ref(&world), 1).await;
        repeated.push((one, told.answers));
    }
    world.kill();
    for (one, answers) in &repeated {
        let Some(secret) = answers[0].json()["key"].as_str().map(str::to_owned) else { continue };
        for file in std::fs::read_dir(world.data_dir()).expect("it is there").flatten() {
            let bytes = std::fs::read(file.path()).unwrap_or_default();
            let is_readable = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!is_readable, "{one:?}: the new key is readable in {:?}", file.file_name());
        }
    }
    world.restart().await;
    for (one, mut answers) in repeated {
        let told = one.by_many(std::slice::from_ref(&world), 3).await;
        for answer in &told.answers {
            assert_eq!(answer.header("idempotency-replay"), "true", "{one:?}");
        }
        answers.extend(told.answers);
        one.has_one_effect(&answers).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_day_a_key_is_free_again() {
    let Some((clock, environment)) = Clock::right() else { return };
    let (worlds, tenant) = worlds(Setup { environment, ..Issuers::new().setup() }).await;
    let key = new_key();
    // Tokens are good for an hour.
    let token = tenant.token.clone();
    let tenant = tenant.with(&tenant.key("admin").await.secret);
    for world in &worlds {
        let there = tenant.by(world);
        eventually("every process knows the key", async || (there.get("").await.status == 200).then_some(()))
            .await;
    }
    let send = async |name: &str, world: &World| {
        let tenant = tenant.by(world);
        let request = tenant.request(Method::POST, "/keys").header("idempotency-key", &key);
        crate::tenants::send_json(request, &json!({ "name": name, "role": "viewer" })).await
    };
    let last = &worlds[worlds.len() - 1];
    let first = send("first", &worlds[0]).await;
    clock.jump_to(24 * 3_600 - 60);
    for world in &worlds {
        let with_token = tenant.by(world).with(&token);
        eventually("the clock has jumped", async || (with_token.get("").await.status == 401).then_some(()))
            .await;
    }
    let kept = send("first", last).await;
    assert_eq!((kept.header("idempotency-replay"), &kept.body), ("true", &first.body));
    assert_eq!(send("second", last).await.status, 422);
    clock.jump_to(24 * 3_600 + 60);
    let second = eventually("the key is free again", async || {
        let answer = send("second", last).await;
        (answer.status != 422).then_some(answer)
    });
    let second = second.await;
    assert_eq!((second.status, second.header("idempotency-replay")), (201, ""), "{}", second.text());
    let kept = send("second", &worlds[0]).await;
    assert_eq!((kept.header("idempotency-replay"), &kept.body), ("true", &second.body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_the_first_is_answered_is_told_when_to_come_again() {
    let (world, tenant) = one_world().await;
    let group = format!("/streams/events/groups/{}/poll", &new_key()[..16]);
    let key = new_key();
    let send = async |wait: &str| {
        let request = tenant.request(Method::POST, &group).header("idempotency-key", &key);
        crate::tenants::send_json(request, &json!({ "max": 1, "wait": wait, "consumer": "one" })).await
    };
    // Whichever of the two is the second one ends at once, and the other one waits.
    let two = (Box::pin(send("50s")), Box::pin(send("50s")));
    let (refused, first) =
        tokio::time::timeout(GUARD, select(two.0, two.1)).await.expect("an answer").factor_first();
    assert_eq!((refused.status, &*refused.code()), (409, "idempotency_key_in_flight"), "{}", refused.text());
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("idempotency-key"), key);
    let what = "with another body it never helps to come again";
    eventually(what, async || (send("49s").await.status == 422).then_some(())).await;
    tenant.send_event().await;
    let first = first.await;
    assert_eq!(first.status, 200, "{}\n{}", first.text(), world.stderr());
    let again = send("50s").await;
    assert_eq!(again.json()["items"], first.json()["items"], "a poll is done again");
}

#[tokio::test]
async fn a_key_follows_the_app_and_not_what_it_is_called() {
    let (world, tenant) = one_world().await;
    let (key, body) = (new_key(), json!({ "name": "one", "role": "viewer" }));
    let create = async |app: &str| {
        let url = format!("{}/v1/apps/{app}/keys", world.url());
        let request = world.http().post(url).bearer_auth(&tenant.token).header("idempotency-key", &key);
        crate::tenants::send_json(request, &body).await
    };
    let first = create(&tenant.id).await;
    assert_eq!((first.status, first.header("idempotency-replay")), (201, ""), "{}", first.text());
    let encoded = tenant.bundle_id.replace('.', "%2E");
    for app in [&tenant.bundle_id, &encoded] {
        let again = create(app).await;
        assert_eq!((again.header("idempotency-replay"), &again.body), ("true", &first.body), "{app}");
    }
    let renamed = new_bundle_id();
    let patch = tenant.request(Method::PATCH, "");
    assert_eq!(crate::tenants::send_json(patch, &json!({ "bundle_id": renamed })).await.status, 200);
    assert_eq!(create(&renamed).await.body, first.body, "renamed, it is the same app");

    assert_eq!(tenant.delete("").await.status, 204);
    for app in [&tenant.id, &renamed, &tenant.bundle_id] {
        assert_eq!(create(app).await.status, 404, "{app}");
    }
    let request = world.http().post(format!("{}/v1/apps", world.url())).bearer_auth(&tenant.token);
    let made = crate::tenants::send_json(request, &json!({ "name": "new", "bundle_id": renamed })).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let anew = create(&renamed).await;
    assert_eq!((anew.status, anew.header("idempotency-replay")), (201, ""), "another app of that name");
    assert_ne!(anew.body, first.body);
}

#[tokio::test]
async fn what_made_an_app_is_not_answered_again_when_the_app_is_deleted() {
    let (world, tenant) = one_world().await;
    let (key, body) = (new_key(), json!({ "name": "mine", "bundle_id": new_bundle_id() }));
    let create = async || {
        let request = world.http().post(format!("{}/v1/apps", world.url())).bearer_auth(&tenant.token);
        crate::tenants::send_json(request.header("idempotency-key", &key), &body).await
    };
    let made = create().await;
    assert_eq!((made.status, create().await.body), (201, made.body.clone()));
    let deleted = read(
        world.http().delete(format!("{}{}", world.url(), made.header("location"))).bearer_auth(&tenant.token),
    );
    assert_eq!(deleted.await.expect("an answer").status, 204);
    let gone = create().await;
    assert_eq!((gone.status, &*gone.code()), (404, "not_found"), "{}", gone.text());
    assert!(gone.text().contains("use a new key"), "{}", gone.text());
}

#[tokio::test]
async fn a_poll_is_done_again_and_what_it_hands_out_is_not_kept() {
    let (_world, tenant) = one_world().await;
    let marker = new_email();
    let sent = tenant.post("/events", &json!({ "type": "seen", "params": { "marker": marker } })).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
    let poll = async || {
        let request = tenant.request(Method::POST, "/streams/events/groups/one/poll");
        let body = json!({ "max": 10, "consumer": "one" });
        crate::tenants::send_json(request.header("idempotency-key", "poll"), &body).await
    };
    let first = poll().await;
    assert!(first.status == 200 && first.text().contains(&marker), "{}", first.text());
    let again = poll().await;
    assert_eq!((again.status, again.header("idempotency-replay")), (200, ""));
    assert_eq!(again.json()["items"], first.json()["items"], "until a commit they come again");
    let committed = json!({ "cursor": first.json()["cursor"], "consumer": "one" });
    assert_eq!(tenant.post("/streams/events/groups/one/commit", &committed).await.status, 200);
    assert_eq!(poll().await.json()["items"], json!([]), "and then what is next");
}
