//! The broadcast.
//!
//! guarantee: T7

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_test::task::{new_count_waker, noop_waker};
use pushpull::broadcast::{self, Lossy, Publisher};

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn panics<R>(run: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

struct OnWake<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for OnWake<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn on_wake(woken: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(OnWake(woken)))
}

/// A value whose clone may panic, and whose living copies are counted.
#[derive(Debug)]
struct Value {
    value: u32,
    fragile: bool,
    living: Arc<AtomicUsize>,
}

impl Value {
    fn new(value: u32, fragile: bool, living: &Arc<AtomicUsize>) -> Self {
        living.fetch_add(1, Ordering::Relaxed);
        Self {
            value,
            fragile,
            living: living.clone(),
        }
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        assert!(!self.fragile, "clone panics");
        Self::new(self.value, false, &self.living)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.living.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn a_clone_that_panics() {
    // guarantee: C5
    let living = Arc::new(AtomicUsize::new(0));
    let publisher = broadcast::channel(4);
    let (mut one, mut two) = (publisher.subscribe(), publisher.subscribe());
    for (value, fragile) in [(0, false), (1, true), (2, false)] {
        assert!(
            publisher
                .try_publish(Value::new(value, fragile, &living))
                .is_ok()
        );
    }
    assert_eq!(one.try_pull().map(|value| value.value).ok(), Some(0));
    assert!(panics(|| one.try_pull()));
    // A pull that panics has taken nothing: the value is still there, for the one that gets it moved at last.
    assert!(panics(|| one.try_pull()));
    assert_eq!(two.try_pull().map(|value| value.value).ok(), Some(0));
    assert!(panics(|| two.try_pull()));
    drop(one);
    assert_eq!(two.try_pull().map(|value| value.value).ok(), Some(1));
    assert_eq!(two.try_pull().map(|value| value.value).ok(), Some(2));
    let mut one = publisher.subscribe();
    assert!(publisher.try_publish(Value::new(3, false, &living)).is_ok());
    assert_eq!(one.try_pull().map(|value| value.value).ok(), Some(3));
    assert_eq!(two.try_pull().map(|value| value.value).ok(), Some(3));
    drop((publisher, one, two));
    assert_eq!(living.load(Ordering::Relaxed), 0, "a value leaked");
}

#[test]
fn a_destructor_that_panics_in_an_eviction_and_when_a_subscriber_goes() {
    #[derive(Clone)]
    struct Explosive(Arc<AtomicUsize>, bool);
    impl Drop for Explosive {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            assert!(!self.1 || std::thread::panicking(), "drop panics");
        }
    }
    let destroyed = Arc::new(AtomicUsize::new(0));
    let publisher = broadcast::channel(1);
    let lossy = publisher.subscribe_lossy(Lossy::DropOldest);
    assert!(
        publisher
            .try_publish(Explosive(destroyed.clone(), true))
            .is_ok()
    );
    assert!(panics(
        || publisher.try_publish(Explosive(destroyed.clone(), false))
    ));
    assert_eq!(destroyed.load(Ordering::Relaxed), 1);
    drop(lossy);
    assert_eq!(destroyed.load(Ordering::Relaxed), 2);

    let lossless = publisher.subscribe();
    assert!(
        publisher
            .try_publish(Explosive(destroyed.clone(), true))
            .is_ok()
    );
    assert!(panics(|| drop(lossless)));
    assert_eq!(destroyed.load(Ordering::Relaxed), 3);
    assert_eq!(publisher.subscriber_count(), 0);
    still_works(&publisher, || Explosive(destroyed.clone(), false));
}

fn still_works<T: Clone>(publisher: &Publisher<T>, make: impl Fn() -> T) {
    let mut one = publisher.subscribe();
    let mut two = publisher.subscribe_lossy(Lossy::Disconnect);
    let (waker, woken) = new_count_waker();
    {
        let mut pull = Box::pin(one.pull());
        assert!(poll(&mut pull, &waker).is_pending());
        assert!(publisher.try_publish(make()).is_ok());
        assert_eq!(woken.get(), 1);
        assert!(poll(&mut pull, &waker).is_ready());
    }
    assert!(two.try_pull().is_ok());
}

#[test]
fn a_waker_that_panics_does_not_keep_the_others_asleep() {
    let publisher = broadcast::channel(4);
    let (mut one, mut two) = (publisher.subscribe(), publisher.subscribe());
    let (waker, woken) = new_count_waker();
    {
        let mut first = Box::pin(one.pull());
        let mut second = Box::pin(two.pull());
        assert!(poll(&mut first, &on_wake(|| panic!("waker panics"))).is_pending());
        assert!(poll(&mut second, &waker).is_pending());
        assert!(panics(|| publisher.try_publish(1)));
        assert_eq!(woken.get(), 1);
        assert_eq!(poll(&mut second, &waker), Poll::Ready(Some(1)));
        assert_eq!(poll(&mut first, &waker), Poll::Ready(Some(1)));
    }
    let mut first = Box::pin(one.pull());
    let mut second = Box::pin(two.pull());
    assert!(poll(&mut first, &on_wake(|| panic!("waker panics"))).is_pending());
    assert!(poll(&mut second, &waker).is_pending());
    assert!(panics(|| publisher.close()));
    assert_eq!(woken.get(), 2);
    assert_eq!(poll(&mut first, &waker), Poll::Ready(None));
    assert_eq!(poll(&mut second, &waker), Poll::Ready(None));
}

#[test]
fn a_waker_that_re_enters_inline() {
    let publisher = broadcast::channel(4);
    let mut one = publisher.subscribe();
    let calls = Arc::new(AtomicUsize::new(0));
    let re_enter = {
        let (publisher, calls) = (publisher.clone(), calls.clone());
        move || {
            calls.fetch_add(1, Ordering::Relaxed);
            let _ = (publisher.stats(), publisher.try_publish(100));
            let mut late = publisher.subscribe();
            let _ = late.try_pull();
        }
    };
    let mut pull = Box::pin(one.pull());
    assert!(poll(&mut pull, &on_wake(re_enter)).is_pending());
    assert_eq!(publisher.try_publish(1), Ok(1));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(poll(&mut pull, &noop_waker()), Poll::Ready(Some(1)));
    drop(pull);
    assert_eq!(one.try_pull(), Ok(100));
    still_works(&publisher, || 9);
}

#[tokio::test(start_paused = true)]
async fn futures_that_are_forgotten_hold_up_nobody_else() {
    let publisher = broadcast::channel(2);
    let (mut one, mut two) = (publisher.subscribe(), publisher.subscribe());
    let mut forgotten = Box::pin(one.pull());
    assert!(poll(&mut forgotten, &noop_waker()).is_pending());
    std::mem::forget(forgotten);
    std::mem::forget(publisher.publish(1));
    for value in 0..2 {
        assert_eq!(publisher.publish(value).await, Ok(2));
    }
    let mut forgotten = Box::pin(publisher.publish(7));
    assert!(poll(&mut forgotten, &noop_waker()).is_pending());
    std::mem::forget(forgotten);
    for value in 0..2 {
        assert_eq!(one.pull().await, Some(value));
        assert_eq!(two.pull().await, Some(value));
    }
    // Its turn may stay taken; a subscriber, and whoever closes, are not held up by it.
    let _ = publisher.try_publish(2);
    publisher.close();
    while one.pull().await.is_some() {}
    while two.pull().await.is_some() {}
}
