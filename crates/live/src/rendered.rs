//! Records as they go out, rendered once for all readers of a stream.
//!
//! ```text
//!  chunk of the tail ─▶ parts of some 32 KiB ─▶ in each form, when the first reader asks: one piece of memory
//!                                                     └▶ readers take slices of it
//! ```
//!
//! The chunk knows its pieces while somebody holds them: those that write them, and [`Shelf`], which holds the last
//! ones, bounded in bytes. A reader of one stream shares, because the cursor of a frame depends on the record alone;
//! a reader of several has cursors of its own, and renders for itself.

use crate::socket::frames;
use angarium_base::Cursor;
use angarium_journal::{Chunk, Record};
use angarium_kit::records;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

/// Bytes of records that are rendered together; a slow reader holds on to no more than one such piece.
pub const PART_BYTES: usize = 32 << 10;
/// Bytes of pieces that are held for those who come a moment later.
const SHELF_BYTES: usize = 16 << 20;

/// How a record goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A whole WebSocket frame of the native protocol.
    Socket,
    /// A server-sent event.
    Sse,
    /// A WebSocket frame that holds a message's document and nothing else.
    Document,
}

const FORMS: usize = 3;

impl Form {
    /// Appends one record. `scratch` is kept between calls.
    pub fn push(
        self,
        out: &mut Vec<u8>,
        scratch: &mut Scratch,
        stream: &str,
        cursor: &Cursor,
        record: &Record<'_>,
    ) {
        let Scratch { writer, text } = scratch;
        text.clear();
        match self {
            Form::Socket => {
                writer.push(text, Some(stream), cursor, record);
                frames::push_head(out, frames::TEXT, text.len());
            }
            Form::Document => {
                text.push_str(document_of(record.data));
                frames::push_head(out, frames::TEXT, text.len());
            }
            Form::Sse => {
                text.push_str("id: ");
                cursor.encode_into(text);
                text.push_str("\ndata: ");
                writer.push(text, Some(stream), cursor, record);
                text.push_str("\n\n");
            }
        }
        out.extend_from_slice(text.as_bytes());
    }
}

/// The document of a message; of a record that is none, which somebody else may have written, `null`.
fn document_of(data: &[u8]) -> &str {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        body: &'a RawValue,
    }
    serde_json::from_slice::<Message<'_>>(data).map_or("null", |message| message.body.get())
}

#[derive(Default)]
pub struct Scratch {
    writer: records::Writer,
    text: String,
}

/// Rendered records, one after the other.
#[derive(Debug)]
pub struct Piece {
    first_offset: u64,
    bytes: Bytes,
    /// Where each record ends.
    ends: Box<[u32]>,
}

impl Piece {
    pub fn new(form: Form, stream: &str, part: &Chunk) -> Piece {
        let mut out = Vec::with_capacity(part.frames.len() + part.count as usize * 112);
        let (mut ends, mut scratch) = (Vec::with_capacity(part.count as usize), Scratch::default());
        let mut cursor = Cursor::new(stream, 0);
        for record in part.records_from(0) {
            cursor.set(stream, record.offset + 1);
            form.push(&mut out, &mut scratch, stream, &cursor, &record);
            ends.push(out.len() as u32);
        }
        // What waits is held for a while, often by a reader that is slow.
        out.shrink_to_fit();
        Piece { first_offset: part.first_offset, bytes: out.into(), ends: ends.into() }
    }

    /// The records of these offsets; nothing is copied.
    pub fn slice(&self, offsets: std::ops::Range<u64>) -> Bytes {
        let place = |offset: u64| match offset.saturating_sub(self.first_offset) as usize {
            0 => 0,
            n => self.ends.get(n - 1).map_or(self.bytes.len(), |end| *end as usize),
        };
        let (start, end) = (place(offsets.start), place(offsets.end));
        self.bytes.slice(start..end.max(start))
    }
}

/// A part of a chunk, and what is rendered of it.
pub struct Part {
    pub chunk: Chunk,
    pieces: [Mutex<Weak<Piece>>; FORMS],
}

impl Part {
    fn new(chunk: Chunk) -> Part {
        Part { chunk, pieces: Default::default() }
    }

    /// What is rendered of it in this form, or will be now.
    pub fn piece(&self, form: Form, stream: &str, shelf: &Shelf) -> Arc<Piece> {
        // Held while it is rendered: whoever comes meanwhile waits some microseconds instead of doing it too.
        let mut known = self.pieces[form as usize].lock();
        if let Some(piece) = known.upgrade() {
            return piece;
        }
        let piece = Arc::new(Piece::new(form, stream, &self.chunk));
        *known = Arc::downgrade(&piece);
        drop(known);
        shelf.put(piece.clone());
        piece
    }
}

/// The parts of a chunk, made when the first reader comes.
pub fn parts(chunk: &Chunk) -> &[Part] {
    let made = chunk.made(|| chunk.cut(PART_BYTES).into_iter().map(Part::new).collect::<Box<[Part]>>());
    made.map_or(&[], |parts| &parts[..])
}

/// The part that holds `offset`.
pub fn part_at(parts: &[Part], offset: u64) -> Option<&Part> {
    parts.get(parts.partition_point(|part| part.chunk.next_offset() <= offset))
}

/// Holds the newest pieces.
#[derive(Default)]
pub struct Shelf(Mutex<(VecDeque<Arc<Piece>>, usize)>);

impl Shelf {
    fn put(&self, piece: Arc<Piece>) {
        let mut shelf = self.0.lock();
        shelf.1 += piece.bytes.len();
        shelf.0.push_back(piece);
        while shelf.1 > SHELF_BYTES && shelf.0.len() > 1 {
            let Some(oldest) = shelf.0.pop_front() else { break };
            shelf.1 -= oldest.bytes.len();
        }
    }
}
