//! A stream from its start, in pages of 1,000: by HTTP, and through the library in this process after the
//! server has stopped. Its first part came as single events (small batches), its second as batches.

use super::{
    Bench, During, Failure, Result,
    child::Server,
    ingest::durably,
    load::{Connection, Until},
    note,
    payload::BATCH,
    report::{Figures, Scenario},
};
use crate::slices;
use angarium_base::{AppId, Clock, Cursor};
use angarium_db::Db;
use angarium_journal::{Journal, Options, Stream};
use std::{
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};

const PAGE: u64 = 1_000;
const BATCHES: u64 = 500;
/// Passes over each part; the best counts, the others say how much it varies.
const PASSES: usize = 3;

/// A part of the stream, by offsets.
struct Stretch {
    words: &'static str,
    offsets: Range<u64>,
}

pub async fn measure(bench: &Bench) -> Result<Scenario> {
    let phase = "reading";
    note(phase);
    let server = Server::start(&bench.home.dir("reading"), phase).await?;
    let parts = fill(bench, &server, phase).await?;
    let mut scenario = Scenario::new("read", format!("A stream from its start, pages of {PAGE}"));
    for part in &parts {
        let mut passes = Vec::new();
        for _ in 0..PASSES {
            passes.push(by_http(&server, part, bench.round * 3).await?);
        }
        scenario.add(format!("http, {}", part.words), figures(&passes));
    }
    let app = AppId::parse(&server.app).ok_or_else(|| Failure::new("bench, reading: the app has no id"))?;
    server.stop(phase).await?;
    for (subject, passes) in through_the_library(&bench.home.dir("reading"), &app, &parts).await? {
        scenario.add(subject, figures(&passes));
    }
    bench.home.remove("reading");
    Ok(scenario)
}

async fn fill(bench: &Bench, server: &Server, phase: &str) -> Result<[Stretch; 2]> {
    let singles = server.sender().singles(256);
    let (round, _) = durably(server, singles, Until::After(bench.round), 202, phase).await?;
    let middle = round.requests();
    let batches = server.sender().batches(2, None);
    let (round, _) = durably(server, batches, Until::Requests(BATCHES / 2), 202, phase).await?;
    let end = middle + round.requests() * BATCH as u64;
    Ok([
        Stretch { words: "kept singly", offsets: 0..middle },
        Stretch { words: "kept in batches", offsets: middle..end },
    ])
}

/// What one pass read.
#[derive(Default)]
struct Pass {
    records: u64,
    bytes: u64,
    elapsed: Duration,
}

fn figures(passes: &[Pass]) -> Figures {
    let rate = |amount: u64, pass: &Pass| amount as f64 / pass.elapsed.as_secs_f64();
    let rates = || passes.iter().map(|pass| rate(pass.records, pass));
    let bytes = passes.iter().map(|pass| rate(pass.bytes, pass)).fold(0.0, f64::max);
    vec![
        ("records_per_s", rates().fold(0.0, f64::max)),
        ("worst_records_per_s", rates().fold(f64::INFINITY, f64::min)),
        ("mb_per_s", bytes / 1e6),
        ("records", passes.iter().map(|pass| pass.records).max().unwrap_or(0) as f64),
    ]
}

/// Follows cursors on one connection until the part is read, or time is over.
async fn by_http(server: &Server, part: &Stretch, at_most: Duration) -> Result<Pass> {
    let phase = "reading by HTTP";
    let mut connection = Connection::open(server.child.address).await.during(phase)?;
    let (started, mut pass, mut at) = (Instant::now(), Pass::default(), part.offsets.start);
    while at < part.offsets.end && started.elapsed() < at_most {
        let limit = PAGE.min(part.offsets.end - at);
        let after = Cursor::new("events", at).encode();
        let path = format!("streams/events/records?limit={limit}&after={after}");
        connection.expect(&server.owner().get(&path), 200).await.during(phase)?;
        pass.bytes += connection.body().len() as u64;
        let next = next_offset(connection.body()).ok_or("an answer has no `next`").during(phase)?;
        if next <= at {
            return Err(Failure::new(format!("bench, {phase}: the stream ends at {at}, too early")));
        }
        pass.records += next - at;
        at = next;
    }
    pass.elapsed = started.elapsed();
    Ok(pass)
}

/// What the `next` at the end of a page says.
fn next_offset(body: &[u8]) -> Option<u64> {
    let end = std::str::from_utf8(&body[body.len().saturating_sub(200)..]).ok()?;
    let (_, next) = end.rsplit_once("\"next\":\"")?;
    Cursor::decode(next.split('"').next()?).ok()?.next("events")
}

async fn through_the_library(dir: &Path, app: &AppId, parts: &[Stretch]) -> Result<Vec<(String, Vec<Pass>)>> {
    let phase = "reading through the library";
    let clock = Clock::system();
    let db = Db::open(dir, &slices::migrations(), clock.clone())?;
    let journal = Journal::open(db.clone(), Options::default(), clock).await?;
    let stream = journal.find_stream(app, "events").await?;
    let stream = stream.ok_or("there is no stream").during(phase)?;
    let mut read = Vec::new();
    for part in parts {
        let mut passes = Vec::new();
        for _ in 0..PASSES {
            passes.push(one_pass(&journal, &stream, part).await?);
        }
        read.push((format!("library, {}", part.words), passes));
    }
    db.close();
    Ok(read)
}

async fn one_pass(journal: &Journal, stream: &Stream, part: &Stretch) -> Result<Pass> {
    let (started, mut pass, mut at) = (Instant::now(), Pass::default(), part.offsets.start);
    while at < part.offsets.end {
        let page = journal.read(stream, at, PAGE.min(part.offsets.end - at)).await?;
        if page.is_empty() {
            return Err(Failure::new(format!(
                "bench, reading through the library: the stream ends at {at}, too early"
            )));
        }
        for record in page.records() {
            pass.records += 1;
            pass.bytes += record.data.len() as u64;
        }
        at = page.next;
    }
    pass.elapsed = started.elapsed();
    Ok(pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_page_says_where_to_go_on() {
        let body = format!("{{\"items\":[],\"next\":\"{}\"}}", Cursor::new("events", 77).encode());
        assert_eq!(next_offset(body.as_bytes()), Some(77));
        assert_eq!(next_offset(b"{\"items\":[]}"), None);
    }
}
