//! From a configuration to the handles that everything works with.

use crate::{
    config::{Config, Store},
    private_file::{self, LocalIssuer},
    slices,
};
use angarium_base::{Clock, Result, clock::Millis};
use angarium_blobs::Blobs;
use angarium_db::{Db, postgres, sqlite};
use angarium_feed::Feed;
use angarium_identity::{Identity, SigningKey, Verifier, mint};
use angarium_journal::Journal;
use angarium_kit::{
    Handles, Kit, Parts,
    access::{Anonymous, Directory, Holder},
    fleet::{Fleet, Member, Timing},
    gate::Gate,
    http::Budget,
    metrics::Metrics,
    secrets::Secrets,
};
use angarium_tenants::FirstStart;
use bytes::Bytes;
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

/// What a start opens.
pub struct Opened {
    pub kit: Kit,
    /// Only when this start made the data directory.
    pub first: Option<FirstStart>,
}

/// Who opens the store.
#[derive(Clone, Copy)]
pub enum Opener<'a> {
    /// A server, which listens there. The keys of a first start go into the folder.
    Server(SocketAddr, &'a Path),
    /// A command at the server's console: it has no role, hence does nothing that processes do.
    Console(&'a Path),
}

impl Opener<'_> {
    fn keys_dir(&self) -> &Path {
        match self {
            Opener::Server(_, dir) | Opener::Console(dir) => dir,
        }
    }

    fn member(self, config: &Config, clock: &Clock) -> Result<Member> {
        let (roles, address) = match self {
            Opener::Server(listen, _) => (config.roles()?, listen.to_string()),
            Opener::Console(_) => (Vec::new(), "console".to_owned()),
        };
        Ok(Member::new(roles, env!("CARGO_PKG_VERSION"), &address, clock))
    }

    /// Whether it listens at all, and on such an address.
    fn listens(self, on: impl FnOnce(IpAddr) -> bool) -> bool {
        matches!(self, Opener::Server(listen, _) if on(listen.ip()))
    }
}

/// Opens the store, the journal and the directory of who may do what.
pub async fn open(
    config: &Config,
    parts: Parts,
    opener: Opener<'_>,
    stop: CancellationToken,
    clock: Clock,
) -> Result<Opened> {
    let db = open_store(config, clock.clone())?;
    let feed = Feed::open(&config.feed_target()?, NAMESPACE, clock.clone()).await?;
    let blobs = Blobs::open(&config.blobs_target()?, Default::default(), clock.clone())?;
    let journal = open_journal(config, &db, &feed, &clock).await?;
    private_file::warn_of_modes(opener.keys_dir());
    let local = local_issuer(config)?;
    let first = first_start(config, &db, &clock, opener.keys_dir(), local.as_ref()).await?;
    let identity =
        Verifier::new(config.identity_settings(local.as_ref().map(LocalIssuer::trusted))?, clock.clone())?;
    let directory = Directory::default();
    angarium_tenants::load(&db, &directory).await?;
    let member = opener.member(config, &clock)?;
    let fleet = Fleet::enter(&db, &feed, clock.clone(), member, Timing::default()).await?;
    let limits = config.http_limits();
    let gate = Gate::new(feed.limiter(), config.rates()?);
    let opened_by_config = |name: &str| config.compat.anonymous.iter().any(|family| family == name);
    let is_here = opener.listens(|address| address.is_loopback());
    let kit = Kit::new(Handles {
        clock,
        db,
        journal,
        feed,
        blobs,
        fleet,
        directory,
        identity,
        proxy: config.proxy()?,
        secrets: secrets(config)?,
        gate,
        under_way: Default::default(),
        trusted_proxies: config.trusted_proxies()?,
        metrics: Metrics::new(),
        budget: Budget::new(&limits),
        limits,
        anonymous: Anonymous {
            t: opened_by_config("t") || is_here,
            messages: opened_by_config("messages") || is_here,
            messages_named: opened_by_config("messages"),
            is_public: opener.listens(|address| !address.is_loopback()),
        },
        parts,
        stop,
    });
    Ok(Opened { kit, first })
}

/// The data directory's own issuer of tokens, where there is one: in a fleet processes would have one each.
fn local_issuer(config: &Config) -> Result<Option<LocalIssuer>> {
    if !config.auth.local_issuer || !matches!(config.store()?, Store::Folder) {
        return Ok(None);
    }
    LocalIssuer::load_or_make(&config.data_dir).map(Some)
}

/// The keys that secrets are sealed with.
fn secrets(config: &Config) -> Result<Secrets> {
    match config.store()? {
        Store::Folder if config.secrets.keys.is_empty() => private_file::secrets(&config.data_dir),
        _ => Secrets::new(&config.secrets.keys),
    }
}

/// The subject whom the local issuer vouches for at the first start.
pub const LOCAL_ADMIN: &str = "admin";
/// How long a token of the first start is good; `angarium token mint` makes others.
const FIRST_TOKEN_MS: Millis = 12 * 3_600_000;

/// Makes the first app, unless there has been one or the configuration says no. Its keys are in their file before the
/// store has them, so that whoever dies in between leaves no app without keys.
async fn first_start(
    config: &Config,
    db: &Db,
    clock: &Clock,
    keys_dir: &Path,
    local: Option<&LocalIssuer>,
) -> Result<Option<FirstStart>> {
    if !config.auth.first_start {
        return Ok(None);
    }
    end_first_starts(config, db, keys_dir).await?;
    let admin = local.map(|local| Holder::Subject {
        issuer: local.issuer.clone(),
        tenant: String::new(),
        subject: LOCAL_ADMIN.to_owned(),
    });
    let Some(mut making) = angarium_tenants::first_start(db, clock, admin).await? else {
        say_where_keys_are(config, keys_dir);
        return Ok(None);
    };
    if let Some(local) = local {
        let now = clock.now();
        let identity = Identity {
            issuer: local.issuer.clone(),
            tenant: None,
            subject: LOCAL_ADMIN.to_owned(),
            email: None,
            expires_at: now + FIRST_TOKEN_MS,
        };
        making.first.token = Some(local_token(local, &config.auth.audience, &identity, now)?);
    }
    let app = making.first.app.clone();
    private_file::write_first_start(keys_dir, &making.first)?;
    let made = making.commit(db).await?;
    match &made {
        Some(_) => private_file::keep_first_start(keys_dir, &app)?,
        None => private_file::drop_first_start(keys_dir, &app)?,
    }
    Ok(made)
}

/// Ends what a process that died had begun: keys that are in the store are kept, others are not.
async fn end_first_starts(config: &Config, db: &Db, keys_dir: &Path) -> Result<()> {
    let is_alone = matches!(config.store()?, Store::Folder);
    for app in private_file::waiting_first_starts(keys_dir)? {
        if angarium_tenants::has_app(db, &app).await? {
            private_file::keep_first_start(keys_dir, &app)?;
        } else if is_alone {
            // On a database another process may be about to commit.
            private_file::drop_first_start(keys_dir, &app)?;
        }
    }
    Ok(())
}

/// Who finds no file of keys is told how to come by others.
fn say_where_keys_are(config: &Config, keys_dir: &Path) {
    if matches!(config.store(), Ok(Store::Folder)) && !keys_dir.join(private_file::FIRST_START).exists() {
        tracing::info!(
            "the keys of the first start are in no file here; if nobody has them, stop the server and make one: \
             `angarium admin keys create --app {} --name NAME --role admin --data-dir {}`",
            angarium_tenants::BUNDLE_ID,
            keys_dir.display()
        );
    }
}

/// A token of the data directory's own issuer.
pub fn local_token(local: &LocalIssuer, audience: &str, identity: &Identity, now: Millis) -> Result<String> {
    let claims = local.trusted().claims(identity, audience, now);
    mint(&SigningKey::Secret(local.secret()), "HS256", None, &claims)
}

/// Keeps us apart from others on the same Redis or PostgreSQL.
const NAMESPACE: &str = "angarium";
/// The feed's topic on which processes tell each other that streams have grown.
const GROWN: &str = "journal";

/// The folder of the spool within the data directory, where streams are in Kafka.
pub const SPOOL: &str = "spool";

/// Opens the store that the configuration names, with its schema brought up or checked.
pub fn open_store(config: &Config, clock: Clock) -> Result<Db> {
    match config.store()? {
        Store::Folder => {
            if !config.migrate {
                sqlite::check(&config.data_dir, &slices::migrations())?;
            }
            Db::open(&config.data_dir, &slices::migrations(), clock)
        }
        Store::Postgres(options) => {
            let opened = || {
                if !config.migrate {
                    postgres::check(&options, &slices::migrations())?;
                }
                Db::open_postgres(&options, &slices::migrations(), clock)
            };
            opened().map_err(|error| {
                let detail = format!("db {}: {}", config.without_secrets().db, error.message());
                error.code().err(detail).with_source(error)
            })
        }
    }
}

/// The journal, which tells other processes of its appends and hears of theirs.
async fn open_journal(config: &Config, db: &Db, feed: &Feed, clock: &Clock) -> Result<Journal> {
    let mut options = config.journal_options();
    if db.is_shared() {
        let feed = feed.clone();
        options.announce = Some(Arc::new(move || feed.publish(GROWN, Bytes::new())));
    }
    let journal = match config.kafka_streams()? {
        Some(remote) => {
            let spool =
                Db::open(&config.data_dir.join(SPOOL), angarium_journal::SPOOL_MIGRATIONS, clock.clone())?;
            Journal::open_remote(db.clone(), spool, remote, options, clock.clone()).await?
        }
        None => Journal::open(db.clone(), options, clock.clone()).await?,
    };
    if db.is_shared() {
        let (mut grown, journal) = (feed.subscribe(GROWN), journal.clone());
        tokio::spawn(async move {
            while grown.next().await.is_some() {
                journal.look();
            }
        });
    }
    Ok(journal)
}
