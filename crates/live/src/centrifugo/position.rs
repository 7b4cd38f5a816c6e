//! What a client missed, and what was there before: publications out of the stream, by position.

use super::{
    codes::{Fault, LIMIT_EXCEEDED, UNRECOVERABLE},
    follower::Follower,
    wire::{AskHistory, Encoding, History, Position, Publications, Subscribe, Subscribed},
};
use angarium_base::Result;
use angarium_journal::{Journal, Stream};
use angarium_kit::Kit;
use std::collections::VecDeque;

/// Publications, and their bytes, that the answer to a subscribe command has. The rest follows it as if it were new,
/// without a seam: many clients can come back at once, and one on a bad line gets on whenever a frame comes through.
const RECOVERED_MAX: usize = 1_000;
const RECOVERED_BYTES: usize = 32 << 10;
/// What an answer to a history command has.
const HISTORY_MAX: usize = 1_000;
const HISTORY_BYTES: usize = 1 << 20;
/// Records that are read in one go.
const STRIDE: u64 = 256;

/// Puts a follower where a subscriber is to go on, and says what that is.
///
/// # Errors
/// 112 for a client that would rather have an error than begin anew.
pub async fn take_up(
    kit: &Kit,
    follower: &mut Follower,
    asked: &Subscribe,
    encoding: Encoding,
) -> Result<Result<Subscribed, Fault>> {
    let epoch = kit.journal.epoch(follower.stream());
    let at = |offset| Position { offset, epoch: epoch.clone() };
    let new = |follower: &Follower| Subscribed {
        was_recovering: asked.recover,
        recovered: false,
        position: at(follower.next()),
        publications: Publications::default(),
    };
    if !asked.recover {
        return Ok(Ok(new(follower)));
    }
    let (from, end) = (asked.position.offset, follower.end());
    let mut publications = Publications::default();
    let is_there = is_of(&asked.position, &epoch) && is_reached(kit, follower, from).await? && {
        follower.go_to(from);
        collect(follower, end, &mut publications, encoding).await?
    };
    if is_there {
        let position = at(from);
        return Ok(Ok(Subscribed { was_recovering: true, recovered: true, position, publications }));
    }
    if asked.rejects_unrecovered {
        return Ok(Err(UNRECOVERABLE));
    }
    follower.go_to(end);
    Ok(Ok(new(follower)))
}

fn is_of(position: &Position, epoch: &str) -> bool {
    position.epoch.is_empty() || position.epoch == epoch
}

/// Whether the stream has grown so far, and has all of what follows.
async fn is_reached(kit: &Kit, follower: &Follower, from: u64) -> Result<bool> {
    if from == follower.end() {
        return Ok(true);
    }
    // What is visible here may be a moment behind what another process has told.
    let extent = kit.journal.extent_of(follower.stream()).await?;
    Ok((extent.first_offset..=extent.next_offset).contains(&from))
}

/// Up to `end`, or to what one answer has. `false` when retention was quicker.
async fn collect(
    follower: &mut Follower,
    end: u64,
    publications: &mut Publications,
    encoding: Encoding,
) -> Result<bool> {
    let mut bytes = 0;
    while follower.next() < end {
        let before = follower.next();
        let room = |publications: &(Vec<Vec<u8>>, usize)| {
            publications.0.len() < RECOVERED_MAX && publications.1 < RECOVERED_BYTES
        };
        let mut out = (std::mem::take(&mut publications.0), bytes);
        let read = follower.read(end, &mut out, room, |(out, bytes), record| {
            let publication = encoding.publication(record);
            *bytes += publication.len();
            out.push(publication);
        });
        let is_whole = read.await?;
        (publications.0, bytes) = out;
        if !is_whole {
            return Ok(false);
        }
        if follower.next() == before {
            // No room any more, or not to be read yet: it follows.
            break;
        }
    }
    Ok(true)
}

/// What was published, as asked.
///
/// # Errors
/// 112 when what follows the position is not there any more, or was never there; 106 for more than an answer has.
pub async fn history(
    journal: &Journal,
    stream: &Stream,
    asked: &AskHistory,
    encoding: Encoding,
) -> Result<Result<History, Fault>> {
    let extent = journal.extent_of(stream).await?;
    let epoch = journal.epoch(stream);
    let (first, end) = (extent.first_offset, extent.next_offset);
    if let Some(since) = &asked.since {
        // Backwards from a position, what is gone already is simply the end.
        let is_there = (first..=end).contains(&since.offset) || asked.reverse && since.offset <= end + 1;
        if !is_of(since, &epoch) || !is_there {
            return Ok(Err(UNRECOVERABLE));
        }
    }
    let limit = match usize::try_from(asked.limit) {
        Ok(limit) if limit > HISTORY_MAX => {
            return Ok(Err(LIMIT_EXCEEDED.saying("limit exceeded: 1000 publications at most")));
        }
        Ok(limit) => limit,
        Err(_) => HISTORY_MAX,
    };
    let (from, to) = stretch(asked, (first, end), limit as u64);
    let mut kept = VecDeque::new();
    let mut bytes = 0;
    let mut next = from;
    'pages: while next < to {
        let page = journal.read(stream, next, STRIDE.min(to - next)).await?;
        if page.is_empty() {
            break;
        }
        for record in page.records().take_while(|record| record.offset < to) {
            let publication = encoding.publication(&record);
            if !asked.reverse && !kept.is_empty() && bytes + publication.len() > HISTORY_BYTES {
                break 'pages;
            }
            bytes += publication.len();
            kept.push_back(publication);
            // Backwards, the newest are first: the others give way.
            while bytes > HISTORY_BYTES && kept.len() > 1 {
                bytes -= kept.pop_front().map_or(0, |gone| gone.len());
            }
        }
        next = page.next;
    }
    let publications = match asked.reverse {
        true => kept.into_iter().rev().collect(),
        false => kept.into(),
    };
    Ok(Ok(History { publications: Publications(publications), position: Position { offset: end, epoch } }))
}

/// The offsets that are asked for: from the first up to, not including, the second.
fn stretch(asked: &AskHistory, (first, end): (u64, u64), limit: u64) -> (u64, u64) {
    match (&asked.since, asked.reverse) {
        (None, false) => (first, end.min(first + limit)),
        (Some(since), false) => (since.offset, end.min(since.offset.saturating_add(limit))),
        (None, true) => (first.max(end.saturating_sub(limit)), end),
        (Some(since), true) => {
            // Before the publication that the position names.
            let to = since.offset.saturating_sub(1).min(end);
            (first.max(to.saturating_sub(limit)), to)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_behind_a_position_or_backwards_before_it() {
        let asked = |since: Option<u64>, reverse| AskHistory {
            since: since.map(|offset| Position { offset, epoch: String::new() }),
            reverse,
            ..AskHistory::default()
        };
        // Records 10 to 19 are kept: for clients, publications 11 to 20.
        let kept = (10, 20);
        assert_eq!(stretch(&asked(None, false), kept, 3), (10, 13));
        assert_eq!(stretch(&asked(None, false), kept, 100), (10, 20));
        assert_eq!(stretch(&asked(None, true), kept, 3), (17, 20));
        assert_eq!(stretch(&asked(Some(12), false), kept, 3), (12, 15), "13, 14 and 15 follow 12");
        assert_eq!(stretch(&asked(Some(20), false), kept, 3), (20, 20));
        assert_eq!(stretch(&asked(Some(15), true), kept, 3), (11, 14), "14, 13 and 12 come before 15");
        assert_eq!(stretch(&asked(Some(21), true), kept, 3), (17, 20));
        assert_eq!(stretch(&asked(Some(5), true), kept, 3), (10, 4), "nothing is left before that");
        assert_eq!(stretch(&asked(None, false), kept, 0), (10, 10));
    }
}
