//! Request bodies: bounded in size, in time, and together in memory; gzip and zstd inflated with a cap.

use super::Limits;
use angarium_base::{
    Error, Result,
    error::{BODY_TOO_LARGE, MALFORMED_BODY, OVERLOADED, REQUEST_TIMEOUT, UNSUPPORTED_MEDIA_TYPE},
};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use std::{io::Read, sync::Arc};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

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
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
                Content::NdJson
            }
            "application/x-www-form-urlencoded" => Content::Form,
            other if other.starts_with("application/") && other.ends_with("+json") => Content::Json,
            _ => Content::Other,
        }
    }
}

/// Reads a body whole, inflated. What it takes is in the budget until the result is dropped.
///
/// # Errors
/// `body_too_large`, `unsupported_media_type` (encoding), `request_timeout`, `malformed_body` (it ended
/// early, or does not inflate), `overloaded`.
pub async fn read_body(body: Body, headers: &HeaderMap, limits: &Limits, budget: &Budget) -> Result<Held> {
    let encoding = Encoding::of(headers)?;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|n| n > limits.body_bytes) {
        return Err(too_large(limits));
    }
    let mut room = budget.take(announced.unwrap_or(0).max(1))?;
    let bytes = collect(body, limits, budget, &mut room).await?;
    let bytes = match encoding {
        Encoding::Identity => bytes,
        Encoding::Gzip => {
            inflate(flate2::read::MultiGzDecoder::new(&bytes[..]), "gzip", limits, budget, &mut room)?
        }
        Encoding::Zstd => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(&bytes[..])
                .map_err(|e| MALFORMED_BODY.err("the body is not zstd").with_source(e))?;
            inflate(decoder, "zstd", limits, budget, &mut room)?
        }
    };
    Ok(Held { bytes, _room: room })
}

enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Encoding> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
        match value.to_str().unwrap_or("?").trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Encoding::Identity),
            "gzip" | "x-gzip" => Ok(Encoding::Gzip),
            "zstd" => Ok(Encoding::Zstd),
            _ => Err(UNSUPPORTED_MEDIA_TYPE.err("a body's Content-Encoding may be gzip, zstd or identity")),
        }
    }
}

/// Collects the frames. A body of one frame, the common case, is not copied.
async fn collect(
    mut body: Body,
    limits: &Limits,
    budget: &Budget,
    room: &mut OwnedSemaphorePermit,
) -> Result<Bytes> {
    let deadline = Instant::now() + limits.body_timeout;
    let (mut first, mut more) = (Bytes::new(), BytesMut::new());
    loop {
        let idle = (Instant::now() + limits.body_idle).min(deadline);
        let frame = timeout_at(idle, body.frame()).await.map_err(|_| {
            REQUEST_TIMEOUT.err("the body did not arrive in time; send it faster, or in smaller pieces")
        })?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|e| MALFORMED_BODY.err("the body ended before it was complete").with_source(e))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.is_empty() {
            first = data;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&first);
            }
            more.extend_from_slice(&data);
        }
        reserve(first.len().max(more.len()), limits, budget, room)?;
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}

fn inflate(
    mut decoder: impl Read,
    name: &str,
    limits: &Limits,
    budget: &Budget,
    room: &mut OwnedSemaphorePermit,
) -> Result<Bytes> {
    let mut out = Vec::new();
    loop {
        let before = out.len();
        let read = (&mut decoder).take(64 << 10).read_to_end(&mut out);
        read.map_err(|e| MALFORMED_BODY.err(format!("the body is damaged {name} data")).with_source(e))?;
        reserve(out.len(), limits, budget, room)?;
        if out.len() == before {
            return Ok(out.into());
        }
    }
}

/// Checks the size so far, and enlarges the room to it.
fn reserve(bytes: usize, limits: &Limits, budget: &Budget, room: &mut OwnedSemaphorePermit) -> Result<()> {
    if bytes > limits.body_bytes {
        return Err(too_large(limits));
    }
    let missing = bytes.saturating_sub(room.num_permits() * 1024);
    if missing > 0 {
        room.merge(budget.take(missing)?);
    }
    Ok(())
}

fn too_large(limits: &Limits) -> Error {
    BODY_TOO_LARGE.err(format!("a body may have {} bytes, after inflating; send smaller batches", limits.body_bytes))
}
