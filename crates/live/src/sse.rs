//! The feed as server-sent events.

use crate::{
    api::Place,
    ending::Ending,
    native::PATIENCE,
    reader::{Reader, Step},
};
use angarium_kit::Kit;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::header;
use std::{convert::Infallible, time::Duration};
use tokio::{
    sync::mpsc::{self, Permit, Sender},
    time::{Instant, timeout},
};

/// A quiet connection is shown to be alive this often.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A reader that takes nothing for this long holds on to nothing that was read for it alone.
const STALL: Duration = Duration::from_secs(1);

/// What becomes of a feed after a step.
enum Then {
    GoOn(Bytes),
    /// The last words.
    End(Bytes),
}

/// The answer, whose body has no end of its own. What is next is looked for when the connection has room for it.
pub fn answer(ending: Ending, kit: Kit, reader: Reader, place: Place) -> Response {
    let (to, from) = mpsc::channel(1);
    tokio::spawn(feed(to, ending, kit, reader, place));
    let events = stream::unfold(from, |mut from| async move {
        let bytes: Bytes = from.recv().await?;
        Some((Ok::<_, Infallible>(bytes), from))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Asks nginx not to hold frames back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(events)).into_response()
}

async fn feed(to: Sender<Bytes>, mut ending: Ending, kit: Kit, mut reader: Reader, _place: Place) {
    // Says that the feed has begun, and where: who loses the connection before the first frame can resume all the
    // same. A message without data is no event for an EventSource.
    let retry_ms = kit.limits.live.retry.as_millis();
    let hello = format!("retry: {retry_ms}\nid: {}\n\n", reader.position().encode());
    if to.send(hello.into()).await.is_err() {
        return;
    }
    loop {
        let Some(room) = room(&to, &mut ending, &mut reader).await else { return };
        let step = tokio::select! {
            () = to.closed() => return,
            step = ending.step(timeout(PING_EVERY, reader.next())) => step,
        };
        let Some(step) = step else { return };
        let then = match step {
            // The position moves on while a filter lets nothing through.
            Err(_) => Then::GoOn(format!(": ping\nid: {}\n\n", reader.position().encode()).into()),
            Ok(step) => match event(&kit, &reader, step) {
                Some(then) => then,
                None => return,
            },
        };
        match then {
            Then::GoOn(bytes) => room.send(bytes),
            Then::End(bytes) => return room.send(bytes),
        }
    }
}

/// Waits until the connection takes more; `None` when it is over.
async fn room<'t>(
    to: &'t Sender<Bytes>,
    ending: &mut Ending,
    reader: &mut Reader,
) -> Option<Permit<'t, Bytes>> {
    let since = Instant::now();
    loop {
        tokio::select! {
            () = ending.over() => return None,
            room = timeout(STALL, to.reserve()) => match room {
                Ok(room) => return room.ok(),
                Err(_) => reader.let_go(),
            }
        }
        if since.elapsed() > PATIENCE {
            return None;
        }
    }
}

/// What a step looks like; `None` when the feed cannot go on.
fn event(kit: &Kit, reader: &Reader, step: angarium_base::Result<Step>) -> Option<Then> {
    Some(match step {
        Ok(Step::Frames { n, bytes }) => {
            kit.metrics.live_frames.inc_by(n);
            Then::GoOn(bytes)
        }
        Ok(Step::Gap(gap)) => {
            kit.metrics.live_skipped.inc_by(gap.n);
            let id = gap.cursor.encode();
            Then::GoOn(format!("id: {id}\nevent: gap\ndata: {}\n\n", gap.text()).into())
        }
        Ok(Step::TooSlow) => {
            let id = reader.position().encode();
            let data = format!("{{\"disconnect\":\"slow\",\"cursor\":\"{id}\"}}");
            Then::End(format!("id: {id}\nevent: disconnect\ndata: {data}\n\n").into())
        }
        Err(error) => {
            tracing::warn!(?error, "a reader of the feed could not be served");
            return None;
        }
    })
}
