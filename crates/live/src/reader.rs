//! One reader of the feed: where it stands in each of its streams, and what comes next.

use angarium_base::{Cursor, Result};
use angarium_journal::{Journal, Record, Stream};
use futures_util::future::select_all;
use tokio::sync::watch;

angarium_base::codes! {
    /// The server has as many live readers as it takes. Try again after `Retry-After` seconds.
    TOO_MANY_READERS = "too_many_readers": Unavailable;
}

/// Records that are looked at in one go.
const STRIDE: u64 = 512;

/// A position in several streams, and a filter.
pub struct Reader {
    journal: Journal,
    followed: Vec<Followed>,
    /// Only records of this kind; for events, their type.
    kind: Option<String>,
    /// How far a reader may fall behind before it is moved ahead.
    backlog: u64,
    position: Cursor,
}

struct Followed {
    stream: Stream,
    head: watch::Receiver<u64>,
    next: u64,
    /// It has been at the end since it began: from then on it may be moved ahead.
    caught_up: bool,
}

/// What a reader is given.
pub enum Step {
    /// `n` records of the stream were passed over, whatever their kind.
    Gap { stream: String, n: u64, cursor: Cursor },
    /// How many frames were rendered.
    Frames(u64),
}

impl Reader {
    /// A reader that starts at `after`, or at the end of each stream that `after` does not name.
    pub async fn new(
        journal: &Journal,
        streams: Vec<Stream>,
        after: Option<Cursor>,
        kind: Option<String>,
        backlog: u64,
    ) -> Result<Reader> {
        let (mut followed, mut position) = (Vec::new(), Cursor::default());
        for stream in streams {
            let mut head = journal.watch(&stream).await?;
            let end = *head.borrow_and_update();
            let wanted = after.as_ref().and_then(|cursor| cursor.next(stream.name()));
            let next = wanted.unwrap_or(end);
            position.set(stream.name(), next);
            followed.push(Followed { stream, head, next, caught_up: wanted.is_none() });
        }
        Ok(Reader { journal: journal.clone(), followed, kind, backlog, position })
    }

    /// Where to resume from.
    pub fn position(&self) -> &Cursor {
        &self.position
    }

    /// Waits until there is something, and hands every record to `render`. Cancel-safe: a record that was
    /// not rendered in a finished call comes in the next.
    pub async fn next(&mut self, mut render: impl FnMut(&str, &Cursor, &Record<'_>)) -> Result<Step> {
        loop {
            for at in 0..self.followed.len() {
                if let Some(gap) = self.move_ahead(at) {
                    return Ok(gap);
                }
                match self.advance(at, &mut render).await? {
                    Step::Frames(0) => {}
                    step => return Ok(step),
                }
            }
            if self.followed.iter().all(|followed| followed.next >= *followed.head.borrow()) {
                let waits = self.followed.iter_mut().map(|followed| Box::pin(followed.head.changed()));
                select_all(waits)
                    .await
                    .0
                    .map_err(|_| angarium_base::error::UNAVAILABLE.err("the server is stopping"))?;
            }
        }
    }

    /// Moves a reader that is too far behind to where it can follow again.
    fn move_ahead(&mut self, at: usize) -> Option<Step> {
        let followed = &mut self.followed[at];
        let end = *followed.head.borrow();
        let behind = end.saturating_sub(followed.next);
        if behind == 0 {
            followed.caught_up = true;
        }
        if !followed.caught_up || behind <= self.backlog {
            return None;
        }
        let kept = self.backlog / 4;
        let n = behind - kept;
        followed.next = end - kept;
        self.position.set(followed.stream.name(), followed.next);
        Some(Step::Gap { stream: followed.stream.name().to_owned(), n, cursor: self.position.clone() })
    }

    /// Renders what is there of one stream, up to a stride; or passes over what retention has removed.
    async fn advance(
        &mut self,
        at: usize,
        render: &mut impl FnMut(&str, &Cursor, &Record<'_>),
    ) -> Result<Step> {
        let followed = &mut self.followed[at];
        if followed.next >= *followed.head.borrow() {
            return Ok(Step::Frames(0));
        }
        let page = self.journal.read(&followed.stream, followed.next, STRIDE).await?;
        let (name, mut rendered) = (followed.stream.name().to_owned(), 0);
        if let Some(first) = page.records().next()
            && first.offset > followed.next
        {
            let n = first.offset - followed.next;
            followed.next = first.offset;
            self.position.set(&name, first.offset);
            return Ok(Step::Gap { stream: name, n, cursor: self.position.clone() });
        }
        for record in page.records() {
            if self.kind.as_deref().is_none_or(|kind| kind == record.kind) {
                self.position.set(&name, record.offset + 1);
                render(&name, &self.position, &record);
                rendered += 1;
            }
        }
        followed.next = page.next.max(followed.next);
        self.position.set(&name, followed.next);
        Ok(Step::Frames(rendered))
    }
}
