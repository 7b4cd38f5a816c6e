//! A client of the protocol that says what it is told to, also what no library would.

use angarium_suite::{GUARD, World};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

pub struct Client {
    socket: WebSocketStream<TcpStream>,
    unread: VecDeque<Value>,
    id: u64,
    /// Pings are not answered.
    pub is_mute: bool,
}

impl Client {
    /// A WebSocket on which nothing was said.
    pub async fn open(world: &World) -> Client {
        Client::open_as(world, None, None).await
    }

    /// One that presents a key in the handshake.
    pub async fn open_with(world: &World, key: &str) -> Client {
        Client::open_as(world, Some(key), None).await
    }

    /// One whose side of the connection holds as little as the system lets it.
    pub async fn open_narrow(world: &World) -> Client {
        Client::open_as(world, None, Some(4_096)).await
    }

    async fn open_as(world: &World, key: Option<&str>, receive_bytes: Option<u32>) -> Client {
        let address = world.url().trim_start_matches("http://").parse().expect("an address and a port");
        let socket = TcpSocket::new_v4().expect("there are sockets");
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes).expect("it can be narrowed");
        }
        let stream = socket.connect(address).await.expect("it listens");
        let url = format!("{}/connection/websocket", world.url()).replacen("http", "ws", 1);
        let mut request = url.into_client_request().expect("a URL");
        if let Some(key) = key {
            let bearer = format!("Bearer {key}").parse().expect("a header");
            request.headers_mut().insert("authorization", bearer);
        }
        let socket = client_async(request, stream).await.expect("a WebSocket").0;
        Client { socket, unread: VecDeque::new(), id: 0, is_mute: false }
    }

    /// One that is known.
    pub async fn connected(world: &World, token: &str) -> Client {
        let mut client = Client::open(world).await;
        let connected = client.call(json!({ "connect": { "token": token } })).await;
        assert!(connected["connect"]["client"].is_string(), "{connected}");
        client
    }

    /// Sends a frame as it is.
    pub async fn say(&mut self, frame: &str) {
        self.socket.send(Message::text(frame)).await.expect("the connection holds");
    }

    /// Sends a command, and waits for its answer; what comes before it is there to be taken still.
    pub async fn call(&mut self, mut command: Value) -> Value {
        self.id += 1;
        command["id"] = json!(self.id);
        self.say(&command.to_string()).await;
        let mut before = VecDeque::new();
        loop {
            let reply = self.next().await.unwrap_or_else(|end| panic!("it was closed: {end:?}"));
            if reply["id"] == self.id {
                before.append(&mut self.unread);
                self.unread = before;
                return reply;
            }
            before.push_back(reply);
        }
    }

    pub async fn subscribe(&mut self, channel: &str) -> Value {
        self.call(json!({ "subscribe": { "channel": channel } })).await["subscribe"].clone()
    }

    pub async fn recover(&mut self, channel: &str, offset: u64, epoch: &Value) -> Value {
        let subscribe = json!({ "channel": channel, "recover": true, "offset": offset, "epoch": epoch });
        self.call(json!({ "subscribe": subscribe })).await["subscribe"].clone()
    }

    /// The code of the error that a command is answered with.
    pub async fn refusal(&mut self, command: Value) -> u64 {
        let reply = self.call(command).await;
        reply["error"]["code"].as_u64().unwrap_or_else(|| panic!("no error: {reply}"))
    }

    /// The next reply or push; the code of the end, when it was closed.
    pub async fn next(&mut self) -> Result<Value, u16> {
        loop {
            if let Some(reply) = self.unread.pop_front() {
                if reply == json!({}) {
                    if !self.is_mute {
                        self.say("{}").await;
                    }
                    continue;
                }
                return Ok(reply);
            }
            let message = tokio::time::timeout(GUARD, self.socket.next()).await.expect("something comes");
            match message.expect("a server says goodbye").expect("the connection holds") {
                Message::Text(text) => {
                    let replies = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
                    self.unread.extend(replies);
                }
                Message::Close(Some(why)) => return Err(why.code.into()),
                other => panic!("an unexpected message: {other:?}"),
            }
        }
    }

    /// The code with which it is closed; what comes before is passed over.
    pub async fn end(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }

    /// The next so many publications.
    pub async fn publications(&mut self, n: usize) -> Vec<Value> {
        let mut publications = Vec::with_capacity(n);
        while publications.len() < n {
            let push = self.next().await.unwrap_or_else(|end| panic!("it was closed: {end}"));
            publications.push(push["push"]["pub"].clone());
        }
        publications
    }
}

/// The offsets of publications.
pub fn offsets(publications: &[Value]) -> Vec<u64> {
    let offset = |publication: &Value| publication["offset"].as_u64().expect("an offset");
    publications.iter().map(offset).collect()
}
