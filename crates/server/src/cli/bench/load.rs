//! Load that costs little: raw connections, requests rendered beforehand, a reader that knows status lines
//! and `content-length` only, one task a connection.

use super::{During, Result, payload::Script};
use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

/// Answers may be missing for this long before a phase has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A kept-alive connection with one request at a time.
pub struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
    body_at: usize,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> io::Result<Connection> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Connection { socket, buffer: Vec::with_capacity(4_096), body_at: 0 })
    }

    /// Sends a request and reads its answer whole. Returns the status.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        self.socket.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some(head) = Head::read(&self.buffer)? else { continue };
            self.body_at = head.bytes;
            while self.buffer.len() < head.bytes + head.body_bytes {
                if self.socket.read_buf(&mut self.buffer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            return Ok(head.status);
        }
    }

    /// As [`Connection::ask`], and any other status than `expected` is an error that shows the answer.
    pub async fn expect(&mut self, request: &[u8], expected: u16) -> io::Result<()> {
        let status = self.ask(request).await?;
        if status == expected {
            return Ok(());
        }
        let body = String::from_utf8_lossy(self.body());
        let start: String = body.chars().take(300).collect();
        Err(io::Error::other(format!("answered {status} where {expected} was expected: {start}")))
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        &self.buffer[self.body_at..]
    }
}

struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    /// The head of an answer, once it is there whole.
    fn read(buffer: &[u8]) -> io::Result<Option<Head>> {
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let bad = || io::Error::other("the answer is no HTTP/1.1 answer with a length");
        let head = std::str::from_utf8(&buffer[..end]).map_err(|_| bad())?;
        let status: u16 = head.get(9..12).and_then(|text| text.parse().ok()).ok_or_else(bad)?;
        let length = head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())
        });
        let body_bytes = match (length, status) {
            (Some(length), _) => length.ok_or_else(bad)?,
            (None, 204) => 0,
            (None, _) => return Err(bad()),
        };
        Ok(Some(Head { status, bytes: end + 4, body_bytes }))
    }
}

/// When a closed loop ends.
#[derive(Clone, Copy)]
pub enum Until {
    After(Duration),
    /// So many requests on each connection.
    Requests(u64),
}

/// What a closed loop did.
pub struct Round {
    pub elapsed: Duration,
    /// Of every request, in ascending order.
    pub latencies_us: Vec<u32>,
}

impl Round {
    pub fn requests(&self) -> u64 {
        self.latencies_us.len() as u64
    }

    pub fn rate(&self) -> f64 {
        self.requests() as f64 / self.elapsed.as_secs_f64()
    }

    pub fn percentile(&self, percent: usize) -> f64 {
        percentile(&self.latencies_us, percent)
    }
}

/// Of values in ascending order.
pub fn percentile(sorted: &[u32], percent: usize) -> f64 {
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).map_or(f64::NAN, |value| f64::from(*value))
}

/// A closed loop on each of the scripts' connections: ask, wait for the answer, ask again.
pub async fn closed_loop(
    address: SocketAddr,
    scripts: Vec<Script>,
    until: Until,
    expected: u16,
    phase: &str,
) -> Result<Round> {
    let mut open = Vec::with_capacity(scripts.len());
    for script in scripts {
        open.push((Connection::open(address).await.during(phase)?, script));
    }
    let started = Instant::now();
    let mut loops = JoinSet::new();
    for (connection, script) in open {
        loops.spawn(one_loop(connection, script, started, until, expected));
    }
    let mut latencies_us = Vec::new();
    while let Some(done) = loops.join_next().await {
        latencies_us.extend(done.during(phase)?.during(phase)?);
    }
    let elapsed = started.elapsed();
    latencies_us.sort_unstable();
    Ok(Round { elapsed, latencies_us })
}

async fn one_loop(
    mut connection: Connection,
    mut script: Script,
    started: Instant,
    until: Until,
    expected: u16,
) -> io::Result<Vec<u32>> {
    let mut latencies = Vec::with_capacity(4_096);
    let mut before = started;
    loop {
        let over = match until {
            Until::After(duration) => before.duration_since(started) >= duration,
            Until::Requests(most) => latencies.len() as u64 >= most,
        };
        if over {
            return Ok(latencies);
        }
        let request = script.next();
        before = Instant::now();
        timeout(PATIENCE, connection.expect(request, expected))
            .await
            .map_err(|_| io::Error::other(format!("no answer within {} s", PATIENCE.as_secs())))??;
        let after = Instant::now();
        latencies.push(after.duration_since(before).as_micros() as u32);
        before = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_length_is_there() {
        let head = |text: &str| {
            Head::read(text.as_bytes()).map(|head| head.map(|h| (h.status, h.bytes, h.body_bytes)))
        };
        assert_eq!(head("HTTP/1.1 202 Accepted\r\nContent-Length: 7\r\n\r\n{}").unwrap(), Some((202, 44, 7)));
        assert_eq!(head("HTTP/1.1 204 No Content\r\ndate: x\r\n\r\n").unwrap(), Some((204, 36, 0)));
        assert_eq!(head("HTTP/1.1 202 Accepted\r\ncontent-le").unwrap(), None);
        assert!(head("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<u32> = (1..=101).collect();
        assert_eq!([0, 50, 99, 100].map(|percent| percentile(&sorted, percent)), [1.0, 51.0, 100.0, 101.0]);
        assert!(percentile(&[], 50).is_nan());
    }
}
