//! Who follows the feed: a key, a user, or the holder of a live token, who may read some streams for some minutes.

use crate::{
    Live,
    api::FollowFeed,
    tokens::{self, LiveToken},
};
use angarium_base::{Error, Result, clock::Millis, error::NOT_FOUND};
use angarium_journal::Stream;
use angarium_kit::{
    Kit,
    access::{Allowed, Asked, FORBIDDEN, Guard, Guarded, Principal},
    http::{Params, Problem},
    records,
};
use axum::extract::{FromRequestParts, Path};
use http::{header::AUTHORIZATION, request::Parts};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

angarium_base::codes! {
    /// This is not a live token of this server, or whoever made it may not read the app any more. Have another made by `POST /v1/apps/{app}/live/tokens`.
    INVALID_LIVE_TOKEN = "invalid_live_token": Unauthenticated;
    /// The live token is over: it was good for some minutes. Have another made by `POST /v1/apps/{app}/live/tokens`.
    LIVE_TOKEN_EXPIRED = "live_token_expired": Unauthenticated;
}

/// Whoever holds a connection open looks at least this often whether it may.
const LOOK: Duration = Duration::from_secs(60);

/// Proof that its holder may follow an app's feed, and what of it.
#[derive(Clone)]
pub struct Pass {
    /// With a live token, the proof that whoever made it still may.
    pub allowed: Allowed<FollowFeed>,
    pub token: Option<Arc<LiveToken>>,
}

/// Who somebody is, as others are shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// `key`, `user` or `token`.
    pub kind: String,
    /// The key's id, the user's subject, or whom the token was made for.
    pub id: String,
    /// The key's name, or the user's address of e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Who {
    pub fn of(principal: &Principal, token: Option<&LiveToken>) -> Who {
        let who = |kind: &str, id: &str, name: Option<&str>| Who {
            kind: kind.to_owned(),
            id: id.to_owned(),
            name: name.map(str::to_owned),
        };
        match (token, principal) {
            (Some(token), _) => who("token", token.subject.as_deref().unwrap_or_default(), None),
            (None, Principal::Key(key)) => who("key", key.id.as_str(), Some(&key.name)),
            (None, Principal::User(user)) => who("user", &user.subject, user.email.as_deref()),
        }
    }
}

impl Pass {
    /// The pass of a token's holder for the app that is named.
    async fn of_token(kit: &Kit, live: &Live, parts: &Parts, text: &str, app: &str) -> Result<Pass> {
        let token = live.tokens.read(kit, text).await?;
        if kit.directory.app(app).is_none_or(|app| app.id.as_str() != token.app()) {
            return Err(not_its_app());
        }
        let allowed = token.allowed(kit, Asked::from(parts)).await?;
        Ok(Pass { allowed, token: Some(Arc::new(token)) })
    }

    /// Checks that the token, if there is one, is for the app that the proof is for: whoever made it may read others.
    ///
    /// # Errors
    /// `not_found`.
    pub fn is_for_its_app(&self) -> Result<()> {
        let is_its_app = |token: &Arc<LiveToken>| token.app() == self.allowed.app_id().as_str();
        self.token.as_ref().is_none_or(is_its_app).then_some(()).ok_or_else(not_its_app)
    }

    /// The app's stream of this name.
    ///
    /// # Errors
    /// `not_found`; `forbidden` for a stream that the token is not for, or that only admins read.
    pub async fn stream(&self, kit: &Kit, name: &str) -> Result<Stream> {
        if let Some(token) = &self.token
            && !token.streams.iter().any(|stream| stream == name)
        {
            return Err(
                FORBIDDEN.err(format!("this live token is for other streams: {}", token.streams.join(", ")))
            );
        }
        records::find_stream(kit, &self.allowed, name).await
    }

    /// Whether the app's stream of this name may be followed.
    pub fn may_follow(&self, name: &str) -> bool {
        let is_among = |token: &Arc<LiveToken>| token.streams.iter().any(|stream| stream == name);
        self.token.as_ref().is_none_or(is_among) && records::is_readable(&self.allowed, name)
    }

    /// The streams that are meant where none are named.
    pub fn own_streams(&self) -> String {
        self.token.as_ref().map_or_else(|| "events".to_owned(), |token| token.streams.join(","))
    }

    pub fn who(&self) -> Who {
        match &self.allowed.principal {
            Some(principal) => Who::of(principal, self.token.as_deref()),
            None => Who { kind: "anonymous".to_owned(), id: String::new(), name: None },
        }
    }

    /// Whether it would be given still.
    pub fn still_holds(&self, kit: &Kit) -> bool {
        self.token.as_ref().is_none_or(|token| token.expires_at > kit.clock.now())
            && self.allowed.still_holds(kit)
    }

    /// Returns when it would not be given any more: as [`Allowed::ended`], or when the token is over.
    pub async fn ended(&self, kit: &Kit) {
        let Some(token) = &self.token else { return self.allowed.ended(kit).await };
        let over = async {
            while token.expires_at > kit.clock.now() {
                sleep(until(kit, token.expires_at).min(LOOK)).await;
            }
        };
        tokio::select! {
            () = self.allowed.ended(kit) => {}
            () = over => {}
        }
    }
}

fn not_its_app() -> Error {
    NOT_FOUND.err("there is no such app, or this live token is not for it")
}

/// How long it is until an instant, and a moment.
pub fn until(kit: &Kit, at: Millis) -> Duration {
    Duration::from_millis((at - kit.clock.now()).max(0).cast_unsigned() + 1)
}

impl Guarded for Pass {
    const GUARD: Guard = <Allowed<FollowFeed> as Guarded>::GUARD;
}

#[derive(Deserialize)]
struct AppPath {
    app: String,
}

impl FromRequestParts<Kit> for Pass {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, kit: &Kit) -> std::result::Result<Self, Problem> {
        // No app has a name that is not UTF-8.
        let path = Path::from_request_parts(parts, kit).await;
        let app = path.map(|Path(AppPath { app })| app).unwrap_or_default();
        let Some(text) = presented(parts)? else {
            let allowed = Allowed::for_app(kit, &*parts, &app).await?;
            return Ok(Pass { allowed, token: None });
        };
        let live = parts.extensions.get::<Arc<Live>>().cloned();
        let live = live.ok_or_else(|| INVALID_LIVE_TOKEN.err("live tokens are not taken here"))?;
        Ok(Pass::of_token(kit, &live, parts, &text, &app).await?)
    }
}

/// The live token that a request carries, in its query or as a bearer.
fn presented(parts: &Parts) -> Result<Option<String>> {
    // What is wrong with the query otherwise is for the handler to say, to somebody who is known.
    let query =
        Params::parse_with(parts.uri.query().unwrap_or_default(), "where").ok().map(|(query, _)| query);
    if let Some(token) = query.as_ref().and_then(|query| query.get("token")) {
        if !token.starts_with(tokens::PREFIX) {
            return Err(INVALID_LIVE_TOKEN.err(
                "`token` in the query is a live token (ang_lt_…); keys and other tokens go into the Authorization header",
            ));
        }
        return Ok(Some(token.to_owned()));
    }
    let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, rest) = header.and_then(|value| value.split_once(' ')).unwrap_or_default();
    let is_ours = scheme.eq_ignore_ascii_case("bearer") && rest.trim().starts_with(tokens::PREFIX);
    Ok(is_ours.then(|| rest.trim().to_owned()))
}
