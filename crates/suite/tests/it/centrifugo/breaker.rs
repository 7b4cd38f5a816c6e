//! A line to a server that breaks after some bytes, again and again, as often as it is told to.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// After how many bytes of the server's a connection breaks, as a power of two: often amid its first answers, sometimes
/// long after them.
const BYTES_LOG: std::ops::Range<f64> = 8.0..16.0;

pub struct Breaker {
    pub url: String,
    broken: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl Breaker {
    /// Breaks `times` connections, and no more after that.
    pub async fn start(target: &str, times: usize) -> Breaker {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let url = format!("ws://{}/connection/websocket", listener.local_addr().expect("an address"));
        let target = target.trim_start_matches("http://").to_owned();
        let broken = Arc::new(AtomicUsize::new(0));
        let count = broken.clone();
        let running = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target.clone(), count.clone(), times));
            }
        });
        Breaker { url, broken, running }
    }

    /// How many it has broken.
    pub fn broken(&self) -> usize {
        self.broken.load(Relaxed)
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn bytes() -> usize {
    let log = BYTES_LOG.start + fastrand::f64() * (BYTES_LOG.end - BYTES_LOG.start);
    log.exp2() as usize
}

async fn carry(mut client: TcpStream, target: String, broken: Arc<AtomicUsize>, times: usize) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let down = async {
        let (mut left, mut buffer) = (bytes(), [0; 4_096]);
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            let spared = broken.load(Relaxed) >= times;
            let passed = if spared { read } else { read.min(left) };
            if to_client.write_all(&buffer[..passed]).await.is_err() {
                return;
            }
            left = left.saturating_sub(passed);
            if !spared && left == 0 {
                broken.fetch_add(1, Relaxed);
                return;
            }
        }
    };
    tokio::select! {
        () = down => {}
        _ = copy(&mut from_client, &mut to_server) => {}
    }
}
