//! One broadcast: the log, who waits for it, and what to do when somebody publishes, reads, comes or goes.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

use super::after::After;
use super::log::{Kind, Log, Read, Slot};
use super::stats::BroadcastStats;
use super::waiting::{Line, Node, Outcome, Place, Seat, Sleepers, Ticket};
use crate::sync::planted;

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
    reserved: usize,
    publishers: usize,
    /// Living subscribers, those that were disconnected included.
    audience: usize,
    /// Living hubs; `None` where publishing does not depend on there being subscribers.
    hubs: Option<usize>,
    closed: bool,
    publisher_waits: u64,
    subscriber_waits: u64,
}

/// What has to be allocated, outside of the lock, before an operation can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    Log(usize),
    Line(usize),
    Sleepers(usize),
    Watchers(usize),
    /// So many more values in the subscriber's own buffer.
    Held(usize),
}

/// What was allocated for it.
#[derive(Debug)]
pub(super) enum Room<T> {
    Log(VecDeque<Slot<T>>),
    Line(Vec<Node<T>>),
    Sleepers(Vec<Seat>),
    Watchers(Vec<Seat>),
    Held(usize),
}

/// What came of publishing. The value is taken only where it was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    To(usize),
    Full,
    Closed,
    Waits(Place),
}

/// What came of asking for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserved {
    Yes,
    Full,
    Closed,
    Waits(Place),
}

/// How far one in the line has come.
#[derive(Debug)]
pub(super) enum Turn<T> {
    Served(Outcome<T>),
    Waits,
    NeedsWaker,
}

/// What a subscriber saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Values, now in its own buffer.
    Run,
    Lagged(u64),
    /// Nothing yet. Whether it was put to sleep depends on whether it brought a waker.
    Empty,
    Ended,
}

/// Where a subscriber stands.
#[derive(Debug)]
pub(super) struct Cursor<T> {
    pub(super) kind: Kind,
    position: u64,
    /// It was disconnected and told so, and stands nowhere any more.
    cut: bool,
    ticket: Option<Ticket>,
    /// Values read from the log and not yet handed out.
    pub(super) held: VecDeque<Arc<T>>,
}

impl<T> Cursor<T> {
    /// Whether it may have a seat among the sleepers.
    pub(super) const fn may_sleep(&self) -> bool {
        self.ticket.is_some()
    }
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

    // -- publishing --

    /// Publishes at once, if there is room.
    pub(super) fn publish(
        &mut self,
        value: &mut Option<Arc<T>>,
        after: &mut After<T>,
    ) -> Result<Published, Lack> {
        if self.closed {
            return Ok(Published::Closed);
        }
        if !self.may_publish() {
            return Ok(Published::Full);
        }
        self.push(value, after)
    }

    /// Publishes at once, or leaves the value in the line.
    pub(super) fn publish_or_wait(
        &mut self,
        value: &mut Option<Arc<T>>,
        waker: &mut Option<Waker>,
        after: &mut After<T>,
    ) -> Result<Published, Lack> {
        if !planted("bc_wait_unchecked") {
            match self.publish(value, after)? {
                Published::Full => {}
                done => return Ok(done),
            }
        }
        let Some(waker) = self.joining(waker)? else {
            return Ok(Published::Full);
        };
        Ok(Published::Waits(self.line.join(value.take(), waker)))
    }

    /// Reserves a slot at once, if there is one.
    pub(super) fn reserve(&mut self) -> Reserved {
        if self.closed {
            return Reserved::Closed;
        }
        if !self.has_room() {
            return Reserved::Full;
        }
        self.reserved += 1;
        Reserved::Yes
    }

    /// Reserves a slot at once, or waits for it in the line.
    pub(super) fn reserve_or_wait(&mut self, waker: &mut Option<Waker>) -> Result<Reserved, Lack> {
        if !(planted("bc_reserve_unchecked") && waker.is_some()) {
            match self.reserve() {
                Reserved::Full => {}
                done => return Ok(done),
            }
        }
        let Some(waker) = self.joining(waker)? else {
            return Ok(Reserved::Full);
        };
        Ok(Reserved::Waits(self.line.join(None, waker)))
    }

    /// Publishes with the slot reserved for it, also after `close`.
    pub(super) fn redeem(
        &mut self,
        value: &mut Option<Arc<T>>,
        after: &mut After<T>,
    ) -> Result<(), Lack> {
        self.push(value, after)?;
        self.unreserve(after);
        Ok(())
    }

    /// Gives a reserved slot back.
    pub(super) fn unreserve(&mut self, after: &mut After<T>) {
        self.reserved -= 1;
        if self.closed && self.reserved == 0 {
            after.wake_sleepers(&mut self.sleepers);
        }
        self.serve(after);
    }

    /// What became of one that waits in line. `mine` is the waker it goes by; a clone of it has to be brought along where
    /// another one waits in its place.
    pub(super) fn turn(
        &mut self,
        place: Place,
        mine: &Waker,
        waker: &mut Option<Waker>,
        after: &mut After<T>,
    ) -> Turn<T> {
        if let Some(outcome) = self.line.outcome(place) {
            return Turn::Served(outcome);
        }
        if self.line.waits_with(place, mine) {
            return Turn::Waits;
        }
        let Some(waker) = waker.take() else {
            return Turn::NeedsWaker;
        };
        after.idle = Some(self.line.rearm(place, waker));
        Turn::Waits
    }

    /// Takes one out of the line, served or not. What it got goes on to the next.
    pub(super) fn leave_line(&mut self, place: Place, after: &mut After<T>) {
        if planted("bc_cancel_stays") && self.line.has_value(place) {
            return;
        }
        if let Some((value, waker)) = self.line.leave(place) {
            after.idle = Some(waker);
            after.drop_value(value);
        } else {
            match self.line.outcome(place) {
                Some(Outcome::Reserved) if !planted("bc_cancel_keeps_slot") => {
                    self.unreserve(after)
                }
                Some(Outcome::Closed(value)) => after.drop_value(value),
                _ => {}
            }
        }
    }

    fn joining(&mut self, waker: &mut Option<Waker>) -> Result<Option<Waker>, Lack> {
        if waker.is_some() && !self.line.has_room() {
            return Err(Lack::Line(self.line.grown()));
        }
        self.publisher_waits += u64::from(waker.is_some());
        Ok(waker.take())
    }

    fn push(
        &mut self,
        value: &mut Option<Arc<T>>,
        after: &mut After<T>,
    ) -> Result<Published, Lack> {
        if !self.log.has_spare() {
            return Err(Lack::Log(self.log.grown()));
        }
        let Some(value) = value.take() else {
            return Ok(Published::Full);
        };
        let count = self.log.push(value, &mut after.trash);
        after.again |= self.log.is_untidy();
        after.wake_sleepers(&mut self.sleepers);
        Ok(Published::To(count))
    }

    fn has_room(&self) -> bool {
        self.log.claimed().saturating_add(self.reserved) < self.log.capacity()
    }

    /// Whether a value may be published now. Without a lossless subscriber nothing that is published claims a slot.
    fn may_publish(&self) -> bool {
        if self.log.lossless() > 0 {
            self.has_room()
        } else {
            self.hubs.is_none() || self.log.readers() > 0
        }
    }

    /// Serves those in line, in order, as far as there is room for them and for their wakers.
    pub(super) fn serve(&mut self, after: &mut After<T>) {
        let mut at = self.line.first();
        while let Some(place) = at {
            let has_value = self.line.has_value(place);
            let served = self.closed
                || if has_value {
                    self.may_publish()
                } else {
                    self.has_room()
                };
            if !served {
                // Only those who want a slot for later can be stuck in front of others who are not.
                if self.log.lossless() > 0 || self.line.values() == 0 || has_value {
                    break;
                }
                at = self.line.after(place);
                continue;
            }
            if !after.has_room() {
                after.again = true;
                break;
            }
            if has_value && !self.closed && !self.log.has_spare() {
                after.lack = Some(Lack::Log(self.log.grown()));
                break;
            }
            at = self.line.after(place);
            self.settle(place, after);
            if planted("bc_serves_one") {
                break;
            }
        }
    }

    fn settle(&mut self, place: Place, after: &mut After<T>) {
        let Self {
            line,
            log,
            reserved,
            closed,
            ..
        } = self;
        let mut pushed = false;
        let waker = line.settle(place, |value| match value {
            value if *closed => Outcome::Closed(value),
            Some(value) => {
                pushed = true;
                Outcome::Published(log.push(value, &mut after.trash))
            }
            None => {
                *reserved += 1;
                Outcome::Reserved
            }
        });
        if let Some(waker) = waker {
            after.wake(waker);
        }
        if pushed {
            after.again |= self.log.is_untidy();
            if !planted("bc_hand_over_silent") {
                after.wake_sleepers(&mut self.sleepers);
            }
        }
    }

    // -- subscribing --

    /// A newcomer's cursor. `held` takes what cannot stand in the log for it.
    pub(super) fn subscribe(
        &mut self,
        kind: Kind,
        held: &mut VecDeque<Arc<T>>,
        after: &mut After<T>,
    ) -> Result<Cursor<T>, Lack> {
        let position = self
            .log
            .enter(kind, self.reserved, held)
            .map_err(Lack::Held)?;
        self.audience += 1;
        if self.hubs.is_some() {
            self.serve(after);
        }
        Ok(Cursor {
            kind,
            position,
            cut: false,
            ticket: None,
            held: mem::take(held),
        })
    }

    /// Moves up to `limit` values into the subscriber's buffer; puts it to sleep where there is none and it brought a
    /// waker.
    pub(super) fn look(
        &mut self,
        cursor: &mut Cursor<T>,
        limit: usize,
        waker: &mut Option<Waker>,
        after: &mut After<T>,
    ) -> Result<Seen, Lack> {
        let Cursor {
            kind,
            position,
            held,
            ..
        } = cursor;
        let read = if cursor.cut || (planted("bc_sleep_unchecked") && waker.is_some()) {
            Read::Empty
        } else {
            self.log.read(*kind, position, limit, held)
        };
        let seen = match read {
            Read::Cramped(more) => return Err(Lack::Held(more)),
            Read::Run { freed } => {
                if freed {
                    self.serve(after);
                }
                Seen::Run
            }
            Read::Lagged(missed) => Seen::Lagged(missed),
            Read::Cut(missed) => {
                cursor.cut = !planted("bc_cut_goes_on");
                Seen::Lagged(missed)
            }
            Read::Empty if cursor.cut || self.has_ended() => Seen::Ended,
            Read::Empty => {
                if waker.is_some() {
                    if !self.sleepers.has_room() {
                        return Err(Lack::Sleepers(self.sleepers.grown()));
                    }
                    self.subscriber_waits += 1;
                }
                if let Some(waker) = waker.take() {
                    let (ticket, old) = self.sleepers.sit(cursor.ticket, waker);
                    cursor.ticket = Some(ticket);
                    after.idle = old;
                }
                return Ok(Seen::Empty);
            }
        };
        self.rise(cursor, after);
        Ok(seen)
    }

    /// Whether this subscriber sleeps already, with a waker for the same task.
    pub(super) fn sleeps_with(&self, cursor: &Cursor<T>, waker: &Waker) -> bool {
        self.sleepers.sleeps_with(cursor.ticket, waker)
    }

    /// Gives up the subscriber's seat, if it has one.
    pub(super) fn rise(&mut self, cursor: &mut Cursor<T>, after: &mut After<T>) {
        if let Some(ticket) = cursor.ticket.take() {
            after.idle = self.sleepers.rise(ticket);
        }
    }

    /// Takes a subscriber away.
    pub(super) fn unsubscribe(&mut self, cursor: &mut Cursor<T>, after: &mut After<T>) {
        self.rise(cursor, after);
        self.audience -= 1;
        if !cursor.cut {
            cursor.cut = true;
            let freed = self.log.leave(cursor.kind, cursor.position);
            self.log.trim(&mut after.trash);
            after.again |= self.log.is_untidy();
            if freed && !planted("bc_leave_silent") {
                self.serve(after);
            }
        }
        self.close_if_deserted(after);
    }

    /// Values that the subscriber can read now.
    pub(super) fn unread(&self, cursor: &Cursor<T>) -> usize {
        let unread = match cursor.kind {
            _ if cursor.cut => 0,
            Kind::Disconnect if self.log.is_lagging(cursor.position) => 0,
            _ => self.log.unread(cursor.position).min(self.log.len() as u64) as usize,
        };
        unread + cursor.held.len()
    }

    /// How many items, reports included, the subscriber will yet see: at least, and at most.
    pub(super) fn hint(&self, cursor: &Cursor<T>) -> (usize, Option<usize>) {
        let lagging = !cursor.cut && self.log.is_lagging(cursor.position);
        let now = self.unread(cursor) + usize::from(lagging);
        if cursor.cut || self.has_ended() {
            (now, Some(now))
        } else if cursor.kind == Kind::Lossless {
            (now, None)
        } else {
            // What it has not read may yet turn into one report.
            (now.min(cursor.held.len().max(1)), None)
        }
    }

    // -- coming, going, closing --

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

    fn close_if_deserted(&mut self, after: &mut After<T>) {
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
            Room::Held(more) => Room::Held(more),
        }
    }

    pub(super) fn stats(&self) -> BroadcastStats {
        let counted = self.log.counted();
        BroadcastStats {
            published: counted.published,
            sent: counted.sent,
            delivered: counted.delivered,
            missed: counted.missed,
            abandoned: counted.abandoned,
            unread: counted.unread,
            disconnected: counted.disconnected,
            len: self.log.len(),
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
            Self::Held(more) => Room::Held(more),
        }
    }
}
