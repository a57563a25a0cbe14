//! `push::fan_out`.

use std::error::Error;
use std::pin::Pin;

use futures::{Sink, SinkExt, poll, stream};
use pushpull::prelude::*;
use pushpull::push;

use crate::pump_kit::{Answer, Broken, probe};

fn failed<E>(failures: &[push::LegFailure<E>]) -> Vec<usize> {
    failures.iter().map(|failure| failure.leg).collect()
}

#[tokio::test(start_paused = true)]
async fn every_leg_gets_every_item_and_is_flushed_and_closed_once() {
    let (legs, told): (Vec<_>, Vec<_>) = (0..3).map(|_| probe()).unzip();
    told[1].log().close = [Answer::Pending; 3].into(); // the others must not be closed again meanwhile
    let pumped = stream::iter(1..=3)
        .pump_into(push::fan_out(legs))
        .close_sink(true)
        .await;
    assert_eq!(pumped.unwrap().items, 3);
    for told in told {
        assert_eq!(
            (told.sent(), told.flushed(), told.closes()),
            (vec![1, 2, 3], 3, 1)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_leg_gets_the_item_itself() {
    let copies = std::rc::Rc::new(());
    let (legs, told): (Vec<_>, Vec<_>) = (0..3).map(|_| probe()).unzip();
    let mut all = push::fan_out(legs);
    all.send(copies.clone()).await.unwrap();
    assert_eq!(std::rc::Rc::strong_count(&copies), 1 + told.len());
}

#[tokio::test(start_paused = true)]
async fn the_slowest_leg_holds_back_the_others() {
    let (fast, told_fast) = probe();
    let (slow, told_slow) = probe();
    told_slow.shut(true);
    let mut both = push::fan_out([slow, fast]);
    assert!(poll!(both.feed(1)).is_pending());
    assert!(told_fast.sent().is_empty());
    told_slow.shut(false);
    both.feed(2).await.unwrap();
    assert_eq!((told_fast.sent(), told_slow.sent()), (vec![2], vec![2]));
}

#[tokio::test(start_paused = true)]
async fn a_failed_leg_is_taken_out_and_named_in_every_phase() {
    for phase in 0..4 {
        let (legs, told): (Vec<_>, Vec<_>) = (0..3).map(|_| probe()).unzip();
        {
            let mut log = told[1].log();
            let script = [Answer::Fail].into();
            match phase {
                0 => log.ready = script,
                1 => log.send = script,
                2 => log.flush = script,
                _ => log.close = script,
            }
        }
        let mut all = push::fan_out(legs);
        all.send(1).await.unwrap();
        all.close().await.unwrap();
        assert_eq!(
            (failed(all.failures()), all.len()),
            (vec![1], 2),
            "phase {phase}"
        );
        assert!(!told[1].alive(), "the failed leg is dropped at once");
        assert_eq!(all.take_failures()[0].error, Broken);
        assert!(all.failures().is_empty());
        let left: Vec<_> = all.into_inner().iter().map(|(leg, _)| *leg).collect();
        assert_eq!(left, [0, 2]);
        assert_eq!((told[0].sent(), told[2].sent()), (vec![1], vec![1]));
        assert_eq!((told[0].closes(), told[2].closes()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_fails_while_another_waits_does_not_hold_it_up() {
    let (slow, told_slow) = probe();
    let (bad, told_bad) = probe();
    told_slow.shut(true);
    told_bad.log().ready = [Answer::Fail].into();
    let mut both = push::fan_out([slow, bad]);
    assert!(poll!(both.feed(1)).is_pending());
    assert_eq!(
        failed(both.failures()),
        [1],
        "every leg is polled before they are combined"
    );
    told_slow.shut(false);
    both.feed(2).await.unwrap();
    assert_eq!(told_slow.sent(), [2]);
}

#[tokio::test(start_paused = true)]
async fn all_legs_gone_is_an_error_from_then_on() {
    for last_send in [true, false] {
        let (legs, told): (Vec<_>, Vec<_>) = (0..2).map(|_| probe()).unzip();
        told[0].log().flush = [Answer::Fail].into();
        if last_send {
            told[1].log().send = [Answer::Ok, Answer::Fail].into();
        } else {
            told[1].log().ready = [Answer::Ok, Answer::Fail].into();
        }
        let mut all = push::fan_out(legs);
        all.send(1).await.unwrap();
        let error = all.feed(2).await.unwrap_err();
        assert_eq!(failed(&error.failures), [0, 1]);
        let root = error.source().unwrap().source().unwrap();
        assert_eq!(root.to_string(), "broken");
        assert!(all.is_empty());
        assert!(all.feed(3).await.unwrap_err().failures.is_empty());
        assert!(all.flush().await.is_err());
        assert!(all.close().await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn no_legs_at_all_take_nothing() {
    // guarantee: T8
    let mut none = push::fan_out(Vec::<futures::sink::Drain<u8>>::new());
    assert!(none.send(1).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn legs_of_different_types_fit_boxed() {
    let (one, told) = probe();
    let legs: Vec<Pin<Box<dyn Sink<u8, Error = Broken>>>> = vec![
        Box::pin(one),
        Box::pin(push::each(|_: u8| async { Err(Broken) })),
    ];
    let mut all = push::fan_out(legs);
    stream::iter([1, 2]).pump_into(&mut all).await.unwrap();
    assert_eq!((told.sent(), failed(all.failures())), (vec![1, 2], vec![1]));
}

#[derive(Debug)]
struct Bomb(u8);

impl Clone for Bomb {
    fn clone(&self) -> Self {
        assert!(self.0 != 2, "no copies of two");
        Self(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_clone_leaves_the_legs_usable() {
    // guarantee: T7
    let (legs, told): (Vec<_>, Vec<_>) = (0..2).map(|_| probe()).unzip();
    let mut all = push::fan_out(legs);
    all.feed(Bomb(1)).await.unwrap();
    let feed = std::panic::AssertUnwindSafe(all.feed(Bomb(2)));
    assert!(futures::FutureExt::catch_unwind(feed).await.is_err());
    all.feed(Bomb(3)).await.unwrap();
    for told in told {
        assert_eq!(
            told.log()
                .sent
                .iter()
                .map(|bomb| bomb.0)
                .collect::<Vec<_>>(),
            [1, 3]
        );
    }
}
