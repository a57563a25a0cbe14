//! The consumer.

mod member;

use std::sync::Arc;

use self::member::Member;
use super::shared::Shared;
use crate::broker::ConsumerConfig;
use crate::broker::remote::{self, Seat, delegate_consumer};

/// Reads topics of a cluster as a member of a group.
///
/// Dropping it leaves the group: the other members take over at once, and get what it had not acknowledged.
pub struct Consumer(remote::Consumer<Member>);

impl Consumer {
    pub(super) fn new(shared: Arc<Shared>, config: ConsumerConfig) -> Self {
        let member = Member::new(shared, &config);
        Self(remote::Consumer::new(Seat::new(Arc::new(member), config)))
    }
}

delegate_consumer!(Consumer);
