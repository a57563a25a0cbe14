//! Listeners on real engines.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use pushpull::broker::{Consumer, Delivery, Listen, Order, Producer, Record, listen};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::engines::Engine;
use crate::kit::*;

/// Numbered records under each of 16 keys, in turn.
async fn push_rounds(engine: &impl Engine, topic: &str, rounds: usize) {
    let producer = engine.producer();
    for round in 0..rounds {
        let pushes = (0..16).map(|key| {
            let record = Record::new(topic, format!("{round}")).key(format!("key-{key}"));
            producer.push(record)
        });
        for pushed in join_all(pushes).await {
            pushed.unwrap();
        }
    }
}

/// What was handled, lane by lane, and how many at once.
#[derive(Default)]
struct Log {
    lanes: Mutex<HashMap<String, Vec<u64>>>,
    now_and_most: Mutex<(usize, usize)>,
}

/// Handlers take longer the later their lane's turn is, and different times in different lanes.
async fn order_of(engine: impl Engine, order: Order, lane: fn(&Delivery) -> String) -> Arc<Log> {
    let topic = engine.topic("t", 4).await;
    push_rounds(&engine, topic, 20).await;
    let log = Arc::new(Log::default());
    let handlers = log.clone();
    let consumer = engine.reader(group(), topic).await;
    let listener = listen(consumer, Listen::new(8).order(order), move |delivery| {
        let log = handlers.clone();
        async move {
            {
                let mut at_once = log.now_and_most.lock().unwrap();
                at_once.0 += 1;
                at_once.1 = at_once.1.max(at_once.0);
            }
            let offset = delivery.position.offset;
            sleep(second() / 100 * (1 + (offset * 7 % 5) as u32)).await;
            let mut lanes = log.lanes.lock().unwrap();
            lanes.entry(lane(&delivery)).or_default().push(offset);
            log.now_and_most.lock().unwrap().0 -= 1;
            Ok::<(), ()>(())
        }
    });
    until(|| listener.report().handled == 320).await;
    let report = listener.stop(second()).await;
    assert_eq!((report.handled, report.fenced, report.errors), (320, 0, 0));
    for (lane, offsets) in &*log.lanes.lock().unwrap() {
        assert!(offsets.is_sorted(), "{lane}: {offsets:?}");
    }
    // All is acknowledged.
    let next = engine.reader(group(), topic).await;
    assert_nothing_left(&engine.producer(), &next, topic, 4).await;
    log
}

pub(crate) async fn partitions_keep_their_order(engine: impl Engine) {
    // guarantee: K2
    let lane = |delivery: &Delivery| delivery.position.partition.to_string();
    let log = order_of(engine, Order::Partition, lane).await;
    assert_eq!(log.lanes.lock().unwrap().len(), 4);
    let most = log.now_and_most.lock().unwrap().1;
    let least = if to_the_letter() { 2 } else { 1 };
    assert!((least..=4).contains(&most), "{most}");
}

pub(crate) async fn keys_keep_their_order(engine: impl Engine) {
    // guarantee: K2
    let lane = |delivery: &Delivery| format!("{:?}", delivery.record.key);
    let log = order_of(engine, Order::Key, lane).await;
    assert_eq!(log.lanes.lock().unwrap().len(), 16);
    let most = log.now_and_most.lock().unwrap().1;
    let least = if to_the_letter() { 5 } else { 1 };
    assert!((least..=8).contains(&most), "{most}");
}

pub(crate) async fn panics_and_errors_are_delivered_again(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 1).await;
    push(&engine.producer(), topic, 0..10).await;
    if !engine.capabilities().redelivers {
        return;
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let handlers = seen.clone();
    let consumer = engine.reader(group(), topic).await;
    let listener = listen(consumer, 4, move |delivery: Delivery| {
        let seen = handlers.clone();
        async move {
            let text = text(&delivery);
            seen.lock().unwrap().push((text.clone(), delivery.attempt));
            match (text.as_str(), delivery.attempt) {
                ("n/2", 1) => Err("not now"),
                // A panic without its message on the screen.
                ("n/5", 1 | 2) => std::panic::resume_unwind(Box::new("not at all")),
                _ => Ok(()),
            }
        }
    });
    until(|| listener.report().handled == 10).await;
    let report = listener.stop(second()).await;
    let counts = (
        report.handled,
        report.failed,
        report.panicked,
        report.errors,
    );
    assert_eq!(counts, (10, 1, 2, 0), "{report:?}");
    let mut seen = seen.lock().unwrap().clone();
    seen.retain(|(text, _)| text == "n/2" || text == "n/5");
    seen.sort();
    let expected = [("n/2", 1), ("n/2", 2), ("n/5", 1), ("n/5", 2), ("n/5", 3)];
    assert_eq!(
        seen,
        expected.map(|(text, attempt)| (text.to_owned(), attempt))
    );
}

pub(crate) async fn no_more_is_taken_than_there_are_hands(engine: impl Engine) {
    let topic = engine.topic("t", 2).await;
    push_rounds(&engine, topic, 4).await;
    let gate = Arc::new(Semaphore::new(0));
    let begun = Arc::new(AtomicU32::new(0));
    let handlers = (gate.clone(), begun.clone());
    let consumer = engine.reader(group(), topic).await;
    let listener = listen(consumer, Listen::new(3).order(Order::None), move |_| {
        let (gate, begun) = handlers.clone();
        async move {
            begun.fetch_add(1, Ordering::Relaxed);
            gate.acquire().await.map(|permit| permit.forget())
        }
    });
    until(|| begun.load(Ordering::Relaxed) >= 3).await;
    sleep(5 * second()).await;
    assert_eq!(begun.load(Ordering::Relaxed), 3);
    gate.add_permits(5);
    until(|| begun.load(Ordering::Relaxed) >= 8 && listener.report().handled == 5).await;
    sleep(2 * second()).await;
    let report = listener.stop(NOW).await;
    assert_eq!((report.handled, report.cancelled, report.errors), (5, 3, 0));
    let next = engine.reader(group(), topic).await;
    let rest = drain(&next, 64 - 5).await;
    if engine.capabilities().redelivers && to_the_letter() {
        // Three were taken, and no others.
        assert_eq!(
            rest.iter().filter(|delivery| delivery.attempt > 1).count(),
            3
        );
    }
}

pub(crate) async fn a_long_handler_keeps_its_member(engine: impl Engine) {
    // guarantee: K7
    let topic = engine.topic("t", 2).await;
    let config = || {
        group()
            .session_timeout(6 * second())
            .ack_wait(600 * second())
    };
    let consumer = engine.reader(config(), topic).await;
    let other = engine.reader(config(), topic).await;
    settle(&[&consumer, &other], 2).await;
    let its_own = consumer.assignment()[0].1;
    for _ in 0..2 {
        let record = Record::new(topic, "for the listener").partition(its_own);
        engine.producer().push(record).await.unwrap();
    }
    let how = Listen::new(1).heartbeat(2 * second());
    let listener = listen(consumer, how, |_| async {
        sleep(20 * second()).await;
        Ok::<(), ()>(())
    });
    until_polling(&other, || listener.report().handled == 2).await;
    let report = listener.stop(second()).await;
    assert_eq!((report.handled, report.fenced, report.errors), (2, 0, 0));
}

pub(crate) async fn a_slow_handler_is_extended(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 1).await;
    push(&engine.producer(), topic, 0..2).await;
    let consumer = engine.reader(group().ack_wait(10 * second()), topic).await;
    let how = Listen::new(1)
        .heartbeat(2 * second())
        .extend_for(3600 * second());
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let seen = attempts.clone();
    let listener = listen(consumer, how, move |delivery: Delivery| {
        seen.lock().unwrap().push(delivery.attempt);
        async {
            sleep(30 * second()).await;
            Ok::<(), ()>(())
        }
    });
    let start = Instant::now();
    while listener.report().handled < 2 && start.elapsed() < 600 * second() {
        sleep(second()).await;
    }
    let report = listener.stop(second()).await;
    assert_eq!((report.handled, report.fenced, report.errors), (2, 0, 0));
    assert_eq!(*attempts.lock().unwrap(), [1, 1]);
}

pub(crate) async fn stopping_gives_back_what_is_left(engine: impl Engine) {
    // guarantee: K7
    let topic = engine.topic("t", 1).await;
    push(&engine.producer(), topic, 0..10).await;
    // Being stopped is no failure: the only attempt is not used up.
    let once = || group().max_attempts(1);
    let consumer = engine.reader(once(), topic).await;
    let begun = Arc::new(AtomicU32::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let handlers = (begun.clone(), gate.clone());
    let how = Listen::new(4).order(Order::None);
    let listener = listen(consumer, how, move |delivery: Delivery| {
        let (begun, gate) = handlers.clone();
        async move {
            begun.fetch_add(1, Ordering::Relaxed);
            if text(&delivery) == "n/0" {
                return gate.acquire().await.map(|permit| permit.forget());
            }
            sleep(1000 * second()).await;
            Ok(())
        }
    });
    until(|| begun.load(Ordering::Relaxed) == 4).await;
    let (report, ()) = tokio::join!(listener.stop(10 * second()), async {
        sleep(second()).await;
        gate.add_permits(1);
    });
    assert_eq!((report.handled, report.cancelled, report.errors), (1, 3, 0));
    let next = engine.reader(once(), topic).await;
    let mut rest = poll_n(&next, 9).await;
    rest.sort_by_key(|delivery| delivery.position.offset);
    assert_eq!(texts(&rest), numbers(1..10));
}

pub(crate) async fn a_failed_key_is_held_back_where_order_is_asked_for(engine: impl Engine) {
    // guarantee: K6
    let topic = engine.topic("t", 2).await;
    push_rounds(&engine, topic, 5).await;
    if !engine.capabilities().redelivers {
        return;
    }
    let done = Arc::new(Mutex::new(HashMap::<_, Vec<_>>::new()));
    let handlers = done.clone();
    let consumer = engine.reader(group().ordered(true), topic).await;
    let how = Listen::new(8).order(Order::Key).nack_delay(Some(second()));
    let how = if engine.capabilities().nack_delay {
        how
    } else {
        how.nack_delay(None)
    };
    let listener = listen(consumer, how, move |delivery: Delivery| {
        let done = handlers.clone();
        async move {
            // Each second record fails once.
            if delivery.attempt == 1 && delivery.position.offset % 2 == 0 {
                return Err(());
            }
            let key = delivery.record.key.clone();
            done.lock()
                .unwrap()
                .entry(key)
                .or_default()
                .push(text(&delivery));
            Ok(())
        }
    });
    until(|| listener.report().handled >= 80).await;
    let report = listener.stop(second()).await;
    assert_eq!((report.handled, report.errors), (80, 0), "{report:?}");
    let done = done.lock().unwrap();
    assert!(
        done.values()
            .all(|rounds| *rounds == ["0", "1", "2", "3", "4"]),
        "{done:?}"
    );
}

/// Not on the paused clock, which has one thread.
pub(crate) async fn order_holds_on_threads() {
    // guarantee: K2
    let engine = crate::engines::Memory::start().await;
    let topic = engine.topic("t", 4).await;
    push_rounds(&engine, topic, 500).await;
    let lanes = Arc::new(Mutex::new(HashMap::<_, Vec<_>>::new()));
    let handlers = lanes.clone();
    let consumer = engine.reader(group(), topic).await;
    let how = Listen::new(8).ahead(8).order(Order::Key);
    let listener = listen(consumer, how, move |delivery: Delivery| {
        let lanes = handlers.clone();
        async move {
            for _ in 0..delivery.position.offset % 3 {
                tokio::task::yield_now().await;
            }
            let key = delivery.record.key.clone();
            lanes
                .lock()
                .unwrap()
                .entry(key)
                .or_default()
                .push(delivery.position.offset);
            if delivery.position.offset % 7 == 0 && delivery.attempt == 1 {
                return Err("now and then");
            }
            Ok(())
        }
    });
    while listener.report().handled < 8000 {
        tokio::task::yield_now().await;
    }
    let report = listener.stop(60 * second()).await;
    assert_eq!((report.handled, report.errors), (8000, 0), "{report:?}");
    assert!(report.failed > 1000);
    let lanes = lanes.lock().unwrap();
    for offsets in lanes.values() {
        // Those that failed come a second time.
        let mut seen = std::collections::HashSet::new();
        let firsts: Vec<_> = offsets
            .iter()
            .filter(|offset| seen.insert(**offset))
            .collect();
        assert!(firsts.is_sorted());
    }
}
