//! Who speaks on a connection, and which stream a channel of theirs is.

use super::codes::{Fault, UNKNOWN_CHANNEL};
use crate::{Live, pass::Pass, pass::Who, tokens, tokens::LiveToken};
use angarium_base::{Result, clock::Millis};
use angarium_identity::INVALID_TOKEN;
use angarium_journal::Stream;
use angarium_kit::{
    Kit,
    access::{Allowed, Asked, Credential, Principal},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Extensions, HeaderMap, Method, Uri};
use std::sync::Arc;

/// A key, a user, or the holder of a live token.
#[derive(Clone)]
pub struct Speaker {
    principal: Principal,
    token: Option<Arc<LiveToken>>,
    /// With a live token: that whoever made it still may.
    minter: Option<Allowed<crate::api::FollowFeed>>,
}

impl Speaker {
    /// Who presents this key or token.
    ///
    /// # Errors
    /// As [`Credential::principal`], and those of live tokens; `live_token_expired` also for a JSON Web Token that says of
    /// itself that it is over, so that its client asks for another.
    pub async fn of(kit: &Kit, live: &Live, text: &str) -> Result<Speaker> {
        let nothing = Nothing::default();
        if text.starts_with(tokens::PREFIX) {
            let token = live.tokens.read(kit, text).await?;
            let minter = token.allowed(kit, nothing.asked()).await?;
            let principal = minter.principal.clone();
            let principal = principal
                .ok_or_else(|| crate::INVALID_LIVE_TOKEN.err("this live token speaks in nobody's name"))?;
            return Ok(Speaker { principal, token: Some(Arc::new(token)), minter: Some(minter) });
        }
        let known = async { Credential::read(text)?.principal(kit).await }.await;
        let principal = match known {
            Err(error) if error.code().name == INVALID_TOKEN.name && is_over(text, kit.clock.now()) => {
                return Err(expired());
            }
            other => other?,
        };
        kit.gate.enter_alone(nothing.asked(), &principal).await?;
        let speaker = Speaker { principal, token: None, minter: None };
        // An issuer's tokens are taken for a moment longer; nobody stays connected for that.
        match speaker.expires_at(kit).is_some_and(|at| at <= kit.clock.now()) {
            true => Err(expired()),
            false => Ok(speaker),
        }
    }

    pub fn who(&self) -> Who {
        Who::of(&self.principal, self.token.as_deref())
    }

    pub fn token(&self) -> Option<&LiveToken> {
        self.token.as_deref()
    }

    /// Whether both are the same, with tokens of their own.
    pub fn is(&self, other: &Speaker) -> bool {
        let of = |speaker: &Speaker| (speaker.token().map(|token| token.app().to_owned()), speaker.who());
        of(self) == of(other) && self.principal.id() == other.principal.id()
    }

    /// When it is over, if ever.
    pub fn expires_at(&self, kit: &Kit) -> Option<Millis> {
        match (&self.token, &self.principal) {
            (Some(token), _) => Some(token.expires_at),
            // Clocks may differ, but not those of a client that asks for another token in time.
            (None, Principal::User(user)) => user.good_until.map(|until| until - kit.identity.leeway_ms()),
            (None, Principal::Key(key)) => kit.directory.key_expires(&key.id).flatten(),
        }
    }

    /// Whether it comes with a token for which there is another after it.
    pub fn has_token(&self) -> bool {
        self.token.is_some() || matches!(self.principal, Principal::User(_))
    }

    /// Whether its key, or its role in any app, is there still; its time aside.
    pub fn is_known(&self, kit: &Kit) -> bool {
        match (&self.minter, &self.principal) {
            (Some(minter), _) => minter.still_holds(kit),
            (None, Principal::Key(key)) => kit.directory.has_key(&key.id, kit.clock.now()),
            (None, Principal::User(user)) => !kit.directory.apps_of(user).is_empty(),
        }
    }

    /// The stream that a channel is, and proof that the speaker may follow it.
    ///
    /// A channel is the name of a stream, or `app:stream` with the app's id or bundle id.
    pub async fn channel(&self, kit: &Kit, channel: &str) -> Result<(Pass, Stream), Fault> {
        let (app, name) = match channel.split_once(':') {
            Some((app, name)) => (app.to_owned(), name),
            None => (self.own_app(kit)?, channel),
        };
        let found = async {
            let nothing = Nothing::default();
            let allowed = Allowed::for_known(kit, nothing.asked(), &app, self.principal.clone()).await?;
            let pass = Pass { allowed, token: self.token.clone() };
            pass.is_for_its_app()?;
            let stream = pass.stream(kit, name).await?;
            Ok((pass, stream))
        };
        found.await.map_err(|error: angarium_base::Error| Fault::from(&error))
    }

    /// The app that is meant where none is named.
    fn own_app(&self, kit: &Kit) -> Result<String, Fault> {
        match (&self.token, &self.principal) {
            (Some(token), _) => Ok(token.app().to_owned()),
            (None, Principal::Key(key)) => Ok(key.app.to_string()),
            (None, Principal::User(user)) => match &kit.directory.apps_of(user)[..] {
                [app] => Ok(app.id.to_string()),
                [] => Err(UNKNOWN_CHANNEL),
                _ => Err(UNKNOWN_CHANNEL
                    .saying("unknown channel: you have roles in several apps; name one, as in app:events")),
            },
        }
    }
}

fn expired() -> angarium_base::Error {
    crate::LIVE_TOKEN_EXPIRED.err("the token is over")
}

/// Whether a token that was refused says of itself that it is over. Not believed in anything but that.
fn is_over(token: &str, now: Millis) -> bool {
    let claims = token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims = claims.and_then(|claims| serde_json::from_slice::<serde_json::Value>(&claims).ok());
    claims.and_then(|claims| claims["exp"].as_f64()).is_some_and(|exp| exp * 1_000.0 <= now as f64)
}

/// A command is no request: it has no headers.
#[derive(Default)]
struct Nothing {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
}

impl Nothing {
    fn asked(&self) -> Asked<'_> {
        let Nothing { method, uri, headers, extensions } = self;
        Asked { method, uri, headers, extensions }
    }
}
