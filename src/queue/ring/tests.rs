//! The ring against a `VecDeque`: over the seam, while it grows, and to the last destructor. Made for Miri.

use std::collections::VecDeque;
use std::ops::Range;

use super::Ring;

mod drops;
mod lanes;

/// What lies in the ring: a number in some shape.
trait Item: std::fmt::Debug + PartialEq {
    fn of(number: u64) -> Self;
}

impl Item for u64 {
    fn of(number: u64) -> Self {
        number
    }
}

impl Item for [u64; 8] {
    fn of(number: u64) -> Self {
        [number; 8]
    }
}

/// Memory of its own: lost it is a leak, doubled it is freed twice.
impl Item for Box<u64> {
    fn of(number: u64) -> Self {
        Self::new(number)
    }
}

impl Item for () {
    fn of(_: u64) {}
}

/// Numbers without an end, the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

fn numbered<C: FromIterator<T>, T: Item>(numbers: Range<u64>) -> C {
    numbers.map(T::of).collect()
}

/// A ring whose oldest item is at position `head`, with `len` items numbered from 0.
fn ring_at<T: Item>(slots: usize, head: usize, len: u64) -> Ring<T> {
    let mut ring = Ring::with_room(false, slots);
    for _ in 0..head {
        ring.push(T::of(u64::MAX), 0);
        ring.pop().expect("just pushed");
    }
    numbered::<Vec<T>, T>(0..len)
        .into_iter()
        .for_each(|item| ring.push(item, 0));
    ring
}

/// These items in a deque that begins anywhere in its memory.
fn in_two_pieces<T: Item>(numbers: Range<u64>, dice: &mut Dice) -> VecDeque<T> {
    let len = (numbers.end - numbers.start) as usize;
    let mut items = VecDeque::with_capacity(len);
    for _ in 0..dice.below(len + 1) {
        items.push_back(T::of(u64::MAX));
        items.pop_front();
    }
    items.extend(numbers.map(T::of));
    items
}

const STEPS: usize = if cfg!(miri) { 300 } else { 20_000 };
const MOST: usize = 20;

/// Any calls in any order, with what a `VecDeque` would answer.
fn equals_a_deque<T: Item>(seed: u64) {
    let mut dice = Dice(seed);
    let mut ring = Ring::<T>::new(false);
    let mut model = VecDeque::<u64>::new();
    let mut next = 0;
    for _ in 0..STEPS {
        // Items without size have endless room.
        let spare = ring.spare().min(MOST.saturating_sub(ring.len()));
        match dice.below(5) {
            0 if spare > 0 => {
                ring.push(T::of(next), 0);
                model.push_back(next);
                next += 1;
            }
            1 => {
                let run = dice.below(spare + 1);
                let more = dice.below(4) as u64;
                let mut items = in_two_pieces(next..next + run as u64 + more, &mut dice);
                ring.push_many(&mut items, run);
                model.extend(next..next + run as u64);
                next += run as u64;
                assert_eq!(items, numbered::<VecDeque<T>, T>(next..next + more));
            }
            2 => assert_eq!(ring.pop(), model.pop_front().map(T::of)),
            3 => {
                let run = dice.below(ring.len() + 1);
                let mut out = vec![T::of(7)];
                out.reserve(run);
                ring.pop_many(&mut out, run);
                let expected = model.drain(..run).map(T::of);
                let expected: Vec<T> = std::iter::once(T::of(7)).chain(expected).collect();
                assert_eq!(out, expected);
            }
            _ => {
                let slots = ring.len() + dice.below(MOST);
                drop(ring.adopt(Ring::with_room(false, slots)));
            }
        }
        assert_eq!(ring.len(), model.len());
    }
    let rest: Vec<T> = ring.into();
    assert_eq!(rest, model.into_iter().map(T::of).collect::<Vec<T>>());
}

#[test]
fn equals_a_deque_of_words() {
    equals_a_deque::<u64>(1);
}

#[test]
fn equals_a_deque_of_cache_lines() {
    equals_a_deque::<[u64; 8]>(2);
}

#[test]
fn equals_a_deque_of_boxes() {
    equals_a_deque::<Box<u64>>(3);
}

#[test]
fn equals_a_deque_of_nothings() {
    equals_a_deque::<()>(4);
}

/// From each place in rings of each size, into rooms of each size that has room.
fn moves_from_everywhere<T: Item>() {
    for slots in [1, 2, 4, 8] {
        for head in 0..slots {
            for len in 0..=slots as u64 {
                for room in [1, 2, 4, 8, 16] {
                    let mut ring = ring_at::<T>(slots, head, len);
                    let fits = room as u64 >= len;
                    let old = ring.adopt(Ring::with_room(false, room));
                    assert_eq!((old.len(), ring.len()), (0, len as usize));
                    let now = if fits { room } else { slots };
                    assert_eq!(ring.spare(), now - len as usize);
                    for number in 0..ring.spare() as u64 {
                        ring.push(T::of(len + number), 0);
                    }
                    let items: Vec<T> = ring.into();
                    assert_eq!(items, numbered::<Vec<T>, T>(0..now as u64));
                }
            }
        }
    }
}

#[test]
fn words_move_from_everywhere() {
    moves_from_everywhere::<u64>();
}

#[test]
fn boxes_move_from_everywhere() {
    moves_from_everywhere::<Box<u64>>();
}

#[test]
fn items_without_size_need_no_room() {
    let mut ring = Ring::new(false);
    assert!(ring.spare() > isize::MAX as usize / 2);
    let mut run: VecDeque<()> = [(); 1_000].into();
    ring.push_many(&mut run, 999);
    ring.push((), 0);
    assert_eq!((ring.len(), run.len()), (1_000, 1));
    drop(ring.adopt(Ring::with_room(false, 1)));
    let mut out = Vec::new();
    ring.pop_many(&mut out, 998);
    assert_eq!((ring.len(), out.len()), (2, 998));
    assert_eq!(
        (ring.pop(), ring.pop(), ring.pop()),
        (Some(()), Some(()), None)
    );
}

#[test]
fn weights_go_with_their_items() {
    let mut ring = Ring::with_room(true, 4);
    for (item, weight) in [("a", 3), ("b", 0), ("c", 5)] {
        ring.push(item, weight);
    }
    assert_eq!((ring.weight(), ring.len(), ring.spare()), (8, 3, 1));
    let counts = [0, 1, 3, 4, 8, 9].map(|weight| ring.oldest_weighing(weight));
    assert_eq!(counts, [0, 1, 1, 3, 3, 3]);
    drop(ring.adopt(Ring::with_room(true, 8)));
    assert_eq!((ring.pop(), ring.weight()), (Some("a"), 5));
    let mut out = Vec::with_capacity(2);
    ring.pop_many(&mut out, 2);
    assert_eq!((out, ring.weight(), ring.spare()), (vec!["b", "c"], 0, 8));
}

#[test]
fn grows_twofold_within_its_capacity() {
    let ring = ring_at::<u64>(4, 0, 4);
    assert_eq!(ring.grown(1, 100), 8);
    assert_eq!(ring.grown(1, 6), 6);
    assert_eq!(ring.grown(20, 100), 24);
    assert_eq!(ring.grown(usize::MAX, usize::MAX), usize::MAX);
    assert_eq!(Ring::<u64>::new(false).grown(1, 1), 1);
    assert!(ring.exceeds(2) && !ring.exceeds(3) && !ring.exceeds(usize::MAX));
}

#[test]
#[should_panic(expected = "must not grow under the lock")]
fn a_push_without_room_panics() {
    ring_at::<u64>(2, 1, 2).push(2, 0);
}

#[test]
#[should_panic]
fn a_run_without_room_panics() {
    ring_at::<u64>(4, 1, 2).push_many(&mut numbered(0..3), 3);
}

#[test]
#[should_panic]
fn a_run_longer_than_the_ring_panics() {
    ring_at::<u64>(4, 1, 2).pop_many(&mut Vec::with_capacity(3), 3);
}

#[test]
#[should_panic]
fn a_run_longer_than_its_vector_has_room_panics() {
    ring_at::<Box<u64>>(8, 1, 5).pop_many(&mut vec![Box::new(0)], 5);
}
