//! What reaches a consumer's thread: orders of the seat, and what librdkafka says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, PoisonError};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::oneshot;

use crate::broker::Error;
use crate::broker::remote::Place;
use crate::sync::{AtomicBool, Mutex, lock};

pub(super) type Reply = oneshot::Sender<Result<(), Error>>;

/// What a seat wants done.
pub(super) enum Order {
    Subscribe(Vec<String>, Reply),
    Seek {
        place: Place,
        to: u64,
        epoch: u64,
    },
    /// The answers of the seat are to be committed.
    Store(Reply),
}

/// What librdkafka says, in the order in which it does.
pub(super) enum Said {
    Assign(Vec<(String, i32)>),
    /// `lost`: the group has given them to others already.
    Revoke {
        lost: bool,
    },
    /// The commit that was on its way has come back, with what failed.
    Committed(BTreeMap<Place, RDKafkaErrorCode>),
    Trouble(RDKafkaErrorCode, String),
}

#[derive(Default)]
pub(super) struct Link {
    inbox: Mutex<Inbox>,
    bell: Condvar,
    /// The seat has something to look at.
    nudged: AtomicBool,
}

#[derive(Default)]
pub(super) struct Inbox {
    pub(super) orders: VecDeque<Order>,
    pub(super) said: VecDeque<Said>,
    rung: bool,
    waits: bool,
    /// Nobody reads it any more.
    closed: bool,
}

impl Link {
    pub(super) fn order(&self, order: Order) {
        let mut inbox = lock(&self.inbox);
        if inbox.closed {
            // Whoever waits for a reply learns of it by the order's end.
            drop(inbox);
            drop(order);
            return;
        }
        inbox.orders.push_back(order);
        drop(inbox);
        self.ring();
    }

    /// The thread has ended: nothing is taken any more.
    pub(super) fn close(&self) {
        let mut inbox = lock(&self.inbox);
        inbox.closed = true;
        let orders = std::mem::take(&mut inbox.orders);
        drop(inbox);
        drop(orders);
    }

    pub(super) fn say(&self, said: Said) {
        lock(&self.inbox).said.push_back(said);
        self.ring();
    }

    /// There is something in librdkafka's queues, or in here.
    pub(super) fn ring(&self) {
        let mut inbox = lock(&self.inbox);
        inbox.rung = true;
        if inbox.waits {
            self.bell.notify_one();
        }
    }

    pub(super) fn nudge(&self) {
        if !self.nudged.swap(true, Ordering::AcqRel) && lock(&self.inbox).waits {
            self.bell.notify_one();
        }
    }

    /// Whether the seat has nudged since the last call.
    pub(super) fn was_nudged(&self) -> bool {
        self.nudged.swap(false, Ordering::AcqRel)
    }

    /// Takes what has come.
    pub(super) fn take(&self) -> (VecDeque<Order>, VecDeque<Said>) {
        let mut inbox = lock(&self.inbox);
        inbox.rung = false;
        (
            std::mem::take(&mut inbox.orders),
            std::mem::take(&mut inbox.said),
        )
    }

    /// Takes what librdkafka has said, and leaves the orders.
    pub(super) fn said(&self) -> VecDeque<Said> {
        self.nudged.store(false, Ordering::Release);
        let mut inbox = lock(&self.inbox);
        inbox.rung = false;
        std::mem::take(&mut inbox.said)
    }

    /// Waits until something comes, or this time is over.
    pub(super) fn wait(&self, time: Duration) {
        let mut inbox = lock(&self.inbox);
        inbox.waits = true;
        if !inbox.rung && !self.nudged.load(Ordering::Acquire) {
            inbox = self
                .bell
                .wait_timeout(inbox, time)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        inbox.waits = false;
    }
}
