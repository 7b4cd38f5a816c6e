//! Connections: accepted up to a number, served until they end or the server drains.

use crate::{
    guarded::{Guarded, WRITE_STALL},
    tls::Tls,
};
use angarium_kit::{
    Direct, Kit,
    http::{Patience, Peer},
};
use axum::{Router, body::Body};
use futures_util::{FutureExt as _, future::Either};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

angarium_base::codes! {
    /// This port speaks TLS, and the request came without. Write `https://` in the URL.
    HTTPS_REQUIRED = "https_required": Malformed;
}

/// Headers of a request up to which hyper reads them; the layer refuses more than its own limit with words.
const MAX_HEADERS: usize = 1_000;
const HEADER_BYTES: usize = 64 << 10;
/// For so long after a stop, connections are kept on which a request may be under way; answers close them.
const LINGER: Duration = Duration::from_millis(500);
/// Connections that were half made at a stop are complete after so long.
const HANDSHAKE: Duration = Duration::from_millis(100);
/// The first byte of whoever speaks TLS: a record with a handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// As much of a request to the wrong scheme is read, so that its client gets to read the answer.
const UNREAD_BYTES: u64 = 64 << 10;
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 129\r\n\r\n\
{\"type\":\"/docs/errors#overloaded\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"too many connections\",\"code\":\"overloaded\"}";

/// A listener, what is behind it, and what it bears.
pub struct Door {
    pub listener: TcpListener,
    pub routes: Routes,
    /// Without it, plain HTTP is spoken.
    pub tls: Option<Arc<Tls>>,
    pub max_connections: usize,
    pub header_timeout: Duration,
    pub drain: Duration,
    /// Cancelled when it is to stop.
    pub stop: CancellationToken,
}

/// Serves connections until the door's stop token is cancelled, then lets those in progress finish, for as
/// long as the door says. Returns how many had to be cut off.
pub async fn serve(door: Door, kit: Kit) -> usize {
    let Door { listener, routes, tls, max_connections, header_timeout, drain, stop } = door;
    let host = Arc::new(Host {
        server: http_server(header_timeout),
        routes,
        silence: header_timeout,
        stop,
        hurry: CancellationToken::new(),
        kit,
    });
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(max_connections));
    let let_in = |socket: TcpStream, peer: SocketAddr| {
        let Ok(place) = places.clone().try_acquire_owned() else {
            host.kit.metrics.connections_refused.inc();
            // Who speaks TLS would not understand the words, and a handshake is no answer within milliseconds.
            if tls.is_none() {
                tokio::spawn(refuse(socket));
            }
            return;
        };
        // Answers are small and whole: waiting for more to send only delays them.
        let _ = socket.set_nodelay(true);
        bound_unsent(&socket);
        let guest = Guest { host: host.clone(), peer, watcher: graceful.watcher(), place };
        match &tls {
            None => drop(tokio::spawn(guest.attend(socket))),
            Some(tls) => drop(tokio::spawn(guest.attend_by_tls(socket, tls.acceptor()))),
        }
    };
    while let Some(accepted) = host.stop.run_until_cancelled(listener.accept()).await {
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
    let all_gone = places.acquire_many(max_connections as u32);
    let _ = tokio::time::timeout(LINGER.min(drain / 2), all_gone).await;
    host.hurry.cancel();
    let drained = tokio::time::timeout(drain, graceful.shutdown()).await;
    if drained.is_err() { max_connections - places.available_permits() } else { 0 }
}

fn http_server(header_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(HEADER_BYTES * 4)
        .half_close(true);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES as u32)
        .max_concurrent_streams(256)
        .keep_alive_interval(Duration::from_secs(20));
    server
}

/// What the connections of a door share.
struct Host {
    server: auto::Builder<TokioExecutor>,
    routes: Routes,
    /// How long a connection may be without a first request.
    silence: Duration,
    stop: CancellationToken,
    /// Cancelled when who has not finished a handshake need not go on.
    hurry: CancellationToken,
    kit: Kit,
}

/// One connection, with its place.
struct Guest {
    host: Arc<Host>,
    peer: SocketAddr,
    watcher: Watcher,
    place: OwnedSemaphorePermit,
}

impl Guest {
    async fn attend(self, socket: TcpStream) {
        let asked = Arc::new(AtomicBool::new(false));
        let patience = Patience::new(WRITE_STALL);
        let Host { silence, stop, .. } = &*self.host;
        let socket = Guarded::new(socket, *silence, asked.clone(), patience.clone(), stop.clone());
        self.converse(socket, asked, patience).await;
    }

    /// The same after a handshake, which is this connection's matter: however slow it is, nobody waits for it.
    async fn attend_by_tls(self, socket: TcpStream, acceptor: TlsAcceptor) {
        let Host { silence, stop, hurry, .. } = &*self.host;
        let asked = Arc::new(AtomicBool::new(false));
        let patience = Patience::new(WRITE_STALL);
        let handshake = async {
            let mut first = [0];
            socket.peek(&mut first).await?;
            if first[0] != TLS_HANDSHAKE {
                tell_to_use_tls(socket, first[0]).await;
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not the beginning of TLS"));
            }
            let guarded = Guarded::new(socket, *silence, asked.clone(), patience.clone(), stop.clone());
            acceptor.accept(guarded).await
        };
        match tokio::time::timeout(*silence, hurry.run_until_cancelled(handshake)).await {
            Ok(Some(Ok(stream))) => self.converse(stream, asked, patience.clone()).await,
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, peer = %self.peer, "a connection did not come to TLS");
            }
            Ok(None) | Err(_) => tracing::debug!(peer = %self.peer, "a handshake was cut off"),
        }
    }

    /// Answers requests until the connection ends.
    async fn converse(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        asked: Arc<AtomicBool>,
        patience: Patience,
    ) {
        let Guest { host, peer, watcher, place } = self;
        let service =
            service(host.routes.clone(), host.kit.clone(), host.stop.clone(), (peer, patience), asked);
        let connection =
            host.server.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        host.kit.metrics.connections.inc();
        // A broken connection is its client's matter.
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, %peer, "a connection broke");
        }
        host.kit.metrics.connections.dec();
        drop(place);
    }
}

/// Bytes that the system keeps of what has not even been sent yet. What is under way is not bounded by it, so nobody
/// becomes slower; but who does not read does not fill some megabytes of the system's memory.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 << 10;

#[cfg(target_os = "linux")]
fn bound_unsent(socket: &TcpStream) {
    // Without it, it only costs more memory.
    let _ = socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES);
}

#[cfg(not(target_os = "linux"))]
fn bound_unsent(_: &TcpStream) {}

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
    stop: CancellationToken,
    (peer, patience): (SocketAddr, Patience),
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
        request.extensions_mut().insert(patience.clone());
        let stop = stop.clone();
        let is_http1 = request.version() <= http::Version::HTTP_11;
        let may_leave_a_body = is_http1 && has_long_body(request.headers());
        let answer = match routes.direct.iter().find(|direct| (direct.takes)(&request)) {
            Some(direct) => Either::Left((direct.answer)(kit.clone(), request).map(Ok)),
            None => Either::Right(routes.router.clone().oneshot(request)),
        };
        answer.map(move |answer: Result<axum::response::Response, Infallible>| {
            answer.map(|mut answer| {
                // Who is refused before the body was read finds the connection closed, and is to know it.
                let is_cut = may_leave_a_body && answer.status().as_u16() >= 400;
                if is_cut
                    || is_http1
                        && stop.is_cancelled()
                        && answer.status() != http::StatusCode::SWITCHING_PROTOCOLS
                {
                    let close = http::HeaderValue::from_static("close");
                    answer.headers_mut().insert(http::header::CONNECTION, close);
                }
                answer
            })
        })
    })
}

/// Bodies up to this are in the first packets, and read with the head.
const SHORT_BODY: u64 = 8 << 10;

/// Whether a refusal may come before the body does.
fn has_long_body(headers: &http::HeaderMap) -> bool {
    let announced =
        headers.get(http::header::CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<u64>().ok());
    announced.map_or(headers.contains_key(http::header::TRANSFER_ENCODING), |n| n > SHORT_BODY)
}

/// Overload is an answer, within milliseconds.
async fn refuse(mut socket: TcpStream) {
    let answer = async {
        socket.write_all(REFUSAL).await?;
        socket.shutdown().await
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), answer).await;
}

/// Who speaks HTTP to a port with TLS is told so; who speaks something else would not understand.
async fn tell_to_use_tls(mut socket: TcpStream, first: u8) {
    if !first.is_ascii_uppercase() {
        return;
    }
    let (code, status) = (HTTPS_REQUIRED.name, HTTPS_REQUIRED.kind.status());
    let problem = format!(
        "{{\"type\":\"/docs/errors#{code}\",\"title\":\"Bad Request\",\"status\":{status},\
         \"detail\":\"this port speaks TLS: use https:// instead of http://\",\"code\":\"{code}\"}}"
    );
    let length = problem.len();
    let answer = format!(
        "HTTP/1.1 {status} Bad Request\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{problem}"
    );
    let told = async {
        socket.write_all(answer.as_bytes()).await?;
        socket.shutdown().await?;
        // Closed with something unread, the connection would be reset and the answer lost.
        tokio::io::copy(&mut socket.take(UNREAD_BYTES), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
}
