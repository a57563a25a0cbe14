//! Models of a meter that is read while it counts.

#![cfg(pushpull_loom)]

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use pushpull::prelude::*;

/// What each poll answers, from the last to the first.
struct Script(Vec<Poll<Option<()>>>);

impl Stream for Script {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
        self.0.pop().unwrap_or(Poll::Ready(None))
    }
}

// guarantee: M1
#[test]
fn a_reading_never_runs_ahead_of_itself() {
    loom::model(|| {
        let wait_and_item = [Poll::Ready(Some(())), Poll::Pending];
        let script = Script([wait_and_item, wait_and_item].concat());
        let mut metered = script.metered("model");
        let meter = metered.meter();
        let reader = loom::thread::spawn(move || {
            let seen = meter.stats();
            assert!(seen.waits <= seen.items + 1, "{seen:?}");
            assert!(!seen.ended || seen.items == 2, "{seen:?}");
        });
        let mut cx = Context::from_waker(Waker::noop());
        while Pin::new(&mut metered).poll_next(&mut cx) != Poll::Ready(None) {}
        reader.join().unwrap();
        let seen = metered.stats();
        assert_eq!((seen.items, seen.waits, seen.ended), (2, 2, true));
    });
}
