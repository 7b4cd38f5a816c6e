//! Counts events by type and minute, as one consumer group: start it twice and one of the two counts, stop
//! it and start it again and it goes on where it was.
//!
//! ```text
//! ANGARIUM_KEY=ang_sk_… cargo run --package angarium-client --example count_by_type
//! ```
//!
//! Counts are printed before they are committed. What was counted and not committed is counted again after a
//! crash: whoever needs exact numbers stores them together with the cursor.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use angarium_client::{Client, PollGroup, Record};
use clap::Parser;
use serde::Deserialize;
use std::{collections::BTreeMap, error::Error, time::Duration};

#[derive(Parser)]
struct Args {
    #[arg(long, env = "ANGARIUM_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    #[arg(long, env = "ANGARIUM_KEY", hide_env_values = true)]
    key: String,
    /// The app, by id or bundle id [default: the first app of the key]
    #[arg(long)]
    app: Option<String>,
    #[arg(long, default_value = "count-by-type")]
    group: String,
    /// End at the end of the stream instead of waiting for more
    #[arg(long)]
    once: bool,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    event_type: String,
    at: String,
}

/// Minute, then type.
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let client = Client::new(&args.url, Some(&args.key))?;
    let app = match args.app {
        Some(app) => app,
        None => client.list_apps().await?.into_iter().next().ok_or("this key has no app")?.id,
    };
    // Who reads, so that two running at once take turns instead of counting the same.
    let consumer = Some(format!("count-by-type-{}", std::process::id()));
    let wait = if args.once { Duration::ZERO } else { Duration::from_secs(20) };
    let poll = PollGroup { max: 1000, wait, consumer };
    loop {
        let batch = match client.poll_group(&app, "events", &args.group, &poll).await {
            Ok(batch) => batch,
            Err(error) if error.code() == Some("group_leased") => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let Some(last) = batch.items.last() else {
            if args.once {
                return Ok(());
            }
            continue;
        };
        for (minute, types) in count(&batch.items)? {
            for (event_type, count) in types {
                println!("{minute}  {count:>8}  {event_type}");
            }
        }
        client.commit_group(&app, "events", &args.group, &last.cursor, poll.consumer.as_deref()).await?;
    }
}

fn count(records: &[Record]) -> serde_json::Result<Counts> {
    let mut counts = Counts::new();
    for record in records {
        let event: Event = serde_json::from_str(record.data.get())?;
        // `2026-01-31T12:34`: the minute of an RFC 3339 instant.
        let minute = event.at.get(..16).unwrap_or(&event.at).to_owned();
        *counts.entry(minute).or_default().entry(event.event_type).or_default() += 1;
    }
    Ok(counts)
}
