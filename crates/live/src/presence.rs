//! Who is connected to an app's feed, by principal.
//!
//! ```text
//!  a connection enters ─▶ the registry of this process ─▶ a row per app in the store, every 5 s, good for 20 s
//!                           └▶ joins and leaves, told at once                └▶ other processes of the fleet
//! ```
//!
//! A store that one process has at a time is not written to. What is known of single connections is bounded; of
//! those beyond, only how many there are.

use crate::{
    Live,
    pass::Who,
    store::{self, PresenceRow},
};
use angarium_base::{AppId, Result, clock::Millis, id::push_ulid, time};
use angarium_kit::{
    Kit,
    access::Allowed,
    grants,
    http::{Answer, Doc, Params, Routes},
};
use axum::{Extension, Json, extract::State};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

grants! {
    /// See who is connected to the live feed.
    ReadPresence = "live:presence": [Admin, Operator, Viewer];
}

const PUBLISH_EVERY: Duration = Duration::from_secs(5);
/// By then a process that says nothing more has nobody connected.
const EXPIRES_MS: Millis = 20_000;
/// Connections of an app that are told of one by one, of each process.
const KNOWN_MAX: usize = 1_000;
/// Apps that a process tells others of.
const APPS_MAX: usize = 1_000;
/// Joins and leaves that a slow listener may be behind; older ones it is not told of.
const CHANGES: usize = 256;

pub fn routes() -> Routes {
    Routes::new().get(
        "/v1/apps/{app}/live/presence",
        show_presence,
        Doc::new(
            "live",
            "show_presence",
            "Show who is connected",
            "Who follows the live feed of the app, by principal: keys, users, and whom live tokens were made for. What \
             other processes of a fleet know is here within 5 s, and gone 20 s after such a process is.",
        )
        .answers::<PresenceView>(200, "who is connected"),
    )
}

/// Who is connected.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Presence")]
struct PresenceView {
    /// All of them.
    connections: u64,
    /// Whether there are more than are told of.
    truncated: bool,
    items: Vec<PresentView>,
}

/// A principal that is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Present")]
struct PresentView {
    /// `key`, `user` or `token`.
    kind: String,
    /// The key's id, the user's subject, or whom the token was made for.
    id: String,
    /// The key's name, or the user's address of e-mail.
    name: Option<String>,
    connections: u64,
    /// Since when the longest of its connections is there.
    #[schemars(extend("format" = "date-time"))]
    since: String,
    protocols: BTreeSet<String>,
    streams: BTreeSet<String>,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    pub client: String,
    #[serde(flatten)]
    pub who: Who,
    protocol: String,
    pub streams: Vec<String>,
    since: Millis,
}

/// Somebody came or went.
#[derive(Clone, Debug)]
pub struct Change {
    pub app: AppId,
    pub stream: String,
    pub client: String,
    pub who: Who,
    pub has_joined: bool,
}

/// Who is connected to this process. Cloning it is cheap, and clones are one.
#[derive(Clone)]
pub struct Presence(Arc<Registry>);

struct Registry {
    apps: Mutex<HashMap<AppId, BTreeMap<String, Connection>>>,
    changes: broadcast::Sender<Change>,
}

impl Default for Presence {
    fn default() -> Presence {
        Presence(Arc::new(Registry { apps: Mutex::default(), changes: broadcast::channel(CHANGES).0 }))
    }
}

/// A name for a connection, which nobody else has.
pub fn new_client(now: Millis) -> String {
    let mut name = String::with_capacity(26);
    push_ulid(&mut name, now);
    name
}

/// A place among those who are connected, given back when it is dropped.
pub struct Present {
    presence: Presence,
    app: AppId,
    client: String,
    streams: Vec<String>,
}

impl Presence {
    /// Enters a connection to streams of an app; one that is there already follows these too from now on.
    pub fn enter(
        &self,
        app: &AppId,
        (client, who, protocol): (&str, &Who, &str),
        streams: &[String],
        now: Millis,
    ) -> Present {
        let mut apps = self.0.apps.lock();
        let connection = apps.entry(app.clone()).or_default().entry(client.to_owned());
        let connection = connection.or_insert_with(|| Connection {
            client: client.to_owned(),
            who: who.clone(),
            protocol: protocol.to_owned(),
            streams: Vec::new(),
            since: now,
        });
        connection.streams.extend_from_slice(streams);
        drop(apps);
        let present = Present {
            presence: self.clone(),
            app: app.clone(),
            client: client.to_owned(),
            streams: streams.to_vec(),
        };
        present.tell(who, true);
        present
    }

    /// Tells of those who come and go from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    fn here(&self, app: &AppId) -> (u64, Vec<Connection>) {
        let apps = self.0.apps.lock();
        let Some(connections) = apps.get(app) else { return (0, Vec::new()) };
        (connections.len() as u64, connections.values().take(KNOWN_MAX).cloned().collect())
    }

    fn apps(&self) -> Vec<AppId> {
        self.0.apps.lock().keys().take(APPS_MAX).cloned().collect()
    }
}

impl Present {
    fn tell(&self, who: &Who, has_joined: bool) {
        if self.presence.0.changes.receiver_count() == 0 {
            return;
        }
        for stream in &self.streams {
            let (app, client) = (self.app.clone(), self.client.clone());
            // Nobody may be listening any more.
            let _ = self.presence.0.changes.send(Change {
                app,
                stream: stream.clone(),
                client,
                who: who.clone(),
                has_joined,
            });
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut apps = self.presence.0.apps.lock();
        let Some(connections) = apps.get_mut(&self.app) else { return };
        let Some(connection) = connections.get_mut(&self.client) else { return };
        let who = connection.who.clone();
        for stream in &self.streams {
            if let Some(at) = connection.streams.iter().position(|other| other == stream) {
                connection.streams.remove(at);
            }
        }
        if connection.streams.is_empty() {
            connections.remove(&self.client);
        }
        if connections.is_empty() {
            apps.remove(&self.app);
        }
        drop(apps);
        self.tell(&who, false);
    }
}

/// How many are connected to an app in the whole fleet, and some of them one by one.
///
/// # Errors
/// `unavailable` when the store cannot be asked.
pub async fn everywhere(kit: &Kit, presence: &Presence, app: &AppId) -> Result<(u64, Vec<Connection>)> {
    let (mut connections, mut known) = presence.here(app);
    if kit.db.is_shared() {
        let (id, process, now) = (app.clone(), kit.fleet.id().to_string(), kit.clock.now());
        let rows = kit.db.read(move |tx| store::presence_elsewhere(tx, &id, &process, now)).await?;
        for row in rows {
            connections += row.connections.max(0).cast_unsigned();
            let others: Vec<Connection> = serde_json::from_str(&row.entries).unwrap_or_default();
            known.extend(others);
        }
    }
    Ok((connections, known))
}

async fn show_presence(
    allowed: Allowed<ReadPresence>,
    State(kit): State<Kit>,
    Extension(live): Extension<Arc<Live>>,
    params: Params,
) -> Answer<Json<PresenceView>> {
    params.only(&[])?;
    let (connections, known) = everywhere(&kit, &live.presence, allowed.app_id()).await?;
    let truncated = (known.len() as u64) < connections;
    Ok(Json(PresenceView { connections, truncated, items: by_principal(&known) }))
}

/// Connections of one principal together, the longest there first.
fn by_principal(connections: &[Connection]) -> Vec<PresentView> {
    let mut present: BTreeMap<(&str, &str), (Millis, PresentView)> = BTreeMap::new();
    for connection in connections {
        let who = &connection.who;
        let (since, view) = present.entry((&who.kind, &who.id)).or_insert_with(|| {
            let view = PresentView {
                kind: who.kind.clone(),
                id: who.id.clone(),
                name: who.name.clone(),
                connections: 0,
                since: String::new(),
                protocols: BTreeSet::new(),
                streams: BTreeSet::new(),
            };
            (connection.since, view)
        });
        *since = connection.since.min(*since);
        view.connections += 1;
        view.protocols.insert(connection.protocol.clone());
        view.streams.extend(connection.streams.iter().cloned());
    }
    let mut items: Vec<_> = present.into_values().collect();
    items.sort_by_key(|(since, _)| *since);
    items.into_iter().map(|(since, view)| PresentView { since: time::format(since), ..view }).collect()
}

/// Tells the other processes of the fleet who is connected here, until `stop`.
pub async fn publish(kit: Kit, presence: Presence, stop: CancellationToken) {
    if !kit.db.is_shared() {
        return;
    }
    let (mut told, mut failing) = (HashSet::new(), false);
    while stop.run_until_cancelled(tokio::time::sleep(PUBLISH_EVERY)).await.is_some() {
        match publish_once(&kit, &presence, &mut told).await {
            Ok(()) => failing = false,
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(?error, "others cannot be told who is connected here; will try again");
            }
            Err(_) => {}
        }
    }
    // What is left behind expires by itself.
    let _ = publish_once(&kit, &Presence::default(), &mut told).await;
}

/// `told`: the apps of which there is a row of this process.
async fn publish_once(kit: &Kit, presence: &Presence, told: &mut HashSet<AppId>) -> Result<()> {
    let mut rows = Vec::new();
    for app in presence.apps() {
        let (connections, known) = presence.here(&app);
        let entries = serde_json::to_string(&known).unwrap_or_default();
        rows.push((app, PresenceRow { connections: connections.cast_signed(), entries }));
    }
    let now: HashSet<AppId> = rows.iter().map(|(app, _)| app.clone()).collect();
    if rows.is_empty() && told.is_empty() {
        return Ok(());
    }
    let gone: Vec<AppId> = told.difference(&now).cloned().collect();
    let (process, at) = (kit.fleet.id().to_string(), kit.clock.now());
    kit.db
        .write(move |tx| {
            rows.iter().try_for_each(|(app, row)| {
                store::publish_presence(tx, app, &process, row, at + EXPIRES_MS)
            })?;
            gone.iter().try_for_each(|app| store::withdraw_presence(tx, app, &process))?;
            store::expire_presence(tx, at)
        })
        .await?;
    *told = now;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(id: &str) -> Who {
        Who { kind: "user".into(), id: id.into(), name: None }
    }

    #[test]
    fn connections_of_one_principal_are_one_line_and_go_one_by_one() {
        let (presence, app) = (Presence::default(), AppId::new(1));
        let streams = ["events".to_owned()];
        let first = presence.enter(&app, ("a", &who("u1"), "sse"), &streams, 1_000);
        let second = presence.enter(&app, ("b", &who("u1"), "centrifugo"), &streams, 2_000);
        let other = presence.enter(&app, ("c", &who("u2"), "sse"), &streams, 3_000);
        let more = presence.enter(&app, ("b", &who("u1"), "centrifugo"), &["messages".to_owned()], 4_000);
        let (connections, known) = presence.here(&app);
        let items = by_principal(&known);
        assert_eq!((connections, items.len()), (3, 2));
        assert_eq!((items[0].id.as_str(), items[0].connections), ("u1", 2));
        assert_eq!(items[0].since, time::format(1_000));
        assert_eq!(items[0].streams.len(), 2, "{:?}", items[0]);
        drop((first, more, other));
        let (_, known) = presence.here(&app);
        assert_eq!((known.len(), &known[0].streams[..]), (1, &streams[..]));
        drop(second);
        assert!(presence.apps().is_empty(), "nothing is left of an app that nobody follows");
    }

    #[test]
    fn those_who_listen_are_told_who_comes_and_goes() {
        let (presence, app) = (Presence::default(), AppId::new(1));
        let mut changes = presence.changes();
        let present = presence.enter(&app, ("a", &who("u1"), "sse"), &["events".to_owned()], 1_000);
        drop(present);
        let told: Vec<bool> =
            std::iter::from_fn(|| changes.try_recv().ok()).map(|change| change.has_joined).collect();
        assert_eq!(told, [true, false]);
    }
}
