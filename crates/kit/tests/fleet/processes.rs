//! Who there is.

use crate::places::{Place, places};
use angarium_kit::fleet::Process;
use std::time::Duration;

async fn seen(place: &Place) -> Vec<Process> {
    place.fleets[0].processes().await.unwrap()
}

async fn states(place: &Place) -> Vec<(String, &'static str)> {
    let now = place.clock.now();
    let mut states: Vec<_> =
        seen(place).await.into_iter().map(|process| (process.address.clone(), process.state(now))).collect();
    states.sort();
    states
}

#[tokio::test(start_paused = true)]
async fn every_process_is_shown_with_what_it_is() {
    for place in places().await {
        place.pass(Duration::from_secs(6)).await;
        let all = seen(&place).await;
        assert_eq!(all.len(), 2);
        let fleet = &place.fleets[0];
        let process = all.iter().find(|process| process.id == fleet.id().as_str()).unwrap();
        assert_eq!((process.pid, process.version.as_str()), (i64::from(std::process::id()), "1.2.3"));
        assert_eq!(process.roles, ["api", "timer"]);
        assert!(!process.host.is_empty());
        assert_eq!(process.started_at, 1_000_000);
        assert!(process.seen_at > process.started_at, "it gives signs of life");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_process_is_shown_as_gone_and_forgotten_after_a_day() {
    for mut place in places().await {
        place.pass(Duration::from_secs(6)).await;
        place.kill(1);
        place.pass(Duration::from_secs(20)).await;
        let (one, other) = ("127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned());
        assert_eq!(states(&place).await, [(one.clone(), "ready"), (other.clone(), "ready")]);
        place.pass(Duration::from_secs(15)).await;
        assert_eq!(states(&place).await, [(one.clone(), "ready"), (other, "gone")]);
        place.clock.advance(24 * 3_600_000);
        place.pass(Duration::from_secs(6)).await;
        assert_eq!(states(&place).await, [(one, "ready")]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_gone_from_the_table_at_once() {
    for place in places().await {
        place.pass(Duration::from_secs(6)).await;
        place.fleets[1].leave().await;
        place.pass(Duration::from_secs(12)).await;
        assert_eq!(states(&place).await, [("127.0.0.1:1".to_owned(), "ready")]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_taken_for_forgotten_and_lives_comes_back() {
    for place in places().await {
        place.dbs[0].write(|tx| tx.exec("DELETE FROM processes", &[])).await.unwrap();
        place.pass(Duration::from_secs(6)).await;
        assert_eq!(seen(&place).await.len(), 2);
    }
}
