//! Which server a client command talks to, with which key, about which app: each by flag, else by variable, else by
//! profile, else by default.

use super::{
    failure::{Failure, Result},
    profiles::{Profile, Profiles},
};
use angarium_client::{App, Client};
use std::path::PathBuf;

#[derive(clap::Args, Clone, Default)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// The server [default: the profile's, else http://127.0.0.1:8080]
    #[arg(long, env = "ANGARIUM_URL")]
    pub url: Option<String>,
    /// An API key or a token; the first start of a server prints keys, and keeps them in first-start.json of its data directory
    #[arg(long, env = "ANGARIUM_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Trust the authorities in this file (PEM) and no others, for a server whose certificate is by a private one
    #[arg(long, env = "ANGARIUM_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The app, by id or bundle id [default: the profile's, else the only app of the key]
    #[arg(long, env = "ANGARIUM_APP")]
    pub app: Option<String>,
    /// Take what is not said here from this profile (see `angarium profile`) [default: the default one, if --url is not given]
    #[arg(long, env = "ANGARIUM_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,
}

/// What client commands take that print a table or JSON.
#[derive(clap::Args, Clone)]
pub struct CallArgs {
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Which server, with which key, about which app.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub url: String,
    pub key: Option<String>,
    pub ca: Option<PathBuf>,
    pub app: Option<String>,
}

/// A client and the app its commands are about.
pub struct Connection {
    pub client: Client,
    pub app: String,
}

const DEFAULT_URL: &str = "http://127.0.0.1:8080";

impl ConnectionArgs {
    /// What the command line, the environment and the profile say together.
    pub fn target(&self) -> Result<Target> {
        let (url, named) = (said(&self.url), said(&self.profile));
        let profile = match (named, url) {
            (Some(name), _) => Profiles::load()?.named(name)?.clone(),
            // Whoever names a server means that one, and no other's key.
            (None, Some(_)) => Profile::default(),
            (None, None) => Profiles::load()?.default_one()?.cloned().unwrap_or_default(),
        };
        Ok(self.over(profile))
    }

    fn over(&self, profile: Profile) -> Target {
        let or = |given: &Option<String>, else_one: Option<String>| {
            said(given).map(str::to_owned).or(else_one.filter(|text| !text.is_empty()))
        };
        Target {
            url: or(&self.url, profile.url).unwrap_or_else(|| DEFAULT_URL.into()),
            key: or(&self.key, profile.key.or(profile.token)),
            ca: self.ca.clone().or(profile.ca).filter(|file| !file.as_os_str().is_empty()),
            app: or(&self.app, profile.app),
        }
    }

    /// A client with a key, and its app, asked of the server if nothing names it.
    pub async fn connect(&self) -> Result<Connection> {
        let target = self.target()?;
        target.connect_by(target.keyed_client()?).await
    }
}

/// An empty variable is none.
fn said(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

impl Target {
    /// A client; nothing is sent yet.
    pub fn client(&self) -> Result<Client> {
        let key = self.key.as_deref();
        let Some(file) = &self.ca else { return Ok(Client::new(&self.url, key)?) };
        let named = |error: String| Failure::usage(format!("--ca {}: {error}", file.display()));
        let pem = std::fs::read(file).map_err(|error| named(format!("it cannot be read: {error}")))?;
        Client::with_ca(&self.url, key, &pem).map_err(|error| named(error.to_string()))
    }

    /// A client with a key.
    pub fn keyed_client(&self) -> Result<Client> {
        if self.key.is_none() {
            return Err(Failure::usage(
                "there is no key: give --key, set ANGARIUM_KEY, or make a profile (`angarium profile set`); \
                 the first start of a server prints one, and keeps it in first-start.json of its data directory",
            ));
        }
        self.client()
    }

    /// The app by a client that is there.
    pub async fn connect_by(&self, client: Client) -> Result<Connection> {
        let app = match &self.app {
            Some(app) => app.clone(),
            None => only_app(client.list_apps().await?)?,
        };
        Ok(Connection { client, app })
    }
}

fn only_app(mut apps: Vec<App>) -> Result<String> {
    match apps.len() {
        0 => Err(Failure::new("this key has no app; create one, or use another key")),
        1 => Ok(apps.remove(0).id),
        _ => {
            let names: Vec<&str> = apps.iter().map(|app| app.bundle_id.as_str()).collect();
            Err(Failure::usage(format!("say which app with --app: {}", names.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_may_be_left_out_only_if_there_is_one() {
        let app = |n: u8| App {
            id: format!("app_{n}"),
            name: "Shop".into(),
            bundle_id: format!("com.acme.shop{n}"),
            truncate_addresses: false,
            cors_origins: Vec::new(),
            created_at: "2026-01-01T00:00:00.000Z".into(),
        };
        assert_eq!(only_app(vec![app(1)]), Ok("app_1".into()));
        assert_eq!(only_app(vec![]).unwrap_err().exit_code(), 1);
        let several = only_app(vec![app(1), app(2)]).unwrap_err();
        assert_eq!(several.exit_code(), 2);
        assert_eq!(several.message, "say which app with --app: com.acme.shop1, com.acme.shop2");
    }

    #[test]
    fn what_is_said_wins_over_the_profile_and_the_profile_over_the_default() {
        let text = |text: &str| Some(text.to_owned());
        let profile = Profile {
            url: text("https://h"),
            key: text("k"),
            app: text("com.acme.shop"),
            ca: Some("ca.pem".into()),
            ..Profile::default()
        };
        let said = ConnectionArgs { key: text("mine"), app: text(""), ..ConnectionArgs::default() };
        let expected = Target {
            url: "https://h".into(),
            key: text("mine"),
            ca: Some("ca.pem".into()),
            app: text("com.acme.shop"),
        };
        assert!(said.over(profile.clone()) == expected, "an empty variable is none");
        let said = ConnectionArgs { url: text("http://other"), ..ConnectionArgs::default() };
        assert_eq!(said.over(profile).url, "http://other");
        let token = Profile { token: text("ey"), ..Profile::default() };
        let target = ConnectionArgs::default().over(token);
        assert_eq!((target.url.as_str(), target.key.as_deref()), (DEFAULT_URL, Some("ey")));
    }

    #[test]
    fn a_server_that_is_named_gets_no_key_of_a_profile_that_is_not() {
        let said = ConnectionArgs { url: Some("http://other".into()), ..ConnectionArgs::default() };
        assert_eq!(said.target().unwrap().key, None);
    }
}
