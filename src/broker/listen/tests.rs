//! A listener over a consumer that does as it is told, on the paused clock.

mod scripted;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::broker::{Error, Verdict};

use super::{Listen, Listener, Order, listen};
use scripted::{Script, Scripted};

const SECOND: Duration = Duration::from_secs(1);

/// What handlers did: `(partition, offset)` as each began and ended, and how many were at it.
#[derive(Default)]
struct Log {
    seen: Mutex<Vec<(u32, u64)>>,
    ended: Mutex<Vec<(u32, u64)>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

/// Listens with handlers that take a second each, or three in partition 0.
fn second_each(script: &Arc<Script>, how: Listen) -> (Listener, Arc<Log>) {
    let log = Arc::new(Log::default());
    let handler_log = log.clone();
    let listener = listen(Scripted(script.clone()), how, move |delivery| {
        let log = handler_log.clone();
        async move {
            let at = (delivery.position.partition, delivery.position.offset);
            log.seen.lock().unwrap().push(at);
            let now = log.now.fetch_add(1, Ordering::Relaxed) + 1;
            log.most.fetch_max(now, Ordering::Relaxed);
            sleep(if at.0 == 0 { 3 * SECOND } else { SECOND }).await;
            log.now.fetch_sub(1, Ordering::Relaxed);
            log.ended.lock().unwrap().push(at);
            Ok::<(), ()>(())
        }
    });
    (listener, log)
}

fn of_partition(seen: &[(u32, u64)], partition: u32) -> Vec<u64> {
    let of = seen.iter().filter(|(of, _)| *of == partition);
    of.map(|(_, offset)| *offset).collect()
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_handled_in_order_and_partitions_at_once() {
    let script = Arc::new(Script::default());
    for offset in 0..4 {
        for partition in 1..4 {
            script.deliver(partition, offset, None);
        }
    }
    let started = Instant::now();
    let (listener, log) = second_each(&script, Listen::new(12));
    sleep(4 * SECOND + SECOND / 2).await;
    let report = listener.report();
    assert_eq!((report.handled, started.elapsed()), (12, SECOND * 9 / 2));
    for partition in 1..4 {
        let seen = of_partition(&log.seen.lock().unwrap(), partition);
        assert_eq!(seen, [0, 1, 2, 3]);
    }
    assert_eq!(log.most.load(Ordering::Relaxed), 3);
    assert_eq!(script.acked().len(), 12);
    assert!(listener.stop(SECOND).await.last_error.is_none());
    assert!(*script.closed.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_key_is_handled_in_order_and_keys_at_once() {
    let script = Arc::new(Script::default());
    for offset in 0..6 {
        script.deliver(1, offset, [Some("a"), Some("b"), None][offset as usize % 3]);
    }
    let (listener, log) = second_each(&script, Listen::new(8).order(Order::Key));
    sleep(SECOND / 2).await;
    assert_eq!(of_partition(&log.seen.lock().unwrap(), 1), [0, 1, 2]);
    sleep(2 * SECOND).await;
    assert_eq!(listener.report().handled, 6);

    let script = Arc::new(Script::default());
    (0..6).for_each(|offset| script.deliver(1, offset, Some("a")));
    let (_listener, log) = second_each(&script, Listen::new(8).order(Order::None));
    sleep(SECOND / 2).await;
    assert_eq!(log.most.load(Ordering::Relaxed), 6);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_taken_than_there_is_room_for() {
    for ahead in [0, 3] {
        let script = Arc::new(Script::default());
        (0..20).for_each(|offset| script.deliver(1 + offset as u32 % 4, offset, None));
        let (listener, log) = second_each(&script, Listen::new(2).ahead(ahead));
        for _ in 0..40 {
            sleep(SECOND / 4).await;
            let settled = script.settled.lock().unwrap().len();
            assert!(20 - script.left() - settled <= 2 + ahead);
        }
        assert_eq!(log.most.load(Ordering::Relaxed), 2, "two hands");
        sleep(10 * SECOND).await;
        assert_eq!(listener.report().handled, 20);
        let polls = script.polls.lock().unwrap();
        assert_eq!(polls[0].0, 2 + ahead);
    }
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_are_reasons_and_the_lane_goes_on() {
    let script = Arc::new(Script::default());
    (0..5).for_each(|offset| script.deliver(0, offset, None));
    let how = Listen::new(4).nack_delay(Some(SECOND));
    let listener = listen(
        Scripted(script.clone()),
        how,
        |delivery: crate::broker::Delivery| {
            assert_ne!(delivery.position.offset, 0, "at the call");
            async move {
                match delivery.position.offset {
                    1 => Err(Failure(false)),
                    2 => panic!("no {}", 2),
                    3 => Err(Failure(true)),
                    _ => Ok(()),
                }
            }
        },
    );
    sleep(SECOND).await;
    let report = listener.report();
    assert_eq!((report.handled, report.failed, report.panicked), (1, 1, 3));
    assert_eq!(script.acked(), [(0, 4)]);
    let reasons = script.reasons();
    assert!(
        reasons[0]
            .starts_with("the handler panicked: assertion `left != right` failed: at the call")
    );
    assert_eq!(
        reasons[1..],
        [
            "out of paper",
            "the handler panicked: no 2",
            "the handler panicked: unspeakable"
        ]
    );
    let settled = script.settled.lock().unwrap();
    let Verdict::Nack { delay, .. } = &settled[0].2 else {
        panic!("{settled:?}")
    };
    assert_eq!(*delay, Some(SECOND));
}

/// An error whose text may panic.
struct Failure(bool);

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        assert!(!self.0, "unspeakable");
        f.write_str("out of paper")
    }
}

#[tokio::test(start_paused = true)]
async fn late_acknowledgements_are_counted_and_others_are_told() {
    let script = Arc::new(Script::default());
    (0..3).for_each(|offset| script.deliver(1, offset, None));
    script.fail_settling(Error::Fenced {
        topic: "t".into(),
        partition: 1,
        offset: 0,
    });
    script.fail_settling(Error::Unsupported {
        engine: "scripted",
        what: "acknowledge",
    });
    let (listener, _) = second_each(&script, Listen::new(1));
    sleep(5 * SECOND).await;
    let report = listener.report();
    assert_eq!((report.handled, report.fenced, report.errors), (3, 1, 1));
    assert!(report.last_error.unwrap().is_unsupported());
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again_and_what_does_not_ends_it() {
    let script = Arc::new(Script::default());
    let passing = || Error::NotAssigned {
        topic: "t".into(),
        partition: 1,
    };
    (0..20).for_each(|_| script.fail(passing()));
    let (listener, _) = second_each(&script, Listen::new(2));
    sleep(60 * SECOND).await;
    assert_eq!(listener.report().errors, 20);
    {
        // 10 ms, doubled up to a second.
        let polls = script.polls.lock().unwrap();
        let after = |n: usize| (polls[n].1 - polls[0].1).as_millis();
        assert_eq!([after(1), after(2), after(7)], [10, 30, 1270]);
        assert_eq!(after(20), 1270 + 13_000);
    }

    script.deliver(1, 0, None);
    sleep(SECOND / 2).await;
    script.fail(Error::Closed { record: None });
    let ended = Instant::now();
    let report = listener.await;
    // What was in hand came to its end.
    assert_eq!((report.handled, report.errors), (1, 20));
    assert_eq!(ended.elapsed(), SECOND / 2);
    assert!(*script.closed.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_wait_is_not_asked_without_end() {
    for wait in [SECOND, Duration::ZERO, Duration::MAX] {
        let script = Arc::new(Script::hasty());
        let (listener, _) = second_each(&script, Listen::new(2).poll_wait(wait));
        sleep(60 * SECOND).await;
        let polls = script.polls.lock().unwrap().len();
        assert!((50..90).contains(&polls), "{polls}");
        script.deliver(1, 0, None);
        sleep(3 * SECOND).await;
        assert_eq!(listener.report().handled, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn full_hands_still_give_signs_of_life() {
    let script = Arc::new(Script::default());
    script.deliver(1, 0, None);
    let gate = Arc::new(Semaphore::new(0));
    let handlers_gate = gate.clone();
    let how = Listen::new(1).heartbeat(2 * SECOND);
    let listener = listen(Scripted(script.clone()), how, move |_| {
        let gate = handlers_gate.clone();
        async move { gate.acquire().await.map(drop) }
    });
    sleep(SECOND * 21 / 2).await;
    let beats = |script: &Script| -> Vec<u64> {
        let polls = script.polls.lock().unwrap();
        let (_, first) = polls[0];
        let beats = polls.iter().filter(|(max, _)| *max == 0);
        beats.map(|(_, at)| (*at - first).as_secs()).collect()
    };
    assert_eq!(beats(&script), [2, 4, 6, 8, 10]);
    // Also while it stops.
    let stopping = tokio::spawn(listener.stop(100 * SECOND));
    sleep(4 * SECOND).await;
    assert_eq!(beats(&script).len(), 7);
    gate.add_permits(1);
    assert_eq!(stopping.await.unwrap().handled, 1);
}

#[tokio::test(start_paused = true)]
async fn stopping_finishes_what_it_can_and_lets_go_of_the_rest() {
    let script = Arc::new(Script::default());
    // Three seconds each in partition 0, one in partition 1.
    for offset in 0..3 {
        script.deliver(0, offset, None);
        script.deliver(1, offset, None);
    }
    let (listener, log) = second_each(&script, Listen::new(6));
    sleep(SECOND / 2).await;
    script.deliver(2, 0, None);
    let started = Instant::now();
    let report = listener.stop(4 * SECOND).await;
    assert_eq!(started.elapsed(), 4 * SECOND);
    assert_eq!((report.handled, report.cancelled), (4, 2));
    assert_eq!(of_partition(&log.ended.lock().unwrap(), 0), [0]);
    assert_eq!(of_partition(&log.ended.lock().unwrap(), 1), [0, 1, 2]);
    let settled = script.settled.lock().unwrap();
    let nacked = settled
        .iter()
        .filter(|(_, _, verdict)| *verdict != Verdict::Ack);
    assert_eq!(nacked.count(), 0, "nothing failed");
    assert_eq!(script.left(), 1, "nothing was taken after the word");
    assert!(*script.closed.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn abort_lets_go_of_everything_and_a_dropped_handle_stops_everything() {
    let script = Arc::new(Script::default());
    (0..2).for_each(|offset| script.deliver(0, offset, None));
    let (mut listener, log) = second_each(&script, Listen::new(2));
    sleep(SECOND).await;
    listener.abort();
    listener.abort();
    let report = (&mut listener).await;
    assert_eq!((report.handled, report.cancelled), (0, 2));
    assert!(listener.is_finished());
    assert_eq!(script.settled.lock().unwrap().len(), 0);
    assert!(*script.closed.lock().unwrap());
    assert_eq!(log.ended.lock().unwrap().len(), 0);

    let script = Arc::new(Script::default());
    (0..2).for_each(|offset| script.deliver(0, offset, None));
    let (listener, log) = second_each(&script, Listen::new(2));
    sleep(SECOND).await;
    drop(listener);
    sleep(10 * SECOND).await;
    assert_eq!(log.ended.lock().unwrap().len(), 0);
    assert_eq!(Arc::strong_count(&script), 1, "the consumer is gone");
}

#[tokio::test(start_paused = true)]
async fn neighbours_run_beside_a_consumer_that_is_always_ready() {
    // guarantee: Q8
    for how in [Listen::new(8), Listen::new(usize::MAX).order(Order::None)] {
        let script = Arc::new(Script::single());
        (0..20_000).for_each(|offset| script.deliver(offset as u32 % 8, offset, None));
        let handler = |_| async { Ok::<(), ()>(()) };
        let listener = listen(Scripted(script.clone()), how, handler);
        let mut turns = 0;
        while script.left() > 0 {
            tokio::task::yield_now().await;
            turns += 1;
        }
        assert!(turns > 100, "{turns}");
        let _ = listener.stop(SECOND).await;
    }
}

#[test]
#[should_panic(expected = "without handlers nothing would be listened to")]
fn no_hands_are_refused() {
    let _ = Listen::from(0);
}

#[tokio::test(start_paused = true)]
async fn the_largest_settings_work() {
    let script = Arc::new(Script::default());
    script.deliver(1, 0, None);
    let how = Listen::new(usize::MAX)
        .ahead(usize::MAX)
        .poll_wait(Duration::MAX)
        .nack_delay(Some(Duration::MAX))
        .heartbeat(Duration::MAX);
    let (listener, _) = second_each(&script, how);
    sleep(2 * SECOND).await;
    let report = listener.stop(Duration::MAX).await;
    assert_eq!(report.handled, 1);

    let script = Arc::new(Script::default());
    script.deliver(1, 0, None);
    let (listener, _) = second_each(&script, Listen::new(1).heartbeat(Duration::ZERO));
    sleep(SECOND / 2).await;
    assert!(script.polls.lock().unwrap().len() <= 502);
    assert_eq!(listener.stop(Duration::ZERO).await.cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_work_is_extended_for_as_long_as_it_may() {
    // guarantee: K6
    let extended = |script: &Script| -> Vec<(u32, u64)> {
        let settled = script.settled.lock().unwrap();
        let extended = settled.iter().filter(|it| it.2 == Verdict::Extend);
        extended.map(|it| (it.0, it.1)).collect()
    };
    let how = Listen::new(1).ahead(1).heartbeat(SECOND);
    for (how, expected) in [
        // The one in work, and the one that waits for a hand.
        (
            how.extend_for(5 * SECOND / 2),
            vec![(0, 0), (0, 1), (0, 0), (0, 1)],
        ),
        (how, vec![]),
    ] {
        let script = Arc::new(Script::default());
        script.deliver(0, 0, None);
        script.deliver(0, 1, None);
        let (listener, log) = second_each(&script, how);
        sleep(10 * SECOND).await;
        assert_eq!(log.ended.lock().unwrap().len(), 2);
        assert_eq!(extended(&script), expected);
        let report = listener.stop(SECOND).await;
        assert_eq!((report.handled, report.errors), (2, 0));
    }
}
