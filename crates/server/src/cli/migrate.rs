//! `angarium migrate`: the schema brought up, and nothing else. Exit codes: 0 it is as this version needs it,
//! 1 it cannot be (a newer version wrote it, a server runs on the data directory, the server is away), 2 wrong usage.

use super::{
    config,
    failure::{Failure, Result},
    output::say,
};
use crate::{
    config::{Config, Store},
    slices,
};
use angarium_base::Clock;
use angarium_db::{postgres, sqlite};
use serde_json::json;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    file: config::FileArgs,
    /// The folder that holds the store, where it is in a folder [default: data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

pub async fn run(args: MigrateArgs) -> Result {
    let mut config = config::load(args.file.config.as_deref())?;
    config.data_dir = args.data_dir.unwrap_or(config.data_dir);
    let migrating = tokio::task::spawn_blocking(move || bring_up(&config));
    let (store, applied) = migrating.await.map_err(|e| Failure::new(e.to_string()))??;
    Ok(say(&match (args.file.json, applied.as_slice()) {
        (true, _) => json!({ "store": store, "applied": applied }).to_string(),
        (false, []) => format!("the schema of {store} is as this version needs it; nothing was to be done"),
        (false, _) => format!("the schema of {store} was brought up: {}", applied.join(", ")),
    })?)
}

/// Returns which store it was, and the names of the steps that were applied.
fn bring_up(config: &Config) -> Result<(String, Vec<&'static str>)> {
    let (steps, clock) = (slices::migrations(), Clock::system());
    Ok(match config.store()? {
        Store::Folder => {
            let applied = sqlite::migrate(&config.data_dir, &steps, &clock)?;
            (config.data_dir.display().to_string(), applied)
        }
        Store::Postgres(options) => {
            (config.without_secrets().db, postgres::migrate(&options, &steps, &clock)?)
        }
    })
}
