//! From a POST to its frame in the live feed: one reader at a steady number of events a second, by SSE and by WebSocket.

use super::{
    Bench, During, Failure, Result,
    child::Server,
    load::{Connection, percentile},
    note,
    report::Scenario,
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

/// Events a second, and whether they are read by WebSocket.
const RUNS: [(u64, bool); 2] = [(1_000, false), (5_000, true)];
const SENDERS: u64 = 32;
const MARK: &[u8] = b"\"bench_number\":";
/// The last frame may come so much later than the last answer.
pub const STRAGGLERS: Duration = Duration::from_secs(10);

/// When each event was sent, in microseconds since the start.
pub struct Sent {
    started: Instant,
    per_s: u64,
    at_us: Vec<AtomicU64>,
}

impl Sent {
    /// So many events, to be sent from now on at so many a second.
    pub fn new(events: u64, per_s: u64) -> Arc<Sent> {
        let at_us = (0..events).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Sent { started: Instant::now(), per_s, at_us })
    }

    pub fn events(&self) -> usize {
        self.at_us.len()
    }

    /// Hands the delay of every event that is marked in `bytes` to `take`; returns how much of them need not be seen
    /// again.
    pub fn delays_of(&self, bytes: &[u8], mut take: impl FnMut(u32)) -> usize {
        let now = self.now_us();
        take_marks(bytes, |number| {
            let Some(at) = self.at_us.get(number as usize) else { return };
            take(now.saturating_sub(at.load(Relaxed)) as u32);
        })
    }

    fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

pub async fn measure(bench: &Bench, server: &Server) -> Result<Scenario> {
    let mut scenario =
        Scenario::new("live", "From a POST to its answer, and to its frame in the feed (one reader)");
    for (rate, is_socket) in RUNS {
        one_reader(bench, server, (rate, is_socket), &mut scenario).await?;
    }
    Ok(scenario)
}

async fn one_reader(
    bench: &Bench,
    server: &Server,
    (rate, is_socket): (u64, bool),
    scenario: &mut Scenario,
) -> Result {
    let phase = "live";
    note(&format!("{phase}, {rate} events/s"));
    let events = rate * bench.round.as_secs() * bench.rounds;
    let feed = if is_socket { open_socket(server).await } else { open_feed(server).await };
    let feed = feed.during(phase)?;
    let sent = Sent::new(events, rate);
    let mut reading = JoinSet::new();
    reading.spawn(read_frames(feed, sent.clone()));
    let mut answers = send_all(server, &sent, phase).await?;
    let elapsed = sent.started.elapsed();
    let frames =
        timeout(STRAGGLERS, reading.join_next()).await.map_err(|_| "not every frame came").during(phase)?;
    let mut frames =
        frames.ok_or_else(|| Failure::new("bench, live: nobody read"))?.during(phase)?.during(phase)?;
    answers.sort_unstable();
    frames.sort_unstable();
    let reached = events as f64 / elapsed.as_secs_f64();
    let way = if is_socket { "WebSocket" } else { "SSE" };
    for (subject, delays) in [("answer", answers), ("frame", frames)] {
        let at = |percent| percentile(&delays, percent);
        let figures =
            vec![("events_per_s", reached), ("p50_us", at(50)), ("p99_us", at(99)), ("max_us", at(100))];
        scenario.add(format!("{subject}, {way}"), figures);
    }
    Ok(())
}

/// Sends all events at their rate; returns how long each answer took.
pub async fn send_all(server: &Server, sent: &Arc<Sent>, phase: &str) -> Result<Vec<u32>> {
    let mut sending = JoinSet::new();
    for sender in 0..SENDERS {
        let connection = Connection::open(server.child.address).await.during(phase)?;
        let numbers = (sender..sent.events() as u64).step_by(SENDERS as usize);
        let requests = numbers.map(|number| (number, request(server, number))).collect();
        sending.spawn(send(connection, requests, sent.clone()));
    }
    let mut answers = Vec::new();
    while let Some(done) = sending.join_next().await {
        answers.extend(done.during(phase)?.during(phase)?);
    }
    Ok(answers)
}

fn request(server: &Server, number: u64) -> Vec<u8> {
    let filler = "x".repeat(200);
    let mark = String::from_utf8_lossy(MARK);
    server.sender().post(
        "events",
        &format!("{{\"type\":\"page_view\",\"params\":{{{mark}{number},\"page\":\"/{filler}\"}}}}"),
    )
}

/// Sends each event when its time has come; one that is late does not shift the others.
async fn send(
    mut connection: Connection,
    requests: Vec<(u64, Vec<u8>)>,
    sent: Arc<Sent>,
) -> io::Result<Vec<u32>> {
    let mut delays = Vec::with_capacity(requests.len());
    for (number, request) in requests {
        let due = sent.started + Duration::from_micros(number * 1_000_000 / sent.per_s);
        tokio::time::sleep_until(due.into()).await;
        let before = sent.now_us();
        sent.at_us[number as usize].store(before, Relaxed);
        connection.expect(&request, 202).await?;
        delays.push((sent.now_us() - before) as u32);
    }
    Ok(delays)
}

/// Opens the feed as SSE and waits until it has begun.
async fn open_feed(server: &Server) -> io::Result<TcpStream> {
    begin(server, "", "accept: text/event-stream\r\n", b"retry:").await
}

/// Opens the feed as a WebSocket. Its frames come whole and unmasked (RFC 6455, 5.1), so marks are found in them as they
/// are; nothing has to be said on it for as long as a measurement takes.
pub async fn open_socket(server: &Server) -> io::Result<TcpStream> {
    open_socket_at(server, "").await
}

/// The same with more of a query.
pub async fn open_socket_at(server: &Server, query: &str) -> io::Result<TcpStream> {
    let mut socket = begin(server, query, UPGRADE, b"HTTP/1.1 101").await?;
    let mut last = [0; 4];
    while &last != b"\r\n\r\n" {
        last.rotate_left(1);
        last[3] = socket.read_u8().await?;
    }
    Ok(socket)
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Asks for the feed, and looks for the sign that it has begun, which is left to be read.
async fn begin(server: &Server, query: &str, headers: &str, sign: &[u8]) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(server.child.address).await?;
    let request = server.owner().request("GET", &format!("live?streams=events{query}"), headers, "");
    socket.write_all(&request).await?;
    let mut begun = [0; 2_048];
    loop {
        let peeked = timeout(STRAGGLERS, socket.peek(&mut begun)).await;
        let n = peeked.map_err(|_| io::Error::other("the feed does not begin"))??;
        if begun[..n].windows(sign.len()).any(|window| window == sign) {
            return Ok(socket);
        }
        let said = String::from_utf8_lossy(&begun[..n]);
        if n == 0 || !said.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(format!("the feed does not begin: {said}")));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Reads until every event has come; returns each one's delay.
pub async fn read_frames(mut feed: TcpStream, sent: Arc<Sent>) -> io::Result<Vec<u32>> {
    let (mut delays, mut buffer) = (Vec::with_capacity(sent.events()), Vec::with_capacity(1 << 16));
    while delays.len() < sent.events() {
        if feed.read_buf(&mut buffer).await? == 0 {
            return Err(io::Error::other("the feed ended"));
        }
        let used = sent.delays_of(&buffer, |delay| delays.push(delay));
        buffer.drain(..used);
    }
    Ok(delays)
}

/// Hands the number after each mark to `take`, and returns how much of `bytes` need not be seen again.
/// Frames are whole within a chunk of the answer, so no mark is cut by the chunks' own framing.
fn take_marks(bytes: &[u8], mut take: impl FnMut(u64)) -> usize {
    let mut used = 0;
    while let Some(found) = bytes[used..].windows(MARK.len()).position(|window| window == MARK) {
        let start = used + found + MARK.len();
        let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if start + digits == bytes.len() {
            return used + found;
        }
        if let Some(number) =
            std::str::from_utf8(&bytes[start..start + digits]).ok().and_then(|text| text.parse().ok())
        {
            take(number);
        }
        used = start + digits;
    }
    used.max(bytes.len().saturating_sub(MARK.len() - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_wherever_a_read_ends() {
        let text =
            b"id: 1\ndata: {\"bench_number\":12,\"x\":1}\n\ndata: {\"bench_number\":345}\n\n".as_slice();
        for cut in 0..text.len() {
            let (mut seen, mut buffer) = (Vec::new(), Vec::new());
            for part in [&text[..cut], &text[cut..]] {
                buffer.extend_from_slice(part);
                let used = take_marks(&buffer, |number| seen.push(number));
                buffer.drain(..used);
            }
            assert_eq!(seen, [12, 345], "cut at {cut}");
        }
    }
}
