//! Many members around one store, with delays, losses, pauses, crashes and clocks that differ.

use std::collections::BTreeMap;

use super::*;

const MS: Duration = Duration::from_millis(1);
const TICK: u64 = 5;
/// In milliseconds of true time.
const TERM: u64 = 1000;
const PARTITIONS: u32 = 7;

struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.next(chances) == 0
    }
}

/// What comes to a member.
enum Told {
    Saw(Key, u64, Option<Value>),
    Wrote(Write, Wrote),
    Drained(Part),
}

enum Asked {
    Write(Write),
    Read(Key),
}

struct Seat {
    leases: Option<Leases>,
    /// Counts the memberships of this seat.
    life: u64,
    /// Its clock, in thousandths of true time.
    rate: u64,
    asleep_until: u64,
    back_at: u64,
    cut_until: u64,
    told: Vec<(u64, Told)>,
    waits: BTreeMap<Key, Write>,
    /// Watches come in order.
    last_watch: u64,
}

struct World {
    random: Random,
    began: Instant,
    now: u64,
    faults: bool,
    /// Nothing is ever in hand.
    prompt: bool,
    revision: u64,
    store: BTreeMap<Key, (u64, Value)>,
    seats: Vec<Seat>,
    asked: Vec<(u64, usize, u64, Asked)>,
    moves: u64,
    parts: Vec<Part>,
}

impl World {
    fn new(seed: u64, members: usize) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let seats = (0..members)
            .map(|_| Seat {
                leases: None,
                life: 0,
                rate: 900 + random.next(201),
                asleep_until: 0,
                back_at: random.next(2000),
                cut_until: 0,
                told: Vec::new(),
                waits: BTreeMap::new(),
                last_watch: 0,
            })
            .collect();
        Self {
            random,
            began: Instant::now(),
            now: 0,
            faults: true,
            prompt: false,
            revision: 0,
            store: BTreeMap::new(),
            seats,
            asked: Vec::new(),
            moves: 0,
            parts: (0..PARTITIONS).map(part).collect(),
        }
    }

    fn local(&self, seat: usize) -> Instant {
        self.began + MS * u32::try_from(self.now * self.seats[seat].rate / 1000).unwrap()
    }

    fn delay(&mut self) -> u64 {
        if self.faults && self.random.one_in(20) {
            return self.random.next(TERM * 2);
        }
        1 + self.random.next(20)
    }

    fn run(&mut self, time: u64) {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            if self.faults {
                self.harm();
            }
            self.serve();
            for seat in 0..self.seats.len() {
                self.live(seat);
            }
            self.check();
        }
    }

    fn harm(&mut self) {
        if self.random.one_in(150) {
            let victim = self.random.next(self.seats.len() as u64) as usize;
            let length = self.random.next(TERM * 3);
            let until = self.now + length;
            let seat = &mut self.seats[victim];
            match self.random.next(4) {
                0 => seat.asleep_until = until,
                1 => {
                    seat.leases = None;
                    seat.told.clear();
                    seat.back_at = until;
                }
                2 => seat.cut_until = until,
                _ => {
                    if let Some(leases) = &mut seat.leases {
                        leases.leave();
                    }
                }
            }
        }
    }

    fn is_cut(&self, seat: usize) -> bool {
        self.seats[seat].cut_until > self.now
    }

    /// The store answers what has come to it.
    fn serve(&mut self) {
        let now = self.now;
        let mut due: Vec<_> = self.asked.extract_if(.., |(at, ..)| *at <= now).collect();
        due.sort_by_key(|(at, ..)| *at);
        for (_, seat, life, asked) in due {
            // What is on its way when the link is cut may come through once it is mended, or never.
            if self.is_cut(seat) {
                if self.random.one_in(2) {
                    let at = self.seats[seat].cut_until + 1;
                    self.asked.push((at, seat, life, asked));
                }
                continue;
            }
            let at = self.now + self.delay();
            let lost = self.faults && self.random.one_in(20);
            match asked {
                Asked::Read(key) => {
                    let (revision, value) = match self.store.get(&key) {
                        Some((revision, value)) => (*revision, Some(value.clone())),
                        None => (0, None),
                    };
                    self.tell(seat, life, at, Told::Saw(key, revision, value));
                }
                Asked::Write(write) => {
                    let known = self.store.get(&write.key).map_or(0, |it| it.0);
                    let outcome = if known == write.expected {
                        self.revision += 1;
                        let value = (self.revision, write.value.clone());
                        self.store.insert(write.key.clone(), value);
                        self.publish(&write.key);
                        Wrote::As(self.revision)
                    } else {
                        Wrote::Conflict
                    };
                    if !lost {
                        self.tell(seat, life, at, Told::Wrote(write, outcome));
                    }
                }
            }
        }
    }

    fn publish(&mut self, key: &Key) {
        for seat in 0..self.seats.len() {
            self.watch(seat, key);
        }
    }

    fn watch(&mut self, seat: usize, key: &Key) {
        let Some((revision, value)) = self.store.get(key).cloned() else {
            return;
        };
        let life = self.seats[seat].life;
        let after_cut = self.seats[seat].cut_until.max(self.now);
        let at = (after_cut + self.delay()).max(self.seats[seat].last_watch);
        self.seats[seat].last_watch = at;
        self.tell(
            seat,
            life,
            at,
            Told::Saw(key.clone(), revision, Some(value)),
        );
    }

    fn tell(&mut self, seat: usize, life: u64, at: u64, told: Told) {
        let seat = &mut self.seats[seat];
        if seat.life == life && seat.leases.is_some() {
            seat.told.push((at, told));
        }
    }

    fn live(&mut self, index: usize) {
        let (now, local) = (self.now, self.local(index));
        let seat = &mut self.seats[index];
        if seat.asleep_until > now {
            return;
        }
        if seat.leases.is_none() {
            if seat.back_at <= now {
                self.join(index);
            }
            return;
        }
        let mut due: Vec<_> = seat.told.extract_if(.., |(at, _)| *at <= now).collect();
        due.sort_by_key(|(at, _)| *at);
        let Some(leases) = &mut seat.leases else {
            return;
        };
        let none = due.is_empty();
        for (_, told) in due {
            match told {
                Told::Saw(key, revision, value) => leases.saw(&key, revision, value, local),
                Told::Wrote(write, outcome) => {
                    // A write has one outcome: none is known after a while, or the reply came before that.
                    if seat.waits.get(&write.key) == Some(&write) {
                        seat.waits.remove(&write.key);
                        leases.wrote(&write, outcome, local);
                    }
                }
                Told::Drained(part) => leases.drained(&part),
            }
        }
        if none && leases.next_due().is_some_and(|due| due > local) {
            return;
        }
        let actions = leases.step(local);
        self.act(index, actions);
    }

    fn join(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        seat.life += 1;
        seat.told.clear();
        seat.waits.clear();
        let terms = Terms {
            term: MS * u32::try_from(TERM).unwrap(),
        };
        let name = format!("{index}-{}", seat.life);
        let former = (1..seat.life).map(|life| format!("{index}-{life}"));
        seat.leases = Some(Leases::new(name, terms, topics(PARTITIONS), former));
        let mut keys: Vec<_> = self
            .store
            .iter()
            .map(|(key, it)| (it.0, key.clone()))
            .collect();
        keys.sort();
        for (_, key) in keys {
            self.watch(index, &key);
        }
        let local = self.local(index);
        let actions = self.seats[index].leases.as_mut().unwrap().step(local);
        self.act(index, actions);
    }

    fn act(&mut self, index: usize, actions: Vec<Action>) {
        for action in actions {
            let life = self.seats[index].life;
            match action {
                Action::Write(write) => {
                    let at = self.now + self.delay();
                    let timeout = self.now + TERM / 4;
                    let waits = &mut self.seats[index].waits;
                    waits.insert(write.key.clone(), write.clone());
                    let unknown = Told::Wrote(write.clone(), Wrote::Unknown);
                    // A reply that comes after this is about a write that was given up.
                    self.tell(index, life, timeout, unknown);
                    if !(self.faults && self.random.one_in(20)) {
                        self.asked.push((at, index, life, Asked::Write(write)));
                    }
                }
                Action::Read(key) => {
                    let at = self.now + self.delay();
                    self.asked.push((at, index, life, Asked::Read(key)));
                }
                Action::Sweep(name) => {
                    self.store.remove(&Key::Member(name));
                }
                Action::Drain(part) => {
                    let busy = if self.prompt {
                        0
                    } else {
                        self.random.next(TERM)
                    };
                    self.tell(index, life, self.now + busy, Told::Drained(part));
                }
                Action::Own(_) => self.moves += 1,
                Action::Keep(_) | Action::Lose(_) => {}
                Action::End(_) => {
                    let seat = &mut self.seats[index];
                    seat.leases = None;
                    seat.told.clear();
                    seat.back_at = self.now + 1 + self.random.next(TERM);
                }
            }
        }
    }

    fn owners(&self, part: &Part) -> Vec<usize> {
        let believes = |&seat: &usize| {
            let local = self.local(seat);
            self.seats[seat].leases.as_ref().is_some_and(|leases| {
                leases.owns(part) && leases.trusted_until().is_some_and(|until| local < until)
            })
        };
        (0..self.seats.len()).filter(believes).collect()
    }

    /// Nobody believes to own what another believes to own.
    fn check(&self) {
        for partition in 0..PARTITIONS {
            let owners = self.owners(&self.parts[partition as usize]);
            assert!(
                owners.len() <= 1,
                "at {} partition {partition} has the owners {owners:?}",
                self.now
            );
        }
    }

    fn shares(&self) -> Vec<usize> {
        let mut shares = vec![0; self.seats.len()];
        for partition in 0..PARTITIONS {
            for owner in self.owners(&self.parts[partition as usize]) {
                shares[owner] += 1;
            }
        }
        shares
    }

    fn calm(&mut self) {
        self.faults = false;
        for seat in &mut self.seats {
            seat.asleep_until = 0;
            seat.cut_until = 0;
            seat.back_at = seat.back_at.min(self.now);
        }
    }
}

// guarantee: K5 K7
#[test]
fn two_never_own_the_same_whatever_happens() {
    let mut moves = 0;
    for seed in 1..=25 {
        let mut world = World::new(seed, 5);
        world.run(30_000);
        moves += world.moves;
        world.calm();
        // Late messages, the terms of the silent, and what is drained.
        world.run(TERM * 8);
        let mut shares = world.shares();
        shares.sort_unstable();
        assert_eq!(shares, [1, 1, 1, 2, 2], "seed {seed}");
        let before = world.moves;
        world.run(TERM * 3);
        assert_eq!(world.moves, before, "seed {seed}: it comes to rest");
    }
    assert!(moves > 1000, "too little happened: {moves}");
}

// guarantee: K7
#[test]
fn what_a_crashed_member_had_is_owned_again_within_the_term() {
    for seed in 1..=20 {
        let mut world = World::new(seed, 3);
        world.faults = false;
        world.run(TERM * 10);
        assert_eq!(world.shares().iter().sum::<usize>(), PARTITIONS as usize);
        let victim = (seed % 3) as usize;
        world.seats[victim].leases = None;
        world.seats[victim].back_at = u64::MAX;
        // The slowest clock, and what is on its way.
        world.run(TERM * 10 / 9 + 150);
        let shares = world.shares();
        assert_eq!(
            shares.iter().sum::<usize>(),
            PARTITIONS as usize,
            "seed {seed}: {shares:?}"
        );
    }
}

// guarantee: K7
#[test]
fn what_a_member_leaves_is_owned_again_at_once() {
    for seed in 1..=20 {
        let mut world = World::new(seed, 3);
        world.faults = false;
        world.run(TERM * 10);
        world.prompt = true;
        let seat = &mut world.seats[(seed % 3) as usize];
        seat.leases.as_mut().unwrap().leave();
        seat.told.push((0, Told::Drained(part(0))));
        world.run(60);
        world.seats[(seed % 3) as usize].back_at = u64::MAX;
        world.run(150);
        let shares = world.shares();
        assert_eq!(
            shares.iter().sum::<usize>(),
            PARTITIONS as usize,
            "seed {seed}: {shares:?}"
        );
    }
}
