//! The connection under a session: what is said in frames, for so long as the client takes it, and how it is closed.

use super::{codes::Disconnect, wire::Encoding};
use crate::socket::{self, Code, Ended, frames};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::timeout;

/// A reader that takes nothing for this long is cut off; it recovers from the stream when it is back.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Socket {
    inner: socket::Socket,
    encoding: Encoding,
}

/// The connection is gone, or as good as gone.
#[derive(Debug)]
pub struct Gone;

impl Socket {
    pub fn new(inner: socket::Socket, encoding: Encoding) -> Socket {
        Socket { inner, encoding }
    }

    /// The next frame of the client's. Cancel-safe.
    ///
    /// # Errors
    /// Why there is no more, for [`Socket::leave`].
    pub async fn read(&self) -> Result<Bytes, Ended> {
        self.inner.read().await
    }

    pub async fn write(&self, said: Vec<u8>) -> Result<(), Gone> {
        let opcode = match self.encoding {
            Encoding::Json => frames::TEXT,
            Encoding::Protobuf => frames::BINARY,
        };
        match timeout(WRITE_TIMEOUT, self.inner.write(frames::frame(opcode, &said))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    /// Says why, and ends it.
    pub async fn close(&self, why: Disconnect) {
        self.inner.close(Code(why.code), why.reason).await;
    }

    /// Answers a client's goodbye, or says what it must not.
    pub async fn leave(&self, ended: Ended) {
        self.inner.leave(ended).await;
    }
}
