//! What clients say and are told, whatever it is written in.

use super::{codes::Fault, json, protobuf};
use crate::pass::Who;
use angarium_journal::Record;

/// One of several that a frame holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// What the answer is to be named; 0 is for those that have none.
    pub id: u32,
    pub method: Method,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Method {
    Connect(Connect),
    Subscribe(Subscribe),
    Unsubscribe(String),
    Publish(String),
    Presence(String),
    PresenceStats(String),
    History(AskHistory),
    Ping,
    Send,
    Rpc,
    Refresh(String),
    SubRefresh(String),
    /// The answer to a ping.
    Pong,
    Unknown,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Connect {
    pub token: String,
    pub subs: Vec<Subscribe>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Subscribe {
    pub channel: String,
    pub recover: bool,
    pub position: Position,
    pub wants_joins: bool,
    /// A position that cannot be recovered is an error, not an answer.
    pub rejects_unrecovered: bool,
}

/// Bit of a subscribe command's `flag`.
pub const REJECT_UNRECOVERED: u64 = 2;

/// Where a client stands in a channel: behind the publication of this offset, 0 being none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub offset: u64,
    /// Empty: whichever.
    pub epoch: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct AskHistory {
    pub channel: String,
    /// Below 0: as many as there may be.
    pub limit: i32,
    pub since: Option<Position>,
    pub reverse: bool,
}

/// What comes of a command.
#[derive(Debug)]
pub enum Answer {
    Connect(Connected),
    Subscribe(Subscribed),
    Unsubscribe,
    Presence(Vec<(String, Who)>),
    PresenceStats { clients: u32, users: u32 },
    History(History),
    Ping,
    Refresh(Refreshed),
    SubRefresh,
    Fault(Fault),
}

#[derive(Debug)]
pub struct Connected {
    pub client: String,
    /// When the client is to come with another token, in seconds.
    pub ttl_s: Option<u32>,
    pub subs: Vec<(String, Subscribed)>,
    /// How often the server pings, in seconds.
    pub ping_s: u32,
}

#[derive(Debug)]
pub struct Subscribed {
    pub was_recovering: bool,
    pub recovered: bool,
    /// What `publications` follow, or, if nothing was recovered, where the stream is.
    pub position: Position,
    pub publications: Publications,
}

#[derive(Debug)]
pub struct History {
    pub publications: Publications,
    pub position: Position,
}

#[derive(Debug)]
pub struct Refreshed {
    pub client: String,
    pub ttl_s: Option<u32>,
}

/// Told without being asked.
pub enum Push<'a> {
    Join { client: &'a str, who: &'a Who },
    Leave { client: &'a str, who: &'a Who },
    Unsubscribe { code: u32, reason: &'a str },
}

/// Publications as they are written, in the order in which they are told.
#[derive(Debug, Default)]
pub struct Publications(pub Vec<Vec<u8>>);

/// What this server calls itself.
pub const VERSION: &str = concat!("angarium ", env!("CARGO_PKG_VERSION"));

/// What frames are written in. Client libraries for the web speak JSON, those for phones Protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Protobuf,
}

impl Encoding {
    /// The commands of a frame; `None` when it cannot be read.
    pub fn commands(self, frame: &[u8]) -> Option<Vec<Command>> {
        match self {
            Encoding::Json => json::commands(frame),
            Encoding::Protobuf => protobuf::commands(frame),
        }
    }

    pub fn answer(self, out: &mut Vec<u8>, id: u32, answer: &Answer) {
        match self {
            Encoding::Json => json::answer(out, id, answer),
            Encoding::Protobuf => protobuf::answer(out, id, answer),
        }
    }

    pub fn push(self, out: &mut Vec<u8>, channel: &str, push: &Push<'_>) {
        match self {
            Encoding::Json => json::push(out, channel, push),
            Encoding::Protobuf => protobuf::push(out, channel, push),
        }
    }

    /// A publication alone, as [`Publications`] has it.
    pub fn publication(self, record: &Record<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(record.data.len() + 64);
        match self {
            Encoding::Json => json::publication(&mut out, record),
            Encoding::Protobuf => protobuf::publication(&mut out, record),
        }
        out
    }

    /// A publication on its way to a subscriber.
    pub fn push_publication(self, out: &mut Vec<u8>, channel: &str, record: &Record<'_>) {
        match self {
            Encoding::Json => json::push_publication(out, channel, record),
            Encoding::Protobuf => protobuf::push_publication(out, channel, record),
        }
    }

    /// Appends frames that were written apart.
    pub fn join(self, out: &mut Vec<u8>, frames: &[u8]) {
        if self == Encoding::Json && !out.is_empty() && !frames.is_empty() {
            out.push(b'\n');
        }
        out.extend_from_slice(frames);
    }

    pub fn ping(self, out: &mut Vec<u8>) {
        match self {
            Encoding::Json => json::ping(out),
            Encoding::Protobuf => protobuf::ping(out),
        }
    }
}

/// The offset of a record for clients, who count from 1: 0 says that there was none yet.
pub fn offset_of(record: &Record<'_>) -> u64 {
    record.offset + 1
}
