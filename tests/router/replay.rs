//! Going on from a number.

use super::*;

fn numbers(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[test]
fn stored_first_then_live() {
    let router = stored();
    for n in 0..10 {
        now(router.push(&"ann", n)).unwrap();
    }
    for after in 0..=10 {
        let mut ann = router.connect_from("ann", after);
        assert!(ann.is_replaying());
        assert_eq!(seqs(&mut ann), numbers(after + 1, 10), "after {after}");
        assert!(!ann.is_replaying());
        let routed = now(router.push(&"bob", 0)).unwrap();
        assert_eq!(routed.connections, 0);
        assert_eq!(ann.stats().replayed, 10 - after);
        assert_eq!((ann.missed(), ann.stats().received), (0, 10 - after));
    }
    let mut ann = router.connect_from("ann", 3);
    now(router.push(&"ann", 10)).unwrap();
    assert_eq!(seqs(&mut ann), numbers(4, 11));
    now(router.push(&"ann", 11)).unwrap();
    assert_eq!(rest(&mut ann).0, [(12, 11)]);
    assert_eq!(ann.stats().replayed, 8);
}

#[test]
fn many_pages_while_more_comes() {
    let router = stored();
    for n in 0..1_000 {
        now(router.push(&"ann", n)).unwrap();
    }
    let mut ann = router.connect_from("ann", 0);
    let mut got = Vec::new();
    for n in 1_000..1_500 {
        for _ in 0..2 {
            got.extend(now(ann.pull()));
        }
        now(router.push(&"ann", n)).unwrap();
    }
    got.extend(rest(&mut ann).0);
    let expected: Vec<(u64, u32)> = (1..=1_500).zip(0..1_500).collect();
    assert_eq!(got, expected);
    assert!(!ann.is_replaying());
}

#[test]
fn what_is_not_retained_is_missed() {
    let mailbox = Memory::new().retain(3);
    let router: Router<Key, u32> = Router::builder().mailbox(mailbox).build();
    for n in 0..10 {
        now(router.push(&"ann", n)).unwrap();
    }
    let mut ann = router.connect_from("ann", 2);
    assert_eq!(seqs(&mut ann), [8, 9, 10]);
    assert_eq!(ann.missed(), 5);
    now(router.push(&"ann", 10)).unwrap();
    assert_eq!(seqs(&mut ann), [11]);
    assert_eq!((ann.missed(), ann.stats().missed), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn all_of_it_gone_is_missed_too() {
    let minute = std::time::Duration::from_secs(60);
    let mailbox = Memory::new().retain_for(minute);
    let router: Router<Key, u32> = Router::builder().mailbox(mailbox).build();
    for n in 0..10 {
        router.push(&"ann", n).await.unwrap();
    }
    tokio::time::advance(minute).await;
    let mut ann = router.connect_from("ann", 4);
    assert_eq!(rest(&mut ann), (vec![], false));
    assert_eq!(ann.missed(), 6);
    router.push(&"ann", 10).await.unwrap();
    assert_eq!(rest(&mut ann).0, [(11, 10)]);
    assert_eq!(ann.missed(), 6);
}

#[test]
fn ahead_of_the_last_number_it_is_live() {
    let router = stored();
    for n in 0..3 {
        now(router.push(&"ann", n)).unwrap();
    }
    for after in [4, 1_000, u64::MAX - 1, u64::MAX] {
        let mut ann = router.connect_from("ann", after);
        assert_eq!(rest(&mut ann), (vec![], false));
        let routed = now(router.push(&"ann", 9)).unwrap();
        assert_eq!(routed.connections, 1);
        assert_eq!(rest(&mut ann).0, [(routed.seq, 9)], "after {after}");
        assert_eq!(ann.missed(), 0);
    }
    // Of a key that nothing was ever said to.
    let mut new = router.connect_from("new", u64::MAX);
    assert_eq!(rest(&mut new), (vec![], false));
    now(router.push(&"new", 1)).unwrap();
    assert_eq!(rest(&mut new).0, [(1, 1)]);
}

#[test]
fn without_a_mailbox_all_up_to_now_is_missed() {
    let router = router(8, Overflow::Wait);
    for n in 0..5 {
        now(router.push(&"ann", n)).unwrap();
    }
    for (after, missed) in [(0, 5), (3, 2), (5, 0), (6, 0), (u64::MAX, 0)] {
        let mut ann = router.connect_from("ann", after);
        assert!(!ann.is_replaying());
        assert_eq!(ann.missed(), missed, "after {after}");
        let seq = now(router.push(&"ann", 5)).unwrap().seq;
        assert_eq!(seqs(&mut ann), [seq]);
        assert_eq!(ann.missed(), missed, "after {after}");
        drop(ann);
        assert!(router.forget(&"ann"));
        for n in 0..5 {
            now(router.push(&"ann", n)).unwrap();
        }
    }
    assert!(now(router.sync(&"ann", 0, 10)).unwrap().is_empty());
}

#[test]
fn a_live_connection_is_not_told_of_before() {
    let router = stored();
    for n in 0..5 {
        now(router.push(&"ann", n)).unwrap();
    }
    let mut ann = router.connect("ann");
    assert_eq!(rest(&mut ann), (vec![], false));
    now(router.push(&"ann", 5)).unwrap();
    assert_eq!(rest(&mut ann).0, [(6, 5)]);
    assert_eq!(ann.missed(), 0);
}

#[test]
fn sync_reads_and_changes_nothing() {
    let router = stored();
    for n in 0..5 {
        now(router.push(&"ann", n)).unwrap();
    }
    let sync = |after, limit| -> Vec<u64> {
        let read = now(router.sync(&"ann", after, limit)).unwrap();
        read.into_iter().map(|(seq, _)| seq).collect()
    };
    assert_eq!(sync(0, 100), [1, 2, 3, 4, 5]);
    assert_eq!(sync(2, 2), [3, 4]);
    assert_eq!(sync(2, usize::MAX), [3, 4, 5]);
    assert_eq!(sync(0, 0), [0_u64; 0]);
    assert_eq!(sync(5, 100), [0_u64; 0]);
    assert_eq!(sync(u64::MAX, usize::MAX), [0_u64; 0]);
    assert!(now(router.sync(&"bob", 0, usize::MAX)).unwrap().is_empty());
    assert_eq!(router.stats().replayed, 0);
}

#[test]
fn numbers_survive_the_router() {
    let mailbox = Arc::new(Memory::new());
    for life in 0..3 {
        let router = Router::<Key, u32>::builder()
            .mailbox(mailbox.clone())
            .build();
        let mut ann = router.connect_from("ann", life * 2);
        for n in 0..2 {
            now(router.push(&"ann", n)).unwrap();
        }
        assert_eq!(seqs(&mut ann), numbers(life * 2 + 1, life * 2 + 2));
    }
}

/// Stored, and not given out yet: a replay reads it from the mailbox and must not get it again; one that was live before
/// must not lose it.
#[tokio::test(start_paused = true)]
async fn a_message_on_its_way_is_seen_once() {
    let mailbox = Slow::new(0, 1);
    let router = Router::builder().mailbox(mailbox.clone()).build();
    let mut live = router.connect("ann");
    let mut push = Box::pin(router.push(&"ann", 7));
    assert!(poll(&mut push).is_pending());
    assert_eq!(rest(&mut live), (vec![], false));
    let mut replay = router.connect_from("ann", 0);
    let mut ahead = router.connect_from("ann", 1);
    let mut late = router.connect("ann");
    assert_eq!(rest(&mut replay).0, [(1, 7)]);
    assert_eq!(rest(&mut ahead).0, []);
    assert!(!replay.is_replaying() && !ahead.is_replaying());
    let Poll::Ready(Ok(routed)) = poll(&mut push) else {
        panic!("the mailbox has it");
    };
    assert_eq!(
        routed,
        Routed {
            connections: 4,
            seq: 1,
            stored: true
        }
    );
    assert_eq!(rest(&mut live).0, [(1, 7)]);
    assert_eq!(rest(&mut late).0, [(1, 7)]);
    mailbox.after.store(0, Ordering::Relaxed);
    now(router.push(&"ann", 8)).unwrap();
    for connection in [&mut live, &mut replay, &mut ahead, &mut late] {
        assert_eq!(rest(connection).0, [(2, 8)]);
        assert_eq!(connection.missed(), 0);
    }
}

/// Stored and given out between the last look into the mailbox and the moment of going live.
#[test]
fn a_message_at_the_last_moment_is_not_lost() {
    let mailbox = Slow::new(0, 0);
    let router = Router::builder().mailbox(mailbox.clone()).build();
    now(router.push(&"ann", 1)).unwrap();
    mailbox.asked.store(1, Ordering::Relaxed);
    let mut ann = router.connect_from("ann", 0);
    // It has read everything, and knows that it has.
    assert_eq!(rest(&mut ann).0, [(1, 1)]);
    now(router.push(&"ann", 2)).unwrap();
    assert_eq!(rest(&mut ann).0, [(2, 2)]);
    assert!(ann.is_replaying());
    mailbox.asked.store(0, Ordering::Relaxed);
    assert_eq!(rest(&mut ann).0, []);
    now(router.push(&"ann", 3)).unwrap();
    assert_eq!(rest(&mut ann).0, [(3, 3)]);
    assert!(!ann.is_replaying());
    assert_eq!((ann.missed(), ann.stats().replayed), (0, 2));
}

/// A logout where the router knows no number yet: what is pushed after it is not for who has gone.
#[test]
fn a_logout_ends_a_replay_before_what_comes_after_it() {
    let router = stored();
    for n in 0..300 {
        now(router.push(&"ann", n)).unwrap();
    }
    let mut ann = router.connect_from("ann", 0);
    let mut bob = router.connect_from("ann", 0);
    assert_eq!(router.stats().keys, 1);
    assert_eq!(router.disconnect(&"ann"), 2);
    assert!(!router.is_online(&"ann"));
    assert_eq!(seqs(&mut bob), numbers(1, 300));
    for n in 300..600 {
        assert_eq!(now(router.push(&"ann", n)).unwrap().connections, 0);
    }
    let (got, ended) = rest(&mut ann);
    assert_eq!((got.len(), ended), (300, true));
    assert_eq!(rest(&mut bob), (vec![], true));
    drop((ann, bob));
    assert_eq!(router.stats().keys, 0);
}

#[test]
fn a_logout_ends_a_replay_at_what_there_is() {
    let router = stored();
    for n in 0..600 {
        now(router.push(&"ann", n)).unwrap();
    }
    // Somebody has to be there for the router to know the number.
    let _other = router.connect("ann");
    let mut ann = router.connect_from("ann", 0);
    now(router.push(&"ann", 600)).unwrap();
    assert_eq!(now(ann.pull()), Some((1, 0)));
    assert_eq!(router.disconnect(&"ann"), 2);
    for n in 601..1_000 {
        assert_eq!(now(router.push(&"ann", n)).unwrap().connections, 0);
    }
    let (rest, ended) = rest(&mut ann);
    assert!(ended);
    assert_eq!(rest.last(), Some(&(601, 600)));
    assert_eq!(rest.len(), 600);
}

#[test]
fn a_replay_that_fails_ends_and_says_why() {
    let mailbox = Slow::new(0, 0);
    let router = Router::builder().mailbox(mailbox.clone()).build();
    for n in 0..300 {
        now(router.push(&"ann", n)).unwrap();
    }
    let mut ann = router.connect_from("ann", 0);
    for _ in 0..256 {
        assert!(now(ann.pull()).is_some());
    }
    mailbox.reads_fail.store(1, Ordering::Relaxed);
    assert_eq!(rest(&mut ann), (vec![], true));
    let error = ann.error().unwrap();
    assert_eq!(error.to_string(), "the mailbox failed: the disk is full");
    assert!(!router.is_online(&"ann"));
    assert_eq!(rest(&mut ann), (vec![], true));
    let mut again = router.connect_from("ann", 256);
    assert_eq!(seqs(&mut again), numbers(257, 300));
    mailbox.reads_fail.store(1, Ordering::Relaxed);
    assert!(now(router.sync(&"ann", 0, 1)).is_err());
}
