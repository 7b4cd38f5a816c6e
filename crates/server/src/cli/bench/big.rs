//! What a full stream costs: pages and polls at its end against its start, memory, restart after kill -9.

use super::{
    Bench, During, Result,
    child::Server,
    ingest::{durably, writer_figures},
    load::{Connection, Until, percentile},
    note,
    payload::{BATCH, event_bytes},
    report::Scenario,
};
use angarium_base::Cursor;
use std::time::Instant;

const CONNECTIONS: usize = 2;
/// An id takes so many bytes of a request, beyond those of the event.
const ID_BYTES: f64 = 40.0;
/// Equal parts that it is filled in.
const STRETCHES: u64 = 4;
const TIMES: usize = 50;
const PAGE: u64 = 100;
const PHASE: &str = "big";

pub async fn measure(bench: &Bench) -> Result<Scenario> {
    let server = Server::start(&bench.home.dir("big"), PHASE).await?;
    let events = bench.keep_bytes as f64 / (event_bytes() + ID_BYTES);
    let each = ((events / (BATCH * CONNECTIONS) as f64 / STRETCHES as f64).ceil() as u64).max(1);
    let end = STRETCHES * each * (CONNECTIONS * BATCH) as u64;
    let title = format!("{} MiB of events in one stream, {end} events with ids", bench.keep_bytes >> 20);
    let mut scenario = Scenario::new("big", title);
    scenario.add("memory, empty", server.child.memory(PHASE)?.figures().into());
    fill(&server, each, &mut scenario).await?;
    note("big, pages and polls");
    pages_and_polls(&server, end, &mut scenario).await?;
    scenario.add("memory, after pages and polls", server.child.memory(PHASE)?.figures().into());
    note("big, restart");
    let (server, restart) = server.kill_and_restart(PHASE).await?;
    let last = last_page(&server, end);
    let mut connection = Connection::open(server.child.address).await.during(PHASE)?;
    let before = Instant::now();
    connection.expect(&last, 200).await.during(PHASE)?;
    let first_page_ms = before.elapsed().as_secs_f64() * 1e3;
    let figures = vec![("ready_ms", restart.as_secs_f64() * 1e3), ("first_page_ms", first_page_ms)];
    scenario.add("restart after kill -9", figures);
    scenario.add("memory, restarted", server.child.memory(PHASE)?.figures().into());
    server.stop(PHASE).await?;
    bench.home.remove("big");
    Ok(scenario)
}

/// Fills the stream stretch by stretch: the last must not be slower than the first.
async fn fill(server: &Server, each: u64, scenario: &mut Scenario) -> Result {
    let mut stretches = Vec::new();
    for stretch in 1..=STRETCHES {
        note(&format!("big, filling, {stretch} of {STRETCHES}"));
        let scripts = server.sender().batches(CONNECTIONS, Some(stretch));
        let (round, spent) = durably(server, scripts, Until::Requests(each), 202, PHASE).await?;
        scenario
            .add(format!("memory, {stretch} of {STRETCHES}"), server.child.memory(PHASE)?.figures().into());
        stretches.push((stretch, round, spent));
    }
    for (stretch, round, spent) in stretches {
        let mut figures = vec![
            ("events_per_s", round.rate() * BATCH as f64),
            ("p50_us", round.percentile(50)),
            ("p99_us", round.percentile(99)),
        ];
        figures.extend(writer_figures(&spent));
        scenario.add(format!("filling, {stretch} of {STRETCHES}"), figures);
    }
    Ok(())
}

async fn pages_and_polls(server: &Server, end: u64, scenario: &mut Scenario) -> Result {
    let first = server.owner().get(&format!("events?limit={PAGE}"));
    let last = last_page(server, end);
    both_ends(server, [&first, &last], &format!("list {PAGE}"), scenario).await?;
    let poll = |group: &str| {
        let body = format!("{{\"max\":{PAGE},\"consumer\":\"bench\"}}");
        server.owner().post(&format!("streams/events/groups/{group}/poll"), &body)
    };
    let mut connection = Connection::open(server.child.address).await.during(PHASE)?;
    connection.expect(&poll("at_end"), 200).await.during(PHASE)?;
    let commit = format!("{{\"cursor\":\"{}\",\"consumer\":\"bench\"}}", near_the_end(end));
    let commit = server.owner().post("streams/events/groups/at_end/commit", &commit);
    connection.expect(&commit, 200).await.during(PHASE)?;
    both_ends(server, [&poll("at_start"), &poll("at_end")], &format!("poll {PAGE}"), scenario).await
}

fn near_the_end(end: u64) -> String {
    Cursor::new("events", end.saturating_sub(PAGE)).encode()
}

fn last_page(server: &Server, end: u64) -> Vec<u8> {
    server.owner().get(&format!("events?limit={PAGE}&after={}", near_the_end(end)))
}

/// The same at the start and at the end of the stream.
pub async fn both_ends(server: &Server, requests: [&[u8]; 2], what: &str, scenario: &mut Scenario) -> Result {
    let [start, end] = requests;
    let (start, end) = (asked(server, start, TIMES).await?, asked(server, end, TIMES).await?);
    for (place, delays) in [("start", &start), ("end", &end)] {
        let figures = vec![("p50_us", percentile(delays, 50)), ("max_us", percentile(delays, 100))];
        scenario.add(format!("{what} at the {place}"), figures);
    }
    scenario
        .add(format!("{what}, end to start"), vec![("ratio", percentile(&end, 50) / percentile(&start, 50))]);
    Ok(())
}

/// Asks so many times, after once for nothing; returns the latencies in ascending order.
async fn asked(server: &Server, request: &[u8], times: usize) -> Result<Vec<u32>> {
    let mut connection = Connection::open(server.child.address).await.during(PHASE)?;
    let mut delays = Vec::with_capacity(times);
    for time in 0..=times {
        let before = Instant::now();
        connection.expect(request, 200).await.during(PHASE)?;
        if time > 0 {
            delays.push(before.elapsed().as_micros() as u32);
        }
    }
    delays.sort_unstable();
    Ok(delays)
}
