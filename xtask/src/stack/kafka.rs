//! Apache Kafka 4, a single node that is broker and controller (KRaft), from its Maven artifacts.

use super::jars::Jars;
use super::place::{INNER_PORTS, Place, connect, free_ports, quoted};
use super::{Server, programs};
use crate::workspace::output;
use std::io::{Read, Write};
use std::process::Command;

pub const SERVER: Server = Server {
    name: "kafka",
    title: "Kafka",
    stop: "TERM",
    jars: Some(JARS),
    missing: || programs::missing("java", "Kafka", "default-jre-headless"),
    prepare,
    answers,
    product: |port| vec![("ANGARIUM_JOURNAL", format!("kafka://{}", address(port)))],
    address,
};

const JARS: Jars =
    Jars { name: "kafka", pom: "xtask/src/stack/kafka.pom.xml", text: include_str!("kafka.pom.xml") };

/// The base64 form of a UUID.
const CLUSTER: &str = "angarium-stack-------A";

fn prepare(place: &Place, port: u16) -> Result<String, String> {
    let controller = free_ports(INNER_PORTS, 1)?[0];
    let data = place.path("kafka.data");
    let data = data.display();
    let settings = place.write(
        "kafka.properties",
        &format!(
            "\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
log.dirs={data}
auto.create.topics.enable=false
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"
        ),
    )?;
    let settings = settings.display().to_string();
    let java = java(place)?;
    let format = [&java[1..], &["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"].map(String::from)];
    output(Command::new("java").args(format.concat()).arg(&settings).current_dir(place.folder()))?;
    let words = java.into_iter().chain(["kafka.Kafka".into(), settings]);
    Ok(format!("exec {}", words.map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")))
}

/// The native libraries of the compressions unpack themselves into the temporary folder, hence ours.
fn java(place: &Place) -> Result<Vec<String>, String> {
    Ok(vec![
        "java".into(),
        "-Xmx512m".into(),
        "-XX:-UsePerfData".into(),
        format!("-Djava.io.tmpdir={}", place.folder().display()),
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".into(),
        "-Dorg.slf4j.simpleLogger.showDateTime=true".into(),
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS".into(),
        "-cp".into(),
        JARS.class_path()?,
    ])
}

fn answers(_: &Place, port: u16) -> Result<(), String> {
    match brokers(port) {
        Ok(0) => Err("its metadata have no broker yet".into()),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("metadata: {error}")),
    }
}

/// How many brokers a Metadata request (version 4, no topics) is answered with:
/// <https://kafka.apache.org/protocol#The_Messages_Metadata>
fn brokers(port: u16) -> std::io::Result<i32> {
    let mut stream = connect(port)?;
    stream.write_all(&[
        0, 0, 0, 15, // size
        0, 3, 0, 4, // Metadata, version 4
        0, 0, 0, 1, // correlation
        255, 255, // no client id
        0, 0, 0, 0, // of no topics
        0, // making none
    ])?;
    // Size, correlation, throttle time; then the array of brokers with its length.
    let mut answer = [0; 16];
    stream.read_exact(&mut answer)?;
    let [.., a, b, c, d] = answer;
    Ok(i32::from_be_bytes([a, b, c, d]))
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
