//! `angarium events list|stats` and `angarium streams list`: what an app has taken. `send` and `tail` are beside.

use super::{
    connection::{CallArgs, Connection},
    failure::Result,
    keys::duration,
    output::{note, say_as},
    status::{STREAM_TITLES, stream_row},
    table::{or_dash, printable, titled},
};
use angarium_client::{EventCount, ListEvents, Page, ShowEventStats};
use serde_json::Value;
use std::time::Duration;

#[derive(clap::Args)]
pub struct EventsArgs {
    #[command(subcommand)]
    action: EventsAction,
}

#[derive(clap::Subcommand)]
enum EventsAction {
    /// Show a page of events, the oldest first
    List(ListArgs),
    /// Show how many events of each type there were
    Stats(StatsArgs),
}

#[derive(clap::Args)]
pub struct StreamsArgs {
    #[command(subcommand)]
    action: StreamsAction,
}

#[derive(clap::Subcommand)]
enum StreamsAction {
    /// Show the app's streams, what they hold, and how far their groups are behind
    List(CallArgs),
}

#[derive(clap::Args)]
struct ListArgs {
    /// Only events of this type
    #[arg(long = "type")]
    event_type: Option<String>,
    /// Received at or after this instant (RFC 3339)
    #[arg(long)]
    from: Option<String>,
    /// Received before this instant (RFC 3339)
    #[arg(long)]
    to: Option<String>,
    /// Go on after this cursor: `next` of a page
    #[arg(long)]
    after: Option<String>,
    /// How many at most
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    call: CallArgs,
}

#[derive(clap::Args)]
struct StatsArgs {
    /// How long a step is: a number of whole minutes, up to 1d [default: 1m]
    #[arg(long, value_parser = duration)]
    step: Option<Duration>,
    /// From this instant on (RFC 3339) [default: an hour before the end]
    #[arg(long)]
    from: Option<String>,
    /// Up to this instant (RFC 3339) [default: now]
    #[arg(long)]
    to: Option<String>,
    #[command(flatten)]
    call: CallArgs,
}

pub async fn run(args: EventsArgs) -> Result {
    match args.action {
        EventsAction::List(args) => list(args).await,
        EventsAction::Stats(args) => stats(args).await,
    }
}

pub async fn streams(args: StreamsArgs) -> Result {
    let StreamsAction::List(call) = args.action;
    let Connection { client, app } = call.connection.connect().await?;
    let page = Page { items: client.list_streams(&app).await?, next: None };
    Ok(say_as(call.json, &page, |page| titled(STREAM_TITLES, page.items.iter().map(stream_row)))?)
}

async fn list(args: ListArgs) -> Result {
    let list = ListEvents {
        event_type: args.event_type,
        from: args.from,
        to: args.to,
        after: args.after,
        limit: Some(args.limit),
    };
    let Connection { client, app } = args.call.connection.connect().await?;
    let page = client.list_events(&app, &list).await?;
    say_as(args.call.json, &page, |page| {
        let rows = page.items.iter().map(|event| row(&serde_json::from_str(event.get()).unwrap_or_default()));
        titled(["RECEIVED", "TYPE", "ID", "DEVICE", "PARAMS"], rows)
    })?;
    if let (Some(next), false) = (&page.next, args.call.json) {
        note(&format!("there is more: --after {next}"));
    }
    Ok(())
}

fn row(event: &Value) -> [String; 5] {
    let text = |name: &str| or_dash(event[name].as_str().map(printable).as_deref());
    [
        text("received_at"),
        text("type"),
        text("id"),
        text("device_id"),
        printable(&event["params"].to_string()),
    ]
}

async fn stats(args: StatsArgs) -> Result {
    let show = ShowEventStats { step: args.step, from: args.from, to: args.to };
    let Connection { client, app } = args.call.connection.connect().await?;
    let stats = client.show_event_stats(&app, &show).await?;
    say_as(args.call.json, &stats, |stats| {
        let row =
            |count: &EventCount| [count.at.clone(), printable(&count.event_type), count.count.to_string()];
        titled(["FROM", "TYPE", "EVENTS"], stats.items.iter().map(row))
    })?;
    if stats.truncated && !args.call.json {
        note("there is more: ask for a shorter time or a longer step");
    }
    Ok(())
}
