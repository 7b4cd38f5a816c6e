//! A socket that does not wait for ever: not for a first request, and not for a reader that takes nothing.
//!
//! hyper bounds the time of a request's headers once they have begun, and the body's time is bounded where
//! it is read. What is left is who connects and asks nothing, who asks and does not read the answer, and who leaves in
//! the middle of one that has no end.

use angarium_kit::http::Patience;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Who takes nothing for this long is cut off, if the route has not asked for more patience.
pub const WRITE_STALL: Duration = Duration::from_secs(30);
/// The same while the server stops.
const WRITE_STALL_STOPPING: Duration = Duration::from_secs(1);

pub struct Guarded {
    socket: TcpStream,
    /// Runs until there was a request.
    silence: Option<Pin<Box<Sleep>>>,
    asked: Arc<AtomicBool>,
    /// Runs while the other side takes nothing.
    stall: Option<Stall>,
    patience: Patience,
    stop: CancellationToken,
}

struct Stall {
    timer: Pin<Box<Sleep>>,
    /// `None` once the server stops: then the timer is the short one.
    stopping: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Guarded {
    /// `asked` is set by whoever gets the first request; it must come within `silence`.
    pub fn new(
        socket: TcpStream,
        silence: Duration,
        asked: Arc<AtomicBool>,
        patience: Patience,
        stop: CancellationToken,
    ) -> Guarded {
        Guarded { socket, silence: Some(Box::pin(sleep(silence))), asked, stall: None, patience, stop }
    }

    /// What to make of a write that came to `written`.
    fn after_write<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        if self.has_gone(cx) {
            return Poll::Ready(Err(gone()));
        }
        let (stop, patience) = (&self.stop, &self.patience);
        let stall = self.stall.get_or_insert_with(|| Stall {
            timer: Box::pin(sleep(patience.get())),
            stopping: Some(Box::pin(stop.clone().cancelled_owned())),
        });
        if stall.stopping.as_mut().is_some_and(|stopping| stopping.as_mut().poll(cx).is_ready()) {
            stall.stopping = None;
            stall.timer.as_mut().reset(Instant::now() + WRITE_STALL_STOPPING);
        }
        ready!(stall.timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side takes nothing")))
    }
}

impl Guarded {
    /// Whether the other side will say nothing more, where that means that it has gone; wakes the task when it comes. What
    /// it has said is left unread, by those too who come later.
    fn has_gone(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.patience.ends_with_speech() {
            return false;
        }
        loop {
            if self.socket.poll_read_ready(cx).is_pending() {
                return false;
            }
            // Says that it would have to wait, and so is woken by the next event only.
            let looked = self.socket.try_io(Interest::READABLE, || match speaks_no_more(&self.socket) {
                true => Ok(()),
                false => Err(io::ErrorKind::WouldBlock.into()),
            });
            if !looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return true;
            }
        }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the other side has gone")
}

/// Whether the other side has closed its direction, whatever of it is unread.
#[cfg(target_os = "linux")]
fn speaks_no_more(socket: &TcpStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled = [PollFd::new(socket, PollFlags::RDHUP)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|events| events > 0)
}

/// The same where the system does not say so: when nothing is unread.
#[cfg(not(target_os = "linux"))]
fn speaks_no_more(socket: &TcpStream) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let peeked = socket2::SockRef::from(socket).peek(&mut byte);
    !matches!(peeked, Ok(1)) && !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.socket).poll_read(cx, buf);
        if let (Poll::Pending, Some(silence)) = (&read, &mut this.silence) {
            if this.asked.load(Relaxed) {
                this.silence = None;
            } else {
                ready!(silence.as_mut().poll(cx));
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the other side asks nothing",
                )));
            }
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.after_write(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(cx, bufs);
        this.after_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.socket).poll_flush(cx);
        ready!(this.after_write(flushed, cx))?;
        // hyper does not read while it answers, but flushes whenever it is woken.
        if this.has_gone(cx) {
            return Poll::Ready(Err(gone()));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
