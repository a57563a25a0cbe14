//! Who reads which partition, and what happens when that changes.

use std::collections::{HashMap, HashSet};

use futures::future::join_all;
use pushpull::broker::{Consumer, Delivery, Event, Position, Producer, Record};
use tokio::time::{Instant, sleep};

use crate::engines::Engine;
use crate::kit::*;

/// A record under each of 40 keys.
async fn push_round(engine: &impl Engine, topic: &str, round: usize) -> Vec<Position> {
    let producer = engine.producer();
    let pushes = (0..40).map(|key| {
        let record = Record::new(topic, format!("{round}")).key(format!("key-{key}"));
        producer.push(record)
    });
    let pushed = join_all(pushes).await;
    pushed.into_iter().map(Result::unwrap).collect()
}

/// Each key's rounds, as they came.
fn by_key<'a>(got: impl IntoIterator<Item = &'a Delivery>) -> HashMap<Vec<u8>, Vec<String>> {
    let mut keys: HashMap<_, Vec<_>> = HashMap::new();
    for delivery in got {
        let key = delivery.record.key.as_ref().unwrap().to_vec();
        keys.entry(key).or_default().push(text(delivery));
    }
    keys
}

pub(crate) async fn members_share_the_partitions(engine: impl Engine) {
    // guarantee: K1
    let topic = engine.topic("t", 5).await;
    let a = engine.reader(group(), topic).await;
    let b = engine.reader(group(), topic).await;
    let mut counts = settle(&[&a, &b], 5).await;
    counts.sort_unstable();
    assert_eq!(counts, [2, 3]);
    push_round(&engine, topic, 0).await;
    let got = drain_all(&[&a, &b], 40, true).await;
    let (of_a, of_b) = (&got[0], &got[1]);
    let partitions = |of: &[Delivery]| -> HashSet<u32> {
        of.iter()
            .map(|delivery| delivery.position.partition)
            .collect()
    };
    assert!(partitions(of_a).is_disjoint(&partitions(of_b)));
    let assigned: HashSet<_> = a
        .assignment()
        .into_iter()
        .map(|(_, partition)| partition)
        .collect();
    assert_eq!(partitions(of_a), assigned);
}

pub(crate) async fn joining_hands_over_without_duplicates<E: Engine>(engine: E) {
    // guarantee: K7
    let topic = engine.topic("t", 6).await;
    let mut members = Vec::new();
    let mut got = Vec::new();
    for round in 0..9 {
        if round % 3 == 0 {
            members.push(engine.reader(group(), topic).await);
        }
        push_round(&engine, topic, round).await;
        for _ in 0..5 {
            for member in &members {
                let polled = member.poll(7, second() / 10).await.unwrap();
                ack_all(member, &polled).await;
                got.extend(polled);
            }
        }
    }
    let members: Vec<_> = members.iter().collect();
    if E::COMMITS_IN_TIME {
        let rest = drain_all(&members, 9 * 40 - got.len(), true).await;
        got.extend(rest.into_iter().flatten());
    } else {
        // Each is there all the same, and those that came before come first.
        settle_anyhow(&members, 6, &mut got).await;
        let mut seen = HashSet::new();
        got.retain(|delivery| seen.insert(delivery.position.clone()));
    }
    assert!(got.iter().all(|delivery| delivery.attempt == 1));
    let keys = by_key(&got);
    let rounds: Vec<_> = (0..9).map(|round| round.to_string()).collect();
    assert_eq!(keys.len(), 40);
    assert!(keys.values().all(|seen| *seen == rounds), "{keys:?}");
    assert_eq!(settle(&members, 6).await, [2, 2, 2]);
}

pub(crate) async fn joining_waits_for_what_is_in_hand<E: Engine>(engine: E) {
    // guarantee: K7
    let topic = engine.topic("t", 4).await;
    let a = engine.reader(group(), topic).await;
    settle(&[&a], 4).await;
    push_round(&engine, topic, 0).await;
    let events = a.events();
    let of_a = poll_n(&a, 40).await;
    let joining = engine.reader(group(), topic);
    let (b, staying) = if engine.capabilities().cooperative {
        let b = joining.await;
        for _ in 0..5 {
            assert!(a.poll(10, second() / 10).await.unwrap().is_empty());
            assert!(b.poll(10, second()).await.unwrap().is_empty());
        }
        // What is on its way to another brings nothing new, and can be answered.
        push_round(&engine, topic, 1).await;
        let staying = a.poll(100, second()).await.unwrap();
        ack_all(&a, &of_a).await;
        (b, staying)
    } else {
        // Where all partitions pause, joining waits for what is in hand.
        let (b, staying) = tokio::join!(joining, async {
            sleep(second()).await;
            push_round(&engine, topic, 1).await;
            let staying = a.poll(100, second()).await.unwrap();
            ack_all(&a, &of_a).await;
            staying
        });
        (b, staying)
    };
    ack_all(&a, &staying).await;
    if !E::COMMITS_IN_TIME {
        // What was acknowledged comes again, and so much is certain: everything is there.
        let mut got = of_a.clone();
        got.extend(staying);
        settle_anyhow(&[&a, &b], 4, &mut got).await;
        let positions: HashSet<_> = got.iter().map(|got| got.position.clone()).collect();
        return assert_eq!(positions.len(), 80);
    }
    let got = drain_all(&[&a, &b], 40 - staying.len(), true).await;
    settle(&[&a, &b], 4).await;
    let told = all_events(&events);
    let clean = |event: &&Event| {
        matches!(
            event,
            Event::Revoked {
                unacknowledged: 0,
                ..
            }
        )
    };
    let revoked = told
        .iter()
        .filter(|event| matches!(event, Event::Revoked { .. }));
    assert_eq!(
        told.iter().filter(clean).count(),
        revoked.count(),
        "{told:?}"
    );
    let revoked = if engine.capabilities().cooperative {
        2..3
    } else {
        2..5
    };
    assert!(
        revoked.contains(&told.iter().filter(clean).count()),
        "{told:?}"
    );
    assert!(!got[1].is_empty() && got.concat().iter().all(|got| got.attempt == 1));
}

/// Polls and acknowledges until the members have their shares and there is nothing left.
async fn settle_anyhow<C: Consumer>(members: &[&C], n: usize, got: &mut Vec<Delivery>) {
    let share = n.div_ceil(members.len());
    let mut quiet = 0;
    while quiet < 3 {
        let before = got.len();
        for member in members {
            got.extend(rest(*member).await);
        }
        let counts = members.iter().map(|member| member.assignment().len());
        let settled = counts.clone().sum::<usize>() == n && counts.max() <= Some(share);
        quiet = if settled && got.len() == before {
            quiet + 1
        } else {
            0
        };
    }
}

pub(crate) async fn who_leaves_is_replaced(engine: impl Engine) {
    who_goes(
        engine,
        |member| async move { member.close().await.unwrap() },
    )
    .await;
}

pub(crate) async fn who_is_dropped_is_replaced(engine: impl Engine) {
    who_goes(engine, |member| async move { drop(member) }).await;
}

/// One of two members takes what is there, acknowledges some of it, and goes.
async fn who_goes<E: Engine, Fut: Future<Output = ()>>(engine: E, go: impl Fn(E::Consumer) -> Fut) {
    // guarantee: K7
    let topic = engine.topic("t", 4).await;
    let a = engine.reader(group(), topic).await;
    let b = engine.reader(group(), topic).await;
    settle(&[&a, &b], 4).await;
    let pushed = push_round(&engine, topic, 0).await;
    let of_a = drain(&a, owned(&a, &pushed)).await;
    ack_all(&a, &of_a[..3]).await;
    let mut done = drain_and_ack(&b, owned(&b, &pushed)).await;
    done.extend(of_a[..3].to_vec());
    let start = Instant::now();
    go(a).await;
    // What was acknowledged behind a gap may come again; nothing is missing.
    while by_key(&done).len() < 40 {
        let polled = b.poll(1000, second()).await.unwrap();
        ack_all(&b, &polled).await;
        done.extend(polled);
        assert_took(start, NOW..5 * second());
    }
    done.extend(rest(&b).await);
    assert_eq!(b.assignment().len(), 4);
    assert!(done.len() <= 43, "{}", done.len());
}

pub(crate) async fn who_stalls_is_replaced_and_fenced<E: Engine>(engine: E) {
    // guarantee: K7
    let topic = engine.topic("t", 4).await;
    let config = || {
        group()
            .session_timeout(10 * second())
            .ack_wait(600 * second())
    };
    let a = engine.reader(config(), topic).await;
    let events = a.events();
    let b = engine.reader(config(), topic).await;
    settle(&[&a, &b], 4).await;
    let pushed = push_round(&engine, topic, 0).await;
    let of_a = drain(&a, owned(&a, &pushed)).await;
    assert!(!of_a.is_empty());
    // From here on `a` is silent.
    let start = Instant::now();
    let mut of_b = Vec::new();
    while of_b.len() < 40 {
        let polled = b.poll(100, second()).await.unwrap();
        ack_all(&b, &polled).await;
        of_b.extend(polled);
        assert_took(start, NOW..15 * second());
    }
    assert_took(start, 8 * second()..15 * second());
    assert_eq!(by_key(&of_b).len(), 40);
    assert_eq!(b.assignment().len(), 4);

    for delivery in &of_a {
        assert_fenced(a.ack(delivery).await);
    }
    let told = all_events(&events);
    assert!(
        told.iter().any(|event| matches!(event, Event::Expired)),
        "{told:?}"
    );
    let assigned = told
        .iter()
        .filter(|event| matches!(event, Event::Assigned { .. }));
    assert!(assigned.count() >= 2, "{told:?}");
    drain(&b, 0).await;

    // It comes back as another member would.
    settle(&[&a, &b], 4).await;
    push_round(&engine, topic, 1).await;
    if !E::COMMITS_IN_TIME {
        let mut got = Vec::new();
        settle_anyhow(&[&a, &b], 4, &mut got).await;
        got.retain(|delivery| text(delivery) == "1");
        return assert_eq!(by_key(&got).len(), 40);
    }
    let again = drain_all(&[&a, &b], 40, true).await;
    assert!(again.iter().all(|of| !of.is_empty()));
}

pub(crate) async fn signs_of_life_keep_a_member(engine: impl Engine) {
    // guarantee: K7
    let topic = engine.topic("t", 2).await;
    let config = || {
        group()
            .session_timeout(10 * second())
            .ack_wait(600 * second())
    };
    let a = engine.reader(config(), topic).await;
    let b = engine.reader(config(), topic).await;
    settle(&[&a, &b], 2).await;
    let pushed = push_round(&engine, topic, 0).await;
    let of_a = drain(&a, owned(&a, &pushed)).await;
    let mut of_b = Vec::new();
    // First polls for nothing, then acknowledgements.
    for beat in 0..20 {
        sleep(4 * second()).await;
        match beat {
            0..10 => assert!(a.poll(0, second()).await.unwrap().is_empty()),
            _ => a.ack(&of_a[beat - 10]).await.unwrap(),
        }
        let polled = b.poll(100, second()).await.unwrap();
        ack_all(&b, &polled).await;
        of_b.extend(polled);
    }
    ack_all(&a, &of_a).await;
    assert_eq!(of_b.len(), owned(&b, &pushed));
    assert_eq!((a.assignment().len(), b.assignment().len()), (1, 1));
}

pub(crate) async fn a_wait_in_a_poll_keeps_a_member(engine: impl Engine) {
    // guarantee: K7
    let topic = engine.topic("t", 2).await;
    let config = || group().session_timeout(5 * second());
    let a = engine.reader(config(), topic).await;
    let b = engine.reader(config(), topic).await;
    settle(&[&a, &b], 2).await;
    let before = (a.assignment(), b.assignment());
    let (of_a, of_b) = tokio::join!(a.poll(10, 60 * second()), b.poll(10, 60 * second()));
    assert!(of_a.unwrap().is_empty() && of_b.unwrap().is_empty());
    assert_eq!((a.assignment(), b.assignment()), before);
}

pub(crate) async fn more_members_than_partitions(engine: impl Engine) {
    // guarantee: K7
    let topic = engine.topic("t", 1).await;
    let a = engine.reader(group(), topic).await;
    let b = engine.reader(group(), topic).await;
    assert_eq!(settle(&[&a, &b], 1).await.iter().sum::<usize>(), 1);
    push_round(&engine, topic, 0).await;
    let (owner, other) = match a.assignment().len() {
        1 => (a, b),
        _ => (b, a),
    };
    drain(&other, 0).await;
    drain_and_ack(&owner, 40).await;
    push_round(&engine, topic, 1).await;
    owner.close().await.unwrap();
    drain_and_ack(&other, 40).await;
}
