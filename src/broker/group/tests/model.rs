//! A group and its reference under random members, answers, seeks, retention and time.

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::reference::Book;
use super::*;

mod checks;

/// The topics, and how many partitions they have.
const TOPICS: [(u32, u32); 2] = [(0, 3), (1, 2)];

fn places() -> impl Iterator<Item = Place> {
    let of = |(topic, partitions)| (0..partitions).map(move |it| place(topic, it));
    TOPICS.into_iter().flat_map(of)
}

#[derive(Clone, Debug)]
enum Op {
    Join(Terms, u8),
    Subscribe(usize, u8),
    Leave(usize),
    /// It does nothing any more, not even leave.
    Die(usize),
    /// Takes what is there, and waits if that is nothing.
    Poll(usize, usize),
    /// The waiting poll is dropped.
    Cancel(usize),
    Ack(usize),
    Nack(usize, u64),
    Extend(usize),
    CommitTo(usize, bool),
    CommitAll(usize),
    Seek(usize, usize, u64),
    Pause(usize, usize, bool),
    Append(usize, u64),
    Cut(usize, u64),
    Restore(usize, u64),
    Pass(u64),
    /// What was given up is dealt with, or comes back.
    Resolve(bool),
    /// A record is not at hand.
    Chill(usize, u64),
    Warm,
}

fn terms() -> impl Strategy<Value = Terms> {
    let waits = [Duration::ZERO, 2 * SECOND, 5 * SECOND, Duration::MAX];
    let sessions = [SECOND, 3 * SECOND, 10 * SECOND, Duration::MAX];
    (
        prop::sample::select(waits.to_vec()),
        prop::option::of(1..4_u32),
        prop::sample::select(sessions.to_vec()),
        prop::sample::select(vec![1, 4, 1000, usize::MAX]),
        any::<bool>(),
    )
        .prop_map(|it| Terms {
            ack_wait: it.0,
            max_attempts: it.1,
            session_timeout: it.2,
            max_in_flight: it.3,
            ordered: it.4,
        })
}

fn op() -> impl Strategy<Value = Op> {
    let n = || 0..64_usize;
    prop_oneof![
        3 => (terms(), 1..4_u8).prop_map(|(terms, topics)| Op::Join(terms, topics)),
        1 => (n(), 0..4_u8).prop_map(|(m, topics)| Op::Subscribe(m, topics)),
        1 => n().prop_map(Op::Leave),
        1 => n().prop_map(Op::Die),
        16 => (n(), 1..12_usize).prop_map(|(m, max)| Op::Poll(m, max)),
        2 => n().prop_map(Op::Cancel),
        16 => n().prop_map(Op::Ack),
        5 => (n(), 0..4_u64).prop_map(|(d, delay)| Op::Nack(d, delay)),
        4 => n().prop_map(Op::Extend),
        2 => (n(), any::<bool>()).prop_map(|(d, any)| Op::CommitTo(d, any)),
        2 => n().prop_map(Op::CommitAll),
        1 => (n(), n(), 0..40_u64).prop_map(|(m, p, to)| Op::Seek(m, p, to)),
        1 => (n(), n(), any::<bool>()).prop_map(|(m, p, paused)| Op::Pause(m, p, paused)),
        8 => (n(), 1..8_u64).prop_map(|(p, records)| Op::Append(p, records)),
        1 => (n(), 1..6_u64).prop_map(|(p, records)| Op::Cut(p, records)),
        1 => (n(), 0..5_u64).prop_map(|(p, at)| Op::Restore(p, at)),
        6 => (0..4000_u64).prop_map(Op::Pass),
        3 => any::<bool>().prop_map(Op::Resolve),
        1 => (n(), 0..6_u64).prop_map(|(p, ahead)| Op::Chill(p, ahead)),
        2 => Just(Op::Warm),
    ]
}

/// A member, as it ought to be.
struct Reader {
    terms: Terms,
    topics: BTreeSet<u32>,
    live: bool,
    seen: Instant,
    dead: bool,
    poll: Option<Sleeper>,
}

/// A poll that found nothing and waits.
#[derive(Clone, Copy)]
struct Sleeper {
    max: usize,
    until: Option<Instant>,
    woken: bool,
    /// Something was not at hand: it does not sleep in truth, but looks after that.
    busy: bool,
}

impl Reader {
    fn session_end(&self) -> Option<Instant> {
        let ends = self.live && self.poll.is_none();
        self.seen
            .checked_add(self.terms.session_timeout)
            .filter(|_| ends)
    }
}

struct Sim {
    world: World,
    members: BTreeMap<MemberId, Reader>,
    books: BTreeMap<Place, Book>,
    deliveries: Vec<(MemberId, Given)>,
    /// Something was not at hand in the last take.
    busy: bool,
    /// What was given up in this step, and before.
    failed: Vec<GivenUp>,
    given_up: Vec<GivenUp>,
    /// Whose each partition is or is to be, and who reads what, as it was after the last step.
    targets: BTreeMap<Place, MemberId>,
    readers: BTreeMap<MemberId, BTreeSet<u32>>,
    /// When hand-overs began, and from whom.
    hand_overs: BTreeMap<Place, (MemberId, Instant)>,
}

impl Sim {
    fn new() -> Self {
        let mut sim = Self {
            world: World::new(),
            members: BTreeMap::new(),
            books: places().map(|place| (place, Book::default())).collect(),
            deliveries: Vec::new(),
            busy: false,
            failed: Vec::new(),
            given_up: Vec::new(),
            targets: BTreeMap::new(),
            readers: BTreeMap::new(),
            hand_overs: BTreeMap::new(),
        };
        for place in places() {
            sim.world.records.ranges.insert(place, (0, 5));
        }
        sim
    }

    /// One that is there and does things.
    fn actor(&self, n: usize) -> Option<MemberId> {
        let actors = self.members.iter().filter(|(_, it)| !it.dead);
        let actors: Vec<_> = actors.map(|(&id, _)| id).collect();
        actors.get(n.checked_rem(actors.len())?).copied()
    }

    fn delivery(&self, n: usize) -> Option<(MemberId, Given)> {
        let recent = &self.deliveries[self.deliveries.len().saturating_sub(40)..];
        let chosen = *recent.get(n.checked_rem(recent.len())?)?;
        let actor = self.members.get(&chosen.0).is_some_and(|it| !it.dead);
        actor.then_some(chosen)
    }

    fn place(n: usize) -> Place {
        places().nth(n % places().count()).unwrap()
    }

    fn key(place: Place, offset: u64) -> u64 {
        (offset * 7 + u64::from(place.partition)) % 5 % 3
    }

    fn run(&mut self, op: Op) {
        self.tick();
        match op {
            Op::Join(terms, topics) => self.join(terms, topics),
            Op::Pass(millis) => self.pass(Duration::from_millis(millis)),
            Op::Append(n, records) => self.append(Self::place(n), records),
            Op::Cut(n, records) => {
                let range = self.world.records.ranges.get_mut(&Self::place(n)).unwrap();
                range.0 = (range.0 + records).min(range.1);
            }
            Op::Restore(n, at) => {
                let place = Self::place(n);
                self.world.group.restore(place, at);
                self.books.get_mut(&place).unwrap().begin(at, Some(at));
            }
            Op::Resolve(retry) => self.resolve(retry),
            Op::Chill(n, ahead) => {
                let place = Self::place(n);
                let offset = self.books[&place].next.saturating_sub(2) + ahead;
                self.world.records.cold.insert((place, offset));
                self.world.records.warm_keys = ahead % 2 == 0;
            }
            Op::Warm => {
                self.world.records.cold.clear();
                self.wake_all();
            }
            Op::Ack(n) | Op::Nack(n, _) | Op::Extend(n) | Op::CommitTo(n, _) => {
                if let Some((member, delivery)) = self.delivery(n) {
                    self.touch(member);
                    self.answer(&op, member, delivery);
                }
            }
            Op::Subscribe(n, _)
            | Op::Leave(n)
            | Op::Die(n)
            | Op::Poll(n, _)
            | Op::Cancel(n)
            | Op::CommitAll(n)
            | Op::Seek(n, ..)
            | Op::Pause(n, ..) => {
                if let Some(member) = self.actor(n) {
                    self.act(&op, member);
                }
            }
        }
        self.absorb();
        self.run_woken();
    }

    fn join(&mut self, terms: Terms, topics: u8) {
        if self.members.values().filter(|it| !it.dead).count() >= 5 {
            return;
        }
        let now = self.world.now;
        let id = self.world.group.join(terms, now);
        let topics = subscription(topics);
        self.world.group.subscribe(id, &topics, now);
        let member = Reader {
            terms,
            topics: topics.iter().map(|it| it.0).collect(),
            live: true,
            seen: now,
            dead: false,
            poll: None,
        };
        self.members.insert(id, member);
    }

    fn act(&mut self, op: &Op, id: MemberId) {
        let now = self.world.now;
        match *op {
            Op::Leave(_) => {
                self.members.remove(&id);
                self.world.group.leave(id, now);
            }
            Op::Die(_) => {
                self.cancel(id);
                self.members.get_mut(&id).unwrap().dead = true;
            }
            Op::Cancel(_) => self.cancel(id),
            Op::Subscribe(_, topics) => {
                let topics = subscription(topics);
                let member = self.members.get_mut(&id).unwrap();
                member.topics = topics.iter().map(|it| it.0).collect();
                (member.seen, member.live) = (now, true);
                self.world.group.subscribe(id, &topics, now);
            }
            Op::Poll(_, max) => {
                self.touch(id);
                if self.members[&id].poll.is_none() && !self.take(id, max) {
                    self.world.group.park(id);
                    let until = self.world.group.next_due(id);
                    let sleeper = Sleeper {
                        max,
                        until,
                        woken: false,
                        busy: self.busy,
                    };
                    self.members.get_mut(&id).unwrap().poll = Some(sleeper);
                }
            }
            Op::CommitAll(_) => {
                self.touch(id);
                let moved = self.world.group.commit_all(id);
                let owned = self.books.iter_mut();
                let owned = owned.filter(|(_, it)| it.begun && it.owner == Some(id));
                let expected = owned.filter_map(|(&at, it)| Some((at, it.commit_all()?)));
                assert_eq!(moved, expected.collect::<Vec<_>>());
            }
            Op::Seek(_, n, to) => {
                self.touch(id);
                let place = Self::place(n);
                let (first, end) = self.world.records.ranges[&place];
                let (to, active) = (to.clamp(first, end), self.world.group.is_owner(id, place));
                assert_eq!(self.world.group.seek(id, place, to), active);
                if active {
                    let book = self.books.get_mut(&place).unwrap();
                    let begun = book.begun;
                    book.begin(0, None);
                    book.seek(to, begun);
                }
            }
            Op::Pause(_, n, paused) => {
                self.touch(id);
                let place = Self::place(n);
                let active = self.world.group.is_owner(id, place);
                assert_eq!(self.world.group.pause(id, place, paused), active);
                if active {
                    self.books.get_mut(&place).unwrap().paused = paused;
                }
            }
            _ => unreachable!(),
        }
    }

    fn answer(&mut self, op: &Op, id: MemberId, to: Given) {
        let Given {
            place,
            offset,
            generation,
            ..
        } = to;
        let (now, group) = (self.world.now, &mut self.world.group);
        let book = self.books.get_mut(&place).unwrap();
        let (settle, expected) = match *op {
            Op::Ack(_) => (
                group.ack(id, place, offset, generation),
                book.ack(id, offset, generation),
            ),
            Op::CommitTo(_, any) => {
                let generation = if any { 0 } else { generation };
                (
                    group.commit_to(id, place, offset, generation),
                    book.commit_to(id, offset, generation),
                )
            }
            Op::Extend(_) => {
                let deadline = now.checked_add(self.members[&id].terms.ack_wait);
                (
                    group.extend(id, place, offset, generation, now),
                    book.extend((id, generation), offset, deadline),
                )
            }
            Op::Nack(_, delay) => {
                let at = now + u32::try_from(delay).unwrap() * SECOND;
                let most = self.members[&id].terms.max_attempts;
                let settle = group.nack(id, place, offset, generation, at, None, now);
                let (expected, last) = book.nack((id, generation), offset, at, most);
                if let Some(attempts) = last {
                    self.failed.push(GivenUp {
                        member: id,
                        place,
                        offset,
                        generation,
                        attempts,
                        reason: "nacked".into(),
                    });
                }
                (settle, expected)
            }
            _ => unreachable!(),
        };
        assert_eq!(settle, expected, "{op:?} of {to:?} by {id}");
        self.absorb();
    }

    fn append(&mut self, place: Place, records: u64) {
        let range = self.world.records.ranges.get_mut(&place).unwrap();
        range.1 += records;
        self.wake_all();
    }

    fn resolve(&mut self, retry: bool) {
        let now = self.world.now;
        for it in std::mem::take(&mut self.given_up) {
            let book = self.books.get_mut(&it.place).unwrap();
            if retry {
                let at = now + SECOND;
                self.world
                    .group
                    .retry(it.place, it.offset, it.generation, at);
                book.resolve(it.offset, it.generation, Some(at));
            } else {
                self.world
                    .group
                    .given_up(it.place, it.offset, it.generation);
                book.resolve(it.offset, it.generation, None);
            }
            self.absorb();
        }
    }
}

fn subscription(topics: u8) -> Vec<(u32, u32)> {
    let read = |it: &(u32, u32)| topics & (1 << it.0) != 0;
    TOPICS.into_iter().filter(read).collect()
}

fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    Config {
        cases: cases.unwrap_or(256),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config())]

    // guarantee: K1 K2 K3 K4 K5 K6 K7
    #[test]
    fn a_group_is_as_its_reference(ops in prop::collection::vec(op(), 0..150)) {
        let mut sim = Sim::new();
        for op in ops {
            sim.run(op);
        }
        sim.finish();
    }
}
