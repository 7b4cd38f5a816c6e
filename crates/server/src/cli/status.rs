//! `angarium status`: whether the server is well, and what its streams hold.

use super::{
    connection::ConnectionArgs,
    failure::{Failure, Result},
    output::say,
};
use angarium_client::{Health, StreamSummary};
use serde::Serialize;

#[derive(clap::Args)]
pub struct StatusArgs {
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
    /// Absent without a key (readiness is for everybody, streams are not), and while the server is sick.
    #[serde(skip_serializing_if = "Option::is_none")]
    streams: Option<Vec<StreamSummary>>,
}

/// Fails when the server is not ready.
pub async fn run(args: StatusArgs) -> Result {
    let client = args.connection.client()?;
    let health = client.health().await?;
    let streams = match args.connection.key() {
        Some(_) if health.ready => {
            let connection = args.connection.connect().await?;
            Some(connection.client.list_streams(&connection.app).await?)
        }
        _ => None,
    };
    let status = Status { url: client.server(), health, streams };
    say(&match args.json {
        true => serde_json::to_string(&status).map_err(|error| Failure::new(error.to_string()))?,
        false => status.table(),
    })?;
    match status.health.ready {
        true => Ok(()),
        false => Err(Failure::new(format!("the server is not ready: {}", status.health.status))),
    }
}

impl Status {
    fn table(&self) -> String {
        let mut rows = vec![["PART".into(), "STATUS".into(), String::new(), String::new()]];
        for (name, part) in &self.health.parts {
            rows.push([name.clone(), part.status.clone(), String::new(), String::new()]);
        }
        if let Some(streams) = &self.streams {
            rows.push(Default::default());
            rows.push(["STREAM".into(), "RECORDS".into(), "BYTES".into(), "LAG OF GROUPS".into()]);
            rows.extend(streams.iter().map(row));
        }
        if self.streams.is_none() {
            rows.push(Default::default());
            rows.push([
                "(streams are shown with a key: --key or ANGARIUM_KEY)".into(),
                String::new(),
                String::new(),
                String::new(),
            ]);
        }
        let word = if self.health.ready { "ready" } else { "not ready" };
        format!("{} is {word}\n\n{}", self.url, aligned(&rows))
    }
}

/// `cli 3, alerts 0`: how many records each group has not committed.
fn row(summary: &StreamSummary) -> [String; 4] {
    let lags: Vec<String> =
        summary.groups.iter().map(|group| format!("{} {}", group.group, group.lag)).collect();
    [summary.stream.clone(), summary.records.to_string(), size(summary.bytes), lags.join(", ")]
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
        let stream = r#"{"stream":"events","records":10000,"bytes":2048,"first":"c0",
            "groups":[{"group":"cli","lag":3},{"group":"mail","lag":0}]}"#;
        let status = Status {
            url: "http://127.0.0.1:8080".into(),
            health: serde_json::from_str(health).unwrap(),
            streams: Some(vec![serde_json::from_str(stream).unwrap()]),
        };
        assert_eq!(
            status.table(),
            "http://127.0.0.1:8080 is ready\n\nPART     STATUS\ndb       ok\njournal  ok\n\n\
             STREAM   RECORDS  BYTES     LAG OF GROUPS\nevents   10000    2.00 KiB  cli 3, mail 0"
        );
    }
}
