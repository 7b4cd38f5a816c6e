//! The life of a server: open, announce, serve, drain, close. Listener and stop signal are arguments, so
//! two servers fit in one process.

use crate::{
    api,
    config::Config,
    listen,
    open::{Opened, open},
    slices,
};
use angarium_base::{Clock, Context, Result};
use angarium_kit::{Kit, Runs, StartWorker, Worker, fleet::Role};
use angarium_tenants::FirstStart;
use std::{net::SocketAddr, path::Path};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// What a server says when it is ready.
pub struct Ready {
    pub address: SocketAddr,
    pub first: Option<FirstStart>,
    /// What this process does.
    pub roles: Vec<Role>,
}

/// Serves until `stop`, then drains and closes the store. `announce` is called once, when requests are taken.
///
/// # Errors
/// When the store cannot be opened; never for what happens to single requests.
pub async fn run(
    config: Config,
    listener: TcpListener,
    stop: CancellationToken,
    announce: impl FnOnce(Ready) -> Result<()>,
) -> Result<()> {
    let address =
        listener.local_addr().or_error(crate::config::INVALID_CONFIG, "the listener has no address")?;
    let mut slices = slices::all(&config)?;
    let streams = slices.iter().flat_map(|slice| slice.streams).copied().collect();
    let Opened { kit, first } = open(&config, streams, address, stop.clone(), Clock::system()).await?;
    if let Some(first) = &first {
        write_first_start(&config.data_dir, first)?;
    }
    let mut workers = JoinSet::new();
    for (runs, worker) in slices.iter_mut().flat_map(|slice| std::mem::take(&mut slice.workers)) {
        start(&mut workers, &kit, runs, worker);
    }
    if kit.fleet.has(Role::Timer) || !kit.db.is_shared() {
        // A store that is this process's alone is tended by it whatever its roles: nobody else would.
        workers.spawn(alone(kit.clone(), MAINTENANCE, Box::new(maintain)));
    }
    let served = slices.iter().filter(|slice| kit.fleet.has(slice.served_by));
    let direct = served.filter_map(|slice| slice.direct.clone()).collect();
    let routes = listen::Routes { direct, router: api::router(slices, kit.clone()) };
    let (process, roles) = (kit.fleet.id(), kit.fleet.member().roles_text());
    tracing::info!(%address, %process, %roles, data_dir = %config.data_dir.display(), "ready");
    announce(Ready { address, first, roles: kit.fleet.member().roles.clone() })?;
    let cut_off = listen::serve(listener, routes, kit.clone(), &config).await;
    if cut_off > 0 {
        tracing::warn!(cut_off, "connections were still busy when the drain time was over");
    }
    workers.join_all().await;
    kit.fleet.leave().await;
    kit.feed.close().await;
    kit.journal.close().await;
    kit.db.close();
    tracing::info!("stopped");
    Ok(())
}

/// The lease of who removes what is not to be kept.
const MAINTENANCE: &str = "maintenance";

fn maintain(kit: Kit, stop: CancellationToken) -> Worker {
    Box::pin(async move { kit.journal.maintain(stop).await })
}

/// Starts a worker, if it is for a process with these roles.
fn start(workers: &mut JoinSet<()>, kit: &Kit, runs: Runs, worker: StartWorker) {
    let is_for_us = match runs {
        Runs::Everywhere => true,
        Runs::On(role) => kit.fleet.has(role),
        Runs::Alone(_) => kit.fleet.has(Role::Timer),
    };
    match runs {
        _ if !is_for_us => {}
        Runs::Alone(name) => drop(workers.spawn(alone(kit.clone(), name, worker))),
        Runs::Everywhere | Runs::On(_) => drop(workers.spawn(worker(kit.clone(), kit.stop.clone()))),
    }
}

/// Runs a worker whenever this process holds the lease.
async fn alone(kit: Kit, name: &'static str, worker: StartWorker) {
    kit.fleet.run_alone(name, kit.stop.clone(), |token| worker(kit.clone(), token)).await;
}

/// Keeps the keys of the first start where only the data directory's owner can read them.
fn write_first_start(dir: &Path, first: &FirstStart) -> Result<()> {
    use std::{
        io::Write,
        os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    };
    let text = serde_json::to_string_pretty(first)
        .or_error(angarium_base::error::INTERNAL, "the keys cannot be written")?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .or_error(angarium_db::STORE_FAILED, "the data directory cannot be made")?;
    let file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(dir.join("first-start.json"));
    file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })
    .or_error(angarium_db::STORE_FAILED, "first-start.json cannot be written to the data directory")
}
