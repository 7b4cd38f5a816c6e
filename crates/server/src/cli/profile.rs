//! `angarium profile set|list|delete`: servers and keys by name, for the commands that speak to a server.

use super::{
    failure::{Failure, Result},
    output::say,
    profiles::{Profile, Profiles},
    table::{or_dash, titled},
};
use angarium_client::Client;
use serde_json::json;
use std::{io::BufRead, path::PathBuf};

#[derive(clap::Args)]
pub struct ProfileArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Make a profile, or change what is given of one
    Set(SetArgs),
    /// Show the profiles, without their keys
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Forget a profile
    Delete { name: String },
}

#[derive(clap::Args)]
struct SetArgs {
    /// Letters, digits, - and _
    name: String,
    /// The server
    #[arg(long)]
    url: Option<String>,
    /// An API key; `-` reads it from standard input, which keeps it out of the shell's history
    #[arg(long, conflicts_with = "token")]
    key: Option<String>,
    /// A token, in place of a key; `-` reads it from standard input
    #[arg(long)]
    token: Option<String>,
    /// The app, by id or bundle id
    #[arg(long)]
    app: Option<String>,
    /// The authorities to trust, a file in PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Make it the one that holds where no profile and no server is named; the first one is that anyway
    #[arg(long)]
    default: bool,
}

pub fn run(args: ProfileArgs) -> Result {
    match args.action {
        Action::Set(args) => set(args),
        Action::List { json } => list(json),
        Action::Delete { name } => {
            Profiles::edit(|profiles| {
                profiles.named(&name)?;
                profiles.profiles.remove(&name);
                profiles.default.take_if(|default| *default == name);
                Ok(())
            })?;
            Ok(say(&format!("the profile {name} is forgotten"))?)
        }
    }
}

fn set(args: SetArgs) -> Result {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if args.name.is_empty() || args.name.len() > 64 || !args.name.chars().all(is_name) {
        return Err(Failure::usage("a profile's name has 1 to 64 letters, digits, - and _"));
    }
    let given = Profile {
        url: args.url,
        key: args.key.map(spoken).transpose()?,
        token: args.token.map(spoken).transpose()?,
        app: args.app,
        // A relative path would mean another file in another folder.
        ca: args.ca.map(std::path::absolute).transpose()?,
    };
    let (name, wanted) = (args.name.clone(), args.default);
    let is_default = Profiles::edit(|profiles| {
        let is_first = profiles.profiles.is_empty();
        let profile = merged(profiles.profiles.remove(&name).unwrap_or_default(), given);
        let Some(url) = &profile.url else {
            return Err(Failure::usage("a profile names a server: give --url"));
        };
        // Says what is wrong with them before they are kept.
        Client::new(
            &url.replacen("https:", "http:", 1),
            profile.key.as_deref().or(profile.token.as_deref()),
        )?;
        profiles.profiles.insert(name.clone(), profile);
        if wanted || is_first {
            profiles.default = Some(name.clone());
        }
        Ok(profiles.default.as_deref() == Some(&name))
    })?;
    let default = if is_default { ", and holds where none is named" } else { "" };
    Ok(say(&format!("the profile {} is set{default}", args.name))?)
}

/// What is given, over what was there. A profile has a key or a token.
fn merged(old: Profile, given: Profile) -> Profile {
    let (key, token) = match (given.key, given.token) {
        (None, None) => (old.key, old.token),
        new => new,
    };
    Profile { url: given.url.or(old.url), key, token, app: given.app.or(old.app), ca: given.ca.or(old.ca) }
}

/// The secret itself, or the first line of standard input.
fn spoken(text: String) -> Result<String> {
    if text != "-" {
        return Ok(text);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    match line.trim() {
        "" => Err(Failure::usage("there is nothing on standard input")),
        secret => Ok(secret.to_owned()),
    }
}

fn list(json: bool) -> Result {
    let profiles = Profiles::load()?;
    let is_default = |name: &str| profiles.default.as_deref() == Some(name);
    let with = |profile: &Profile| match (&profile.key, &profile.token) {
        (Some(_), _) => Some("key"),
        (None, Some(_)) => Some("token"),
        (None, None) => None,
    };
    if json {
        let items: Vec<_> = profiles
            .profiles
            .iter()
            .map(|(name, profile)| {
                json!({ "name": name, "url": profile.url, "with": with(profile), "app": profile.app,
                        "ca": profile.ca, "default": is_default(name) })
            })
            .collect();
        return Ok(say(&json!({ "items": items }).to_string())?);
    }
    let rows = profiles.profiles.iter().map(|(name, profile)| {
        let star = if is_default(name) { " *" } else { "" };
        [
            format!("{name}{star}"),
            or_dash(profile.url.as_deref()),
            or_dash(with(profile)),
            or_dash(profile.app.as_deref()),
            or_dash(profile.ca.as_ref().and_then(|file| file.to_str())),
        ]
    });
    Ok(say(&titled(["PROFILE", "URL", "WITH", "APP", "CA"], rows))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_stays_and_a_token_takes_the_place_of_a_key() {
        let text = |text: &str| Some(text.to_owned());
        let old = Profile { url: text("http://h"), key: text("k"), app: text("a"), ..Profile::default() };
        let new = merged(old.clone(), Profile { token: text("t"), ..Profile::default() });
        let expected =
            Profile { url: text("http://h"), token: text("t"), app: text("a"), ..Profile::default() };
        assert!(new == expected);
        let new = merged(old.clone(), Profile { app: text("b"), ..Profile::default() });
        assert!(new == Profile { app: text("b"), ..old });
    }
}
