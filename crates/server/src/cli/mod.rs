//! The command line. Exit codes: 0 done, 1 failed, 2 wrong usage.

mod access_log;
mod admin;
mod apps;
mod audit;
mod backup;
mod bench;
mod compat;
mod config;
mod connection;
mod consume;
mod dead_letters;
mod doctor;
mod events;
mod failure;
mod generate;
mod grants;
mod import;
mod keys;
mod live;
mod log_reader;
mod messages;
mod migrate;
mod output;
mod profile;
mod profiles;
mod record_line;
mod send;
mod serve;
mod status;
mod table;
mod tail;
mod token;

use clap::{CommandFactory, Parser};
use failure::{Failure, Result};
use std::process::ExitCode;

/// Accepts events over HTTP, makes them durable before it says yes, and lets people watch
#[derive(Parser)]
#[command(name = "angarium", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::ServeArgs),
    /// Turn existing data into events, through the HTTP API
    Import(import::ImportArgs),
    /// Print a stream as a consumer group: commit what was printed, go on there next time
    Consume(consume::ConsumeArgs),
    /// Send one event
    Send(send::SendArgs),
    /// Print events as they come
    Tail(tail::TailArgs),
    /// Show events, and how many there were
    Events(events::EventsArgs),
    /// Send messages, read them, and say what they may be
    Messages(messages::MessagesArgs),
    /// Show the streams of an app
    Streams(events::StreamsArgs),
    /// Make, show, change and delete apps
    Apps(apps::AppsArgs),
    /// Give and take roles in an app
    Grants(grants::GrantsArgs),
    /// Make, show, replace and revoke the API keys of an app
    Keys(keys::KeysArgs),
    /// Make tokens for browsers that follow the live feed, and show who is connected to it
    Live(live::LiveArgs),
    /// Show who changed what in an app
    Audit(audit::AuditArgs),
    /// Show, run again and delete what was given up in an app
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Show who you are to the server, and your roles
    Whoami(connection::CallArgs),
    /// Keep servers and keys under a name
    Profile(profile::ProfileArgs),
    /// Make a token, for development
    Token(token::TokenArgs),
    /// Make a key that secrets are kept with (`secrets.keys`)
    Secrets(token::SecretsArgs),
    /// Apps, keys and roles at the server's console: on the data directory or the database, not over HTTP
    Admin(admin::AdminArgs),
    /// Show a server's health, its streams and the processes of its fleet
    Status(status::StatusArgs),
    /// Save a data directory to one file, also while a server runs on it, and verify the copy
    Backup(backup::BackupArgs),
    /// Make a data directory from a backup, verified before and after
    Restore(backup::RestoreArgs),
    /// Say in words what is wrong with a configuration, the services it names, a data directory or a running server
    Doctor(doctor::DoctorArgs),
    /// Bring the schema of the store up to this version, and say what was done; no server is started
    Migrate(migrate::MigrateArgs),
    /// Check or show the configuration
    Config(config::ConfigArgs),
    /// Measure this machine: durable ingestion beside a bare handler and beside the disk
    Bench(bench::BenchArgs),
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
    /// Write the generated documentation
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
}

/// Reads the command line and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("angarium: the runtime cannot be started: {error}"));
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(run(cli.command));
    // A blocked write to standard output must not hold up the end.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(&format!("angarium: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(command: Command) -> Result {
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Import(args) => import::run(args).await,
        Command::Consume(args) => consume::run(args).await,
        Command::Send(args) => send::run(args).await,
        Command::Tail(args) => tail::run(args).await,
        Command::Events(args) => events::run(args).await,
        Command::Messages(args) => messages::run(args).await,
        Command::Streams(args) => events::streams(args).await,
        Command::Apps(args) => apps::run(args).await,
        Command::Grants(args) => grants::run(args).await,
        Command::Keys(args) => keys::run(args).await,
        Command::Live(args) => live::run(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::DeadLetters(args) => dead_letters::run(args).await,
        Command::Whoami(args) => apps::whoami(args).await,
        Command::Profile(args) => profile::run(args),
        Command::Token(args) => token::run(args),
        Command::Secrets(args) => token::secrets(args),
        Command::Admin(args) => admin::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Backup(args) => backup::back_up(args).await,
        Command::Restore(args) => backup::restore(args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Config(args) => config::run(args),
        Command::Bench(args) => bench::run(args).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "angarium", &mut std::io::stdout());
            Ok(())
        }
        Command::Generate(args) => generate::run(args),
    }
}

impl From<angarium_base::Error> for Failure {
    fn from(error: angarium_base::Error) -> Failure {
        use std::error::Error;
        let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        let message = format!("{}{cause}", error.message());
        if error.code().name == crate::config::INVALID_CONFIG.name {
            return Failure::usage(message);
        }
        Failure::new(message)
    }
}
