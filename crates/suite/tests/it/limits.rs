//! Rate limits: per key, per app and per client address, said in every answer, changed in the file while the server
//! runs, and shared by processes.

use angarium_suite::{Reply, Servers, Setup, World, caller::read, embedded_only, eventually, skip};
use std::path::Path;

/// Limits in which nothing comes back while a test runs.
async fn world_with(limits: &str) -> World {
    World::start_with(&format!("[limits]\n{limits}\n")).await
}

/// `r` of the policy `name` in the `RateLimit` header.
fn left(answer: &Reply, name: &str) -> u64 {
    let header = answer.header("ratelimit");
    let policy = header.split(", ").find_map(|part| part.strip_prefix(&format!("\"{name}\";r=")));
    let number = policy.and_then(|rest| rest.split(';').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no `{name}` in {header:?}"))
}

fn refused(answer: &Reply, whose: &str) {
    assert_eq!((answer.status, &*answer.code()), (429, "rate_limited"), "{}", answer.text());
    assert!(answer.text().contains(whose), "{}", answer.text());
    let wait: u64 = answer.header("retry-after").parse().expect("it says when to come again");
    assert!((1..=3_600).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_key_beyond_its_limit_is_refused_and_others_are_not() {
    let world = world_with("per_key = \"3/h\"").await;
    for expected in [2, 1, 0] {
        let answer = world.get("").await;
        assert_eq!((answer.status, left(&answer, "key")), (200, expected), "{}", answer.text());
        assert_eq!(answer.header("ratelimit-policy"), "\"key\";q=3;w=3600");
    }
    let answer = world.get("").await;
    refused(&answer, "this key or user");
    assert_eq!(left(&answer, "key"), 0);
    let other = world.caller().with_key(world.write_key());
    let sent = other.try_post("/events", "application/json", r#"{"type":"a"}"#).await.expect("an answer");
    assert_eq!((sent.status, left(&sent, "key")), (202, 2), "{}", sent.text());
    assert_eq!(world.open("/health/ready").await.status, 200, "health is for everybody");
}

#[tokio::test]
async fn keys_of_one_app_share_its_limit_and_other_apps_have_theirs() {
    let setup = embedded_only("a second app is made by a token, and the issuer is the folder's");
    let world = World::start_as(Setup { config: "[limits]\nper_app = \"3/h\"".into(), ..setup }).await;
    let other = world.caller().with_key(world.write_key());
    let send =
        async || other.try_post("/events", "application/json", r#"{"type":"a"}"#).await.expect("an answer");
    assert_eq!(left(&world.get("").await, "app"), 2);
    assert_eq!(left(&send().await, "app"), 1);
    assert_eq!(left(&world.get("").await, "app"), 0);
    refused(&world.get("").await, "this app");
    refused(&send().await, "this app");

    let token = world.ready()["token"].as_str().expect("a first start says a token");
    let user = angarium_client::Client::new(&world.url(), Some(token)).expect("URL and token can be used");
    let new = angarium_client::NewApp { name: "Two".into(), bundle_id: "com.acme.two".into() };
    let app = user.create_app(&new, None).await.expect("it is made");
    assert_eq!(user.show_app(&app.id).await.expect("it has a limit of its own").bundle_id, "com.acme.two");
}

#[tokio::test]
async fn a_client_address_beyond_its_limit_is_refused_and_others_are_not() {
    let config = "[http]\ntrusted_proxies = [\"loopback\"]\n[limits]\nper_address = \"3/h\"";
    let world = World::start_with(config).await;
    let from = async |address: &str| {
        let call = world.http().get(world.path("")).bearer_auth(world.secret_key());
        read(call.header("X-Forwarded-For", address)).await.expect("an answer")
    };
    for expected in [2, 1, 0] {
        assert_eq!(left(&from("203.0.113.1").await, "address"), expected);
    }
    refused(&from("203.0.113.1").await, "this client address");
    assert_eq!(from("203.0.113.2").await.status, 200);
    assert_eq!(left(&from("2001:db8::1").await, "address"), 2);
    assert_eq!(left(&from("2001:db8::2").await, "address"), 1, "a client has a network of 64 bits");
}

#[tokio::test]
async fn probes_and_the_operators_listener_know_no_limit_of_addresses() {
    let world = World::start_as(Setup {
        config: "[limits]\nper_address = \"1/h\"\n".into(),
        arguments: vec!["--internal".into(), "127.0.0.1:0".into()],
        ..Setup::default()
    })
    .await;
    let inside = world.ready()["internal_url"].as_str().expect("the ready line names it").to_owned();
    for _ in 0..5 {
        for path in ["/health/live", "/health/ready", "/healthcheck"] {
            assert_eq!(world.open(path).await.status, 200, "{path}");
        }
        for path in ["/health/live", "/metrics", "/v1/processes"] {
            let asked = read(world.http().get(format!("{inside}{path}"))).await.expect("an answer");
            assert_eq!(asked.status, 200, "{path}");
        }
    }
    assert_eq!(world.get("").await.status, 200);
    refused(&world.get("").await, "this client address");
}

/// In one step, as an editor does.
fn write_config(world: &World, text: &str) {
    let (new, file) = (world.temp_dir().join("new.toml"), world.temp_dir().join("angarium.toml"));
    let write = |from: &Path, to: &Path| std::fs::write(from, text).and_then(|()| std::fs::rename(from, to));
    write(&new, &file).expect("the folder can be written to");
}

#[tokio::test]
async fn a_change_of_the_file_holds_within_seconds() {
    let world = world_with("").await;
    let answer = world.get("").await;
    assert_eq!((answer.status, answer.header("ratelimit")), (200, ""), "there is no limit");
    write_config(&world, "[limits]\nper_key = \"1/h\"\n");
    let answer = eventually("the new limit refuses", async || {
        Some(world.get("").await).filter(|answer| answer.status == 429)
    });
    refused(&answer.await, "this key or user");

    for wrong in ["[limits]\nper_key = \"much\"\n", "[limits]\nper_key = \"much\"\n\n"] {
        write_config(&world, wrong);
    }
    let said = |log: &str| log.matches("the configuration file is not used").count();
    eventually("the log says that it is not used", async || (said(&world.stderr()) > 0).then_some(())).await;
    assert_eq!(world.get("").await.status, 429, "the old limit stays");
    assert!(world.stderr().contains("limits.per_key is a number per time"), "{}", world.stderr());

    write_config(&world, "[limits]\nper_key = \"1000/s\"\n");
    let answer = eventually("the limit is another", async || {
        Some(world.get("").await).filter(|answer| answer.status == 200)
    });
    assert_eq!(answer.await.header("ratelimit-policy"), "\"key\";q=1000;w=1");
    assert_eq!(said(&world.stderr()), 1, "{}", world.stderr());
}

#[tokio::test]
async fn processes_that_share_redis_count_together() {
    if Servers::of_stack().is_none() {
        skip("optional: several processes need the stack (`cargo xtask test --stack`)");
        return;
    }
    let setup = Setup { config: "[limits]\nper_key = \"6/h\"\n".into(), ..Setup::default() };
    let worlds: [World; 2] = World::start_together(setup).await;
    // A process that cannot reach Redis in time counts for itself: the feed is connected first.
    for world in &worlds {
        eventually("the feed is connected", async || {
            let ready = world.open("/health/ready").await.json();
            (ready["parts"]["feed"]["status"] == "ready").then_some(())
        })
        .await;
    }
    let mut allowed = 0;
    for turn in 0..24 {
        allowed += usize::from(worlds[turn % 2].get("").await.status == 200);
    }
    // Where Redis takes too long for once, a process counts that request for itself; two that always do let 12 in.
    assert!((6..9).contains(&allowed), "{allowed} were let in");
    for world in &worlds {
        refused(&world.get("").await, "this key or user");
    }
}
