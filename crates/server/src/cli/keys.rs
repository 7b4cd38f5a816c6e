//! `angarium keys …`: the API keys of an app.

use super::{
    apps::say_deleted,
    connection::{CallArgs, Connection},
    failure::{Failure, Result},
    grants::role_parser,
    output::{say, say_as},
    table::{aligned, or_dash, printable, titled},
};
use angarium_base::{Clock, clock::Millis, time};
use angarium_client::{Key, KeyMade, NewKey, Page, Role};
use angarium_kit::http::parse_duration;
use std::time::Duration;

#[derive(clap::Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Show the keys, without their secrets
    List(CallArgs),
    /// Make a key; its secret is printed once
    Create {
        #[command(flatten)]
        new: NewKeyArgs,
        #[command(flatten)]
        secret: SecretArgs,
        #[command(flatten)]
        call: CallArgs,
    },
    /// Show a key, without its secret
    Show {
        /// The key's id
        id: String,
        #[command(flatten)]
        call: CallArgs,
    },
    /// Make a key like another one, which is good for a while still
    Rotate {
        /// The key's id
        id: String,
        /// How long the old key is good still: 0s ends it at once, 30d at most [default: 24h]
        #[arg(long, value_parser = duration)]
        overlap: Option<Duration>,
        #[command(flatten)]
        secret: SecretArgs,
        #[command(flatten)]
        call: CallArgs,
    },
    /// Revoke a key
    Delete {
        /// The key's id
        id: String,
        #[command(flatten)]
        call: CallArgs,
    },
}

#[derive(clap::Args)]
pub struct NewKeyArgs {
    /// Its name, for people
    #[arg(long)]
    name: String,
    /// What it may do; `ingest` makes a write key, which may be inside an app or a page
    #[arg(long, value_parser = role_parser(&Role::ALL))]
    role: Role,
    /// When it ends: after a time such as 12h or 90d, or at an instant (RFC 3339) [default: never]
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Expiry>,
}

#[derive(clap::Args)]
pub struct SecretArgs {
    /// Print the secret alone, for scripts
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
}

/// When a key ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expiry {
    After(Duration),
    At(String),
}

pub async fn run(args: KeysArgs) -> Result {
    match args.action {
        Action::List(call) => {
            let Connection { client, app } = call.connection.connect().await?;
            say_keys(call.json, client.list_keys(&app).await?)
        }
        Action::Create { new, secret, call } => {
            let Connection { client, app } = call.connection.connect().await?;
            let new = new.into_new(Clock::system().now())?;
            say_made(call.json, secret.quiet, &client.create_key(&app, &new, None).await?)
        }
        Action::Show { id, call } => {
            let Connection { client, app } = call.connection.connect().await?;
            let key = client.show_key(&app, &id).await?;
            Ok(say_as(call.json, &key, |key| aligned(&rows(key)))?)
        }
        Action::Rotate { id, overlap, secret, call } => {
            let Connection { client, app } = call.connection.connect().await?;
            say_made(call.json, secret.quiet, &client.rotate_key(&app, &id, overlap, None).await?)
        }
        Action::Delete { id, call } => {
            let Connection { client, app } = call.connection.connect().await?;
            client.delete_key(&app, &id).await?;
            say_deleted(call.json, &id)
        }
    }
}

/// A flag's duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration("it", text)
        .map_err(|_| format!("`{text}` is not a duration such as 500ms, 20s, 5m, 2h or 1d"))
}

fn expiry(text: &str) -> Result<Expiry, String> {
    if time::parse(text).is_some() {
        return Ok(Expiry::At(text.to_owned()));
    }
    let after = duration(text).ok().filter(|after| !after.is_zero());
    after.map(Expiry::After).ok_or_else(|| "a time such as 12h or 90d, or an instant (RFC 3339)".into())
}

impl NewKeyArgs {
    pub fn into_new(self, now: Millis) -> Result<NewKey> {
        let expires_at = self.expires.map(|expires| expires.instant(now)).transpose()?;
        Ok(NewKey { name: self.name, role: self.role, expires_at })
    }
}

impl Expiry {
    fn instant(self, now: Millis) -> Result<String> {
        match self {
            Expiry::At(instant) => Ok(instant),
            Expiry::After(after) => instant_after(now, after).map(time::format),
        }
    }
}

/// So long from now. More than a century is a slip.
pub fn instant_after(now: Millis, after: Duration) -> Result<Millis> {
    const CENTURY_MS: Millis = 36_525 * 86_400_000;
    let after = Millis::try_from(after.as_millis()).ok().filter(|after| *after <= CENTURY_MS);
    after.map(|after| now + after).ok_or_else(|| Failure::usage("it would end in more than a hundred years"))
}

pub fn say_keys(json: bool, keys: Vec<Key>) -> Result {
    Ok(say_as(json, &Page { items: keys, next: None }, |page| {
        let row = |key: &Key| {
            [
                key.id.clone(),
                printable(&key.name),
                key.role.clone(),
                format!("{}…", key.hint),
                key.created_at.clone(),
                or_dash(key.expires_at.as_deref()),
                or_dash(key.last_used_at.as_deref()),
            ]
        };
        titled(
            ["KEY", "NAME", "ROLE", "BEGINS", "CREATED", "EXPIRES", "LAST USED"],
            page.items.iter().map(row),
        )
    })?)
}

/// Prints a new key; its secret is nowhere else.
pub fn say_made(json: bool, quiet: bool, made: &KeyMade) -> Result {
    if quiet {
        return Ok(say(&made.key)?);
    }
    Ok(say_as(json, made, |made| {
        let secret = [["secret".to_owned(), format!("{}   (shown once)", made.key)]];
        aligned(&[&secret[..], &rows(&made.view)].concat())
    })?)
}

fn rows(key: &Key) -> [[String; 2]; 7] {
    [
        ["key".into(), key.id.clone()],
        ["name".into(), printable(&key.name)],
        ["role".into(), key.role.clone()],
        ["begins".into(), format!("{}…", key.hint)],
        ["created".into(), key.created_at.clone()],
        ["expires".into(), or_dash(key.expires_at.as_deref())],
        ["last used".into(), or_dash(key.last_used_at.as_deref())],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_from_now_or_an_instant() {
        assert_eq!(expiry("90d"), Ok(Expiry::After(Duration::from_secs(90 * 86_400))));
        assert_eq!(expiry("2031-01-31T12:00:00Z"), Ok(Expiry::At("2031-01-31T12:00:00Z".into())));
        for wrong in ["", "0s", "soon", "2031-01-31"] {
            assert!(expiry(wrong).is_err(), "{wrong}");
        }
        let at = |after| Expiry::After(after).instant(1_767_225_600_000);
        assert_eq!(at(Duration::from_secs(3_600)).unwrap(), "2026-01-01T01:00:00.000Z");
        assert!(at(Duration::from_secs(u64::MAX / 1_000)).unwrap_err().is_usage);
    }
}
