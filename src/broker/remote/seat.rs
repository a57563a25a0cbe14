//! A consumer's seat: what its handles and the engine's task share.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::broker::group::{Group, MemberId, Terms};
use crate::broker::{ConsumerConfig, Error, Event, Events, Topic};
use crate::queue;
use crate::sync::{AtomicBool, Mutex, lock};

use super::after::After;
use super::window::Window;
use super::{Engine, Place, Standing};

pub(crate) struct Seat<E: Engine> {
    pub(super) this: Weak<Self>,
    pub(super) engine: Arc<E>,
    pub(super) config: ConsumerConfig,
    pub(super) member: MemberId,
    pub(super) state: Mutex<State<E::Ticket>>,
    /// Told when there may be something to take, or something to be told of.
    pub(super) signal: Notify,
    feed: queue::Producer<Event>,
    events: Events,
    /// One change of the subscription at a time.
    pub(super) changing: tokio::sync::Mutex<()>,
    left: AtomicBool,
}

pub(super) struct State<T> {
    pub(super) group: Group,
    /// By the seat's own numbers.
    pub(super) topics: Vec<Topic>,
    numbers: BTreeMap<Topic, u32>,
    /// With the number of partitions.
    pub(super) subscription: BTreeMap<Topic, u32>,
    /// Of the partitions that were granted and not yet revoked by the engine.
    pub(super) windows: BTreeMap<Place, Window<T>>,
    /// Retired, and something was in hand when that was looked at last.
    pub(super) retired: Vec<Place>,
    /// What the engine takes as its answers: epochs, offsets and tickets.
    pub(super) done: Vec<(Place, u64, u64, T)>,
    pub(super) moved: Vec<Place>,
    /// The engine knows that there are answers.
    pub(super) nudged: bool,
    /// A session ended, and the engine has not revoked yet what was lost by it: it must not miss that.
    pub(super) expired: bool,
    /// What the engine was told last of the member's session.
    pub(super) present: bool,
    /// What was granted is this consumer's until then, if the engine has said so.
    pub(super) trusted_until: Option<Instant>,
    pub(super) failed: Option<Error>,
    /// Where tasks are spawned, also for the engine's thread.
    pub(super) runtime: Option<Handle>,
    pub(super) watch: Option<AbortHandle>,
    /// The memory of a look.
    pub(super) touched: Vec<Place>,
}

impl<E: Engine> Seat<E> {
    pub(crate) fn new(engine: Arc<E>, config: ConsumerConfig) -> Arc<Self> {
        let (feed, events) = Events::channel();
        let mut group = Group::new();
        let terms = Terms {
            ack_wait: config.ack_wait,
            max_attempts: config.max_attempts,
            session_timeout: config.session_timeout,
            max_in_flight: config.max_in_flight,
            ordered: config.ordered,
        };
        let member = group.join(terms, Instant::now());
        let state = State {
            group,
            topics: Vec::new(),
            numbers: BTreeMap::new(),
            subscription: BTreeMap::new(),
            windows: BTreeMap::new(),
            retired: Vec::new(),
            done: Vec::new(),
            moved: Vec::new(),
            nudged: false,
            expired: false,
            present: true,
            failed: None,
            runtime: None,
            watch: None,
            trusted_until: None,
            touched: Vec::new(),
        };
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            engine,
            config,
            member,
            state: Mutex::new(state),
            signal: Notify::new(),
            feed,
            events,
            changing: tokio::sync::Mutex::new(()),
            left: AtomicBool::new(false),
        })
    }

    pub(crate) fn engine(&self) -> &Arc<E> {
        &self.engine
    }

    pub(crate) fn config(&self) -> &ConsumerConfig {
        &self.config
    }

    pub(crate) fn events(&self) -> Events {
        self.events.clone()
    }

    /// Where others may report what befalls this consumer.
    #[cfg(feature = "nats")]
    pub(crate) fn feed(&self) -> queue::WeakProducer<Event> {
        self.feed.downgrade()
    }

    /// Reports something. Never waits: the oldest event makes room.
    pub(crate) fn report(&self, event: Event) {
        // Refused only where the consumer, and with it whoever could read this, is gone.
        let _closed = self.feed.try_push(event);
    }

    pub(crate) fn standing(&self) -> Standing {
        if self.has_left() {
            Standing::Left
        } else if self.is_present(&lock(&self.state)) {
            Standing::Present
        } else {
            Standing::Silent
        }
    }

    pub(super) fn is_present(&self, state: &State<E::Ticket>) -> bool {
        !state.expired && state.group.is_live(self.member)
    }

    /// From this moment on, what was granted is no longer this consumer's, unless the engine says something else before. A
    /// program that stood still finds out by itself, before its engine's task has had a chance to say so. `None`: no such moment.
    #[cfg(feature = "nats")]
    pub(crate) fn trust(&self, until: Option<Instant>) {
        lock(&self.state).trusted_until = until;
    }

    pub(crate) fn has_left(&self) -> bool {
        self.left.load(std::sync::atomic::Ordering::Acquire)
    }

    /// The stream has nothing more to say.
    pub(crate) fn is_over(&self) -> bool {
        self.has_left() || lock(&self.state).failed.is_some()
    }

    /// Nothing works any more: every call answers this error, and the stream ends with it. The first one counts.
    pub(crate) fn fail(&self, error: Error) {
        lock(&self.state).failed.get_or_insert(error);
        self.signal.notify_waiters();
        self.engine.nudge();
    }

    /// The engine's handle was closed: every call answers [`Error::Closed`], and the standing is [`Standing::Left`].
    pub(crate) fn shut(&self) {
        self.leave();
    }

    /// Leaves the group for good.
    pub(crate) fn leave(&self) {
        if self.left.swap(true, std::sync::atomic::Ordering::AcqRel) {
            return;
        }
        let watch = self.step(|state, _| {
            state.group.leave(self.member, Instant::now());
            state.watch.take()
        });
        if let Some(watch) = watch {
            watch.abort();
        }
        self.signal.notify_waiters();
        self.engine.nudge();
    }

    pub(super) fn open(&self) -> Result<(), Error> {
        if self.has_left() {
            return Err(Error::Closed { record: None });
        }
        match &lock(&self.state).failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Takes a step under the lock, and then does what follows from it.
    pub(super) fn step<R>(
        &self,
        step: impl FnOnce(&mut State<E::Ticket>, &mut After<E::Ticket>) -> R,
    ) -> R {
        let mut after = After::new();
        let mut state = lock(&self.state);
        let result = step(&mut state, &mut after);
        self.follow(&mut state, &mut after);
        drop(state);
        self.run(&mut after);
        result
    }
}

impl<T> State<T> {
    /// Gives up what is no longer this consumer's.
    pub(super) fn lapse(&mut self, now: Instant) {
        if self.trusted_until.is_some_and(|until| until <= now) {
            self.trusted_until = None;
            for &place in self.windows.keys() {
                self.group.revoke(place);
            }
        }
    }

    /// The seat's number for a topic, the same for as long as the seat exists.
    pub(super) fn number(&mut self, topic: &Topic) -> u32 {
        if let Some(&number) = self.numbers.get(topic) {
            return number;
        }
        let number = self.topics.len() as u32;
        let topic = topic.fixed();
        self.topics.push(topic.clone());
        self.numbers.insert(topic, number);
        number
    }

    pub(super) fn known(&self, topic: &str, partition: u32) -> Option<Place> {
        let topic = *self.numbers.get(topic)?;
        Some(Place { topic, partition })
    }
}
