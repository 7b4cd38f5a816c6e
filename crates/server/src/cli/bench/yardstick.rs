//! The yardstick: a bare axum handler that reads the same body and answers 202 with the same words.

use super::{During, Result, child::Child, say};
use axum::{
    Router,
    http::{StatusCode, header},
    serve::ListenerExt,
};
use bytes::Bytes;
use serde_json::json;
use std::io::Read;
use tokio::net::TcpListener;

const ANSWER: &str = "{\"accepted\":1,\"duplicates\":0,\"rejected\":[]}";

/// Starts it as a process of its own.
pub async fn start() -> Result<Child> {
    let phase = "starting the yardstick";
    let mut command = Child::command(phase)?;
    command.args(["bench", "--yardstick-only"]);
    Ok(Child::spawn(command, phase).await?.0)
}

/// Serves until standard input ends, as it does when the process that asked is gone.
pub async fn serve() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&json!({ "url": format!("http://{}", listener.local_addr()?) }).to_string())?;
    // As the product does; a socket that cannot is slower, not wrong.
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    let router = Router::new().fallback(answer);
    tokio::select! {
        served = axum::serve(listener, router) => served.during("yardstick"),
        _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())) => Ok(()),
    }
}

async fn answer(_: Bytes) -> (StatusCode, [(header::HeaderName, &'static str); 1], &'static str) {
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], ANSWER)
}
