//! Consumer groups: what is committed never comes again, what is not comes again.

use crate::{Open, World, code, soon, until};
use angarium_base::Result;
use angarium_journal::{Group, Handed, LEASE_MS, check_name};
use std::{sync::Arc, time::Duration};

impl Open {
    async fn poll(&self, group: &str, consumer: &str, max: u64) -> Result<Handed> {
        soon(self.journal.poll_group(&self.stream, group, consumer, max, Duration::ZERO)).await
    }

    /// What a poll hands out, as text; and the cursor to commit.
    async fn take(&self, group: &str, consumer: &str, max: u64) -> (Vec<String>, u64) {
        let handed = self.poll(group, consumer, max).await.unwrap();
        (texts(&handed), handed.page.next)
    }

    async fn commit(&self, group: &str, consumer: &str, next: u64) -> Result<Group> {
        soon(self.journal.commit_group(&self.stream, group, consumer, next)).await
    }

    async fn group(&self, group: &str) -> Option<Group> {
        self.journal.show_group(&self.stream, group).await.unwrap()
    }
}

fn texts(handed: &Handed) -> Vec<String> {
    handed.page.records().map(|record| String::from_utf8_lossy(record.data).into_owned()).collect()
}

#[tokio::test]
async fn a_new_group_starts_at_the_beginning_and_each_group_goes_its_own_way() {
    let world = World::new();
    let open = world.open().await;
    open.say(&["a", "b", "c"]).await;
    assert_eq!(open.group("mail").await, None);
    let (taken, next) = open.take("mail", "one", 2).await;
    assert_eq!(taken, ["a", "b"]);
    open.commit("mail", "one", next).await.unwrap();
    assert_eq!(open.take("mail", "one", 10).await.0, ["c"]);
    assert_eq!(open.take("bills", "one", 10).await.0, ["a", "b", "c"]);
}

#[tokio::test]
async fn what_is_not_committed_comes_again_to_its_consumer_at_once_and_to_another_after_the_lease() {
    let world = World::new();
    let open = world.open().await;
    open.say(&["a", "b", "c"]).await;
    for _ in 0..3 {
        assert_eq!(open.take("mail", "one", 2).await.0, ["a", "b"]);
    }
    assert_eq!(code(open.poll("mail", "two", 2).await), "group_leased");
    world.clock.advance(LEASE_MS - 1);
    assert_eq!(code(open.poll("mail", "two", 2).await), "group_leased");
    world.clock.advance(1);
    assert_eq!(open.take("mail", "two", 2).await.0, ["a", "b"]);
    assert_eq!(code(open.poll("mail", "one", 2).await), "group_leased", "now the other holds it");
    assert_eq!(code(open.commit("mail", "one", 2).await), "group_leased", "too late");
    assert_eq!(open.commit("mail", "two", 2).await.unwrap().committed, 2);
    assert_eq!(open.take("mail", "one", 10).await.0, ["c"], "a commit frees the group");
}

#[tokio::test]
async fn a_consumer_that_polls_again_keeps_its_lease() {
    let world = World::new();
    let open = world.open().await;
    open.say(&["a"]).await;
    for _ in 0..5 {
        open.take("mail", "one", 1).await;
        world.clock.advance(LEASE_MS / 2 + 1);
    }
    open.take("mail", "one", 1).await;
    world.clock.advance(LEASE_MS / 2);
    assert_eq!(code(open.poll("mail", "two", 1).await), "group_leased");
}

#[tokio::test]
async fn what_is_committed_never_comes_again_over_restarts_too() {
    let world = World::new();
    let mut open = world.open().await;
    let mut said = Vec::new();
    for n in 0..12 {
        let text = format!("record {n}");
        open.say(&[&text]).await;
        said.push(text);
    }
    let mut got = Vec::new();
    loop {
        let (taken, next) = open.take("mail", "one", 5).await;
        if taken.is_empty() {
            break;
        }
        got.extend(taken);
        open.commit("mail", "one", next).await.unwrap();
        open = world.reopen(open).await;
    }
    assert_eq!(got, said);
    assert_eq!(open.group("mail").await.unwrap().committed, 12);
}

#[tokio::test]
async fn a_lease_outlives_a_restart_and_so_does_what_was_not_committed() {
    let world = World::new();
    let open = world.open().await;
    open.say(&["a"]).await;
    open.take("mail", "one", 1).await;
    let open = world.reopen(open).await;
    assert_eq!(code(open.poll("mail", "two", 1).await), "group_leased");
    assert_eq!(open.take("mail", "one", 1).await.0, ["a"]);
}

#[tokio::test]
async fn a_commit_before_the_committed_or_after_the_end_is_refused() {
    let world = World::new();
    let open = world.open().await;
    open.say(&["a", "b", "c"]).await;
    open.commit("mail", "one", 2).await.unwrap();
    assert_eq!(code(open.commit("mail", "one", 1).await), "commit_out_of_range");
    assert_eq!(code(open.commit("mail", "one", 4).await), "commit_out_of_range");
    assert_eq!(open.group("mail").await.unwrap().committed, 2);
    open.commit("mail", "one", 2).await.expect("the same again is fine");
    open.commit("mail", "one", 3).await.unwrap();
    assert_eq!(open.take("mail", "one", 10).await.0, [""; 0]);
}

#[tokio::test]
async fn lag_is_what_is_there_and_not_committed() {
    let world = World::new();
    let open = world.open().await;
    open.say(&["a", "b", "c", "d", "e"]).await;
    let handed = open.poll("mail", "one", 2).await.unwrap();
    assert_eq!((handed.lag, handed.expired), (5, 0));
    let shown = open.group("mail").await.unwrap();
    assert_eq!((shown.committed, shown.lag, shown.holder.as_deref()), (0, 5, Some("one")));
    let committed = open.commit("mail", "one", 2).await.unwrap();
    assert_eq!((committed.lag, committed.holder), (3, None));
    open.say(&["f"]).await;
    let shown = open.group("mail").await.unwrap();
    assert_eq!((shown.name.as_str(), shown.committed, shown.lag, shown.holder), ("mail", 2, 4, None));
    assert_eq!(open.poll("mail", "one", 1).await.unwrap().lag, 4);
    world.clock.advance(LEASE_MS);
    assert_eq!(open.group("mail").await.unwrap().holder, None, "a lease that is over is none");
    let extent = open.journal.extent_of(&open.stream).await.unwrap();
    assert_eq!(extent.groups, [("mail".to_owned(), 2)]);
}

#[tokio::test]
async fn a_group_that_was_deleted_starts_anew() {
    let world = World::new();
    let open = world.open().await;
    open.say(&["a", "b"]).await;
    open.commit("mail", "one", 2).await.unwrap();
    assert!(open.journal.delete_group(&open.stream, "mail").await.unwrap());
    assert!(!open.journal.delete_group(&open.stream, "mail").await.unwrap());
    assert_eq!(open.group("mail").await, None);
    assert_eq!(open.take("mail", "two", 10).await.0, ["a", "b"]);
}

#[tokio::test]
async fn a_group_of_another_stream_is_another() {
    let world = World::new();
    let open = world.open().await;
    open.say(&["a"]).await;
    open.commit("mail", "one", 1).await.unwrap();
    let other = open.journal.stream(&world.app, "other").await.unwrap();
    assert_eq!(open.journal.show_group(&other, "mail").await.unwrap(), None);
    assert!(!open.journal.delete_group(&other, "mail").await.unwrap());
    assert_eq!(open.group("mail").await.unwrap().committed, 1);
}

#[tokio::test]
async fn a_poll_that_waits_wakes_on_the_append() {
    let world = World::new();
    let open = Arc::new(world.open().await);
    let waiting = tokio::spawn({
        let open = open.clone();
        async move { open.journal.poll_group(&open.stream, "mail", "one", 10, Duration::from_secs(3_600)).await }
    });
    // It has looked, and found nothing.
    let started = std::time::Instant::now();
    while open.group("mail").await.is_none() {
        assert!(started.elapsed() < crate::NEVER);
    }
    assert!(!waiting.is_finished());
    open.say(&["a"]).await;
    let handed = soon(waiting).await.unwrap().unwrap();
    assert_eq!(texts(&handed), ["a"]);
    assert_eq!(handed.lag, 1);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_in_vain_ends_empty_in_its_time() {
    let world = World::new();
    if world.is_kafka() {
        return; // The broker does not wait for a clock that stands.
    }
    let open = world.open().await;
    let began = tokio::time::Instant::now();
    let wait = Duration::from_secs(20);
    let handed = open.journal.poll_group(&open.stream, "mail", "one", 10, wait).await.unwrap();
    assert!(handed.page.is_empty());
    assert_eq!((handed.lag, handed.expired, handed.page.next), (0, 0, 0));
    let took = began.elapsed();
    assert!(took >= wait && took < wait * 2, "{took:?}");
    assert!(open.poll("mail", "two", 10).await.unwrap().page.is_empty(), "who found nothing holds nothing");
    assert_eq!(open.group("mail").await.unwrap().holder, None);
}

#[tokio::test]
async fn of_consumers_that_wait_together_each_record_goes_to_one() {
    let world = World::new();
    let open = Arc::new(world.open().await);
    let wait = |consumer: &'static str| {
        let open = open.clone();
        tokio::spawn(async move {
            open.journal.poll_group(&open.stream, "mail", consumer, 10, Duration::from_secs(3_600)).await
        })
    };
    let mut waiting = vec![("one", wait("one")), ("two", wait("two"))];
    open.say(&["a"]).await;
    until("one of them has it", || waiting.iter().any(|(_, poll)| poll.is_finished())).await;
    let first = waiting.iter().position(|(_, poll)| poll.is_finished()).unwrap();
    let (consumer, poll) = waiting.swap_remove(first);
    let handed = poll.await.unwrap().unwrap();
    assert_eq!(texts(&handed), ["a"]);
    assert!(!waiting[0].1.is_finished(), "the other waits");
    open.commit("mail", consumer, handed.page.next).await.unwrap();
    open.say(&["b"]).await;
    let (_, poll) = waiting.remove(0);
    assert_eq!(texts(&soon(poll).await.unwrap().unwrap()), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_takes_over_when_the_other_commits() {
    let world = World::new();
    if world.is_kafka() {
        return; // The broker does not wait for a clock that stands.
    }
    let open = Arc::new(world.open().await);
    open.say(&["a", "b"]).await;
    open.take("mail", "one", 1).await;
    let waiting = tokio::spawn({
        let open = open.clone();
        async move { open.journal.poll_group(&open.stream, "mail", "two", 10, Duration::from_secs(3_600)).await }
    });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    open.commit("mail", "one", 1).await.unwrap();
    until("the other has taken over", || waiting.is_finished()).await;
    assert_eq!(texts(&waiting.await.unwrap().unwrap()), ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_consumers_that_poll_together_one_holds_the_group() {
    let world = World::new();
    let open = Arc::new(world.open().await);
    open.say(&["a"]).await;
    for round in 0..10 {
        let group = format!("group {round}");
        let polls: Vec<_> = (0..6)
            .map(|consumer| {
                let (open, group) = (open.clone(), group.clone());
                tokio::spawn(async move { code(open.poll(&group, &format!("consumer {consumer}"), 1).await) })
            })
            .collect();
        let mut outcomes = Vec::new();
        for poll in polls {
            outcomes.push(poll.await.unwrap());
        }
        outcomes.sort_unstable();
        assert_eq!(outcomes[..5], ["group_leased"; 5]);
        assert_eq!(outcomes[5], "no error");
    }
}

#[test]
fn names_of_groups_are_plain() {
    for fine in ["a", "mail-2.new_OK", &"x".repeat(100)] {
        check_name("group", fine).unwrap();
    }
    for refused in ["", "a b", "ä", "a/b", "a\n", &"x".repeat(101)] {
        assert_eq!(code(check_name("group", refused)), "invalid_parameter", "{refused:?}");
    }
}
