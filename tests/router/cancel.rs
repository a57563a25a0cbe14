//! Pushes polled a number of times and dropped: all of a key's connections have the message, and its mailbox, or none.
//!
//! guarantee: T5, K9

use super::*;

/// Lets spawned tasks go on as far as they can.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

/// A push to three connections with room for one, that wait each for a pull; dropped after `polls`.
#[test]
fn of_queues_that_wait() {
    for polls in 0..6 {
        let router = router(1, Overflow::Wait);
        let mut all: Vec<_> = (0..3).map(|_| router.connect("ann")).collect();
        now(router.push(&"ann", 1)).unwrap();
        let mut push = Box::pin(router.push(&"ann", 2));
        let mut done = false;
        for at in 0..polls {
            if let Poll::Ready(routed) = poll(&mut push) {
                assert_eq!(routed.unwrap().connections, 3);
                done = true;
                break;
            }
            if let Some(connection) = all.get_mut(at) {
                assert_eq!(seqs(connection), [1]);
            }
        }
        assert_eq!(done, polls > 3, "{polls} polls");
        drop(push);
        for connection in &mut all {
            let got = seqs(connection);
            assert!(got.ends_with(&[2]) == done, "{polls} polls: {got:?}");
        }
        // The number is not lost, nor the turn.
        assert_eq!(
            now(router.push(&"ann", 3)).unwrap().seq,
            2 + u64::from(done)
        );
        for connection in &mut all {
            assert_eq!(rest(connection).0, [(2 + u64::from(done), 3)]);
            assert_eq!(connection.missed(), 0);
        }
        assert_eq!(router.stats().pushed, 2 + u64::from(done));
    }
}

/// Whoever waits for the turn, at each place in the line, goes, before and after the turn has come to them.
#[test]
fn in_line_for_the_turn() {
    for gone in 0..4 {
        for late in [false, true] {
            let router = router(1, Overflow::Wait);
            let mut ann = router.connect("ann");
            now(router.push(&"ann", 0)).unwrap();
            let mut line: Vec<_> = (1..=4).map(|n| Box::pin(router.push(&"ann", n))).collect();
            for push in &mut line {
                assert!(poll(push).is_pending());
            }
            if late {
                // The first goes through and hands on; the others have not been polled since.
                assert_eq!(seqs(&mut ann), [1]);
                let first = poll(&mut line[0]);
                assert!(first.is_ready());
            }
            drop(line.remove(gone));
            let mut got = rest(&mut ann).0;
            for push in line.iter_mut().skip(usize::from(late && gone > 0)) {
                assert!(poll(push).is_ready(), "{gone} gone, {late}");
                got.extend(rest(&mut ann).0);
            }
            let items: Vec<u32> = got.iter().map(|(_, item)| *item).collect();
            let expected: Vec<u32> = (0..=4)
                .filter(|n| *n != 0 || !late)
                .filter(|n| *n != gone as u32 + 1 || late && *n == 1)
                .collect();
            assert_eq!(items, expected, "{gone} gone, {late}");
            assert_eq!(ann.missed(), 0);
            let seqs: Vec<u64> = got.iter().map(|(seq, _)| *seq).collect();
            assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        }
    }
}

#[test]
fn those_who_left_the_line_are_passed_over() {
    let router = router(1, Overflow::Wait);
    let mut ann = router.connect("ann");
    now(router.push(&"ann", 0)).unwrap();
    let mut first = Box::pin(router.push(&"ann", 1));
    assert!(poll(&mut first).is_pending());
    let item = 2;
    for _ in 0..100_000 {
        assert!(poll(&mut Box::pin(router.push(&"ann", item))).is_pending());
    }
    let mut last = Box::pin(router.push(&"ann", 3));
    assert!(poll(&mut last).is_pending());
    assert_eq!(rest(&mut ann).0, [(1, 0)]);
    assert!(poll(&mut first).is_ready());
    assert_eq!(rest(&mut ann).0, [(2, 1)]);
    assert!(poll(&mut last).is_ready());
    assert_eq!(rest(&mut ann).0, [(3, 3)]);
}

/// A mailbox that is pending `before` times, stores, and is pending `after` times: from the first poll on the message
/// gets there.
#[tokio::test(start_paused = true)]
async fn of_a_mailbox_that_takes_its_time() {
    for before in 0..3 {
        for after in 0..3 {
            for polls in 0..=before + after + 1 {
                let what = format!("{before}, {after}, {polls} polls");
                let mailbox = Slow::new(before, after);
                let router = Router::builder().mailbox(mailbox.clone()).build();
                let mut live = [router.connect("ann"), router.connect("ann")];
                let mut replay = router.connect_from("ann", 0);
                assert_eq!(rest(&mut replay), (vec![], false));
                let mut push = Box::pin(router.push(&"ann", 1));
                let done = (0..polls).any(|_| poll(&mut push).is_ready());
                assert_eq!(done, polls > before + after, "{what}");
                drop(push);
                let goes = polls > 0;
                for _ in 0..before + after {
                    settle().await;
                    mailbox.go_on();
                }
                settle().await;
                let expected = if goes { vec![(1, 1)] } else { vec![] };
                assert_eq!(now(router.sync(&"ann", 0, 9)).unwrap(), expected, "{what}");
                for connection in live.iter_mut().chain([&mut replay]) {
                    assert_eq!(rest(connection).0, expected, "{what}");
                }
                assert_eq!(router.stats().pushed, u64::from(goes), "{what}");
                // The turn is free, and the next number the next.
                mailbox.before.store(0, Ordering::Relaxed);
                mailbox.after.store(0, Ordering::Relaxed);
                assert_eq!(
                    now(router.push(&"ann", 2)).unwrap().seq,
                    1 + u64::from(goes)
                );
                for connection in live.iter_mut().chain([&mut replay]) {
                    assert_eq!(rest(connection).0, [(1 + u64::from(goes), 2)], "{what}");
                    assert_eq!(connection.missed(), 0);
                }
            }
        }
    }
}

/// The one that follows waits for the task that has taken over.
#[tokio::test(start_paused = true)]
async fn order_is_kept_behind_a_cancelled_push() {
    let mailbox = Slow::new(1, 1);
    let router = Router::builder().mailbox(mailbox.clone()).build();
    let mut ann = router.connect("ann");
    let mut first = Box::pin(router.push(&"ann", 1));
    assert!(poll(&mut first).is_pending());
    let mut second = Box::pin(router.push(&"ann", 2));
    assert!(poll(&mut second).is_pending());
    drop(first);
    assert!(poll(&mut second).is_pending());
    assert_eq!(mailbox.appends.load(Ordering::Relaxed), 1);
    let second = tokio::spawn(async move {
        let mailbox = mailbox;
        let going = async {
            loop {
                mailbox.go_on();
                tokio::task::yield_now().await;
            }
        };
        going.await
    });
    settle().await;
    second.abort();
    assert_eq!(rest(&mut ann).0, [(1, 1)]);
}

/// The last handle goes while a message is on its way: the connections have it before they end.
#[tokio::test(start_paused = true)]
async fn a_message_on_its_way_keeps_the_router_open() {
    let mailbox = Slow::new(1, 1);
    let router = Router::builder().mailbox(mailbox.clone()).build();
    let mut ann = router.connect("ann");
    let mut push = Box::pin(router.push(&"ann", 1));
    assert!(poll(&mut push).is_pending());
    drop(push);
    drop(router);
    assert_eq!(rest(&mut ann), (vec![], false));
    for _ in 0..2 {
        settle().await;
        mailbox.go_on();
    }
    settle().await;
    assert_eq!(rest(&mut ann), (vec![(1, 1)], true));
}

/// Closed while it is being stored: it is stored, and says so.
#[tokio::test(start_paused = true)]
async fn closed_while_a_message_is_stored() {
    let mailbox = Slow::new(0, 1);
    let router = Router::builder().mailbox(mailbox.clone()).build();
    let mut ann = router.connect("ann");
    let mut push = Box::pin(router.push(&"ann", 1));
    assert!(poll(&mut push).is_pending());
    router.close();
    let Poll::Ready(Ok(routed)) = poll(&mut push) else {
        panic!("it is stored");
    };
    assert_eq!(
        routed,
        Routed {
            connections: 0,
            seq: 1,
            stored: true
        }
    );
    assert_eq!(rest(&mut ann), (vec![], true));
}

#[test]
fn pulls_sync_and_pushes_to_many() {
    let router = router(1, Overflow::Wait);
    let (mut ann, mut bob) = (router.connect("ann"), router.connect("bob"));
    for _ in 0..3 {
        assert!(poll(&mut Box::pin(ann.pull())).is_pending());
    }
    now(router.push(&"ann", 1)).unwrap();
    let mut many = Box::pin(router.push_many(["ann", "bob"], 2));
    assert!(poll(&mut many).is_pending());
    drop(many);
    assert_eq!(
        (rest(&mut ann).0, rest(&mut bob).0),
        (vec![(1, 1)], vec![(1, 2)])
    );
    now(router.push(&"ann", 3)).unwrap();
    let mut all = Box::pin(router.push_all(4));
    assert!(poll(&mut all).is_pending());
    drop(all);
    assert_eq!(
        (rest(&mut ann).0, rest(&mut bob).0),
        (vec![(2, 3)], vec![(2, 4)])
    );
    now(router.push(&"ann", 5)).unwrap();
    assert_eq!(rest(&mut ann).0, [(3, 5)]);
}
