//! `angarium audit`: who changed what in an app, page by page, and as it happens.

use super::{
    connection::{Connection, ConnectionArgs},
    failure::{Failure, Result},
    output::{Output, Pipe, interrupted, note},
    table::printable,
    tail::is_passing,
};
use angarium_client::{AuditEntry, ReadRecords, RecordPage};
use serde_json::{Map, Value};
use std::time::Duration;

#[derive(clap::Args)]
pub struct AuditArgs {
    /// Go on as changes happen, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Print the API's JSON; with --follow one entry a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

const STREAM: &str = "audit";
const PAGE: u32 = 1_000;
/// How long a look at the end of the stream waits for a change.
const WAIT: Duration = Duration::from_secs(20);
const AGAIN_AFTER: Duration = Duration::from_secs(2);

pub async fn run(args: AuditArgs) -> Result {
    let connection = args.connection.connect().await?;
    let output = Output::stdout();
    let work = async {
        match args.follow {
            true => follow(&args, &connection, &output).await,
            false => list(&args, &connection, &output).await,
        }
    };
    tokio::select! {
        ended = work => ended,
        () = interrupted() => Ok(()),
    }
}

/// Prints every page as it comes; as JSON, they are one page together.
async fn list(args: &AuditArgs, connection: &Connection, output: &Output) -> Result {
    let (mut after, mut first) = (None::<String>, true);
    let mut text = String::from(if args.json { "{\"items\":[" } else { "" });
    loop {
        let page = connection.client.list_audit(&connection.app, after.as_deref(), Some(PAGE)).await?;
        for entry in &page.items {
            if args.json {
                text.push_str(if first { "" } else { "," });
                text.push_str(&json_of(entry)?);
            } else {
                text.push_str(&line(entry));
            }
            first = false;
        }
        let is_end = page.next.is_none() || page.next == after;
        if is_end && args.json {
            text.push_str("],\"next\":null}\n");
        }
        if output.write(std::mem::take(&mut text).into_bytes()).await? == Pipe::Closed || is_end {
            return Ok(());
        }
        after = page.next;
    }
}

/// Prints the stream's records from its beginning, and waits for more.
async fn follow(args: &AuditArgs, connection: &Connection, output: &Output) -> Result {
    let mut read = ReadRecords { after: None, limit: Some(PAGE), wait: Some(WAIT) };
    // The first answer says at once what is wrong; later ones are waited for.
    let mut page = connection.client.read_records(&connection.app, STREAM, &read).await?;
    loop {
        let mut text = String::new();
        for record in &page.items {
            let entry: AuditEntry = serde_json::from_str(record.data.get())
                .map_err(|error| Failure::new(format!("an entry of the audit cannot be read: {error}")))?;
            match args.json {
                true => text.push_str(&(json_of(&entry)? + "\n")),
                false => text.push_str(&line(&entry)),
            }
        }
        if !text.is_empty() && output.write(text.into_bytes()).await? == Pipe::Closed {
            return Ok(());
        }
        read.after = Some(page.next);
        page = next_page(connection, &read).await?;
    }
}

async fn next_page(connection: &Connection, read: &ReadRecords) -> Result<RecordPage> {
    loop {
        match connection.client.read_records(&connection.app, STREAM, read).await {
            Ok(page) => return Ok(page),
            Err(error) if is_passing(&error) => note(&format!("{error}; trying again")),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

fn json_of(entry: &AuditEntry) -> Result<String> {
    serde_json::to_string(entry).map_err(|error| Failure::new(error.to_string()))
}

/// `2026-01-01T10:05:03.120Z  keys.create  key_1  by key shop (127.0.0.1)  name=web role=ingest`
fn line(entry: &AuditEntry) -> String {
    let whence = entry.address.as_ref().map(|address| format!(" ({address})")).unwrap_or_default();
    let changes: Vec<String> =
        entry.changes.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
    let text = format!(
        "{}  {}  {}  by {}{whence}  {}",
        entry.at,
        entry.action,
        entry.target.id,
        actor(&entry.actor),
        changes.join(" ")
    );
    format!("{}\n", printable(text.trim_end()))
}

fn actor(actor: &Map<String, Value>) -> String {
    let text = |name: &str| actor.get(name).and_then(Value::as_str);
    let kind = text("kind").unwrap_or("-");
    match text("email").or(text("name")).or(text("subject")).or(text("id")) {
        Some(name) => format!("{kind} {name}"),
        None => kind.to_owned(),
    }
}

/// Text without quotes where it needs none, else JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains([' ', '"']) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_line_that_says_who_what_and_whence() {
        let entry: AuditEntry = serde_json::from_value(serde_json::json!({
            "id": "aud_1", "at": "2026-01-01T10:05:03.120Z", "actor": {"kind": "key", "id": "key_1", "name": "ci\u{1b}"},
            "address": "127.0.0.1", "request_id": "req_1", "action": "keys.create",
            "target": {"kind": "key", "id": "key_2"}, "changes": {"expires_at": null, "name": "web shop", "role": "ingest"},
        }))
        .unwrap();
        assert_eq!(
            line(&entry),
            "2026-01-01T10:05:03.120Z  keys.create  key_2  by key ci\\u{1b} (127.0.0.1)  \
             expires_at=null name=\"web shop\" role=ingest\n"
        );
        let console = serde_json::json!({"kind": "console"});
        assert_eq!(actor(console.as_object().unwrap()), "console");
    }
}
