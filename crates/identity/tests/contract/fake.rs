//! A server that plays an issuer's: one request a connection, answered as the test tells it at the time.

use crate::*;
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

#[derive(Clone)]
pub enum Reply {
    /// Status and a word, more headers, body.
    Answer(&'static str, String, Vec<u8>),
    /// A body without an end, in small pieces.
    Endless,
    /// Nothing, and the connection stays.
    Silence,
}

#[derive(Clone)]
pub struct Fake {
    url: String,
    reply: Arc<Mutex<Reply>>,
    requests: Arc<Mutex<usize>>,
    /// How many requests may still be answered.
    permits: Arc<Semaphore>,
}

impl Fake {
    pub async fn start() -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Fake {
            url: format!("http://{}/keys", listener.local_addr().unwrap()),
            reply: Arc::new(Mutex::new(Reply::Silence)),
            requests: Arc::default(),
            permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        fake
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn replies(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    /// From now on it answers with this set.
    pub fn publishes(&self, keys: &[Value]) {
        self.replies(ok(json!({"keys": keys}).to_string()));
    }

    pub fn requests(&self) -> usize {
        *self.requests.lock().unwrap()
    }

    /// Takes requests and answers none until [`Fake::release`].
    pub fn hold(&self) {
        self.permits.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn release(&self) {
        self.permits.add_permits(1000);
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        *self.requests.lock().unwrap() += 1;
        self.permits.acquire().await.unwrap().forget();
        let reply = self.reply.lock().unwrap().clone();
        // A caller that has hung up is its own affair.
        let _ = match reply {
            Reply::Answer(status, headers, body) => answer(&mut stream, status, &headers, &body).await,
            Reply::Endless => drip(&mut stream).await,
            Reply::Silence => std::future::pending().await,
        };
    }
}

pub fn ok(body: impl Into<Vec<u8>>) -> Reply {
    Reply::Answer("200 OK", String::new(), body.into())
}

pub fn status(status: &'static str) -> Reply {
    Reply::Answer(status, String::new(), vec![])
}

async fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}

async fn drip(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"keys\":[").await?;
    loop {
        stream.write_all(b" ").await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
