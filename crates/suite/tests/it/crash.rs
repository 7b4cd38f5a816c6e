//! kill -9 of the real binary at random moments under load: acknowledged ⇒ there once, there ⇒ sent, intact,
//! and alive afterwards; what a group committed never comes again, everything else does.

use crate::fault::Disk;
use crate::group_reader::GroupReader;
use crate::writers::{Writers, records_are_all};
use angarium_suite::{Oracle, World, eventually, is_long, note};
use std::{sync::Arc, time::Duration};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_event_survives_kills_exactly_once() {
    let mut world = World::start().await;
    let (kills, most) = if is_long() { (100, 400) } else { (6, 2_000) };
    let starts = survive(&mut world, kills, most).await;
    // A few starts beside a dozen other tests say little about the median, but the best of them says enough.
    let start = if is_long() { starts[kills / 2] } else { starts[0] };
    assert!(start < Duration::from_secs(1), "a start after a kill takes {start:?}: {starts:?}");
}

/// A commit that takes tens of milliseconds is hit in the middle by most kills, and so is whoever says yes too early.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_events_survive_kills_on_a_slow_disk_too() {
    let Some(mut disk) = Disk::slow(500).await else { return };
    let (kills, most) = if is_long() { (50, 100) } else { (6, 100) };
    survive(&mut disk.world, kills, most).await;
}

/// Kills the server again and again under load. Between kills, up to `most` events are acknowledged.
/// How long the starts took, the quickest first.
async fn survive(world: &mut World, kills: usize, most: usize) -> Vec<Duration> {
    let oracle = Arc::new(Oracle::default());
    let writers = Writers::start(&world.caller(), &oracle);
    let reader = GroupReader::start(world.caller());
    let mut starts = Vec::new();
    for kill in 1..=kills {
        let wanted = oracle.count_acknowledged() + fastrand::usize(1..most);
        eventually("the writers get something acknowledged", async || {
            (oracle.count_acknowledged() >= wanted).then_some(())
        })
        .await;
        // The moment is random, so that it falls into every phase of a commit sooner or later.
        tokio::time::sleep(Duration::from_micros(fastrand::u64(0..30_000))).await;
        world.kill();
        starts.push(world.restart().await);
        writers.pause(true);
        let owed = oracle.owed();
        let account = oracle.check(&owed, &world.all_events().await);
        writers.pause(false);
        if is_long() && kill % 10 == 0 {
            note(&format!("after {kill} kills: {account}"));
        }
    }
    let after_last = oracle.count_acknowledged();
    eventually("writes are accepted after the last kill", async || {
        (oracle.count_acknowledged() > after_last + 50).then_some(())
    })
    .await;
    writers.stop().await;
    let records = world.all_events().await;
    let account = oracle.check(&oracle.owed(), &records);
    records_are_all(world, &records).await;
    reader.finish_and_check(&records).await;

    starts.sort();
    let median = starts[starts.len() / 2];
    let (quickest, slowest) = (starts[0], starts[kills - 1]);
    note(&format!("{account}; starts after kills took {quickest:?} to {slowest:?}, {median:?} as a rule"));
    starts
}
