//! Durable ingestion: the same load on every server of the fleet, round by round in turns. What a round has sent is in
//! Kafka before the next one begins, so that nobody pays for the backlog of another.

use super::{Fleet, ROUND, ROUNDS};
use crate::cli::bench::{
    Bench, Result,
    child::Server,
    ingest::{Subject, beside},
    load::Until,
    median, note,
    payload::{BATCH, Script, event_bytes},
    report::{Figures, Scenario},
};
use std::time::Duration;

const WARM_UP: Duration = Duration::from_millis(500);

/// What is sent to all of them.
struct Load {
    events_per_request: u64,
    scripts: fn(&Server) -> Vec<Script>,
    figures: fn(&Subject) -> Figures,
}

pub async fn singles(bench: &Bench, fleet: &mut Fleet) -> Result<Scenario> {
    let title = format!("Single events, 64 connections, {:.0} bytes each, {}", event_bytes(), rounds(bench));
    let load = Load {
        events_per_request: 1,
        scripts: |server| server.sender().singles(64),
        figures: Subject::figures,
    };
    compare(bench, fleet, Scenario::new("fleet_single", title), load).await
}

pub async fn batches(bench: &Bench, fleet: &mut Fleet) -> Result<Scenario> {
    let title = format!(
        "Batches of {BATCH} events as NDJSON, 2 connections, {:.0} bytes each, {}",
        event_bytes(),
        rounds(bench)
    );
    let load = Load {
        events_per_request: BATCH as u64,
        scripts: |server| server.sender().batches(2, None),
        figures: Subject::batch_figures,
    };
    compare(bench, fleet, Scenario::new("fleet_batch", title), load).await
}

/// Shorter and fewer than those of other parts.
fn rounds(bench: &Bench) -> String {
    format!("{} rounds of {} s", bench.rounds.min(ROUNDS), bench.round.min(ROUND).as_secs())
}

#[derive(Clone, Copy)]
enum Which {
    Embedded,
    Local,
    Away,
    Replicated,
}

impl Which {
    const ALL: [Which; 4] = [Which::Embedded, Which::Local, Which::Away, Which::Replicated];

    fn words(self) -> &'static str {
        match self {
            Which::Embedded => "embedded",
            Which::Local => "ack local",
            Which::Away => "ack local, Kafka away",
            Which::Replicated => "ack replicated",
        }
    }

    fn server(self, fleet: &Fleet) -> &Server {
        match self {
            Which::Embedded => &fleet.embedded,
            Which::Local => &fleet.local,
            Which::Away => &fleet.away,
            Which::Replicated => &fleet.replicated,
        }
    }

    fn count(self, events: u64, fleet: &mut Fleet) {
        match self {
            Which::Embedded => {}
            Which::Local | Which::Replicated => fleet.expected += events,
            Which::Away => fleet.kept += events,
        }
    }
}

async fn compare(bench: &Bench, fleet: &mut Fleet, mut scenario: Scenario, load: Load) -> Result<Scenario> {
    let phase = scenario.name().to_owned();
    let mut subjects: [Subject; 4] = Default::default();
    let (mut behind, mut behind_s) = (Vec::new(), Vec::new());
    for round in 0..=bench.rounds.min(ROUNDS) {
        note(&format!("{phase}, round {round}"));
        let until = Until::After(if round == 0 { WARM_UP } else { bench.round.min(ROUND) });
        for (which, subject) in Which::ALL.into_iter().zip(&mut subjects) {
            let server = which.server(fleet);
            let done = beside(&server.child, (load.scripts)(server), until, &phase).await?;
            which.count(done.0.requests() * load.events_per_request, fleet);
            let (events, wait) = fleet.shipped(&phase).await?;
            if round == 0 {
                continue;
            }
            subject.add(done);
            if matches!(which, Which::Local) {
                behind.push(events as f64);
                behind_s.push(wait.as_secs_f64());
            }
        }
    }
    for (which, subject) in Which::ALL.into_iter().zip(&subjects) {
        scenario.add(which.words(), (load.figures)(subject));
    }
    let [embedded, others @ ..] = &subjects;
    for (which, subject) in Which::ALL[1..].iter().zip(others) {
        scenario.add(format!("{} to embedded", which.words()), subject.ratio_to(embedded));
    }
    let figures = vec![("events", median(&behind)), ("seconds", median(&behind_s))];
    scenario.add("ack local, not yet in Kafka after a round", figures);
    Ok(scenario)
}
