//! `angarium config check|show`, and how every command that needs the configuration reads it.

use super::{
    failure::{Failure, Result},
    output::say,
};
use crate::{
    config::{self, Config},
    tls::Tls,
};
use angarium_base::Clock;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Say whether the file and the ANGARIUM_ variables can be used
    Check(FileArgs),
    /// Print the whole configuration as it is in force, as TOML (as JSON with --json)
    Show(FileArgs),
}

#[derive(clap::Args, Clone)]
pub struct FileArgs {
    /// The configuration file, TOML
    #[arg(long, env = "ANGARIUM_CONFIG")]
    pub config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: ConfigArgs) -> Result {
    match args.action {
        Action::Check(args) => {
            let config = load(args.config.as_deref())?;
            if let Some(file) = &config.tracking.geoip {
                angarium_tracking::enrich::Geo::open(Some(file))
                    .map_err(|error| config.about_geoip(error))?;
            }
            if let Some(trouble) =
                Tls::open(&config.http.tls)?.and_then(|tls| tls.trouble(Clock::system().now()))
            {
                return Err(trouble.into());
            }
            // What only shows when a client is made; nobody has to answer.
            if let Some(remote) = config.kafka_streams()? {
                angarium_kafka::Kafka::open(remote.kafka)
                    .map_err(|error| Failure::usage(format!("kafka: {}", error.message())))?;
            }
            say(if args.json { "{\"valid\":true}" } else { "the configuration is valid" })?;
        }
        Action::Show(args) => {
            let config = load(args.config.as_deref())?;
            let json = || {
                serde_json::to_string_pretty(&config.without_secrets())
                    .map_err(|e| Failure::new(e.to_string()))
            };
            let text = if args.json { json()? } else { config.show()? };
            say(text.trim_end())?;
        }
    }
    Ok(())
}

/// The configuration of this process: defaults, the file, the environment.
pub fn load(file: Option<&Path>) -> Result<Config> {
    Ok(config::load_file(file)?)
}
