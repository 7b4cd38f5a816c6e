//! `angarium serve`: runs the server, says where it is, stops cleanly on SIGINT and SIGTERM.

use super::{
    config,
    failure::{Failure, Result},
    output::{note, say},
};
use crate::{
    config::{Config, Log},
    run::{Listeners, Ready, run as run_server},
};
use angarium_base::error::INTERNAL;
use angarium_kit::fleet::Role;
use angarium_tenants::FirstStart;
use futures_util::FutureExt;
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

#[derive(clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    file: config::FileArgs,
    /// The folder that holds the store [default: data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// The certificate, in PEM, with those between it and the root; the server speaks TLS then
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Address and port of a second listener, for /metrics, /health/… and /v1/processes without a key [default: none]
    #[arg(long, value_name = "ADDR")]
    internal: Option<String>,
    /// A geo-IP database in MaxMind's format
    #[arg(long)]
    geoip: Option<PathBuf>,
    /// What this process does, separated by commas [default: api,live,worker,timer]
    #[arg(long)]
    roles: Option<String>,
    /// Refuse to start on a schema that is older than this version, instead of bringing it up
    #[arg(long)]
    no_migrate: bool,
}

pub async fn run(args: ServeArgs) -> Result {
    let mut config = config::load(args.file.config.as_deref())?;
    config.data_dir = args.data_dir.unwrap_or(config.data_dir);
    config.http.listen = args.listen.unwrap_or(config.http.listen);
    config.http.tls.certificate = args.tls_certificate.unwrap_or(config.http.tls.certificate);
    config.http.tls.key = args.tls_key.unwrap_or(config.http.tls.key);
    config.http.internal = args.internal.unwrap_or(config.http.internal);
    config.check_listeners()?;
    config.tracking.geoip = args.geoip.or(config.tracking.geoip);
    config.roles = args.roles.unwrap_or(config.roles);
    config.roles()?;
    config.migrate &= !args.no_migrate;
    start_log(&config.log);
    let main = listen_on(config.http.listen, "--listen").await?;
    let internal = match config.internal()? {
        Some(address) => Some(listen_on(address, "--internal").await?),
        None => None,
    };
    let stop = stop_on_signals()?;
    warn_of_open_doors(&config);
    let (json, data_dir) = (args.file.json, config.data_dir.clone());
    run_server(config, args.file.config, Listeners { main, internal }, stop, |ready| {
        let text = if json { ready_json(&ready) } else { ready_text(&ready, &data_dir) };
        say(&text).map_err(|e| INTERNAL.err("standard output is closed").with_source(e))
    })
    .await?;
    Ok(())
}

async fn listen_on(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        Failure::new(format!("{address} cannot be listened on: {e}; choose another with {flag}"))
    })
}

fn ready_json(ready: &Ready) -> String {
    let mut members = serde_json::Map::new();
    members.insert("url".into(), url(ready).into());
    members.insert("internal_url".into(), internal_url(ready).into());
    if let Some(first) = &ready.first {
        members.insert("app".into(), first.app.clone().into());
        members.insert("secret_key".into(), first.secret_key.clone().into());
        members.insert("write_key".into(), first.write_key.clone().into());
        members.insert("token".into(), first.token.clone().into());
        members.insert("live_url".into(), live_url(ready, &first.view_key).into());
    }
    serde_json::Value::from(members).to_string()
}

fn url(ready: &Ready) -> String {
    format!("{}://{}", if ready.tls { "https" } else { "http" }, visitable(ready.address))
}

fn internal_url(ready: &Ready) -> Option<String> {
    ready.internal.map(|address| format!("http://{}", visitable(address)))
}

/// Nobody can visit 0.0.0.0; this machine is what it means here.
fn visitable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

fn live_url(ready: &Ready, view_key: &str) -> String {
    // In the fragment, which no browser sends to anybody.
    format!("{}/#key={view_key}", url(ready))
}

fn is_ready(url: &str) -> String {
    format!("Angarium {} is ready at {url}", env!("CARGO_PKG_VERSION"))
}

fn ready_text(ready: &Ready, data_dir: &Path) -> String {
    let url = url(ready);
    let keys = data_dir.join("first-start.json");
    let inside = internal_url(ready);
    let inside =
        inside.map(|url| format!("\n  metrics and health for the operator: {url}")).unwrap_or_default();
    let Some(first) = &ready.first else {
        let where_keys_are = if keys.exists() {
            format!("the keys of the first start are in {}", keys.display())
        } else {
            "the keys were printed by the process that first started on this store, and are in its data directory; `angarium admin keys create` makes others".into()
        };
        return format!("{}\n  {where_keys_are}{inside}", is_ready(&url));
    };
    let mut text = format!("{}\n\n", is_ready(&url));
    // What another process of the fleet serves is at an address that this one does not know.
    if ready.roles.contains(&Role::Live) {
        text += &format!("  live page   {}\n", live_url(ready, &first.view_key));
    }
    text += &format!("{}{inside}\n", first_start_text(first, &keys));
    if ready.roles.contains(&Role::Api) {
        let seen = if ready.roles.contains(&Role::Live) { " and see it on the live page" } else { "" };
        text += &format!("\nSend an event{seen}:\n  curl '{url}/t/hello?from=curl'\n");
    }
    text
}

/// What a first start made, and where it is kept.
pub fn first_start_text(first: &FirstStart, keys: &Path) -> String {
    format!(
        "  app         {app}\n  \
         secret key  {secret}   (for servers and people)\n  \
         write key   {write}   (only sends events: safe in apps and pages)\n\n  \
         {token}Shown once; also in {keys}, readable by you alone. `auth.first_start = false` makes none of this.",
        app = first.app,
        secret = first.secret_key,
        write = first.write_key,
        keys = keys.display(),
        token = if first.token.is_some() {
            "token       in that file: of a user who is admin, for 12 hours (`angarium token mint` makes others)\n\n  "
        } else {
            ""
        },
    )
}

fn warn_of_open_doors(config: &Config) {
    let public = !config.http.listen.ip().is_loopback();
    if public && !config.compat.anonymous.is_empty() {
        tracing::warn!(listen = %config.http.listen, "callers without an identity are let in (compat.anonymous) on an address that is not loopback");
    }
    if let Ok(Some(internal)) = config.internal()
        && !is_private(internal.ip())
    {
        tracing::warn!(%internal, "the internal listener asks for no key and is on an address that is not private; let a firewall keep the public from it");
    }
}

/// Whether only this machine or a network of one's own gets there. All addresses at once (0.0.0.0) are not that.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

fn stop_on_signals() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        tracing::info!("stopping: no new requests; those being answered are finished");
        token.cancel();
        // Who signals a process and its group means it once.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let _ = (interrupt.recv().now_or_never(), terminate.recv().now_or_never());
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        note("angarium: asked twice to stop: ending at once; what was acknowledged is durable");
        std::process::exit(1);
    });
    Ok(stop)
}

/// Logs go to standard error.
fn start_log(log: &Log) {
    let level = match log.level.as_str() {
        "error" => tracing::Level::ERROR,
        "warn" => tracing::Level::WARN,
        "debug" => tracing::Level::DEBUG,
        "trace" => tracing::Level::TRACE,
        _ => tracing::Level::INFO,
    };
    let subscriber = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    if log.format == "json" {
        subscriber.json().flatten_event(true).init();
    } else {
        subscriber.with_target(false).with_ansi(false).init();
    }
}
