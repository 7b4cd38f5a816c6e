//! Messages: how fast they are taken in and persisted, and what a page costs at both ends of a long list.

use super::{
    Bench, During, Failure, Result,
    big::both_ends,
    child::Server,
    load::{Connection, Until, closed_loop},
    note,
    payload::BATCH,
    report::Scenario,
};
use angarium_base::Cursor;
use std::time::{Duration, Instant};

const PHASE: &str = "messages";
/// As many as the list's depth is measured with.
const MESSAGES: u64 = 1_000_000;
const CONNECTIONS: usize = 2;
const PAGE: u64 = 1_000;
/// The end of a machine that is too slow for this.
const AT_MOST: Duration = Duration::from_secs(180);

pub async fn measure(bench: &Bench) -> Result<Scenario> {
    note(PHASE);
    let server = Server::start(&bench.home.dir(PHASE), PHASE).await?;
    let mut scenario =
        Scenario::new("messages", format!("Messages in batches of {BATCH}, {CONNECTIONS} connections"));
    let started = Instant::now();
    let scripts = server.owner().messages(CONNECTIONS);
    let until = Until::Requests(MESSAGES / BATCH as u64 / CONNECTIONS as u64);
    let round = closed_loop(server.child.address, scripts, until, 202, PHASE).await?;
    let taken = started.elapsed();
    let all = round.requests() * BATCH as u64;
    let mut persisted = 0;
    while persisted < all {
        if started.elapsed() > AT_MOST {
            let detail = format!("bench, {PHASE}: {persisted} of {all} are persisted after {AT_MOST:?}");
            return Err(Failure::new(detail));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        persisted = count_persisted(&server).await?;
    }
    let elapsed = started.elapsed();
    scenario.add(
        "from the first POST",
        vec![
            ("accepted_per_s", all as f64 / taken.as_secs_f64()),
            ("persisted_per_s", all as f64 / elapsed.as_secs_f64()),
            ("behind_ms", (elapsed - taken).as_secs_f64() * 1e3),
            ("messages", all as f64),
        ],
    );
    let first = server.owner().get(&format!("messages?limit={PAGE}"));
    let near_the_end = Cursor::new("message_list", all - PAGE - 1).encode();
    let last = server.owner().get(&format!("messages?limit={PAGE}&after={near_the_end}"));
    both_ends(&server, [&first, &last], &format!("list {PAGE}"), &mut scenario).await?;
    scenario.add("memory at the end", server.child.memory(PHASE)?.figures().to_vec());
    server.stop(PHASE).await?;
    bench.home.remove(PHASE);
    Ok(scenario)
}

/// What the server counts.
async fn count_persisted(server: &Server) -> Result<u64> {
    let mut connection = Connection::open(server.child.address).await.during(PHASE)?;
    connection.expect(&server.owner().get("/metrics"), 200).await.during(PHASE)?;
    let text = String::from_utf8_lossy(connection.body()).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("angarium_messages_persisted_total "));
    line.and_then(|count| count.parse().ok()).ok_or("/metrics has no count of messages").during(PHASE)
}
