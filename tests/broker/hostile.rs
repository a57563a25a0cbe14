//! Records whose memory has an owner with a will of its own, and wakers that use the broker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use pushpull::broker::{Broker, Consumer, ConsumerConfig, Producer, Record, TopicConfig};

/// Uses the broker when it is dropped.
struct Owner {
    broker: Broker,
    dropped: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        b"owned"
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        // Any lock that is still held would never be let go.
        let _stats = self.broker.stats();
        let mut push = tokio_test::task::spawn(async {
            let record = Record::new("other", "from a destructor");
            self.broker.producer().push(record).await
        });
        assert!(push.poll().is_ready());
    }
}

// guarantee: T7
#[tokio::test(start_paused = true)]
async fn a_record_that_uses_the_broker_when_it_is_dropped_finds_it_unlocked() {
    let broker = Broker::in_memory();
    let config = TopicConfig::partitions(1).retain_records(2);
    broker.create_topic("t", config).await.unwrap();
    broker
        .create_topic("other", TopicConfig::partitions(1))
        .await
        .unwrap();
    let dropped = Arc::new(AtomicUsize::new(0));
    let owned = || {
        Bytes::from_owner(Owner {
            broker: broker.clone(),
            dropped: Arc::clone(&dropped),
        })
    };
    let producer = broker.producer();
    let consumer = broker.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    for _ in 0..5 {
        producer.push(Record::new("t", owned())).await.unwrap();
    }
    let mut many: VecDeque<_> = (0..5).map(|_| Record::new("t", owned())).collect();
    producer.push_many(&mut many).await.unwrap();
    assert_eq!(dropped.load(Ordering::Relaxed), 8);

    // Age is looked at when somebody reads.
    let config = config.retain_for(Duration::from_secs(1));
    broker.create_topic("t", config).await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(consumer.poll(10, Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(dropped.load(Ordering::Relaxed), 10);
    assert_eq!(broker.stats().topics[0].pushed, 10);
}

/// Polls the consumer inline when it is woken.
struct Inline {
    consumer: Arc<pushpull::broker::embedded::Consumer>,
    found: AtomicUsize,
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let mut poll = tokio_test::task::spawn(self.consumer.poll(10, Duration::ZERO));
        if let std::task::Poll::Ready(Ok(taken)) = poll.poll() {
            self.found.fetch_add(taken.len(), Ordering::Relaxed);
        }
    }
}

// guarantee: T7
#[tokio::test(start_paused = true)]
async fn a_waker_may_poll_inline() {
    let broker = Broker::in_memory();
    broker
        .create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    let consumer = broker.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    let inline = Arc::new(Inline {
        consumer: Arc::new(consumer),
        found: AtomicUsize::new(0),
    });
    let consumer = Arc::clone(&inline.consumer);
    let mut poll = Box::pin(consumer.poll(10, Duration::from_secs(60)));
    let waker = Waker::from(Arc::clone(&inline));
    assert!(
        poll.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    broker.producer().push(Record::new("t", "a")).await.unwrap();
    assert_eq!(inline.found.load(Ordering::Relaxed), 1);
}
