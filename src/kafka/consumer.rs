//! The consumer.

mod commits;
mod committer;
mod driver;
mod handover;
mod health;
mod link;
mod member;
mod says;
mod slot;
mod starts;

use std::sync::Arc;

pub(super) use self::member::Member;
use super::shared::Shared;
use crate::broker::ConsumerConfig;
use crate::broker::remote::{self, Seat, delegate_consumer};

/// Reads topics of a cluster as a member of a group.
///
/// Dropping it leaves the group: the other members take over at once, and get what it had not acknowledged.
///
/// Two threads of its own, named `pushpull-kafka`, talk to the cluster: they start with the first subscription and end in the
/// background when the consumer is closed or dropped. They commit what was acknowledged every 100 ms, and when a partition
/// is given up.
///
/// Subscribing waits for the first assignment, for up to six seconds: a group that comes into being waits for three, by its
/// brokers' default, for others to join.
///
/// # Back-pressure
/// Up to 4,096 records of a partition wait here to be taken. Beyond that librdkafka holds what it has fetched, up to
/// `queued.max.messages.kbytes` (64 MiB unless told otherwise), and fetches no more.
pub struct Consumer(remote::Consumer<Member>);

impl Consumer {
    pub(super) fn new(shared: Arc<Shared>, config: ConsumerConfig) -> Self {
        let member = Member::new(Arc::clone(&shared), &config);
        let seat = Seat::new(Arc::new(member), config);
        shared.seated(&seat);
        Self(remote::Consumer::new(seat))
    }
}

delegate_consumer!(Consumer);
