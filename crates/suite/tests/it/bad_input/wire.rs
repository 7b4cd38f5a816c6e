//! Requests as bytes on a socket: what no well-behaved client would send.

use angarium_suite::{GUARD, Reply, World, eventually};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A request, and how its sender goes on behind it.
pub struct Wire {
    bytes: Vec<u8>,
    /// Closes its half of the connection; else it stays silent.
    half_closes: bool,
}

impl Wire {
    /// These bytes and then silence.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Wire {
        Wire { bytes: bytes.into(), half_closes: false }
    }

    /// A request with a key, whose body is announced as what it is.
    pub fn post(world: &World, rest: &str, headers: &[&str], body: &[u8]) -> Wire {
        let length = format!("Content-Length: {}", body.len());
        let mut wire = Wire::open(world, "POST", rest, &[&[&*length], headers].concat());
        wire.bytes.extend_from_slice(body);
        wire
    }

    /// A request of a reader.
    pub fn get(world: &World, rest: &str) -> Wire {
        Wire::open(world, "GET", rest, &[])
    }

    /// A request to something of the app, with the secret key, up to the end of its headers.
    pub fn open(world: &World, method: &str, rest: &str, headers: &[&str]) -> Wire {
        let key = format!("Authorization: Bearer {}", world.secret_key());
        let target = format!("/v1/apps/{}{rest}", world.app());
        Wire::head(method, &target, &[&[&*key], headers].concat())
    }

    /// A request without a key, up to the end of its headers.
    pub fn head(method: &str, target: &str, headers: &[&str]) -> Wire {
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n");
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        Wire::bytes(text)
    }

    /// The same, and `body` behind it as it is.
    pub fn with(mut self, body: &[u8]) -> Wire {
        self.bytes.extend_from_slice(body);
        self
    }

    /// The same, and then the end of what this side sends.
    pub fn and_hangs_up(self) -> Wire {
        Wire { half_closes: true, ..self }
    }

    /// Sends it and leaves the connection open; what was sent has been taken in when this returns.
    pub async fn begin(&self, world: &World) -> TcpStream {
        let in_flight = || async {
            let metrics = world.open("/metrics").await.text();
            let line = metrics.lines().find(|line| line.starts_with("angarium_http_requests_in_flight "));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).expect("it is counted")
        };
        let before = in_flight().await;
        let mut stream = TcpStream::connect(address(world)).await.expect("it listens");
        stream.write_all(&self.bytes).await.expect("it is taken");
        eventually("the request has begun", async || (in_flight().await > before).then_some(())).await;
        stream
    }

    /// Sends it and reads until the server closes; `None` when it closed without an answer.
    ///
    /// # Panics
    /// When the server neither answers nor closes.
    pub async fn send(&self, world: &World) -> Option<Reply> {
        let exchange = async {
            let (mut from, mut to) =
                TcpStream::connect(address(world)).await.expect("it listens").into_split();
            let sending = async {
                // The server may answer, and close, before it has read everything.
                let sent = to.write_all(&self.bytes).await;
                if self.half_closes && sent.is_ok() {
                    let _ = to.shutdown().await;
                }
                to
            };
            let mut answer = Vec::new();
            // After a reset, what came before it is the answer.
            let (_open, _) = tokio::join!(sending, from.read_to_end(&mut answer));
            parse(&answer)
        };
        tokio::time::timeout(GUARD, exchange).await.expect("the server answers or closes")
    }
}

fn address(world: &World) -> String {
    world.url().trim_start_matches("http://").to_owned()
}

/// Chunked transfer coding of `body`, without its end.
pub fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + body.len() / size * 8 + 16);
    for chunk in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// An answer, as HTTP/1.1 puts it.
fn parse(bytes: &[u8]) -> Option<Reply> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("headers are ASCII");
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status line has a status");
    let headers: HeaderMap = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a header has a name");
            (name, HeaderValue::from_str(value).expect("a header has a value"))
        })
        .collect();
    let body = bytes[end + 4..].to_vec();
    let announced = headers.get("content-length").map(|n| n.to_str().expect("ASCII").to_owned());
    assert!(announced.is_none_or(|n| n == body.len().to_string()), "an answer is whole: {head}");
    Some(Reply { status, headers, body })
}
