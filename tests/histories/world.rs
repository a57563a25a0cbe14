//! What the processes of a workload share: the engine, the plan, and the recorder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pushpull::broker::{Consumer, ConsumerConfig, Error, Producer};

use super::dice::Dice;
use super::history::{Outcome, Terms};
use super::recorder::Recorder;

/// A broker, wherever it runs.
pub(crate) trait Engine: Send + Sync + 'static {
    type Producer: Producer + Send + Sync + Unpin + 'static;
    type Consumer: Consumer + Send + Sync + Unpin + 'static;

    fn create(
        &self,
        topic: &str,
        partitions: u32,
    ) -> impl Future<Output = Result<(), Error>> + Send;
    fn producer(&self) -> Self::Producer;
    fn consumer(&self, config: ConsumerConfig) -> Self::Consumer;
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) operations: u64,
    pub(crate) ack_wait: Duration,
    pub(crate) session: Duration,
    pub(crate) producers: u64,
    /// Names and partitions.
    pub(crate) topics: Vec<(&'static str, u32)>,
    pub(crate) groups: Vec<Group>,
    /// How long a drain waits for something more to come before it gives up.
    pub(crate) patience: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) members: u64,
    pub(crate) ordered: bool,
    /// Its members seek.
    pub(crate) seeks: bool,
}

impl Plan {
    /// `PUSHPULL_SEED` and `PUSHPULL_OPERATIONS`, or what is given here.
    pub(crate) fn new(operations: u64) -> Self {
        let group = |name, members, ordered, seeks| Group {
            name,
            members,
            ordered,
            seeks,
        };
        Self {
            seed: number("PUSHPULL_SEED").unwrap_or_else(seed),
            operations: number("PUSHPULL_OPERATIONS").unwrap_or(operations),
            ack_wait: Duration::from_millis(300),
            session: Duration::from_millis(600),
            producers: 3,
            topics: vec![("orders", 4), ("letters", 2)],
            groups: vec![
                group("plain", 3, false, false),
                group("ordered", 2, true, false),
                group("seekers", 2, false, true),
                // Only drained at the end.
                group("auditors", 0, false, false),
            ],
            patience: Duration::from_secs(20),
        }
    }

    pub(crate) fn terms(&self, group: usize) -> Terms {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap();
        Terms {
            ordered: self.groups[group].ordered,
            ack_wait: micros(self.ack_wait),
            session: micros(self.session),
        }
    }

    pub(crate) fn config(&self, group: usize) -> ConsumerConfig {
        let group = &self.groups[group];
        ConsumerConfig::group(group.name)
            .ack_wait(self.ack_wait)
            .session_timeout(self.session)
            .max_in_flight(128)
            .ordered(group.ordered)
    }
}

pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    )
}

/// One that no other run had.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_nanos() as u64 % 1_000_000_007
}

pub(crate) struct World<E> {
    pub(crate) engine: E,
    pub(crate) plan: Plan,
    pub(crate) recorder: Arc<Recorder>,
    /// Which round of the plan this is, where there are several.
    pub(crate) round: u64,
    /// After so many operations in all this round is over.
    pub(crate) until: u64,
    /// The end comes from outside: processes work on until they are stopped.
    interrupted: bool,
    stopped: AtomicBool,
    /// Notified when there were operations enough.
    pub(crate) over: tokio::sync::Notify,
}

impl<E: Engine> World<E> {
    /// A round that ends when there were operations enough.
    pub(crate) fn new(
        engine: E,
        plan: &Plan,
        recorder: &Arc<Recorder>,
        round: u64,
        until: u64,
    ) -> Arc<Self> {
        Arc::new(Self::over(engine, plan, recorder, round, until))
    }

    /// One that somebody else ends then.
    pub(crate) fn interrupted(
        engine: E,
        plan: &Plan,
        recorder: &Arc<Recorder>,
        round: u64,
        until: u64,
    ) -> Arc<Self> {
        let world = Self::over(engine, plan, recorder, round, until);
        Arc::new(Self {
            interrupted: true,
            ..world
        })
    }

    fn over(engine: E, plan: &Plan, recorder: &Arc<Recorder>, round: u64, until: u64) -> Self {
        Self {
            engine,
            plan: plan.clone(),
            recorder: Arc::clone(recorder),
            round,
            until,
            interrupted: false,
            stopped: AtomicBool::new(false),
            over: tokio::sync::Notify::new(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        if self.recorder.operations() >= self.until {
            self.over.notify_one();
            if !self.interrupted {
                self.stop();
            }
        }
        self.stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Producers keep to a quarter of all operations, so that readers keep up.
    pub(crate) fn may_push(&self) -> bool {
        self.recorder.pushes() * 5 < self.recorder.operations() + 500
    }

    pub(crate) fn dice(&self, slot: u64) -> Dice {
        Dice::new(
            self.plan
                .seed
                .wrapping_add(self.round.wrapping_mul(1 << 32)),
            slot,
        )
    }

    pub(crate) async fn create_topics(&self) {
        for (topic, partitions) in &self.plan.topics {
            self.engine.create(topic, *partitions).await.unwrap();
        }
    }

    pub(crate) fn topic(&self, name: &str) -> u32 {
        let index = self
            .plan
            .topics
            .iter()
            .position(|(known, _)| *known == name);
        u32::try_from(index.expect("the topic is in the plan")).unwrap()
    }
}

/// What an error says about whether something happened.
pub(crate) fn outcome(error: &Error) -> Outcome {
    match error {
        Error::Fenced { .. } => Outcome::Fenced,
        Error::UnknownTopic { .. }
        | Error::UnknownPartition { .. }
        | Error::InvalidTopic { .. }
        | Error::TooLarge { .. }
        | Error::Full { .. }
        | Error::NotAssigned { .. }
        | Error::NotSubscribed { .. }
        | Error::OffsetOutOfRange { .. }
        | Error::NotDelivered { .. }
        | Error::Unsupported { .. } => Outcome::Refused(error.to_string()),
        _ => Outcome::Unknown(error.to_string()),
    }
}
