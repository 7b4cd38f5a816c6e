//! `angarium doctor`: looks at the configuration, what its URLs name, the data directory and the running server, and
//! says in words what is wrong and what to do. Exit code 1 when something is.

mod services;

use super::{
    config,
    connection::ConnectionArgs,
    failure::{Failure, Result},
    output::say,
};
use crate::{
    config::{Config, Store},
    tls::Tls,
};
use angarium_base::Clock;
use serde::Serialize;
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

#[derive(clap::Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    file: config::FileArgs,
    /// The data directory to look at [default: data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Serialize)]
struct Finding {
    part: &'static str,
    well: bool,
    says: String,
}

fn well(part: &'static str, says: impl Into<String>) -> Finding {
    Finding { part, well: true, says: says.into() }
}

fn ill(part: &'static str, says: impl Into<String>) -> Finding {
    Finding { part, well: false, says: says.into() }
}

/// A sync that takes longer than this makes every acknowledgement slow.
const SLOW_SYNC: Duration = Duration::from_millis(20);

pub async fn run(args: DoctorArgs) -> Result {
    let mut findings = Vec::new();
    match config::load(args.file.config.as_deref()) {
        Err(failure) => findings.push(ill("configuration", failure.message)),
        Ok(mut config) => {
            findings.push(well("configuration", "can be used"));
            config.data_dir = args.data_dir.unwrap_or(config.data_dir);
            findings.push(look_at_geoip(&config));
            findings.push(look_at_tls(&config));
            if let Ok(Store::Folder) = config.store() {
                findings.extend(look_at_data_dir(&config.data_dir));
            }
            findings.extend(services::look_at(&config).await);
        }
    }
    findings.extend(look_at_server(&args.connection).await);
    let ill = findings.iter().filter(|finding| !finding.well).count();
    if args.file.json {
        let text = serde_json::to_string(&serde_json::json!({ "well": ill == 0, "findings": findings }));
        say(&text.map_err(|e| Failure::new(e.to_string()))?)?;
    } else {
        for Finding { part, well, says } in &findings {
            say(&format!("{} {part}: {says}", if *well { "ok  " } else { "FAIL" }))?;
        }
    }
    if ill == 0 {
        Ok(())
    } else {
        Err(Failure::new(format!("{ill} of {} checks found something wrong", findings.len())))
    }
}

fn look_at_geoip(config: &Config) -> Finding {
    match &config.tracking.geoip {
        None => well(
            "geo-IP",
            "no database is named in the file or the environment (tracking.geoip); a server without --geoip shows XX",
        ),
        Some(file) => match angarium_tracking::enrich::Geo::open(Some(file)) {
            Ok(_) => well("geo-IP", format!("{} can be read", file.display())),
            Err(error) => ill("geo-IP", config.about_geoip(error).message().to_owned()),
        },
    }
}

fn look_at_tls(config: &Config) -> Finding {
    let files = &config.http.tls;
    let now = Clock::system().now();
    match Tls::open(files) {
        Ok(None) => well(
            "TLS",
            "no certificate is named in the file or the environment (http.tls.certificate); a server without --tls-certificate speaks plain HTTP",
        ),
        Ok(Some(tls)) => match tls.trouble(now) {
            Some(trouble) => ill("TLS", trouble.message()),
            None => {
                let (until, file) = (tls.validity().until, files.certificate.display());
                let (days, until) = ((until - now) / 86_400_000, angarium_base::time::format(until));
                well("TLS", format!("{file} fits its key and is valid for {days} days, until {until}"))
            }
        },
        Err(error) => ill("TLS", error.message()),
    }
}

fn look_at_data_dir(dir: &Path) -> Vec<Finding> {
    if !dir.exists() {
        return vec![well(
            "data directory",
            format!("{} is not there yet; the first start makes it", dir.display()),
        )];
    }
    let mut findings = vec![match File::open(dir.join(angarium_db::sqlite::LOCK))
        .map(|lock| lock.try_lock_shared())
    {
        Ok(Ok(())) => well("data directory", format!("{} is not in use by a server", dir.display())),
        Ok(Err(_)) => well("data directory", format!("a server runs on {}", dir.display())),
        Err(_) => ill(
            "data directory",
            format!("{} is not a data directory: it has no lock file; is --data-dir right?", dir.display()),
        ),
    }];
    findings.push(match time_a_sync(dir) {
        Ok(took) if took > SLOW_SYNC => ill(
            "disk",
            format!(
                "one sync takes {} ms: every acknowledgement waits for one; use a faster disk",
                took.as_millis()
            ),
        ),
        Ok(took) => well("disk", format!("one sync takes {} µs", took.as_micros())),
        Err(error) => ill(
            "disk",
            format!("nothing can be written to {}: {error}; check free space and rights", dir.display()),
        ),
    });
    findings
}

/// The median of nine syncs of a small file.
fn time_a_sync(dir: &Path) -> std::io::Result<Duration> {
    let path = dir.join("doctor.tmp");
    let timed = (|| {
        let mut file = File::create(&path)?;
        let mut times = Vec::new();
        for _ in 0..9 {
            file.write_all(&[0; 4096])?;
            let started = Instant::now();
            file.sync_data()?;
            times.push(started.elapsed());
        }
        times.sort();
        Ok(times[4])
    })();
    std::fs::remove_file(&path)?;
    timed
}

async fn look_at_server(connection: &ConnectionArgs) -> Vec<Finding> {
    let target = connection.target();
    let (target, client) = match target.and_then(|target| Ok((target.client()?, target))) {
        Ok((client, target)) => (target, client),
        Err(failure) => return vec![ill("server", failure.message)],
    };
    let health = match client.health().await {
        Ok(health) => health,
        Err(error) => {
            return vec![ill(
                "server",
                format!("{} does not answer: {error}; is it running, and is --url right?", target.url),
            )];
        }
    };
    let sick: Vec<String> = health
        .parts
        .iter()
        .filter(|(_, part)| part.status != "ready")
        .map(|(name, part)| format!("{name} is {}", part.status))
        .collect();
    let mut findings = vec![match (health.ready, sick.is_empty()) {
        (true, true) => well("server", format!("{} is ready", target.url)),
        (true, false) => ill("server", format!("{} is ready, but {}", target.url, sick.join(", "))),
        (false, _) => ill("server", format!("{} is not ready: {}", target.url, sick.join(", "))),
    }];
    if target.key.is_some() && health.serves("api") {
        findings.push(match client.list_apps().await {
            Ok(apps) => well("key", format!("reaches {} app(s)", apps.len())),
            Err(error) => ill("key", format!("{error}")),
        });
    }
    findings
}
