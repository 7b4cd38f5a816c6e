//! A line to a server that breaks after some bytes, again and again, as often as it is told to.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub struct Breaker {
    /// Host and port.
    pub address: String,
    fate: Arc<Fate>,
    running: JoinHandle<()>,
}

struct Fate {
    times: usize,
    begun: AtomicBool,
    broken: AtomicUsize,
}

impl Fate {
    fn spares(&self) -> bool {
        !self.begun.load(Relaxed) || self.broken.load(Relaxed) >= self.times
    }
}

impl Breaker {
    /// Breaks `times` connections, and no more after that, each after some bytes of the server's: how many is a power of two
    /// within `bytes_log`, so often amid its first answers, sometimes long after them.
    pub async fn start(target: &str, times: usize, bytes_log: Range<f64>) -> Breaker {
        let breaker = Breaker::start_sparing(target, times, bytes_log).await;
        breaker.begin();
        breaker
    }

    /// One that breaks nothing before it is told to begin.
    pub async fn start_sparing(target: &str, times: usize, bytes_log: Range<f64>) -> Breaker {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let address = listener.local_addr().expect("an address").to_string();
        let target = target.trim_start_matches("http://").to_owned();
        let fate = Arc::new(Fate { times, begun: AtomicBool::new(false), broken: AtomicUsize::new(0) });
        let shared = fate.clone();
        let running = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let bytes = bytes_log.start + fastrand::f64() * (bytes_log.end - bytes_log.start);
                tokio::spawn(carry(client, target.clone(), bytes.exp2() as usize, shared.clone()));
            }
        });
        Breaker { address, fate, running }
    }

    /// How many it has broken.
    pub fn broken(&self) -> usize {
        self.fate.broken.load(Relaxed)
    }

    pub fn begin(&self) {
        self.fate.begun.store(true, Relaxed);
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn carry(mut client: TcpStream, target: String, bytes: usize, fate: Arc<Fate>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let down = async {
        let (mut left, mut buffer) = (bytes, [0; 4_096]);
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            let spared = fate.spares();
            let passed = if spared { read } else { read.min(left) };
            if to_client.write_all(&buffer[..passed]).await.is_err() {
                return;
            }
            left = left.saturating_sub(passed);
            if !spared && left == 0 {
                fate.broken.fetch_add(1, Relaxed);
                return;
            }
        }
    };
    tokio::select! {
        () = down => {}
        _ = copy(&mut from_client, &mut to_server) => {}
    }
}
