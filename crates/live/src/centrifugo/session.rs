//! One connection: who speaks on it, what it follows, and what it is told.
//!
//! ```text
//!  open ─ connect ─▶ known ─ subscribe ─▶ followers, each a cursor into its stream
//!    └ silent: 3502     ├ a ping every 15 s; no pong: 3012
//!                       ├ the key, the role or the token is over: 3500, 3005; of one channel: an unsubscribe push
//!                       └ too far behind: 3008; it comes back and recovers from the stream
//! ```
//!
//! There is no queue: while a frame is being written nothing else is read, and what is published meanwhile stays
//! in the stream.

use super::{
    codes::{self, Disconnect},
    follower::{Follower, Step},
    socket::{Gone, Socket},
    speaker::Speaker,
    wire::{Encoding, Push},
};
use crate::{
    Live,
    pass::{Pass, until},
    presence::{Change, Present, new_client},
    seats::Seat,
    socket::Ended,
};
use angarium_base::{AppId, Result};
use angarium_kit::Kit;
use bytes::Bytes;
use futures_util::future::{pending, select_all};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, sleep_until},
};

/// How often a client is asked whether it is there.
pub const PING_EVERY: Duration = Duration::from_secs(15);
/// How long it may take to say so.
const PONG_WAIT: Duration = Duration::from_secs(10);
/// How long a connection may be silent about who it is.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// It is looked at least this often whether those who are connected may be.
const LOOK: Duration = Duration::from_secs(60);
/// Commands of one frame.
const COMMANDS_MAX: usize = 128;
/// Answers to the commands of one frame are written when they are so many bytes together: that to connect, and those
/// that are small, come through before one that is large.
const ANSWERS_BYTES: usize = 4 << 10;

pub struct Session {
    pub kit: Kit,
    pub live: Arc<Live>,
    pub client: String,
    pub encoding: Encoding,
    /// The key or token of the handshake's Authorization header.
    pub header: Option<String>,
    pub speaker: Option<Speaker>,
    /// Whether the speaker's token came in a command: then its client can bring another.
    pub brings_tokens: bool,
    pub subscriptions: Vec<Subscription>,
    /// One in each app of which something was followed: who only connects takes none of those that follow.
    pub seats: Vec<(AppId, Seat)>,
    /// Told of others that come and go, once somebody asked for it.
    pub changes: Option<broadcast::Receiver<Change>>,
    /// What is to be written.
    pub out: Vec<u8>,
    opened_at: Instant,
    ping_at: Instant,
    pong_by: Option<Instant>,
}

/// A channel that is followed.
pub struct Subscription {
    pub channel: String,
    pub pass: Pass,
    pub follower: Follower,
    pub wants_joins: bool,
    // Held for its end.
    pub _present: Present,
}

/// What happens next.
enum Turn {
    Said(Result<Bytes, Ended>),
    Published(usize, Result<Step>),
    Changed(Change),
    /// Apps, keys or roles have changed, or it is time to look.
    Look,
    Stop,
}

/// Why a session ends.
pub enum End {
    Gone,
    /// The client said goodbye, or something that no WebSocket may.
    Left(Ended),
    Disconnect(Disconnect),
}

impl From<Ended> for End {
    fn from(ended: Ended) -> End {
        End::Left(ended)
    }
}

impl From<Gone> for End {
    fn from(_: Gone) -> End {
        End::Gone
    }
}

impl From<Disconnect> for End {
    fn from(why: Disconnect) -> End {
        End::Disconnect(why)
    }
}

impl Session {
    pub fn new(kit: Kit, live: Arc<Live>, encoding: Encoding, header: Option<String>) -> Session {
        let (client, now) = (new_client(kit.clock.now()), Instant::now());
        Session {
            kit,
            live,
            client,
            encoding,
            header,
            speaker: None,
            brings_tokens: false,
            subscriptions: Vec::new(),
            seats: Vec::new(),
            changes: None,
            out: Vec::new(),
            opened_at: now,
            ping_at: now + PING_EVERY,
            pong_by: None,
        }
    }

    /// Serves a connection to its end.
    pub async fn serve(mut self, socket: Socket) {
        let Err(end) = self.run(&socket).await;
        // Those who are left see that it is gone before it says goodbye.
        self.subscriptions.clear();
        match end {
            End::Gone => {}
            End::Left(ended) => socket.leave(ended).await,
            End::Disconnect(why) => socket.close(why).await,
        }
    }

    async fn run(&mut self, socket: &Socket) -> Result<std::convert::Infallible, End> {
        let mut directory = self.kit.directory.changes();
        let stop = self.kit.stop.clone();
        loop {
            let due = self.due();
            let turn = tokio::select! {
                biased;
                () = stop.cancelled() => Turn::Stop,
                said = socket.read() => Turn::Said(said),
                _ = directory.changed() => Turn::Look,
                () = sleep_until(due) => Turn::Look,
                change = next_change(&mut self.changes) => Turn::Changed(change),
                (at, step) = next_step(&mut self.subscriptions, self.encoding) => Turn::Published(at, step),
            };
            match turn {
                Turn::Stop => return Err(codes::SHUTDOWN.into()),
                Turn::Said(said) => self.hear(&said?, socket).await?,
                Turn::Look => self.look()?,
                Turn::Changed(change) => self.tell(&change),
                Turn::Published(at, step) => self.publish(at, step)?,
            }
            self.flush(socket).await?;
        }
    }

    async fn hear(&mut self, frame: &[u8], socket: &Socket) -> Result<(), End> {
        let commands = self.encoding.commands(frame).ok_or(codes::BAD_REQUEST)?;
        if commands.len() > COMMANDS_MAX {
            return Err(codes::BAD_REQUEST.into());
        }
        for command in commands {
            let before = std::mem::take(&mut self.out);
            let obeyed = self.obey(command).await;
            if before.len() + self.out.len() > ANSWERS_BYTES || obeyed.is_err() {
                if !before.is_empty() {
                    socket.write(before).await?;
                }
            } else {
                let answer = std::mem::replace(&mut self.out, before);
                self.encoding.join(&mut self.out, &answer);
            }
            obeyed?;
        }
        Ok(())
    }

    pub fn heard_pong(&mut self) {
        self.pong_by = None;
    }

    async fn flush(&mut self, socket: &Socket) -> Result<(), End> {
        if !self.out.is_empty() {
            socket.write(std::mem::take(&mut self.out)).await?;
        }
        Ok(())
    }

    /// When to look at the latest.
    fn due(&self) -> Instant {
        let Some(speaker) = &self.speaker else { return self.opened_at + CONNECT_WAIT };
        let over = speaker.expires_at(&self.kit).map_or(LOOK, |at| until(&self.kit, at).min(LOOK));
        let due = self.ping_at.min(Instant::now() + over);
        self.pong_by.map_or(due, |by| due.min(by))
    }

    /// Pings, and ends what is not allowed any more.
    fn look(&mut self) -> Result<(), Disconnect> {
        let now = Instant::now();
        let Some(speaker) = &self.speaker else {
            return if now >= self.opened_at + CONNECT_WAIT { Err(codes::STALE) } else { Ok(()) };
        };
        if speaker.expires_at(&self.kit).is_some_and(|at| at <= self.kit.clock.now()) {
            return Err(if speaker.has_token() { codes::EXPIRED } else { codes::INVALID_TOKEN_END });
        }
        if !speaker.is_known(&self.kit) {
            return Err(codes::INVALID_TOKEN_END);
        }
        self.drop_ended();
        if self.pong_by.is_some_and(|by| by <= now) {
            return Err(codes::NO_PONG);
        }
        if self.ping_at <= now {
            self.encoding.ping(&mut self.out);
            self.ping_at = now + PING_EVERY;
            self.pong_by = self.pong_by.or(Some(now + PONG_WAIT));
        }
        Ok(())
    }

    /// Takes away what the speaker may not follow any more.
    fn drop_ended(&mut self) {
        let kit = self.kit.clone();
        let ended = self.subscriptions.extract_if(.., |subscription| !subscription.pass.still_holds(&kit));
        let (code, reason) = codes::UNSUBSCRIBED;
        for subscription in ended {
            self.encoding.push(&mut self.out, &subscription.channel, &Push::Unsubscribe { code, reason });
        }
    }

    fn tell(&mut self, change: &Change) {
        let Change { app, stream, client, who, has_joined } = change;
        if *client == self.client {
            return;
        }
        let push = if *has_joined { Push::Join { client, who } } else { Push::Leave { client, who } };
        for subscription in self.subscriptions.iter().filter(|subscription| subscription.wants_joins) {
            let is_its =
                subscription.pass.allowed.app_id() == app && subscription.follower.stream().name() == stream;
            if is_its {
                self.encoding.push(&mut self.out, &subscription.channel, &push);
            }
        }
    }

    fn publish(&mut self, at: usize, step: Result<Step>) -> Result<(), Disconnect> {
        match step {
            Ok(Step::Written(frames, n)) => {
                self.kit.metrics.live_frames.inc_by(n);
                // Nothing else is to be written at this point.
                self.out = frames;
                Ok(())
            }
            Ok(Step::Slow) => {
                let follower = &self.subscriptions[at].follower;
                tracing::debug!(behind = follower.end() - follower.next(), "a slow live reader is cut off");
                Err(codes::SLOW)
            }
            Ok(Step::Lost) => Err(codes::INSUFFICIENT_STATE),
            Err(error) => {
                tracing::warn!(?error, "a reader of the feed could not be served");
                Err(codes::SERVER_ERROR)
            }
        }
    }
}

/// Waits for somebody to come or go.
async fn next_change(changes: &mut Option<broadcast::Receiver<Change>>) -> Change {
    let Some(receiver) = changes else { return pending().await };
    loop {
        match receiver.recv().await {
            Ok(change) => return change,
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return pending().await,
        }
    }
}

/// Waits for what comes next in any of the channels.
async fn next_step(subscriptions: &mut [Subscription], encoding: Encoding) -> (usize, Result<Step>) {
    if subscriptions.is_empty() {
        return pending().await;
    }
    let steps = subscriptions.iter_mut().map(|subscription| {
        let Subscription { channel, follower, .. } = subscription;
        Box::pin(follower.step(channel, encoding))
    });
    let (step, at, _) = select_all(steps).await;
    (at, step)
}
