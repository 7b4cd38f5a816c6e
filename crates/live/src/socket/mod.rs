//! The server's side of a WebSocket (RFC 6455), for many that are idle and frames that are made once for all.
//!
//! ```text
//!  upgrade(request) ─▶ 101, and a future of the Socket
//!  Socket   write   frames made elsewhere (`frames::frame`), as they are, written when it returns
//!           put     the same to be written by `flush`
//!           read    the next message; pings are answered meanwhile
//!           close   says why, and waits a moment for the other side
//! ```
//!
//! All methods take `&self`: one task may read and write in a `select!`, or one task may read while another writes. An
//! idle socket has no buffers. What was given to be written and has not gone out yet stays when a call is dropped,
//! and goes out with the next one; so a frame is never cut.

pub mod frames;
mod handshake;

pub use frames::Code;
pub use handshake::{Terms, upgrade};

use bytes::{Buf, Bytes};
use frames::{Ear, Fault, Said};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// As much is read at a time: a client says little.
const READ_BYTES: usize = 2_048;
/// Who is told goodbye may take so long to answer, and say so much in the meantime.
const GOODBYE: Duration = Duration::from_secs(1);
const LAST_WORDS_BYTES: usize = 1 << 20;

pub struct Socket(Mutex<Inner>);

struct Inner {
    io: TokioIo<hyper::upgrade::Upgraded>,
    ear: Ear,
    /// What is to be written; the first one may have gone out in part.
    out: VecDeque<Bytes>,
    /// The answer to the last ping, which waits for a place between frames.
    pong: Option<Bytes>,
    /// Why it is over, once it is.
    ended: Option<Ended>,
}

/// Why there is nothing more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client said goodbye, with this code.
    Closed(Code),
    /// The client did not keep to the protocol, and is to be told with this code.
    Fault(Code, &'static str),
    /// The connection broke, or ended without a goodbye.
    Broken,
}

impl Socket {
    fn new(upgraded: hyper::upgrade::Upgraded, terms: Terms) -> Socket {
        Socket(Mutex::new(Inner {
            io: TokioIo::new(upgraded),
            ear: Ear::new(terms.most_bytes, terms.takes_binary),
            out: VecDeque::new(),
            pong: None,
            ended: None,
        }))
    }

    /// The next message of the client's. Cancel-safe. Whoever is told that it has ended calls [`Socket::leave`].
    ///
    /// # Errors
    /// Why there is no more; the same each time.
    pub async fn read(&self) -> Result<Bytes, Ended> {
        poll_fn(|cx| self.0.lock().poll_read(cx)).await
    }

    /// Writes whole frames as they are.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn write(&self, frames: Bytes) -> io::Result<()> {
        self.put(frames);
        self.flush().await
    }

    /// Whole frames to be written by [`Socket::flush`], behind those that wait already. For who wants to look after
    /// what waits; it is not bounded here.
    pub fn put(&self, frames: Bytes) {
        if !frames.is_empty() {
            self.0.lock().out.push_back(frames);
        }
    }

    /// Writes what waits. Cancel-safe: the next call goes on.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn flush(&self) -> io::Result<()> {
        poll_fn(|cx| self.0.lock().poll_out(cx)).await
    }

    /// How many bytes wait to be written.
    pub fn unwritten(&self) -> usize {
        self.0.lock().out.iter().map(Bytes::len).sum()
    }

    /// Takes back what waits, but for the first `kept` bytes, which no longer hold on to the rest. They are to be the
    /// end of a frame, or frames.
    pub fn take_back(&self, kept: usize) {
        let mut inner = self.0.lock();
        let mut left = Vec::with_capacity(kept);
        for bytes in inner.out.drain(..) {
            left.extend_from_slice(&bytes[..bytes.len().min(kept - left.len())]);
        }
        if !left.is_empty() {
            inner.out.push_back(left.into());
        }
    }

    /// Says goodbye, gives the client a moment to read it and to answer, and ends the connection.
    pub async fn close(&self, code: Code, reason: &str) {
        self.close_within(code, reason, GOODBYE).await;
    }

    /// The same, and waits so long until the goodbye could be written.
    pub async fn close_within(&self, code: Code, reason: &str, patience: Duration) {
        self.put(frames::close(code, reason));
        if let Ok(Ok(())) = tokio::time::timeout(patience, self.flush()).await {
            let _ = tokio::time::timeout(GOODBYE, self.hang_up()).await;
        }
    }

    /// Does what is to be done when [`Socket::read`] has ended: answers the goodbye, or says what was wrong.
    pub async fn leave(&self, ended: Ended) {
        match ended {
            Ended::Closed(code) => self.close(code, "").await,
            Ended::Fault(code, reason) => self.close(code, reason).await,
            Ended::Broken => {}
        }
    }

    /// Ends our side, and reads what the other side still says: with something unread, the connection would be reset,
    /// and our last words might be lost.
    async fn hang_up(&self) {
        if poll_fn(|cx| Pin::new(&mut self.0.lock().io).poll_shutdown(cx)).await.is_err() {
            return;
        }
        let mut heard = 0;
        while heard < LAST_WORDS_BYTES {
            let read = poll_fn(|cx| {
                let mut room = [0; READ_BYTES];
                let mut buffer = ReadBuf::new(&mut room);
                let read = Pin::new(&mut self.0.lock().io).poll_read(cx, &mut buffer);
                read.map_ok(|()| buffer.filled().len())
            });
            match read.await {
                Ok(0) | Err(_) => return,
                Ok(n) => heard += n,
            }
        }
    }
}

impl Inner {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Ended>> {
        loop {
            if let Some(ended) = self.ended {
                return Poll::Ready(Err(ended));
            }
            match self.ear.next() {
                Ok(Some(Said::Text(text))) => return Poll::Ready(Ok(text.into())),
                Ok(Some(Said::Binary(bytes))) => return Poll::Ready(Ok(bytes.into())),
                Ok(Some(Said::Ping(payload))) => self.pong = Some(frames::frame(frames::PONG, &payload)),
                Ok(Some(Said::Pong)) => {}
                Ok(Some(Said::Close(code))) => self.ended = Some(Ended::Closed(code)),
                Err(Fault(code, reason)) => self.ended = Some(Ended::Fault(code, reason)),
                Ok(None) => {
                    self.answer_ping(cx);
                    ready!(self.poll_hear(cx));
                }
            }
        }
    }

    /// Writes a pong if nobody else is writing; who is will write it then.
    fn answer_ping(&mut self, cx: &mut Context<'_>) {
        if self.pong.is_some() && self.out.is_empty() && matches!(self.poll_out(cx), Poll::Ready(Err(_))) {
            self.ended = Some(Ended::Broken);
        }
    }

    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut room);
        match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => self.ear.hear(buffer.filled()),
            Ok(()) | Err(_) => self.ended = Some(Ended::Broken),
        }
        Poll::Ready(())
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.out.is_empty()
                && let Some(pong) = self.pong.take()
            {
                self.out.push_back(pong);
            }
            let Some(first) = self.out.front_mut() else { break };
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, first))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            first.advance(written);
            if first.is_empty() {
                self.out.pop_front();
            }
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }
}
