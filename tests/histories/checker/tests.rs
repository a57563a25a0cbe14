//! Histories made by hand: for each anomaly one that has it, and beside it one that has not.

mod again;
mod owners;
mod stored;

use crate::history::{Content, Entry, Op, Outcome, Spot, Taken, Terms, What};

use super::{Kind, Rules, by_kind, check};

const MS: u64 = 1000;

/// A history in the making: calls end as soon as they begin, unless they are said to last.
#[derive(Default)]
struct Story {
    entries: Vec<Entry>,
    now: u64,
    calls: u64,
}

/// A call that has begun.
struct Begun(u64);

impl Story {
    /// One group with members 10, 11 and 12, and a record of value 100 + n at each of these offsets of partition 0.
    fn with(offsets: &[u64]) -> Self {
        let mut story = Self::default();
        for member in [10, 11, 12] {
            story.join(member, false);
        }
        for offset in offsets {
            story.stored(100 + offset, *offset);
        }
        story
    }

    fn ordered(keys: &[(u64, u32)]) -> Self {
        let mut story = Self::default();
        for member in [10, 11] {
            story.join(member, true);
        }
        for &(offset, key) in keys {
            let call = story.begin(1, push(record(100 + offset, Some(key))));
            story.end(call, at(offset));
        }
        story
    }

    fn join(&mut self, member: u64, ordered: bool) {
        let terms = Terms {
            ordered,
            ack_wait: 100 * MS,
            session: 200 * MS,
        };
        self.call(member, Op::Join { group: 0, terms }, Outcome::Done);
    }

    fn begin(&mut self, process: u64, op: Op) -> Begun {
        self.now += 10;
        self.calls += 1;
        self.entries.push(Entry::Invoke {
            call: self.calls,
            process,
            at: self.now,
            op,
        });
        Begun(self.calls)
    }

    fn end(&mut self, call: Begun, outcome: Outcome) {
        self.now += 10;
        self.entries.push(Entry::Return {
            call: call.0,
            at: self.now,
            outcome,
        });
    }

    fn call(&mut self, process: u64, op: Op, outcome: Outcome) {
        let call = self.begin(process, op);
        self.end(call, outcome);
    }

    fn stored(&mut self, value: u64, offset: u64) {
        self.call(1, push(record(value, None)), at(offset));
    }

    /// Member takes the record at this offset, for the first time and under generation 1.
    fn takes(&mut self, member: u64, offset: u64) {
        self.takes_again(member, offset, 1, 1);
    }

    fn takes_again(&mut self, member: u64, offset: u64, generation: u64, attempt: u32) {
        self.call(member, POLL, took(&[taken(offset, generation, attempt)]));
    }

    fn acks(&mut self, member: u64, offset: u64) {
        self.acks_under(member, offset, 1, Outcome::Done);
    }

    fn acks_under(&mut self, member: u64, offset: u64, generation: u64, outcome: Outcome) {
        let at = spot(offset, generation);
        self.call(member, Op::Ack { at }, outcome);
    }

    fn nacks(&mut self, member: u64, offset: u64) {
        let at = spot(offset, 1);
        self.call(member, Op::Nack { at }, Outcome::Done);
    }

    fn seeks(&mut self, member: u64, to: u64) {
        let place = (0, 0);
        self.call(member, Op::Seek { place, to }, Outcome::Done);
    }

    fn leaves(&mut self, member: u64) {
        self.call(member, Op::Leave, Outcome::Done);
    }

    fn sees_committed(&mut self, member: u64, offset: u64) {
        let place = (0, 0);
        self.call(member, Op::Committed { place }, Outcome::At(Some(offset)));
    }

    fn commits(&mut self, member: u64) {
        self.call(member, Op::Commit, Outcome::Done);
    }

    fn happens(&mut self, what: What) {
        self.entries.push(Entry::Event { at: self.now, what });
    }

    fn waits(&mut self, ms: u64) {
        self.now += ms * MS;
    }

    fn drained(&mut self) {
        self.happens(What::Drained { group: 0, lag: 0 });
    }

    #[track_caller]
    fn has(&self, kinds: &[Kind]) {
        self.has_under(Rules::EMBEDDED, kinds);
    }

    #[track_caller]
    fn has_under(&self, rules: Rules, kinds: &[Kind]) {
        let found = check(&self.entries, rules);
        let found_kinds: Vec<_> = by_kind(&found).into_keys().collect();
        assert_eq!(found_kinds, kinds, "{found:#?}");
    }

    #[track_caller]
    fn is_clean(&self) {
        self.has(&[]);
    }
}

const POLL: Op = Op::Poll { max: 10 };

fn push(record: Content) -> Op {
    Op::Push { topic: 0, record }
}

const fn record(value: u64, key: Option<u32>) -> Content {
    Content {
        value,
        key,
        sum: value * 31,
    }
}

const fn at(offset: u64) -> Outcome {
    Outcome::Stored {
        partition: 0,
        offset,
    }
}

const fn spot(offset: u64, generation: u64) -> Spot {
    Spot {
        place: (0, 0),
        offset,
        generation,
    }
}

const fn taken(offset: u64, generation: u64, attempt: u32) -> Taken {
    keyed(offset, generation, attempt, None)
}

const fn keyed(offset: u64, generation: u64, attempt: u32, key: Option<u32>) -> Taken {
    Taken {
        at: spot(offset, generation),
        attempt,
        record: record(100 + offset, key),
    }
}

fn took(taken: &[Taken]) -> Outcome {
    Outcome::Took(taken.to_vec())
}

fn unknown() -> Outcome {
    Outcome::Unknown("nobody knows".into())
}

#[test]
fn a_day_without_anything_special_is_clean() {
    let mut story = Story::with(&[0, 1, 2]);
    story.call(
        10,
        POLL,
        took(&[taken(0, 1, 1), taken(1, 1, 1), taken(2, 1, 1)]),
    );
    story.acks(10, 1);
    story.sees_committed(11, 0);
    story.nacks(10, 0);
    story.takes_again(10, 0, 1, 2);
    story.acks(10, 0);
    story.sees_committed(11, 2);
    story.leaves(10);
    story.takes_again(11, 2, 2, 2);
    story.acks_under(11, 2, 2, Outcome::Done);
    story.sees_committed(11, 3);
    story.drained();
    story.is_clean();
}
