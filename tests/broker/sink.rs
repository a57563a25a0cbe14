//! The producer as a sink.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures::{Sink, SinkExt};
use pushpull::broker::{Broker, Consumer, ConsumerConfig, Error, Record, TopicConfig, WhenFull};
use tokio_test::task;

async fn broker(policy: WhenFull) -> Broker {
    let broker = Broker::in_memory();
    let config = TopicConfig::partitions(1)
        .retain_records(1)
        .when_full(policy);
    broker.create_topic("t", config).await.unwrap();
    broker
}

#[tokio::test(start_paused = true)]
async fn a_record_without_room_waits_with_the_handle() {
    let broker = broker(WhenFull::Wait).await;
    let mut producer = broker.producer();
    producer.feed(Record::new("t", "a")).await.unwrap();
    producer.feed(Record::new("t", "b")).await.unwrap();
    {
        let mut flush = task::spawn(producer.flush());
        assert!(flush.poll().is_pending());
    }
    let mut sink = task::spawn(&mut producer);
    let ready = sink.enter(|cx, sink| sink.poll_ready(cx));
    assert!(ready.is_pending(), "one record waits already");
    drop(sink);

    let consumer = broker.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    for value in ["a", "b"] {
        let (flushed, taken) = tokio::join!(producer.flush(), async {
            let taken = consumer.poll(1, Duration::from_secs(1)).await.unwrap();
            consumer.commit().await.unwrap();
            taken
        });
        flushed.unwrap();
        assert_eq!(taken[0].record.value, value);
    }
    producer.close().await.unwrap();
    producer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_comes_back_and_the_sink_goes_on() {
    let broker = broker(WhenFull::Reject).await;
    let mut producer = broker.producer();
    producer.send(Record::new("t", "a")).await.unwrap();
    let error = producer.send(Record::new("t", "b")).await.unwrap_err();
    assert!(error.is_full());
    assert_eq!(error.into_record().unwrap().value, "b");
    let error = producer.send(Record::new("u", "c")).await.unwrap_err();
    assert!(matches!(error, Error::UnknownTopic { .. }));

    let consumer = broker.consumer(ConsumerConfig::group("g"));
    consumer.subscribe(["t"]).await.unwrap();
    consumer.poll(1, Duration::ZERO).await.unwrap();
    consumer.commit().await.unwrap();
    producer.send(Record::new("t", "d")).await.unwrap();
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "without `poll_ready`")]
async fn sending_beside_a_record_that_waits_panics() {
    let broker = broker(WhenFull::Wait).await;
    let mut producer = broker.producer();
    for value in ["a", "b", "c"] {
        let sent = Pin::new(&mut producer).start_send(Record::new("t", value));
        sent.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_broker_refuses_at_once() {
    let broker = broker(WhenFull::Wait).await;
    let mut producer = broker.producer();
    broker.close().await.unwrap();
    let error = producer.send(Record::new("t", "a")).await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }));
    assert_eq!(error.into_record().unwrap().value, "a");
    let mut sink = task::spawn(&mut producer);
    let flushed = sink.enter(|cx, sink| sink.poll_flush(cx));
    assert!(matches!(flushed, Poll::Ready(Ok(()))));
}
