//! Every item meets its destructor once, whatever becomes of the ring, and whatever the destructor does.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::Ring;

/// What was destroyed, in order.
type Grave = Rc<RefCell<Vec<u64>>>;

struct Mortal {
    number: u64,
    fatal: bool,
    grave: Grave,
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.grave.borrow_mut().push(self.number);
        assert!(!self.fatal, "item {} takes others with it", self.number);
    }
}

/// A ring of eight, with items 0 to 5 over its seam. Those in `fatal` panic when they are destroyed.
fn six(grave: &Grave, fatal: &[u64]) -> Ring<Mortal> {
    let mut ring = Ring::with_room(false, 8);
    let mortal = |number| Mortal {
        number,
        fatal: fatal.contains(&number),
        grave: grave.clone(),
    };
    let mut early: VecDeque<_> = (100..105).map(mortal).collect();
    ring.push_many(&mut early, 5);
    let mut out = Vec::with_capacity(5);
    ring.pop_many(&mut out, 5);
    drop(out);
    grave.borrow_mut().clear();
    (0..6).for_each(|number| ring.push(mortal(number), 0));
    ring
}

fn in_the(grave: &Grave) -> Vec<u64> {
    grave.take()
}

#[test]
fn a_ring_takes_its_items_with_it() {
    let grave = Grave::default();
    drop(six(&grave, &[]));
    assert_eq!(in_the(&grave), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn what_was_moved_is_destroyed_by_its_new_owner() {
    let grave = Grave::default();
    let mut ring = six(&grave, &[]);
    drop(ring.adopt(Ring::with_room(false, 32)));
    assert!(in_the(&grave).is_empty());
    drop(ring.pop());
    assert_eq!(in_the(&grave), [0]);
    let mut out = Vec::with_capacity(2);
    ring.pop_many(&mut out, 2);
    drop(out);
    assert_eq!(in_the(&grave), [1, 2]);
    let taken = ring.take();
    drop(ring);
    assert!(in_the(&grave).is_empty());
    let all: Vec<_> = taken.into();
    assert!(in_the(&grave).is_empty());
    drop(all);
    assert_eq!(in_the(&grave), [3, 4, 5]);
}

#[test]
fn the_rest_of_a_ring_that_is_taken_apart() {
    let grave = Grave::default();
    let mut rest = six(&grave, &[]).into_iter();
    drop((rest.next(), rest.next()));
    assert_eq!(in_the(&grave), [0, 1]);
    drop(rest);
    assert_eq!(in_the(&grave), [2, 3, 4, 5]);
}

#[test]
fn what_a_run_leaves_behind_stays_with_its_owner() {
    let grave = Grave::default();
    let mut items: VecDeque<_> = (10..16)
        .map(|number| Mortal {
            number,
            fatal: false,
            grave: grave.clone(),
        })
        .collect();
    let mut ring = six(&grave, &[]);
    ring.push_many(&mut items, 2);
    drop(items);
    assert_eq!(in_the(&grave), [12, 13, 14, 15]);
    drop(ring);
    assert_eq!(in_the(&grave), [0, 1, 2, 3, 4, 5, 10, 11]);
}

#[test]
fn destructors_that_panic_keep_none_from_theirs() {
    let grave = Grave::default();
    let ring = six(&grave, &[1, 4]);
    let panicked = catch_unwind(AssertUnwindSafe(|| drop(ring)));
    let first = *panicked
        .expect_err("the panic goes on")
        .downcast::<String>()
        .expect("a message");
    assert_eq!(first, "item 1 takes others with it");
    assert_eq!(in_the(&grave), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn destructors_that_panic_in_a_panic_do_not_abort() {
    let grave = Grave::default();
    let ring = six(&grave, &[0, 5]);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _goes_down = ring;
        panic!("the first");
    }));
    let first = *panicked
        .expect_err("it panicked")
        .downcast::<&str>()
        .expect("a message");
    assert_eq!(first, "the first");
    assert_eq!(in_the(&grave), [0, 1, 2, 3, 4, 5]);
}

thread_local! {
    static NOTHINGS: RefCell<usize> = const { RefCell::new(0) };
}

struct Nothing;

impl Drop for Nothing {
    fn drop(&mut self) {
        NOTHINGS.with_borrow_mut(|count| *count += 1);
    }
}

#[test]
fn items_without_size_are_destroyed_once_too() {
    let mut ring = Ring::with_room(false, 4);
    (0..9).for_each(|_| ring.push(Nothing, 0));
    drop(ring.adopt(Ring::with_room(false, 16)));
    drop(ring.pop());
    let mut out = Vec::new();
    ring.pop_many(&mut out, 3);
    assert_eq!(NOTHINGS.take(), 1);
    drop(out);
    assert_eq!(NOTHINGS.take(), 3);
    drop(ring);
    assert_eq!(NOTHINGS.take(), 5);
}
