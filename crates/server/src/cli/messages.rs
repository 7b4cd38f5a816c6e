//! `angarium messages …`: sending documents, reading them, and what they may be.

use super::{
    apps::say_deleted,
    connection::{CallArgs, Connection},
    failure::{Failure, Result},
    output::{note, say_as},
    table::{aligned, printable, titled},
};
use angarium_client::{ListMessages, Message, MessageSchema};
use serde_json::value::RawValue;
use std::{io::Read, path::PathBuf};

#[derive(clap::Args)]
pub struct MessagesArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Send a JSON document
    Send {
        /// The document; read from standard input, if it is `-`
        document: String,
        /// A second request with the same key is the same message [default: a random one]
        #[arg(long)]
        idempotency_key: Option<String>,
        #[command(flatten)]
        call: CallArgs,
    },
    /// Show a page of messages, in the order in which they were persisted
    List(ListArgs),
    /// Show a message
    Show {
        /// The message's id
        message: String,
        #[command(flatten)]
        call: CallArgs,
    },
    /// What messages may be
    Schema {
        #[command(subcommand)]
        action: SchemaAction,
    },
}

#[derive(clap::Args)]
struct ListArgs {
    /// Persisted at or after this instant (RFC 3339)
    #[arg(long)]
    from: Option<String>,
    /// Persisted before this instant (RFC 3339)
    #[arg(long)]
    to: Option<String>,
    /// Go on after this cursor: a message's own, or `next` of a page
    #[arg(long)]
    after: Option<String>,
    /// How many at most
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    call: CallArgs,
}

#[derive(clap::Subcommand)]
enum SchemaAction {
    /// Show the JSON Schema that messages are checked by
    Show(CallArgs),
    /// Check messages by a JSON Schema from now on
    Set {
        /// A file with the schema
        file: PathBuf,
        /// Take others in all the same, as dead letters, instead of refusing them
        #[arg(long)]
        set_aside: bool,
        #[command(flatten)]
        call: CallArgs,
    },
    /// Take every JSON document again
    Delete(CallArgs),
}

pub async fn run(args: MessagesArgs) -> Result {
    match args.action {
        Action::Send { document, idempotency_key, call } => {
            let document = read_document(document)?;
            let Connection { client, app } = call.connection.connect().await?;
            let taken = client.send_message(&app, &document, idempotency_key.as_deref()).await?;
            Ok(say_as(call.json, &taken, |taken| format!("accepted {}", taken.id))?)
        }
        Action::List(args) => list(args).await,
        Action::Show { message, call } => {
            let Connection { client, app } = call.connection.connect().await?;
            Ok(say_as(call.json, &client.show_message(&app, &message).await?, shown)?)
        }
        Action::Schema { action } => schema(action).await,
    }
}

/// The document as it was written.
fn read_document(given: String) -> Result<Box<RawValue>> {
    if given != "-" {
        return RawValue::from_string(given)
            .map_err(|error| Failure::usage(format!("the document is no JSON: {error}")));
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
    RawValue::from_string(text).map_err(|error| Failure::new(format!("the document is no JSON: {error}")))
}

async fn list(args: ListArgs) -> Result {
    let list = ListMessages { from: args.from, to: args.to, after: args.after, limit: Some(args.limit) };
    let Connection { client, app } = args.call.connection.connect().await?;
    let page = client.list_messages(&app, &list).await?;
    say_as(args.call.json, &page, |page| {
        let row = |message: &Message| {
            let at = message.persisted_at.clone().unwrap_or_default();
            [at, message.id.clone(), printable(message.body.get())]
        };
        titled(["PERSISTED", "ID", "BODY"], page.items.iter().map(row))
    })?;
    if let (Some(next), false) = (&page.next, args.call.json) {
        note(&format!("there is more: --after {next}"));
    }
    Ok(())
}

fn shown(message: &Message) -> String {
    let mut rows = vec![
        ["message".to_owned(), message.id.clone()],
        ["received".to_owned(), message.received_at.clone()],
        ["persisted".to_owned(), message.persisted_at.clone().unwrap_or_else(|| "not yet".to_owned())],
    ];
    if let (Some(attempts), Some(reason)) = (message.attempts, &message.reason) {
        rows.push(["attempts".to_owned(), attempts.to_string()]);
        rows.push(["reason".to_owned(), printable(reason)]);
    }
    rows.push(["body".to_owned(), printable(message.body.get())]);
    aligned(&rows)
}

async fn schema(action: SchemaAction) -> Result {
    match action {
        SchemaAction::Show(call) => {
            let Connection { client, app } = call.connection.connect().await?;
            say_schema(call.json, &client.show_message_schema(&app).await?)
        }
        SchemaAction::Set { file, set_aside, call } => {
            let cannot = |error: String| Failure::new(format!("{}: {error}", file.display()));
            let text = std::fs::read_to_string(&file).map_err(|error| cannot(error.to_string()))?;
            let schema = serde_json::from_str(&text).map_err(|error| cannot(format!("no JSON: {error}")))?;
            let on_mismatch = if set_aside { "set_aside" } else { "refuse" }.to_owned();
            let Connection { client, app } = call.connection.connect().await?;
            say_schema(
                call.json,
                &client.put_message_schema(&app, &MessageSchema { schema, on_mismatch }).await?,
            )
        }
        SchemaAction::Delete(call) => {
            let Connection { client, app } = call.connection.connect().await?;
            client.delete_message_schema(&app).await?;
            say_deleted(call.json, "the schema")
        }
    }
}

fn say_schema(json: bool, schema: &MessageSchema) -> Result {
    Ok(say_as(json, schema, |schema| {
        aligned(&[
            ["on mismatch".into(), schema.on_mismatch.clone()],
            ["schema".into(), schema.schema.to_string()],
        ])
    })?)
}
