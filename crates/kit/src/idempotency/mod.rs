//! `Idempotency-Key`: the same request twice has one effect and one answer.
//!
//! ```text
//!  claim (durable) ─▶ handler ─▶ answer kept, with the effect where the handler says so ─▶ answer
//!    │ another has it                    └ a refusal: nothing was done, the claim goes
//!    ├─ answered: the same answer, `Idempotency-Replay: true`     ├─ another body: 422
//!    └─ in flight: 409, `Retry-After: 1`; nobody answers it any more: taken over
//! ```
//!
//! A key is the principal's and the path's, with the app itself in place of what it is called there, and is good for 24
//! hours; of a deleted app nothing is answered again. An answer that is marked [`Repeatable`] is not kept. What is exact: a handler that changes the store
//! keeps its answer in the same transaction ([`Once::settle`]), which fails when the claim has been taken over; events
//! without an id of their own get one from the key ([`Once::event_id`]). So it is one effect also when a process dies,
//! or sleeps and wakes, anywhere in between. A claim in flight is not given up with its caller: the handler runs to its end.
//!
//! After the IETF's draft (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>).

mod store;

use crate::{
    Kit,
    access::{Asked, FORBIDDEN, Principal, Role, who},
    fleet::GONE_AFTER_MS,
    http::{Held, Problem, problem_body, read_raw},
};
use angarium_base::{
    AppId, Context, Result,
    clock::Millis,
    error::{INTERNAL, NOT_FOUND, UNAVAILABLE},
    secret,
};
use angarium_db::{Migration, Tx};
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use store::{Claim, Kept, KeptAnswer};
use tokio_util::sync::CancellationToken;

pub use store::delete_of;

/// In the extensions of an answer that only shows what is there: it is not kept, asked again it is made again.
#[derive(Clone, Copy, Debug)]
pub struct Repeatable;

angarium_base::codes! {
    /// An `Idempotency-Key` is one header of 1 to 255 visible ASCII characters.
    INVALID_IDEMPOTENCY_KEY = "invalid_idempotency_key": Malformed;
    /// The same `Idempotency-Key` came with another body. Use a new key for another request.
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused": Invalid;
    /// The first request with this `Idempotency-Key` is still being answered. Send it again after `Retry-After` seconds: the answer is the first one's.
    IDEMPOTENCY_KEY_IN_FLIGHT = "idempotency_key_in_flight": Conflict;
}

/// The part of the schema that is this module's.
pub const MIGRATIONS: &[Migration] =
    &[Migration::new("idempotency_0001", include_str!("../../migrations/0002_idempotency.sql"))];

/// The header.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAY: HeaderName = HeaderName::from_static("idempotency-replay");

const KEPT_MS: Millis = 24 * 3_600_000;
const KEY_MAX: usize = 255;
/// A longer answer is given and not kept: asked again, the request is done again.
const BODY_MAX_BYTES: usize = 4 << 20;
/// Headers of an answer that are kept with it.
const KEPT_HEADERS: [HeaderName; 2] = [header::CONTENT_TYPE, header::LOCATION];

/// A claim on a key, in the extensions of the request that has it.
#[derive(Clone)]
pub struct Once(Arc<Claimed>);

struct Claimed {
    claim: Claim,
    is_settled: AtomicBool,
}

/// What a handler is about to answer.
pub struct Answered<'a> {
    pub status: StatusCode,
    pub location: Option<&'a str>,
    /// JSON.
    pub body: &'a [u8],
    /// The body as it is kept, if that must not be read out of the store.
    pub sealed: Option<&'a [u8]>,
}

impl Once {
    /// The claim that a request has, if it came with a key.
    pub fn of(request: &Request) -> Option<Once> {
        request.extensions().get::<Once>().cloned()
    }

    /// Keeps the answer in the transaction that has the effect.
    ///
    /// # Errors
    /// `idempotency_key_in_flight` when another process has taken the claim over: the transaction must not commit.
    pub fn settle(&self, tx: &mut Tx<'_>, answered: &Answered<'_>) -> Result<()> {
        self.settle_as(tx, &self.0.claim, answered)
    }

    /// As [`Once::settle`], of a request that makes an app: its answer holds for as long as the app is there.
    ///
    /// # Errors
    /// As [`Once::settle`].
    pub fn settle_app(&self, tx: &mut Tx<'_>, answered: &Answered<'_>, app: &AppId) -> Result<()> {
        self.settle_as(tx, &Claim { app: app.to_string(), ..self.0.claim.clone() }, answered)
    }

    fn settle_as(&self, tx: &mut Tx<'_>, claim: &Claim, answered: &Answered<'_>) -> Result<()> {
        let location = answered.location.map(|location| format!("location: {location}\n"));
        let headers = format!("content-type: application/json\n{}", location.unwrap_or_default());
        let answer = KeptAnswer {
            status: answered.status.as_u16(),
            headers,
            body: answered.sealed.unwrap_or(answered.body).to_vec(),
            is_sealed: answered.sealed.is_some(),
        };
        if !store::settle(tx, claim, &answer)? {
            return Err(in_flight());
        }
        self.0.is_settled.store(true, Relaxed);
        Ok(())
    }

    /// The id of the event at `index` of the body, the same whenever the body comes with this key.
    pub fn event_id(&self, index: usize) -> String {
        format!("idem_{}_{index}", &secret::hex(&self.0.claim.scope)[..32])
    }

    /// What a sealed answer is sealed for.
    pub fn purpose(&self) -> String {
        purpose(&self.0.claim.scope)
    }
}

fn purpose(scope: &[u8; 32]) -> String {
    format!("idempotency {}", secret::hex(scope))
}

/// Answers a POST that has a key once; everything else goes through.
pub async fn once(kit: Kit, request: Request, next: Next) -> Response {
    if *request.method() != Method::POST || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    match answer_once(kit, request, next).await {
        Ok(response) => response,
        Err(error) => Problem::from(error).into_response(),
    }
}

async fn answer_once(kit: Kit, request: Request, next: Next) -> Result<Response> {
    let key = key_of(request.headers())?;
    // Who is not known is told so by the handler; a key in the query or in the body is the handler's to find.
    let Ok(principal) = who(&kit, Asked::from(&request), true).await else {
        return Ok(next.run(request).await);
    };
    // The same to whoever has no role in the app, any more perhaps: old answers are not theirs either.
    if is_foreign(&kit, request.uri().path(), &principal) {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    let held = read_raw(body, &parts.headers, &kit.limits, &kit.budget).await?;
    let claim = claim_of(&kit, &principal, &parts, &key, &held);
    // Whether its caller waits for it or not: between the claim and its answer nobody may go away.
    let answering = tokio::spawn(async move {
        answer_claim(kit, principal, claim, (parts, held), next)
            .await
            .unwrap_or_else(|error| Problem::from(error).into_response())
    });
    let response = answering.await.or_error(INTERNAL, "the server failed on this request")?;
    Ok(echoing(response, &key))
}

async fn answer_claim(
    kit: Kit,
    principal: Principal,
    claim: Claim,
    (parts, held): (Parts, Held),
    next: Next,
) -> Result<Response> {
    let entered = kit.under_way.enter(claim.scope);
    let taken = take(&kit, &claim, entered.is_some()).await?;
    if !matches!(taken, Taken::Ours) {
        // No handler counts it.
        kit.gate.enter_alone(Asked::from(&parts), &principal).await?;
    }
    match taken {
        Taken::Ours => {
            let request = Request::from_parts(parts, Body::from(held.bytes.clone()));
            run_claimed(kit, claim, request, held, next).await
        }
        // A secret is for those who may still make one.
        Taken::Answered(answer) if answer.is_sealed && !is_admin(&kit, parts.uri.path(), &principal) => {
            Err(FORBIDDEN.err("this answer holds a secret, and you are not an admin of the app any more"))
        }
        Taken::Answered(answer) => replay(&kit, &claim, answer),
        Taken::InFlight => Err(in_flight()),
        Taken::Reused => Err(IDEMPOTENCY_KEY_REUSED.err(
            "this Idempotency-Key came with another body, query or media type before; use a new key for another request",
        )),
    }
}

/// Whether the path names an app that the caller has no role in.
fn is_foreign(kit: &Kit, path: &str, principal: &Principal) -> bool {
    let app = kit.directory.app_of_path(path);
    path.starts_with(APPS) && app.is_none_or(|app| principal.roles_in(&kit.directory, &app.id).is_empty())
}

fn is_admin(kit: &Kit, path: &str, principal: &Principal) -> bool {
    let app = kit.directory.app_of_path(path);
    app.is_some_and(|app| principal.roles_in(&kit.directory, &app.id).has(Role::Admin))
}

/// What the paths of everything in an app begin with.
const APPS: &str = "/v1/apps/";

fn key_of(headers: &HeaderMap) -> Result<HeaderValue> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let one = values.next().filter(|_| values.next().is_none());
    let is_good = |value: &&HeaderValue| {
        (1..=KEY_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    one.filter(is_good).cloned().ok_or_else(|| {
        INVALID_IDEMPOTENCY_KEY
            .err(format!("an Idempotency-Key is one header of 1 to {KEY_MAX} visible ASCII characters"))
    })
}

fn claim_of(kit: &Kit, principal: &Principal, parts: &Parts, key: &HeaderValue, held: &Held) -> Claim {
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let app = kit.directory.app_of_path(path).map(|app| app.id.to_string()).unwrap_or_default();
    let content_type = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    Claim {
        scope: scope(&principal.id(), &app, path, key),
        app,
        fingerprint: secret::hash_all(&[query.as_bytes(), content_type, &held.bytes]),
        owner: kit.fleet.id().to_string(),
    }
}

/// The same for every way to write a path, and to call its app: another app of that name is another one.
fn scope(principal: &str, app: &str, path: &str, key: &HeaderValue) -> [u8; 32] {
    let rest = match app.is_empty() {
        true => path,
        false => path.strip_prefix(APPS).and_then(|rest| rest.split_once('/')).map_or("", |(_, rest)| rest),
    };
    let steps: Vec<_> = rest.split('/').map(|step| percent_decode_str(step).collect::<Vec<u8>>()).collect();
    let mut all = vec![principal.as_bytes(), key.as_bytes(), app.as_bytes()];
    all.extend(steps.iter().map(Vec::as_slice));
    secret::hash_all(&all)
}

/// Keys whose requests this process is answering. A claim of this process that is not among them was left behind:
/// its caller was told of a failure of the store that it had survived, or it could not be given back.
#[derive(Clone, Default)]
pub struct UnderWay(Arc<Mutex<HashSet<[u8; 32]>>>);

/// One of them, for as long as this is held.
struct Entered {
    under_way: UnderWay,
    scope: [u8; 32],
}

impl UnderWay {
    /// `None` when another request with this key is under way.
    fn enter(&self, scope: [u8; 32]) -> Option<Entered> {
        self.0.lock().insert(scope).then(|| Entered { under_way: self.clone(), scope })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.under_way.0.lock().remove(&self.scope);
    }
}

enum Taken {
    Ours,
    Answered(KeptAnswer),
    InFlight,
    Reused,
}

/// Makes the key ours, or says what has become of it. Who is not `alone` in this process only looks.
async fn take(kit: &Kit, claim: &Claim, alone: bool) -> Result<Taken> {
    let now = kit.clock.now();
    let (wanted, expires_at) = (claim.clone(), now + KEPT_MS);
    let found = match alone {
        true => kit.db.write(move |tx| insert_or_look(tx, &wanted, expires_at)).await?,
        false => (false, kit.db.read(move |tx| store::kept(tx, &wanted.scope)).await?),
    };
    let kept = match found {
        (true, _) => return Ok(Taken::Ours),
        // It is about to be claimed, or has been given back just now.
        (false, None) => return Ok(Taken::InFlight),
        (false, Some(kept)) => kept,
    };
    if kept.expires_at > now {
        if kept.fingerprint != claim.fingerprint {
            return Ok(Taken::Reused);
        }
        if let Some(answer) = kept.answer {
            return Ok(Taken::Answered(answer));
        }
        if !is_left_behind(kit, &kept, now).await? {
            return Ok(Taken::InFlight);
        }
    }
    if !alone {
        return Ok(Taken::InFlight);
    }
    let wanted = claim.clone();
    let taken = kit.db.write(move |tx| store::take_over(tx, &wanted, &kept, now, expires_at)).await?;
    Ok(if taken { Taken::Ours } else { Taken::InFlight })
}

/// Whether the key is the claimant's now, and what is known of it otherwise.
fn insert_or_look(tx: &mut Tx<'_>, claim: &Claim, expires_at: Millis) -> Result<(bool, Option<Kept>)> {
    if store::insert(tx, claim, expires_at)? {
        return Ok((true, None));
    }
    Ok((false, store::kept(tx, &claim.scope)?))
}

/// Whether nobody answers the first request any more: not this process, or its own does no longer live.
async fn is_left_behind(kit: &Kit, kept: &Kept, now: Millis) -> Result<bool> {
    if kept.owner == kit.fleet.id().as_str() {
        return Ok(true);
    }
    let processes = kit.fleet.processes().await?;
    let owner = processes.iter().find(|process| process.id == kept.owner);
    Ok(owner.is_none_or(|owner| now - owner.seen_at > GONE_AFTER_MS))
}

/// Has the handler answer, and keeps what it answers.
async fn run_claimed(
    kit: Kit,
    claim: Claim,
    mut request: Request,
    held: Held,
    next: Next,
) -> Result<Response> {
    let once = Once(Arc::new(Claimed { claim, is_settled: AtomicBool::new(false) }));
    request.extensions_mut().insert(once.clone());
    // A task of its own, so that a panic of the handler ends here.
    let response = tokio::spawn(next.run(request)).await;
    drop(held);
    match response {
        Ok(response) => keep(&kit, &once, response).await,
        Err(failed) => {
            release(&kit, &once).await;
            Err(INTERNAL.err("the server failed on this request").with_source(failed))
        }
    }
}

/// Keeps an answer that did something; gives the key back after one that did not.
async fn keep(kit: &Kit, once: &Once, response: Response) -> Result<Response> {
    if once.0.is_settled.load(Relaxed) && response.status().is_success() {
        return Ok(response);
    }
    if !response.status().is_success() || response.extensions().get::<Repeatable>().is_some() {
        release(kit, once).await;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.or_error(INTERNAL, "an answer could not be read")?;
    if body.len() > BODY_MAX_BYTES {
        release(kit, once).await;
        return Ok(Response::from_parts(parts, Body::from(body)));
    }
    let mut headers = String::new();
    for name in KEPT_HEADERS {
        if let Some(value) = parts.headers.get(&name).and_then(|value| value.to_str().ok()) {
            headers.push_str(&format!("{name}: {value}\n"));
        }
    }
    let status = parts.status.as_u16();
    let answer = KeptAnswer { status, headers, body: body.to_vec(), is_sealed: false };
    let claim = once.0.claim.clone();
    // The effect is durable: what is not kept is done again when it is asked again, which adds nothing.
    if let Err(error) = kit.db.write(move |tx| store::settle(tx, &claim, &answer)).await {
        tracing::warn!(?error, "an answer could not be kept for its Idempotency-Key");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Lets nobody be told again of an app that is deleted: who asks again for what made it is told that it is gone.
///
/// # Errors
/// When the store cannot be written to.
pub fn forget_made(tx: &mut Tx<'_>, app: &AppId) -> Result<()> {
    let gone = NOT_FOUND.err(
        "what the first request with this Idempotency-Key made has been deleted since; use a new key to make another",
    );
    let headers = format!("{}: application/problem+json\n", header::CONTENT_TYPE);
    let body = problem_body(&gone, None);
    let answer = KeptAnswer { status: 404, headers, body: body.into(), is_sealed: false };
    store::replace_made(tx, app.as_str(), &answer)
}

async fn release(kit: &Kit, once: &Once) {
    let claim = once.0.claim.clone();
    if let Err(error) = kit.db.write(move |tx| store::release(tx, &claim)).await {
        tracing::warn!(
            ?error,
            "an Idempotency-Key could not be given back; the next who comes with it takes it"
        );
    }
}

fn replay(kit: &Kit, claim: &Claim, answer: KeptAnswer) -> Result<Response> {
    let body = match answer.is_sealed {
        true => kit.secrets.open(&purpose(&claim.scope), &answer.body)?,
        false => answer.body,
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for line in answer.headers.lines() {
        let pair = line.split_once(": ").and_then(|(name, value)| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
        });
        let (name, value) = pair.ok_or_else(|| UNAVAILABLE.err("a kept answer is damaged"))?;
        response.headers_mut().insert(name, value);
    }
    response.headers_mut().insert(REPLAY, HeaderValue::from_static("true"));
    Ok(response)
}

fn echoing(mut response: Response, key: &HeaderValue) -> Response {
    response.headers_mut().insert(IDEMPOTENCY_KEY, key.clone());
    response
}

fn in_flight() -> angarium_base::Error {
    IDEMPOTENCY_KEY_IN_FLIGHT
        .err("the first request with this Idempotency-Key is still being answered; send it again in a second")
        .with_retry_after_s(1)
}

/// How often those whose time is over are removed.
const EXPIRE_EVERY: std::time::Duration = std::time::Duration::from_secs(600);

/// Removes keys whose time is over, until `stop`.
pub async fn tend(kit: Kit, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(EXPIRE_EVERY)).await.is_some() {
        let now = kit.clock.now();
        loop {
            match kit.db.write(move |tx| store::expire(tx, now)).await {
                Ok(1000) => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(
                        ?error,
                        "old idempotency keys cannot be removed at the moment; will try again"
                    );
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(app: &str, path: &str) -> [u8; 32] {
        scope("key_1", app, path, &HeaderValue::from_static("k"))
    }

    #[test]
    fn a_key_is_for_the_app_itself_and_not_for_what_the_path_calls_it() {
        let by_id = of("app_1", "/v1/apps/app_1/keys");
        for path in
            ["/v1/apps/com.acme.shop/keys", "/v1/apps/com%2Eacme.shop/keys", "/v1/apps/com.acme.shop/ke%79s"]
        {
            assert_eq!(of("app_1", path), by_id, "{path}");
        }
        assert_ne!(of("app_2", "/v1/apps/com.acme.shop/keys"), by_id, "another app of that name");
        assert_ne!(of("app_1", "/v1/apps/app_1/grants"), by_id);
        assert_ne!(of("app_1", "/v1/apps/app_1/streams/a%2Fb"), of("app_1", "/v1/apps/app_1/streams/a/b"));
    }
}
