//! The broker over a disk that fails.

use super::disk::Trouble;
use super::*;
use crate::broker::embedded::producer::Producer;
use crate::broker::embedded::shared::Shared;
use crate::broker::{Producer as _, Topic};

/// A push that waits for another to arrive on the disk, so that it can be dropped, learns that it never will.
// guarantee: K8
#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_told_that_the_disk_has_failed() {
    let disk = empty_disk();
    let (store, _) = open(&disk, SyncPolicy::Always).await.expect("opens");
    let shared = Arc::new(Shared::on_disk(store, 0));
    let config = TopicConfig::partitions(1).retain_records(1);
    shared
        .create_topic(Topic::from("orders"), config)
        .await
        .expect("created");
    let push = |value: &'static str| {
        let producer = Producer::new(Arc::clone(&shared));
        let pushed = async move { producer.push(Record::new("orders", value)).await };
        tokio::time::timeout(Duration::from_secs(60), pushed)
    };
    push("a").await.expect("in time").expect("stored");
    disk.fail(Trouble::Sync, 0);
    let (one, two, three) = tokio::join!(push("b"), push("c"), push("d"));
    for pushed in [one, two, three, push("e").await] {
        let pushed = pushed.expect("nobody waits for ever");
        assert!(matches!(pushed, Err(Error::Storage { .. })), "{pushed:?}");
    }
}
