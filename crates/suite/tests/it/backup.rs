//! A backup of a running server is one moment of it, whole; what is damaged or in the way is refused with a sentence.

use crate::writers::{Writers, new_event, records_are_all};
use angarium_suite::{Oracle, Ran, Setup, World, angarium, embedded_only, eventually, run};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// PostgreSQL has tools of its own for this.
const WHY: &str = "a backup is a copy of the embedded engine's file";

pub async fn embedded() -> World {
    World::start_as(embedded_only(WHY)).await
}

/// Runs `angarium backup` or `angarium restore`.
pub async fn copy(command: &str, file: &Path, data_dir: &Path, more: &[&str]) -> Ran {
    let (file, data_dir) =
        (file.to_str().expect("a path is text"), data_dir.to_str().expect("a path is text"));
    run(angarium(&[&[command, file, "--data-dir", data_dir], more].concat())).await
}

/// A backup of the world as it is, made in its own folder.
pub async fn back_up(world: &World) -> PathBuf {
    let file = world.temp_dir().join("backup.db");
    let said = copy("backup", &file, world.data_dir(), &[]).await.printed();
    assert!(said.contains("saved and verified") && said.contains("checksums agree"), "{said}");
    file
}

/// A server on a data directory that was restored from a backup of `world`.
pub async fn start_on(data_dir: &Path, world: &World) -> World {
    let (data_dir, keys) = (Some(data_dir.to_owned()), Some(world.keys()));
    World::start_as(Setup { data_dir, keys, ..embedded_only(WHY) }).await
}

async fn send(world: &World, event: &Value) -> Value {
    let answer = world.post("/events", "application/json", event.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_while_events_flow_is_one_moment_of_the_stream() {
    let world = embedded().await;
    let oracle = Arc::new(Oracle::default());
    let writers = Writers::start(&world.caller(), &oracle);
    let acknowledged = async |more: usize| {
        let wanted = oracle.count_acknowledged() + more;
        eventually("events flow", async || (oracle.count_acknowledged() >= wanted).then_some(())).await;
    };
    acknowledged(500).await;
    let owed = oracle.owed();
    let file = back_up(&world).await;
    acknowledged(50).await;
    let refused = writers.refused();
    writers.stop().await;
    assert_eq!(refused, 0, "a backup is in nobody's way");
    let all = world.all_events().await;
    let probe = new_event();
    send(&world, &probe).await;

    let folder = world.temp_dir().join("restored");
    let said = copy("restore", &file, &folder, &[]).await.printed();
    assert!(said.contains("restored and verified"), "{said}");
    let restored = start_on(&folder, &world).await;
    let records = restored.all_events().await;
    assert!(all.starts_with(&records), "it is a beginning of the stream, to the last byte");
    oracle.check(&owed, &records);
    records_are_all(&restored, &records).await;

    // It lives: ids from before the backup are known, and what came after it can be sent again.
    let known =
        &records.iter().find(|record| record["data"]["type"] == "load").expect("there are some")["data"];
    let again = json!({"type": "load", "id": known["id"], "params": known["params"]});
    assert_eq!(send(&restored, &again).await["duplicates"], 1);
    assert_eq!(send(&restored, &probe).await["accepted"], 1);
    assert_eq!(restored.all_events().await.len(), records.len() + 1);
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_touches_nothing() {
    let world = embedded().await;
    for _ in 0..200 {
        send(&world, &new_event()).await;
    }
    let file = back_up(&world).await;
    let whole = std::fs::read(&file).expect("it can be read");
    // One letter of the app's id, in the table and in an index that the server would look it up with.
    let id = world.app().as_bytes();
    let places: Vec<usize> = (0..whole.len()).filter(|at| whole[*at..].starts_with(id)).collect();
    let other_letter = |at: Option<&usize>| {
        let mut bytes = whole.clone();
        bytes[at.expect("the app's id is in it") + id.len() - 1] ^= 1;
        bytes
    };
    let (in_table, in_index) = (other_letter(places.first()), other_letter(places.last()));
    let mut page_lost = whole.clone();
    page_lost[whole.len() / 2 / 4096 * 4096..][..4096].fill(0);
    let half = whole[..whole.len() / 2].to_vec();
    let damaged = [
        ("another letter in a table", in_table),
        ("another letter in an index", in_index),
        ("a lost page", page_lost),
        ("half of it", half),
        ("nothing", vec![]),
        ("something else", b"this is no backup".repeat(1_000)),
    ];
    for (what, bytes) in damaged {
        let (file, folder) = (world.temp_dir().join("damaged.db"), world.temp_dir().join("from damaged"));
        std::fs::write(&file, bytes).expect("it can be written");
        let ran = copy("restore", &file, &folder, &[]).await;
        assert_eq!(ran.code, Some(1), "{what}: {ran:?}");
        assert!(ran.stderr.starts_with("angarium: ") && ran.stderr.lines().count() == 1, "{what}: {ran:?}");
        assert!(!folder.exists(), "{what}: a data directory was made of it");
    }
}

#[tokio::test]
async fn nothing_that_is_there_is_overwritten() {
    let mut world = embedded().await;
    send(&world, &new_event()).await;
    let file = back_up(&world).await;
    let again = copy("backup", &file, world.data_dir(), &[]).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("never overwrites"), "{again:?}");
    send(&world, &new_event()).await;

    let in_use = copy("restore", &file, world.data_dir(), &[]).await;
    assert_eq!(in_use.code, Some(1), "{in_use:?}");
    let in_use = copy("restore", &file, world.data_dir(), &["--replace"]).await;
    assert_eq!(in_use.code, Some(1), "not even with --replace while a server runs on it: {in_use:?}");
    assert!(in_use.stderr.contains("another process"), "{in_use:?}");
    assert_eq!(world.all_events().await.len(), 2);

    world.kill();
    let used = copy("restore", &file, world.data_dir(), &[]).await;
    assert_eq!(used.code, Some(1), "{used:?}");
    assert!(used.stderr.contains("--replace"), "it says what to do: {used:?}");
    world.restart().await;
    assert_eq!(world.all_events().await.len(), 2);

    world.kill();
    let replaced = copy("restore", &file, world.data_dir(), &["--replace"]).await;
    assert!(replaced.stderr.contains("is now "), "{replaced:?}");
    replaced.printed();
    world.restart().await;
    assert_eq!(world.all_events().await.len(), 1);
}

#[tokio::test]
async fn a_backup_of_nothing_is_refused() {
    let world = embedded().await;
    let nowhere = world.temp_dir().join("nowhere");
    let ran = copy("backup", &world.temp_dir().join("backup.db"), &nowhere, &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("there is no store"), "{ran:?}");
    assert!(!nowhere.exists(), "looking for a store makes no folder");
}
