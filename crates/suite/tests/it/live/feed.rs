//! A reader of the live feed, by WebSocket or by SSE, that takes what comes as it is.

use angarium_suite::{GUARD, World};
use futures_util::StreamExt;
use reqwest::header::ACCEPT;
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    WebSocket,
    Sse,
}

pub const WAYS: [Way; 2] = [Way::WebSocket, Way::Sse];

pub enum Feed {
    WebSocket(Box<WebSocketStream<TcpStream>>),
    Sse { response: reqwest::Response, unread: Vec<u8> },
}

impl Feed {
    /// Opens the feed; what becomes durable from now on comes. `query` is what follows the question mark.
    pub async fn open(world: &World, way: Way, query: &str) -> Feed {
        match way {
            Way::WebSocket => Feed::WebSocket(Box::new(socket(world, query, None).await)),
            Way::Sse => Feed::sse(world, query, None).await,
        }
    }

    /// Goes on behind a cursor: a WebSocket in the query, SSE as a browser's EventSource does.
    pub async fn resume(world: &World, way: Way, cursor: &str) -> Feed {
        match way {
            Way::WebSocket => Feed::open(world, way, &format!("after={cursor}")).await,
            Way::Sse => Feed::sse(world, "", Some(cursor)).await,
        }
    }

    /// A WebSocket whose reader's side of the connection holds as little as the system lets it.
    pub async fn open_narrow(world: &World, query: &str) -> Feed {
        Feed::WebSocket(Box::new(socket(world, query, Some(4_096)).await))
    }

    async fn sse(world: &World, query: &str, last_event_id: Option<&str>) -> Feed {
        let url = world.path(&format!("/live?{query}"));
        // The answer has no end; what is waited for is each frame.
        let request = world.http().get(url).timeout(GUARD * 60);
        let mut request = request.bearer_auth(world.secret_key()).header(ACCEPT, "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Feed::Sse { response, unread: Vec::new() }
    }

    /// The next frame; `None` when the server ended the feed as it should.
    ///
    /// # Panics
    /// When nothing comes, or the connection breaks.
    pub async fn next(&mut self) -> Option<Value> {
        let next = async {
            match self {
                Feed::WebSocket(socket) => next_message(socket).await,
                Feed::Sse { response, unread } => next_event(response, unread).await,
            }
        };
        tokio::time::timeout(GUARD, next).await.expect("something comes")
    }

    /// The next so many frames.
    pub async fn take(&mut self, n: usize) -> Vec<Value> {
        let mut frames = Vec::with_capacity(n);
        for _ in 0..n {
            frames.push(self.next().await.expect("the feed goes on"));
        }
        frames
    }
}

async fn socket(world: &World, query: &str, receive_bytes: Option<u32>) -> WebSocketStream<TcpStream> {
    let url = world.path(&format!("/live?{query}"));
    let address = world.url().trim_start_matches("http://").parse().expect("an address and a port");
    let socket = TcpSocket::new_v4().expect("there are sockets");
    if let Some(bytes) = receive_bytes {
        socket.set_recv_buffer_size(bytes).expect("it can be narrowed");
    }
    let stream = socket.connect(address).await.expect("it listens");
    let mut request = url.replacen("http", "ws", 1).into_client_request().expect("a URL");
    let key = format!("Bearer {}", world.secret_key()).parse().expect("a header");
    request.headers_mut().insert("authorization", key);
    client_async(request, stream).await.expect("a WebSocket").0
}

async fn next_message(socket: &mut WebSocketStream<TcpStream>) -> Option<Value> {
    loop {
        match socket.next().await.expect("a server says goodbye").expect("the connection holds") {
            Message::Text(text) => return Some(serde_json::from_str(&text).expect("JSON")),
            Message::Ping(_) => {}
            Message::Close(Some(why)) => {
                assert_eq!(u16::from(why.code), 1001, "{why}");
                return None;
            }
            other => panic!("an unexpected message: {other:?}"),
        }
    }
}

async fn next_event(response: &mut reqwest::Response, unread: &mut Vec<u8>) -> Option<Value> {
    loop {
        while let Some(end) = unread.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = unread.drain(..end + 2).collect();
            if let Some(frame) = read_event(std::str::from_utf8(&event).expect("UTF-8")) {
                return Some(frame);
            }
        }
        unread.extend_from_slice(&response.chunk().await.expect("the connection holds")?);
    }
}

/// The frame of an event; `None` for one that only says where the feed is.
fn read_event(event: &str) -> Option<Value> {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
    let frame: Value = serde_json::from_str(field("data: ")?).expect("JSON");
    assert_eq!(field("id: "), frame["cursor"].as_str(), "an event's id is its cursor: {event}");
    assert_eq!(field("event: ") == Some("gap"), frame["gap"].is_u64(), "{event}");
    Some(frame)
}
