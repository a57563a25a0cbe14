//! Extreme settings, crowds, and strangers' code.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::SinkExt;
use futures::future::join_all;
use pushpull::broker::{Consumer as _, Error, Producer as _, Record};
use pushpull::kafka::testing::{Fault, Request};
use pushpull::kafka::{Kafka, Options};

use super::kit::{any, member, mock, options, push, reader, soon, take, topic, unique, until};

#[tokio::test]
async fn times_without_end_are_times() {
    let kafka = any(options().request_timeout(Duration::MAX)).await;
    let topic = topic(&kafka, "t", 1).await;
    push(&kafka, &topic, 0..3, None).await;
    let config = member("g")
        .session_timeout(Duration::MAX)
        .ack_wait(Duration::MAX);
    let consumer = reader(&kafka, config.clone(), &topic).await;
    take(&consumer, 3).await;
    soon("a commit", consumer.commit()).await.unwrap();
    let other = reader(&kafka, member("other"), &topic).await;
    assert_eq!(other.committed(&topic, 0).await.unwrap(), None);
    // The group changes hands: what is in hand is waited for.
    push(&kafka, &topic, 3..4, None).await;
    let [last] = &take(&consumer, 1).await[..] else {
        panic!("one was asked for");
    };
    let second = kafka.consumer(config);
    let joins = pin!(second.subscribe([&topic]));
    let works = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        consumer.ack(last).await
    };
    let (joined, acked) = soon("a second member", futures::future::join(joins, works)).await;
    joined.unwrap();
    acked.unwrap();
    soon("leaving", consumer.close()).await.unwrap();
    soon("leaving", second.close()).await.unwrap();
    soon("closing", kafka.close()).await.unwrap();
}

#[cfg(target_os = "linux")]
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_crowd_asks_once() {
    let (cluster, kafka) = mock(options()).await;
    let topic = unique("crowd");
    cluster.create_topic(&topic, 1).unwrap();
    cluster.round_trip(Duration::from_millis(300)).unwrap();
    let producer = kafka.producer();
    let before = threads();
    let pushes = join_all((0..500).map(|n| producer.push(Record::new(&topic, n.to_string()))));
    let mut pushes = pin!(pushes);
    let mut most = 0;
    let pushed = soon("pushes", async {
        loop {
            let tick = pin!(tokio::time::sleep(Duration::from_millis(20)));
            match futures::future::select(pushes.as_mut(), tick).await {
                futures::future::Either::Left((pushed, _)) => return pushed,
                futures::future::Either::Right(_) => most = most.max(threads()),
            }
        }
    })
    .await;
    assert!(pushed.into_iter().all(|it| it.is_ok()));
    // Other tests have threads as well.
    assert!(most < before + 250, "{before} threads, then {most}");

    let unknown = unique("unknown");
    let pushes = join_all((0..100).map(|_| producer.push(Record::new(&unknown, "x"))));
    for pushed in soon("answers", pushes).await {
        let error = pushed.unwrap_err();
        assert!(matches!(error, Error::UnknownTopic { .. }), "{error}");
        assert!(error.into_record().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_room_gets_it() {
    let narrow = options()
        .set("queue.buffering.max.messages", "1")
        .set("linger.ms", "0");
    let kafka = any(narrow).await;
    let topic = topic(&kafka, "narrow", 1).await;
    let mut producer = kafka.producer();
    for n in 0..1_500 {
        let record = Record::new(&topic, n.to_string());
        soon("room", producer.feed(record)).await.unwrap();
        soon(
            "room",
            std::future::poll_fn(|cx| producer.poll_ready_unpin(cx)),
        )
        .await
        .unwrap();
    }
    soon("a flush", producer.flush()).await.unwrap();
}

/// A waker that panics.
struct Bad;

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics, which is meant");
    }
}

// guarantee: K1
#[tokio::test]
async fn a_waker_that_panics_is_its_owners_trouble() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "t", 1).await;
    let producer = kafka.producer();
    push(&kafka, &topic, 0..1, None).await;
    {
        let mut bad = Box::pin(producer.push(Record::new(&topic, "bad")));
        let waker = Waker::from(Arc::new(Bad));
        let polled = bad.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(matches!(polled, Poll::Pending));
        tokio::time::sleep(Duration::from_millis(300)).await;
        soon("a push", bad).await.unwrap();
    }
    soon("a push", producer.push(Record::new(&topic, "good")))
        .await
        .unwrap();
}

// guarantee: K4
#[tokio::test]
async fn who_unsubscribes_commits_what_was_acknowledged() {
    let kafka = any(options()).await;
    let topic = topic(&kafka, "t", 1).await;
    push(&kafka, &topic, 0..10, None).await;
    let consumer = reader(&kafka, member("g"), &topic).await;
    for round in 0..3_u64 {
        let taken = take(&consumer, 3).await;
        for delivery in &taken {
            consumer.ack(delivery).await.unwrap();
        }
        let last = round * 3 + 2;
        assert_eq!(taken.last().map(|it| it.position.offset), Some(last));
        soon("leaving", consumer.subscribe([""; 0])).await.unwrap();
        soon("coming back", consumer.subscribe([&topic]))
            .await
            .unwrap();
        let committed = soon("an answer", consumer.committed(&topic, 0)).await;
        assert_eq!(committed.unwrap(), Some(last + 1));
    }
}

#[tokio::test]
async fn who_is_refused_learns_why_from_the_subscription() {
    let (cluster, kafka) = mock(options()).await;
    let topic = topic(&kafka, "t", 1).await;
    cluster
        .fail(Request::JoinGroup, &[Fault::GroupForbidden; 3])
        .unwrap();
    let consumer = kafka.consumer(member("g"));
    let error = soon("an answer", consumer.subscribe([&topic]))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("GroupAuthorizationFailed"),
        "{error}"
    );
}

// guarantee: K1
#[tokio::test]
async fn closing_again_waits_again() {
    let (cluster, kafka) = mock(options()).await;
    let topic = topic(&kafka, "t", 1).await;
    push(&kafka, &topic, 0..1, None).await;
    cluster.down().unwrap();
    let producer = kafka.producer();
    let pushing = tokio::spawn(async move {
        let mut records = VecDeque::from([Record::new(&topic, "late")]);
        producer.push_many(&mut records).await
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let impatient = tokio::time::timeout(Duration::from_millis(200), kafka.close()).await;
    assert!(impatient.is_err(), "there was nothing to wait for");
    let again = tokio::time::timeout(Duration::from_millis(200), kafka.close()).await;
    assert!(again.is_err(), "it did not wait");
    cluster.up().unwrap();
    soon("closing", kafka.close()).await.unwrap();
    until("the push", || pushing.is_finished()).await;
    assert_eq!(pushing.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_a_name_that_nobody_has() {
    for (brokers, why) in [
        ("127.0.0.1:1", "refused"),
        ("no-such-host.invalid:9092", "resolve"),
    ] {
        let options = Options::new().request_timeout(Duration::from_secs(3));
        let error = Kafka::connect(brokers, options).await.unwrap_err();
        let error = error.to_string();
        assert!(error.contains(brokers) && error.contains(why), "{error}");
    }
}
