//! The life of a server: open, announce, serve, drain, close. Listener and stop signal are arguments, so
//! two servers fit in one process.

use crate::{
    api::{
        self,
        internal::{hidden_metrics, internal_router},
    },
    config::Config,
    limits,
    listen::{self, Door, Routes},
    open::{Opened, Opener, open},
    slices,
    tls::Tls,
};
use angarium_base::{Clock, Context, Result};
use angarium_kit::{Direct, Kit, Parts, Runs, StartWorker, Worker, fleet::Role};
use angarium_tenants::FirstStart;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Where a server listens.
pub struct Listeners {
    pub main: TcpListener,
    /// For `/metrics` and what else is the operator's, without a key.
    pub internal: Option<TcpListener>,
}

/// What a server says when it is ready.
pub struct Ready {
    pub address: SocketAddr,
    /// Whether it speaks TLS there.
    pub tls: bool,
    pub internal: Option<SocketAddr>,
    pub first: Option<FirstStart>,
    /// What this process does.
    pub roles: Vec<Role>,
}

/// Scrapers and probes; more is a mistake.
const INTERNAL_CONNECTIONS: usize = 256;
/// A scrape takes milliseconds.
const INTERNAL_DRAIN: Duration = Duration::from_millis(200);

/// Serves until `stop`, then drains and closes the store. `announce` is called once, when requests are taken. Of `file`,
/// from which the configuration was read, the rate limits are followed.
///
/// # Errors
/// When the store cannot be opened; never for what happens to single requests.
pub async fn run(
    config: Config,
    file: Option<PathBuf>,
    listeners: Listeners,
    stop: CancellationToken,
    announce: impl FnOnce(Ready) -> Result<()>,
) -> Result<()> {
    let address = address_of(&listeners.main)?;
    let internal = listeners.internal.as_ref().map(address_of).transpose()?;
    let tls = Tls::open(&config.http.tls)?.map(Arc::new);
    let mut slices = slices::all(&config)?;
    let parts = Parts::of(&slices);
    let Opened { kit, first } =
        open(&config, parts, Opener::Server(address, &config.data_dir), stop.clone(), Clock::system())
            .await?;
    let mut workers = JoinSet::new();
    for (runs, worker) in slices.iter_mut().flat_map(|slice| std::mem::take(&mut slice.workers)) {
        start(&mut workers, &kit, runs, worker);
    }
    if kit.fleet.has(Role::Timer) || !kit.db.is_shared() {
        // A store that is this process's alone is tended by it whatever its roles: nobody else would.
        workers.spawn(alone(kit.clone(), MAINTENANCE, Box::new(maintain)));
    }
    if let Some(tls) = &tls {
        if let Some(trouble) = tls.trouble(kit.clock.now()) {
            tracing::warn!(reason = trouble.message(), "clients will not trust this server");
        }
        workers.spawn(tls.clone().follow(kit.clone()));
    }
    if let Some(file) = file {
        workers.spawn(limits::follow(file, config.rates()?, kit.clone(), stop.clone()));
    }
    let served = slices.iter().filter(|slice| kit.fleet.has(slice.served_by));
    let direct = served.filter_map(|slice| slice.direct.clone());
    let direct = direct.chain(metrics_hidden(address, internal.is_some())).collect();
    let routes = Routes { direct, router: api::router(slices, kit.clone()) };
    let (process, roles) = (kit.fleet.id(), kit.fleet.member().roles_text());
    let is_tls = tls.is_some();
    tracing::info!(%address, tls = is_tls, %process, %roles, data_dir = %config.data_dir.display(), "ready");
    announce(Ready { address, tls: is_tls, internal, first, roles: kit.fleet.member().roles.clone() })?;
    // The internal listener ends last: until then it says that this process stops.
    let drained = CancellationToken::new();
    let inside = listeners.internal.map(|listener| internal_door(listener, &kit, drained.clone()));
    let serve_inside = async {
        if let Some(door) = inside {
            listen::serve(door, kit.clone()).await;
        }
    };
    let serve = async {
        let cut_off = listen::serve(main_door(listeners.main, routes, tls, &config, &kit), kit.clone()).await;
        if cut_off > 0 {
            tracing::warn!(cut_off, "connections were still busy when the drain time was over");
        }
        workers.join_all().await;
        drained.cancel();
    };
    tokio::join!(serve, serve_inside);
    kit.fleet.leave().await;
    kit.feed.close().await;
    kit.journal.close().await;
    kit.db.close();
    tracing::info!("stopped");
    Ok(())
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().or_error(crate::config::INVALID_CONFIG, "the listener has no address")
}

fn main_door(
    listener: TcpListener,
    routes: Routes,
    tls: Option<Arc<Tls>>,
    config: &Config,
    kit: &Kit,
) -> Door {
    let http = &config.http;
    Door {
        listener,
        routes,
        tls,
        max_connections: http.max_connections,
        header_timeout: http.header_timeout.0,
        drain: http.drain.0,
        stop: kit.stop.clone(),
    }
}

/// Plain HTTP: on the operator's own network, a probe and a scraper need no certificate that way.
fn internal_door(listener: TcpListener, kit: &Kit, stop: CancellationToken) -> Door {
    let direct = Vec::new().into();
    Door {
        listener,
        routes: Routes { direct, router: internal_router(kit.clone()) },
        tls: None,
        max_connections: INTERNAL_CONNECTIONS,
        header_timeout: Duration::from_secs(10),
        drain: INTERNAL_DRAIN,
        stop,
    }
}

/// Whether the main listener keeps `/metrics` to itself, and in what words: they are for the operator, and everybody
/// can be behind an address that is not loopback.
fn metrics_hidden(address: SocketAddr, has_internal: bool) -> Option<Direct> {
    match (has_internal, address.ip().is_loopback()) {
        (true, _) => Some(hidden_metrics(api::NO_SUCH_PATH)),
        (false, true) => None,
        (false, false) => Some(hidden_metrics(
            "this listener shows /metrics on a loopback address only: set http.internal, and ask there",
        )),
    }
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
        Runs::OneOf(role, _) => kit.fleet.has(role),
    };
    match runs {
        _ if !is_for_us => {}
        Runs::Alone(name) | Runs::OneOf(_, name) => drop(workers.spawn(alone(kit.clone(), name, worker))),
        Runs::Everywhere | Runs::On(_) => drop(workers.spawn(worker(kit.clone(), kit.stop.clone()))),
    }
}

/// Runs a worker whenever this process holds the lease.
async fn alone(kit: Kit, name: &'static str, worker: StartWorker) {
    kit.fleet.run_alone(name, kit.stop.clone(), |token| worker(kit.clone(), token)).await;
}
