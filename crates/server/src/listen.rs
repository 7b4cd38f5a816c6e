//! Connections: accepted up to a number, served until they end or the server drains.

use crate::{config::Config, guarded::Guarded};
use angarium_kit::{Direct, Kit, http::Peer};
use axum::{Router, body::Body};
use futures_util::{FutureExt as _, future::Either};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower::ServiceExt;

/// Headers of a request up to which hyper reads them; the layer refuses more than its own limit with words.
const MAX_HEADERS: usize = 1_000;
const HEADER_BYTES: usize = 64 << 10;
/// For so long after a stop, connections are kept on which a request may be under way; answers close them.
const LINGER: Duration = Duration::from_millis(500);
/// Connections that were half made at a stop are complete after so long.
const HANDSHAKE: Duration = Duration::from_millis(100);
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 129\r\n\r\n\
{\"type\":\"/docs/errors#overloaded\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"too many connections\",\"code\":\"overloaded\"}";

/// Serves connections until the kit's stop token is cancelled, then lets those in progress finish, for as
/// long as config says. Returns how many had to be cut off.
pub async fn serve(listener: TcpListener, routes: Routes, kit: Kit, config: &Config) -> usize {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.http.header_timeout.0)
        .max_headers(MAX_HEADERS)
        .max_buf_size(HEADER_BYTES * 4)
        .half_close(true);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES as u32)
        .max_concurrent_streams(256)
        .keep_alive_interval(Duration::from_secs(20));
    let server = Arc::new(server);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(config.http.max_connections));
    let silence = config.http.header_timeout.0;
    let let_in = |socket: TcpStream, peer: SocketAddr| {
        let Ok(place) = places.clone().try_acquire_owned() else {
            kit.metrics.connections_refused.inc();
            tokio::spawn(refuse(socket));
            return;
        };
        // Answers are small and whole: waiting for more to send only delays them.
        let _ = socket.set_nodelay(true);
        let asked = Arc::new(AtomicBool::new(false));
        let socket = Guarded::new(socket, silence, asked.clone(), kit.stop.clone());
        let service = service(routes.clone(), kit.clone(), peer, asked);
        let connection = server.serve_connection_with_upgrades(TokioIo::new(socket), service).into_owned();
        let connection = graceful.watch(connection);
        let metrics = kit.metrics.clone();
        tokio::spawn(async move {
            metrics.connections.inc();
            // A broken connection is its client's matter.
            if let Err(error) = connection.await {
                tracing::debug!(%error, %peer, "a connection broke");
            }
            metrics.connections.dec();
            drop(place);
        });
    };
    while let Some(accepted) = kit.stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((socket, peer)) => let_in(socket, peer),
            Err(error) => {
                // Out of file descriptors, most likely: those in use come free.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // What the system has let in already it would reset when the listener goes. So those come first, and nobody is let
    // in meanwhile: who asks now asks again after a second, and is told then that nobody listens.
    if let Err(error) = let_nobody_in(&listener) {
        tracing::debug!(%error, "new connections cannot be held back; some may be reset");
    }
    let late = async {
        while let Ok((socket, peer)) = listener.accept().await {
            let_in(socket, peer);
        }
    };
    let _ = tokio::time::timeout(HANDSHAKE, late).await;
    drop(listener);
    let all_gone = places.acquire_many(config.http.max_connections as u32);
    let _ = tokio::time::timeout(LINGER.min(config.http.drain.0 / 2), all_gone).await;
    let drained = tokio::time::timeout(config.http.drain.0, graceful.shutdown()).await;
    if drained.is_err() { config.http.max_connections - places.available_permits() } else { 0 }
}

/// Has the system drop requests for new connections; those that it has begun to make it completes.
#[cfg(target_os = "linux")]
fn let_nobody_in(listener: &TcpListener) -> std::io::Result<()> {
    use socket2::{SockFilter, SockRef};
    // Classic BPF, on the TCP header: SYN without ACK is dropped, all else passes.
    // <https://www.kernel.org/doc/html/latest/networking/filter.html>
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(0x30, 0, 0, FLAGS_AT),  // load the byte of flags
        SockFilter::new(0x54, 0, 0, SYN | ACK), // keep these two
        SockFilter::new(0x15, 0, 1, SYN),       // is it SYN alone?
        SockFilter::new(0x06, 0, 0, 0),         // then drop it
        SockFilter::new(0x06, 0, 0, u32::MAX),  // else let all of it pass
    ])
}

#[cfg(not(target_os = "linux"))]
fn let_nobody_in(_: &TcpListener) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// What answers requests: the direct routes first, then the router.
#[derive(Clone)]
pub struct Routes {
    pub direct: Arc<[Direct]>,
    pub router: Router,
}

fn service(
    routes: Routes,
    kit: Kit,
    peer: SocketAddr,
    asked: Arc<AtomicBool>,
) -> impl hyper::service::Service<
    http::Request<Incoming>,
    Response = axum::response::Response,
    Error = Infallible,
    Future = impl Future<Output = Result<axum::response::Response, Infallible>> + Send,
> + Clone {
    hyper::service::service_fn(move |request: http::Request<Incoming>| {
        asked.store(true, Relaxed);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let stop = kit.stop.clone();
        let is_http1 = request.version() <= http::Version::HTTP_11;
        let answer = match routes.direct.iter().find(|direct| (direct.takes)(&request)) {
            Some(direct) => Either::Left((direct.answer)(kit.clone(), request).map(Ok)),
            None => Either::Right(routes.router.clone().oneshot(request)),
        };
        answer.map(move |answer: Result<axum::response::Response, Infallible>| {
            answer.map(|mut answer| {
                if is_http1 && stop.is_cancelled() && answer.status() != http::StatusCode::SWITCHING_PROTOCOLS
                {
                    let close = http::HeaderValue::from_static("close");
                    answer.headers_mut().insert(http::header::CONNECTION, close);
                }
                answer
            })
        })
    })
}

/// Overload is an answer, within milliseconds.
async fn refuse(mut socket: TcpStream) {
    let answer = async {
        socket.write_all(REFUSAL).await?;
        socket.shutdown().await
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), answer).await;
}
