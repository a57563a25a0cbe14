//! Where the parts of the broker meet: groups and partitions, memory and disk, the broker and the code that wakes.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use pushpull::broker::{
    Broker, Consumer, ConsumerConfig, Event, Producer, Record, Start, TopicConfig, WhenFull,
};

/// Runs a closure where it is woken, in whoever's call that is.
struct Inline<F>(F, AtomicUsize);

impl<F: Fn() + Send + Sync + 'static> Inline<F> {
    fn new(act: F) -> (Arc<Self>, Waker) {
        let inline = Arc::new(Self(act, AtomicUsize::new(0)));
        (Arc::clone(&inline), Waker::from(inline))
    }

    fn woken(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl<F: Fn() + Send + Sync + 'static> Wake for Inline<F> {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::Relaxed);
        (self.0)();
    }
}

/// Runs a test on a thread of its own: one that is stuck fails.
fn within_a_minute<Fut: Future<Output = ()>>(test: impl FnOnce() -> Fut + Send + 'static) {
    let (done, ended) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test());
        done.send(()).unwrap();
    });
    if ended.recv_timeout(Duration::from_secs(60))
        == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
    {
        panic!("it is stuck");
    }
    thread.join().unwrap();
}

fn only(records: u64) -> TopicConfig {
    TopicConfig::partitions(1).retain_records(records)
}

// guarantee: Q6
#[test]
fn a_waiting_push_is_woken_outside_of_the_group() {
    within_a_minute(|| async {
        let broker = Broker::in_memory();
        let config = only(1).when_full(WhenFull::Wait);
        broker.create_topic("t", config).await.unwrap();
        let producer = broker.producer();
        producer.push(Record::new("t", "a")).await.unwrap();
        let consumer = Arc::new(broker.consumer(ConsumerConfig::group("g")));
        consumer.subscribe(["t"]).await.unwrap();
        let taken = consumer.poll(1, Duration::ZERO).await.unwrap();

        let look = Arc::clone(&consumer);
        let (inline, waker) = Inline::new(move || {
            assert_eq!(look.assignment().len(), 1);
        });
        let mut push = Box::pin(producer.push(Record::new("t", "b")));
        let mut cx = Context::from_waker(&waker);
        assert!(push.as_mut().poll(&mut cx).is_pending());
        consumer.ack(&taken[0]).await.unwrap();
        assert_eq!(inline.woken(), 1);
        push.await.unwrap();
    });
}

// guarantee: K8
#[tokio::test(start_paused = true)]
async fn a_push_that_waits_gets_the_room_that_age_makes() {
    let broker = Broker::in_memory();
    let config = only(1)
        .retain_for(Duration::from_secs(10))
        .when_full(WhenFull::Wait);
    broker.create_topic("t", config).await.unwrap();
    let producer = broker.producer();
    producer.push(Record::new("t", "a")).await.unwrap();
    let began = tokio::time::Instant::now();
    let second = producer.push(Record::new("t", "b"));
    let second = tokio::time::timeout(Duration::from_secs(60), second).await;
    second
        .expect("there is room once the first is old")
        .unwrap();
    assert!(began.elapsed() >= Duration::from_secs(10));
    assert!(began.elapsed() < Duration::from_secs(11));
}

async fn until_event(consumer: &impl Consumer, wanted: impl Fn(&Event) -> bool) -> bool {
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        while let Some(event) = consumer.events().try_next() {
            if wanted(&event) {
                return true;
            }
        }
    }
    false
}

// guarantee: K1
#[tokio::test(start_paused = true)]
async fn what_retention_took_before_it_could_be_dead_lettered_is_lost_and_said_to_be() {
    let broker = Broker::in_memory();
    broker.create_topic("t", only(1)).await.unwrap();
    let producer = broker.producer();
    producer.push(Record::new("t", "a")).await.unwrap();
    let config = ConsumerConfig::group("g")
        .max_attempts(1)
        .dead_letter("dead");
    let consumer = broker.consumer(config);
    consumer.subscribe(["t"]).await.unwrap();
    let taken = consumer.poll(1, Duration::ZERO).await.unwrap();
    producer.push(Record::new("t", "b")).await.unwrap();
    consumer.nack(&taken[0], None).await.unwrap();

    let dead_lettered = until_event(&consumer, |event| {
        matches!(event, Event::DeadLettered { .. })
    })
    .await;
    assert!(!dead_lettered, "it is in no topic");
    assert_eq!(consumer.poll(1, Duration::ZERO).await.unwrap().len(), 1);
    let lost = |event: &Event| {
        matches!(
            event,
            Event::Lost {
                from: 0,
                missed: 1,
                ..
            }
        )
    };
    assert!(until_event(&consumer, lost).await, "nobody was told");
}

// guarantee: K6
#[tokio::test(start_paused = true)]
async fn the_largest_record_fits_into_its_dead_letter_topic() {
    let broker = Broker::in_memory();
    broker
        .create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    let size = Record::new("t", "").size();
    let largest = vec![7_u8; 1024 * 1024 - size];
    broker
        .producer()
        .push(Record::new("t", largest))
        .await
        .unwrap();
    let config = ConsumerConfig::group("g")
        .max_attempts(1)
        .dead_letter("dead");
    let consumer = broker.consumer(config);
    consumer.subscribe(["t"]).await.unwrap();
    let taken = consumer.poll(1, Duration::ZERO).await.unwrap();
    consumer.nack(&taken[0], None).await.unwrap();
    let dead_lettered = until_event(&consumer, |event| {
        matches!(event, Event::DeadLettered { .. })
    })
    .await;
    assert!(dead_lettered);
}

#[cfg(feature = "durable")]
mod durable {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use bytes::Bytes;
    use pushpull::broker::{Error, SyncPolicy};

    use super::super::dir::Dir;
    use super::*;

    async fn open(dir: &Dir) -> Broker {
        Broker::open(dir.path(), SyncPolicy::Os).await.unwrap()
    }

    // guarantee: K8
    #[tokio::test]
    async fn bytes_of_a_run_that_is_half_in_memory_are_counted_once() {
        let dir = Dir::new("half-a-run");
        let broker = open(&dir).await;
        broker.create_topic("t", only(100)).await.unwrap();
        let producer = broker.producer();
        let sizes = [(50, 10), (50, 40_000)];
        let mut run: VecDeque<_> = sizes
            .iter()
            .flat_map(|&(count, size)| (0..count).map(move |_| Record::new("t", vec![0_u8; size])))
            .collect();
        producer.push_many(&mut run).await.unwrap();
        for _ in 0..100 {
            producer.push(Record::new("t", "x")).await.unwrap();
        }
        let expected = 100 * Record::new("t", "x").size() as u64;
        assert_eq!(broker.stats().topics[0].bytes, expected);
        broker.close().await.unwrap();
    }

    // guarantee: K1
    #[tokio::test]
    async fn what_is_answered_after_closing_is_refused() {
        let dir = Dir::new("answered-late");
        let broker = open(&dir).await;
        broker.create_topic("t", only(100)).await.unwrap();
        broker.producer().push(Record::new("t", "x")).await.unwrap();
        let consumer = broker.consumer(ConsumerConfig::group("g"));
        consumer.subscribe(["t"]).await.unwrap();
        let taken = consumer.poll(1, Duration::ZERO).await.unwrap();
        broker.close().await.unwrap();
        // It cannot be stored any more, and comes again.
        let answers = [
            consumer.ack(&taken[0]).await,
            consumer.nack(&taken[0], None).await,
            consumer.commit_to(&taken[0].position).await,
        ];
        for answer in answers {
            assert!(matches!(answer, Err(Error::Closed { .. })), "{answer:?}");
        }
    }

    struct Owner(Vec<u8>, Broker);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl Drop for Owner {
        fn drop(&mut self) {
            let producer = self.1.producer();
            let mut push = Box::pin(producer.push(Record::new("t", "last will")));
            let mut cx = Context::from_waker(Waker::noop());
            let _on_its_way = push.as_mut().poll(&mut cx);
        }
    }

    // guarantee: Q6
    #[test]
    fn a_record_that_goes_may_push_as_it_is_dropped() {
        within_a_minute(|| async {
            let dir = Dir::new("last-will");
            let broker = open(&dir).await;
            broker.create_topic("t", only(2)).await.unwrap();
            let producer = broker.producer();
            let value = Bytes::from_owner(Owner(vec![1], broker.clone()));
            producer.push(Record::new("t", value)).await.unwrap();
            for _ in 0..3 {
                producer.push(Record::new("t", "x")).await.unwrap();
            }
            producer.sync().await.unwrap();
            assert_eq!(broker.stats().topics[0].pushed, 5);
            broker.close().await.unwrap();
        });
    }

    // guarantee: T5
    #[tokio::test]
    async fn a_topic_whose_creation_was_dropped_is_in_nobodys_way() {
        let dir = Dir::new("dropped-topic");
        let broker = open(&dir).await;
        {
            let mut create = Box::pin(broker.create_topic("a", TopicConfig::partitions(2)));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(create.as_mut().poll(&mut cx).is_pending());
        }
        let created = broker.create_topic("b", TopicConfig::partitions(3)).await;
        assert!(created.is_ok(), "{created:?}");
        broker.close().await.unwrap();
        let before = broker.topics();
        let broker = open(&dir).await;
        assert_eq!(broker.topics(), before);
        broker.close().await.unwrap();
    }

    // guarantee: K5
    #[test]
    fn a_commit_that_is_overtaken_takes_nothing_back() {
        within_a_minute(|| async {
            let dir = Dir::new("overtaken");
            let broker = open(&dir).await;
            broker
                .create_topic("t", TopicConfig::partitions(1))
                .await
                .unwrap();
            for value in ["a", "b", "c"] {
                broker
                    .producer()
                    .push(Record::new("t", value))
                    .await
                    .unwrap();
            }
            let config = ConsumerConfig::group("g").max_in_flight(2);
            let consumer = Arc::new(broker.consumer(config));
            consumer.subscribe(["t"]).await.unwrap();
            let taken = consumer.poll(2, Duration::ZERO).await.unwrap();
            // The poll that waits is woken by the first commit, and makes the second in its midst.
            let (acker, second) = (consumer.acker(), taken[1].position.clone());
            let settled = Arc::new(Mutex::new(None));
            let keep = Arc::clone(&settled);
            let (inline, waker) = Inline::new(move || {
                *keep.lock().unwrap() = Some(acker.commit_to(&second));
            });
            let mut poll = Box::pin(consumer.poll(1, Duration::from_secs(60)));
            let mut cx = Context::from_waker(&waker);
            assert!(poll.as_mut().poll(&mut cx).is_pending());
            consumer
                .acker()
                .commit_to(&taken[0].position)
                .await
                .unwrap();
            assert_eq!(inline.woken(), 1);
            let settled = settled.lock().unwrap().take().unwrap();
            settled.await.unwrap();
            drop(poll);
            assert_eq!(consumer.committed("t", 0).await.unwrap(), Some(2));
            drop(consumer);
            broker.close().await.unwrap();

            let broker = open(&dir).await;
            let consumer = broker.consumer(ConsumerConfig::group("g"));
            consumer.subscribe(["t"]).await.unwrap();
            assert_eq!(consumer.committed("t", 0).await.unwrap(), Some(2));
            broker.close().await.unwrap();
        });
    }

    // guarantee: K8
    #[tokio::test]
    async fn a_bound_in_age_that_comes_later_holds_for_what_a_restart_found() {
        let dir = Dir::new("later-age");
        let broker = open(&dir).await;
        broker
            .create_topic("t", TopicConfig::partitions(1))
            .await
            .unwrap();
        broker
            .producer()
            .push(Record::new("t", "old"))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        broker
            .producer()
            .push(Record::new("t", "new"))
            .await
            .unwrap();
        broker.close().await.unwrap();

        let broker = open(&dir).await;
        let config = TopicConfig::partitions(1).retain_for(Duration::from_secs(1));
        broker.create_topic("t", config).await.unwrap();
        let consumer = broker.consumer(ConsumerConfig::group("g"));
        consumer.subscribe(["t"]).await.unwrap();
        let taken = consumer.poll(10, Duration::ZERO).await.unwrap();
        let values: Vec<_> = taken.iter().map(|it| it.record.value.clone()).collect();
        assert_eq!(values, ["new"]);
        broker.close().await.unwrap();
    }
}

// guarantee: K4
#[tokio::test(start_paused = true)]
async fn a_commit_after_a_seek_commits_the_place() {
    let broker = Broker::in_memory();
    let config = only(2).when_full(WhenFull::Wait);
    broker.create_topic("t", config).await.unwrap();
    let producer = broker.producer();
    for value in ["a", "b"] {
        producer.push(Record::new("t", value)).await.unwrap();
    }
    let consumer = broker.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    consumer.seek("t", 0, Start::Latest).await.unwrap();
    consumer.commit().await.unwrap();
    assert_eq!(consumer.committed("t", 0).await.unwrap(), Some(2));
    // Nothing is left to acknowledge: the producer must not wait for it.
    let pushed = producer.push(Record::new("t", "c"));
    let pushed = tokio::time::timeout(Duration::from_secs(1), pushed).await;
    pushed.expect("there is room").unwrap();

    consumer.seek("t", 0, Start::Earliest).await.unwrap();
    consumer.commit().await.unwrap();
    assert_eq!(consumer.committed("t", 0).await.unwrap(), Some(1));
}

// guarantee: K4
#[tokio::test(start_paused = true)]
async fn a_seek_without_a_commit_goes_with_its_owner() {
    let broker = Broker::in_memory();
    broker.create_topic("t", only(100)).await.unwrap();
    let producer = broker.producer();
    for value in ["a", "b", "c", "d"] {
        producer.push(Record::new("t", value)).await.unwrap();
    }
    let group = || ConsumerConfig::group("g");
    let first = broker.consumer(group());
    first.subscribe(["t"]).await.unwrap();
    first.seek("t", 0, Start::Latest).await.unwrap();
    drop(first);

    // Nothing was committed, so nothing may be left out.
    let second = broker.consumer(group());
    second.subscribe(["t"]).await.unwrap();
    let taken = second.poll(2, Duration::ZERO).await.unwrap();
    assert_eq!(taken[0].position.offset, 0);
    second.commit().await.unwrap();
    second.seek("t", 0, Start::Earliest).await.unwrap();
    second.seek("t", 0, Start::Offset(3)).await.unwrap();
    assert_eq!(second.poll(9, Duration::ZERO).await.unwrap().len(), 1);
    drop(second);

    let third = broker.consumer(group());
    third.subscribe(["t"]).await.unwrap();
    let taken = third.poll(9, Duration::ZERO).await.unwrap();
    assert_eq!(taken[0].position.offset, 2);
    third.seek("t", 0, Start::Earliest).await.unwrap();
    let taken = third.poll(1, Duration::ZERO).await.unwrap();
    third.ack(&taken[0]).await.unwrap();
    drop(third);

    // What was acknowledged after the seek counts for all.
    let fourth = broker.consumer(group());
    fourth.subscribe(["t"]).await.unwrap();
    assert_eq!(fourth.committed("t", 0).await.unwrap(), Some(1));
    assert_eq!(fourth.position("t", 0).unwrap(), 1);
}
