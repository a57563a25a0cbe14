//! A connection that catches up while a message is on its way to the disk.

use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

use pushpull::Router;
use pushpull::broker::{Broker, SyncPolicy};

use super::dir::Dir;

/// A message has its number before it is on the disk: meanwhile nobody may take it for removed.
// guarantee: K9
#[tokio::test]
async fn what_is_on_its_way_to_the_mailbox_is_not_taken_for_gone() {
    let dir = Dir::new("mailbox-race");
    let broker = Broker::open(dir.path(), SyncPolicy::Always).await.unwrap();
    let mailbox = broker.mailbox("inboxes").await.unwrap();
    let router: Router<String, Vec<u8>> = Router::builder().mailbox(mailbox).build();
    let ann = "ann".to_owned();
    router.push(&ann, vec![1]).await.unwrap();
    for seq in 2..12 {
        let mut push = Box::pin(router.push(&ann, vec![0; 4_000_000]));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(push.as_mut().poll(&mut cx).is_pending());
        let mut connection = router.connect_from(ann.clone(), seq - 1);
        let pulled = tokio::time::timeout(Duration::from_secs(5), async {
            let (routed, pulled) = tokio::join!(push, connection.pull());
            assert_eq!(routed.unwrap().seq, seq);
            pulled
        });
        let (number, _) = pulled.await.expect("it comes").expect("it is connected");
        assert_eq!(number, seq);
    }
    drop(router);
    broker.close().await.unwrap();
}
