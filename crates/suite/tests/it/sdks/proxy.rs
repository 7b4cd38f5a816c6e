//! A proxy that fails on a plan, the same for each run: it refuses, or passes a request on and loses the answer.

use angarium_suite::caller::read;
use reqwest::{Method, header::HeaderMap};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What happens to a request.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Passes,
    /// Answered with this status, and never seen by the server.
    Refused(u16),
    /// Seen by the server, and answered with 503 all the same: who sends it again sends it twice.
    Lost,
}

/// The fate of each request, over and over.
const PLAN: [Fate; 6] =
    [Fate::Refused(429), Fate::Lost, Fate::Passes, Fate::Refused(503), Fate::Lost, Fate::Passes];

pub struct Proxy {
    pub url: String,
    requests: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(http: reqwest::Client, target: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let requests = Arc::new(AtomicUsize::new(0));
        let served = requests.clone();
        let running = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, http.clone(), target.clone(), served.clone()));
            }
        });
        Proxy { url, requests, running }
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.requests.load(Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Answers the requests of a connection until it ends.
async fn serve(connection: TcpStream, http: reqwest::Client, target: String, requests: Arc<AtomicUsize>) {
    let mut connection = BufStream::new(connection);
    while let Some(request) = Request::read(&mut connection).await {
        let fate = PLAN[requests.fetch_add(1, Relaxed) % PLAN.len()];
        let answer = match fate {
            Fate::Refused(status) => Answer::refusal(status),
            Fate::Lost => {
                request.pass(&http, &target).await;
                Answer::refusal(503)
            }
            Fate::Passes => request.pass(&http, &target).await,
        };
        // Who does not wait for the answer sends again.
        let _ = connection.write_all(&answer.bytes()).await;
        let _ = connection.flush().await;
    }
}

struct Request {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Request {
    /// The next request; `None` when the connection has ended. Bodies have their length in a header here.
    async fn read(connection: &mut BufStream<TcpStream>) -> Option<Request> {
        let first = line(connection).await?;
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.parse().ok()?, words.next()?.to_owned());
        let mut headers = HeaderMap::new();
        loop {
            let line = line(connection).await?;
            let Some((name, value)) = line.split_once(':') else { break };
            let name = reqwest::header::HeaderName::try_from(name).expect("a header has a name");
            headers.append(name, value.trim().parse().expect("a header has a value"));
        }
        let length = headers.remove("content-length").map_or(0, |length| {
            length.to_str().ok().and_then(|length| length.parse().ok()).expect("a length is a number")
        });
        assert!(!headers.contains_key("transfer-encoding"), "this proxy knows no chunks");
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await.ok()?;
        Some(Request { method, path, headers, body })
    }

    /// Passes it on, all of it.
    async fn pass(&self, http: &reqwest::Client, target: &str) -> Answer {
        let mut headers = self.headers.clone();
        for own in ["host", "connection"] {
            headers.remove(own);
        }
        let request = http.request(self.method.clone(), format!("{target}{}", self.path)).headers(headers);
        let reply = read(request.body(self.body.clone())).await.expect("the server answers");
        let retry_after = reply.header("retry-after").to_owned();
        Answer { status: reply.status, retry_after, body: reply.body }
    }
}

async fn line(connection: &mut BufStream<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = connection.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

struct Answer {
    status: u16,
    retry_after: String,
    body: Vec<u8>,
}

impl Answer {
    fn refusal(status: u16) -> Answer {
        Answer { status, retry_after: "1".into(), body: b"{}".to_vec() }
    }

    fn bytes(&self) -> Vec<u8> {
        let Answer { status, retry_after, body } = self;
        let mut head = format!("HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\n", body.len());
        head.push_str("Content-Type: application/json\r\n");
        if !retry_after.is_empty() {
            head.push_str(&format!("Retry-After: {retry_after}\r\n"));
        }
        [head.as_bytes(), b"\r\n", body].concat()
    }
}
