//! `angarium admin …`: platform administration at the server's console, on the data directory or the database itself.
//!
//! The command opens the store as a server does, is of the fleet without a role while it works, and leaves. The audit
//! says `console`. A data directory is one process's: while a server runs on it, the way is its API.

use super::{
    apps::{ConfirmArgs, NewAppArgs, say_app, say_apps, say_deleted},
    config,
    failure::{Failure, Result},
    grants::{NewGrantArgs, say_grant, say_grants},
    keys::{NewKeyArgs, SecretArgs, say_keys, say_made},
    output::note,
    serve::first_start_text,
};
use crate::{
    config::{Config, Store},
    open::{Opened, Opener, open},
    private_file,
};
use angarium_base::Clock;
use angarium_db::sqlite;
use angarium_kit::{Kit, Parts, access::App, audit::AUDIT};
use angarium_tenants::{
    model::AppView,
    operations::{self, By},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{os::unix::fs::DirBuilderExt, path::PathBuf, sync::Arc};
use tokio_util::sync::CancellationToken;

#[derive(clap::Args)]
pub struct AdminArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// All apps there are
    Apps {
        #[command(subcommand)]
        action: AppsAction,
    },
    /// The API keys of an app
    Keys {
        #[command(subcommand)]
        action: KeysAction,
    },
    /// The roles that people have in an app
    Grants {
        #[command(subcommand)]
        action: GrantsAction,
    },
}

#[derive(clap::Args)]
struct StoreArgs {
    #[command(flatten)]
    file: config::FileArgs,
    /// The folder that holds the store, where it is in a folder [default: data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

#[derive(clap::Args)]
struct AppArgs {
    /// The app, by id or bundle id
    #[arg(long)]
    app: String,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(clap::Subcommand)]
enum AppsAction {
    /// Show every app
    List(StoreArgs),
    /// Make an app; nobody has a role in it until `angarium admin grants create` or `angarium admin keys create`
    Create {
        #[command(flatten)]
        new: NewAppArgs,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Delete an app and all that it owns; its data goes in the background, while a server runs
    Delete {
        /// The app, by id or bundle id
        #[arg(value_name = "APP")]
        which: String,
        #[command(flatten)]
        confirm: ConfirmArgs,
        #[command(flatten)]
        store: StoreArgs,
    },
}

#[derive(clap::Subcommand)]
enum KeysAction {
    /// Show the keys, without their secrets
    List(AppArgs),
    /// Make a key; its secret is printed once
    Create {
        #[command(flatten)]
        new: NewKeyArgs,
        #[command(flatten)]
        secret: SecretArgs,
        #[command(flatten)]
        of: AppArgs,
    },
    /// Revoke a key
    Delete {
        /// The key's id
        id: String,
        #[command(flatten)]
        of: AppArgs,
    },
}

#[derive(clap::Subcommand)]
enum GrantsAction {
    /// Show who has which role
    List(AppArgs),
    /// Give somebody a role, also before they ever came
    Create {
        #[command(flatten)]
        new: NewGrantArgs,
        #[command(flatten)]
        of: AppArgs,
    },
    /// Take a grant back
    Delete {
        /// The grant's id
        grant: String,
        #[command(flatten)]
        of: AppArgs,
    },
}

pub async fn run(args: AdminArgs) -> Result {
    match args.what {
        What::Apps { action } => apps(action).await,
        What::Keys { action } => keys(action).await,
        What::Grants { action } => grants(action).await,
    }
}

async fn apps(action: AppsAction) -> Result {
    match action {
        AppsAction::List(store) => {
            let json = store.file.json;
            let work = async |kit: &Kit| {
                let apps = operations::every_app(kit).await?;
                same(&apps.iter().map(|app| AppView::from(&**app)).collect::<Vec<_>>())
            };
            say_apps(json, at_console(store, Folders::MustBe, work).await?)
        }
        AppsAction::Create { new, store } => {
            let (json, new) = (store.file.json, same(&angarium_client::NewApp::from(new))?);
            let work = async |kit: &Kit| same(&operations::create_app(kit, By::console(), new).await?);
            say_app(json, &at_console(store, Folders::MayBeMade, work).await?)
        }
        AppsAction::Delete { which, confirm, store } => {
            confirm.can_ask()?;
            let json = store.file.json;
            let work = async |kit: &Kit| {
                let app = find(kit, &which)?;
                confirm.ask(&app.bundle_id)?;
                operations::delete_app(kit, By::console(), &app.id).await?;
                Ok(app.bundle_id.clone())
            };
            say_deleted(json, &at_console(store, Folders::MustBe, work).await?)
        }
    }
}

async fn keys(action: KeysAction) -> Result {
    match action {
        KeysAction::List(AppArgs { app, store }) => {
            let json = store.file.json;
            let work = async |kit: &Kit| same(&operations::every_key(kit, &find(kit, &app)?.id).await?);
            say_keys(json, at_console(store, Folders::MustBe, work).await?)
        }
        KeysAction::Create { new, secret, of: AppArgs { app, store } } => {
            let (json, new) = (store.file.json, same(&new.into_new(Clock::system().now())?)?);
            let work = async |kit: &Kit| {
                same(&operations::create_key(kit, By::console(), &find(kit, &app)?.id, new).await?)
            };
            say_made(json, secret.quiet, &at_console(store, Folders::MustBe, work).await?)
        }
        KeysAction::Delete { id, of: AppArgs { app, store } } => {
            let json = store.file.json;
            let work = async |kit: &Kit| {
                Ok(operations::delete_key(kit, By::console(), &find(kit, &app)?.id, &id).await?)
            };
            at_console(store, Folders::MustBe, work).await?;
            say_deleted(json, &id)
        }
    }
}

async fn grants(action: GrantsAction) -> Result {
    match action {
        GrantsAction::List(AppArgs { app, store }) => {
            let json = store.file.json;
            let work = async |kit: &Kit| same(&operations::every_grant(kit, &find(kit, &app)?.id).await?);
            say_grants(json, at_console(store, Folders::MustBe, work).await?)
        }
        GrantsAction::Create { new, of: AppArgs { app, store } } => {
            let (json, new) = (store.file.json, same(&angarium_client::NewGrant::from(new))?);
            let work = async |kit: &Kit| {
                same(&operations::create_grant(kit, By::console(), &find(kit, &app)?.id, new).await?)
            };
            say_grant(json, &at_console(store, Folders::MustBe, work).await?)
        }
        GrantsAction::Delete { grant, of: AppArgs { app, store } } => {
            let json = store.file.json;
            let work = async |kit: &Kit| {
                Ok(operations::delete_grant(kit, By::console(), &find(kit, &app)?.id, &grant, true).await?)
            };
            at_console(store, Folders::MustBe, work).await?;
            say_deleted(json, &grant)
        }
    }
}

fn find(kit: &Kit, name: &str) -> Result<Arc<App>> {
    kit.directory.app(name).ok_or_else(|| {
        Failure::new(format!("there is no app {name:?}; `angarium admin apps list` shows those there are"))
    })
}

/// What the API takes and gives has one shape; the client and the server each have a type for it.
fn same<T: DeserializeOwned>(value: &impl Serialize) -> Result<T> {
    serde_json::to_value(value)
        .and_then(serde_json::from_value)
        .map_err(|error| Failure::new(error.to_string()))
}

/// What becomes of a data directory that is not there: a name that was mistyped, most likely.
#[derive(Clone, Copy, PartialEq)]
enum Folders {
    MustBe,
    MayBeMade,
}

/// Opens the store, does the work, and leaves everything as it would be without this process.
async fn at_console<T>(
    args: StoreArgs,
    folders: Folders,
    work: impl AsyncFnOnce(&Kit) -> Result<T>,
) -> Result<T> {
    let mut config = config::load(args.file.config.as_deref())?;
    config.data_dir = args.data_dir.unwrap_or(config.data_dir);
    let data_dir = config.data_dir.clone();
    let folder = match config.store()? {
        Store::Folder => None,
        Store::Postgres(_) => Some(Folder::make()?),
    };
    if folder.is_none() && folders == Folders::MustBe && !data_dir.join(sqlite::FILE).exists() {
        return Err(Failure::new(format!(
            "there is no data directory in {}; name another with --data-dir, or make one: `angarium serve` does, and `angarium admin apps create`",
            data_dir.display()
        )));
    }
    if let Some(folder) = &folder {
        config.data_dir.clone_from(&folder.0);
    }
    let stop = CancellationToken::new();
    let opened = open(
        &config,
        Parts { streams: vec![AUDIT], ..Parts::default() },
        Opener::Console(&data_dir),
        stop.clone(),
        Clock::system(),
    )
    .await;
    let Opened { kit, first } = opened.map_err(|error| in_use(&config, error))?;
    if let Some(first) = &first {
        let text = first_start_text(first, &data_dir.join(private_file::FIRST_START));
        note(&format!("this is the first start on an empty store:\n{text}\n"));
    }
    let outcome = work(&kit).await;
    stop.cancel();
    kit.fleet.leave().await;
    kit.feed.close().await;
    kit.journal.close().await;
    kit.db.close();
    outcome
}

/// Names the way out when a server has the data directory.
fn in_use(config: &Config, error: angarium_base::Error) -> Failure {
    if error.code().name != angarium_db::DATA_DIR_IN_USE.name {
        return error.into();
    }
    Failure::new(format!(
        "a server runs on the data directory {}: stop it, or use `angarium keys`, `angarium grants` and \
         `angarium apps` with an admin's key or token, which go through it",
        config.data_dir.display()
    ))
}

/// A folder for as long as the command runs: with a database, the data directory is a server's, and its spool is too.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Folder> {
        let name = format!("angarium-console-{}-{}", std::process::id(), Clock::system().now());
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is in the system's folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
