//! Queues that wait, refuse and drop.

use std::sync::{Arc, Mutex};

use pushpull::queue::DropReason;

use super::*;

type Five = (Router<Key, u32>, Connection<u32>, Vec<(u64, DropReason)>);

/// Five messages to a key with one connection that has room for two, and is not pulled from.
fn five(overflow: Overflow) -> Five {
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let drops = dropped.clone();
    let queue = bounded(2)
        .overflow(overflow)
        .on_drop(move |(seq, _), reason| drops.lock().unwrap().push((seq, reason)));
    let router = Router::builder().connection_queue(queue).build();
    let connection = router.connect("ann");
    for n in 0..5 {
        let routed = now(router.push(&"ann", n)).unwrap();
        assert_eq!((routed.connections, routed.seq), (1, u64::from(n) + 1));
    }
    let dropped = dropped.lock().unwrap().clone();
    (router, connection, dropped)
}

#[test]
fn dropping_queues_miss_and_count() {
    let newest = [3, 4, 5].map(|seq| (seq, DropReason::Newest));
    let oldest = [1, 2, 3].map(|seq| (seq, DropReason::Oldest));
    for (overflow, dropped, kept, missed) in [
        (Overflow::DropNewest, newest, [1, 2], 0),
        (Overflow::Reject, newest, [1, 2], 0),
        (Overflow::DropOldest, oldest, [4, 5], 3),
    ] {
        let (router, mut connection, told) = five(overflow);
        assert_eq!(told, dropped, "{overflow:?}");
        assert_eq!(connection.stats().dropped, 3, "{overflow:?}");
        let stats = router.stats();
        assert_eq!((stats.pushed, stats.delivered, stats.dropped), (5, 2, 3));
        assert_eq!(seqs(&mut connection), kept, "{overflow:?}");
        assert_eq!(connection.missed(), missed, "{overflow:?}");
        // What was dropped behind the last one shows with the next.
        now(router.push(&"ann", 5)).unwrap();
        assert_eq!(seqs(&mut connection), [6], "{overflow:?}");
        assert_eq!(connection.missed(), 3, "{overflow:?}");
        let stats = router.stats();
        assert_eq!((stats.delivered, stats.dropped, stats.abandoned), (3, 3, 0));
    }
}

#[test]
fn a_dropping_connection_costs_the_others_nothing() {
    let router = router(2, Overflow::DropOldest);
    let (mut slow, mut quick) = (router.connect("ann"), router.connect("ann"));
    for n in 0..100 {
        assert_eq!(now(router.push(&"ann", n)).unwrap().connections, 2);
        assert_eq!(seqs(&mut quick), [u64::from(n) + 1]);
    }
    assert_eq!(seqs(&mut slow), [99, 100]);
    assert_eq!((slow.missed(), quick.missed()), (98, 0));
    assert_eq!(router.stats().dropped, 98);
}

#[test]
fn a_waiting_connection_holds_up_its_own_key_only() {
    let router = router(1, Overflow::Wait);
    let (mut slow, mut quick) = (router.connect("ann"), router.connect("ann"));
    let mut bob = router.connect("bob");
    now(router.push(&"ann", 1)).unwrap();
    assert_eq!(seqs(&mut quick), [1]);
    let mut second = Box::pin(router.push(&"ann", 2));
    let mut third = Box::pin(router.push(&"ann", 3));
    assert!(poll(&mut second).is_pending());
    assert!(poll(&mut third).is_pending());
    // All connections or none: the one with room has not got it either.
    assert_eq!(seqs(&mut quick), [0_u64; 0]);
    for n in 0..10 {
        now(router.push(&"bob", n)).unwrap();
        assert_eq!(seqs(&mut bob).len(), 1);
    }
    assert_eq!(seqs(&mut slow), [1]);
    // In the order of arrival, whoever is polled first.
    assert!(poll(&mut third).is_pending());
    assert!(matches!(
        poll(&mut second),
        Poll::Ready(Ok(Routed {
            connections: 2,
            seq: 2,
            ..
        }))
    ));
    assert!(poll(&mut third).is_pending());
    assert_eq!(
        (rest(&mut slow).0, rest(&mut quick).0),
        (vec![(2, 2)], vec![(2, 2)])
    );
    assert!(matches!(
        poll(&mut third),
        Poll::Ready(Ok(Routed {
            connections: 2,
            seq: 3,
            ..
        }))
    ));
}

#[test]
fn who_waits_is_freed_by_a_connection_that_goes() {
    let router = router(1, Overflow::Wait);
    let slow = router.connect("ann");
    let mut quick = router.connect("ann");
    now(router.push(&"ann", 1)).unwrap();
    assert_eq!(seqs(&mut quick), [1]);
    let mut second = Box::pin(router.push(&"ann", 2));
    assert!(poll(&mut second).is_pending());
    drop(slow);
    assert!(matches!(
        poll(&mut second),
        Poll::Ready(Ok(Routed {
            connections: 1,
            seq: 2,
            ..
        }))
    ));
    assert_eq!(rest(&mut quick).0, [(2, 2)]);
    // By a logout too.
    now(router.push(&"ann", 3)).unwrap();
    let mut fourth = Box::pin(router.push(&"ann", 4));
    assert!(poll(&mut fourth).is_pending());
    router.disconnect(&"ann");
    assert!(matches!(
        poll(&mut fourth),
        Poll::Ready(Ok(Routed {
            connections: 0,
            seq: 4,
            ..
        }))
    ));
    // And by the end.
    let _slow = router.connect("ann");
    now(router.push(&"ann", 5)).unwrap();
    let mut sixth = Box::pin(router.push(&"ann", 6));
    let mut seventh = Box::pin(router.push(&"ann", 7));
    assert!(poll(&mut sixth).is_pending());
    assert!(poll(&mut seventh).is_pending());
    router.close();
    for (push, item) in [(&mut sixth, 6), (&mut seventh, 7)] {
        let Poll::Ready(Err(RouteError::Closed(back))) = poll(push) else {
            panic!("it is refused");
        };
        assert_eq!(back, item);
    }
}

#[test]
fn nobody_passes_a_push_that_waits() {
    let router = router(1, Overflow::Wait);
    let (mut slow, mut quick) = (router.connect("ann"), router.connect("ann"));
    now(router.push(&"ann", 1)).unwrap();
    assert_eq!(seqs(&mut quick), [1]);
    let mut second = Box::pin(router.push(&"ann", 2));
    assert!(poll(&mut second).is_pending());
    // One connection is left, and it has room.
    drop(quick);
    assert_eq!(seqs(&mut slow), [1]);
    let mut third = Box::pin(router.push(&"ann", 3));
    assert!(poll(&mut third).is_pending());
    assert!(matches!(
        poll(&mut second),
        Poll::Ready(Ok(Routed { seq: 2, .. }))
    ));
    assert_eq!(rest(&mut slow).0, [(2, 2)]);
    assert!(matches!(
        poll(&mut third),
        Poll::Ready(Ok(Routed { seq: 3, .. }))
    ));
    assert_eq!(rest(&mut slow).0, [(3, 3)]);
}

#[test]
fn who_comes_while_a_push_waits_gets_it() {
    let router = router(1, Overflow::Wait);
    let mut slow = router.connect("ann");
    now(router.push(&"ann", 1)).unwrap();
    let mut second = Box::pin(router.push(&"ann", 2));
    assert!(poll(&mut second).is_pending());
    let mut late: Vec<_> = (0..3).map(|_| router.connect("ann")).collect();
    assert_eq!(seqs(&mut slow), [1]);
    assert!(matches!(
        poll(&mut second),
        Poll::Ready(Ok(Routed { connections: 4, .. }))
    ));
    for connection in late.iter_mut().chain([&mut slow]) {
        assert_eq!(seqs(connection), [2]);
    }
}

#[test]
fn weights_are_waited_for_and_too_heavy_is_dropped() {
    let queue = queue::builder().max_weight(10, |(_, item): &(u64, u32)| *item as usize);
    let router: Router<Key, u32> = Router::builder().connection_queue(queue).build();
    let mut ann = router.connect("ann");
    now(router.push(&"ann", 6)).unwrap();
    let mut heavy = Box::pin(router.push(&"ann", 5));
    assert!(poll(&mut heavy).is_pending());
    assert_eq!(now(ann.pull()), Some((1, 6)));
    assert!(poll(&mut heavy).is_ready());
    now(router.push(&"ann", 11)).unwrap();
    now(router.push(&"ann", 1)).unwrap();
    assert_eq!(rest(&mut ann).0, [(2, 5), (4, 1)]);
    assert_eq!(
        (ann.missed(), ann.stats().dropped, router.stats().dropped),
        (1, 1, 1)
    );
    // With two connections room is looked for ahead.
    let mut bob = [router.connect("bob"), router.connect("bob")];
    now(router.push(&"bob", 6)).unwrap();
    let mut heavy = Box::pin(router.push(&"bob", 5));
    assert_eq!(seqs(&mut bob[0]), [1]);
    assert!(poll(&mut heavy).is_pending());
    assert_eq!(seqs(&mut bob[1]), [1]);
    assert!(poll(&mut heavy).is_ready());
    now(router.push(&"bob", 11)).unwrap();
    for bob in &mut bob {
        assert_eq!(rest(bob).0, [(2, 5)]);
        assert_eq!(bob.stats().dropped, 1);
    }
}

#[test]
fn extremes_of_the_queue() {
    let router = router(usize::MAX, Overflow::Wait);
    let mut ann = router.connect("ann");
    for n in 0..1_000 {
        now(router.push(&"ann", n)).unwrap();
    }
    assert_eq!(seqs(&mut ann).len(), 1_000);
    let one = super::router(1, Overflow::DropOldest);
    let mut ann = one.connect("ann");
    for n in 0..1_000 {
        now(one.push(&"ann", n)).unwrap();
    }
    assert_eq!(seqs(&mut ann), [1_000]);
    assert_eq!(ann.missed(), 999);
}

#[tokio::test(start_paused = true)]
async fn the_queue_of_a_replay_is_empty_until_it_is_live() {
    let router = Router::builder()
        .connection_queue(bounded(1))
        .mailbox(Memory::new().retain(usize::MAX))
        .build();
    let mut ann = router.connect_from("ann", 0);
    // A queue of one, and nothing waits for it.
    for n in 0..600 {
        now(router.push(&"ann", n)).unwrap();
    }
    let all: Vec<u64> = (1..=600).collect();
    assert_eq!(seqs(&mut ann), all);
    assert!(!ann.is_replaying());
    now(router.push(&"ann", 600)).unwrap();
    assert!(poll(&mut Box::pin(router.push(&"ann", 601))).is_pending());
    assert_eq!(seqs(&mut ann), [601]);
}
