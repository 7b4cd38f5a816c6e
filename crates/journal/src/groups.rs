//! Consumer groups: a name under which an external consumer remembers how far it got.
//!
//! ```text
//!  poll ─▶ the batch after what is committed, lent to the caller for the lease
//!  commit(cursor) ─▶ what lies before the cursor never comes again to this group
//!  no commit ─▶ the same batch again: at once to the same consumer, after the lease to another
//! ```
//!
//! A group has one reader at a time. Delivery is at least once, in order, and survives restarts.

use crate::{
    Journal, Page, Stream,
    store::{self, GroupRow},
};
use angarium_base::{Result, error::INVALID_PARAMETER};
use std::time::Duration;
use tokio::time::Instant;

angarium_base::codes! {
    /// Another consumer reads for this group now. Poll again: it is handed out when the other has committed and left, or when its lease has run out.
    GROUP_LEASED = "group_leased": Conflict;
    /// The cursor lies before what the group has committed, or after the end of the stream. Commit a cursor that the last poll gave out.
    COMMIT_OUT_OF_RANGE = "commit_out_of_range": Conflict;
}

/// How long a batch is lent to a consumer that neither commits nor polls again.
pub const LEASE_MS: i64 = 30_000;

/// Where a group stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    /// The next offset to hand out.
    pub committed: u64,
    /// Records that are there and not committed.
    pub lag: u64,
    /// Who reads for it now.
    pub holder: Option<String>,
}

/// What a poll hands out.
pub struct Handed {
    pub page: Page,
    /// Records that retention removed before this group had read them.
    pub expired: u64,
    pub lag: u64,
}

/// A group's name: 1–100 letters, digits, `-`, `_` and `.`.
///
/// # Errors
/// `invalid_parameter` for anything else.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let fine = (1..=100).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if fine {
        return Ok(());
    }
    Err(INVALID_PARAMETER
        .err(format!("a {what}'s name is 1 to 100 letters, digits, hyphens, underscores and full stops")))
}

impl Journal {
    /// Hands out up to `max` records after what `group` has committed, waiting up to `wait` for the first.
    /// A new group starts at the beginning of the stream.
    ///
    /// # Errors
    /// `group_leased` when another consumer holds the group for longer than `wait`.
    pub async fn poll_group(
        &self,
        stream: &Stream,
        group: &str,
        consumer: &str,
        max: u64,
        wait: Duration,
    ) -> Result<Handed> {
        let deadline = Instant::now() + wait;
        let mut head = self.watch(stream).await?;
        loop {
            let visible = *head.borrow_and_update();
            let (row, first_offset, end) = self.stand(stream, group).await?;
            let end = end.max(visible);
            if row.committed.max(first_offset) < end {
                if let Some(row) = self.claim(stream, group, consumer, row).await? {
                    let from = row.committed.max(first_offset);
                    let page = self.read(stream, from, max).await?;
                    let lag = end.max(page.next).saturating_sub(from);
                    return Ok(Handed { page, expired: from - row.committed, lag });
                }
                if Instant::now() >= deadline {
                    return Err(GROUP_LEASED.err("another consumer reads for this group at the moment"));
                }
                // A commit or the end of a lease does not ring: look again soon.
                let again = Instant::now() + Duration::from_millis(200);
                tokio::time::sleep_until(again.min(deadline)).await;
                continue;
            }
            // Who finds nothing holds nobody up: several may wait at the end of a stream.
            if Instant::now() >= deadline {
                let from = row.committed.max(first_offset);
                // No records, even if some have come by now: they are only for who holds the group.
                let page = self.read(stream, from, 0).await?;
                return Ok(Handed { page, expired: from - row.committed, lag: 0 });
            }
            if let Ok(Err(_)) = tokio::time::timeout_at(deadline, head.changed()).await {
                return Err(crate::lane::dropped());
            }
        }
    }

    /// The group's row, made if it is not there, and the offsets that the stream has.
    async fn stand(&self, stream: &Stream, group: &str) -> Result<(GroupRow, u64, u64)> {
        let (id, name, now) = (stream.id, group.to_owned(), self.clock().now());
        let row = self.db().read(move |tx| store::group(tx, id, &name)).await?;
        let (first, end) = self.bounds(stream).await?;
        if let Some(row) = row {
            return Ok((row, first, end));
        }
        let name = group.to_owned();
        let made = self.db().write(move |tx| store::ensure_group(tx, id, &name, now)).await?;
        Ok((made, first, end))
    }

    /// Makes `consumer` the reader of the group, unless another one is. Writes only when something changes.
    async fn claim(
        &self,
        stream: &Stream,
        group: &str,
        consumer: &str,
        seen: GroupRow,
    ) -> Result<Option<GroupRow>> {
        let (id, now) = (stream.id, self.clock().now());
        if seen.holder.as_deref() == Some(consumer) && seen.lease_until - now > LEASE_MS / 2 {
            return Ok(Some(seen));
        }
        let (name, consumer) = (group.to_owned(), consumer.to_owned());
        self.db()
            .write(move |tx| {
                store::ensure_group(tx, id, &name, now)?;
                store::lend_group(tx, id, &name, &consumer, now, now + LEASE_MS)
            })
            .await
    }

    /// Remembers that everything before `next` is done for the group, and frees it for other consumers.
    /// Committing the same position again is fine.
    ///
    /// # Errors
    /// `commit_out_of_range`; `group_leased` when another consumer holds the group by now.
    pub async fn commit_group(
        &self,
        stream: &Stream,
        group: &str,
        consumer: &str,
        next: u64,
    ) -> Result<Group> {
        let (id, now) = (stream.id, self.clock().now());
        let (name, consumer) = (group.to_owned(), consumer.to_owned());
        let (first, end) = self.bounds(stream).await?;
        self.db()
            .write(move |tx| {
                store::ensure_group(tx, id, &name, now)?;
                if next > end || !store::commit_group(tx, id, &name, &consumer, next, now)? {
                    let row = store::ensure_group(tx, id, &name, now)?;
                    let held = row.holder.is_some_and(|h| h != consumer) && row.lease_until > now;
                    return Err(if held {
                        GROUP_LEASED.err(
                            "another consumer reads for this group by now; what you took will come to it",
                        )
                    } else {
                        COMMIT_OUT_OF_RANGE
                            .err("the cursor is not between what is committed and the end of the stream")
                    });
                }
                let lag = end - next.max(first);
                Ok(Group { name: name.clone(), committed: next, lag, holder: None })
            })
            .await
    }

    /// Where the group stands; `None` if nobody has polled or committed under this name.
    pub async fn show_group(&self, stream: &Stream, group: &str) -> Result<Option<Group>> {
        if check_name("group", group).is_err() {
            return Ok(None);
        }
        let (id, name, now) = (stream.id, group.to_owned(), self.clock().now());
        let (first, end) = self.bounds(stream).await?;
        self.db()
            .read(move |tx| {
                Ok(store::group(tx, id, &name)?.map(|row| Group {
                    lag: end.saturating_sub(row.committed.max(first)),
                    committed: row.committed,
                    holder: row.holder.filter(|_| row.lease_until > now),
                    name,
                }))
            })
            .await
    }

    /// Forgets the group; returns whether there was one. The next poll under its name starts at the beginning.
    pub async fn delete_group(&self, stream: &Stream, group: &str) -> Result<bool> {
        if check_name("group", group).is_err() {
            return Ok(false);
        }
        let (id, name) = (stream.id, group.to_owned());
        self.db().write(move |tx| store::delete_group(tx, id, &name)).await
    }
}
