//! What happens around a step, and in which order.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::super::producer::Producer;
use super::super::seat::Seat;
use super::super::shared::Shared;
use crate::broker::group::Place;
use crate::broker::{ConsumerConfig, Producer as _, Record, TopicConfig, Verdict, WhenFull};

/// Takes a record and acknowledges it, in whoever's call it is woken in.
struct Eager(Arc<Seat>);

impl Wake for Eager {
    fn wake(self: Arc<Self>) {
        if let Some(delivery) = self.0.take_one() {
            drop(self.0.settle(&delivery.position, Verdict::Ack));
        }
    }
}

// guarantee: K8
#[tokio::test(start_paused = true)]
async fn a_beginning_takes_back_no_acknowledgement() {
    let shared = Arc::new(Shared::in_memory());
    let config = TopicConfig::partitions(1)
        .retain_records(1)
        .when_full(WhenFull::Wait);
    shared
        .create_topic("t".into(), config)
        .await
        .expect("created");
    let producer = Producer::new(Arc::clone(&shared));
    producer.push(Record::new("t", "a")).await.expect("pushed");

    let seat = Arc::new(Seat::new(Arc::clone(&shared), ConsumerConfig::group("g")));
    let now = Instant::now();
    seat.group
        .step(&shared, |group| group.subscribe(seat.id, &[(0, 1)], now));
    let waker = Waker::from(Arc::new(Eager(Arc::clone(&seat))));
    let mut told = pin!(seat.member.signal.notified());
    assert!(
        told.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    let place = Place {
        topic: 0,
        partition: 0,
    };
    seat.group.begin(&shared, place, 0);
    assert_eq!(seat.group.look(|group| group.committed(place)), Some(1));

    let second = producer.push(Record::new("t", "b"));
    let second = tokio::time::timeout(Duration::from_secs(60), second).await;
    second
        .expect("everything is acknowledged")
        .expect("there is room");
}
