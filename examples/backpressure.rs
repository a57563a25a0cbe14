//! What a producer can do when the queue is full: see it at once, wait a little, hand over what fits, make room, or have
//! the queue grow while it lives.
//!
//! `cargo run --example backpressure`

use std::collections::VecDeque;
use std::time::Duration;

use pushpull::queue::{self, PushError};

#[tokio::main]
async fn main() {
    let (tx, rx) = queue::bounded(2);
    let soon = Duration::from_millis(10);

    // Not waiting at all. The item comes back with the refusal.
    tx.try_push('a').expect("there is room");
    tx.try_push('b').expect("there is room");
    let refused = tx.try_push('c').expect_err("it is full");
    assert!(refused.is_full());
    assert_eq!(refused.into_item(), 'c');

    // Waiting, but not for ever.
    assert_eq!(
        tx.push_timeout('c', soon).await,
        Err(PushError::Timeout('c'))
    );

    // Growing: producers and consumers carry on with their handles, and who waits for room gets it.
    let waiting = tokio::spawn({
        let tx = tx.clone();
        async move { tx.push('c').await }
    });
    while tx.stats().waiting_producers == 0 {
        tokio::task::yield_now().await;
    }
    tx.resize(4);
    waiting
        .await
        .expect("it does not panic")
        .expect("there is room now");

    // Handing over what fits; the rest stays with the caller.
    let mut more = VecDeque::from(['d', 'e', 'f']);
    assert_eq!(tx.try_push_many(&mut more), Ok(1));
    assert_eq!(more, ['e', 'f']);

    // Making room: the oldest comes back.
    assert_eq!(tx.force_push('e'), Ok(Some('a')));

    // Shrinking below what is queued loses nothing: pushes wait until it fits.
    tx.resize(1);
    assert_eq!((tx.len(), tx.capacity()), (4, 1));
    assert!(
        tx.try_push('f')
            .expect_err("it is over its bound")
            .is_full()
    );

    // A slot can be reserved before there is an item, so that costly work is never done in vain.
    for expected in ['b', 'c', 'd', 'e'] {
        assert_eq!(rx.pull().await, Some(expected));
    }
    let slot = tx.reserve().await.expect("the consumer is there");
    assert!(
        tx.try_push('g')
            .expect_err("the only slot is taken")
            .is_full()
    );
    slot.push('f').expect("the consumer is there");
    assert_eq!(rx.pull().await, Some('f'));

    let stats = tx.stats();
    assert_eq!(stats.pushed, stats.pulled);
    println!("{stats:?}");
}
