//! The connection under a session: frames in and out, and how it is closed. All that knows what a WebSocket is made of.

use super::{codes::Disconnect, wire::Encoding};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::timeout;

/// A reader that takes nothing for this long is cut off; it recovers from the stream when it is back.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

pub struct Socket {
    inner: WebSocket,
    encoding: Encoding,
}

/// The connection is gone, or as good as gone.
#[derive(Debug)]
pub struct Gone;

impl Socket {
    pub fn new(inner: WebSocket, encoding: Encoding) -> Socket {
        Socket { inner, encoding }
    }

    /// The next frame of the client's. Cancel-safe.
    pub async fn read(&mut self) -> Result<Bytes, Gone> {
        loop {
            match self.inner.recv().await {
                Some(Ok(Message::Text(text))) => return Ok(text.into()),
                Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
            }
        }
    }

    pub async fn write(&mut self, frame: Vec<u8>) -> Result<(), Gone> {
        let frame = Bytes::from(frame);
        let message = match self.encoding {
            Encoding::Json => Message::Text(Utf8Bytes::try_from(frame).map_err(|_| Gone)?),
            Encoding::Protobuf => Message::Binary(frame),
        };
        match timeout(WRITE_TIMEOUT, self.inner.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    /// Says why, and ends it.
    pub async fn close(mut self, why: Disconnect) {
        let frame = CloseFrame { code: why.code, reason: Utf8Bytes::from_static(why.reason) };
        let farewell = async {
            self.inner.send(Message::Close(Some(frame))).await.ok()?;
            // The client answers; who would close at once may take the reason away from it.
            while self.inner.recv().await?.is_ok() {}
            Some(())
        };
        let _ = timeout(FAREWELL, farewell).await;
    }
}
