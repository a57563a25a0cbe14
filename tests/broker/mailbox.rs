//! A router's mailbox on disk: numbers and messages over restarts, bounds, and what is refused.

use std::time::Duration;

use bytes::Bytes;
use pushpull::Router;
use pushpull::broker::embedded::DiskMailbox;
use pushpull::broker::{Broker, Error, SyncPolicy};
use pushpull::router::Mailbox;

use super::dir::Dir;

async fn open(dir: &Dir) -> Broker {
    Broker::open(dir.path(), SyncPolicy::Always).await.unwrap()
}

async fn router(broker: &Broker) -> Router<String, String> {
    let mailbox = broker.mailbox("inboxes").await.unwrap();
    Router::builder().mailbox(mailbox).build()
}

// guarantee: K9
#[tokio::test(start_paused = true)]
async fn numbers_and_messages_outlive_a_restart() {
    let dir = Dir::new("mailbox");
    let ann = "ann".to_owned();
    for round in 0..3_u64 {
        let broker = open(&dir).await;
        let router = router(&broker).await;
        for n in 1..=4 {
            let seq = round * 4 + n;
            let routed = router.push(&ann, format!("message {seq}")).await.unwrap();
            assert_eq!((routed.seq, routed.stored), (seq, true));
        }
        let mut connection = router.connect_from(ann.clone(), round * 4 + 1);
        router
            .push(&"bob".to_owned(), "other".into())
            .await
            .unwrap();
        for seq in round * 4 + 2..=round * 4 + 4 {
            assert_eq!(
                connection.pull().await,
                Some((seq, format!("message {seq}")))
            );
        }
        broker.close().await.unwrap();
    }
    let broker = open(&dir).await;
    let router = router(&broker).await;
    let all = router.sync(&ann, 0, usize::MAX).await.unwrap();
    assert_eq!(all.len(), 12);
    assert_eq!(
        router.sync(&ann, 10, 1).await.unwrap(),
        [(11, "message 11".into())]
    );
}

#[tokio::test(start_paused = true)]
async fn the_oldest_go_by_count_and_by_age() {
    let dir = Dir::new("mailbox-bounds");
    let broker = open(&dir).await;
    let few: DiskMailbox<u64, Bytes> = broker.mailbox("few").await.unwrap().retain(3);
    for n in 1..=5 {
        assert_eq!(
            few.append(&7, &Bytes::from(vec![n])).await.unwrap(),
            u64::from(n)
        );
    }
    let kept = few.after(&7, 0, 10).await.unwrap();
    assert_eq!(
        kept,
        [
            (3, vec![3].into()),
            (4, vec![4].into()),
            (5, vec![5].into())
        ]
    );

    let hour = Duration::from_secs(3600);
    let young: DiskMailbox<u64, Bytes> = broker.mailbox("young").await.unwrap().retain_for(hour);
    for n in 0..5 {
        young.append(&7, &Bytes::from(vec![n])).await.unwrap();
        tokio::time::advance(hour / 4).await;
    }
    assert_eq!(young.after(&7, 0, 1).await.unwrap(), [(2, vec![1].into())]);
    assert_eq!(young.after(&7, 0, 9).await.unwrap().len(), 4);
    tokio::time::advance(hour).await;
    assert_eq!(young.after(&7, 0, 2).await.unwrap(), []);
    assert_eq!(young.append(&7, &Bytes::new()).await.unwrap(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused() {
    let dir = Dir::new("mailbox-refused");
    let broker = open(&dir).await;
    let nameless = broker.mailbox::<u64, u64>("").await;
    assert!(matches!(nameless, Err(Error::InvalidTopic { .. })));
    let numbers: DiskMailbox<u64, Bytes> = broker.mailbox("numbers").await.unwrap();
    numbers.append(&1, &"no number".into()).await.unwrap();
    let read: DiskMailbox<u64, u64> = broker.mailbox("numbers").await.unwrap();
    assert!(read.after(&1, 0, 1).await.is_err(), "nine bytes are no u64");
    broker.close().await.unwrap();
    let error = numbers.append(&1, &Bytes::new()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the mailbox failed: the broker, or this handle of it, is closed"
    );
}
