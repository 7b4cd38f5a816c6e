//! `angarium dead-letters …`: what was given up in an app; shown, run again, deleted.

use super::{
    apps::say_deleted,
    connection::{CallArgs, Connection, ConnectionArgs},
    failure::{Failure, Result},
    output::{Output, Pipe, interrupted, note, say, say_as},
    table::{aligned, or_dash, printable, titled},
};
use angarium_client::{DeadLetter, DeadLetterFilter, Page, Redrive, RedrivePace};
use serde_json::json;
use std::time::Duration;

#[derive(clap::Args)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Show what was given up, in the order in which it was
    List {
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        call: CallArgs,
    },
    /// Show a letter, with its original where that is JSON
    Show {
        /// The letter's id
        id: String,
        #[command(flatten)]
        call: CallArgs,
    },
    /// Print the original of a letter, byte by byte
    Body {
        /// The letter's id
        id: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Run a letter again, or, without an id, all that a filter lets through
    Redrive(RedriveArgs),
    /// Show the redrives by a filter, and how far they are
    Redrives(CallArgs),
    /// Stop a redrive
    Stop {
        /// The redrive's id
        id: String,
        #[command(flatten)]
        call: CallArgs,
    },
    /// Delete a letter, or, with --all, those that a filter lets through
    Delete {
        /// The letter's id
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// Every letter that the filter lets through
        #[arg(long, conflicts_with = "id")]
        all: bool,
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        call: CallArgs,
    },
}

#[derive(clap::Args, Clone, Default)]
#[command(next_help_heading = "Filter")]
pub struct FilterArgs {
    /// Only letters of this kind, like message
    #[arg(long)]
    kind: Option<String>,
    /// Only letters given up for this reason
    #[arg(long)]
    code: Option<String>,
    /// Only the letter of what has this id
    #[arg(long)]
    source: Option<String>,
    /// Given up at this instant or later (RFC 3339)
    #[arg(long)]
    from: Option<String>,
    /// Given up before this instant (RFC 3339)
    #[arg(long)]
    to: Option<String>,
}

#[derive(clap::Args)]
struct RedriveArgs {
    /// The letter's id
    id: Option<String>,
    /// Only say how many letters it would be
    #[arg(long, conflicts_with = "id")]
    dry_run: bool,
    /// Letters a second, 1 to 10000 [default: 100]
    #[arg(long, conflicts_with = "id", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: Option<u32>,
    /// Letters at most
    #[arg(long, conflicts_with = "id")]
    max: Option<u64>,
    /// Wait for the end, and say how far it is
    #[arg(long, conflicts_with = "id")]
    wait: bool,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    call: CallArgs,
}

const PAGE: u32 = 1_000;
/// How often a redrive that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(500);

impl From<FilterArgs> for DeadLetterFilter {
    fn from(args: FilterArgs) -> DeadLetterFilter {
        let FilterArgs { kind, code, source, from, to } = args;
        DeadLetterFilter { kind, code, source, from, to }
    }
}

impl FilterArgs {
    fn is_open(&self) -> bool {
        DeadLetterFilter::from(self.clone()) == DeadLetterFilter::default()
    }
}

pub async fn run(args: DeadLettersArgs) -> Result {
    match args.action {
        Action::List { filter, call } => list(filter.into(), call).await,
        Action::Show { id, call } => {
            let Connection { client, app } = call.connection.connect().await?;
            let letter = client.show_dead_letter(&app, &id).await?;
            Ok(say_as(call.json, &letter, letter_text)?)
        }
        Action::Body { id, connection } => {
            let Connection { client, app } = connection.connect().await?;
            let body = client.show_dead_letter_body(&app, &id).await?;
            Output::stdout().write(body.into()).await?;
            Ok(())
        }
        Action::Redrive(args) => redrive(args).await,
        Action::Redrives(call) => {
            let Connection { client, app } = call.connection.connect().await?;
            let items = client.list_redrives(&app).await?;
            Ok(say_as(call.json, &Page { items, next: None }, |page| redrives_text(&page.items))?)
        }
        Action::Stop { id, call } => {
            let Connection { client, app } = call.connection.connect().await?;
            let stopped = client.stop_redrive(&app, &id).await?;
            Ok(say_as(call.json, &stopped, |run| redrives_text(std::slice::from_ref(run)))?)
        }
        Action::Delete { id: Some(id), call, .. } => {
            let Connection { client, app } = call.connection.connect().await?;
            client.delete_dead_letter(&app, &id).await?;
            say_deleted(call.json, &id)
        }
        Action::Delete { id: None, filter, call, .. } => delete_all(filter.into(), call).await,
    }
}

/// Prints every page as it comes; as JSON, they are one page together.
async fn list(filter: DeadLetterFilter, call: CallArgs) -> Result {
    let Connection { client, app } = call.connection.connect().await?;
    let output = Output::stdout();
    let (mut after, mut first) = (None::<String>, true);
    let mut text = String::from(if call.json { "{\"items\":[" } else { "" });
    loop {
        let page = client.list_dead_letters(&app, &filter, after.as_deref(), Some(PAGE)).await?;
        for letter in &page.items {
            match call.json {
                true => {
                    text.push_str(if first { "" } else { "," });
                    text.push_str(&json_of(letter)?);
                }
                false => text.push_str(&line(letter)),
            }
            first = false;
        }
        let is_end = page.next.is_none() || page.next == after;
        if is_end && call.json {
            text.push_str("],\"next\":null}\n");
        }
        if output.write(std::mem::take(&mut text).into_bytes()).await? == Pipe::Closed || is_end {
            return Ok(());
        }
        after = page.next;
    }
}

async fn redrive(args: RedriveArgs) -> Result {
    let json = args.call.json;
    if args.id.is_some() && !args.filter.is_open() {
        return Err(Failure::usage("a letter's id and a filter do not go together"));
    }
    let Connection { client, app } = args.call.connection.connect().await?;
    if let Some(id) = &args.id {
        let redriven = client.redrive_dead_letter(&app, id, None).await?;
        return Ok(say_as(json, &redriven, |one| format!("{} is due again", printable(&one.source)))?);
    }
    let filter = args.filter.into();
    if args.dry_run {
        let matches = client.count_dead_letters(&app, &filter).await?;
        let text = |_: &_| format!("{matches} letters would be redriven");
        return Ok(say_as(json, &json!({ "matches": matches }), text)?);
    }
    let pace = RedrivePace { rate: args.rate, max: args.max };
    let mut run = client.redrive_dead_letters(&app, &filter, &pace, None).await?;
    if args.wait {
        let id = run.id.clone();
        let end = async {
            while run.state == "running" {
                note(&format!("{}: {} of {} letters", run.id, run.redriven, run.matched));
                tokio::time::sleep(LOOK).await;
                run = client.show_redrive(&app, &run.id).await?;
            }
            Ok::<_, Failure>(run)
        };
        run = tokio::select! {
            ended = end => ended?,
            () = interrupted() => {
                note(&format!("{id} goes on; `angarium dead-letters stop {id}` stops it"));
                return Ok(());
            }
        };
    }
    Ok(say_as(json, &run, |run| redrives_text(std::slice::from_ref(run)))?)
}

async fn delete_all(filter: DeadLetterFilter, call: CallArgs) -> Result {
    let Connection { client, app } = call.connection.connect().await?;
    let mut deleted = 0;
    loop {
        let piece = client.delete_dead_letters(&app, &filter).await?;
        deleted += piece.deleted;
        if !piece.more {
            break;
        }
    }
    match call.json {
        true => Ok(say(&json!({ "deleted": deleted }).to_string())?),
        false => Ok(say(&format!("deleted {deleted} letters"))?),
    }
}

fn json_of(letter: &DeadLetter) -> Result<String> {
    serde_json::to_string(letter).map_err(|error| Failure::new(error.to_string()))
}

/// `2026-01-01T10:05:03.120Z  dead_1  message msg_1  schema_mismatch  3 attempts  the reason`
fn line(letter: &DeadLetter) -> String {
    let DeadLetter { id, kind, code, reason, attempts, last_at, source, .. } = letter;
    let text = format!("{last_at}  {id}  {kind} {source}  {code}  attempts={attempts}  {reason}");
    format!("{}\n", printable(&text))
}

fn letter_text(letter: &DeadLetter) -> String {
    let rows = [
        ["letter".into(), letter.id.clone()],
        ["kind".into(), printable(&letter.kind)],
        ["source".into(), printable(&letter.source)],
        ["link".into(), printable(&letter.link)],
        ["code".into(), printable(&letter.code)],
        ["reason".into(), printable(&letter.reason)],
        ["attempts".into(), letter.attempts.to_string()],
        ["first tried".into(), letter.first_at.clone()],
        ["given up".into(), letter.last_at.clone()],
        ["media type".into(), printable(&letter.media_type)],
        ["bytes".into(), letter.size_bytes.to_string()],
    ];
    match &letter.body {
        Some(body) => format!("{}\n\n{}", aligned(&rows), printable(body.get())),
        None => aligned(&rows),
    }
}

fn redrives_text(runs: &[Redrive]) -> String {
    let row = |run: &Redrive| {
        [
            run.id.clone(),
            run.state.clone(),
            run.matched.to_string(),
            run.redriven.to_string(),
            run.failed.to_string(),
            format!("{}/s", run.rate),
            run.started_at.clone(),
            or_dash(run.ended_at.as_deref()),
        ]
    };
    let titles = ["REDRIVE", "STATE", "MATCHED", "REDRIVEN", "FAILED", "RATE", "STARTED", "ENDED"];
    titled(titles, runs.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_a_line_that_says_what_when_and_why() {
        let letter: DeadLetter = serde_json::from_value(json!({
            "id": "dead_1", "kind": "message", "code": "schema_mismatch", "reason": "no\u{1b}name", "attempts": 3,
            "first_at": "2026-01-01T10:05:01.000Z", "last_at": "2026-01-01T10:05:03.120Z", "source": "msg_1",
            "link": "/m", "media_type": "application/json", "size_bytes": 2,
        }))
        .unwrap();
        assert_eq!(
            line(&letter),
            "2026-01-01T10:05:03.120Z  dead_1  message msg_1  schema_mismatch  attempts=3  no\\u{1b}name\n"
        );
    }
}
