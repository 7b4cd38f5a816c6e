//! Apps, people and keys on the command line: each verb through its whole life, for a user, for a key and at the console.

use angarium_suite::{Ran, World, angarium, embedded_only, eventually, run};
use serde_json::{Value, json};
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::io::{AsyncBufReadExt, BufReader};

async fn world() -> World {
    World::start_as(embedded_only("commands speak to every engine alike, and the issuer is the folder's"))
        .await
}

/// A token of the data directory's own issuer, made while the server runs on it.
async fn mint(world: &World, more: &[&str]) -> String {
    let mut command = angarium(&["token", "mint", "--data-dir"]);
    command.arg(world.data_dir()).args(more);
    run(command).await.printed().trim_end().to_owned()
}

/// Runs a client command with this key or token.
async fn run_as(world: &World, key: &str, arguments: &[&str]) -> Ran {
    let mut command = world.command(arguments);
    command.env("ANGARIUM_KEY", key);
    run(command).await
}

/// What a command prints with `--json`.
async fn json_as(world: &World, key: &str, arguments: &[&str]) -> Value {
    let printed = run_as(world, key, &[arguments, &["--json"]].concat()).await.printed();
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

/// What the API answers.
async fn api(world: &World, key: &str, path: &str) -> Value {
    let answer = world.http().get(format!("{}{path}", world.url())).bearer_auth(key).send().await;
    let body = answer.expect("the server answers").text().await.expect("to the end");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}`: {value}"))
}

#[tokio::test]
async fn an_app_is_made_changed_and_deleted_on_the_command_line() {
    let world = world().await;
    let token = mint(&world, &[]).await;
    let by_key = world.run(&["apps", "create", "--name", "Shop", "--bundle-id", "com.acme.shop"]).await;
    assert_eq!(by_key.code, Some(1), "{by_key:?}");
    assert!(by_key.stderr.contains("a key belongs to one app"), "{by_key:?}");

    let made =
        json_as(&world, &token, &["apps", "create", "--name", "Shop", "--bundle-id", "com.acme.shop"]).await;
    let path = format!("/v1/apps/{}", text(&made, "id"));
    assert_eq!(made, api(&world, &token, &path).await, "--json is the API's JSON");
    assert_eq!(json_as(&world, &token, &["apps", "list"]).await, api(&world, &token, "/v1/apps").await);
    let listed = run_as(&world, &token, &["apps", "list"]).await.printed();
    assert!(listed.starts_with("APP ") && listed.contains("com.acme.shop"), "{listed}");

    let app = ["--app", "com.acme.shop"];
    let change = ["apps", "change", "--name", "Shop 2", "--truncate-addresses", "true", "--cors-origin", "*"];
    let changed = json_as(&world, &token, &[&change[..], &app].concat()).await;
    assert_eq!(changed, json_as(&world, &token, &[&["apps", "show"][..], &app].concat()).await);
    assert_eq!([&changed["name"], &changed["cors_origins"]], [&json!("Shop 2"), &json!(["*"])]);
    let nothing = run_as(&world, &token, &[&["apps", "change"][..], &app].concat()).await;
    assert_eq!(nothing.code, Some(2), "{nothing:?}");

    let unasked = run_as(&world, &token, &["apps", "delete", "com.acme.shop"]).await;
    assert_eq!(unasked.code, Some(2), "{unasked:?}");
    assert!(unasked.stderr.contains("--yes"), "{unasked:?}");
    assert_eq!(run_as(&world, &token, &["apps", "delete", "com.acme.shop", "--yes"]).await.code, Some(0));
    let gone = run_as(&world, &token, &["apps", "delete", "com.acme.shop", "--yes"]).await;
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(gone.stderr.contains("not_found"), "{gone:?}");
}

#[tokio::test]
async fn a_role_is_given_changed_and_taken_on_the_command_line() {
    let world = world().await;
    let made = ["grants", "create", "--email", "Ana@Acme.com", "--role", "viewer"];
    let made = json_as(&world, world.secret_key(), &made).await;
    assert_eq!([text(&made, "email"), text(&made, "role")], ["ana@acme.com", "viewer"]);
    let grant = text(&made, "id");
    let listed = json_as(&world, world.secret_key(), &["grants", "list"]).await;
    assert_eq!(listed, api(&world, world.secret_key(), &format!("/v1/apps/{}/grants", world.app())).await);

    let ana = mint(&world, &["--subject", "ana", "--email", "ana@acme.com"]).await;
    assert_eq!(json_as(&world, &ana, &["whoami"]).await["apps"][0]["roles"], json!(["viewer"]));
    assert_eq!(run_as(&world, &ana, &["keys", "list"]).await.code, Some(1), "viewers see no keys");
    let changed =
        json_as(&world, world.secret_key(), &["grants", "change", grant, "--role", "operator"]).await;
    assert_eq!(text(&changed, "role"), "operator");
    assert_eq!(run_as(&world, &ana, &["keys", "list"]).await.code, Some(0));
    assert_eq!(world.run(&["grants", "delete", grant]).await.code, Some(0));
    assert_eq!(json_as(&world, &ana, &["whoami"]).await["apps"], json!([]));

    for wrong in [
        &["grants", "create", "--role", "viewer"][..],
        &["grants", "create", "--email", "a@b.c", "--subject", "a", "--role", "viewer"],
        &["grants", "create", "--email", "a@b.c", "--role", "ingest"],
    ] {
        assert_eq!(world.run(wrong).await.code, Some(2), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_key_is_made_used_replaced_and_revoked_on_the_command_line() {
    let world = world().await;
    let create = ["keys", "create", "--name", "ci", "--role", "operator", "--expires", "90d"];
    let secret = world.run(&[&create[..], &["--quiet"]].concat()).await.printed();
    let secret = secret.strip_suffix('\n').expect("a line");
    assert!(
        secret.starts_with("ang_sk_") && !secret.contains(char::is_whitespace),
        "the secret alone: {secret}"
    );
    let me = json_as(&world, secret, &["whoami"]).await;
    assert_eq!([text(&me, "kind"), text(&me, "name")], ["key", "ci"]);
    let id = text(&me, "id");
    let shown = world.run(&["keys", "show", id]).await.printed();
    assert!(shown.contains("operator") && !shown.contains(secret), "{shown}");
    let listed = json_as(&world, world.secret_key(), &["keys", "list"]).await;
    assert_eq!(listed, api(&world, world.secret_key(), &format!("/v1/apps/{}/keys", world.app())).await);

    let rotated = json_as(&world, world.secret_key(), &["keys", "rotate", id, "--overlap", "0s"]).await;
    assert_eq!(run_as(&world, secret, &["whoami"]).await.code, Some(1), "without an overlap it ends at once");
    let (new, id) = (text(&rotated, "key"), text(&rotated, "id"));
    assert_eq!(text(&json_as(&world, new, &["whoami"]).await, "name"), "ci");
    assert_eq!(world.run(&["keys", "delete", id]).await.code, Some(0));
    let revoked = run_as(&world, new, &["whoami"]).await;
    assert_eq!(revoked.code, Some(1), "{revoked:?}");
    let soon = [&create[..6], &["--expires", "soon"]].concat();
    assert_eq!(world.run(&soon).await.code, Some(2));
}

#[tokio::test]
async fn the_audit_is_listed_and_followed_and_has_no_secret() {
    let world = world().await;
    let mut following = tokio::process::Command::from(world.command(&["audit", "--follow", "--json"]));
    following.stdout(Stdio::piped()).kill_on_drop(true);
    let mut following = following.spawn().expect("it can be started");
    let mut lines = BufReader::new(following.stdout.take().expect("it was piped")).lines();
    let secret = world.run(&["keys", "create", "--name", "ci", "--role", "viewer", "-q"]).await.printed();
    let line = tokio::time::timeout(angarium_suite::GUARD, lines.next_line()).await.expect("it comes");
    let line = line.expect("it can be read").expect("there is a line");
    let entry: Value = serde_json::from_str(&line).expect("--json prints JSON");
    assert_eq!([text(&entry, "action"), text(&entry["actor"], "kind")], ["keys.create", "key"]);

    let listed = json_as(&world, world.secret_key(), &["audit"]).await;
    assert_eq!(listed, api(&world, world.secret_key(), &format!("/v1/apps/{}/audit", world.app())).await);
    assert_eq!(listed["items"], json!([entry]));
    let shown = world.run(&["audit"]).await.printed();
    assert!(shown.contains("keys.create") && shown.contains("(127.0.0.1)"), "{shown}");
    assert!(!format!("{line}{listed}{shown}").contains(secret.trim_end()), "a secret is in the audit");
}

#[tokio::test]
async fn events_and_streams_are_listed_and_counted_on_the_command_line() {
    let world = world().await;
    for n in ["n:=1", "n:=2", "n:=3"] {
        assert_eq!(world.run(&["send", "click", n]).await.code, Some(0));
    }
    let page = json_as(&world, world.secret_key(), &["events", "list", "--limit", "2"]).await;
    assert_eq!([&page["items"][0]["params"]["n"], &page["items"][1]["params"]["n"]], [&json!(1), &json!(2)]);
    let rest = ["events", "list", "--type", "click", "--after", text(&page, "next")];
    let rest = json_as(&world, world.secret_key(), &rest).await;
    assert_eq!([&rest["items"][0]["params"]["n"], &rest["next"]], [&json!(3), &Value::Null]);
    let stats = json_as(&world, world.secret_key(), &["events", "stats", "--step", "1d"]).await;
    let counts = stats["items"].as_array().expect("there are rows");
    assert_eq!(counts.iter().filter_map(|row| row["count"].as_u64()).sum::<u64>(), 3, "{stats}");
    let streams = json_as(&world, world.secret_key(), &["streams", "list"]).await;
    assert_eq!(streams, api(&world, world.secret_key(), &format!("/v1/apps/{}/streams", world.app())).await);
    assert!(world.run(&["events", "list"]).await.printed().contains("click"));
}

/// A command with a home of its own, hence with profiles.
fn at_home(home: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = angarium(arguments);
    command.env("HOME", home);
    command
}

#[tokio::test]
async fn a_profile_stands_for_url_and_key_and_is_its_owners_alone() {
    let world = world().await;
    let home = world.temp_dir().join("home");
    let profiles = home.join(".config/angarium/profiles.toml");
    let (url, key) = (world.url(), world.secret_key());
    let at = async |arguments: &[&str]| run(at_home(&home, arguments)).await;
    assert_eq!(at(&["whoami"]).await.code, Some(2), "there is no key");
    assert_eq!(at(&["profile", "set", "here", "--url", &url, "--key", key]).await.code, Some(0));
    assert_eq!(std::fs::metadata(&profiles).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(at(&["whoami"]).await.code, Some(0), "the first one is the default");
    for listed in
        [at(&["profile", "list"]).await.printed(), at(&["profile", "list", "--json"]).await.printed()]
    {
        assert!(listed.contains("here") && listed.contains(&url) && !listed.contains(key), "{listed}");
    }

    let away = ["profile", "set", "away", "--url", "http://127.0.0.1:9", "--key", "ang_sk_away"];
    assert_eq!(at(&away).await.code, Some(0));
    let unreached = at(&["whoami", "--profile", "away"]).await;
    assert!(unreached.stderr.contains("127.0.0.1:9"), "{unreached:?}");
    let mut by_variable = at_home(&home, &["whoami"]);
    by_variable.env("ANGARIUM_PROFILE", "away");
    assert_eq!(run(by_variable).await.code, Some(1));
    let mut by_flag = at_home(&home, &["whoami", "--profile", "here"]);
    by_flag.env("ANGARIUM_PROFILE", "away");
    assert_eq!(run(by_flag).await.code, Some(0), "a flag wins over a variable");
    let mut over = at_home(&home, &["whoami", "--profile", "away", "--url", &url]);
    over.env("ANGARIUM_KEY", key);
    assert_eq!(run(over).await.code, Some(0), "flag and variable win over the profile");
    let named = at(&["whoami", "--url", &url]).await;
    assert_eq!(named.code, Some(2), "a server that is named gets no key of the default profile: {named:?}");

    std::fs::set_permissions(&profiles, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
    let open = at(&["whoami"]).await;
    assert_eq!(open.code, Some(2), "{open:?}");
    assert!(open.stderr.contains("chmod 600"), "{open:?}");
    std::fs::set_permissions(&profiles, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    assert_eq!(at(&["profile", "delete", "here"]).await.code, Some(0));
    let unknown = at(&["whoami", "--profile", "here"]).await;
    assert!(unknown.code == Some(2) && unknown.stderr.contains("there are: away"), "{unknown:?}");
}

#[tokio::test]
async fn a_token_is_minted_for_the_issuer_that_is_asked_for() {
    let world = world().await;
    let other = mint(&world, &["--audience", "elsewhere"]).await;
    assert_eq!(run_as(&world, &other, &["whoami"]).await.code, Some(1), "it is for another deployment");
    let me = json_as(&world, &mint(&world, &["--subject", "bea", "--tenant", "t1"]).await, &["whoami"]).await;
    assert_eq!([text(&me, "kind"), text(&me, "id"), text(&me, "tenant")], ["user", "bea", "t1"]);

    let secret = world.temp_dir().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef\n").expect("it can be written");
    let config = "[[auth.issuers]]\nissuer = \"ours\"\nsecret = \"0123456789abcdef0123456789abcdef\"\nsubject_claim = \"uid\"";
    let ours =
        World::start_as(angarium_suite::Setup { config: config.into(), ..embedded_only("as above") }).await;
    let file = ours.temp_dir().join("angarium.toml");
    let mut command = angarium(&["token", "mint", "--issuer", "ours", "--subject", "cy", "--secret-file"]);
    command.arg(&secret).arg("--config").arg(&file);
    let token = run(command).await.printed();
    let me = json_as(&ours, token.trim_end(), &["whoami"]).await;
    assert_eq!([text(&me, "issuer"), text(&me, "id")], ["ours", "cy"], "by the names of the configuration");
    for wrong in [&["--issuer", "ours"][..], &["--secret-file", "x"], &["--algorithm", "HS256"]] {
        assert_eq!(run(angarium(&[&["token", "mint"], wrong].concat())).await.code, Some(2), "{wrong:?}");
    }
    let key = run(angarium(&["secrets", "new-key"])).await.printed();
    let with = format!("[secrets]\nkeys = [{:?}]\n", key.trim_end());
    std::fs::write(&file, with).expect("it can be written");
    let mut check = angarium(&["config", "check", "--config"]);
    check.arg(&file);
    assert_eq!(run(check).await.code, Some(0));
}

/// Runs `angarium admin …` on a data directory.
async fn admin(data_dir: &Path, arguments: &[&str]) -> Ran {
    let mut command = angarium(&["admin"]);
    command.args(arguments).arg("--data-dir").arg(data_dir);
    run(command).await
}

#[tokio::test]
async fn the_console_administers_a_folder_that_no_server_has() {
    let mut world = world().await;
    let data_dir: PathBuf = world.data_dir().into();
    let refused = admin(&data_dir, &["apps", "list"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("a server runs on") && refused.stderr.contains("angarium keys"),
        "{refused:?}"
    );
    assert_eq!(world.terminate().await.code(), Some(0));

    let made =
        admin(&data_dir, &["apps", "create", "--name", "Blog", "--bundle-id", "com.acme.blog", "--json"])
            .await;
    let made: Value = serde_json::from_str(&made.printed()).expect("--json prints JSON");
    let app = ["--app", "com.acme.blog"];
    let on = async |arguments: &[&str]| admin(&data_dir, &[arguments, &app].concat()).await.printed();
    let secret = on(&["keys", "create", "--name", "ops", "--role", "admin", "-q"]).await;
    let spare = on(&["keys", "create", "--name", "spare", "--role", "viewer", "--json"]).await;
    let spare: Value = serde_json::from_str(&spare).expect("--json prints JSON");
    on(&["keys", "delete", text(&spare, "id")]).await;
    let listed = on(&["keys", "list"]).await;
    assert!(listed.contains("ops") && !listed.contains("spare"), "{listed}");
    let grant = on(&["grants", "create", "--subject", "admin", "--role", "viewer", "--json"]).await;
    let grant: Value = serde_json::from_str(&grant).expect("--json prints JSON");
    assert!(on(&["grants", "list"]).await.contains("viewer"));
    on(&["grants", "delete", text(&grant, "id")]).await;
    let last = admin(&data_dir, &["apps", "delete", "com.acme.blog"]).await;
    assert_eq!(last.code, Some(2), "nobody is there to be asked: {last:?}");

    world.restart().await;
    let secret = secret.trim_end();
    assert_eq!(json_as(&world, secret, &["apps", "show"]).await, made);
    let audit = json_as(&world, secret, &["audit"]).await;
    let entries = audit["items"].as_array().expect("there are entries");
    let actions: Vec<&str> = entries.iter().map(|entry| text(entry, "action")).collect();
    let all = ["apps.create", "keys.create", "keys.create", "keys.delete", "grants.create", "grants.delete"];
    assert_eq!(actions, all);
    assert!(entries.iter().all(|entry| entry["actor"] == json!({"kind": "console"})), "{audit}");
    let processes = api(&world, world.secret_key(), "/v1/processes").await;
    assert_eq!(processes["items"].as_array().map(Vec::len), Some(1), "the console left the fleet");

    assert_eq!(world.terminate().await.code(), Some(0));
    assert_eq!(admin(&data_dir, &["apps", "delete", "com.acme.blog", "--yes"]).await.code, Some(0));
    world.restart().await;
    eventually("a deleted app's key opens nothing", async || {
        (run_as(&world, secret, &["whoami"]).await.code == Some(1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_console_administers_a_database_while_servers_run_on_it() {
    let Some(worlds) = World::fleet::<2>().await else { return };
    let app = ["--app", worlds[0].app()];
    let place = worlds[0].place().expect("a fleet is on the stack");
    // Even where it is a server's own folder that is named, its spool is left alone.
    let console = async |arguments: &[&str]| {
        let mut command = angarium(&["admin"]);
        command.args(arguments).args(app).arg("--data-dir").arg(worlds[0].data_dir());
        command.envs(place.environment());
        run(command).await.printed()
    };
    let secret = console(&["keys", "create", "--name", "ops", "--role", "admin", "-q"]).await;
    let secret = secret.trim_end();
    for world in &worlds {
        eventually("a key of the console's opens every process", async || {
            (run_as(world, secret, &["apps", "show"]).await.code == Some(0)).then_some(())
        })
        .await;
    }
    let entry = eventually("the audit says who made it", async || {
        json_as(&worlds[1], secret, &["audit"]).await["items"].get(0).cloned()
    });
    assert_eq!(entry.await["actor"], json!({"kind": "console"}));
    let processes = api(&worlds[0], secret, "/v1/processes").await;
    assert_eq!(processes["items"].as_array().map(Vec::len), Some(2), "the console left: {processes}");
    let id = json_as(&worlds[0], secret, &["whoami"]).await;
    console(&["keys", "delete", text(&id, "id")]).await;
    for world in &worlds {
        eventually("it opens no process any more", async || {
            (run_as(world, secret, &["apps", "show"]).await.code == Some(1)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn the_console_says_the_keys_of_an_empty_folder_as_a_server_does() {
    let temp = tempfile::tempdir().expect("temporary folders can be made");
    let data_dir = temp.path().join("data");
    let new = ["apps", "create", "--name", "Blog", "--bundle-id", "com.acme.blog", "--json"];
    let ran = admin(&data_dir, &new).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let _: Value = serde_json::from_str(&ran.stdout).expect("keys are not in the way of JSON");
    let kept = std::fs::read(data_dir.join("first-start.json")).expect("the keys are kept");
    let kept: Value = serde_json::from_slice(&kept).expect("it is JSON");
    assert!(ran.stderr.contains(text(&kept, "secret_key")), "{}", ran.stderr);
    let listed = admin(&data_dir, &["apps", "list"]).await;
    assert!(listed.stdout.contains(text(&kept, "app")), "{listed:?}");
    assert_eq!(listed.stderr, "", "once");
}

#[tokio::test]
async fn the_console_makes_no_data_directory_of_a_name_that_was_mistyped() {
    let temp = tempfile::tempdir().expect("temporary folders can be made");
    let (missing, empty) = (temp.path().join("dta"), temp.path().join("empty"));
    std::fs::create_dir(&empty).expect("folders can be made");
    let app = ["--app", "default.app.local"];
    for arguments in [
        &["apps", "list"][..],
        &["apps", "delete", "default.app.local", "--yes"],
        &[&["keys", "list"], &app[..]].concat(),
        &[&["grants", "list"], &app[..]].concat(),
    ] {
        for folder in [&missing, &empty] {
            let ran = admin(folder, arguments).await;
            assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
            assert!(ran.stderr.contains("there is no data directory in"), "{arguments:?}: {ran:?}");
        }
        assert!(!missing.exists(), "{arguments:?}");
        assert_eq!(std::fs::read_dir(&empty).expect("it is there").count(), 0, "{arguments:?}");
    }
}

#[tokio::test]
async fn a_shell_completes_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(angarium(&["completions", shell])).await.printed();
        for word in [
            "apps",
            "grants",
            "rotate",
            "whoami",
            "profile",
            "mint",
            "new-key",
            "admin",
            "truncate-addresses",
        ] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}
