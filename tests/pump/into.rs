//! `pump_into`.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures::channel::mpsc;
use futures::future::FusedFuture;
use futures::{SinkExt, Stream, StreamExt, poll, sink, stream};
use pushpull::prelude::*;
use pushpull::pump::{Ended, Pump};
use pushpull::queue;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::pump_kit::{Answer, Broken, probe};
use crate::{SECOND, ends_once, settle};

#[tokio::test(start_paused = true)]
async fn moves_everything_in_order_and_flushes_at_the_end() {
    // guarantee: P1
    let (sink, told) = probe();
    let pumped = ends_once(1..=5).pump_into(sink).await.unwrap();
    assert_eq!((pumped.items, pumped.ended), (5, Ended::Source));
    let log = told.log();
    assert_eq!(log.sent, [1, 2, 3, 4, 5]);
    assert_eq!((log.flushes, log.flushed, log.closes), (1, 5, 0));
}

#[tokio::test(start_paused = true)]
async fn closes_the_sink_only_when_asked_and_once() {
    // guarantee: P1
    let (sink, told) = probe();
    told.log().close = [Answer::Pending, Answer::Pending].into();
    ends_once([1])
        .pump_into(sink)
        .close_sink(true)
        .await
        .unwrap();
    assert_eq!((told.closes(), told.flushed()), (1, 1));

    let (sink, told) = probe();
    ends_once([1])
        .pump_into(sink)
        .close_sink(true)
        .close_sink(false)
        .await
        .unwrap();
    assert_eq!((told.closes(), told.flushed()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn flushes_whenever_the_input_is_idle() {
    // guarantee: P1
    let (tx, rx) = mpsc::unbounded();
    let (sink, told) = probe();
    let mut pump = pin!(rx.pump_into(sink));
    for burst in 1..=3_usize {
        tx.unbounded_send(burst).unwrap();
        tx.unbounded_send(burst).unwrap();
        let before = told.flushes();
        assert!(poll!(pump.as_mut()).is_pending());
        assert_eq!(told.flushed(), 2 * burst);
        assert_eq!(told.flushes(), before + 1, "one flush a pause");
    }
    assert_eq!(pump.items(), 6);
}

#[tokio::test(start_paused = true)]
async fn keeps_pushing_a_flush_that_waits() {
    // guarantee: P1
    let (tx, rx) = mpsc::unbounded();
    let (sink, told) = probe();
    told.stick(true);
    let pump = tokio::spawn(rx.pump_into(sink));
    tx.unbounded_send(1).unwrap();
    sleep(SECOND).await;
    assert_eq!(told.flushed(), 0);
    tx.unbounded_send(2).unwrap(); // a flush under way does not hold up the next item
    sleep(SECOND).await;
    assert_eq!(told.sent(), [1, 2]);
    told.stick(false);
    sleep(SECOND).await;
    assert_eq!(told.flushed(), 2);
    drop(tx);
    pump.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_is_no_pause() {
    // guarantee: Q8
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    (0..1000).for_each(|n| tx.send(n).unwrap());
    drop(tx);
    let (sink, told) = probe();
    // Most of the budget is spent, and found to be spent, inside of the source.
    let source = stream::poll_fn(move |cx| rx.poll_recv(cx));
    let rare = source.filter(|n| std::future::ready(n % 300 == 0));
    tokio::spawn(rare.pump_into(sink)).await.unwrap().unwrap();
    assert_eq!(told.sent(), [0, 300, 600, 900]);
    assert_eq!(told.flushes(), 1, "only the one at the end");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_spends_the_whole_budget_and_then_waits_is_flushed_after() {
    // guarantee: Q8
    let (sink, told) = probe();
    let mut polls = 0;
    let source = stream::poll_fn(move |cx| {
        polls += 1;
        match polls {
            1 => return Poll::Ready(Some(1)),
            2 => burn_budget(cx),
            _ => {}
        }
        Poll::<Option<i32>>::Pending // and nobody will ever wake it
    });
    let pump = tokio::spawn(source.pump_into(sink));
    sleep(SECOND).await;
    assert_eq!(told.flushed(), 1, "at the poll after");
    pump.abort();
}

fn burn_budget(cx: &mut Context<'_>) {
    while tokio::task::coop::has_budget_remaining() {
        match tokio::task::coop::poll_proceed(cx) {
            Poll::Ready(unit) => unit.made_progress(),
            Poll::Pending => break,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_always_ready_chain_lets_its_neighbours_run() {
    // guarantee: Q8
    let (sink, told) = probe();
    let pump = tokio::spawn(stream::iter(0..1_000_000).pump_into(sink));
    for turn in 1..=5 {
        tokio::task::yield_now().await;
        let moved = told.sent().len();
        assert!(
            (1..=turn * 128).contains(&moved),
            "{moved} items after {turn} turns"
        );
    }
    pump.abort();
}

#[tokio::test(start_paused = true)]
async fn until_lets_the_item_in_hand_go_and_flushes() {
    // guarantee: P1
    let token = CancellationToken::new();
    let (sink, told) = probe();
    told.shut(true);
    let source = stream::iter(1..)
        .pump_into(sink)
        .until(token.clone().cancelled_owned());
    let pump = tokio::spawn(source);
    sleep(SECOND).await;
    token.cancel();
    sleep(SECOND).await;
    assert!(!pump.is_finished(), "the item in hand waits for room");
    told.shut(false);
    let pumped = pump.await.unwrap().unwrap();
    assert_eq!((pumped.items, pumped.ended), (1, Ended::Until));
    assert_eq!((told.sent(), told.flushed()), (vec![1], 1));
}

#[tokio::test(start_paused = true)]
async fn until_ends_an_idle_pump_and_comes_before_the_next_pull() {
    // guarantee: P1
    let (sink, told) = probe::<u32>();
    let started = Instant::now();
    let pumped = stream::pending()
        .pump_into(sink)
        .until(sleep(SECOND))
        .close_sink(true)
        .await;
    assert_eq!(pumped.unwrap().ended, Ended::Until);
    assert_eq!(started.elapsed(), SECOND);
    assert_eq!(told.closes(), 1);

    let (sink, told) = probe();
    let pumped = ends_once([1])
        .pump_into(sink)
        .until(async {})
        .await
        .unwrap();
    assert_eq!((pumped.items, pumped.ended), (0, Ended::Until));
    assert!(told.sent().is_empty());
}

#[test]
fn until_is_looked_at_before_each_pull() {
    // guarantee: P1
    let token = CancellationToken::new();
    let stop = token.clone();
    let source = stream::iter(1..=1_000).inspect(move |item| {
        if *item == 3 {
            stop.cancel();
        }
    });
    let (sink, told) = probe();
    // Without a runtime there is no budget either: the pump is polled once.
    let pump = source.pump_into(sink).until(token.cancelled_owned());
    let pumped = futures::executor::block_on(pump).unwrap();
    assert_eq!((pumped.items, pumped.ended), (3, Ended::Until));
    assert_eq!((told.sent(), told.flushed()), (vec![1, 2, 3], 3));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_gives_back_what_it_did_not_take() {
    // guarantee: P1
    let (sink, told) = probe();
    told.log().ready = [Answer::Ok, Answer::Pending, Answer::Fail].into();
    let error = ends_once(1..=3).pump_into(sink).await.unwrap_err();
    assert_eq!((error.error, error.items, error.item), (Broken, 1, Some(2)));
    assert_eq!(error.pumped().ended, Ended::Sink);
    assert_eq!(told.closes(), 0, "a failed sink is not closed");

    let (sink, told) = probe();
    told.log().send = [Answer::Ok, Answer::Fail].into();
    let error = ends_once(1..=3).pump_into(sink).await.unwrap_err();
    assert_eq!((error.items, error.item), (1, None));

    let (sink, told) = probe();
    told.log().flush = [Answer::Fail].into();
    let idle = ends_once([1]).chain(stream::pending());
    let error = idle.pump_into(sink).await.unwrap_err();
    assert_eq!((error.items, error.into_item()), (1, None));

    let (sink, told) = probe();
    told.log().close = [Answer::Fail].into();
    let error = ends_once([1])
        .pump_into(sink)
        .close_sink(true)
        .await
        .unwrap_err();
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "broken"
    );
}

#[tokio::test(start_paused = true)]
async fn both_sides_are_dropped_when_it_ends_not_when_it_is_dropped() {
    // guarantee: P1
    let (sink, told) = probe();
    let (tx, rx) = mpsc::unbounded();
    let mut pump = Box::pin(rx.pump_into(sink).until(std::future::pending::<()>()));
    tx.unbounded_send(1).unwrap();
    assert!(poll!(pump.as_mut()).is_pending());
    assert!(!pump.is_terminated());
    told.log().ready = [Answer::Fail].into();
    tx.unbounded_send(2).unwrap();
    assert!(poll!(pump.as_mut()).is_ready());
    assert!(pump.is_terminated());
    assert!(!told.alive(), "the sink is gone");
    assert!(tx.is_closed(), "the stream is gone");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "`Pump` polled after it ended")]
async fn polling_an_ended_pump_panics() {
    let mut pump = ends_once([1]).pump_into(sink::drain());
    let _ = (&mut pump).await;
    let _ = (&mut pump).await;
}

#[tokio::test(start_paused = true)]
async fn dropped_after_any_number_of_polls_nothing_is_unaccounted_for() {
    // guarantee: T5
    for polls in 0.. {
        let mut source = stream::iter(0..6).fuse();
        let (mut sink, told) = probe();
        told.log().ready = [Answer::Pending, Answer::Ok, Answer::Pending]
            .repeat(6)
            .into();
        told.log().flush = [Answer::Pending; 3].into();
        let mut pump = (&mut source).pump_into(&mut sink);
        let mut ended = false;
        for _ in 0..polls {
            ended = poll!(&mut pump).is_ready();
        }
        let items = pump.items();
        let held = pump.into_remainder();
        let mut all = told.sent();
        assert_eq!(all.len() as u64, items);
        all.extend(held);
        all.extend(source.collect::<Vec<_>>().await);
        assert_eq!(all, [0, 1, 2, 3, 4, 5], "after {polls} polls");
        if ended {
            assert!(polls > 10);
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn idle_pumps_occupy_no_room() {
    let (tx, mut rx) = tokio::sync::mpsc::channel(1);
    let sink = tokio_util::sync::PollSender::new(tx);
    let idle = tokio::spawn(stream::pending().pump_into(sink.clone()));
    tokio::task::yield_now().await;
    let busy = tokio::spawn(stream::iter([1, 2]).pump_into(sink));
    assert_eq!(timeout(SECOND, rx.recv()).await, Ok(Some(1)));
    assert_eq!(timeout(SECOND, rx.recv()).await, Ok(Some(2)));
    busy.await.unwrap().unwrap();
    idle.abort();
}

struct Holder {
    pump: Pump<Pin<Box<dyn Stream<Item = u32> + Send>>, mpsc::Sender<u32>>,
}

#[tokio::test(start_paused = true)]
async fn a_pump_can_be_kept_in_a_field_and_awaited_by_reference() {
    let (tx, rx) = mpsc::channel(1);
    let source: Pin<Box<dyn Stream<Item = u32> + Send>> = stream::iter(1..=9).boxed();
    let mut holder = Holder {
        pump: source.pump_into(tx),
    };
    assert!(timeout(SECOND, &mut holder.pump).await.is_err());
    let task = tokio::spawn(holder.pump);
    assert_eq!(rx.collect::<Vec<_>>().await, (1..=9).collect::<Vec<_>>());
    assert_eq!(task.await.unwrap().unwrap().items, 9);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_closes_ends_an_idle_pump() {
    // guarantee: P1
    for consumer_goes in [true, false] {
        let (tx, rx) = queue::bounded(4);
        let source = stream::iter([1, 2]).chain(stream::pending());
        let pump = tokio::spawn(source.pump_into(tx));
        sleep(SECOND).await;
        assert_eq!(rx.len(), 2);
        let kept = if consumer_goes {
            drop(rx);
            None
        } else {
            rx.close();
            Some(rx)
        };
        let error = timeout(SECOND, pump)
            .await
            .expect("it was woken")
            .unwrap()
            .unwrap_err();
        assert!(error.error.is_closed());
        assert_eq!((error.items, error.item), (2, None));
        drop(kept);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_closes_between_an_item_and_the_first_flush_ends_the_pump() {
    // guarantee: P1
    let (tx, rx) = queue::bounded(4);
    let closer = rx.clone();
    let mut turn = 0;
    let source = stream::poll_fn(move |_| {
        turn += 1;
        match turn {
            1 => Poll::Ready(Some(1)),
            _ => {
                closer.close(); // the item is in, nothing was flushed, and nobody waits for the close yet
                Poll::Pending
            }
        }
    });
    let pump = tokio::spawn(source.pump_into(tx));
    let error = timeout(SECOND, pump)
        .await
        .expect("it wakes itself")
        .unwrap()
        .unwrap_err();
    assert_eq!((error.items, rx.pull().await), (1, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_flush_after_an_item_is_good_though_the_queue_closed_since() {
    // guarantee: Q10
    let (mut tx, rx) = queue::bounded(4);
    tx.feed(1).await.unwrap();
    rx.close();
    tx.flush().await.unwrap();
    assert!(tx.flush().await.unwrap_err().is_closed());
    assert_eq!((rx.pull().await, rx.pull().await), (Some(1), None));
    SinkExt::close(&mut tx).await.unwrap();
    tx.flush().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_after_its_last_flush_ends_well_though_the_queue_closed() {
    // guarantee: P1
    let (tx, rx) = queue::bounded(4);
    let (items, source) = mpsc::unbounded();
    let mut pump = pin!(source.pump_into(tx));
    items.unbounded_send(1).unwrap();
    assert!(poll!(pump.as_mut()).is_pending());
    rx.close();
    drop(items);
    assert_eq!(pump.await.unwrap().ended, Ended::Source);
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_moves_to_another_task_has_that_one_told() {
    // guarantee: Q7
    let (mut tx, rx) = queue::bounded(4);
    tx.send(0).await.unwrap(); // told: this task
    let source = stream::iter([1]).chain(stream::pending());
    let pump = tokio::spawn(source.pump_into(tx));
    settle().await;
    rx.close();
    let error = timeout(SECOND, pump)
        .await
        .expect("the pump was woken")
        .unwrap()
        .unwrap_err();
    assert!(error.error.is_closed());
}

#[tokio::test(start_paused = true)]
async fn pumps_into_a_batching_sink_let_batches_fill_while_idle() {
    // guarantee: P1, B8
    let (sink, told) = probe();
    let (items, source) = mpsc::unbounded();
    let pump = tokio::spawn(source.pump_into(sink.sink_batch(3, SECOND)));
    for n in 1..=4 {
        items.unbounded_send(n).unwrap();
        sleep(SECOND / 10).await; // idle after each item
    }
    assert_eq!(told.sent(), [vec![1, 2, 3]]);
    sleep(SECOND).await;
    assert_eq!(told.sent(), [vec![1, 2, 3], vec![4]]);
    drop(items);
    assert_eq!(pump.await.unwrap().unwrap().items, 4);
}
