//! What stands here in a build without librdkafka. Nothing is ever opened, so nothing that is open is ever used.

use crate::{
    Incoming, OPTIONS_REFUSED, Options, Outgoing, Status, TopicName, Unproduced,
    follow::Follower,
    shipper::{Settings, Source, Stats},
};
use angarium_base::{AppId, Result};
use std::{marker::PhantomData, time::Duration};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy)]
enum Never {}

#[derive(Clone)]
pub struct Kafka(Never);

#[derive(Clone)]
pub struct Producer(Never);

pub struct Shipper<S>(Never, PhantomData<S>);

impl Kafka {
    /// # Errors
    /// `kafka_options_refused`, always.
    pub fn open(options: Options) -> Result<Kafka> {
        options.check()?;
        Err(OPTIONS_REFUSED.err("this build of angarium has no Kafka"))
    }

    pub fn options(&self) -> &Options {
        match self.0 {}
    }

    pub fn status(&self) -> Status {
        match self.0 {}
    }

    pub fn topic_for(&self, _: &AppId, _: &str) -> Result<TopicName> {
        match self.0 {}
    }

    pub fn partition_for(&self, _: &AppId, _: i32) -> i32 {
        match self.0 {}
    }

    pub async fn ensure_topic(&self, _: &TopicName) -> Result<i32> {
        match self.0 {}
    }

    pub async fn delete_topic(&self, _: &TopicName) -> Result<()> {
        match self.0 {}
    }

    pub async fn partitions(&self, _: &TopicName) -> Result<Option<i32>> {
        match self.0 {}
    }

    pub async fn bounds(&self, _: &TopicName, _: i32) -> Result<(u64, u64)> {
        match self.0 {}
    }

    pub async fn offset_at(&self, _: &TopicName, _: i32, _: i64) -> Result<Option<u64>> {
        match self.0 {}
    }

    pub async fn read(
        &self,
        _: &TopicName,
        _: i32,
        _: u64,
        _: (usize, usize),
        _: Duration,
    ) -> Result<Vec<Incoming>> {
        match self.0 {}
    }

    pub fn follow(&self, _: &TopicName, _: i32, _: u64) -> Follower {
        match self.0 {}
    }

    pub fn producer(&self) -> Result<Producer> {
        match self.0 {}
    }
}

impl Producer {
    pub async fn produce(&self, _: &TopicName, _: i32, _: Vec<Outgoing>) -> Result<Vec<u64>, Unproduced> {
        match self.0 {}
    }
}

impl<S> Clone for Shipper<S> {
    fn clone(&self) -> Self {
        match self.0 {}
    }
}

impl<S: Source> Shipper<S> {
    pub fn new(kafka: Kafka, _: S, _: Settings) -> Result<Shipper<S>> {
        match kafka.0 {}
    }

    pub fn source(&self) -> &S {
        match self.0 {}
    }

    pub fn stats(&self) -> Stats {
        match self.0 {}
    }

    pub fn start(&self, _: CancellationToken) -> Result<oneshot::Receiver<()>> {
        match self.0 {}
    }
}
