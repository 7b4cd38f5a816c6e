//! A server that plays S3 as a test tells it to: one request a connection, one answer to each, or none.

use angarium_base::{Clock, Secret};
use angarium_blobs::{Blobs, Options, S3Access, Target};
use std::sync::Arc;
use std::sync::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub const SECRET: &str = "hush-hush-hush";

/// What came: `GET /bucket/key?query`, and the length of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub range: Option<String>,
    pub body_bytes: usize,
}

pub enum Reply {
    /// Status line's end, headers, body.
    Answer(&'static str, String, Vec<u8>),
    /// Headers that promise `usize` bytes, and then fewer.
    Cut(String, usize, Vec<u8>),
    Hang,
}

impl Reply {
    pub fn status(status: &'static str) -> Reply {
        Reply::Answer(status, String::new(), vec![])
    }

    pub fn xml(body: &str) -> Reply {
        Reply::Answer("200 OK", String::new(), body.as_bytes().to_vec())
    }
}

type Script = dyn Fn(usize, &Request) -> Reply + Send + Sync;

pub struct Fake {
    seen: Arc<Mutex<Vec<Request>>>,
    endpoint: String,
}

impl Fake {
    /// Answers as `script` says, which is told how many requests came before.
    pub async fn start(script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(vec![]));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), log.clone()));
            }
        });
        Fake { seen, endpoint }
    }

    /// One that is not there: nothing listens on this port.
    pub fn gone() -> Fake {
        Fake { seen: Arc::default(), endpoint: "http://127.0.0.1:1".into() }
    }

    /// What came so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self, method: &str, part: &str) -> usize {
        self.seen().iter().filter(|seen| seen.method == method && seen.target.contains(part)).count()
    }

    pub fn open(&self, answer_ms: u64, patience_ms: u64) -> Blobs {
        let access = S3Access {
            endpoint: Some(self.endpoint.clone()),
            region: "us-east-1".into(),
            access_key_id: "AKIA".into(),
            secret_access_key: Secret::new(SECRET),
            allow_http: true,
        };
        let target = Target::S3 { bucket: "bucket".into(), prefix: "p".into(), access };
        let options =
            Options { part_bytes: 5 << 20, parts_in_flight: 2, answer_ms, patience_ms, ..Options::default() };
        Blobs::open(&target, options, Clock::system()).unwrap()
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Script>, log: Arc<Mutex<Vec<Request>>>) {
    let Some(request) = receive(&mut stream).await else { return };
    let before = {
        let mut log = log.lock().unwrap();
        log.push(request.clone());
        log.len() - 1
    };
    let (head, body) = match script(before, &request) {
        Reply::Answer(status, headers, body) => {
            // The answer to HEAD tells a length of its own, and has no body.
            let length = match request.method == "HEAD" && headers.contains("content-length") {
                true => String::new(),
                false => format!("content-length: {}\r\n", body.len()),
            };
            (format!("HTTP/1.1 {status}\r\n{headers}{length}"), body)
        }
        Reply::Cut(headers, length, body) => {
            (format!("HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\n"), body)
        }
        Reply::Hang => std::future::pending().await,
    };
    let _ = stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await;
    let _ = stream.write_all(&body).await;
    let _ = stream.shutdown().await;
}

async fn receive(stream: &mut TcpStream) -> Option<Request> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut first = head.lines().next()?.split(' ').map(str::to_owned);
    let (method, target) = (first.next()?, first.next()?);
    let header = |wanted: &str| {
        let mut pairs = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_owned())
    };
    let body_bytes = header("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; body_bytes];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { method, target, range: header("range"), body_bytes })
}
