//! One process at a time does what one is to do.

use crate::places::{Place, places};
use angarium_kit::fleet::{Fleet, Watched};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const NAME: &str = "maintenance";

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// What jobs said, in order.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn say(&self, text: impl Into<String>) {
        self.0.lock().push(text.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    /// Whether nobody began before the one before had ended.
    fn is_of_one_at_a_time(&self) -> bool {
        self.all().chunks(2).all(|pair| {
            let who = pair[0].strip_suffix(" begins");
            who.is_some() && pair.get(1).is_none_or(|end| end.split(' ').next() == who)
        })
    }
}

/// Says when it is dropped in the middle.
struct Dropped(Said, &'static str, bool);

impl Drop for Dropped {
    fn drop(&mut self) {
        if !self.2 {
            self.0.say(format!("{} dropped", self.1));
        }
    }
}

/// Runs a job under the lease that ends when it is told to; or one that does not care.
fn run(fleet: &Fleet, who: &'static str, said: &Said, obeys: bool) -> (CancellationToken, JoinHandle<()>) {
    let (stop, said, fleet) = (CancellationToken::new(), said.clone(), fleet.clone());
    let stopping = stop.clone();
    let running = tokio::spawn(async move {
        fleet
            .run_alone(NAME, stopping, |token| {
                let said = said.clone();
                async move {
                    said.say(format!("{who} begins"));
                    let mut dropped = Dropped(said.clone(), who, false);
                    token.cancelled().await;
                    if !obeys {
                        std::future::pending::<()>().await;
                    }
                    dropped.2 = true;
                    said.say(format!("{who} ends"));
                }
            })
            .await;
    });
    (stop, running)
}

#[tokio::test(start_paused = true)]
async fn one_of_two_runs_for_as_long_as_it_lives() {
    for place in places().await {
        let said = Said::default();
        let one = run(&place.fleets[0], "one", &said, true);
        place.settle_until(|| said.all() == ["one begins"]).await;
        let other = run(&place.fleets[1], "other", &said, true);
        place.pass(seconds(120)).await;
        assert_eq!(said.all(), ["one begins"]);
        let holders: Vec<_> = place.fleets[1].processes().await.unwrap();
        let holder = holders.iter().find(|process| process.leases == [NAME]).unwrap();
        assert_eq!(holder.id, place.fleets[0].id().as_str());
        drop((one, other));
    }
}

#[tokio::test(start_paused = true)]
async fn who_stops_gives_the_lease_back_and_the_other_has_it_at_once() {
    for place in places().await {
        let said = Said::default();
        let (stop_one, one) = run(&place.fleets[0], "one", &said, true);
        place.settle_until(|| said.all() == ["one begins"]).await;
        let (stop_other, other) = run(&place.fleets[1], "other", &said, true);
        place.pass(seconds(7)).await;
        stop_one.cancel();
        one.await.unwrap();
        // Not a moment passes: it is told by the feed.
        place.settle_until(|| said.all().len() == 3).await;
        assert_eq!(said.all(), ["one begins", "one ends", "other begins"]);
        stop_other.cancel();
        other.await.unwrap();
        assert!(place.fleets[0].processes().await.unwrap().iter().all(|process| process.leases.is_empty()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_dead_process_is_taken_over_within_its_time() {
    for place in places().await {
        let said = Said::default();
        let (_stop, one) = run(&place.fleets[0], "one", &said, true);
        place.settle_until(|| said.all() == ["one begins"]).await;
        let _other = run(&place.fleets[1], "other", &said, true);
        // It has just renewed.
        place.pass(seconds(5)).await;
        one.abort();
        place.pass(seconds(12)).await;
        assert_eq!(said.all(), ["one begins", "one dropped"], "not before it is sure to be dead");
        place.pass(seconds(3)).await;
        assert_eq!(said.all(), ["one begins", "one dropped", "other begins"]);
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_who_find_a_lease_free_one_gets_it() {
    for place in places().await {
        let mut got = 0;
        let attempts: Vec<_> = (0..8)
            .map(|n| {
                let fleet = place.fleets[n % 2].clone();
                tokio::spawn(async move { fleet.try_lease("new", &mut Watched::default()).await.unwrap() })
            })
            .collect();
        let mut holders = Vec::new();
        for (n, attempt) in attempts.into_iter().enumerate() {
            if attempt.await.unwrap() {
                got += 1;
                holders.push(n % 2);
            }
        }
        // A process that asks again for what it has may have it.
        holders.dedup();
        assert!(got >= 1 && holders.len() == 1, "{holders:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_who_find_that_a_lease_ran_out_one_gets_it() {
    for place in places().await {
        let [one, other] = [&place.fleets[0], &place.fleets[1]];
        assert!(one.try_lease("old", &mut Watched::default()).await.unwrap());
        for round in 0..20 {
            taken_by(&place, "proc_dead").await;
            let (mut seen_by_one, mut seen_by_other) = (Watched::default(), Watched::default());
            assert!(!one.try_lease("old", &mut seen_by_one).await.unwrap());
            assert!(!other.try_lease("old", &mut seen_by_other).await.unwrap());
            tokio::time::advance(seconds(13)).await;
            let (one, other) = tokio::join!(
                one.try_lease("old", &mut seen_by_one),
                other.try_lease("old", &mut seen_by_other)
            );
            assert_eq!(u8::from(one.unwrap()) + u8::from(other.unwrap()), 1, "round {round}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_ends_before_its_lease_can_be_anothers_when_it_cannot_be_renewed() {
    for obeys in [true, false] {
        for place in places().await {
            let said = Said::default();
            let _one = run(&place.fleets[0], "one", &said, obeys);
            place.settle_until(|| said.all() == ["one begins"]).await;
            let _other = run(&place.fleets[1], "other", &said, true);
            place.pass(seconds(5)).await;
            place.dbs[0].close();
            place.pass(seconds(9)).await;
            assert_eq!(said.all(), ["one begins"], "a moment without the store is no reason");
            place.pass(seconds(3)).await;
            let end = if obeys { "one ends" } else { "one dropped" };
            assert_eq!(said.all(), ["one begins", end]);
            place.pass(seconds(3)).await;
            if place.is_shared() {
                assert_eq!(said.all(), ["one begins", end, "other begins"]);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_frozen_while_another_took_over_ends_its_job() {
    for place in places().await {
        let said = Said::default();
        let _one = run(&place.fleets[0], "one", &said, true);
        place.settle_until(|| said.all() == ["one begins"]).await;
        taken_by(&place, "proc_other").await;
        place.pass(seconds(6)).await;
        assert_eq!(said.all(), ["one begins", "one dropped"]);
    }
}

/// What another process, which found the lease run out, did.
async fn taken_by(place: &Place, holder: &'static str) {
    let sql = "UPDATE leases SET holder = $1, beat = beat + 1";
    let taken = place.dbs[0].write(move |tx| tx.exec(sql, angarium_db::v![holder]));
    assert_eq!(taken.await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn jobs_that_end_are_done_and_leave_the_lease_to_others() {
    for place in places().await {
        let said = Said::default();
        for (fleet, who) in place.fleets.iter().zip(["one", "other"]) {
            fleet
                .run_alone(NAME, CancellationToken::new(), |_| async {
                    said.say(format!("{who} begins"));
                    said.say(format!("{who} ends"));
                })
                .await;
        }
        assert_eq!(said.all().len(), 4);
        assert!(said.is_of_one_at_a_time());
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_runs_one_job_a_name() {
    for place in places().await {
        let said = Said::default();
        let first = run(&place.fleets[0], "one", &said, true);
        place.settle_until(|| said.all() == ["one begins"]).await;
        let (_stop, second) = run(&place.fleets[0], "one again", &said, true);
        second.await.unwrap();
        assert_eq!(said.all(), ["one begins"]);
        drop(first);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_two_never_run_at_the_same_time() {
    for place in places().await {
        let said = Said::default();
        let mut running: Vec<_> = Vec::new();
        for (n, who) in [(0, "a"), (1, "b"), (0, "c"), (1, "d"), (0, "e"), (1, "f")] {
            running.push((n, run(&place.fleets[n], who, &said, true)));
            place.pass(seconds(4)).await;
            // Another process of the same two is there all the time; the eldest dies or stops.
            if running.len() == 2 {
                let (_, (stop, task)) = running.remove(0);
                if n == 0 {
                    stop.cancel()
                } else {
                    task.abort()
                }
                place.pass(seconds(16)).await;
            }
        }
        place.pass(seconds(40)).await;
        assert!(said.is_of_one_at_a_time(), "{:?}", said.all());
        assert!(said.all().len() > 4, "{:?}", said.all());
    }
}
