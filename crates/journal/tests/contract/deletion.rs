//! Deletion: of an app that is gone nothing is left, and others keep theirs.

use crate::{World, soon};
use angarium_base::AppId;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_streams_of_an_app_go_with_it_and_no_other_gets_their_place() {
    let world = World::new();
    let open = world.open().await;
    for n in 0..200 {
        open.say(&[&format!("{n}")]).await;
    }
    let other_app = AppId::new(2);
    let other = open.journal.stream(&other_app, "events").await.unwrap();
    let mut batch = angarium_journal::Batch::default();
    open.journal.add(&mut batch, &other, "kept", None, b"{}");
    open.journal.append(&other, batch).await.unwrap();
    open.brought(200).await;
    soon(open.journal.poll_group(&open.stream, "readers", "one", 10, std::time::Duration::ZERO))
        .await
        .unwrap();

    soon(open.journal.delete_streams(&world.app, &CancellationToken::new())).await.unwrap();

    assert_eq!(open.journal.extents(&world.app).await.unwrap(), []);
    assert_eq!(soon(open.journal.read(&other, 0, 10)).await.unwrap().records().count(), 1);
    let again = open.journal.stream(&AppId::new(3), "events").await.unwrap();
    assert_eq!(soon(open.journal.read(&again, 0, 10)).await.unwrap().records().count(), 0);
    // What was done may be asked for again: a process may have died in between.
    soon(open.journal.delete_streams(&world.app, &CancellationToken::new())).await.unwrap();
}
