//! User code that panics or uses the router again.
//!
//! guarantee: T7, K9

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::task::Wake;

use super::*;

#[test]
fn on_offline_may_panic() {
    for with_mailbox in [false, true] {
        let mut builder = Router::builder().on_offline(|_: &Key, item: &u32| {
            assert_ne!(*item, 1, "a bad hook");
        });
        if with_mailbox {
            builder = builder.mailbox(Memory::new());
        }
        let router = builder.build();
        let message = panic_of(|| now(router.push(&"ann", 1)));
        assert!(message.contains("a bad hook"));
        // The message has its number, was stored and counted.
        let stats = router.stats();
        assert_eq!((stats.pushed, stats.offline), (1, 1));
        assert_eq!(stats.stored, u64::from(with_mailbox));
        assert_eq!(now(router.push(&"ann", 2)).unwrap().seq, 2);
        let mut ann = router.connect("ann");
        assert_eq!(now(router.push(&"ann", 1)).unwrap().seq, 3);
        assert_eq!(seqs(&mut ann), [3]);
    }
}

#[test]
fn on_offline_may_use_the_router() {
    let own: Arc<OnceLock<Router<Key, u32>>> = Arc::default();
    let inner = own.clone();
    let router = Router::builder()
        .on_offline(move |key: &Key, item: &u32| {
            let router = inner.get().unwrap();
            assert!(!router.is_online(key));
            if *item < 5 {
                now(router.push(key, item + 1)).unwrap();
            }
            drop(router.connect(key));
        })
        .build();
    own.set(router.clone()).unwrap();
    now(router.push(&"ann", 1)).unwrap();
    assert_eq!(router.stats().pushed, 5);
}

struct BadWaker(AtomicBool);

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {
        if self.0.swap(false, Ordering::Relaxed) {
            panic!("a bad waker");
        }
    }
}

#[test]
fn a_waker_may_panic_and_every_connection_has_the_message() {
    for (connections, with_mailbox) in [(1, false), (3, false), (1, true), (3, true)] {
        let mut builder = Router::builder();
        if with_mailbox {
            builder = builder.mailbox(Memory::new());
        }
        let router: Router<Key, u32> = builder.build();
        let mut all: Vec<_> = (0..connections).map(|_| router.connect("ann")).collect();
        // The queues have had something, and sleep.
        now(router.push(&"ann", 0)).unwrap();
        let bad = Waker::from(Arc::new(BadWaker(AtomicBool::new(true))));
        for connection in &mut all {
            assert_eq!(seqs(connection), [1]);
            let mut cx = Context::from_waker(&bad);
            assert!(futures::StreamExt::poll_next_unpin(connection, &mut cx).is_pending());
        }
        assert_eq!(panic_of(|| now(router.push(&"ann", 1))), "a bad waker");
        assert_eq!(now(router.push(&"ann", 2)).unwrap().seq, 3);
        for connection in &mut all {
            assert_eq!(
                rest(connection).0,
                [(2, 1), (3, 2)],
                "{connections}, {with_mailbox}"
            );
            assert_eq!(connection.missed(), 0);
        }
    }
}

struct PushingWaker(Router<Key, u32>, AtomicUsize);

impl Wake for PushingWaker {
    fn wake(self: Arc<Self>) {
        let mut push = Box::pin(self.0.push(&"ann", 9));
        let waits = poll(&mut push).is_pending();
        self.1.fetch_add(usize::from(waits), Ordering::Relaxed);
    }
}

#[test]
fn a_waker_may_push_to_the_same_key_and_finds_the_turn_taken() {
    for connections in [1, 2] {
        let router = router(8, Overflow::Wait);
        let mut all: Vec<_> = (0..connections).map(|_| router.connect("ann")).collect();
        now(router.push(&"ann", 0)).unwrap();
        let pushing = Arc::new(PushingWaker(router.clone(), AtomicUsize::new(0)));
        let waker = Waker::from(pushing.clone());
        for connection in &mut all {
            assert_eq!(seqs(connection), [1]);
            let mut cx = Context::from_waker(&waker);
            assert!(futures::StreamExt::poll_next_unpin(connection, &mut cx).is_pending());
        }
        assert_eq!(now(router.push(&"ann", 1)).unwrap().seq, 2);
        assert_eq!(pushing.1.load(Ordering::Relaxed), connections);
        assert_eq!(now(router.push(&"ann", 2)).unwrap().seq, 3);
        for connection in &mut all {
            assert_eq!(rest(connection).0, [(2, 1), (3, 2)]);
        }
    }
}

#[test]
fn a_waker_may_panic_when_the_turn_comes() {
    let router = router(1, Overflow::Wait);
    let mut ann = router.connect("ann");
    now(router.push(&"ann", 0)).unwrap();
    let mut first = Box::pin(router.push(&"ann", 1));
    assert!(poll(&mut first).is_pending());
    let bad = Waker::from(Arc::new(BadWaker(AtomicBool::new(true))));
    let mut second = Box::pin(router.push(&"ann", 2));
    assert!(
        second
            .as_mut()
            .poll(&mut Context::from_waker(&bad))
            .is_pending()
    );
    assert_eq!(seqs(&mut ann), [1]);
    assert_eq!(panic_of(|| poll(&mut first)), "a bad waker");
    drop(first);
    assert_eq!(rest(&mut ann).0, [(2, 1)]);
    assert!(poll(&mut second).is_ready());
    assert_eq!(rest(&mut ann).0, [(3, 2)]);
}

/// Panics when it is cloned, if told to.
#[derive(Debug)]
struct Fragile(u32, Arc<AtomicBool>);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(!self.1.load(Ordering::Relaxed), "a bad clone");
        Self(self.0, self.1.clone())
    }
}

#[test]
fn a_clone_may_panic_and_nobody_has_the_message() {
    for with_mailbox in [false, true] {
        let mut builder = Router::<Key, Fragile>::builder();
        if with_mailbox {
            builder = builder.mailbox(Memory::new());
        }
        let router = builder.build();
        let mut all: Vec<_> = (0..3).map(|_| router.connect("ann")).collect();
        let bad = Arc::new(AtomicBool::new(true));
        let message = panic_of(|| now(router.push(&"ann", Fragile(1, bad.clone()))));
        assert!(message.contains("a bad clone"));
        bad.store(false, Ordering::Relaxed);
        assert_eq!(
            now(router.push(&"ann", Fragile(2, bad.clone())))
                .unwrap()
                .seq,
            1
        );
        for connection in &mut all {
            let got = rest(connection).0;
            assert_eq!((got.len(), got[0].0, got[0].1.0), (1, 1, 2));
        }
    }
}

struct BadMailbox(AtomicBool);

impl Mailbox<Key, u32> for BadMailbox {
    async fn append(&self, _: &Key, _: &u32) -> Result<u64, MailboxError> {
        assert!(!self.0.swap(false, Ordering::Relaxed), "a bad mailbox");
        Ok(1)
    }

    async fn after(&self, _: &Key, _: u64, _: usize) -> Result<Vec<(u64, u32)>, MailboxError> {
        assert!(!self.0.swap(false, Ordering::Relaxed), "a bad mailbox");
        // Always the same, asked for or not.
        Ok(vec![(1, 1), (0, 0), (1, 1)])
    }

    async fn last(&self, _: &Key) -> Result<u64, MailboxError> {
        Ok(3)
    }
}

#[test]
fn a_mailbox_may_panic_and_the_key_goes_on() {
    let mailbox = Arc::new(BadMailbox(AtomicBool::new(true)));
    let router = Router::builder().mailbox(mailbox.clone()).build();
    let mut ann = router.connect("ann");
    assert_eq!(panic_of(|| now(router.push(&"ann", 1))), "a bad mailbox");
    assert_eq!(now(router.push(&"ann", 2)).unwrap().seq, 1);
    assert_eq!(rest(&mut ann).0, [(1, 2)]);
    mailbox.0.store(true, Ordering::Relaxed);
    let mut replay = router.connect_from("ann", 0);
    assert_eq!(panic_of(|| now(replay.pull())), "a bad mailbox");
    assert_eq!(rest(&mut replay), (vec![], true));
    drop(replay);
    assert_eq!(router.connections(&"ann"), 1);
}

#[test]
fn a_mailbox_that_talks_nonsense_does_not_hang_a_replay() {
    let mailbox = BadMailbox(AtomicBool::new(false));
    let router = Router::builder().mailbox(mailbox).build();
    let mut replay = router.connect_from("ann", 0);
    let (got, ended) = rest(&mut replay);
    assert_eq!((got.first(), ended), (Some(&(1, 1)), false));
    assert!(got.len() <= 3);
}

/// A key whose drop and clone use the router.
#[derive(Debug)]
struct Nosy(u32, Option<Router<Self, u32>>);

impl Nosy {
    fn look(&self) {
        if let Some(router) = &self.1 {
            let _online = router.is_online(&Self(self.0, None));
            let _keys = router.stats().keys;
        }
    }
}

impl PartialEq for Nosy {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Nosy {}

impl std::hash::Hash for Nosy {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Clone for Nosy {
    fn clone(&self) -> Self {
        self.look();
        Self(self.0, self.1.clone())
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.look();
    }
}

#[test]
fn keys_are_cloned_and_dropped_outside_of_locks() {
    for with_mailbox in [false, true] {
        let mut builder = Router::<Nosy, u32>::builder();
        if with_mailbox {
            builder = builder.mailbox(Memory::new());
        }
        let router = builder.build();
        let key = |n| Nosy(n, Some(router.clone()));
        for n in 0..3 {
            let ann = router.connect(key(n));
            let back = router.connect_from(key(n), 0);
            now(router.push(&key(n), 1)).unwrap();
            now(router.push_all(1)).unwrap();
            drop((ann, back));
            now(router.push(&key(n), 1)).unwrap();
            router.forget(&key(n));
            let _gone = router.connect(key(n));
            router.disconnect(&key(n));
        }
        router.close();
    }
}
