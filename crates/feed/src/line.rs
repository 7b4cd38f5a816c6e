//! The line to an engine: connected in the background, again and again; followed topics, batches, beats.
//!
//! ```text
//!          ┌─────────── lost: wait (50 ms … 3 s, with jitter) ◀──────────────┐
//!          ▼                                                                 │
//!      connect ──▶ follow all topics ──▶ beat comes back ──▶ connected: follow, send, beat every 5 s
//! ```
//!
//! A beat is a message to ourselves: that it comes back shows that what was followed before it is followed,
//! and that the line is open both ways. Nothing waits longer than [`PATIENCE`].

use crate::{hub::Hub, outbox::Outgoing};
use std::{collections::HashSet, convert::Infallible, pin::Pin, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long connecting, sending a batch or a beat may take before the line counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);
const BEAT_EVERY: Duration = Duration::from_secs(5);
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(3);
/// Topics in one command.
const FOLLOW_AT_ONCE: usize = 500;

pub(crate) type Lost = Box<dyn std::error::Error + Send + Sync>;

/// Carries the bytes of a connection, gives frames to [`Hub::receive`], and ends when the connection does.
pub(crate) type Driver = Pin<Box<dyn Future<Output = Lost> + Send>>;

/// A server that messages go through.
pub(crate) trait Engine: Send + Sync + 'static {
    type Link: Link;
    fn connect(&self, hub: &Arc<Hub>) -> impl Future<Output = Result<(Self::Link, Driver), Lost>> + Send;
}

/// One connection, while its driver is polled beside it. What was sent or followed earlier is done earlier.
pub(crate) trait Link: Send {
    fn follow(&mut self, topics: &[Arc<str>]) -> impl Future<Output = Result<(), Lost>> + Send;
    fn leave(&mut self, topics: &[Arc<str>]) -> impl Future<Output = Result<(), Lost>> + Send;
    fn send(&mut self, batch: &[Outgoing]) -> impl Future<Output = Result<(), Lost>> + Send;
}

/// Keeps the line up until it is dropped.
pub(crate) async fn run(hub: Arc<Hub>, engine: impl Engine) {
    let (mut wait, mut told) = (WAIT_MIN, false);
    loop {
        let lost = session(&hub, &engine).await;
        let was_connected = hub.set_connected(false);
        if was_connected || !told {
            tracing::warn!(engine = hub.engine(), error = %lost, "the feed has no connection; will try again");
            told = true;
        } else {
            tracing::debug!(engine = hub.engine(), error = %lost, "the feed still has no connection");
        }
        if was_connected {
            wait = WAIT_MIN;
        }
        sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

/// One connection from its beginning to its end.
async fn session(hub: &Arc<Hub>, engine: &impl Engine) -> Lost {
    let (mut link, driver) = match patiently("connecting", engine.connect(hub)).await {
        Ok(connected) => connected,
        Err(lost) => return lost,
    };
    tokio::select! {
        lost = driver => lost,
        lost = attend(hub, &mut link) => match lost {
            Ok(never) => match never {},
            Err(lost) => lost,
        },
    }
}

async fn attend(hub: &Hub, link: &mut impl Link) -> Result<Infallible, Lost> {
    let mut followed = HashSet::new();
    hub.follow_anew();
    patiently("following", link.follow(&[hub.beat_topic()])).await?;
    let mut beat_at = Instant::now();
    loop {
        let changes = hub.changes(&followed);
        for topics in changes.leave.chunks(FOLLOW_AT_ONCE) {
            patiently("leaving", link.leave(topics)).await?;
        }
        for topics in changes.follow.chunks(FOLLOW_AT_ONCE) {
            patiently("following", link.follow(topics)).await?;
        }
        if !changes.follow.is_empty() || beat_at <= Instant::now() {
            beat(hub, link).await?;
            beat_at = Instant::now() + BEAT_EVERY;
            if hub.set_connected(true) {
                tracing::info!(engine = hub.engine(), "the feed is connected");
            }
            hub.opened(&changes.follow);
        }
        followed.extend(changes.follow);
        changes.leave.iter().for_each(|topic| _ = followed.remove(topic));

        if !send(hub, link).await? {
            tokio::select! {
                () = hub.work() => {}
                () = sleep_until(beat_at) => {}
            }
        }
    }
}

/// Returns whether there was anything to send.
async fn send(hub: &Hub, link: &mut impl Link) -> Result<bool, Lost> {
    let (batch, stale) = hub.outbox().take();
    hub.dropped(stale);
    let mut on_its_way = OnItsWay { hub, messages: batch.len() as u64 };
    if !batch.is_empty() {
        patiently("sending", link.send(&batch)).await?;
        on_its_way.messages = 0;
    }
    Ok(!batch.is_empty())
}

/// A batch that may or may not have arrived when the connection breaks: it is not sent twice, so it counts as dropped.
struct OnItsWay<'a> {
    hub: &'a Hub,
    messages: u64,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        self.hub.dropped(self.messages);
        self.hub.outbox().settled();
    }
}

async fn beat(hub: &Hub, link: &mut impl Link) -> Result<(), Lost> {
    let beat = hub.beat();
    let number = beat.number;
    patiently("a beat", async {
        link.send(&[beat]).await?;
        hub.heard(number).await;
        Ok(())
    })
    .await
}

async fn patiently<T>(doing: &str, work: impl Future<Output = Result<T, Lost>>) -> Result<T, Lost> {
    match timeout(PATIENCE, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("{doing} took longer than {} s", PATIENCE.as_secs()).into()),
    }
}
