//! Members that stall, and members that are cut off, beside one that is well.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use pushpull::broker::{Consumer, Event, TopicConfig};
use pushpull::nats;
use tokio::time::{Instant, sleep};

use crate::kit::*;
use crate::nats_server::{Server, skipped};
use crate::proxy::{Line, Proxy};

/// When a member was given a record, and whether and when its acknowledgement was accepted.
type Log = Arc<Mutex<Vec<(String, Instant, Option<Instant>)>>>;

/// Polls and acknowledges, and writes it down, until it is told to stop.
async fn work(consumer: &nats::Consumer, log: &Log, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        // A line that is cut is an error that passes.
        for delivery in consumer.poll(5, TICK).await.unwrap_or_default() {
            let given = Instant::now();
            sleep(Duration::from_millis(2)).await;
            let done = consumer.ack(&delivery).await.is_ok();
            let done = done.then(Instant::now);
            log.lock().unwrap().push((text(&delivery), given, done));
        }
    }
}

async fn settled(a: &nats::Consumer, b: &nats::Consumer) {
    until("an assignment to each", || {
        a.assignment().len() == 2 && b.assignment().len() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_cut_off_is_replaced() {
    cut_off(Line::Cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_line_is_silent_is_replaced() {
    cut_off(Line::Held).await;
}

async fn cut_off(how: Line) {
    // guarantee: K1, K5, K7
    if skipped() {
        return;
    }
    let server = Server::start();
    let direct = connect(&server.url()).await;
    direct
        .create_topic("t", TopicConfig::partitions(4))
        .await
        .unwrap();
    let proxy = Proxy::to(server.address()).await;
    let through = connect(&proxy.url()).await;
    let a = Arc::new(reader(&through, group()).await);
    let b = Arc::new(reader(&direct, group()).await);
    let events = a.events();
    let logs: [Log; 2] = Default::default();
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = [&a, &b]
        .into_iter()
        .zip(&logs)
        .map(|(member, log)| {
            let (member, log, stop) = (Arc::clone(member), Arc::clone(log), Arc::clone(&stop));
            tokio::spawn(async move { work(&member, &log, &stop).await })
        })
        .collect();
    settled(&a, &b).await;
    let (mut pushed, producer) = (0, direct.producer());
    let mut push_for = async |time: Duration| {
        let start = Instant::now();
        while start.elapsed() < time {
            push(&producer, pushed..pushed + 5).await;
            pushed += 5;
            sleep(TICK / 4).await;
        }
        pushed
    };
    push_for(SESSION / 3).await;
    proxy.set(how);
    push_for(2 * SESSION).await;
    until("all of them with the one that is left", || {
        b.assignment().len() == 4
    })
    .await;
    assert!(a.assignment().is_empty(), "they are somebody else's");
    push_for(SESSION / 3).await;
    proxy.set(Line::Open);
    settled(&a, &b).await;
    let pushed = push_for(SESSION / 3).await;

    let done = || -> HashMap<String, usize> {
        let mut done = HashMap::new();
        for log in &logs {
            for (text, _, at) in &*log.lock().unwrap() {
                *done.entry(text.clone()).or_default() += usize::from(at.is_some());
            }
        }
        done.retain(|_, times| *times > 0);
        done
    };
    until("an acknowledgement for everything", || {
        done().len() == pushed
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    // Who has handed on a record can no longer answer it: of two acknowledgements, the first came before the second member
    // was given the record.
    let logs = logs.map(|log| log.lock().unwrap().clone());
    let mut twice = 0;
    for (mine, theirs) in [(&logs[0], &logs[1]), (&logs[1], &logs[0])] {
        for (text, given, done) in mine.iter().filter(|(.., done)| done.is_some()) {
            let mut other = theirs
                .iter()
                .filter(|(other, .., done)| other == text && done.is_some());
            if let Some((_, other_given, other_done)) = other.next() {
                twice += 1;
                assert!(
                    done < &Some(*other_given) || other_done < &Some(*given),
                    "{text}"
                );
            }
        }
        let count = |text: &str| {
            mine.iter()
                .filter(|(it, .., done)| it == text && done.is_some())
                .count()
        };
        assert!(
            mine.iter().all(|(text, ..)| count(text) <= 1),
            "done twice by one member"
        );
    }
    println!(
        "{pushed} records, {} of them done by both members in turn",
        twice / 2
    );
    let told = told(&events);
    if how == Line::Cut {
        assert_told_of_the_connection(&told);
    }
    let lost = |event: &Event| matches!(event, Event::Expired | Event::Revoked { .. });
    assert!(told.iter().any(lost), "{told:?}");
    a.close().await.unwrap();
    b.close().await.unwrap();
    assert!(rest(&direct, group(), 4).await.is_empty());
}

/// A program that stands still altogether, as under a debugger or out of memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_stands_still_is_replaced_and_fenced() {
    // guarantee: K5, K7
    if skipped() {
        return;
    }
    let server = Server::start();
    let nats = connect(&server.url()).await;
    nats.create_topic("t", TopicConfig::partitions(4))
        .await
        .unwrap();
    let url = server.url();
    let (say, said) = mpsc::channel();
    let stalled = thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async {
            let nats = connect(&url).await;
            let a = reader(&nats, group().ack_wait(Duration::from_secs(600))).await;
            let events = a.events();
            while a.assignment().len() != 2 {
                a.poll(0, Duration::ZERO).await.unwrap();
                say.send(Vec::new()).unwrap();
                sleep(TICK).await;
            }
            let mut got = Vec::new();
            while got.len() < 20 {
                got.extend(a.poll(20 - got.len(), TICK).await.unwrap());
            }
            say.send(got.iter().map(text).collect()).unwrap();
            thread::sleep(3 * SESSION);
            for delivery in &got {
                let answer = a.ack(delivery).await;
                assert!(answer.is_err_and(|error| error.is_fenced()));
            }
            until("the news", || {
                told(&events)
                    .iter()
                    .any(|event| matches!(event, Event::Expired))
            })
            .await;
            a.close().await.unwrap();
        });
    });
    let b = reader(&nats, group()).await;
    let mut taken = Vec::new();
    let mut got = HashMap::new();
    let mut pushed = false;
    let end = Instant::now() + Duration::from_secs(60);
    while got.len() < 1000 {
        assert!(Instant::now() < end, "{} of 1000", got.len());
        if !pushed && b.assignment().len() == 2 {
            push(&nats.producer(), 0..1000).await;
            pushed = true;
        }
        for delivery in b.poll(100, TICK).await.unwrap() {
            b.ack(&delivery).await.unwrap();
            let before = got.insert(text(&delivery), Instant::now());
            assert!(before.is_none(), "{} came twice", text(&delivery));
        }
        taken = said
            .try_iter()
            .last()
            .filter(|it| !it.is_empty())
            .unwrap_or(taken);
    }
    assert_eq!(taken.len(), 20);
    assert!(taken.iter().all(|text| got.contains_key(text)));
    tokio::task::spawn_blocking(|| stalled.join().unwrap())
        .await
        .unwrap();
    b.close().await.unwrap();
    assert!(rest(&nats, group(), 4).await.is_empty());
}
