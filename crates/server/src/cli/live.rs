//! `angarium live …`: tokens for browsers that follow the live feed, and who is connected to it.

use super::{
    connection::{CallArgs, Connection},
    failure::{Failure, Result},
    keys::{SecretArgs, duration},
    output::{say, say_as},
    table::{aligned, or_dash, printable, titled},
};
use angarium_client::{LiveTokenMade, NewLiveToken, Present};
use std::time::Duration;

#[derive(clap::Args)]
pub struct LiveArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Make a token with which a browser follows some streams for some minutes
    Token {
        #[command(flatten)]
        new: NewTokenArgs,
        #[command(flatten)]
        secret: SecretArgs,
        #[command(flatten)]
        call: CallArgs,
    },
    /// Show who is connected, by principal
    Presence(CallArgs),
}

#[derive(clap::Args)]
struct NewTokenArgs {
    /// What may be followed, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "events")]
    streams: Vec<String>,
    /// For how long: 1m to 1h [default: 10m]
    #[arg(long, value_parser = duration)]
    ttl: Option<Duration>,
    /// Who it is for, as presence shows it
    #[arg(long)]
    subject: Option<String>,
    /// It may ask who else follows
    #[arg(long)]
    presence: bool,
}

pub async fn run(args: LiveArgs) -> Result {
    match args.action {
        Action::Token { new, secret, call } => {
            let new = new.into_new()?;
            let Connection { client, app } = call.connection.connect().await?;
            let made = client.create_live_token(&app, &new).await?;
            match secret.quiet {
                true => Ok(say(&made.token)?),
                false => Ok(say_as(call.json, &made, |made| aligned(&rows(made)))?),
            }
        }
        Action::Presence(call) => {
            let Connection { client, app } = call.connection.connect().await?;
            Ok(say_as(call.json, &client.show_presence(&app).await?, |presence| {
                let titles = ["KIND", "ID", "NAME", "CONNECTIONS", "SINCE", "PROTOCOLS", "STREAMS"];
                titled(titles, presence.items.iter().map(row))
            })?)
        }
    }
}

impl NewTokenArgs {
    fn into_new(self) -> Result<NewLiveToken> {
        let ttl_s = self.ttl.map(|ttl| u32::try_from(ttl.as_secs())).transpose();
        let ttl_s = ttl_s.map_err(|_| Failure::usage("a live token is good for an hour at most"))?;
        Ok(NewLiveToken { streams: self.streams, ttl_s, subject: self.subject, presence: self.presence })
    }
}

fn rows(made: &LiveTokenMade) -> [[String; 2]; 3] {
    [
        ["token".into(), made.token.clone()],
        ["expires".into(), made.expires_at.clone()],
        ["streams".into(), made.streams.join(", ")],
    ]
}

fn row(present: &Present) -> [String; 7] {
    [
        present.kind.clone(),
        printable(&present.id),
        or_dash(present.name.as_deref().map(printable).as_deref()),
        present.connections.to_string(),
        present.since.clone(),
        present.protocols.join(", "),
        present.streams.join(", "),
    ]
}
