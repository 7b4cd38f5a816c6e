//! What each command does.

use super::{
    codes::{self, Disconnect, Fault, Refusal},
    follower::Follower,
    position,
    session::{PING_EVERY, Session, Subscription},
    speaker::Speaker,
    wire::{Answer, AskHistory, Command, Connect, Connected, Method, Push, Refreshed, Subscribe, Subscribed},
};
use crate::{
    pass::{Pass, Who},
    presence,
};
use angarium_base::{Error, Result};
use angarium_journal::Stream;
use std::collections::BTreeSet;

/// Channels that one connection follows at most.
const CHANNELS_MAX: usize = 16;
/// What is left of a token when its client is to bring another: a tenth, and at most so many seconds.
const BEFORE_THE_END_S: u32 = 30;
/// Connections that presence tells of.
const PRESENT_MAX: usize = 1_000;
/// What is published to it would be a message; those are sent by HTTP.
const MESSAGES: &str = "messages";

impl Session {
    pub async fn obey(&mut self, command: Command) -> Result<(), Disconnect> {
        let Command { id, method } = command;
        match method {
            Method::Pong => {
                self.heard_pong();
                return Ok(());
            }
            // It is for whoever runs a Centrifugo with a backend behind it.
            Method::Send if self.speaker.is_some() => return Ok(()),
            _ if id == 0 => return Err(codes::BAD_REQUEST),
            _ => {}
        }
        let answer = match (method, &self.speaker) {
            (Method::Connect(connect), None) => self.connect(connect).await?,
            (_, None) | (Method::Connect(_), Some(_)) => return Err(codes::BAD_REQUEST),
            (Method::Refresh(token), Some(_)) => self.refresh(&token).await?,
            (method, Some(_)) => self.done(method).await.unwrap_or_else(Answer::Fault),
        };
        self.encoding.answer(&mut self.out, id, &answer);
        Ok(())
    }

    /// What somebody may do who is known.
    async fn done(&mut self, method: Method) -> Result<Answer, Fault> {
        match method {
            Method::Subscribe(asked) => self.subscribe(&asked).await.map(Answer::Subscribe),
            Method::Unsubscribe(channel) => {
                self.subscriptions.retain(|subscription| subscription.channel != channel);
                Ok(Answer::Unsubscribe)
            }
            Method::Publish(channel) => {
                let (_, stream) = self.channel(&channel).await?;
                match stream.name() {
                    MESSAGES => Err(codes::NOT_AVAILABLE),
                    _ => Err(codes::PERMISSION_DENIED),
                }
            }
            Method::Presence(channel) => {
                let mut present = self.present(&channel).await?;
                present.truncate(PRESENT_MAX);
                Ok(Answer::Presence(present))
            }
            Method::PresenceStats(channel) => {
                let present = self.present(&channel).await?;
                let users: BTreeSet<&str> = present.iter().map(|(_, who)| who.id.as_str()).collect();
                Ok(Answer::PresenceStats { clients: present.len() as u32, users: users.len() as u32 })
            }
            Method::History(asked) => self.history(&asked).await,
            Method::Ping => Ok(Answer::Ping),
            Method::SubRefresh(channel) => match self.is_subscribed(&channel) {
                true => Ok(Answer::SubRefresh),
                false => Err(codes::PERMISSION_DENIED),
            },
            Method::Rpc => Err(codes::NOT_AVAILABLE),
            _ => Err(codes::METHOD_NOT_FOUND),
        }
    }

    async fn connect(&mut self, asked: Connect) -> Result<Answer, Disconnect> {
        let presented = match (asked.token.is_empty(), &self.header) {
            (false, _) => asked.token,
            (true, Some(header)) => header.clone(),
            (true, None) => return Err(codes::INVALID_TOKEN_END),
        };
        self.brings_tokens = self.header.as_ref() != Some(&presented);
        let speaker = match Speaker::of(&self.kit, &self.live, &presented).await {
            Ok(speaker) => speaker,
            Err(error) => return refused(&error),
        };
        let ttl_s = self.ttl_s(&speaker);
        self.speaker = Some(speaker);
        let mut subs = Vec::new();
        // What a client had from the server's side before. Those that are refused are left out.
        for sub in asked.subs {
            if let Ok(subscribed) = self.subscribe(&sub).await {
                subs.push((sub.channel, subscribed));
            }
        }
        let ping_s = PING_EVERY.as_secs() as u32;
        Ok(Answer::Connect(Connected { client: self.client.clone(), ttl_s, subs, ping_s }))
    }

    /// When the client is to bring another token: some time before this one's end, which is the connection's too.
    fn ttl_s(&self, speaker: &Speaker) -> Option<u32> {
        let at = speaker.expires_at(&self.kit).filter(|_| self.brings_tokens && speaker.has_token())?;
        let left_s = u32::try_from((at - self.kit.clock.now()) / 1_000).unwrap_or(u32::MAX / 2);
        Some((left_s - (left_s / 10).min(BEFORE_THE_END_S)).max(1))
    }

    async fn refresh(&mut self, token: &str) -> Result<Answer, Disconnect> {
        let speaker = match Speaker::of(&self.kit, &self.live, token).await {
            Ok(speaker) => speaker,
            Err(error) => return refused(&error),
        };
        if !self.speaker.as_ref().is_some_and(|before| before.is(&speaker)) {
            return Err(codes::INVALID_TOKEN_END);
        }
        self.brings_tokens = true;
        let ttl_s = self.ttl_s(&speaker);
        self.speaker = Some(speaker);
        self.renew_passes().await;
        Ok(Answer::Refresh(Refreshed { client: self.client.clone(), ttl_s }))
    }

    /// What is followed is followed in the name of the new token from now on, as far as that reaches.
    async fn renew_passes(&mut self) {
        let channels: Vec<String> =
            self.subscriptions.iter().map(|subscription| subscription.channel.clone()).collect();
        for channel in channels {
            let pass = self.channel(&channel).await;
            let Some(at) = self.subscriptions.iter().position(|other| other.channel == channel) else {
                continue;
            };
            match pass {
                Ok((pass, _)) => self.subscriptions[at].pass = pass,
                // It goes by itself when the time of the old pass is over, if it does not come to be again.
                Err(fault) if fault.temporary => {}
                Err(_) => {
                    self.subscriptions.remove(at);
                    let (code, reason) = codes::UNSUBSCRIBED;
                    let push = Push::Unsubscribe { code, reason };
                    self.encoding.push(&mut self.out, &channel, &push);
                }
            }
        }
    }

    async fn subscribe(&mut self, asked: &Subscribe) -> Result<Subscribed, Fault> {
        if asked.channel.is_empty() {
            return Err(codes::BAD_REQUEST_FAULT);
        }
        if self.is_subscribed(&asked.channel) {
            return Err(codes::ALREADY_SUBSCRIBED);
        }
        if self.subscriptions.len() >= CHANNELS_MAX {
            return Err(codes::LIMIT_EXCEEDED.saying("limit exceeded: 16 channels a connection"));
        }
        let (pass, stream) = self.channel(&asked.channel).await?;
        self.sit_down(&pass)?;
        let (name, wants_joins) = (stream.name().to_owned(), asked.wants_joins && may_see_others(&pass));
        let taken_up = async {
            let mut follower =
                Follower::new(&self.kit.journal, stream, self.kit.limits.live.backlog_bytes).await?;
            let taken_up = position::take_up(&self.kit, &mut follower, asked, self.encoding).await?;
            Ok((follower, taken_up))
        };
        let (follower, taken_up) = taken_up.await.map_err(|error: Error| Fault::from(&error))?;
        let subscribed = taken_up?;
        if wants_joins && self.changes.is_none() {
            self.changes = Some(self.live.presence.changes());
        }
        let (app, now) = (pass.allowed.app_id().clone(), self.kit.clock.now());
        let present = self.live.presence.enter(&app, (&self.client, &pass.who(), "centrifugo"), &[name], now);
        let channel = asked.channel.clone();
        self.subscriptions.push(Subscription { channel, pass, follower, wants_joins, _present: present });
        Ok(subscribed)
    }

    /// Takes a place among those who follow the app, once.
    fn sit_down(&mut self, pass: &Pass) -> Result<(), Fault> {
        let app = pass.allowed.app_id();
        if self.seats.iter().all(|(other, _)| other != app) {
            let seat = self.live.seats.take(&self.kit, &pass.allowed).map_err(|error| Fault::from(&error))?;
            self.seats.push((app.clone(), seat));
        }
        Ok(())
    }

    async fn history(&self, asked: &AskHistory) -> Result<Answer, Fault> {
        let (_, stream) = self.channel(&asked.channel).await?;
        let history = position::history(&self.kit.journal, &stream, asked, self.encoding).await;
        history.map_err(|error| Fault::from(&error))?.map(Answer::History)
    }

    /// The connections that follow a channel, those of other processes included.
    async fn present(&self, channel: &str) -> Result<Vec<(String, Who)>, Fault> {
        let (pass, stream) = self.channel(channel).await?;
        if !may_see_others(&pass) {
            return Err(codes::PERMISSION_DENIED);
        }
        let everywhere = presence::everywhere(&self.kit, &self.live.presence, pass.allowed.app_id()).await;
        let (_, known) = everywhere.map_err(|error| Fault::from(&error))?;
        let follows = |streams: &[String]| streams.iter().any(|other| other == stream.name());
        Ok(known
            .into_iter()
            .filter(|connection| follows(&connection.streams))
            .map(|connection| (connection.client, connection.who))
            .collect())
    }

    async fn channel(&self, channel: &str) -> Result<(Pass, Stream), Fault> {
        match &self.speaker {
            Some(speaker) => speaker.channel(&self.kit, channel).await,
            None => Err(codes::PERMISSION_DENIED),
        }
    }

    fn is_subscribed(&self, channel: &str) -> bool {
        self.subscriptions.iter().any(|subscription| subscription.channel == channel)
    }
}

/// Whether it may know who else follows: a browser may not, if its token does not say so.
fn may_see_others(pass: &Pass) -> bool {
    use angarium_kit::access::{Grant, Role};
    match &pass.token {
        Some(token) => token.presence,
        None => presence::ReadPresence::ROLES.iter().any(|role: &Role| pass.allowed.is(*role)),
    }
}

fn refused(error: &Error) -> Result<Answer, Disconnect> {
    match Refusal::from(error) {
        Refusal::Fault(fault) => Ok(Answer::Fault(fault)),
        Refusal::Disconnect(why) => Err(why),
    }
}
