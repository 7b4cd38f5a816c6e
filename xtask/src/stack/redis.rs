//! Redis: in memory only, as the live feed needs it.

use super::place::{Place, connect};
use super::{Server, programs};
use std::io::{Read, Write};

pub const SERVER: Server = Server {
    name: "redis",
    title: "Redis",
    stop: "TERM",
    jars: None,
    missing: || programs::missing("redis-server", "Redis", "redis-server"),
    prepare,
    answers,
    product: |port| vec![("ANGARIUM_FEED", address(port))],
    address,
};

fn prepare(_: &Place, port: u16) -> Result<String, String> {
    Ok(format!("exec redis-server --bind 127.0.0.1 --port {port} --save '' --appendonly no"))
}

fn answers(_: &Place, port: u16) -> Result<(), String> {
    ping(port).map_err(|error| format!("PING: {error}"))
}

fn ping(port: u16) -> std::io::Result<()> {
    let mut stream = connect(port)?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    if answer == *b"+PONG\r\n" {
        return Ok(());
    }
    Err(std::io::Error::other(format!("{:?}", String::from_utf8_lossy(&answer))))
}

fn address(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}
