//! What all handles of a connection share.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::util::Timeout;
use tokio::sync::{Notify, oneshot, watch};

use super::consumer::Member;
use super::fault;
use super::options::Options;
use super::producer::Core;
use super::testing::Mock;
use crate::broker::remote::{Engine as _, Seat};
use crate::broker::{Capabilities, Error, Topic};
use crate::sync::{AtomicBool, Mutex, lock};

/// How long to wait before an answer that did not come is asked for again.
const AGAIN: Duration = Duration::from_millis(100);
/// Longer than this librdkafka waits for nothing: it counts milliseconds in 32 bits.
const LONGEST: Duration = Duration::from_millis(2_147_483_647);

pub(super) struct Shared {
    pub(super) brokers: String,
    pub(super) options: Options,
    /// Topics are made by this cluster itself, where it is a mock.
    pub(super) mock: Option<Mock>,
    /// A client that belongs to no group, for questions.
    asking: Option<Arc<BaseConsumer<Watch>>>,
    topics: Mutex<HashMap<Topic, Known>>,
    /// What is being asked, for those who want to know the same.
    looking: Mutex<HashMap<Topic, Answer>>,
    pub(super) core: Mutex<Option<Arc<Core>>>,
    /// Those of the consumers there are.
    seats: Mutex<Vec<Weak<Seat<Member>>>>,
    closed: AtomicBool,
    /// Whoever waits for something learns of the end.
    pub(super) ending: Notify,
}

/// What is known of a topic, once that is known.
type Answer = watch::Receiver<Option<Result<Known, Error>>>;

/// What is known of a topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) partitions: u32,
    /// The largest record it takes, where it was created here.
    pub(super) max_record: Option<usize>,
}

/// What a cluster can do, or its mock.
pub(crate) const fn capabilities(real: bool) -> Capabilities {
    let mut capabilities = Capabilities::none(fault::ENGINE);
    capabilities.durable = real;
    capabilities.seek = true;
    capabilities.seek_time = real;
    capabilities.redelivers = true;
    capabilities.nack_delay = true;
    capabilities.partitions = true;
    capabilities.pauses = true;
    capabilities.lag = true;
    capabilities.retains_bytes = real;
    capabilities.retains_age = real;
    capabilities.bounds_records = true;
    capabilities
}

impl Shared {
    /// Connects, which takes as long as a broker takes to answer.
    pub(super) async fn connect(
        brokers: String,
        mut options: Options,
        mock: Option<Mock>,
    ) -> Result<Arc<Self>, Error> {
        options.check()?;
        options.request_timeout = options.request_timeout.min(LONGEST);
        if brokers.trim().is_empty() {
            return Err(fault::invalid(
                "no broker is named: give one as `host:port`",
            ));
        }
        let timeout = options.request_timeout;
        let config = options.client(&brokers);
        let address = brokers.clone();
        let asking = apart(move || {
            let asking: BaseConsumer<Watch> = config
                .create_with_context(Watch::default())
                .map_err(fault::unmade)?;
            let until = Instant::now() + timeout;
            let watch = Arc::clone(asking.context());
            let answered = retried(until, &watch, |left| {
                asking
                    .fetch_metadata(Some(PROBE), left)
                    .inspect_err(|_| hear(&asking))
            });
            match answered {
                Ok(_) => Ok(Arc::new(asking)),
                Err(_) => Err(fault::because("connecting", watch.why(&address, timeout))),
            }
        });
        let asking = asking.await?;
        Ok(Arc::new(Self {
            brokers,
            options,
            mock,
            asking: Some(asking),
            topics: Mutex::new(HashMap::new()),
            looking: Mutex::new(HashMap::new()),
            core: Mutex::new(None),
            seats: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
            ending: Notify::new(),
        }))
    }

    pub(super) fn open(&self) -> Result<(), Error> {
        if self.is_closed() {
            return Err(fault::closed());
        }
        Ok(())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Says to all that it is over. `false`: it was before.
    pub(super) fn shut(&self) -> bool {
        let first = !self.closed.swap(true, Ordering::AcqRel);
        self.ending.notify_waiters();
        first
    }

    pub(super) const fn capabilities(&self) -> Capabilities {
        capabilities(self.mock.is_none())
    }

    /// There is another consumer. Where the connection is closed, so is the consumer.
    pub(super) fn seated(&self, seat: &Arc<Seat<Member>>) {
        let mut seats = lock(&self.seats);
        seats.retain(|seat| seat.strong_count() > 0);
        seats.push(Arc::downgrade(seat));
        drop(seats);
        if self.is_closed() {
            seat.shut();
        }
    }

    /// Waits for what is on its way, and for consumers to leave.
    pub(super) async fn close(&self) -> Result<(), Error> {
        self.shut();
        // Another call, where this one is given up, waits for the same.
        let seats: Vec<_> = lock(&self.seats).iter().filter_map(Weak::upgrade).collect();
        for seat in &seats {
            seat.shut();
        }
        let mut left = Ok(());
        for seat in seats {
            left = left.and(seat.engine().leave().await);
        }
        let core = lock(&self.core).clone();
        if let Some(core) = core {
            // What does not arrive within the request timeout has failed by then.
            while core.on_the_way() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let core = lock(&self.core).take();
        drop(core);
        left
    }

    /// What is known of a topic without asking.
    pub(super) fn known(&self, topic: &str) -> Option<Known> {
        lock(&self.topics).get(topic).copied()
    }

    /// Keeps how large the records of a topic may be, which is for whoever created it to say.
    pub(super) fn remember(&self, topic: &Topic, partitions: u32, max_record: Option<usize>) {
        let mut topics = lock(&self.topics);
        let known = topics.entry(topic.clone()).or_insert(Known {
            partitions,
            max_record: None,
        });
        known.partitions = partitions;
        known.max_record = max_record.or(known.max_record);
    }

    pub(super) fn forget(&self, topic: &str) {
        lock(&self.topics).remove(topic);
    }

    /// What is known of a topic; the cluster is asked where nothing is.
    pub(super) async fn find(&self, topic: &Topic) -> Result<Known, Error> {
        self.open()?;
        match self.known(topic) {
            Some(known) => Ok(known),
            None => self.look_up_together(topic).await,
        }
    }

    /// Asks the cluster about a topic, or waits for the answer to somebody who does: a question takes a thread.
    pub(super) async fn look_up_together(&self, topic: &Topic) -> Result<Known, Error> {
        let mut asked_before = true;
        loop {
            let (tell, mut told) = {
                let mut looking = lock(&self.looking);
                match looking.get(topic).filter(|it| it.has_changed().is_ok()) {
                    Some(told) => (None, told.clone()),
                    None => {
                        let (tell, told) = watch::channel(None);
                        looking.insert(topic.clone(), told.clone());
                        (Some(tell), told)
                    }
                }
            };
            if let Some(tell) = tell {
                let found = self.look_up(topic).await;
                lock(&self.looking).remove(topic);
                tell.send_replace(Some(found.clone()));
                return found;
            }
            let found = told.wait_for(Option::is_some).await;
            let found = found.ok().and_then(|found| found.clone());
            match found {
                // It may have been asked before the topic was created.
                Some(Err(Error::UnknownTopic { .. })) if asked_before => asked_before = false,
                Some(found) => return found,
                // Whoever asked does not want to know any more.
                None => {}
            }
        }
    }

    /// Asks the cluster about a topic.
    pub(super) async fn look_up(&self, topic: &Topic) -> Result<Known, Error> {
        super::topics::check_name(topic)?;
        let name = topic.clone();
        let found = self.ask("asking for a topic", move |client, left| {
            let metadata = client.fetch_metadata(Some(&name), left)?;
            let found = metadata
                .topics()
                .iter()
                .find(|topic| *topic.name() == *name);
            let Some(found) = found else {
                return Ok(None);
            };
            match found.error().map(RDKafkaErrorCode::from) {
                None => Ok(Some(found.partitions().len())),
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                ) => Ok(None),
                Some(code) => Err(KafkaError::MetadataFetch(code)),
            }
        });
        match found.await? {
            Some(partitions) if partitions > 0 => {
                let partitions = u32::try_from(partitions).unwrap_or(u32::MAX);
                self.remember(topic, partitions, None);
                Ok(self.known(topic).unwrap_or(Known {
                    partitions,
                    max_record: None,
                }))
            }
            _ => {
                self.forget(topic);
                Err(Error::UnknownTopic {
                    topic: topic.clone(),
                    record: None,
                })
            }
        }
    }

    /// Asks the cluster, again and again until it answers or the request timeout is over.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        action: &'static str,
        question: impl Fn(&BaseConsumer<Watch>, Timeout) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        let Some(asking) = self.asking.clone() else {
            return Err(fault::closed());
        };
        let timeout = self.options.request_timeout;
        apart(move || {
            let until = Instant::now() + timeout;
            let watch = Arc::clone(asking.context());
            let ask = |left| question(&asking, left).inspect_err(|_| hear(&asking));
            retried(until, &watch, ask).map_err(|error| fault::engine(action, error))
        })
        .await
    }
}

impl Drop for Shared {
    /// Letting go of a client takes time, which is not this thread's.
    fn drop(&mut self) {
        self.shut();
        if let Some(asking) = self.asking.take() {
            let worker = thread::Builder::new().name("pushpull-kafka".into());
            // Without a thread it is dropped here after all.
            drop(worker.spawn(move || drop(asking)));
        }
    }
}

/// No topic has this name: asking for it moves the least.
const PROBE: &str = "pushpull.probe";

/// Lets a client say why there was no answer, which it does when it is polled and not before.
fn hear(asking: &BaseConsumer<Watch>) {
    // There is nothing to read.
    drop(asking.poll(Duration::from_millis(5)));
}

/// Does it again while the cluster does not answer.
fn retried<T>(
    until: Instant,
    watch: &Watch,
    question: impl Fn(Timeout) -> KafkaResult<T>,
) -> KafkaResult<T> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let answer = question(Timeout::After(left.max(AGAIN).min(Duration::from_secs(10))));
        let Err(error) = answer else {
            watch.forget();
            return answer;
        };
        let passes = error.rdkafka_error_code().is_some_and(passes);
        if !passes || watch.is_refused() || Instant::now() + AGAIN >= until {
            return Err(error);
        }
        thread::sleep(AGAIN);
    }
}

/// Whether the cluster may answer another time.
pub(super) const fn passes(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::Resolve
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::WaitingForCoordinator
    )
}

/// Does what would block a runtime's thread on one of its own.
pub(super) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (tell, told) = oneshot::channel();
    let worker = thread::Builder::new().name("pushpull-kafka".into());
    let spawned = worker.spawn(move || {
        // Nobody listens any more where the future was dropped.
        drop(tell.send(work()));
    });
    spawned.map_err(|error| fault::engine("starting a thread", error))?;
    told.await
        .unwrap_or_else(|_| Err(fault::because("working apart", "the thread has panicked")))
}

/// Remembers what the client said last about its connections.
#[derive(Default)]
pub(super) struct Watch {
    last: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Watch {
    /// The cluster has answered: what was wrong before is no longer why something else does not work.
    fn forget(&self) {
        let last = lock(&self.last).take();
        drop(last);
    }

    fn is_refused(&self) -> bool {
        lock(&self.last)
            .as_ref()
            .is_some_and(|(code, _)| fault::is_refusal(*code))
    }

    fn why(&self, brokers: &str, timeout: Duration) -> String {
        match &*lock(&self.last) {
            Some((code, reason)) if fault::is_refusal(*code) => {
                format!("`{brokers}` refused: {reason}")
            }
            Some((_, reason)) => {
                format!("no broker of `{brokers}` answered within {timeout:?}: {reason}")
            }
            None => format!(
                "no broker of `{brokers}` answered within {timeout:?}; is one there, is the list of the form `host:port,host:port`, \
                 and is `security.protocol` theirs?"
            ),
        }
    }
}

impl ClientContext for Watch {
    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else {
            return;
        };
        let mut last = lock(&self.last);
        // That all are down says less than why they are.
        if code != RDKafkaErrorCode::AllBrokersDown || last.is_none() {
            *last = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Watch {}

#[cfg(test)]
mod tests {
    use rdkafka::client::ClientContext;
    use rdkafka::error::KafkaError;

    use super::{Duration, Instant, RDKafkaErrorCode, Watch, retried};

    #[test]
    fn a_refusal_is_forgotten_with_the_next_answer() {
        let watch = Watch::default();
        let down = KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure);
        let refused = KafkaError::Global(RDKafkaErrorCode::Authentication);
        let until = Instant::now() + Duration::from_secs(60);
        let ask_twice = |watch: &Watch| {
            let asked = std::cell::Cell::new(0);
            let answer = retried(until, watch, |_| {
                asked.set(asked.get() + 1);
                if asked.get() > 1 {
                    Ok(())
                } else {
                    Err(down.clone())
                }
            });
            (answer.is_ok(), asked.get())
        };
        watch.error(refused, "wrong password");
        assert_eq!(ask_twice(&watch), (false, 1));
        retried(until, &watch, |_| Ok(())).unwrap();
        assert_eq!(ask_twice(&watch), (true, 2));
    }
}
