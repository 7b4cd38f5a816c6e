//! Durable events: single ones and tracking calls beside the yardstick, round by round in turns; batches.

use super::{
    Bench, Result,
    child::{Child, Moment, Server, Spent, Writer},
    load::{Round, Until, closed_loop},
    median, note,
    payload::{BATCH, Script, event_bytes},
    report::{Figures, Scenario},
};
use std::time::Duration;

const WARM_UP: Duration = Duration::from_secs(1);

/// `POST /v1/apps/{app}/events`, one event a request.
pub async fn single(
    bench: &Bench,
    server: &Server,
    yardstick: &Child,
    connections: usize,
) -> Result<Scenario> {
    let name = format!("single_{connections}");
    let title = format!("Single events, {connections} connections, {:.0} bytes each", event_bytes());
    let scripts = || server.sender().singles(connections);
    compare(bench, server, yardstick, Scenario::new(name, title), Calls { scripts: &scripts, expected: 202 })
        .await
}

/// `GET /t/page_view?…`
pub async fn tracking_calls(
    bench: &Bench,
    server: &Server,
    yardstick: &Child,
    connections: usize,
) -> Result<Scenario> {
    let title = format!("Tracking calls (GET /t/…), {connections} connections");
    let scripts = || server.sender().tracking_calls(connections);
    compare(bench, server, yardstick, Scenario::new("t", title), Calls { scripts: &scripts, expected: 204 })
        .await
}

/// What is called, and how the product answers; the yardstick always answers 202.
struct Calls<'a> {
    scripts: &'a (dyn Fn() -> Vec<Script> + Sync),
    expected: u16,
}

async fn compare(
    bench: &Bench,
    server: &Server,
    yardstick: &Child,
    mut scenario: Scenario,
    calls: Calls<'_>,
) -> Result<Scenario> {
    let phase = scenario.name().to_owned();
    note(&phase);
    let (mut bare, mut durable) = (Subject::default(), Subject::default());
    for round in 0..=bench.rounds {
        let until = Until::After(if round == 0 { WARM_UP } else { bench.round });
        let of_bare = beside(yardstick, (calls.scripts)(), until, &phase).await?;
        let of_durable = durably(server, (calls.scripts)(), until, calls.expected, &phase).await?;
        if round > 0 {
            bare.add(of_bare);
            durable.add(of_durable);
        }
    }
    scenario.add("yardstick", bare.figures());
    scenario.add("durable", durable.figures());
    scenario.add("ratio", durable.ratio_to(&bare));
    scenario.add("writer", writer_figures(&durable.spent));
    Ok(scenario)
}

/// A closed loop against a process of which only the time it spends is known.
pub async fn beside(
    child: &Child,
    scripts: Vec<Script>,
    until: Until,
    phase: &str,
) -> Result<(Round, Spent)> {
    let before = Moment::now(child, Writer::default(), phase)?;
    let round = closed_loop(child.address, scripts, until, 202, phase).await?;
    Ok((round, before.until(&Moment::now(child, Writer::default(), phase)?)))
}

/// A closed loop against the server, and what it cost.
pub async fn durably(
    server: &Server,
    scripts: Vec<Script>,
    until: Until,
    expected: u16,
    phase: &str,
) -> Result<(Round, Spent)> {
    let before = Moment::now(&server.child, server.writer(phase).await?, phase)?;
    let round = closed_loop(server.child.address, scripts, until, expected, phase).await?;
    Ok((round, before.until(&Moment::now(&server.child, server.writer(phase).await?, phase)?)))
}

/// Batches of 1,000 events, one a line, without and with ids of the client.
pub async fn batches(bench: &Bench, server: &Server) -> Result<Scenario> {
    let title = format!("Batches of {BATCH} events as NDJSON, {:.0} bytes each, durable", event_bytes());
    let mut scenario = Scenario::new("batch", title);
    let (mut salt, mut writers) = (0, Vec::new());
    for (with_ids, words) in [(false, "no ids"), (true, "client ids")] {
        for connections in [2, 4] {
            let subject = format!("{words}, {connections} connections");
            note(&format!("batch, {subject}"));
            let mut measured = Subject::default();
            for round in 0..=bench.rounds {
                salt += 1;
                let until = Until::After(if round == 0 { WARM_UP } else { bench.round });
                let scripts = server.sender().batches(connections, with_ids.then_some(salt));
                let done = durably(server, scripts, until, 202, &subject).await?;
                if round > 0 {
                    measured.add(done);
                }
            }
            scenario.add(&subject, measured.batch_figures());
            writers.push((format!("writer, {subject}"), writer_figures(&measured.spent)));
        }
    }
    writers.into_iter().for_each(|(subject, figures)| scenario.add(subject, figures));
    Ok(scenario)
}

/// The rounds of one subject: medians of each round's figures, sums of what they cost.
#[derive(Default)]
pub struct Subject {
    pub rates: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    requests: u64,
    spent: Spent,
}

impl Subject {
    pub fn add(&mut self, (round, spent): (Round, Spent)) {
        self.rates.push(round.rate());
        self.p50_us.push(round.percentile(50));
        self.p99_us.push(round.percentile(99));
        self.requests += round.requests();
        self.spent.add(spent);
    }

    /// Round by round: what went on beside hurts both rounds of a pair alike.
    pub fn ratio_to(&self, other: &Subject) -> Figures {
        let ratios: Vec<f64> = self.rates.iter().zip(&other.rates).map(|(own, other)| own / other).collect();
        let by = |pick: fn(f64, f64) -> f64| ratios.iter().copied().reduce(pick).unwrap_or(f64::NAN);
        vec![("median", median(&ratios)), ("least", by(f64::min)), ("most", by(f64::max))]
    }

    pub fn figures(&self) -> Figures {
        let mut figures = vec![
            ("requests_per_s", median(&self.rates)),
            ("p50_us", median(&self.p50_us)),
            ("p99_us", median(&self.p99_us)),
            ("cpu_us_per_request", self.spent.child_us as f64 / self.requests as f64),
            ("load_us_per_request", self.spent.own_us as f64 / self.requests as f64),
        ];
        figures.extend(cores(&self.spent));
        figures
    }

    pub fn batch_figures(&self) -> Figures {
        let events = median(&self.rates) * BATCH as f64;
        let sent = (self.requests * BATCH as u64) as f64;
        let mut figures = vec![
            ("events_per_s", events),
            ("mb_per_s", events * event_bytes() / 1e6),
            ("p50_us", median(&self.p50_us)),
            ("p99_us", median(&self.p99_us)),
            ("cpu_us_per_event", self.spent.child_us as f64 / sent),
        ];
        figures.extend(cores(&self.spent));
        figures
    }
}

/// How many cores were busy: with the process under test, and with processes that are not ours.
fn cores(spent: &Spent) -> [(&'static str, f64); 2] {
    let of_wall = |us: u64| us as f64 / spent.wall_us as f64;
    [("cores", of_wall(spent.child_us)), ("cores_of_others", of_wall(spent.others_us))]
}

/// Where the writer's time went.
pub fn writer_figures(spent: &Spent) -> Figures {
    let Writer { commits, commit_us, tick_us, records, raw_bytes, stored_bytes } = spent.writer;
    let per = |amount: u64, of: u64| amount as f64 / of as f64;
    vec![
        ("commits_per_s", per(commits, spent.wall_us) * 1e6),
        ("records_per_commit", per(records, commits)),
        ("commit_us", per(commit_us, commits)),
        ("tick_us", per(tick_us, commits)),
        ("wall_in_commits_percent", per(commit_us, spent.wall_us) * 100.0),
        ("wall_in_ticks_percent", per(tick_us, spent.wall_us) * 100.0),
        ("raw_bytes_per_record", per(raw_bytes, records)),
        ("stored_bytes_per_record", per(stored_bytes, records)),
    ]
}
