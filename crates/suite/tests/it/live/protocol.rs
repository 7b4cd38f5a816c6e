//! Clients that do not keep to the WebSocket protocol, byte by byte.

use angarium_suite::{GUARD, World};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const CENTRIFUGO: &str = "/connection/websocket";

fn feed(world: &World) -> String {
    format!("/v1/apps/{}/live", world.app())
}

/// A WebSocket whose bytes are ours to choose.
async fn open(world: &World, path: &str) -> TcpStream {
    let key = world.secret_key();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut stream = TcpStream::connect(world.url().trim_start_matches("http://")).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it is taken");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).expect("text");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    stream
}

/// A client's frame; masked with zeros, so that it is what it says.
fn said(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).ok().filter(|length| *length < 126).expect("a short one");
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

/// The code of the close frame that comes, after which the connection ends.
async fn close_code(stream: &mut TcpStream) -> u16 {
    let mut heard = Vec::new();
    tokio::time::timeout(GUARD, stream.read_to_end(&mut heard)).await.expect("an end").expect("no reset");
    assert_eq!(heard.first(), Some(&0x88), "{heard:?}");
    assert_eq!(heard.len(), 2 + usize::from(heard[1]), "nothing follows a close frame: {heard:?}");
    heard.get(2..4).map_or(1_005, |code| u16::from_be_bytes([code[0], code[1]]))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_protocol_forbids_ends_the_feed_with_its_code() {
    let world = World::start().await;
    let feed = feed(&world);
    let unmasked = b"\x81\x05hello".to_vec();
    let too_large = [&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1][..], &[b'x'; 1_000]].concat();
    for (what, bytes, code) in [
        ("unmasked", unmasked, 1_002),
        ("a reserved bit", said(0xc1, b"x"), 1_002),
        ("an unknown kind", said(0x83, b"x"), 1_002),
        ("a ping in parts", said(0x09, b"x"), 1_002),
        ("a continuation of nothing", said(0x80, b"x"), 1_002),
        ("a close code that is none", said(0x88, b"\x03\xed"), 1_002),
        ("bad UTF-8", said(0x81, b"\xff\xfe"), 1_007),
        ("too large", too_large, 1_009),
        ("a goodbye", said(0x88, b"\x03\xe8bye"), 1_000),
        ("a goodbye without a reason", said(0x88, b""), 1_005),
    ] {
        for path in [&feed, CENTRIFUGO] {
            let mut stream = open(&world, path).await;
            stream.write_all(&bytes).await.expect("it is taken");
            assert_eq!(close_code(&mut stream).await, code, "{what} at {path}");
        }
    }
    // To some, bytes are no fault of the protocol.
    for (path, code) in [(&*feed, 1_003), (CENTRIFUGO, 3_501)] {
        let mut stream = open(&world, path).await;
        stream.write_all(&said(0x82, b"x")).await.expect("it is taken");
        assert_eq!(close_code(&mut stream).await, code, "binary at {path}");
    }
    assert_eq!(world.open("/health/live").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered_between_the_parts_of_a_message() {
    let world = World::start().await;
    let mut stream = open(&world, &feed(&world)).await;
    let bytes = [said(0x01, b"gr\xc3"), said(0x89, b"there?"), said(0x80, b"\xbcn")].concat();
    for byte in bytes {
        stream.write_all(&[byte]).await.expect("it is taken");
    }
    let mut pong = [0; 8];
    tokio::time::timeout(GUARD, stream.read_exact(&mut pong)).await.expect("a pong").expect("it holds");
    assert_eq!(&pong, b"\x8a\x06there?");
    stream.write_all(&said(0x88, b"\x03\xe9")).await.expect("it is taken");
    assert_eq!(close_code(&mut stream).await, 1_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_none_is_told_what_it_lacks() {
    let world = World::start().await;
    let refused = async |headers: &[(&str, &str)]| {
        let mut request = world.http().get(world.path("/live")).bearer_auth(world.secret_key());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        angarium_suite::caller::read(request).await.expect("an answer")
    };
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    for (headers, said) in [
        (vec![], "text/event-stream"),
        ([&upgrade[..], &[("sec-websocket-version", "8")]].concat(), "version 13"),
        ([&upgrade[..], &[("sec-websocket-version", "13")]].concat(), "Sec-WebSocket-Key"),
    ] {
        let problem = refused(&headers).await;
        assert_eq!((problem.status, &*problem.code()), (415, "unsupported_media_type"));
        assert!(problem.text().contains(said), "{}", problem.text());
    }
}
