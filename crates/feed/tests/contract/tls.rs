//! TLS to Redis, with certificates that the test makes (openssl).

use crate::{
    World, message,
    servers::{OwnRedis, free_port, is_installed},
};
use angarium_base::Secret;
use angarium_feed::Target;
use std::{path::Path, process::Command};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_the_server_is_who_its_certificate_says_unless_anybody_will_do() {
    let Some(server) = OwnRedis::new().filter(|_| is_installed("openssl")) else { return };
    certificate(server.dir.path());
    let port = free_port();
    let mut server = server.with(&["--port", "0", "--tls-port", &port.to_string()]).with(&[
        "--tls-cert-file",
        "cert.pem",
        "--tls-key-file",
        "key.pem",
        "--tls-auth-clients",
        "no",
    ]);
    server.port = port;
    server.start().await;

    let world = |host: &str, rest: &str| {
        World::new(Target::Redis(Secret::new(format!("rediss://{host}:{port}/0{rest}"))))
    };
    let file = server.dir.path().join("cert.pem");
    let trusted = format!("?sslrootcert={}", file.display());
    for good in [world("localhost", &trusted), world("127.0.0.1", "#insecure")] {
        let (one, two) = good.two().await;
        let mut subscription = good.subscribed(&two, "t").await;
        one.publish("t", "sealed".into());
        assert_eq!(message(&mut subscription).await, "sealed");
    }
    for bad in [world("localhost", ""), world("127.0.0.1", &trusted)] {
        let feed = bad.open().await;
        // As long as ten attempts of the good ones took.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert!(!feed.status().connected, "a stranger's certificate was taken");
    }
}

/// A certificate for `localhost` that signs itself.
fn certificate(dir: &Path) {
    let made = Command::new("openssl")
        .current_dir(dir)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
