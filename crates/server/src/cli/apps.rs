//! `angarium apps …` and `angarium whoami`: one's own apps, and who one is.

use super::{
    connection::{CallArgs, Connection},
    failure::{Failure, Result},
    output::{note, say, say_as},
    table::{aligned, or_dash, printable, titled},
};
use angarium_client::{App, AppChange, Identity, NewApp, Page};
use std::io::{BufRead, IsTerminal};

#[derive(clap::Args)]
pub struct AppsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Show your apps
    List(CallArgs),
    /// Make an app, and be its admin; takes a token, as a key belongs to one app (or see `angarium admin apps create`)
    Create {
        #[command(flatten)]
        new: NewAppArgs,
        #[command(flatten)]
        call: CallArgs,
    },
    /// Show an app
    Show(CallArgs),
    /// Change what is given of an app
    Change(ChangeArgs),
    /// Delete an app and all that it owns; its data goes in the background
    Delete(DeleteArgs),
}

#[derive(clap::Args)]
pub struct NewAppArgs {
    /// Its name, for people
    #[arg(long)]
    name: String,
    /// Three or more parts of lower-case letters and digits between dots, such as com.acme.shop
    #[arg(long)]
    bundle_id: String,
}

#[derive(clap::Args)]
struct ChangeArgs {
    /// Another name
    #[arg(long)]
    name: Option<String>,
    /// Another bundle id
    #[arg(long)]
    bundle_id: Option<String>,
    /// Whether client addresses are kept without their last part
    #[arg(long, value_name = "BOOL")]
    truncate_addresses: Option<bool>,
    /// The pages that may call from a browser, such as https://shop.example; all of them, one a flag; `*` is all there are
    #[arg(long = "cors-origin", value_name = "ORIGIN")]
    cors_origins: Vec<String>,
    /// No page may call from a browser
    #[arg(long, conflicts_with = "cors_origins")]
    no_cors_origins: bool,
    #[command(flatten)]
    call: CallArgs,
}

#[derive(clap::Args)]
struct DeleteArgs {
    /// The app, by id or bundle id
    #[arg(value_name = "APP")]
    which: String,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    call: CallArgs,
}

#[derive(clap::Args)]
pub struct ConfirmArgs {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

pub async fn run(args: AppsArgs) -> Result {
    match args.action {
        Action::List(call) => {
            let apps = call.connection.target()?.keyed_client()?.list_apps().await?;
            say_apps(call.json, apps)
        }
        Action::Create { new, call } => {
            let client = call.connection.target()?.keyed_client()?;
            say_app(call.json, &client.create_app(&new.into(), None).await?)
        }
        Action::Show(call) => {
            let Connection { client, app } = call.connection.connect().await?;
            say_app(call.json, &client.show_app(&app).await?)
        }
        Action::Change(args) => {
            let change = change(&args)?;
            let Connection { client, app } = args.call.connection.connect().await?;
            say_app(args.call.json, &client.change_app(&app, &change).await?)
        }
        Action::Delete(args) => {
            let client = args.call.connection.target()?.keyed_client()?;
            args.confirm.can_ask()?;
            let app = client.show_app(&args.which).await?;
            args.confirm.ask(&app.bundle_id)?;
            // By id: a bundle id may be another app's by now.
            client.delete_app(&app.id).await?;
            say_deleted(args.call.json, &app.bundle_id)
        }
    }
}

/// `angarium whoami`
pub async fn whoami(call: CallArgs) -> Result {
    let identity = call.connection.target()?.keyed_client()?.show_identity().await?;
    Ok(say_as(call.json, &identity, identity_text)?)
}

impl From<NewAppArgs> for NewApp {
    fn from(args: NewAppArgs) -> NewApp {
        NewApp { name: args.name, bundle_id: args.bundle_id }
    }
}

fn change(args: &ChangeArgs) -> Result<AppChange> {
    let cors_origins = match (args.cors_origins.as_slice(), args.no_cors_origins) {
        ([], false) => None,
        (origins, _) => Some(origins.to_vec()),
    };
    let change = AppChange {
        name: args.name.clone(),
        bundle_id: args.bundle_id.clone(),
        truncate_addresses: args.truncate_addresses,
        cors_origins,
    };
    if change == AppChange::default() {
        return Err(Failure::usage("there is nothing to change: give --name, --bundle-id or another flag"));
    }
    Ok(change)
}

impl ConfirmArgs {
    /// Whether somebody is there who can be asked, or need not be.
    pub fn can_ask(&self) -> Result {
        if self.yes || std::io::stdin().is_terminal() {
            return Ok(());
        }
        Err(Failure::usage(
            "this deletes an app and all that it owns, and nobody is there to be asked: give --yes",
        ))
    }

    /// Returns if the deletion is wanted.
    pub fn ask(&self, bundle_id: &str) -> Result {
        if self.yes {
            return Ok(());
        }
        note(&format!(
            "this deletes {bundle_id} and all that it owns, for ever; type its bundle id to go on:"
        ));
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        match line.trim() == bundle_id {
            true => Ok(()),
            false => Err(Failure::new("nothing was deleted: that is not its bundle id")),
        }
    }
}

pub fn say_apps(json: bool, apps: Vec<App>) -> Result {
    Ok(say_as(json, &Page { items: apps, next: None }, |page| {
        let row =
            |app: &App| [app.id.clone(), app.bundle_id.clone(), printable(&app.name), app.created_at.clone()];
        titled(["APP", "BUNDLE ID", "NAME", "CREATED"], page.items.iter().map(row))
    })?)
}

pub fn say_app(json: bool, app: &App) -> Result {
    Ok(say_as(json, app, |app| {
        let origins = app.cors_origins.join(", ");
        aligned(&[
            ["app".into(), app.id.clone()],
            ["bundle id".into(), app.bundle_id.clone()],
            ["name".into(), printable(&app.name)],
            ["addresses".into(), if app.truncate_addresses { "truncated" } else { "whole" }.into()],
            ["cors origins".into(), or_dash(Some(&origins))],
            ["created".into(), app.created_at.clone()],
        ])
    })?)
}

/// The API answers a deletion with nothing, and so does `--json`.
pub fn say_deleted(json: bool, what: &str) -> Result {
    if json {
        return Ok(());
    }
    Ok(say(&format!("deleted {what}"))?)
}

fn identity_text(identity: &Identity) -> String {
    let mut rows = vec![[identity.kind.clone(), printable(&identity.id)]];
    for (title, text) in [
        ("name", &identity.name),
        ("issuer", &identity.issuer),
        ("tenant", &identity.tenant),
        ("email", &identity.email),
    ] {
        rows.extend(text.as_ref().map(|text| [title.to_owned(), printable(text)]));
    }
    let apps = identity
        .apps
        .iter()
        .map(|app| [app.id.clone(), app.bundle_id.clone(), printable(&app.name), app.roles.join(", ")]);
    format!("{}\n\n{}", aligned(&rows), titled(["APP", "BUNDLE ID", "NAME", "ROLES"], apps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: ChangeArgs,
    }

    fn asked(flags: &[&str]) -> Result<AppChange> {
        change(&Only::try_parse_from([&["x"], flags].concat()).unwrap().args)
    }

    #[test]
    fn only_what_is_given_of_an_app_is_changed() {
        let origins = |origins: &[&str]| Some(origins.iter().map(|&origin| origin.to_owned()).collect());
        let none = AppChange::default();
        assert_eq!(asked(&["--name", "a"]).unwrap(), AppChange { name: Some("a".into()), ..none.clone() });
        let two = asked(&["--cors-origin", "https://a", "--cors-origin", "https://b"]).unwrap();
        assert_eq!(two, AppChange { cors_origins: origins(&["https://a", "https://b"]), ..none.clone() });
        assert_eq!(
            asked(&["--no-cors-origins"]).unwrap(),
            AppChange { cors_origins: origins(&[]), ..none.clone() }
        );
        let truncated = asked(&["--truncate-addresses", "false"]).unwrap();
        assert_eq!(truncated, AppChange { truncate_addresses: Some(false), ..none });
        assert!(asked(&[]).unwrap_err().is_usage);
    }
}
