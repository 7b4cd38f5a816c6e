//! From a configuration to the handles that everything works with.

use crate::{config::Config, slices};
use angarium_base::{Clock, Result};
use angarium_db::Db;
use angarium_journal::Journal;
use angarium_kit::{
    Handles, Kit,
    access::{Anonymous, Directory},
    http::Budget,
    metrics::Metrics,
};
use angarium_tenants::FirstStart;
use std::net::SocketAddr;
use tokio_util::sync::CancellationToken;

/// What a start opens.
pub struct Opened {
    pub kit: Kit,
    /// Only when this start made the data directory.
    pub first: Option<FirstStart>,
}

/// Opens the store, the journal and the directory of who may do what.
pub async fn open(
    config: &Config,
    streams: Vec<&'static str>,
    listen: SocketAddr,
    stop: CancellationToken,
    clock: Clock,
) -> Result<Opened> {
    let db = Db::open(&config.data_dir, &slices::migrations(), clock.clone())?;
    let journal = Journal::open(db.clone(), config.journal_options(), clock.clone()).await?;
    let first = angarium_tenants::first_start(&db, &clock).await?;
    let directory = Directory::default();
    angarium_tenants::load(&db, &directory).await?;
    let limits = config.limits();
    let opened_by_config = config.compat.anonymous.iter().any(|family| family == "t");
    let kit = Kit::new(Handles {
        clock,
        db,
        journal,
        directory,
        metrics: Metrics::new(),
        budget: Budget::new(&limits),
        limits,
        anonymous: Anonymous { t: opened_by_config || listen.ip().is_loopback() },
        streams,
        stop,
    });
    Ok(Opened { kit, first })
}
