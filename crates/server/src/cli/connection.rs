//! Which server a client command talks to, with which key, about which app.

use super::failure::{Failure, Result};
use angarium_client::{App, Client};
use std::path::PathBuf;

#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// The server
    #[arg(long, env = "ANGARIUM_URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// An API key; the first start of a server prints one, and keeps it in first-start.json of its data directory
    #[arg(long, env = "ANGARIUM_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Trust the authorities in this file (PEM) and no others, for a server whose certificate is by a private one
    #[arg(long, env = "ANGARIUM_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The app, by id or bundle id [default: the only app of the key]
    #[arg(long)]
    pub app: Option<String>,
}

/// A client and the app its commands are about.
pub struct Connection {
    pub client: Client,
    pub app: String,
}

impl ConnectionArgs {
    /// A client; nothing is sent yet.
    pub fn client(&self) -> Result<Client> {
        let Some(file) = self.ca.as_ref().filter(|file| !file.as_os_str().is_empty()) else {
            return Ok(Client::new(&self.url, self.key())?);
        };
        let named = |error: String| Failure::usage(format!("--ca {}: {error}", file.display()));
        let pem = std::fs::read(file).map_err(|error| named(format!("it cannot be read: {error}")))?;
        Client::with_ca(&self.url, self.key(), &pem).map_err(|error| named(error.to_string()))
    }

    /// The key; an empty variable is none.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref().filter(|key| !key.is_empty())
    }

    /// A client and its app, asked of the server if the command line does not name it.
    pub async fn connect(&self) -> Result<Connection> {
        if self.key().is_none() {
            return Err(Failure::usage(
                "there is no key: give --key or set ANGARIUM_KEY (the first start of a server prints one, \
                 and keeps it in first-start.json of its data directory)",
            ));
        }
        self.connect_by(self.client()?).await
    }

    /// The same by a client that is there.
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
            created_at: "2026-01-01T00:00:00.000Z".into(),
        };
        assert_eq!(only_app(vec![app(1)]), Ok("app_1".into()));
        assert_eq!(only_app(vec![]).unwrap_err().exit_code(), 1);
        let several = only_app(vec![app(1), app(2)]).unwrap_err();
        assert_eq!(several.exit_code(), 2);
        assert_eq!(several.message, "say which app with --app: com.acme.shop1, com.acme.shop2");
    }
}
