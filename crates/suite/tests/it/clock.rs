//! A clock that jumps, hours ahead and back, under load: order, cursors, groups, leases and what is known of ids do not
//! hang on it.

use crate::{
    fault::Clock,
    fleet::{all_is_there_once, more_is_acknowledged},
    group_reader::GroupReader,
    writers::Writers,
};
use angarium_suite::{Caller, Oracle, Servers, Setup, World, is_long, note};
use std::sync::Arc;

const HOUR: i64 = 3_600;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_under_load_loses_nothing_and_refuses_nobody() {
    let Some((clock, environment)) = Clock::right() else { return };
    let setup = Setup { environment, ..Setup::default() };
    // Where several processes can share a store, two do.
    let mut worlds: Vec<World> = match Servers::of_stack().is_some() {
        true => World::start_together::<2>(setup).await.into(),
        false => vec![World::start_as(setup).await],
    };
    let all = Caller::balanced(&worlds.iter().collect::<Vec<_>>());
    let oracle = Arc::new(Oracle::default());
    let writers = Writers::start(&all, &oracle);
    let reader = GroupReader::start(all);
    for _ in 0..if is_long() { 5 } else { 1 } {
        for ahead in [1, 5 * HOUR, -2, -7 * HOUR, 3 * 24 * HOUR, 0] {
            more_is_acknowledged(&oracle, 200).await;
            clock.jump_to(ahead);
        }
        more_is_acknowledged(&oracle, 200).await;
    }
    assert_eq!((writers.refused(), writers.broken()), (0, 0), "refused; without an answer");
    // A process that starts while the clock is behind goes on where the other time had got to.
    for ahead in [-3 * HOUR, 3 * HOUR, 0] {
        clock.jump_to(ahead);
        worlds[0].restart().await;
        more_is_acknowledged(&oracle, 100).await;
    }
    writers.stop().await;
    note(&format!("{} processes", worlds.len()));
    all_is_there_once(&worlds, &oracle, Some(reader)).await;
}
