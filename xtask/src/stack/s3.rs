//! An S3-compatible server: S3Proxy on a folder, from its Maven artifacts. The bucket `angarium` is there from
//! the start: buckets are folders.

use super::jars::Jars;
use super::place::{Place, connect, quoted};
use super::{Server, programs};
use std::io::{Read, Write};

pub const SERVER: Server = Server {
    name: "s3",
    title: "S3Proxy",
    stop: "TERM",
    jars: Some(JARS),
    missing: || programs::missing("java", "S3Proxy", "default-jre-headless"),
    prepare,
    answers,
    product,
    address: |port| format!("http://{ACCESS_KEY}:{SECRET_KEY}@127.0.0.1:{port}/{BUCKET}"),
};

const JARS: Jars =
    Jars { name: "s3proxy", pom: "xtask/src/stack/s3proxy.pom.xml", text: include_str!("s3proxy.pom.xml") };

const ACCESS_KEY: &str = "angarium";
const SECRET_KEY: &str = "angarium-secret";
const BUCKET: &str = "angarium";

/// Without this, every byte of every request is logged.
const LOGGING: &str = r#"<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %-5level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="warn"><appender-ref ref="out"/></root>
</configuration>
"#;

fn prepare(place: &Place, port: u16) -> Result<String, String> {
    let data = place.path("s3.data");
    let bucket = data.join(BUCKET);
    std::fs::create_dir_all(&bucket).map_err(|error| format!("{}: {error}", bucket.display()))?;
    let data = data.display();
    let settings = place.write(
        "s3.properties",
        &format!(
            "s3proxy.endpoint=http://127.0.0.1:{port}\n\
             s3proxy.authorization=aws-v2-or-v4\n\
             s3proxy.identity={ACCESS_KEY}\n\
             s3proxy.credential={SECRET_KEY}\n\
             jclouds.provider=filesystem-nio2\n\
             jclouds.filesystem.basedir={data}\n"
        ),
    )?;
    let logging = place.write("s3.logback.xml", LOGGING)?;
    let words = [
        "java".into(),
        "-Xmx256m".into(),
        "-XX:-UsePerfData".into(),
        format!("-Djava.io.tmpdir={}", place.folder().display()),
        format!("-Dlogback.configurationFile={}", logging.display()),
        "-cp".into(),
        JARS.class_path()?,
        "org.gaul.s3proxy.Main".into(),
        "--properties".into(),
        settings.display().to_string(),
    ];
    Ok(format!("exec {}", words.map(|word| quoted(&word)).join(" ")))
}

/// Any answer will do: this request is not signed, and is refused by a server that works.
fn answers(_: &Place, port: u16) -> Result<(), String> {
    let ask = || {
        let mut stream = connect(port)?;
        stream.write_all(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) if answer == *b"HTTP/1." => Ok(()),
        Ok(answer) => Err(format!("GET /: {:?}", String::from_utf8_lossy(&answer))),
        Err::<_, std::io::Error>(error) => Err(format!("GET /: {error}")),
    }
}

fn product(port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("ANGARIUM_BLOBS", format!("s3://{BUCKET}")),
        ("ANGARIUM_S3__ENDPOINT", format!("http://127.0.0.1:{port}")),
        ("ANGARIUM_S3__REGION", "us-east-1".into()),
        ("ANGARIUM_S3__ACCESS_KEY_ID", ACCESS_KEY.into()),
        ("ANGARIUM_S3__SECRET_ACCESS_KEY", SECRET_KEY.into()),
    ]
}
