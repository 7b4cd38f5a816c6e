//! Where a subscription stands in its stream, and what comes next: a cursor, not a queue.

use super::wire::Encoding;
use angarium_base::{Result, error::UNAVAILABLE};
use angarium_journal::{Journal, Record, Stream};
use std::time::Duration;
use tokio::{sync::watch, time::sleep};

/// Records that are read in one go: many small ones, few large ones.
const STRIDES: std::ops::RangeInclusive<u64> = 8..=512;
/// Bytes of a frame, beyond its first record. A client on a bad line goes on from the last whole one.
const FRAME_BYTES: usize = 32 << 10;
/// How long it waits for a record that is rung and not to be read yet.
const NOT_YET: Duration = Duration::from_millis(20);

pub struct Follower {
    journal: Journal,
    stream: Stream,
    head: watch::Receiver<u64>,
    next: u64,
    stride: u64,
    /// How many bytes it may be behind, once it has been at the end.
    backlog: u64,
    has_caught_up: bool,
}

/// What came of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// So many publications were written.
    Written(Vec<u8>, u64),
    /// It is further behind than a reader may be.
    Slow,
    /// Retention has removed what would come next.
    Lost,
}

impl Follower {
    /// A follower at the end of the stream as it is visible here.
    pub async fn new(journal: &Journal, stream: Stream, backlog: u64) -> Result<Follower> {
        let mut head = journal.watch(&stream).await?;
        let next = *head.borrow_and_update();
        Ok(Follower {
            journal: journal.clone(),
            stream,
            head,
            next,
            stride: *STRIDES.start(),
            backlog,
            has_caught_up: true,
        })
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The offset that comes next, hence that of the last record as clients count.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The end of the stream as it is visible here.
    pub fn end(&self) -> u64 {
        *self.head.borrow()
    }

    /// Goes back, or ahead, to an offset; from there on it may take its time.
    pub fn go_to(&mut self, next: u64) {
        self.next = next;
        self.has_caught_up = false;
    }

    /// Waits for what comes next, and writes it. Cancel-safe: what was not handed out comes again.
    pub async fn step(&mut self, channel: &str, encoding: Encoding) -> Result<Step> {
        loop {
            let end = *self.head.borrow_and_update();
            if self.next >= end {
                self.has_caught_up = true;
                self.head.changed().await.map_err(|_| UNAVAILABLE.err("the server is stopping"))?;
                continue;
            }
            if self.has_caught_up && self.journal.bytes_after(&self.stream, self.next) > self.backlog {
                return Ok(Step::Slow);
            }
            let (mut out, mut n) = (Vec::new(), 0);
            let room = |out: &Vec<u8>| out.len() < FRAME_BYTES;
            let render = |out: &mut Vec<u8>, record: &Record<'_>| {
                encoding.push_publication(out, channel, record);
                n += 1;
            };
            if !self.read(u64::MAX, &mut out, room, render).await? {
                return Ok(Step::Lost);
            }
            if n > 0 {
                return Ok(Step::Written(out, n));
            }
            if self.journal.extent_of(&self.stream).await?.first_offset > self.next {
                return Ok(Step::Lost);
            }
            sleep(NOT_YET).await;
        }
    }

    /// Writes some of what is there before `end`, as long as there is room. `false` when retention has removed
    /// what was to come.
    pub async fn read<O>(
        &mut self,
        end: u64,
        out: &mut O,
        room: impl Fn(&O) -> bool,
        mut render: impl FnMut(&mut O, &Record<'_>),
    ) -> Result<bool> {
        let page = self.journal.read(&self.stream, self.next, self.stride).await?;
        let from = self.next;
        for record in page.records().take_while(|record| record.offset < end) {
            if record.offset > self.next {
                return Ok(false);
            }
            if !room(out) {
                self.stride = (self.next - from).clamp(*STRIDES.start(), *STRIDES.end());
                return Ok(true);
            }
            render(out, &record);
            self.next = record.offset + 1;
        }
        self.stride = (self.stride * 2).min(*STRIDES.end());
        Ok(true)
    }
}
