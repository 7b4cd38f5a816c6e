//! The feed with many readers: how many frames a second reach a thousand of them and how late, what one that is idle
//! costs, and how long it takes to catch up.

use super::{
    Bench, During, Result,
    child::{Server, embedded},
    live::{STRAGGLERS, Sent, open_socket, open_socket_at, send_all},
    load::{Connection, percentile},
    note,
    report::Scenario,
};
use angarium_base::Cursor;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinSet};
use tokio_util::sync::CancellationToken;

const READERS: usize = 1_000;
/// Events a second; each goes to every reader.
const RATES: [u64; 3] = [100, 200, 300];
/// Of so many frames one is looked into for its delay: the readers are to cost little.
const SAMPLE: u64 = 8;
const IDLE: usize = 10_000;
/// Files that a process needs beside its connections.
const OTHER_FILES: usize = 500;
const MISSED: usize = 10_000;

pub async fn measure(bench: &Bench) -> Result<Scenario> {
    let dir = bench.home.dir("fan_out");
    let mut settings = embedded();
    settings.push(("ANGARIUM_LIVE__PER_PRINCIPAL", IDLE.to_string()));
    let server = Server::start_with(&dir, settings, "fan_out").await?;
    let mut scenario = Scenario::new("fan_out", "The feed with many readers (WebSocket)");
    idle(&server, &mut scenario).await?;
    for rate in RATES {
        fan_out(bench, &server, rate, &mut scenario).await?;
    }
    resume(&server, &mut scenario).await?;
    server.stop("fan_out").await?;
    bench.home.remove("fan_out");
    Ok(scenario)
}

async fn idle(server: &Server, scenario: &mut Scenario) -> Result {
    let phase = "fan_out, idle";
    note(phase);
    let readers = IDLE.min(open_files(phase)?.saturating_sub(OTHER_FILES));
    // What is there once is not counted.
    drop(open(server, 100, phase).await?);
    let before = server.child.memory(phase)?;
    let sockets = open(server, readers, phase).await?;
    let after = server.child.memory(phase)?;
    let each = (after.rss_mib - before.rss_mib) * 1_024.0 / sockets.len() as f64;
    scenario.add(
        "idle readers",
        vec![("readers", readers as f64), ("kib_each", each), ("rss_mib", after.rss_mib)],
    );
    Ok(())
}

async fn open(server: &Server, readers: usize, phase: &str) -> Result<Vec<TcpStream>> {
    let mut sockets = Vec::with_capacity(readers);
    for _ in 0..readers {
        sockets.push(open_socket(server).await.during(phase)?);
    }
    Ok(sockets)
}

/// How many files this process, and so its children, may have open.
fn open_files(phase: &str) -> Result<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").during(phase)?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|rest| rest.split_whitespace().next());
    Ok(soft.and_then(|soft| soft.parse().ok()).unwrap_or(IDLE + OTHER_FILES))
}

async fn fan_out(bench: &Bench, server: &Server, rate: u64, scenario: &mut Scenario) -> Result {
    let phase = "fan_out";
    note(&format!("{phase}, {rate} events/s to {READERS} readers"));
    let sockets = open(server, READERS, phase).await?;
    let sent = Sent::new(rate * bench.round.as_secs(), rate);
    let frames = Arc::new(AtomicU64::new(0));
    let stop = CancellationToken::new();
    let mut reading = JoinSet::new();
    for socket in sockets {
        reading.spawn(count(socket, sent.clone(), frames.clone(), stop.clone()));
    }
    let began = Instant::now();
    send_all(server, &sent, phase).await?;
    let all = sent.events() as u64 * READERS as u64;
    let mut quiet_since = Instant::now();
    let mut seen = frames.load(Relaxed);
    let mut elapsed = began.elapsed();
    // Who was too slow was told of a gap: not every frame comes then.
    while seen < all && quiet_since.elapsed() < Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = frames.load(Relaxed);
        if now > seen {
            (seen, quiet_since, elapsed) = (now, Instant::now(), began.elapsed());
        }
    }
    stop.cancel();
    let mut delays = Vec::new();
    while let Some(done) = reading.join_next().await {
        delays.extend(done.during(phase)?.during(phase)?);
    }
    delays.sort_unstable();
    let at = |percent| percentile(&delays, percent) / 1_000.0;
    scenario.add(
        format!("{rate} events/s to {READERS}"),
        vec![
            ("frames_per_s", seen as f64 / elapsed.as_secs_f64()),
            ("missing", (all - seen.min(all)) as f64),
            ("p50_ms", at(50)),
            ("p99_ms", at(99)),
            ("max_ms", at(100)),
        ],
    );
    Ok(())
}

async fn resume(server: &Server, scenario: &mut Scenario) -> Result {
    let phase = "fan_out, resume";
    note(phase);
    let event = format!("{{\"type\":\"page_view\",\"params\":{{\"page\":\"/{}\"}}}}\n", "x".repeat(200));
    let request = server.sender().request(
        "POST",
        "events",
        "content-type: application/x-ndjson\r\n",
        &event.repeat(MISSED / 10),
    );
    let mut connection = Connection::open(server.child.address).await.during(phase)?;
    for _ in 0..10 {
        connection.expect(&request, 202).await.during(phase)?;
    }
    let mut times = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let after = Cursor::new("events", 0).encode();
        let mut socket = open_socket_at(server, &format!("&after={after}")).await.during(phase)?;
        let (mut frames, mut counter, mut sink) = (0, Frames::default(), |_: &[u8]| ());
        while frames < MISSED as u64 {
            let read = tokio::time::timeout(STRAGGLERS, counter.read(&mut socket, &mut sink)).await;
            frames += read.during(phase)?.during(phase)?;
        }
        times.push(began.elapsed().as_micros() as u32);
    }
    times.sort_unstable();
    let at = |percent| percentile(&times, percent) / 1_000.0;
    scenario.add(format!("resume of {MISSED}"), vec![("p50_ms", at(50)), ("max_ms", at(100))]);
    Ok(())
}

/// Counts frames until it is stopped; returns the delays of some of them.
async fn count(
    mut socket: TcpStream,
    sent: Arc<Sent>,
    frames: Arc<AtomicU64>,
    stop: CancellationToken,
) -> io::Result<Vec<u32>> {
    let (mut delays, mut counter, mut n) = (Vec::new(), Frames::default(), 0);
    let mut look = |frame: &[u8]| {
        n += 1;
        if n % SAMPLE == 0 {
            sent.delays_of(frame, |delay| delays.push(delay));
        }
    };
    while let Some(read) = stop.run_until_cancelled(counter.read(&mut socket, &mut look)).await {
        frames.fetch_add(read?, Relaxed);
    }
    Ok(delays)
}

/// Finds where frames end: those of a server are not masked (RFC 6455, 5.1).
#[derive(Default)]
struct Frames {
    unread: Vec<u8>,
}

impl Frames {
    /// Reads once, and hands on every frame of records that is whole; returns how many.
    async fn read(&mut self, socket: &mut TcpStream, take: &mut impl FnMut(&[u8])) -> io::Result<u64> {
        self.unread.reserve(16 << 10);
        if socket.read_buf(&mut self.unread).await? == 0 {
            return Err(io::Error::other("the feed ended"));
        }
        let (mut start, mut frames) = (0, 0);
        while let Some(end) = frame_end(&self.unread[start..]) {
            let frame = &self.unread[start..start + end];
            // The rest are pings and gaps.
            if frame[0] == 0x81 && !frame.windows(7).take(8).any(|window| window == b"{\"gap\":") {
                frames += 1;
                take(frame);
            }
            start += end;
        }
        self.unread.drain(..start);
        Ok(frames)
    }
}

/// Where the first frame ends, if it is whole.
fn frame_end(bytes: &[u8]) -> Option<usize> {
    let (head, length) = match bytes.get(1)? {
        126 => (4, u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        length => (2, usize::from(*length)),
    };
    (bytes.len() >= head + length).then_some(head + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_ends_where_its_head_says() {
        assert_eq!(frame_end(&[0x81, 2, b'o', b'k', 0x81]), Some(4));
        assert_eq!(frame_end(&[0x81, 2, b'o']), None);
        assert_eq!(frame_end(&[0x81]), None);
        let long = [&[0x81, 126, 1, 0][..], &[b'x'; 256]].concat();
        assert_eq!(frame_end(&long), Some(260));
        assert_eq!(frame_end(&long[..259]), None);
    }
}
