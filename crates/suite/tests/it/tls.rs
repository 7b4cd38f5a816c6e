//! TLS: all that works without it works with it, and a new certificate is taken over while nobody notices.

use crate::{
    operations::{metric, no_more_connections},
    wire::{Wire, connect},
};
use angarium_suite::{
    Authority, GUARD, Pair, Setup, World, angarium, caller::client_with, embedded_only, eventually, run,
    tls_client,
};
use futures_util::{StreamExt, future::join_all};
use reqwest::{Version, header::ACCEPT};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

const EVENT: &str = r#"{"type":"tls","params":{"n":1}}"#;
const VERSIONS: [(&str, Version); 2] = [("h2", Version::HTTP_2), ("http/1.1", Version::HTTP_11)];

/// An authority, and a folder with what a server needs of it.
struct Secured {
    authority: Authority,
    folder: TempDir,
}

impl Secured {
    fn new() -> Secured {
        let folder = tempfile::tempdir().expect("temporary folders can be made");
        let authority = Authority::new();
        authority.server().write(folder.path());
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("it can be written");
        Secured { authority, folder }
    }

    /// A server with the pair in the folder; `http` is what else stands in the sections `[http]` and `[http.tls]`.
    fn setup(&self, http: &str, tls: &str) -> Setup {
        let folder = self.folder.path().display();
        Setup {
            config: format!(
                "[http]\n{http}\n[http.tls]\ncertificate = \"{folder}/cert.pem\"\nkey = \"{folder}/key.pem\"\n{tls}"
            ),
            ca: self.authority.pem().to_owned(),
            ..embedded_only("the listener is the same on every engine")
        }
    }

    async fn world(&self) -> World {
        World::start_as(self.setup("", "")).await
    }

    /// A connection on which TLS is spoken, with one of these protocols.
    async fn stream(&self, world: &World, protocols: &[&str]) -> TlsStream<TcpStream> {
        let config = tls_client(self.authority.pem(), None, protocols);
        let name = "127.0.0.1".try_into().expect("an address is a name");
        let shaken = TlsConnector::from(Arc::new(config)).connect(name, connect(world).await).await;
        shaken.expect("the server shows a certificate of the authority")
    }

    /// Whether this is the certificate that the server shows.
    async fn is_shown(&self, world: &World, pair: &Pair) -> bool {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let stream = self.stream(world, &[]).await;
        let shown = stream.get_ref().1.peer_certificates().expect("a server shows its certificate");
        shown[0] == CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM")
    }

    async fn web_socket(&self, world: &World) -> WebSocketStream<TlsStream<TcpStream>> {
        let url = world.path("/live").replacen("http", "ws", 1);
        let mut request = url.into_client_request().expect("a URL");
        let key = format!("Bearer {}", world.secret_key()).parse().expect("a header");
        request.headers_mut().insert("authorization", key);
        let stream = self.stream(world, &["http/1.1"]).await;
        client_async(request, stream).await.expect("a WebSocket").0
    }
}

async fn sse(world: &World, http: &reqwest::Client) -> reqwest::Response {
    let request = http.get(world.path("/live")).bearer_auth(world.secret_key());
    let response = request.header(ACCEPT, "text/event-stream").send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    response
}

/// Reads a feed until this text has come.
async fn comes(text: &str, mut next: impl AsyncFnMut() -> String) {
    let reading = async {
        let mut all = String::new();
        while !all.contains(text) {
            all += &next().await;
        }
    };
    tokio::time::timeout(GUARD, reading).await.expect("it comes");
}

#[tokio::test]
async fn events_and_the_live_feed_work_over_https() {
    let secured = Secured::new();
    let world = secured.world().await;
    assert!(world.url().starts_with("https://"), "{}", world.url());
    let mut socket = secured.web_socket(&world).await;
    for (protocol, version) in VERSIONS {
        let http = client_with(tls_client(secured.authority.pem(), None, &[protocol]));
        let mut feed = sse(&world, &http).await;
        assert_eq!(feed.version(), version);
        let marker = format!("by-{}", protocol.replace(['/', '.'], "-"));
        let event = json!({"type": marker, "params": {}}).to_string();
        let sent = world.caller().by(http).try_post("/events", "application/json", event).await;
        assert_eq!(sent.expect("an answer").status, 202);
        comes(&marker, async || {
            let chunk = feed.chunk().await.expect("the feed goes on").expect("the feed goes on");
            String::from_utf8_lossy(&chunk).into_owned()
        })
        .await;
        comes(&marker, async || match socket.next().await.expect("it goes on").expect("it holds") {
            Message::Text(text) => text.as_str().to_owned(),
            _ => String::new(),
        })
        .await;
    }
    assert_eq!(world.all_events().await.len(), VERSIONS.len());
}

#[tokio::test]
async fn a_new_certificate_is_taken_over_without_a_dropped_request() {
    let secured = Secured::new();
    let world = secured.world().await;
    let done = Arc::new(AtomicBool::new(false));
    // Some keep their connections, some shake hands for each request.
    let writers = (0..4).map(|n| {
        let pooled = client_with(tls_client(secured.authority.pem(), None, &[VERSIONS[n % 2].0]));
        let (ca, caller, done) = (secured.authority.pem().to_owned(), world.caller(), done.clone());
        tokio::spawn(async move {
            let mut accepted = 0;
            while !done.load(Relaxed) {
                let http = if n < 2 { pooled.clone() } else { client_with(tls_client(&ca, None, &[])) };
                let sent = caller.by(http).try_post("/events", "application/json", EVENT).await;
                assert_eq!(sent.expect("no request is dropped").status, 202);
                accepted += 1;
            }
            accepted
        })
    });
    let writers: Vec<_> = writers.collect();
    for year in [3_000, 3_001] {
        let new = secured.authority.server_until(year);
        assert!(!secured.is_shown(&world, &new).await);
        new.write(secured.folder.path());
        eventually("the new certificate is shown", async || {
            secured.is_shown(&world, &new).await.then_some(())
        })
        .await;
    }
    done.store(true, Relaxed);
    let accepted: usize = join_all(writers).await.into_iter().map(|n| n.expect("no writer failed")).sum();
    assert!(accepted > 0);
    assert_eq!(world.all_events().await.len(), accepted);
}

#[tokio::test]
async fn a_broken_pair_is_named_once_and_the_old_one_stays() {
    const EXPIRES: &str = "angarium_tls_certificate_expires_seconds{}";
    let secured = Secured::new();
    let old = secured.authority.server_until(3_000);
    old.write(secured.folder.path());
    let world = secured.world().await;
    let stranger = secured.authority.server();
    let file = secured.folder.path().join("cert.pem");
    std::fs::write(&file, &stranger.certificate).expect("it can be written");
    let what = "the log says that the pair is not used";
    let said = || world.stderr().matches("the new certificate is not used").count();
    eventually(what, async || (said() > 0).then_some(())).await;
    let log = world.stderr();
    assert!(log.contains("it is not the key of the certificate in") && log.contains("key.pem"), "{log}");
    // So much time goes by that it was looked at again.
    let left_s = metric(&world, EXPIRES).await;
    assert!(left_s > 1e9, "the gauge is about the pair in use: {left_s}");
    let what = "the files are looked at again and again";
    eventually(what, async || (metric(&world, EXPIRES).await <= left_s - 4.0).then_some(())).await;
    assert_eq!(said(), 1, "{}", world.stderr());
    assert!(secured.is_shown(&world, &old).await);
    stranger.write(secured.folder.path());
    let what = "the pair is whole, and shown";
    eventually(what, async || secured.is_shown(&world, &stranger).await.then_some(())).await;
}

#[tokio::test]
async fn only_clients_with_a_certificate_are_let_in_where_that_is_asked_for() {
    let secured = Secured::new();
    let ca = secured.folder.path().join("ca.pem");
    let client_ca = format!("client_ca = \"{}\"", ca.display());
    let world = World::start_as(secured.setup("", &client_ca)).await;
    let asked = async |certificate: Option<&Pair>| {
        let http = client_with(tls_client(secured.authority.pem(), certificate, &[]));
        world.caller().by(http).try_open("/health/live").await
    };
    assert_eq!(asked(Some(&secured.authority.client())).await.expect("an answer").status, 200);
    assert!(asked(None).await.is_err(), "nobody without a certificate is answered");
    assert!(asked(Some(&Authority::new().client())).await.is_err(), "nor with one by somebody else");
}

#[tokio::test]
async fn plain_http_is_told_to_use_https() {
    let secured = Secured::new();
    let world = secured.world().await;
    let mut wire = Wire::open(&world).await;
    wire.send("POST /v1/apps HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello").await;
    let answer = wire.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let problem: Value = serde_json::from_str(body).expect("a problem is JSON");
    assert_eq!(problem["code"], "https_required");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("https://")), "{problem}");
    let mut wire = Wire::open(&world).await;
    wire.send("nonsense").await;
    assert_eq!(wire.rest().await, "", "what is neither is not answered");
}

/// Connections that begin a handshake, and one that begins nothing.
async fn begun_handshakes(world: &World) -> Vec<Wire> {
    let mut wires = vec![Wire::open(world).await];
    for _ in 0..20 {
        let mut wire = Wire::open(world).await;
        wire.send([0x16, 3, 1, 2]).await;
        wires.push(wire);
    }
    wires
}

#[tokio::test]
async fn a_slow_handshake_delays_nobody() {
    let secured = Secured::new();
    let mut world = World::start_as(secured.setup("header_timeout = \"1h\"\ndrain = \"1h\"", "")).await;
    let wires = begun_handshakes(&world).await;
    assert_eq!(world.post("/events", "application/json", EVENT).await.status, 202);
    assert_eq!(world.terminate().await.code(), Some(0), "nor a stop: {}", world.stderr());
    drop(wires);
}

#[tokio::test]
async fn a_slow_handshake_is_cut_off() {
    let secured = Secured::new();
    let setup = secured.setup("header_timeout = \"300ms\"\nmax_connections = 30", "");
    let world = World::start_as(setup).await;
    for wire in &mut begun_handshakes(&world).await {
        assert_eq!(wire.rest().await, "");
    }
    // Their places are free again: there are fewer than twice as many.
    let wires = begun_handshakes(&world).await;
    assert_eq!(world.open("/health/live").await.status, 200);
    drop(wires);
}

#[tokio::test]
async fn a_stop_lets_what_is_under_way_over_tls_finish() {
    let secured = Secured::new();
    let mut world = secured.world().await;
    let mut stream = secured.stream(&world, &["http/1.1"]).await;
    let (app, key, length) = (world.app(), world.secret_key(), EVENT.len());
    let head = format!(
        "POST /v1/apps/{app}/events HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{}", &EVENT[..5]).as_bytes()).await.expect("the server reads");
    let what = "the request is under way";
    let in_flight = async || metric(&world, "angarium_http_requests_in_flight").await;
    eventually(what, async || (in_flight().await >= 2.0).then_some(())).await;
    world.ask_to_stop();
    no_more_connections(&world).await;
    stream.write_all(&EVENT.as_bytes()[5..]).await.expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the server says goodbye");
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(world.end().await.code(), Some(0), "{}", world.stderr());
    world.restart().await;
    assert_eq!(world.all_events().await.len(), 1);
}

#[tokio::test]
async fn a_stop_answers_all_whose_handshake_it_began() {
    let secured = Secured::new();
    let mut world = secured.world().await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let writers = (0..8).map(|_| {
        let (ca, caller, accepted) = (secured.authority.pem().to_owned(), world.caller(), accepted.clone());
        tokio::spawn(async move {
            loop {
                let caller = caller.by(client_with(tls_client(&ca, None, &[])));
                match caller.try_post("/events", "application/json", EVENT).await {
                    Ok(answer) => assert_eq!(answer.status, 202),
                    Err(error) => return assert!(error.is_connect(), "sent and not answered: {error:?}"),
                }
                accepted.fetch_add(1, Relaxed);
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    eventually("requests flow", async || (accepted.load(Relaxed) > 50).then_some(())).await;
    assert_eq!(world.terminate().await.code(), Some(0), "{}", world.stderr());
    for writer in writers {
        writer.await.expect("all are answered, or not let in");
    }
    world.restart().await;
    assert_eq!(world.all_events().await.len(), accepted.load(Relaxed));
}

#[tokio::test]
async fn whoever_only_watches_over_tls_does_not_hold_up_a_stop() {
    let secured = Secured::new();
    let mut world = World::start_as(secured.setup("drain = \"1h\"", "")).await;
    let mut socket = secured.web_socket(&world).await;
    let mut feeds = vec![];
    let mut polls = vec![];
    for (protocol, _) in VERSIONS {
        let http = client_with(tls_client(secured.authority.pem(), None, &[protocol]));
        feeds.push(sse(&world, &http).await);
        let caller = world.caller().by(http);
        polls.push(tokio::spawn(async move { caller.try_get("/streams/events/records?wait=30s").await }));
    }
    let what = "the long polls are under way";
    let in_flight = async || metric(&world, "angarium_http_requests_in_flight").await;
    eventually(what, async || (in_flight().await >= 3.0).then_some(())).await;
    assert_eq!(world.terminate().await.code(), Some(0), "{}", world.stderr());
    for poll in polls {
        assert_eq!(poll.await.expect("it ended").expect("a long poll is answered at a stop").status, 200);
    }
    for mut feed in feeds {
        while feed.chunk().await.expect("a feed ends as it should").is_some() {}
    }
    let last = async {
        while let Some(message) = socket.next().await {
            if let Message::Close(Some(why)) = message.expect("it ends as it should") {
                return Some(u16::from(why.code));
            }
        }
        None
    };
    assert_eq!(tokio::time::timeout(GUARD, last).await.expect("it ends"), Some(1001));
}

#[tokio::test]
async fn the_command_line_trusts_an_authority_that_it_is_told() {
    let secured = Secured::new();
    let world = secured.world().await;
    let ca = secured.folder.path().join("ca.pem");
    let ca = ca.to_str().expect("a path is text");
    world.run(&["send", "hello", "--ca", ca]).await.printed();
    let mut by_variable = world.command(&["status", "--json"]);
    by_variable.env("ANGARIUM_CA", ca);
    let status: Value = serde_json::from_str(&run(by_variable).await.printed()).expect("--json prints JSON");
    assert_eq!(status["status"], "ready");
    let other = secured.folder.path().join("other.pem");
    std::fs::write(&other, Authority::new().pem()).expect("it can be written");
    for (file, code, named) in [
        (other.to_str().expect("a path is text"), 1, "certificate"),
        ("/nowhere/ca.pem", 2, "--ca /nowhere/ca.pem: it cannot be read"),
    ] {
        let ran = world.run(&["status", "--ca", file]).await;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.contains(named), "{ran:?}");
    }
    assert_eq!(world.all_events().await.len(), 1);
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_is_named_before_and_at_a_start() {
    let secured = Secured::new();
    let folder = secured.folder.path();
    let config = folder.join("angarium.toml");
    std::fs::write(&config, secured.setup("", "").config).expect("it can be written");
    let good = secured.authority.server();
    let examine = async |command: &[&str]| {
        let mut command = angarium(command);
        command.arg("--config").arg(&config).arg("--data-dir").arg(folder.join("data"));
        run(command).await
    };
    let check = async || {
        let mut command = angarium(&["config", "check", "--config"]);
        command.arg(&config);
        run(command).await
    };
    let stranger = secured.authority.server();
    let expired = secured.authority.server_until(2_020);
    let write = |pair: &Pair, name: &str, content: Option<&str>| {
        pair.write(folder);
        let file = folder.join(name);
        match content {
            Some(content) => std::fs::write(&file, content).expect("it can be written"),
            None => std::fs::remove_file(&file).expect("it can be removed"),
        }
    };
    for (pair, name, content, named) in [
        (&good, "key.pem", None, "key.pem: it cannot be read"),
        (&good, "cert.pem", Some("nothing"), "cert.pem: it has no certificate in PEM"),
        (&good, "key.pem", Some(&*stranger.key), "key.pem: it is not the key of the certificate in"),
        (&expired, "cert.pem", Some(&*expired.certificate), "cert.pem: it has expired at 2020-01-01"),
    ] {
        write(pair, name, content);
        let checked = check().await;
        assert_eq!(checked.code, Some(2), "{checked:?}");
        assert!(checked.stderr.contains(named), "{checked:?}");
        let examined = examine(&["doctor"]).await;
        let line = examined.stdout.lines().find(|line| line.starts_with("FAIL TLS: "));
        assert!(line.is_some_and(|line| line.contains(named)), "{named}: {examined:?}");
        if !named.contains("expired") {
            let started = examine(&["serve", "--listen", "127.0.0.1:0"]).await;
            assert_eq!(started.code, Some(2), "{started:?}");
            assert!(started.stderr.contains(named), "{started:?}");
            assert!(!Path::new(&folder.join("data")).exists(), "a data directory was made");
        }
    }
    // An expired one is shown all the same: some clients do not mind, and the others see why.
    let world = secured.world().await;
    let log = world.stderr();
    assert!(log.contains("clients will not trust this server") && log.contains("it has expired at"), "{log}");
    assert!(world.caller().try_open("/health/live").await.is_err(), "and they do not");
    good.write(folder);
    assert!(check().await.printed().contains("valid"));
    let what = "a good one takes its place";
    eventually(what, async || world.caller().try_open("/health/live").await.ok()).await;
}
