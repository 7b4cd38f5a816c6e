//! A connection without a client: what is sent, and when, is up to the test.

use angarium_suite::{GUARD, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A connection to the server, without TLS whatever its URL says.
pub async fn connect(world: &World) -> TcpStream {
    let url = world.url();
    let address = url.rsplit('/').next().expect("a URL has an address");
    TcpStream::connect(address).await.expect("the server takes connections")
}

pub struct Wire(TcpStream);

impl Wire {
    pub async fn open(world: &World) -> Wire {
        Wire(connect(world).await)
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("the server reads");
        self.0.flush().await.expect("the server reads");
    }

    /// What comes next; empty when the server closed the connection.
    pub async fn some(&mut self) -> String {
        let mut bytes = vec![0; 64 << 10];
        let read = timeout(GUARD, self.0.read(&mut bytes)).await.expect("the server answers");
        bytes.truncate(read.unwrap_or_default());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Everything until the server closes the connection.
    pub async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let read =
            timeout(GUARD, self.0.read_to_end(&mut bytes)).await.expect("the server closes the connection");
        // A reset after the answer is as good an end as any.
        let _ = read;
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
