//! One request that many send until they have an answer, and what it may have done.

use crate::tenants::{Tenant, new_bundle_id, new_email, text};
use angarium_suite::{GUARD, Reply, World, caller::read, eventually};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    fmt,
    time::{Duration, Instant},
};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    CreateApp,
    CreateGrant,
    CreateKey,
    RotateKey,
    TrackOne,
    TrackMany,
    SendMessage,
}

impl Kind {
    pub const ALL: [Kind; 7] = [
        Kind::CreateApp,
        Kind::CreateGrant,
        Kind::CreateKey,
        Kind::RotateKey,
        Kind::TrackOne,
        Kind::TrackMany,
        Kind::SendMessage,
    ];

    pub fn is_events(self) -> bool {
        matches!(self, Kind::TrackOne | Kind::TrackMany)
    }

    /// Whether what is asked for is done later.
    fn is_taken_in(self) -> bool {
        self.is_events() || self == Kind::SendMessage
    }
}

/// Events of one request of [`Kind::TrackMany`].
const MANY: usize = 7;

/// One request with an `Idempotency-Key`.
pub struct Repeated {
    kind: Kind,
    tenant: Tenant,
    key: String,
    /// Behind the URL of the server.
    path: String,
    body: Value,
    /// In what it makes, and in nothing else.
    mark: String,
}

/// What those were told who sent it.
pub struct Told {
    pub answers: Vec<Reply>,
    /// Answers that the first request was still under way.
    pub conflicts: usize,
    /// Requests without an answer.
    pub broken: usize,
}

impl fmt::Debug for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.key)
    }
}

pub fn new_key() -> String {
    format!("{:032x}", fastrand::u128(..))
}

impl Repeated {
    pub async fn new(kind: Kind, tenant: &Tenant) -> Repeated {
        let app = format!("/v1/apps/{}", tenant.id);
        let (key, mark) = (new_key(), new_key());
        let event = |n: usize| json!({ "type": mark, "params": { "n": n } });
        let (path, body, mark) = match kind {
            Kind::CreateApp => {
                let bundle_id = new_bundle_id();
                ("/v1/apps".to_owned(), json!({ "name": mark, "bundle_id": bundle_id }), mark)
            }
            Kind::CreateGrant => {
                let email = new_email();
                (format!("{app}/grants"), json!({ "email": email, "role": "viewer" }), email)
            }
            Kind::CreateKey => (format!("{app}/keys"), json!({ "name": mark, "role": "viewer" }), mark),
            Kind::RotateKey => {
                let old = tenant.key_of(&json!({ "name": mark, "role": "viewer" })).await.id;
                (format!("{app}/keys/{old}/rotate"), json!({ "overlap": "1h" }), mark)
            }
            Kind::TrackOne => (format!("{app}/events"), event(0), mark),
            Kind::TrackMany => {
                let events: Vec<Value> = (0..MANY).map(event).collect();
                (format!("{app}/events"), events.into(), mark)
            }
            Kind::SendMessage => (format!("{app}/messages"), json!({ "mark": mark }), mark),
        };
        Repeated { kind, tenant: tenant.clone(), key, path, body, mark }
    }

    fn request(&self, url: &str) -> reqwest::RequestBuilder {
        // `Tenant::request` is for paths of the app; this one may be about no app.
        let request = self.tenant.http().request(Method::POST, format!("{url}{}", self.path));
        let request = request.bearer_auth(&self.tenant.token).header("idempotency-key", &self.key);
        request.header("content-type", "application/json").body(self.body.to_string())
    }

    /// Sends it once; `None` when no answer comes.
    pub async fn begin(&self, url: &str) -> Option<Reply> {
        read(self.request(url)).await.ok()
    }

    pub async fn by_many(&self, worlds: &[World], callers: usize) -> Told {
        let urls: Vec<String> = worlds.iter().map(World::url).collect();
        self.by_many_at(&urls, callers).await
    }

    /// So many send it, in turn to one server and the other, until they have an answer.
    pub async fn by_many_at(&self, urls: &[String], callers: usize) -> Told {
        // Where streams are in Kafka, each process remembers the ids of events that came through it.
        let urls = if angarium_suite::on_kafka() && self.kind.is_events() { &urls[..1] } else { urls };
        let calling = (0..callers).map(|caller| self.until_answered(&urls[caller % urls.len()]));
        let mut told = Told { answers: Vec::new(), conflicts: 0, broken: 0 };
        for (answer, conflicts, broken) in join_all(calling).await {
            told.answers.push(answer);
            told.conflicts += conflicts;
            told.broken += broken;
        }
        told
    }

    async fn until_answered(&self, url: &str) -> (Reply, usize, usize) {
        let (since, mut conflicts, mut broken) = (Instant::now(), 0, 0);
        loop {
            assert!(since.elapsed() < GUARD * 2, "{self:?}: there is no end to it");
            let Ok(answer) = read(self.request(url)).await else {
                // The server is dead, or has died.
                broken += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            if ![409, 503].contains(&answer.status) {
                return (answer, conflicts, broken);
            }
            if answer.status == 409 {
                assert_eq!(answer.code(), "idempotency_key_in_flight", "{self:?}: {}", answer.text());
                conflicts += 1;
            }
            let seconds = answer.header("retry-after").parse().expect("a refusal says when to come again");
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    }

    /// All were told the same, and it is so.
    pub async fn has_one_effect(&self, answers: &[Reply]) {
        let told = |answer: &Reply| {
            let location = answer.header("location").to_owned();
            (answer.status, answer.text(), location, answer.header("content-type").to_owned())
        };
        let first = told(&answers[0]);
        let wanted = if self.kind.is_taken_in() { 202 } else { 201 };
        assert_eq!(first.0, wanted, "{self:?}: {first:?}");
        for answer in answers {
            assert_eq!(told(answer), first, "{self:?}: not all were told the same");
            assert_eq!(answer.header("idempotency-key"), self.key, "{self:?}");
        }
        if self.kind.is_events() {
            let wanted = if self.kind == Kind::TrackOne { 1 } else { MANY };
            let answer = answers[0].json();
            assert_eq!(answer["accepted"], wanted, "{self:?}: {answer}");
            // With streams in Kafka they are brought there soon after the answer.
            let events = eventually("the events are there", async || {
                let events = self.tenant.all(&format!("/events?type={}&limit=1000", self.mark)).await;
                (events.len() >= wanted).then_some(events)
            })
            .await;
            assert_eq!(events.len(), wanted, "{self:?}: events that are there");
            return;
        }
        // A process that has not made an app itself knows of it within seconds.
        let made = eventually("what was answered is there", async || {
            let made = self.made().await;
            (!made.is_empty()).then_some(made)
        });
        let made = made.await;
        // What it replaces has the same name.
        let wanted = if self.kind == Kind::RotateKey { 2 } else { 1 };
        assert_eq!(made.len(), wanted, "{self:?}: {made:?}");
        let id = text(&answers[0].json(), "id");
        assert!(made.contains(&id), "{self:?}: {id} was answered, and there is {made:?}");
        assert!(first.2.ends_with(&id), "{self:?}: {first:?}");
    }

    /// Ids of what is there and has its mark.
    async fn made(&self) -> Vec<String> {
        let (items, member) = match self.kind {
            Kind::CreateApp => (self.tenant.apps().await, "name"),
            Kind::CreateGrant => (self.tenant.all("/grants?limit=1000").await, "email"),
            Kind::SendMessage => {
                let messages = self.tenant.all("/messages?limit=1000").await;
                let marked = |message: &&Value| message["body"]["mark"] == *self.mark;
                return messages.iter().filter(marked).map(|message| text(message, "id")).collect();
            }
            _ => (self.tenant.all("/keys?limit=1000").await, "name"),
        };
        items.iter().filter(|item| item[member] == *self.mark).map(|item| text(item, "id")).collect()
    }
}
