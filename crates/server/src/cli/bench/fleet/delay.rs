//! From a POST to its answer, to its record in Kafka and to its frame in the feed of another process, at a rate that
//! leaves everybody idle most of the time.

use super::Fleet;
use crate::cli::bench::{
    During, Failure, Result,
    child::Server,
    live::{STRAGGLERS, Sent, open_socket, read_frames, send_all},
    load::percentile,
    note,
    report::{Figures, Scenario},
};
use angarium_kafka::Follower;
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::timeout};

const PER_S: u64 = 200;
const EVENTS: u64 = 2_400;
/// Readers that have just begun are given this long to stand where the next event comes.
const SETTLE: Duration = Duration::from_secs(1);
const PHASE: &str = "fleet_delay";

pub async fn measure(fleet: &mut Fleet) -> Result<Scenario> {
    let title = format!("From a POST, at {PER_S} events/s, {EVENTS} events each");
    let mut scenario = Scenario::new(PHASE, title);
    note("fleet_delay, embedded");
    let [answers, frames] = embedded(&fleet.embedded).await?;
    scenario.add("embedded, to the answer", figures(answers));
    scenario.add("embedded, to the frame (WebSocket)", figures(frames));
    for (words, from, to) in
        [("ack local", &fleet.local, &fleet.replicated), ("ack replicated", &fleet.replicated, &fleet.local)]
    {
        note(&format!("fleet_delay, {words}"));
        let [answers, records, frames] = distributed(fleet, from, to).await?;
        scenario.add(format!("{words}, to the answer"), figures(answers));
        scenario.add(format!("{words}, to the record in Kafka"), figures(records));
        scenario.add(format!("{words}, to the frame on another process"), figures(frames));
    }
    fleet.expected += 2 * EVENTS;
    fleet.shipped(PHASE).await?;
    Ok(scenario)
}

async fn embedded(server: &Server) -> Result<[Vec<u32>; 2]> {
    let socket = open_socket(server).await.during(PHASE)?;
    tokio::time::sleep(SETTLE).await;
    let sent = Sent::new(EVENTS, PER_S);
    let mut frames = JoinSet::new();
    frames.spawn(read_frames(socket, sent.clone()));
    let answers = send_all(server, &sent, PHASE).await?;
    Ok([answers, ended(frames, "frame").await?])
}

async fn distributed(fleet: &Fleet, from: &Server, to: &Server) -> Result<[Vec<u32>; 3]> {
    let socket = open_socket(to).await.during(PHASE)?;
    let end = fleet.end().await?;
    // Warms the reader that the follower will use.
    fleet.kafka.read(&fleet.topic, 0, end, (1, 1), Duration::ZERO).await?;
    tokio::time::sleep(SETTLE).await;
    let follower = fleet.kafka.follow(&fleet.topic, 0, end);
    let sent = Sent::new(EVENTS, PER_S);
    let (mut frames, mut records) = (JoinSet::new(), JoinSet::new());
    frames.spawn(read_frames(socket, sent.clone()));
    records.spawn(read_records(follower, sent.clone()));
    let answers = send_all(from, &sent, PHASE).await?;
    Ok([answers, ended(records, "record").await?, ended(frames, "frame").await?])
}

async fn read_records(mut follower: Follower, sent: Arc<Sent>) -> Result<Vec<u32>> {
    let mut delays = Vec::with_capacity(sent.events());
    while delays.len() < sent.events() {
        for record in follower.next().await? {
            sent.delays_of(&record.payload, |delay| delays.push(delay));
        }
    }
    Ok(delays)
}

/// What the only task of the set has read, which may take a little longer than the sending.
async fn ended<E: std::fmt::Display + 'static>(
    mut reading: JoinSet<Result<Vec<u32>, E>>,
    what: &str,
) -> Result<Vec<u32>> {
    let late = |_| format!("not every {what} came within {} s", STRAGGLERS.as_secs());
    let done = timeout(STRAGGLERS, reading.join_next()).await.map_err(late).during(PHASE)?;
    done.ok_or_else(|| Failure::new("nobody read"))?.during(PHASE)?.during(PHASE)
}

fn figures(mut delays: Vec<u32>) -> Figures {
    delays.sort_unstable();
    let at = |percent| percentile(&delays, percent);
    vec![("p50_us", at(50)), ("p99_us", at(99)), ("max_us", at(100))]
}
