//! One reader of the feed: where it stands in each of its streams, and what comes next.
//!
//! A reader is a cursor, not a queue. What it is given next is a slice of what all readers of the stream share
//! ([`crate::rendered`]); while it catches up, records that it alone reads.

use crate::{
    Live,
    filter::Filter,
    rendered::{Form, Part, Piece, Scratch, part_at, parts},
};
use angarium_base::{Cursor, Result, json::escape_into};
use angarium_journal::{Chunk, Journal, Stream};
use angarium_kit::http::{LiveLimits, Slow};
use bytes::Bytes;
use futures_util::future::select_all;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// As much is handed out at a time, of records that lie in several pieces.
const BATCH_BYTES: usize = 32 << 10;
/// Bytes of records that are read at a time from where streams are stored.
const READ_BYTES: usize = 256 << 10;
/// What is announced and cannot be read yet is looked for again after so long.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A position in several streams, and a filter.
pub struct Reader {
    live: Arc<Live>,
    journal: Journal,
    followed: Vec<Followed>,
    wants: Wants,
    /// Whose turn it is.
    turn: usize,
    scratch: Scratch,
}

/// What a reader asked for.
pub struct Wants {
    pub filter: Filter,
    pub form: Form,
    /// How many bytes of records it may fall behind.
    pub backlog: u64,
    /// What happens then.
    pub slow: Slow,
}

impl Wants {
    /// Everything, as far as the server's limits go.
    pub fn new(form: Form, limits: &LiveLimits) -> Wants {
        Wants { filter: Filter::default(), form, backlog: limits.backlog_bytes, slow: limits.slow }
    }
}

struct Followed {
    stream: Stream,
    head: watch::Receiver<u64>,
    next: u64,
    /// It has been at the end since it began: from then on it may be moved ahead.
    caught_up: bool,
    /// What was read for this reader alone.
    held: Option<Held>,
}

struct Held {
    chunks: Vec<Arc<Chunk>>,
    _place: OwnedSemaphorePermit,
}

/// What a reader is given.
#[derive(Debug)]
pub enum Step {
    /// So many frames.
    Frames {
        n: u64,
        bytes: Bytes,
    },
    Gap(Gap),
    /// It has fallen too far behind, and wanted to be sent away then.
    TooSlow,
}

/// `n` records of the stream were passed over, whatever their kind.
#[derive(Debug)]
pub struct Gap {
    pub stream: String,
    pub n: u64,
    /// Where the first of them is.
    pub from: Cursor,
    /// Where it goes on.
    pub cursor: Cursor,
}

impl Gap {
    /// The frame that tells a reader what it was not sent.
    pub fn text(&self) -> String {
        let Gap { stream, n, from, cursor } = self;
        let mut out = format!("{{\"gap\":{n},\"stream\":");
        escape_into(&mut out, stream);
        out.push_str(",\"from\":\"");
        from.encode_into(&mut out);
        out.push_str("\",\"cursor\":\"");
        cursor.encode_into(&mut out);
        out.push_str("\"}");
        out
    }
}

impl Reader {
    /// How records go out to it.
    pub fn form(&self) -> Form {
        self.wants.form
    }

    /// A reader that starts at `after`, or at the end of each stream that `after` does not name.
    pub async fn new(
        live: Arc<Live>,
        journal: &Journal,
        streams: Vec<Stream>,
        after: Option<Cursor>,
        wants: Wants,
    ) -> Result<Reader> {
        let mut followed = Vec::with_capacity(streams.len());
        for stream in streams {
            let mut head = journal.watch(&stream).await?;
            let end = *head.borrow_and_update();
            let wanted = after.as_ref().and_then(|cursor| cursor.next(stream.name()));
            let next = wanted.unwrap_or(end);
            followed.push(Followed { stream, head, next, caught_up: wanted.is_none(), held: None });
        }
        Ok(Reader { live, journal: journal.clone(), followed, wants, turn: 0, scratch: Scratch::default() })
    }

    /// Where to resume from.
    pub fn position(&self) -> Cursor {
        let mut position = Cursor::default();
        for followed in &self.followed {
            position.set(followed.stream.name(), followed.next);
        }
        position
    }

    /// Goes back to `cursor`, behind which nothing was taken, and lets go of what was read for this reader.
    pub fn go_back(&mut self, cursor: &Cursor) {
        for followed in &mut self.followed {
            followed.next = cursor.next(followed.stream.name()).unwrap_or(followed.next);
        }
        self.let_go();
    }

    /// Lets go of what was read for this reader: it will be read again.
    pub fn let_go(&mut self) {
        self.followed.iter_mut().for_each(|followed| followed.held = None);
    }

    /// Whether it has fallen too far behind, and wants to be sent away then.
    pub fn is_to_go(&self) -> bool {
        self.wants.slow == Slow::Disconnect && (0..self.followed.len()).any(|at| self.is_too_far_behind(at))
    }

    /// Waits until there is something. Cancel-safe: what was not handed out comes with the next call.
    pub async fn next(&mut self) -> Result<Step> {
        loop {
            for _ in 0..self.followed.len() {
                // One after the other: a busy stream does not hold up the others.
                let at = self.turn % self.followed.len();
                self.turn = at + 1;
                if let Some(step) = self.check_pace(at) {
                    return Ok(step);
                }
                if let Some(step) = self.advance(at).await? {
                    return Ok(step);
                }
            }
            if self.followed.iter().all(Followed::is_at_end) {
                self.wait().await?;
            }
        }
    }

    async fn wait(&mut self) -> Result<()> {
        let changed = match &mut self.followed[..] {
            [only] => only.head.changed().await,
            many => select_all(many.iter_mut().map(|followed| Box::pin(followed.head.changed()))).await.0,
        };
        changed.map_err(|_| angarium_base::error::UNAVAILABLE.err("the server is stopping"))
    }

    fn is_too_far_behind(&self, at: usize) -> bool {
        let Followed { stream, next, caught_up, .. } = &self.followed[at];
        *caught_up && self.journal.bytes_after(stream, *next) > self.wants.backlog
    }

    /// Moves a reader that is too far behind to where it can follow again, or sends it away.
    fn check_pace(&mut self, at: usize) -> Option<Step> {
        if self.followed[at].is_at_end() {
            self.followed[at].caught_up = true;
            return None;
        }
        if !self.is_too_far_behind(at) {
            return None;
        }
        if self.wants.slow == Slow::Disconnect {
            return Some(Step::TooSlow);
        }
        let Followed { stream, next, .. } = &self.followed[at];
        let to = self.journal.last_bytes_from(stream, self.wants.backlog / 4).filter(|to| to > next)?;
        Some(self.pass_over(at, to))
    }

    fn pass_over(&mut self, at: usize, to: u64) -> Step {
        let followed = &mut self.followed[at];
        let stream = followed.stream.name().to_owned();
        let (n, from) = (to - followed.next, Cursor::new(&stream, followed.next));
        followed.next = to;
        followed.held = None;
        Step::Gap(Gap { stream, n, from, cursor: self.position() })
    }

    /// What is there of one stream, up to a batch; or that retention has removed what came next.
    async fn advance(&mut self, at: usize) -> Result<Option<Step>> {
        let followed = &self.followed[at];
        if followed.is_at_end() {
            return Ok(None);
        }
        let kept = self.journal.kept_chunks(&followed.stream, followed.next, BATCH_BYTES);
        let (chunks, is_shared) = match kept {
            Some(chunks) => {
                self.followed[at].held = None;
                (chunks, true)
            }
            None => (Box::pin(self.hold(at)).await?, false),
        };
        let next = self.followed[at].next;
        let Some(first) = chunks.first() else {
            tokio::time::sleep(LOOK_AGAIN).await;
            return Ok(None);
        };
        if first.first_offset > next {
            return Ok(Some(self.pass_over(at, first.first_offset)));
        }
        let (n, bytes) = self.gather(at, &chunks, is_shared);
        Ok((n > 0).then_some(Step::Frames { n, bytes }))
    }

    /// What comes next from where streams are stored. A few readers do so at a time; the others wait for their turn.
    async fn hold(&mut self, at: usize) -> Result<Vec<Arc<Chunk>>> {
        let Followed { stream, next, held, .. } = &mut self.followed[at];
        if let Some(Held { chunks, .. }) = held {
            chunks.retain(|chunk| chunk.next_offset() > *next);
            if chunks.first().is_some_and(|chunk| chunk.first_offset <= *next) {
                return Ok(chunks.clone());
            }
        }
        *held = None;
        let place = self.live.catching_up.clone().acquire_owned().await;
        let place = place.map_err(|_| angarium_base::error::UNAVAILABLE.err("the server is stopping"))?;
        let chunks = self.journal.read_chunks(stream, *next, READ_BYTES).await?;
        *held = Some(Held { chunks: chunks.clone(), _place: place });
        Ok(chunks)
    }

    /// Takes what is wanted of the chunks, up to a batch, and moves on.
    fn gather(&mut self, at: usize, chunks: &[Arc<Chunk>], is_shared: bool) -> (u64, Bytes) {
        let mut batch = Batch::default();
        let mut next = self.followed[at].next;
        'all: for chunk in chunks {
            let parts = parts(chunk);
            while next < chunk.next_offset()
                && let Some(part) = part_at(parts, next)
            {
                if batch.is_full() {
                    break 'all;
                }
                self.take(at, &mut batch, (part, is_shared), next);
                next = part.chunk.next_offset();
            }
            // Also past a chunk that is damaged.
            next = next.max(chunk.next_offset());
        }
        self.followed[at].next = next;
        (batch.n, batch.finish())
    }

    /// Takes what is wanted of a part, from offset `from` on.
    fn take(&mut self, at: usize, batch: &mut Batch, (part, is_shared): (&Part, bool), from: u64) {
        let Wants { filter, form, .. } = &self.wants;
        if self.followed.len() > 1 {
            self.take_own(at, batch, part, from);
            return;
        }
        let stream = self.followed[at].stream.name();
        let render = || match is_shared {
            true => part.piece(*form, stream, &self.live.shelf),
            false => Arc::new(Piece::new(*form, stream, &part.chunk)),
        };
        let end = part.chunk.next_offset();
        if filter.takes_all() {
            batch.push(end - from, render().slice(from..end));
            return;
        }
        let mut piece: Option<Arc<Piece>> = None;
        let mut run = from..from;
        for record in part.chunk.records_from(from).filter(|record| filter.takes(record)) {
            if run.end != record.offset {
                batch.push(run.end - run.start, piece.get_or_insert_with(render).slice(run));
                run = record.offset..record.offset;
            }
            run.end = record.offset + 1;
        }
        if !run.is_empty() {
            batch.push(run.end - run.start, piece.get_or_insert_with(render).slice(run));
        }
    }

    /// The same for a reader of several streams, whose cursors are its own.
    fn take_own(&mut self, at: usize, batch: &mut Batch, part: &Part, from: u64) {
        let mut cursor = self.position();
        let stream = self.followed[at].stream.name();
        for record in part.chunk.records_from(from).filter(|record| self.wants.filter.takes(record)) {
            cursor.set(stream, record.offset + 1);
            self.wants.form.push(&mut batch.own, &mut self.scratch, stream, &cursor, &record);
            batch.n += 1;
        }
    }
}

impl Followed {
    fn is_at_end(&self) -> bool {
        self.next >= *self.head.borrow()
    }
}

/// Slices that are put together; a single one is handed on as it is.
#[derive(Default)]
struct Batch {
    n: u64,
    only: Bytes,
    own: Vec<u8>,
}

impl Batch {
    fn push(&mut self, n: u64, slice: Bytes) {
        if slice.is_empty() {
            return;
        }
        self.n += n;
        if self.only.is_empty() && self.own.is_empty() {
            self.only = slice;
            return;
        }
        self.own.extend_from_slice(&std::mem::take(&mut self.only));
        self.own.extend_from_slice(&slice);
    }

    fn is_full(&self) -> bool {
        self.own.len().max(self.only.len()) >= BATCH_BYTES
    }

    fn finish(self) -> Bytes {
        if self.own.is_empty() { self.only } else { self.own.into() }
    }
}
