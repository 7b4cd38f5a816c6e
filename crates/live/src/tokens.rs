//! Live tokens: for a browser that may follow some streams of one app for some minutes, and nothing else.
//!
//! ```text
//!  POST …/live/tokens ─▶ {app, streams, subject, who made it, until} ─ sealed ─▶ ang_lt_…
//!  ang_lt_… ─ opened ─▶ not over? ─▶ whoever made it may still read? ─▶ Pass
//! ```
//!
//! Nothing is kept of a token. It is sealed with a key that all processes of a store share, so that each of them
//! can open what any has made, and nobody else can read who made it. It ends by itself, and before that with the app
//! and with the key or the role of whoever made it.

use crate::{INVALID_LIVE_TOKEN, LIVE_TOKEN_EXPIRED, Live, api::FollowFeed, store};
use angarium_base::{Context, KeyId, Result, clock::Millis, error::INVALID_PARAMETER, time};
use angarium_kit::{
    Kit,
    access::{Allowed, Asked, Principal, User},
    grants,
    http::{Answer, Doc, Params, Routes, Whole, read_json},
    idempotency::{Answered, Once},
    records,
    secrets::{SECRETS_UNAVAILABLE, Secrets},
};
use axum::{
    Extension, Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::OnceCell;

grants! {
    /// Make tokens for browsers that follow the live feed.
    MintLiveToken = "live:mint": [Admin, Operator, Sender];
}

/// What a live token begins with.
pub const PREFIX: &str = "ang_lt_";
/// A longer text is no token.
const TOKEN_MAX_BYTES: usize = 8 << 10;
const TTL_S: u64 = 600;
const TTL_MIN_S: u64 = 60;
const TTL_MAX_S: u64 = 3_600;
pub const MAX_STREAMS: usize = 16;
const SUBJECT_MAX: usize = 255;
/// What the key of tokens is sealed for, and what tokens are.
const PURPOSE: &str = "live tokens";

pub fn routes() -> Routes {
    Routes::new().post(
        "/v1/apps/{app}/live/tokens",
        create_live_token,
        Doc::new(
            "live",
            "create_live_token",
            "Make a live token",
            "For a browser: it may follow these streams for some minutes, by the feed's own protocols (`?token=` or \
             `Authorization: Bearer`) and by Centrifugo's, and do nothing else. It ends before its time with the app, \
             and with the key or the role of whoever made it.",
        )
        .body::<NewLiveToken>(json!({ "streams": ["events"], "ttl_s": 600, "subject": "player-1" }))
        .answers::<LiveTokenMade>(201, "the token")
        .refuses(&[SECRETS_UNAVAILABLE]),
    )
}

/// What is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewLiveToken {
    /// What may be followed.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 255)))]
    streams: Vec<String>,
    /// For how long, in seconds; 600 if not given.
    #[serde(default)]
    #[schemars(range(min = 60, max = 3600), extend("format" = "uint32"))]
    ttl_s: Option<Whole>,
    /// Who it is for, as presence shows it.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"))]
    subject: Option<String>,
    /// Whether it may ask who else follows; no, if not given.
    #[serde(default)]
    presence: bool,
}

#[derive(Serialize, JsonSchema)]
struct LiveTokenMade {
    token: String,
    #[schemars(extend("format" = "date-time"))]
    expires_at: String,
    streams: Vec<String>,
}

/// What a live token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveToken {
    app: String,
    pub streams: Vec<String>,
    pub subject: Option<String>,
    /// Whether its holder may ask who else follows.
    pub presence: bool,
    pub expires_at: Millis,
    by: Minter,
}

/// In whose name a token speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Minter {
    Key(String),
    User { issuer: String, tenant: String, subject: String, email: Option<String> },
}

impl LiveToken {
    /// The app it is for, by its id.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// Whoever made it, if they are known still.
    fn principal(&self, kit: &Kit) -> Option<Principal> {
        match &self.by {
            Minter::Key(id) => {
                kit.directory.key_by_id(&KeyId::parse(id)?, kit.clock.now()).map(Principal::Key)
            }
            Minter::User { issuer, tenant, subject, email } => Some(Principal::User(Arc::new(User {
                issuer: issuer.clone(),
                tenant: tenant.clone(),
                subject: subject.clone(),
                email: email.clone(),
                good_until: Some(self.expires_at),
            }))),
        }
    }

    /// Proof that whoever made it may read the feed of its app still.
    ///
    /// # Errors
    /// `invalid_live_token` when they may not any more; `rate_limited`.
    pub async fn allowed(&self, kit: &Kit, asked: Asked<'_>) -> Result<Allowed<FollowFeed>> {
        let principal = self.principal(kit).ok_or_else(over)?;
        let allowed = Allowed::for_known(kit, asked, &self.app, principal).await;
        allowed.map_err(|error| if error.kind().retryable() { error } else { over() })
    }
}

/// What makes and opens tokens. Cloning it is cheap.
#[derive(Clone, Default)]
pub struct Tokens(Arc<OnceCell<Secrets>>);

impl Tokens {
    /// What a token says, if it is one and not over.
    ///
    /// # Errors
    /// `invalid_live_token`, `live_token_expired`; `unavailable` when the store cannot be asked for the key.
    pub async fn read(&self, kit: &Kit, text: &str) -> Result<LiveToken> {
        let none = || INVALID_LIVE_TOKEN.err("this is not a live token that was made here");
        let sealed = text.strip_prefix(PREFIX).filter(|_| text.len() <= TOKEN_MAX_BYTES).ok_or_else(none)?;
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| none())?;
        let opened = self.secrets(kit).await?.open(PURPOSE, &sealed).map_err(|_| none())?;
        let token: LiveToken = serde_json::from_slice(&opened).map_err(|_| none())?;
        if token.expires_at <= kit.clock.now() {
            return Err(LIVE_TOKEN_EXPIRED.err("this live token is over; ask whoever gave it for another"));
        }
        Ok(token)
    }

    async fn mint(&self, kit: &Kit, token: &LiveToken) -> Result<String> {
        let plain = serde_json::to_vec(token).or_error(INVALID_PARAMETER, "the token cannot be written")?;
        let sealed = self.secrets(kit).await?.seal(PURPOSE, &plain)?;
        Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// The key, read from the store once; made there by whoever needs it first.
    async fn secrets(&self, kit: &Kit) -> Result<&Secrets> {
        self.0.get_or_try_init(|| load(kit)).await
    }
}

async fn load(kit: &Kit) -> Result<Secrets> {
    let fresh = Secrets::new_key()?;
    let can_seal = kit.secrets.can_seal();
    let bytes = match can_seal {
        true => kit.secrets.seal(PURPOSE, fresh.as_bytes())?,
        false => fresh.into_bytes(),
    };
    let offered = store::TokenKey { is_sealed: can_seal, bytes };
    let kept = kit.db.write(move |tx| store::token_key(tx, &offered)).await?;
    let plain = match kept.is_sealed {
        true => kit.secrets.open(PURPOSE, &kept.bytes)?,
        false => kept.bytes.clone(),
    };
    if can_seal && !(kept.is_sealed && kit.secrets.is_current(&kept.bytes)) {
        let sealed = kit.secrets.seal(PURPOSE, &plain)?;
        kit.db.write(move |tx| store::seal_token_key(tx, &kept, &sealed)).await?;
    }
    Secrets::new(&[String::from_utf8_lossy(&plain)])
}

async fn create_live_token(
    allowed: Allowed<MintLiveToken>,
    State(kit): State<Kit>,
    Extension(live): Extension<Arc<Live>>,
    params: Params,
    request: Request,
) -> Answer<Response> {
    params.only(&[])?;
    let once = Once::of(&request);
    let new: NewLiveToken = read_json(&kit, request).await?;
    let ttl_ms = checked(&new)?;
    for stream in &new.streams {
        records::find_stream(&kit, &allowed, stream).await?;
    }
    let token = LiveToken {
        app: allowed.app_id().to_string(),
        streams: new.streams,
        subject: new.subject,
        presence: new.presence,
        expires_at: kit.clock.now() + ttl_ms,
        by: minter(allowed.principal.as_ref()).ok_or_else(over)?,
    };
    let made = LiveTokenMade {
        token: live.tokens.mint(&kit, &token).await?,
        expires_at: time::format(token.expires_at),
        streams: token.streams,
    };
    if let Some(once) = once {
        let body = serde_json::to_vec(&made).or_error(INVALID_PARAMETER, "the token cannot be written")?;
        let sealed = kit.secrets.seal(&once.purpose(), &body)?;
        kit.db
            .write(move |tx| {
                let (status, sealed) = (StatusCode::CREATED, Some(&sealed[..]));
                once.settle(tx, &Answered { status, location: None, body: &body, sealed })
            })
            .await?;
    }
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// How long the token is to be good.
fn checked(new: &NewLiveToken) -> Result<Millis> {
    if new.streams.is_empty() || new.streams.len() > MAX_STREAMS {
        return Err(INVALID_PARAMETER.err(format!("`streams` names 1 to {MAX_STREAMS} streams")));
    }
    let is_name = |subject: &String| {
        (1..=SUBJECT_MAX).contains(&subject.chars().count()) && !subject.contains(|c: char| c.is_control())
    };
    if !new.subject.as_ref().is_none_or(is_name) {
        return Err(INVALID_PARAMETER
            .err(format!("`subject` has 1 to {SUBJECT_MAX} characters, none of them a control character")));
    }
    let ttl_s = new.ttl_s.map_or(TTL_S, |Whole(ttl_s)| ttl_s);
    if !(TTL_MIN_S..=TTL_MAX_S).contains(&ttl_s) {
        return Err(INVALID_PARAMETER.err(format!("`ttl_s` is {TTL_MIN_S} to {TTL_MAX_S} seconds")));
    }
    Ok(ttl_s as Millis * 1_000)
}

fn minter(principal: Option<&Principal>) -> Option<Minter> {
    Some(match principal? {
        Principal::Key(key) => Minter::Key(key.id.to_string()),
        Principal::User(user) => Minter::User {
            issuer: user.issuer.clone(),
            tenant: user.tenant.clone(),
            subject: user.subject.clone(),
            email: user.email.clone(),
        },
    })
}

fn over() -> angarium_base::Error {
    INVALID_LIVE_TOKEN.err(
        "whoever made this live token may not read this app any more, or the app is gone; ask for another",
    )
}
