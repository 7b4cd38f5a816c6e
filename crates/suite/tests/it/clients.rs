//! The clients in other languages, generated from the API's document: they do against a server what they are made for.

use crate::sdks::libraries::Libraries;
use angarium_suite::{World, embedded_only};
use std::path::{Path, PathBuf};

fn client(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients").join(language)
}

/// Of the data directory's own issuer, which a shared store has not.
fn token(world: &World) -> &str {
    world.ready()["token"].as_str().expect("a first start says a token")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_sends_lists_and_tells_what_was_refused() {
    let Some(libraries) = Libraries::for_python_client().await else { return };
    let world = World::start_as(embedded_only("its token is of the data directory's issuer")).await;
    let folder = client("python").display().to_string();
    let ran = libraries.run("use_client.py", &[&folder, &world.url(), token(&world)]).await;
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "done"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_client_compiles_sends_lists_and_tells_what_was_refused() {
    let Some(libraries) = Libraries::for_node_client(&client("typescript")).await else { return };
    let compiled = libraries.run("node_modules/typescript/bin/tsc", &["--project", "tsconfig.json"]).await;
    assert_eq!(compiled.code, Some(0), "{compiled:?}");
    let world = World::start_as(embedded_only("its token is of the data directory's issuer")).await;
    let ran = libraries.run("use_client.js", &[&world.url(), token(&world)]).await;
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "done"), "{ran:?}");
}
