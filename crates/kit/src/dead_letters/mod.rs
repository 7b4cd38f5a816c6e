//! Dead letters: what was given up, one inbox an app, with the reason and what is needed to run it again.
//!
//! ```text
//!  a worker gives up ─▶ put (in its transaction) ─▶ inbox ─┬─ redriven: gone from here, due again there, in one transaction
//!                          └▶ stream `dead_letters`        ├─ deleted
//!                                                          └─ expired
//! ```
//!
//! A letter is its source's: the same work given up again is the same letter. Whoever gives up names the kind, and brings
//! the [`Redrive`] of that kind with its slice.

pub mod store;

use crate::{Kit, metrics::DeadLetterChange};
use angarium_base::{AppId, DeadLetterId, Result, clock::Millis, time};
use angarium_db::{Migration, Tx};
use angarium_journal::Stream;
use serde_json::json;

pub use store::erase;

/// The part of the schema that is this module's.
pub const MIGRATIONS: &[Migration] =
    &[Migration::new("dead_letters_0001", include_str!("../../migrations/0003_dead_letters.sql"))];

/// The stream in which each change of the inbox is a record.
pub const DEAD_LETTERS: &str = "dead_letters";

/// Makes the work of a letter due again, with its own id, in the transaction that takes the letter out of the inbox.
pub type Redrive = fn(&mut Tx<'_>, &AppId, &Letter, Millis) -> Result<()>;

/// Work that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// What sort of work: `message`.
    pub kind: String,
    /// A stable name of the reason.
    pub code: String,
    /// The reason, for people.
    pub reason: String,
    pub attempts: i64,
    pub first_at: Millis,
    pub last_at: Millis,
    /// The id of what was given up.
    pub source: String,
    /// The path at which it is found.
    pub link: String,
    pub media_type: String,
    /// The original bytes.
    pub body: Vec<u8>,
}

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    GivenUp,
    Redriven,
    Deleted,
    Expired,
}

impl Change {
    pub fn as_str(self) -> &'static str {
        match self {
            Change::GivenUp => "given_up",
            Change::Redriven => "redriven",
            Change::Deleted => "deleted",
            Change::Expired => "expired",
        }
    }
}

/// The inbox of one app, ready to be written to.
#[derive(Clone)]
pub struct Inbox {
    kit: Kit,
    app: AppId,
    stream: Stream,
}

impl Inbox {
    /// # Errors
    /// When the stream cannot be made.
    pub async fn of(kit: &Kit, app: &AppId) -> Result<Inbox> {
        let stream = kit.journal.stream(app, DEAD_LETTERS).await?;
        Ok(Inbox { kit: kit.clone(), app: app.clone(), stream })
    }

    /// Puts a letter in, in the transaction of whoever gives up.
    pub fn put(&self, tx: &mut Tx<'_>, now: Millis, letter: &Letter) -> Result<DeadLetterId> {
        let id = store::put(tx, &self.app, &DeadLetterId::new(now), letter)?;
        self.tell(tx, now, &id, letter, Change::GivenUp);
        Ok(id)
    }

    /// Counts letters of whom something became, for the metrics: after the commit, because a transaction may run twice.
    pub fn count(kit: &Kit, kind: &str, change: Change, letters: u64) {
        if letters == 0 {
            return;
        }
        let labels = DeadLetterChange { kind: kind.to_owned(), change: change.as_str().to_owned() };
        kit.metrics.dead_letter_changes.get_or_create(&labels).inc_by(letters);
    }

    /// Writes what became of a letter to the stream, in the transaction of the change.
    pub fn tell(&self, tx: &mut Tx<'_>, now: Millis, id: &DeadLetterId, letter: &Letter, change: Change) {
        let record = json!({
            "id": id.as_str(),
            "change": change.as_str(),
            "at": time::format(now),
            "kind": letter.kind,
            "code": letter.code,
            "reason": letter.reason,
            "attempts": letter.attempts,
            "first_at": time::format(letter.first_at),
            "last_at": time::format(letter.last_at),
            "source": letter.source,
            "link": letter.link,
        });
        self.kit.journal.append_in(tx, &self.stream, change.as_str(), record.to_string().as_bytes());
    }
}
