//! The two ends under the plainest rules there are: a capacity, and slots that are promised.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Dice, Item, in_two_pieces, numbered};
use crate::queue::ring::{Gates, Lanes, Ring, Rules, Since};

struct Plain<T> {
    ring: Ring<T>,
    capacity: usize,
    reserved: usize,
    pushed: u64,
    pulled: u64,
    peak: usize,
    push_until: u64,
    pull_until: u64,
}

impl<T> Rules<T> for Plain<T> {
    fn ring(&self) -> &Ring<T> {
        &self.ring
    }

    fn ring_mut(&mut self) -> &mut Ring<T> {
        &mut self.ring
    }

    fn catch_up(&mut self, since: Since) {
        self.pushed += since.pushed;
        self.pulled += since.pulled;
        self.reserved = self
            .reserved
            .checked_add_signed(since.reserved)
            .expect("promised before");
        self.peak = self.peak.max(since.peak);
    }

    fn gates(&self) -> Gates {
        Gates {
            bound: self.capacity - self.reserved,
            push_until: self.push_until,
            pull_until: self.pull_until,
            peak: self.peak,
        }
    }
}

impl<T> Plain<T> {
    /// Twice the room, within the capacity.
    fn grow(&mut self) {
        let slots = self.ring.grown(1, self.capacity);
        self.exchange(slots);
    }

    fn exchange(&mut self, slots: usize) {
        drop(self.ring.adopt(Ring::with_room(false, slots)));
        assert_eq!(self.pushed - self.pulled, self.ring.len() as u64);
    }
}

fn lanes<T>(capacity: usize) -> Lanes<T, Plain<T>> {
    Lanes::new(Plain {
        ring: Ring::new(false),
        capacity,
        reserved: 0,
        pushed: 0,
        pulled: 0,
        peak: 0,
        push_until: u64::MAX,
        pull_until: u64::MAX,
    })
}

/// Lanes with so many slots from the start.
fn lanes_with<T>(capacity: usize, slots: usize) -> Lanes<T, Plain<T>> {
    let lanes = lanes(capacity);
    lanes.both().exchange(slots);
    lanes
}

#[test]
fn a_push_stops_where_the_slots_end() {
    let lanes = lanes_with(100, 2);
    for number in 0..2 {
        assert!(lanes.push(&mut Some(number)).is_ok());
    }
    let mut third = Some(2);
    assert!(lanes.push(&mut third).is_err());
    assert_eq!((third, lanes.len()), (Some(2), 2));
    lanes.both().grow();
    assert!(lanes.push(&mut third).is_ok());
    assert_eq!(third, None);
    assert_eq!(
        [(); 4].map(|()| lanes.pull().ok()),
        [Some(0), Some(1), Some(2), None]
    );
}

#[test]
fn a_push_stops_at_a_capacity_between_powers_of_two() {
    let lanes = lanes_with(3, 3);
    let went_in = [0, 1, 2, 3].map(|number| lanes.push(&mut Some(number)).is_ok());
    assert_eq!(went_in, [true, true, true, false]);
    assert_eq!(lanes.pull().ok(), Some(0));
    assert!(lanes.push(&mut Some(3)).is_ok());
    assert!(lanes.push(&mut Some(4)).is_err());
}

#[test]
fn a_run_goes_in_whole_or_not_at_all() {
    let lanes = lanes_with(8, 8);
    let mut five: VecDeque<u64> = numbered(0..5);
    assert_eq!(lanes.push_run(&mut five), 5);
    let mut five: VecDeque<u64> = numbered(5..10);
    assert_eq!((lanes.push_run(&mut five), five.len()), (0, 5));
    assert_eq!(lanes.push_run(&mut VecDeque::new()), 0);
    let mut out = Vec::with_capacity(4);
    assert_eq!(lanes.pull_run(&mut out, 100), 4);
    // Over the seam.
    assert_eq!((lanes.push_run(&mut five), five.len()), (5, 0));
    let mut rest = Vec::with_capacity(8);
    assert_eq!(lanes.pull_run(&mut rest, 5), 5);
    assert_eq!(lanes.pull_run(&mut rest, 5), 1);
    assert_eq!(lanes.pull_run(&mut rest, 5), 0);
    assert_eq!((out, rest), (numbered(0..4), numbered(4..10)));
}

#[test]
fn gates_stop_an_end_where_they_say() {
    let lanes = lanes_with(8, 8);
    assert!(lanes.reserve().is_ok());
    let mut both = lanes.both();
    (both.push_until, both.pull_until) = (3, 2);
    drop(both);
    // A run need only start before the gate.
    assert!(lanes.push(&mut Some(0)).is_ok() && lanes.push(&mut Some(1)).is_ok());
    assert_eq!(lanes.push_run(&mut numbered(2..5)), 3);
    assert!(
        lanes.push(&mut Some(5)).is_err()
            && lanes.reserve().is_err()
            && !lanes.redeem(&mut Some(5))
    );
    assert_eq!(lanes.push_run(&mut [5].into()), 0);
    // It must end before this one.
    let mut out = Vec::with_capacity(8);
    assert_eq!(
        (lanes.pull_run(&mut out, 3), lanes.pull().ok()),
        (0, Some(0))
    );
    assert_eq!((lanes.pull_run(&mut out, 1), lanes.pull().ok()), (1, None));
    let both = lanes.both();
    assert_eq!((out, both.ring.len(), both.reserved), (vec![1], 3, 1));
}

#[test]
fn promised_slots_are_kept_free() {
    let lanes = lanes_with(4, 4);
    assert!(lanes.reserve().is_ok() && lanes.reserve().is_ok());
    assert!(lanes.push(&mut Some(0)).is_ok() && lanes.push(&mut Some(1)).is_ok());
    assert!(lanes.push(&mut Some(2)).is_err() && lanes.reserve().is_err());
    assert!(lanes.redeem(&mut Some(2)));
    assert_eq!(lanes.both().reserved, 1);
    assert!(lanes.push(&mut Some(3)).is_err());
    assert!(lanes.redeem(&mut Some(3)));
    let both = lanes.both();
    assert_eq!((both.reserved, both.ring.len(), both.peak), (0, 4, 4));
}

/// The rules promise slots of a capacity that is not allocated yet: what was promised must wait for it then.
#[test]
fn a_promise_is_not_redeemed_in_a_slot_that_is_not_there() {
    let lanes = lanes_with(8, 4);
    lanes.both().reserved = 2;
    let went_in = [0, 1, 2, 3, 4].map(|number| lanes.push(&mut Some(number)).is_ok());
    assert_eq!(went_in, [true, true, true, true, false]);
    let mut promised = Some(5);
    assert!(!lanes.redeem(&mut promised));
    assert_eq!(promised, Some(5));
    assert_eq!(lanes.pull().ok(), Some(0));
    assert!(lanes.redeem(&mut promised));
    assert!(!lanes.redeem(&mut Some(6)));
    lanes.both().grow();
    assert!(lanes.redeem(&mut Some(6)));
    assert_eq!(lanes.both().reserved, 0);
    let pulled = [(); 6].map(|()| lanes.pull().ok());
    assert_eq!(pulled, [Some(1), Some(2), Some(3), Some(5), Some(6), None]);
}

#[test]
fn what_is_left_goes_down_with_its_lanes() {
    let item = Arc::new(());
    let lanes = lanes_with(8, 4);
    for _ in 0..4 {
        assert!(lanes.push(&mut Some(item.clone())).is_ok());
    }
    drop(lanes.pull().ok());
    assert!(lanes.push(&mut Some(item.clone())).is_ok());
    assert_eq!(Arc::strong_count(&item), 5);
    drop(lanes);
    assert_eq!(Arc::strong_count(&item), 1);
}

const STEPS: usize = if cfg!(miri) { 300 } else { 20_000 };

/// Any calls in any order: in the order of a `VecDeque`, and never more than the capacity, promises included.
fn equals_a_deque<T: Item>(seed: u64) {
    let mut dice = Dice(seed);
    let lanes = lanes::<T>(13);
    let (mut model, mut next, mut promised) = (VecDeque::<u64>::new(), 0, 0);
    let mut capacity = 13;
    let mut peak = 0;
    for _ in 0..STEPS {
        let went_in = match dice.below(9) {
            0 => u64::from(lanes.push(&mut Some(T::of(next))).is_ok()),
            1 => {
                let run = dice.below(6) as u64;
                lanes.push_run(&mut in_two_pieces::<T>(next..next + run, &mut dice)) as u64
            }
            2 => {
                promised += usize::from(lanes.reserve().is_ok());
                0
            }
            3 if promised > 0 => {
                let redeemed = lanes.redeem(&mut Some(T::of(next)));
                promised -= usize::from(redeemed);
                u64::from(redeemed)
            }
            4 => {
                if let Ok(item) = lanes.pull() {
                    assert_eq!(Some(item), model.pop_front().map(T::of));
                } else {
                    assert!(model.is_empty());
                }
                0
            }
            5 => {
                let limit = dice.below(6);
                let mut out = Vec::with_capacity(limit);
                let run = lanes.pull_run(&mut out, limit);
                assert_eq!(run, limit.min(model.len()));
                let expected: Vec<T> = model.drain(..run).map(T::of).collect();
                assert_eq!(out, expected);
                0
            }
            6 => {
                let mut both = lanes.both();
                let slots = both.ring.len() + dice.below(8);
                both.exchange(slots);
                0
            }
            7 => {
                capacity = model.len() + promised + dice.below(13);
                lanes.both().capacity = capacity;
                0
            }
            _ => {
                let both = lanes.both();
                assert_eq!((both.reserved, both.peak), (promised, peak));
                drop(both);
                // Nothing is in the way of a push now but what it has to respect.
                let room = capacity > model.len() + promised && lanes.both().ring.spare() > 0;
                let pushed = lanes.push(&mut Some(T::of(next))).is_ok();
                assert_eq!(pushed, room);
                u64::from(pushed)
            }
        };
        model.extend(next..next + went_in);
        next += went_in;
        peak = peak.max(model.len());
        assert_eq!((lanes.len(), lanes.glance()), (model.len(), model.len()));
        assert!(model.len() + promised <= capacity);
    }
}

#[test]
fn equals_a_deque_of_words() {
    equals_a_deque::<u64>(1);
}

#[test]
fn equals_a_deque_of_boxes() {
    equals_a_deque::<Box<u64>>(2);
}

#[test]
fn equals_a_deque_of_nothings() {
    equals_a_deque::<()>(3);
}

const ACROSS: u64 = if cfg!(miri) { 60 } else { 30_000 };

/// One thread pushes, one pulls, and a third takes both locks to exchange the storage.
fn between_threads<T: Item + Send>(capacity: usize, bulk: bool) {
    let lanes = lanes::<T>(capacity);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 0;
            while next < ACROSS {
                let run = if bulk { 3.min(ACROSS - next) } else { 1 };
                let went_in = if bulk {
                    lanes.push_run(&mut numbered::<VecDeque<T>, T>(next..next + run)) as u64
                } else {
                    u64::from(lanes.push(&mut Some(T::of(next))).is_ok())
                };
                next += went_in;
                if went_in == 0 {
                    let mut both = lanes.both();
                    if both.ring.spare() < run as usize {
                        both.grow();
                    }
                    drop(both);
                    thread::yield_now();
                }
            }
        });
        scope.spawn(|| {
            let mut next = 0;
            let mut out = Vec::with_capacity(4);
            while next < ACROSS {
                if bulk {
                    lanes.pull_run(&mut out, 4);
                } else {
                    out.extend(lanes.pull().ok());
                }
                if out.is_empty() {
                    thread::yield_now();
                }
                for item in out.drain(..) {
                    assert_eq!(item, T::of(next));
                    next += 1;
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        scope.spawn(|| {
            let mut dice = Dice(7);
            while !done.load(Ordering::Relaxed) {
                assert!(lanes.len() <= capacity);
                let mut both = lanes.both();
                assert!(both.ring.len() <= capacity && both.peak <= capacity);
                let slots = (both.ring.len() + dice.below(4)).max(4);
                both.exchange(slots);
                drop(both);
                thread::yield_now();
            }
        });
    });
    let both = lanes.both();
    assert_eq!(
        (both.pushed, both.pulled, both.ring.len()),
        (ACROSS, ACROSS, 0)
    );
}

#[test]
fn words_between_threads() {
    between_threads::<u64>(5, false);
}

#[test]
fn boxes_between_threads() {
    between_threads::<Box<u64>>(4, false);
}

#[test]
fn runs_of_boxes_between_threads() {
    between_threads::<Box<u64>>(8, true);
}

#[test]
fn runs_of_nothings_between_threads() {
    between_threads::<()>(8, true);
}

/// Two threads share what may be in: promises and items together are never more than the capacity.
#[test]
fn promises_between_threads() {
    let lanes = lanes_with::<Box<u64>>(3, 4);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let pushing = [0, 1].map(|_| {
            scope.spawn(|| {
                let mut next = 0;
                while next < ACROSS / 2 {
                    if lanes.reserve().is_ok() {
                        let mut item = Some(Box::new(next));
                        while !lanes.redeem(&mut item) {
                            thread::yield_now();
                        }
                        next += 1;
                    } else {
                        thread::yield_now();
                    }
                }
            })
        });
        scope.spawn(|| {
            let mut sum = 0;
            for _ in 0..ACROSS / 2 * 2 {
                sum += loop {
                    if let Ok(item) = lanes.pull() {
                        break *item;
                    }
                    thread::yield_now();
                };
            }
            let each = ACROSS / 2;
            assert_eq!(sum, each * (each - 1));
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let both = lanes.both();
                assert!(both.ring.len() + both.reserved <= 3);
                drop(both);
                thread::yield_now();
            }
        });
        for pushing in pushing {
            pushing.join().expect("all went in");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!((lanes.len(), lanes.both().reserved), (0, 0));
}
