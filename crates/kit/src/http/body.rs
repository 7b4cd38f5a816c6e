//! Request bodies: bounded in size, in time, and together in memory; gzip and zstd inflated with a cap.

use super::{Limits, inflate};
use crate::Kit;
use angarium_base::{
    Error, Result,
    error::{
        BODY_TOO_LARGE, INVALID_PARAMETER, MALFORMED_BODY, OVERLOADED, REQUEST_TIMEOUT,
        UNSUPPORTED_MEDIA_TYPE,
    },
};
use axum::{body::Body, extract::Request};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// Packed bodies above this are inflated on a thread that may block: they delay nobody else's request.
const BIG_PACKED_BYTES: usize = 4 << 10;

/// Room for request bodies, shared by all requests; in KiB, because permits are 32 bits.
#[derive(Clone)]
pub struct Budget(Arc<Semaphore>);

impl Budget {
    pub fn new(limits: &Limits) -> Budget {
        Budget(Arc::new(Semaphore::new(limits.bodies_bytes.div_ceil(1024))))
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        self.0
            .clone()
            .try_acquire_many_owned(kib)
            .map_err(|_| OVERLOADED.err("too many request bodies are in memory at the moment"))
    }
}

/// A body in memory, and its room in the budget.
pub struct Held {
    pub bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// What the body says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Json,
    /// One JSON value a line.
    NdJson,
    Form,
    /// No media type given.
    Unnamed,
    Other,
}

impl Content {
    pub fn of(headers: &HeaderMap) -> Content {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Content::Unnamed };
        let text = value.to_str().unwrap_or("?").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match text.as_str() {
            "" => Content::Unnamed,
            "application/json" | "text/json" | "text/plain" => Content::Json,
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines" => Content::NdJson,
            "application/x-www-form-urlencoded" => Content::Form,
            other if other.starts_with("application/") && other.ends_with("+json") => Content::Json,
            _ => Content::Other,
        }
    }
}

/// Reads a body whole, inflated. What it takes is in the budget until the result is dropped; what it
/// announces is not, or whoever announces much and sends nothing would keep all others out.
///
/// # Errors
/// `body_too_large`, `unsupported_media_type` (encoding), `request_timeout`, `malformed_body` (it ended
/// early, or does not inflate), `overloaded`.
pub async fn read_body(body: Body, headers: &HeaderMap, limits: &Limits, budget: &Budget) -> Result<Held> {
    let encoding = Encoding::of(headers)?;
    let (bytes, mut room) = gather(body, headers, limits, budget).await?;
    let mut inflate = || match encoding {
        Encoding::Identity => Ok(bytes.clone()),
        Encoding::Gzip => inflate::gzip(&bytes, &mut room),
        Encoding::Zstd => inflate::zstd(&bytes, &mut room),
    };
    let takes_long = encoding != Encoding::Identity && bytes.len() > BIG_PACKED_BYTES;
    let inflated = if takes_long { tokio::task::block_in_place(inflate)? } else { inflate()? };
    Ok(Held { bytes: inflated, _room: room.permit })
}

/// Reads a body whole, as it was sent.
///
/// # Errors
/// As [`read_body`], but for what inflating can find.
pub async fn read_raw(body: Body, headers: &HeaderMap, limits: &Limits, budget: &Budget) -> Result<Held> {
    let (bytes, room) = gather(body, headers, limits, budget).await?;
    Ok(Held { bytes, _room: room.permit })
}

async fn gather<'a>(
    body: Body,
    headers: &HeaderMap,
    limits: &'a Limits,
    budget: &'a Budget,
) -> Result<(Bytes, Room<'a>)> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let mut room = Room { permit: budget.take(1)?, limits, budget };
    if announced.is_some_and(|n| n > limits.body_bytes as u64) {
        return Err(room.too_large());
    }
    let bytes = collect(body, &mut room).await?;
    Ok((bytes, room))
}

/// A small JSON object; no body is an empty one.
///
/// # Errors
/// As [`read_body`]; `malformed_body` for what is not JSON, `invalid_parameter` for what is and cannot be used.
pub async fn read_json<T: DeserializeOwned>(kit: &Kit, request: Request) -> Result<T> {
    let (parts, body) = request.into_parts();
    if matches!(Content::of(&parts.headers), Content::NdJson | Content::Other) {
        return Err(UNSUPPORTED_MEDIA_TYPE.err("the body is application/json here"));
    }
    let held = read_body(body, &parts.headers, &kit.limits, &kit.budget).await?;
    let bytes = if held.bytes.trim_ascii().is_empty() { b"{}" } else { &held.bytes[..] };
    match serde_json::from_slice(bytes) {
        // An array of the members' values would do for serde.
        Ok(_) if bytes.trim_ascii_start().first() != Some(&b'{') => {
            Err(INVALID_PARAMETER.err("the body is a JSON object"))
        }
        Ok(read) => Ok(read),
        Err(e) if e.is_data() => Err(INVALID_PARAMETER.err(format!("the body cannot be used: {e}"))),
        Err(e) => Err(MALFORMED_BODY.err(format!("the body is not JSON: {e}"))),
    }
}

/// A body's room in the budget: grows with it.
pub(super) struct Room<'a> {
    permit: OwnedSemaphorePermit,
    limits: &'a Limits,
    budget: &'a Budget,
}

impl Room<'_> {
    /// Bytes that a body may have.
    pub fn most(&self) -> usize {
        self.limits.body_bytes
    }

    /// Checks the size so far, and enlarges the room to it and to what is held `besides`.
    pub fn hold(&mut self, bytes: usize, besides: usize) -> Result<()> {
        if bytes > self.limits.body_bytes {
            return Err(self.too_large());
        }
        let missing = (bytes + besides).saturating_sub(self.permit.num_permits() * 1024);
        if missing > 0 {
            self.permit.merge(self.budget.take(missing)?);
        }
        Ok(())
    }

    fn too_large(&self) -> Error {
        let most = self.limits.body_bytes;
        BODY_TOO_LARGE.err(format!("a body may have {most} bytes, after inflating; send smaller batches"))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Encoding> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Ok(Encoding::Identity),
            (Some(one), None) => one.to_str().unwrap_or("?"),
            // One in another, which is not undone here.
            (Some(_), Some(_)) => "?",
        };
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Encoding::Identity),
            "gzip" | "x-gzip" => Ok(Encoding::Gzip),
            "zstd" => Ok(Encoding::Zstd),
            _ => Err(UNSUPPORTED_MEDIA_TYPE.err("a body's Content-Encoding may be gzip, zstd or identity")),
        }
    }
}

/// Collects the frames. A body of one frame, the common case, is not copied.
async fn collect(mut body: Body, room: &mut Room<'_>) -> Result<Bytes> {
    let deadline = Instant::now() + room.limits.body_timeout;
    let (mut first, mut more) = (Bytes::new(), BytesMut::new());
    loop {
        let idle = (Instant::now() + room.limits.body_idle).min(deadline);
        let frame = timeout_at(idle, body.frame()).await.map_err(|_| {
            REQUEST_TIMEOUT.err("the body did not arrive in time; send it faster, or in smaller pieces")
        })?;
        let Some(frame) = frame else { break };
        let frame =
            frame.map_err(|e| MALFORMED_BODY.err("the body ended before it was complete").with_source(e))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.is_empty() {
            first = data;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&first);
            }
            more.extend_from_slice(&data);
        }
        room.hold(first.len().max(more.len()), 0)?;
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}
