//! One broadcast: the log, and who waits for it.

use std::collections::VecDeque;
use std::mem;
use std::task::Waker;

use super::after::After;
use super::log::{Log, Slot};
use super::marks::Mark;
use super::stats::BroadcastStats;
use super::value::Want;
use super::waiting::{Line, Node, Seat, Sleepers, Ticket};
use crate::sync::{Arc, planted};

#[derive(Debug)]
pub(super) struct State<T> {
    pub(super) log: Log<T>,
    /// Publishers that wait for room. When an operation is over, the first of them cannot be served.
    pub(super) line: Line<T>,
    /// Subscribers that have read everything.
    pub(super) sleepers: Sleepers,
    /// Those who wait for the end.
    pub(super) watchers: Sleepers,
    /// Slots promised to sinks. Together with what the log must keep never more than the capacity.
    pub(super) reserved: usize,
    pub(super) publishers: usize,
    /// Living subscribers, those that were disconnected included.
    pub(super) audience: usize,
    /// Living hubs; `None` where publishing does not depend on there being subscribers.
    pub(super) hubs: Option<usize>,
    pub(super) closed: bool,
    pub(super) publisher_waits: u64,
    pub(super) subscriber_waits: u64,
}

/// What has to be allocated, outside of the lock, before an operation can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    Log(usize),
    Line(usize),
    Sleepers(usize),
    Watchers(usize),
    Marks(usize),
    /// In the subscriber's own hand.
    Hand(Want),
}

/// What was allocated for it.
#[derive(Debug)]
pub(super) enum Room<T> {
    Log(VecDeque<Slot<T>>),
    Line(Vec<Node<T>>),
    Sleepers(Vec<Seat>),
    Watchers(Vec<Seat>),
    Marks(Vec<Arc<Mark>>),
    /// Nothing: a subscriber supplies its hand itself.
    Hand(Want),
}

impl<T> State<T> {
    pub(super) fn new(capacity: usize, replay: usize, hub: bool) -> Self {
        Self {
            log: Log::new(capacity, replay),
            line: Line::new(),
            sleepers: Sleepers::new(),
            watchers: Sleepers::new(),
            reserved: 0,
            publishers: 1,
            audience: 0,
            hubs: hub.then_some(1),
            closed: false,
            publisher_waits: 0,
            subscriber_waits: 0,
        }
    }

    pub(super) fn add_publisher(&mut self) {
        self.publishers += 1;
    }

    pub(super) fn remove_publisher(&mut self, after: &mut After<T>) {
        self.publishers -= 1;
        if self.publishers == 0 {
            self.close(after);
        }
    }

    pub(super) fn add_hub(&mut self) {
        self.hubs = self.hubs.map(|hubs| hubs + 1);
    }

    pub(super) fn remove_hub(&mut self, after: &mut After<T>) {
        self.hubs = self.hubs.map(|hubs| hubs - 1);
        self.close_if_deserted(after);
    }

    pub(super) fn close_if_deserted(&mut self, after: &mut After<T>) {
        if self.hubs == Some(0) && self.audience == 0 {
            self.close(after);
        }
    }

    /// Refuses everything from now on, except for what a slot is reserved for.
    pub(super) fn close(&mut self, after: &mut After<T>) {
        if mem::replace(&mut self.closed, true) {
            return;
        }
        if self.has_ended() && !planted("bc_close_silent") {
            after.wake_sleepers(&mut self.sleepers);
        }
        after.wake_watchers(&mut self.watchers);
        if !planted("bc_close_keeps_line") {
            self.serve(after);
        }
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether nothing more will be published.
    pub(super) fn has_ended(&self) -> bool {
        self.closed && (self.reserved == 0 || planted("bc_ends_early"))
    }

    /// Whether it is closed; else a seat for the waker brought along.
    pub(super) fn watch(
        &mut self,
        ticket: &mut Option<Ticket>,
        waker: &mut Option<Waker>,
        after: &mut After<T>,
    ) -> Result<bool, Lack> {
        if self.closed && !(planted("bc_watch_unchecked") && waker.is_some()) {
            return Ok(true);
        }
        if waker.is_some() && !self.watchers.has_room() {
            return Err(Lack::Watchers(self.watchers.grown()));
        }
        if let Some(waker) = waker.take() {
            let (seat, old) = self.watchers.sit(*ticket, waker);
            *ticket = Some(seat);
            after.idle = old;
        }
        Ok(false)
    }

    pub(super) fn unwatch(&mut self, ticket: Ticket, after: &mut After<T>) {
        after.idle = self.watchers.rise(ticket);
    }

    /// Brings in what was allocated; what it replaces is handed back, to be freed outside of the lock.
    pub(super) fn adopt(&mut self, room: Room<T>) -> Room<T> {
        match room {
            Room::Log(room) => Room::Log(self.log.adopt(room)),
            Room::Line(room) => Room::Line(self.line.adopt(room)),
            Room::Sleepers(room) => Room::Sleepers(self.sleepers.adopt(room)),
            Room::Watchers(room) => Room::Watchers(self.watchers.adopt(room)),
            Room::Marks(room) => Room::Marks(self.log.marks.adopt(room)),
            Room::Hand(want) => Room::Hand(want),
        }
    }

    pub(super) fn stats(&self) -> BroadcastStats {
        let (len, counted) = self.log.reading();
        BroadcastStats {
            published: counted.published,
            sent: counted.sent,
            delivered: counted.delivered,
            missed: counted.missed,
            abandoned: counted.abandoned,
            unread: counted.unread,
            disconnected: counted.disconnected,
            len,
            capacity: self.log.capacity(),
            peak_len: counted.peak_len,
            reserved: self.reserved,
            publishers: self.publishers,
            subscribers: self.log.readers(),
            waiting_publishers: self.line.len(),
            waiting_subscribers: self.sleepers.len(),
            publisher_waits: self.publisher_waits,
            subscriber_waits: self.subscriber_waits,
        }
    }
}

impl Lack {
    pub(super) fn supply<T>(self) -> Room<T> {
        match self {
            Self::Log(slots) => Room::Log(VecDeque::with_capacity(slots)),
            Self::Line(places) => Room::Line(Vec::with_capacity(places)),
            Self::Sleepers(seats) => Room::Sleepers(Vec::with_capacity(seats)),
            Self::Watchers(seats) => Room::Watchers(Vec::with_capacity(seats)),
            Self::Marks(marks) => Room::Marks(Vec::with_capacity(marks)),
            Self::Hand(want) => Room::Hand(want),
        }
    }
}
