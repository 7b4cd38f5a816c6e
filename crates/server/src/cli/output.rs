//! Where a command's results go: standard output, which may be a pipe that fills up or closes.
//!
//! A thread of its own writes, so that a full pipe holds up neither Ctrl-C nor the end of the process.

use std::{
    io::{self, Write},
    thread,
};
use tokio::sync::{mpsc, oneshot};

/// What became of a piece of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipe {
    /// It was written and flushed.
    Took,
    /// The reader is gone, which is how `| head` ends a command: no failure.
    Closed,
}

type Piece = (Vec<u8>, oneshot::Sender<io::Result<()>>);

/// Standard output, or what a test puts in its place.
pub struct Output {
    pieces: mpsc::Sender<Piece>,
}

impl Output {
    pub fn stdout() -> Output {
        Output::to(io::stdout())
    }

    pub fn to(mut writer: impl Write + Send + 'static) -> Output {
        let (pieces, mut queue) = mpsc::channel::<Piece>(1);
        thread::spawn(move || {
            while let Some((bytes, done)) = queue.blocking_recv() {
                let written = writer.write_all(&bytes).and_then(|()| writer.flush());
                // Nobody waits any more when the command was interrupted.
                let _ = done.send(written);
            }
        });
        Output { pieces }
    }

    /// Writes and flushes; returns when the other side took the bytes. Not cancel-safe: a dropped call may
    /// still write.
    pub async fn write(&self, bytes: Vec<u8>) -> io::Result<Pipe> {
        let (done, written) = oneshot::channel();
        let stopped = || io::Error::other("the output thread stopped");
        self.pieces.send((bytes, done)).await.map_err(|_| stopped())?;
        match written.await.map_err(|_| stopped())? {
            Ok(()) => Ok(Pipe::Took),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Pipe::Closed),
            Err(error) => Err(error),
        }
    }
}

/// Prints a command's last word. A reader that has left does not want to know.
pub fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Prints a command's result as JSON, or as text for people.
pub fn say_as<T: serde::Serialize>(json: bool, value: &T, text: impl FnOnce(&T) -> String) -> io::Result<()> {
    match json {
        true => say(&serde_json::to_string(value)?),
        false => say(&text(value)),
    }
}

/// Tells a person something on the side; never fails a command.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Completes at Ctrl-C. Where signals cannot be had, the system's default ends the process instead.
pub async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
