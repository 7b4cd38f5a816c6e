//! `angarium status`: whether the server is well, what its streams hold, and the processes of its fleet.

use super::{
    connection::ConnectionArgs,
    failure::{Failure, Result},
    output::say,
    table::aligned,
};
use angarium_client::{Health, Process, Retry, StreamSummary};
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
    /// Why streams or processes are not here, though the key may see them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
    #[serde(skip)]
    has_key: bool,
    /// Absent without an admin key.
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<Vec<Process>>,
}

/// Fails when the server is not ready, or cannot show what the key may see. What can be shown is shown all the same.
pub async fn run(args: StatusArgs) -> Result {
    // How it is now, not how it is when it is well again.
    let target = args.connection.target()?;
    let client = target.client()?.with_retry(Retry::NEVER);
    let health = client.health().await?;
    let has_key = target.key.is_some();
    let mut errors = Vec::new();
    let mut streams = None;
    if has_key && health.ready && health.serves("api") {
        let listed = async {
            let connection = target.connect_by(client.clone()).await?;
            Ok(connection.client.list_streams(&connection.app).await?)
        };
        streams = noted(listed.await, "streams", &mut errors);
    }
    let mut processes = None;
    if has_key && health.ready {
        processes = noted(fleet(client.list_processes().await), "processes", &mut errors).flatten();
    }
    let status = Status { url: client.server(), health, streams, errors, has_key, processes };
    say(&match args.json {
        true => serde_json::to_string(&status).map_err(|error| Failure::new(error.to_string()))?,
        false => status.table(),
    })?;
    match (status.health.ready, status.errors.is_empty()) {
        (false, _) => Err(Failure::new(format!("the server is not ready: {}", status.health.status))),
        (true, false) => Err(Failure::new(status.errors.join("; "))),
        (true, true) => Ok(()),
    }
}

fn noted<T>(answer: Result<T>, what: &str, errors: &mut Vec<String>) -> Option<T> {
    answer.map_err(|error| errors.push(format!("{what} cannot be shown: {error}"))).ok()
}

/// The fleet; `None` where the key may not see it, or the server is older than fleets.
fn fleet(answer: angarium_client::Result<Vec<Process>>) -> Result<Option<Vec<Process>>> {
    match answer {
        Ok(processes) => Ok(Some(processes)),
        Err(error) if error.problem().is_some_and(|problem| [403, 404].contains(&problem.status)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Status {
    fn table(&self) -> String {
        let mut rows = vec![["PART".into(), "STATUS".into(), String::new(), String::new()]];
        for (name, part) in &self.health.parts {
            let detail = part.more.get("detail").and_then(|detail| detail.as_str()).unwrap_or_default();
            rows.push([name.clone(), part.status.clone(), detail.to_owned(), String::new()]);
        }
        if let Some(streams) = &self.streams {
            rows.push(Default::default());
            rows.push(STREAM_TITLES.map(str::to_owned));
            rows.extend(streams.iter().map(stream_row));
        }
        let word = if self.health.ready { "ready" } else { "not ready" };
        let mut table = format!("{} is {word}\n\n{}", self.url, aligned(&rows));
        if self.streams.is_none() {
            table.push_str(match (self.health.serves("api"), self.has_key) {
                (false, _) => "\n\n(streams are shown by a process with the role api)",
                (true, false) => "\n\n(streams are shown with a key: --key or ANGARIUM_KEY)",
                (true, true) => "\n\n(streams cannot be shown now)",
            });
        }
        if let Some(processes) = &self.processes {
            table.push_str("\n\n");
            table.push_str(&aligned(&self.fleet_rows(processes)));
        }
        table
    }

    /// The process that was asked has a star.
    fn fleet_rows(&self, processes: &[Process]) -> Vec<[String; 8]> {
        let titles = ["PROCESS", "STATE", "ROLES", "VERSION", "ADDRESS", "HOST/PID", "LAG", "LEASES"];
        let mut rows = vec![titles.map(str::to_owned)];
        for process in processes {
            let star = if process.id == self.health.process { " *" } else { "" };
            let state = match &process.detail {
                Some(detail) if process.state == "ready" => format!("ready ({detail})"),
                _ if process.state == "gone" => format!("gone (seen {})", process.seen_at),
                _ => process.state.clone(),
            };
            rows.push([
                format!("{}{star}", process.id),
                state,
                process.roles.join(","),
                process.version.clone(),
                process.address.clone(),
                format!("{}/{}", process.host, process.pid),
                format!("{} ms", process.lag_ms),
                process.leases.join(", "),
            ]);
        }
        rows
    }
}

/// The titles of the columns of [`stream_row`].
pub const STREAM_TITLES: [&str; 4] = ["STREAM", "RECORDS", "BYTES", "LAG OF GROUPS"];

/// `cli 3, alerts 0`: how many records each group has not committed.
pub fn stream_row(summary: &StreamSummary) -> [String; 4] {
    let lags: Vec<String> =
        summary.groups.iter().map(|group| format!("{} {}", group.group, group.lag)).collect();
    [summary.stream.clone(), summary.records.to_string(), size(summary.bytes), lags.join(", ")]
}

fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
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
            errors: Vec::new(),
            has_key: true,
            processes: None,
        };
        assert_eq!(
            status.table(),
            "http://127.0.0.1:8080 is ready\n\nPART     STATUS\ndb       ok\njournal  ok\n\n\
             STREAM   RECORDS  BYTES     LAG OF GROUPS\nevents   10000    2.00 KiB  cli 3, mail 0"
        );
    }

    #[test]
    fn the_table_shows_the_fleet_below() {
        let health = r#"{"ready":true,"status":"ready","process":"proc_1","version":"1.0.0","roles":["live"],
            "parts":{"feed":{"status":"degraded","engine":"redis","detail":"local only"}}}"#;
        let process = |id: &str, state: &str, leases: &str| -> Process {
            let text = format!(
                r#"{{"id":"{id}","host":"h","pid":7,"roles":["live"],"version":"1.0.0","address":"0.0.0.0:80",
                "started_at":"s","seen_at":"t","state":"{state}","lag_ms":3,"leases":[{leases}]}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let status = Status {
            url: "http://h".into(),
            health: serde_json::from_str(health).unwrap(),
            streams: None,
            errors: Vec::new(),
            has_key: false,
            processes: Some(vec![
                process("proc_1", "ready", "\"maintenance\""),
                process("proc_2", "gone", ""),
            ]),
        };
        assert_eq!(
            status.table(),
            "http://h is ready\n\nPART  STATUS\nfeed  degraded  local only\n\n\
             (streams are shown by a process with the role api)\n\n\
             PROCESS   STATE          ROLES  VERSION  ADDRESS     HOST/PID  LAG   LEASES\n\
             proc_1 *  ready          live   1.0.0    0.0.0.0:80  h/7       3 ms  maintenance\n\
             proc_2    gone (seen t)  live   1.0.0    0.0.0.0:80  h/7       3 ms"
        );
    }
}
