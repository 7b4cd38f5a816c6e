//! What the URLs of the configuration name: the store, the streams, the feed, the blobs. Nothing is changed or made.

use super::{Finding, ill, well};
use crate::{
    config::{Config, Store},
    slices,
};
use angarium_base::{Clock, Error};
use angarium_blobs::Blobs;
use angarium_db::{postgres, sqlite};
use angarium_feed::Feed;
use angarium_identity::{IssuerState, Verifier};
use angarium_kafka::{Kafka, TopicName};
use std::time::Duration;

/// How long the feed's server may take to be connected.
const PATIENCE: Duration = Duration::from_secs(5);

/// One sentence each.
pub async fn look_at(config: &Config) -> Vec<Finding> {
    let mut findings = vec![
        look_at_store(config).await,
        look_at_streams(config).await,
        look_at_feed(config).await,
        look_at_blobs(config).await,
    ];
    findings.extend(look_at_issuers(config).await);
    findings
}

/// Fetches the keys of those issuers whose keys are elsewhere.
async fn look_at_issuers(config: &Config) -> Vec<Finding> {
    let settings = config.identity_settings(None);
    let verifier = match settings.and_then(|settings| Verifier::new(settings, Clock::system())) {
        Ok(verifier) => verifier,
        Err(error) => return vec![ill("issuers", error.message().to_owned())],
    };
    verifier.refresh().await;
    let fetched = verifier.issuers().into_iter().filter(|issuer| issuer.source == "jwks");
    let finding = |IssuerState { issuer, key_set, .. }: IssuerState| match (key_set.failure, key_set.keys) {
        (Some((_, why)), _) => ill("issuer", format!("{issuer}: its keys cannot be had: {why}")),
        (None, Some(keys)) => well("issuer", format!("{issuer}: {keys} keys can be used")),
        (None, None) => ill("issuer", format!("{issuer}: it has no keys")),
    };
    fetched.map(finding).collect()
}

async fn look_at_store(config: &Config) -> Finding {
    let (place, dir, steps) = (config.without_secrets().db, config.data_dir.clone(), slices::migrations());
    let checked = match config.store() {
        Err(error) => Err(error),
        Ok(Store::Folder) if !dir.join(sqlite::FILE).exists() => {
            return well("store", format!("{} has no store yet; the first start makes it", dir.display()));
        }
        Ok(Store::Folder) => sqlite::check(&dir, &steps),
        Ok(Store::Postgres(options)) => {
            let checking = tokio::task::spawn_blocking(move || postgres::check(&options, &steps));
            checking.await.unwrap_or_else(|_| {
                Err(angarium_base::error::INTERNAL.err("looking at the store ended in a panic"))
            })
        }
    };
    match checked {
        Ok(()) => well("store", format!("{place} can be reached, and its schema is this version's")),
        Err(error) => ill("store", format!("{place}: {}", error.message())),
    }
}

async fn look_at_streams(config: &Config) -> Finding {
    let remote = match config.kafka_streams() {
        Ok(None) => return well("journal", "streams are in the store".to_owned()),
        Ok(Some(remote)) => remote,
        Err(error) => return ill("journal", format!("{}: {}", config.journal, error.message())),
    };
    let kafka = match Kafka::open(angarium_kafka::Options { request_timeout: PATIENCE, ..remote.kafka }) {
        Ok(kafka) => kafka,
        Err(error) => return ill("journal", format!("{}: {}", config.journal, error.message())),
    };
    // Whether it is there is no matter: the brokers answer.
    let asked = async { kafka.partitions(&TopicName::parse("angarium.doctor")?).await };
    let Err(error) = asked.await else {
        return well("journal", format!("{}: the brokers answer", config.journal));
    };
    let reason = kafka.status().last_error.map(|(reason, _)| format!(" ({reason})")).unwrap_or_default();
    let kept = "events are kept in the spool until they answer";
    ill("journal", format!("{}: {}{reason}; {kept}", config.journal, error.message()))
}

async fn look_at_feed(config: &Config) -> Finding {
    let place = config.without_secrets().feed;
    let opened = async {
        let feed = Feed::open(&config.feed_target()?, "angarium-doctor", Clock::system()).await?;
        let until = tokio::time::Instant::now() + PATIENCE;
        while !feed.status().connected && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let status = feed.status();
        feed.close().await;
        Ok::<_, Error>(status)
    };
    match opened.await {
        Ok(status) if status.engine == "local" => {
            well("feed", format!("{place}: within one process, which needs no server"))
        }
        Ok(status) if status.connected => {
            well("feed", format!("{place}: the server ({}) can be reached", status.engine))
        }
        Ok(status) => ill(
            "feed",
            format!(
                "{place}: the server ({}) cannot be reached; processes run on, and tell each other nothing",
                status.engine
            ),
        ),
        Err(error) => ill("feed", format!("{place}: {}", error.message())),
    }
}

async fn look_at_blobs(config: &Config) -> Finding {
    let place = match config.blobs.as_str() {
        "" => config.data_dir.join("blobs").display().to_string(),
        url => url.to_owned(),
    };
    let checked = async {
        let target = config.blobs_target()?;
        if let angarium_blobs::Target::Folder(folder) = &target
            && !folder.exists()
        {
            return Ok("is not there yet; the first start makes it");
        }
        Blobs::open(&target, Default::default(), Clock::system())?.check().await?;
        Ok::<_, Error>("can be reached")
    };
    match checked.await {
        Ok(says) => well("blobs", format!("{place} {says}")),
        Err(error) => ill("blobs", format!("{place}: {}", error.message())),
    }
}
