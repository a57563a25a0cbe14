//! Named broadcasts in a snapshot.

use std::time::Duration;

use futures::StreamExt;
use pushpull::broadcast::{self, Lossy};
use pushpull::meter::registry;
use tokio::time::advance;

// guarantee: M1, M2
#[tokio::test(start_paused = true)]
async fn a_named_broadcast_shows_who_got_what() {
    let publisher = broadcast::builder().capacity(2).name("c-quakes").build();
    let mut lossless = publisher.subscribe();
    let _lossy = publisher.subscribe_lossy(Lossy::DropOldest);
    let earlier = registry().snapshot();
    for n in 0..5 {
        assert_eq!(publisher.publish(n).await.unwrap(), 2);
        assert_eq!(lossless.next().await, Some(n));
    }
    advance(Duration::from_secs(5)).await;

    let snapshot = registry().snapshot();
    let entry = snapshot.broadcast("c-quakes").unwrap();
    assert_eq!(entry.stats, publisher.stats());
    assert_eq!(
        (entry.published, entry.delivered, entry.missed, entry.unread),
        (5, 5, 3, 2)
    );
    assert_eq!(
        entry.sent,
        entry.delivered + entry.missed + entry.abandoned + entry.unread
    );

    let rates = snapshot.since(&earlier);
    let rate = rates
        .broadcasts
        .iter()
        .find(|rate| rate.name == "c-quakes")
        .unwrap();
    assert_eq!(
        (rate.published, rate.delivered, rate.missed),
        (1.0, 1.0, 0.6)
    );

    let table = snapshot.to_string();
    let words = |start: &str| -> Vec<&str> {
        let line = table.lines().find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("{table}"))
            .split_whitespace()
            .collect()
    };
    let header = "broadcast len capacity peak subscribers published delivered missed abandoned unread \
                  disconnected pub-waits sub-waits";
    assert_eq!(words("broadcast "), header.split(' ').collect::<Vec<_>>());
    let row = "c-quakes 2 2 2 2 5 5 3 0 2 0 0 0";
    assert_eq!(words("c-quakes"), row.split(' ').collect::<Vec<_>>());

    drop((publisher, lossless, _lossy));
    let snapshot = registry().snapshot();
    let last = snapshot.broadcast("c-quakes").unwrap();
    assert!(last.gone);
    assert_eq!((last.abandoned, last.unread, last.publishers), (2, 0, 0));
    assert!(registry().snapshot().broadcast("c-quakes").is_none());
}
