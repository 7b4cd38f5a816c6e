//! The feed as a WebSocket of its own: text frames out, nothing in.

use crate::{
    api::Place,
    ending::Ending,
    reader::{Reader, Step},
    rendered::Form,
    socket::{Code, Ended, Socket, frames},
};
use angarium_base::Cursor;
use angarium_kit::Kit;
use bytes::Bytes;
use futures_util::FutureExt;
use std::{pin::Pin, time::Duration};
use tokio::time::{Instant, Sleep, sleep, timeout};

/// A quiet connection is shown to be alive this often.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A reader that has not taken in this time what it was given holds on to no more than the rest of a frame.
const STALL: Duration = Duration::from_secs(1);
/// A reader that takes nothing for this long is cut off; it can resume from its cursor.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// A reader that is sent away has so long to take what leads to the goodbye.
const FAREWELL: Duration = Duration::from_secs(30);
/// The close code of a reader that is too slow and asked to be told so; 4000 to 4999 are an application's own.
const TOO_SLOW: Code = Code(4_008);

/// How a feed ends.
enum End {
    /// The reader takes nothing any more.
    Gone,
    /// The reader said goodbye, or something that it must not.
    Left(Ended),
    Stopped,
    TooSlow,
}

pub async fn serve(mut feed: Native, mut ending: Ending, _place: Place) {
    let end = loop {
        match feed.go_on(&mut ending).await {
            Ok(()) => {}
            Err(end) => break end,
        }
    };
    match end {
        End::Gone => {}
        End::Left(ended) => feed.socket.leave(ended).await,
        // The client resumes from its cursor.
        End::Stopped => feed.socket.close(Code::AWAY, "the server is going away").await,
        End::TooSlow => {
            let reason = format!("slow reader: resume from your cursor {}", feed.reader.position().encode());
            feed.socket.close_within(TOO_SLOW, &reason, FAREWELL).await;
        }
    }
}

/// A reader and its socket.
pub struct Native {
    kit: Kit,
    socket: Socket,
    reader: Reader,
    ping: Pin<Box<Sleep>>,
    /// Whether something was written since the last look.
    was_busy: bool,
}

impl Native {
    pub fn new(kit: Kit, socket: Socket, reader: Reader) -> Native {
        Native { kit, socket, reader, ping: Box::pin(sleep(PING_EVERY)), was_busy: false }
    }

    /// Waits for what is next, and sees to it that it goes out.
    async fn go_on(&mut self, ending: &mut Ending) -> Result<(), End> {
        let step = tokio::select! {
            biased;
            ended = listen(&self.socket) => return Err(End::Left(ended)),
            step = ending.step(self.reader.next()) => step.ok_or(End::Stopped)?,
            () = &mut self.ping => {
                self.ping.as_mut().reset(Instant::now() + PING_EVERY);
                if std::mem::take(&mut self.was_busy) {
                    return Ok(());
                }
                return self.send(ending, 0, frames::frame(frames::PING, &[])).await;
            }
        };
        let (n, bytes) = match step {
            Ok(Step::Frames { n, bytes }) => (n, bytes),
            Ok(Step::Gap(gap)) => {
                self.kit.metrics.live_skipped.inc_by(gap.n);
                if self.reader.form() == Form::Document {
                    // Its readers know of documents only, and of none that they were not sent.
                    return Ok(());
                }
                (0, frames::frame(frames::TEXT, gap.text().as_bytes()))
            }
            Ok(Step::TooSlow) => return Err(End::TooSlow),
            Err(error) => {
                tracing::warn!(?error, "a reader of the feed could not be served");
                return Err(End::Stopped);
            }
        };
        self.was_busy = true;
        self.send(ending, n, bytes).await
    }

    /// Sees to it that `n` frames of records go out.
    async fn send(&mut self, ending: &mut Ending, n: u64, bytes: Bytes) -> Result<(), End> {
        self.socket.put(bytes.clone());
        // Most of the time there is room.
        let n = match self.socket.flush().now_or_never() {
            Some(Ok(())) => n,
            Some(Err(_)) => return Err(End::Gone),
            None => Box::pin(self.wait_for_room(ending, n, bytes)).await?,
        };
        self.kit.metrics.live_frames.inc_by(n);
        Ok(())
    }

    /// Waits until `bytes` have gone out; or gives back what the reader does not take, and waits for the rest of a
    /// frame. Returns how many frames went out.
    async fn wait_for_room(&mut self, ending: &mut Ending, mut n: u64, bytes: Bytes) -> Result<u64, End> {
        let (mut bytes, mut left, mut since) = (Some(bytes), self.socket.unwritten(), Instant::now());
        loop {
            tokio::select! {
                ended = listen(&self.socket) => return Err(End::Left(ended)),
                () = ending.over() => return Err(End::Stopped),
                flushed = timeout(STALL, self.socket.flush()) => match flushed {
                    Ok(Ok(())) => return Ok(n),
                    Ok(Err(_)) => return Err(End::Gone),
                    Err(_) => {}
                }
            }
            if let Some(bytes) = bytes.take()
                && let Some(begun) = self.give_back(&bytes)
            {
                n = n.min(begun);
            }
            if self.reader.is_to_go() {
                return Err(End::TooSlow);
            }
            if self.socket.unwritten() < left {
                (left, since) = (self.socket.unwritten(), Instant::now());
            } else if since.elapsed() > PATIENCE {
                return Err(End::Gone);
            }
        }
    }

    /// Takes back the frames that have not begun to go out, but for one: the reader goes back to what follows it.
    /// Returns how many are not taken back.
    fn give_back(&mut self, bytes: &Bytes) -> Option<u64> {
        self.reader.let_go();
        let unwritten = self.socket.unwritten();
        let begun = frames::frame_at(bytes, bytes.len().saturating_sub(unwritten))?;
        if begun.end < bytes.len() {
            self.reader.go_back(&cursor_of(&bytes[begun.payload..begun.end])?);
        }
        self.socket.take_back(unwritten.saturating_sub(bytes.len() - begun.end));
        Some(begun.index + 1)
    }
}

/// Hears out a client that has nothing to say here; pings are answered meanwhile.
async fn listen(socket: &Socket) -> Ended {
    loop {
        if let Err(ended) = socket.read().await {
            return ended;
        }
    }
}

/// Where a reader is after a frame, as the frame says.
fn cursor_of(frame: &[u8]) -> Option<Cursor> {
    const NAME: &[u8] = b"\"cursor\":\"";
    let start = frame.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let text = frame[start..].split(|byte| *byte == b'"').next()?;
    Cursor::decode(std::str::from_utf8(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Gap;

    #[test]
    fn a_frame_says_where_its_reader_is() {
        let frame = br#"{"stream":"events","cursor":"cevents-5-messages-z","at":"x","data":{"cursor":"c"}}"#;
        let mut expected = Cursor::new("events", 5);
        expected.set("messages", 35);
        assert_eq!(cursor_of(frame), Some(expected));
        let (from, cursor) = (Cursor::new("events", 1), Cursor::new("events", 4));
        let gap = Gap { stream: "events".into(), n: 3, from, cursor: cursor.clone() };
        assert_eq!(cursor_of(gap.text().as_bytes()), Some(cursor));
        assert_eq!(cursor_of(b""), None);
    }
}
