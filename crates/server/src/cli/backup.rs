//! `angarium backup FILE` and `angarium restore FILE`: one verified file.

use super::{
    config,
    failure::{Failure, Result},
    output::{note, say},
};
use angarium_base::Clock;
use angarium_db::sqlite::{self, Report};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct BackupArgs {
    /// Where to write the backup; must not exist
    file: PathBuf,
    #[command(flatten)]
    config: config::FileArgs,
    /// The data directory to save [default: data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct RestoreArgs {
    /// A file that `angarium backup` made
    file: PathBuf,
    #[command(flatten)]
    config: config::FileArgs,
    /// The data directory to make [default: data]; no server may run on it
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Move a store that is there aside, instead of refusing
    #[arg(long)]
    replace: bool,
}

pub async fn back_up(args: BackupArgs) -> Result {
    let data_dir = args.data_dir.unwrap_or(config::load(args.config.config.as_deref())?.data_dir);
    let (target, json) = (args.file.clone(), args.config.json);
    let saved = blocking(move || {
        let bar = progress_bar();
        let saved = sqlite::backup(&data_dir, &target, &Clock::system(), |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        Ok(saved?)
    })
    .await?;
    tell("saved and verified", &args.file, &saved, None, json)
}

pub async fn restore(args: RestoreArgs) -> Result {
    let data_dir = args.data_dir.unwrap_or(config::load(args.config.config.as_deref())?.data_dir);
    let (file, json, target) = (args.file, args.config.json, data_dir.clone());
    let (report, aside) =
        blocking(move || Ok(sqlite::restore(&file, &data_dir, args.replace, &Clock::system())?)).await?;
    if let (Some(aside), false) = (&aside, json) {
        note(&format!("the store that was there is now {}", aside.display()));
    }
    tell("restored and verified", &target, &report, aside, json)
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(f).await.map_err(|e| Failure::new(e.to_string()))?
}

fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent}% of {len} pages, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn tell(done: &str, place: &std::path::Path, report: &Report, aside: Option<PathBuf>, json: bool) -> Result {
    let rows: u64 = report.tables.iter().map(|(_, rows, _)| rows).sum();
    let text = if json {
        let tables: Vec<_> = report
            .tables
            .iter()
            .map(|(name, rows, sha256)| json!({ "name": name, "rows": rows, "sha256": sha256 }))
            .collect();
        json!({ "file": place, "bytes": report.bytes, "rows": rows, "tables": tables, "moved_aside": aside })
            .to_string()
    } else {
        let tables = report.tables.len();
        format!(
            "{done}: {} ({rows} rows of {tables} tables, {} bytes; counts and checksums agree)",
            place.display(),
            report.bytes
        )
    };
    Ok(say(&text)?)
}
