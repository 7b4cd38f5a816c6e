//! Records of a stream, as every route gives them out: `{"stream"?, "cursor", "at", "data"}`.
//!
//! `cursor` is the position *after* the record, `at` when it became durable, `data` the bytes as kept.

use crate::{
    Kit,
    access::{Allowed, FORBIDDEN, Grant, Role, UNAUTHENTICATED},
    audit::AUDIT,
};
use angarium_base::{
    Cursor, Result,
    error::{INVALID_CURSOR, NOT_FOUND},
    time,
};
use angarium_journal::{Journal, Record, Stream};

/// Writes records as JSON; the text of an instant is kept for the records that share it.
#[derive(Default)]
pub struct Writer {
    at: i64,
    at_text: String,
}

impl Writer {
    /// Appends one record. `cursor` is the position after it; `stream` is named if it is given.
    pub fn push(&mut self, out: &mut String, stream: Option<&str>, cursor: &Cursor, record: &Record<'_>) {
        if self.at_text.is_empty() || self.at != record.at {
            self.at = record.at;
            self.at_text = time::format(record.at);
        }
        out.push('{');
        if let Some(stream) = stream {
            out.push_str("\"stream\":\"");
            out.push_str(stream);
            out.push_str("\",");
        }
        out.push_str("\"cursor\":\"");
        cursor.encode_into(out);
        out.push_str("\",\"at\":\"");
        out.push_str(&self.at_text);
        out.push_str("\",\"data\":");
        // Slices write JSON text only; a damaged record must not damage its neighbours.
        match std::str::from_utf8(record.data) {
            Ok(text) => out.push_str(text),
            Err(_) => out.push_str("null"),
        }
        out.push('}');
    }
}

/// The app's stream `name`. Streams that slices write are there from the beginning.
///
/// # Errors
/// `not_found`; `forbidden` for what only admins read.
pub async fn find_stream<G: Grant>(kit: &Kit, allowed: &Allowed<G>, name: &str) -> Result<Stream> {
    if !is_readable(allowed, name) {
        return Err(FORBIDDEN.err(format!("the stream `{AUDIT}` is for admins of the app")));
    }
    let app = &allowed.app;
    if kit.parts.streams.contains(&name) {
        return kit.journal.stream(&app.id, name).await;
    }
    // No stream has NUL in its name, and PostgreSQL cannot even be asked for one.
    let found = if name.contains('\0') { None } else { kit.journal.find_stream(&app.id, name).await? };
    found.ok_or_else(|| {
        NOT_FOUND.err(format!("there is no such stream; there are: {}", kit.parts.streams.join(", ")))
    })
}

/// What somebody is told whose wait outlived their permission.
pub fn ended() -> angarium_base::Error {
    UNAUTHENTICATED.err("while you waited, your key, your token or your role in this app came to its end")
}

/// Whether the caller may read a stream: who did what in an app is for its admins.
pub fn is_readable<G: Grant>(allowed: &Allowed<G>, name: &str) -> bool {
    name != AUDIT || allowed.is(Role::Admin)
}

/// The offset that `cursor` names in `stream`.
///
/// # Errors
/// `invalid_cursor` when it is of another stream.
pub fn offset(cursor: &Cursor, stream: &Stream) -> Result<u64> {
    cursor.next(stream.name()).ok_or_else(|| INVALID_CURSOR.err("this cursor is of another stream"))
}

/// Checks that a reader can go on from offset `from`. Whoever waited there, after a restore from a backup
/// perhaps, would miss all that comes before the stream has grown up to it, and not know.
///
/// # Errors
/// `invalid_cursor` when it lies beyond the end of the stream.
pub async fn check_reached(journal: &Journal, stream: &Stream, from: u64) -> Result<()> {
    let seen_end = journal.end(stream).await?;
    // What is read may be a moment ahead of what was rung.
    if from <= seen_end || from <= journal.extent_of(stream).await?.next_offset {
        return Ok(());
    }
    let what = "this cursor lies beyond the end of the stream: it was given out before a restore, or by another server";
    Err(INVALID_CURSOR.err(what))
}
