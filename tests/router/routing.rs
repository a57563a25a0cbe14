//! Who gets what, under which number.

use std::sync::{Arc, Mutex};

use super::*;

#[test]
fn each_key_counts_for_itself_from_one() {
    let router = router(8, Overflow::Wait);
    let (mut ann, mut bob) = (router.connect("ann"), router.connect("bob"));
    for n in 0..3 {
        assert_eq!(now(router.push(&"ann", n)).unwrap().seq, u64::from(n) + 1);
    }
    assert_eq!(now(router.push(&"bob", 9)).unwrap().seq, 1);
    assert_eq!(rest(&mut ann), (vec![(1, 0), (2, 1), (3, 2)], false));
    assert_eq!(rest(&mut bob), (vec![(1, 9)], false));
}

#[test]
fn every_connection_of_a_key_gets_it() {
    let router = router(8, Overflow::Wait);
    let mut all: Vec<_> = (0..10).map(|_| router.connect("room")).collect();
    let routed = now(router.push(&"room", 7)).unwrap();
    assert_eq!(
        routed,
        Routed {
            connections: 10,
            seq: 1,
            stored: false
        }
    );
    for connection in &mut all {
        assert_eq!(seqs(connection), [1]);
    }
    // From the front, the middle and the end.
    for (left, at) in [(9, 0), (8, 4), (7, 7)] {
        drop(all.remove(at));
        assert_eq!(router.connections(&"room"), left);
        assert_eq!(now(router.push(&"room", 7)).unwrap().connections, left);
    }
    for connection in &mut all {
        assert_eq!(seqs(connection), [2, 3, 4]);
    }
}

#[test]
fn a_connection_gets_what_comes_after_it() {
    let router = router(8, Overflow::Wait);
    now(router.push(&"ann", 1)).unwrap();
    let mut first = router.connect("ann");
    now(router.push(&"ann", 2)).unwrap();
    let mut second = router.connect("ann");
    now(router.push(&"ann", 3)).unwrap();
    assert_eq!(seqs(&mut first), [2, 3]);
    assert_eq!(seqs(&mut second), [3]);
    assert_eq!((first.missed(), second.missed()), (0, 0));
}

#[test]
fn to_nobody_it_is_counted_and_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = told.clone();
    let router = Router::builder()
        .on_offline(move |key: &Key, item: &u32| tells.lock().unwrap().push((*key, *item)))
        .build();
    let routed = now(router.push(&"ann", 1)).unwrap();
    assert_eq!(
        routed,
        Routed {
            connections: 0,
            seq: 1,
            stored: false
        }
    );
    let ann = router.connect("ann");
    now(router.push(&"ann", 2)).unwrap();
    drop(ann);
    now(router.push(&"ann", 3)).unwrap();
    assert_eq!(*told.lock().unwrap(), [("ann", 1), ("ann", 3)]);
    let stats = router.stats();
    assert_eq!((stats.pushed, stats.offline, stats.stored), (3, 2, 0));
    assert_eq!((stats.keys, stats.online), (1, 0));
}

#[test]
fn offline_is_told_where_it_was_stored_too() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = told.clone();
    let router = Router::builder()
        .mailbox(Memory::new())
        .on_offline(move |key: &Key, item: &u32| tells.lock().unwrap().push((*key, *item)))
        .build();
    let routed = now(router.push(&"ann", 1)).unwrap();
    assert_eq!(
        routed,
        Routed {
            connections: 0,
            seq: 1,
            stored: true
        }
    );
    // One that replays is connected.
    let _ann = router.connect_from("ann", 0);
    assert!(router.is_online(&"ann"));
    let routed = now(router.push(&"ann", 2)).unwrap();
    assert_eq!(
        routed,
        Routed {
            connections: 1,
            seq: 2,
            stored: true
        }
    );
    assert_eq!(*told.lock().unwrap(), [("ann", 1)]);
    assert_eq!(router.stats().stored, 2);
}

#[test]
fn online_is_seen_at_once() {
    for router in [router(8, Overflow::Wait), stored()] {
        assert!(!router.is_online(&"ann"));
        let phone = router.connect("ann");
        let tablet = router.connect_from("ann", 0);
        assert_eq!(
            (router.is_online(&"ann"), router.connections(&"ann")),
            (true, 2)
        );
        let stats = router.stats();
        assert_eq!((stats.online, stats.connections, stats.keys), (1, 2, 1));
        drop(phone);
        assert_eq!(router.connections(&"ann"), 1);
        drop(tablet);
        assert!(!router.is_online(&"ann"));
        let stats = router.stats();
        assert_eq!((stats.online, stats.connections, stats.keys), (0, 0, 0));
    }
}

#[test]
fn what_is_queued_in_a_dropped_connection_is_abandoned() {
    let router = router(8, Overflow::Wait);
    let mut ann = router.connect("ann");
    for n in 0..5 {
        now(router.push(&"ann", n)).unwrap();
    }
    assert_eq!(now(ann.pull()), Some((1, 0)));
    assert_eq!(
        (
            ann.stats().received,
            ann.stats().queued,
            ann.stats().capacity
        ),
        (1, 4, 8)
    );
    drop(ann);
    let stats = router.stats();
    assert_eq!((stats.delivered, stats.abandoned, stats.dropped), (1, 4, 0));
}

#[test]
fn a_number_survives_its_connections_and_can_be_forgotten() {
    let router = router(8, Overflow::Wait);
    let ann = router.connect("ann");
    now(router.push(&"ann", 1)).unwrap();
    assert!(!router.forget(&"ann"));
    drop(ann);
    assert_eq!(now(router.push(&"ann", 2)).unwrap().seq, 2);
    let mut ann = router.connect("ann");
    assert_eq!(now(router.push(&"ann", 3)).unwrap().seq, 3);
    assert_eq!(seqs(&mut ann), [3]);
    drop(ann);
    assert!(router.forget(&"ann"));
    assert!(!router.forget(&"ann"));
    assert_eq!(now(router.push(&"ann", 4)).unwrap().seq, 1);
}

#[test]
fn a_mailbox_leaves_nothing_of_a_key_in_the_router() {
    let router = stored();
    for _ in 0..3 {
        now(router.push(&"ann", 1)).unwrap();
        drop(router.connect("ann"));
        drop(router.connect_from("ann", 0));
    }
    assert_eq!(router.stats().keys, 0);
    assert!(!router.forget(&"ann"));
}

#[test]
fn disconnected_ones_drain_and_end() {
    let router = router(8, Overflow::Wait);
    let (mut phone, mut tablet) = (router.connect("ann"), router.connect("ann"));
    now(router.push(&"ann", 1)).unwrap();
    assert_eq!(router.disconnect(&"ann"), 2);
    assert_eq!(
        (router.connections(&"ann"), router.stats().connections),
        (0, 0)
    );
    assert_eq!(now(router.push(&"ann", 2)).unwrap().connections, 0);
    let mut again = router.connect("ann");
    now(router.push(&"ann", 3)).unwrap();
    for gone in [&mut phone, &mut tablet] {
        assert_eq!(rest(gone), (vec![(1, 1)], true));
    }
    // Their going is nothing to the one that came after them.
    drop((phone, tablet));
    assert_eq!(router.connections(&"ann"), 1);
    assert_eq!(rest(&mut again), (vec![(3, 3)], false));
}

#[test]
fn closed_it_takes_nothing_and_everybody_drains() {
    for router in [router(8, Overflow::Wait), stored()] {
        let (mut live, mut replay) = (router.connect("ann"), router.connect_from("ann", 0));
        now(router.push(&"ann", 1)).unwrap();
        router.close();
        router.close();
        let error = now(router.push(&"ann", 2)).unwrap_err();
        assert!(error.is_closed());
        assert_eq!(error.into_item(), 2);
        assert!(now(router.push_many(["ann"], 2)).unwrap_err().is_closed());
        assert!(now(router.push_all(2)).unwrap_err().is_closed());
        assert_eq!(rest(&mut live), (vec![(1, 1)], true));
        assert_eq!(rest(&mut replay), (vec![(1, 1)], true));
        assert_eq!(rest(&mut router.connect("ann")), (vec![], true));
        assert_eq!(rest(&mut router.connect_from("ann", 0)), (vec![], true));
        assert_eq!((router.stats().connections, router.stats().online), (0, 0));
    }
}

#[test]
fn the_last_handle_closes_it() {
    for router in [router(8, Overflow::Wait), stored()] {
        let (mut live, mut replay) = (router.connect("ann"), router.connect_from("ann", 0));
        let other = router.clone();
        now(router.push(&"ann", 1)).unwrap();
        drop(router);
        now(other.push(&"ann", 2)).unwrap();
        drop(other);
        assert_eq!(rest(&mut live), (vec![(1, 1), (2, 2)], true));
        assert_eq!(rest(&mut replay), (vec![(1, 1), (2, 2)], true));
    }
}

#[test]
fn to_many_and_to_all() {
    for router in [router(8, Overflow::Wait), stored()] {
        let kept = u64::from(router.stats().keys == 0) as usize;
        assert_eq!(kept, 1);
        let mut ann = router.connect("ann");
        let mut bob = [router.connect("bob"), router.connect("bob")];
        let routed = now(router.push_many(["ann", "bob", "eve"], 1)).unwrap();
        assert_eq!((routed.keys, routed.connections), (3, 3));
        let keys: Vec<Key> = vec!["ann", "ann"];
        let routed = now(router.push_many(&keys, 2)).unwrap();
        assert_eq!((routed.keys, routed.connections), (2, 2));
        let routed = now(router.push_all(3)).unwrap();
        assert_eq!((routed.keys, routed.connections), (2, 3));
        assert_eq!(rest(&mut ann).0, [(1, 1), (2, 2), (3, 2), (4, 3)]);
        for bob in &mut bob {
            assert_eq!(rest(bob).0, [(1, 1), (2, 3)]);
        }
        assert_eq!(router.stats().pushed, 7);
        let none: [Key; 0] = [];
        assert_eq!(now(router.push_many(none, 4)).unwrap().keys, 0);
    }
}

#[test]
fn many_keys_at_once_wait_for_their_own_sake_only() {
    let router = router(1, Overflow::Wait);
    let mut slow = router.connect("slow");
    let mut quick = router.connect("quick");
    now(router.push(&"slow", 1)).unwrap();
    let mut all = Box::pin(router.push_all(2));
    assert!(poll(&mut all).is_pending());
    // The other has it already, and goes on.
    assert_eq!(rest(&mut quick).0, [(1, 2)]);
    now(router.push(&"quick", 3)).unwrap();
    assert_eq!(seqs(&mut slow), [1]);
    let Poll::Ready(Ok(routed)) = poll(&mut all) else {
        panic!("there is room for it");
    };
    assert_eq!((routed.keys, routed.connections), (2, 2));
    assert_eq!(rest(&mut slow).0, [(2, 2)]);
}

#[test]
fn a_hundred_thousand_keys() {
    let router = Router::<u32, u32>::builder()
        .connection_queue(queue::builder().capacity(2))
        .build();
    let mut all: Vec<_> = (0..100_000).map(|key| router.connect(key)).collect();
    // It spends the budget and goes on, so it takes a few polls.
    let routed = futures::executor::block_on(router.push_all(7)).unwrap();
    assert_eq!((routed.keys, routed.connections), (100_000, 100_000));
    assert!(all.iter_mut().all(|connection| seqs(connection) == [1]));
    drop(all);
    let stats = router.stats();
    assert_eq!(
        (stats.keys, stats.online, stats.delivered),
        (100_000, 0, 100_000)
    );
}
