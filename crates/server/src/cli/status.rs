//! `angarium status`: whether the server is well, and what its streams hold.

use super::{
    connection::{Connection, ConnectionArgs},
    failure::{Failure, Result},
    output::say,
};
use angarium_client::{Health, StreamSummary};
use serde::Serialize;

#[derive(clap::Args)]
pub struct StatusArgs {
    /// The consumer group whose lag is shown
    #[arg(long, default_value = "cli")]
    pub group: String,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Serialize)]
struct Status {
    url: String,
    #[serde(flatten)]
    health: Health,
    group: String,
    /// Absent without a key: readiness is for everybody, streams are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    streams: Option<Vec<StreamStatus>>,
}

#[derive(Serialize)]
struct StreamStatus {
    #[serde(flatten)]
    summary: StreamSummary,
    /// Records the group has not committed; `None` if there is no such group.
    lag: Option<u64>,
}

/// Fails when the server is not ready.
pub async fn run(args: StatusArgs) -> Result {
    let client = args.connection.client()?;
    let health = client.health().await?;
    let streams = match args.connection.key() {
        Some(_) => Some(streams(&args.connection.connect().await?, &args.group).await?),
        None => None,
    };
    let status = Status { url: client.server(), health, group: args.group, streams };
    say(&match args.json {
        true => serde_json::to_string(&status).map_err(|error| Failure::new(error.to_string()))?,
        false => status.table(),
    })?;
    match status.health.ready {
        true => Ok(()),
        false => Err(Failure::new(format!("the server is not ready: {}", status.health.status))),
    }
}

async fn streams(connection: &Connection, group: &str) -> Result<Vec<StreamStatus>> {
    let Connection { client, app } = connection;
    let mut streams = Vec::new();
    for summary in client.list_streams(app).await? {
        let lag = match client.show_group(app, &summary.stream, group).await {
            Ok(group) => Some(group.lag),
            Err(error) if error.status() == Some(404) => None,
            Err(error) => return Err(error.into()),
        };
        streams.push(StreamStatus { summary, lag });
    }
    Ok(streams)
}

impl Status {
    fn table(&self) -> String {
        let mut rows = vec![["PART".into(), "STATUS".into(), String::new(), String::new()]];
        for (name, part) in &self.health.parts {
            rows.push([name.clone(), part.status.clone(), String::new(), String::new()]);
        }
        if let Some(streams) = &self.streams {
            rows.push(Default::default());
            rows.push(["STREAM".into(), "RECORDS".into(), "BYTES".into(), format!("LAG ({})", self.group)]);
            rows.extend(streams.iter().map(StreamStatus::row));
        }
        let word = if self.health.ready { "ready" } else { "not ready" };
        format!("{} is {word}\n\n{}", self.url, aligned(&rows))
    }
}

impl StreamStatus {
    fn row(&self) -> [String; 4] {
        let lag = self.lag.map_or("-".into(), |lag| lag.to_string());
        [self.summary.stream.clone(), self.summary.records.to_string(), size(self.summary.bytes), lag]
    }
}

fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// Columns two spaces apart, no space at the end of a line.
fn aligned(rows: &[[String; 4]]) -> String {
    let widths =
        [0, 1, 2].map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let lines = rows.iter().map(|row| {
        let line = format!(
            "{:a$}  {:b$}  {:c$}  {}",
            row[0],
            row[1],
            row[2],
            row[3],
            a = widths[0],
            b = widths[1],
            c = widths[2]
        );
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_parts_and_streams() {
        let health =
            r#"{"ready":true,"status":"ok","parts":{"db":{"status":"ok"},"journal":{"status":"ok","x":1}}}"#;
        let stream = r#"{"stream":"events","records":10000,"bytes":2048,"first":"c0"}"#;
        let summary = serde_json::from_str(stream).unwrap();
        let status = Status {
            url: "http://127.0.0.1:8080".into(),
            health: serde_json::from_str(health).unwrap(),
            group: "cli".into(),
            streams: Some(vec![StreamStatus { summary, lag: Some(3) }]),
        };
        assert_eq!(
            status.table(),
            "http://127.0.0.1:8080 is ready\n\nPART     STATUS\ndb       ok\njournal  ok\n\n\
             STREAM   RECORDS  BYTES     LAG (cli)\nevents   10000    2.00 KiB  3"
        );
    }
}
