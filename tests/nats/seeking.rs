//! Seeks on NATS, where a durable cannot be moved.

use std::time::Duration;

use pushpull::broker::{Consumer as _, ConsumerConfig, Error, Producer as _, Start, TopicConfig};
use pushpull::nats::{Consumer, Nats};

use crate::kit::{LONG, SECOND, Server, connect, need_server, records, take, within};

async fn member(nats: &Nats) -> Consumer {
    let config = ConsumerConfig::group("g").session_timeout(SECOND * 5);
    let member = nats.consumer(config);
    member.subscribe(["t"]).await.unwrap();
    member
}

async fn twenty() -> (Server, Nats) {
    let server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(1))
        .await
        .unwrap();
    nats.producer()
        .push_many(&mut records("t", 0..20))
        .await
        .unwrap();
    (server, nats)
}

async fn first(member: &Consumer) -> u64 {
    let got = member.poll(1, LONG).await.unwrap();
    got[0].position.offset
}

#[tokio::test]
async fn a_seek_without_a_commit_goes_with_its_owner() {
    // guarantee: K4
    need_server!();
    within(LONG, async {
        let (_server, nats) = twenty().await;
        let one = member(&nats).await;
        let got = take(&one, 10).await;
        one.commit_to(&got[9].position).await.unwrap();
        one.seek("t", 0, Start::Earliest).await.unwrap();
        assert_eq!(one.committed("t", 0).await.unwrap(), Some(11));
        assert_eq!(one.lag("t", 0).await.unwrap(), 20);
        assert_eq!(first(&one).await, 1);
        one.close().await.unwrap();

        let two = member(&nats).await;
        assert_eq!(two.committed("t", 0).await.unwrap(), Some(11));
        assert_eq!(first(&two).await, 11);
        // Twice, and a third time with nothing delivered.
        two.seek("t", 0, Start::Offset(3)).await.unwrap();
        two.seek("t", 0, Start::Offset(5)).await.unwrap();
        assert_eq!(first(&two).await, 5);
        two.seek("t", 0, Start::Latest).await.unwrap();
        assert!(
            two.poll(1, Duration::from_millis(300))
                .await
                .unwrap()
                .is_empty()
        );
        drop(two);
        let three = member(&nats).await;
        assert_eq!(first(&three).await, 11);
    })
    .await;
}

#[tokio::test]
async fn what_is_acknowledged_behind_a_seek_undone_stays() {
    // guarantee: K1 K4
    need_server!();
    within(LONG, async {
        let (_server, nats) = twenty().await;
        let one = member(&nats).await;
        one.seek("t", 0, Start::Offset(5)).await.unwrap();
        assert_eq!(first(&one).await, 5);
        one.close().await.unwrap();
        let two = member(&nats).await;
        let got = take(&two, 4).await;
        assert_eq!(got[0].position.offset, 1);
        two.ack(&got[2]).await.unwrap();
        two.close().await.unwrap();
        let three = member(&nats).await;
        let got = take(&three, 4).await;
        let offsets: Vec<u64> = got.iter().map(|it| it.position.offset).collect();
        assert_eq!(offsets, [1, 2, 4, 5]);
        three.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_seek_with_a_commit_stays() {
    // guarantee: K4 K5
    need_server!();
    within(LONG, async {
        let (_server, nats) = twenty().await;
        let one = member(&nats).await;
        let got = take(&one, 10).await;
        one.commit_to(&got[9].position).await.unwrap();
        // By an acknowledgement.
        one.seek("t", 0, Start::Offset(4)).await.unwrap();
        let got = take(&one, 2).await;
        one.ack(&got[0]).await.unwrap();
        assert_eq!(one.committed("t", 0).await.unwrap(), Some(5));
        one.close().await.unwrap();
        let two = member(&nats).await;
        assert_eq!(two.committed("t", 0).await.unwrap(), Some(5));
        assert_eq!(first(&two).await, 5);
        // By itself.
        two.seek("t", 0, Start::Offset(15)).await.unwrap();
        two.commit().await.unwrap();
        assert_eq!(two.committed("t", 0).await.unwrap(), Some(15));
        two.close().await.unwrap();
        let outside = nats.consumer(ConsumerConfig::group("g"));
        outside.subscribe(["t"]).await.unwrap();
        assert_eq!(outside.committed("t", 0).await.unwrap(), Some(15));
        assert_eq!(first(&outside).await, 15);
    })
    .await;
}

#[tokio::test]
async fn a_place_that_is_not_there_is_refused() {
    need_server!();
    within(LONG, async {
        let (_server, nats) = twenty().await;
        let one = member(&nats).await;
        let error = one.seek("t", 0, Start::Offset(22)).await.unwrap_err();
        let Error::OffsetOutOfRange { first, next, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((first, next), (1, 21));
        let other = member(&nats).await;
        assert!(other.assignment().is_empty());
        let error = other.seek("t", 0, Start::Earliest).await.unwrap_err();
        assert!(matches!(error, Error::NotAssigned { .. }));
        // What others have committed is known to all.
        let got = one.poll(1, LONG).await.unwrap();
        one.commit_to(&got[0].position).await.unwrap();
        assert_eq!(other.committed("t", 0).await.unwrap(), Some(2));
        assert_eq!(other.lag("t", 0).await.unwrap(), 19);
    })
    .await;
}

#[tokio::test]
async fn what_was_acknowledged_before_a_seek_is_not_done_behind_it() {
    // guarantee: K1 K5
    need_server!();
    within(LONG, async {
        let (_server, nats) = twenty().await;
        let one = member(&nats).await;
        for delivery in take(&one, 10).await {
            one.ack(&delivery).await.unwrap();
        }
        one.seek("t", 0, Start::Earliest).await.unwrap();
        let again = take(&one, 10).await;
        // This stores what was answered: nothing, since the seek.
        assert_eq!(one.lag("t", 0).await.unwrap(), 20);
        one.ack(&again[0]).await.unwrap();
        assert_eq!(one.lag("t", 0).await.unwrap(), 19);
    })
    .await;
}
