//! A seat and a server that loses, repeats and takes back, under random steps, against what a book says of them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    /// The server sends what is next. Each is lost or not, with a gap before it.
    Send(Vec<(bool, u64)>),
    /// It sends something again that it has sent and that was not acknowledged, as far as it knows.
    Again(usize),
    Poll(usize),
    Ack(usize),
    Nack(usize, u32),
    Extend(usize),
    CommitTo(usize),
    Commit,
    Pass(u32),
    /// The server takes the answers.
    Answers,
    /// The partition is taken and given again.
    Regrant,
    Retire(bool),
    Seek(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let n = any::<usize>;
    let sent = (prop::bool::weighted(0.1), 0..3_u64);
    prop_oneof![
        8 => prop::collection::vec(sent, 1..6).prop_map(Op::Send),
        5 => n().prop_map(Op::Again),
        10 => (1..7_usize).prop_map(Op::Poll),
        14 => n().prop_map(Op::Ack),
        4 => (n(), 0..4_u32).prop_map(|(n, delay)| Op::Nack(n, delay)),
        2 => n().prop_map(Op::Extend),
        2 => n().prop_map(Op::CommitTo),
        1 => Just(Op::Commit),
        3 => (1..12_u32).prop_map(Op::Pass),
        4 => Just(Op::Answers),
        1 => Just(Op::Regrant),
        1 => any::<bool>().prop_map(Op::Retire),
        1 => (0..60_u64).prop_map(Op::Seek),
    ]
}

/// A record, as the server has it.
#[derive(Default)]
struct Stored {
    sent: u32,
    acked: bool,
}

/// A record, as the seat must have it.
#[derive(Default)]
struct Known {
    attempts: u32,
    ticket: u32,
    /// It was delivered under this epoch.
    here: bool,
    acked: bool,
    /// When it is overdue, where it is out.
    out: Option<Instant>,
    /// Not delivered again before.
    after: Option<Instant>,
    nacked: bool,
}

struct Sim {
    world: World,
    place: Place,
    epoch: u64,
    server: BTreeMap<u64, Stored>,
    next: u64,
    /// Something was lost since the last that arrived in order.
    lost: bool,
    known: BTreeMap<u64, Known>,
    arrived: u64,
    begin: u64,
    /// The furthest that could be committed under this epoch, at any time.
    most: u64,
    deliveries: Vec<Delivery>,
    retired: bool,
}

const WAIT: Duration = Duration::from_secs(10);

impl Sim {
    async fn new() -> Self {
        let config = config().ack_wait(WAIT).max_in_flight(24);
        let world: World = World::new(config).await;
        let (place, epoch) = world.grant(0, 0);
        Self {
            world,
            place,
            epoch,
            server: BTreeMap::new(),
            next: 0,
            lost: false,
            known: BTreeMap::new(),
            arrived: 0,
            begin: 0,
            most: 0,
            deliveries: Vec::new(),
            retired: false,
        }
    }

    fn now() -> Instant {
        Instant::now()
    }

    async fn step(&mut self, op: Op) {
        match op {
            Op::Send(each) => self.send(each),
            Op::Again(n) => self.again(n),
            Op::Poll(max) => self.poll(max).await,
            Op::Ack(n) | Op::Nack(n, _) | Op::Extend(n) | Op::CommitTo(n) => {
                if !self.deliveries.is_empty() {
                    let delivery = self.deliveries[n % self.deliveries.len()].clone();
                    self.answer(op, &delivery).await;
                }
            }
            Op::Commit => {
                self.world.consumer.commit().await.unwrap();
                for known in self.known.values_mut() {
                    known.acked |= known.here && !known.nacked;
                }
            }
            Op::Pass(seconds) => {
                // A sign of life: sessions are not what this is about.
                for _ in 0..seconds {
                    tokio::time::advance(SECOND).await;
                    self.world.poll(0).await;
                }
                let now = Self::now();
                for known in self.known.values_mut() {
                    if known.out.is_some_and(|due| due <= now) {
                        known.out = None;
                    }
                }
            }
            Op::Answers => self.answers(),
            Op::Regrant => self.regrant(),
            Op::Retire(retired) => {
                match retired {
                    true => self.world.seat.retire(self.place),
                    false => self.world.seat.keep(self.place),
                }
                self.retired = retired;
            }
            Op::Seek(to) => self.seek(to).await,
        }
        self.check();
    }

    fn send(&mut self, each: Vec<(bool, u64)>) {
        let mut arrivals = Vec::new();
        for (lost, gap) in each {
            let offset = self.next + gap;
            self.next = offset + 1;
            let stored = self.server.entry(offset).or_default();
            stored.sent += 1;
            self.lost |= lost;
            if lost {
                continue;
            }
            let follows = !std::mem::take(&mut self.lost);
            arrivals.push(Arrival {
                follows,
                ..arrival(offset, stored.sent)
            });
            self.arrive(offset);
        }
        self.world
            .seat
            .arrive(self.place, self.epoch, &mut arrivals);
    }

    /// In the book.
    fn arrive(&mut self, offset: u64) {
        let ticket = self.server[&offset].sent;
        self.known.entry(offset).or_default().ticket = ticket;
        self.arrived = self.arrived.max(offset + 1);
    }

    fn again(&mut self, n: usize) {
        let open = |(_, stored): &(&u64, &mut Stored)| stored.sent > 0 && !stored.acked;
        let begin = self.begin;
        let mut open: Vec<_> = self.server.range_mut(begin..).filter(open).collect();
        if open.is_empty() {
            return;
        }
        let index = n % open.len();
        let (offset, stored) = &mut open[index];
        let offset = **offset;
        stored.sent += 1;
        let again = Arrival {
            follows: false,
            ..arrival(offset, stored.sent)
        };
        self.arrive(offset);
        self.world
            .seat
            .arrive(self.place, self.epoch, &mut vec![again]);
    }

    async fn poll(&mut self, max: usize) {
        let taken = self.world.poll(max).await;
        assert!(!self.retired || taken.is_empty());
        for delivery in &taken {
            let offset = delivery.position.offset;
            let known = self.known.get_mut(&offset).expect("it arrived");
            assert!(!known.acked, "{offset} was acknowledged");
            assert!(known.out.is_none(), "{offset} is in hand");
            assert!(
                known.after.is_none_or(|after| after <= Self::now()),
                "{offset} waits"
            );
            known.attempts += 1;
            known.here = true;
            assert_eq!(delivery.attempt, known.attempts, "{offset}");
            known.out = Some(Self::now() + WAIT);
            known.nacked = false;
        }
        if !self.retired && taken.len() < max {
            // Nothing was kept back but by the bound on what is in flight.
            let waits = |known: &&Known| {
                known.here
                    && !known.acked
                    && known.out.is_none()
                    && known.after.is_none_or(|after| after <= Self::now())
            };
            assert_eq!(self.known.values().filter(waits).count(), 0);
        }
        self.deliveries.extend(taken);
    }

    async fn answer(&mut self, op: Op, delivery: &Delivery) {
        let consumer = &self.world.consumer;
        let offset = delivery.position.offset;
        let result = match op {
            Op::Ack(_) => consumer.ack(delivery).await,
            Op::Nack(_, delay) => consumer.nack(delivery, Some(delay * SECOND)).await,
            Op::Extend(_) => consumer.extend(delivery).await,
            _ => consumer.commit_to(&delivery.position).await,
        };
        if delivery.position.generation() != self.epoch {
            assert!(result.unwrap_err().is_fenced());
            return;
        }
        result.unwrap();
        let known = self.known.get_mut(&offset).expect("it was delivered");
        match op {
            Op::Ack(_) => known.acked = true,
            Op::Nack(_, delay) if known.out.is_some() => {
                known.out = None;
                known.after = Some(Self::now() + delay * SECOND);
                known.nacked = true;
            }
            Op::Nack(..) => known.nacked = true,
            Op::Extend(_) if known.acked || known.nacked => {}
            Op::Extend(_) => {
                known.out = Some(Self::now() + WAIT);
                known.after = None;
            }
            _ => {
                for known in self.known.range_mut(..=offset).map(|(_, it)| it) {
                    known.acked |= known.here;
                }
            }
        }
    }

    /// The server hears that these are done with.
    fn hear(&mut self, done: Vec<(u64, u32)>, committed: Option<u64>) {
        for (offset, _) in done {
            assert!(
                self.known.get(&offset).is_none_or(|it| it.acked),
                "{offset}"
            );
            self.server.get_mut(&offset).unwrap().acked = true;
        }
        if let Some(committed) = committed {
            let most = self.most.max(self.low());
            assert!(committed <= most, "{committed} beyond {most}");
        }
    }

    fn answers(&mut self) {
        let (done, committed) = self.world.answers();
        self.hear(done, committed.last().copied());
        for (offset, known) in &self.known {
            assert!(
                !known.acked || self.server[offset].acked,
                "{offset} was not told"
            );
        }
    }

    /// The server sends everything again that is open, as to another member.
    fn regrant(&mut self) {
        let remains = self.world.seat.revoke(self.place);
        self.hear(remains.done, remains.committed);
        for (offset, _) in remains.left {
            assert!(!self.known[&offset].acked, "{offset} is done with");
        }
        let start = self.server.iter().find(|(_, stored)| !stored.acked);
        self.begin = start.map_or(self.next, |(&offset, _)| offset);
        self.epoch = self.world.seat.grant(self.place, self.begin, None).unwrap();
        self.forget();
        let open: Vec<_> = self.server.range_mut(self.begin..).collect();
        let mut arrivals = Vec::new();
        for (&offset, stored) in open.into_iter().filter(|(_, stored)| !stored.acked) {
            let known = self.known.entry(offset).or_default();
            known.attempts = stored.sent;
            stored.sent += 1;
            known.ticket = stored.sent;
            arrivals.push(Arrival {
                attempts_before: stored.sent - 1,
                ..arrival(offset, stored.sent)
            });
            self.arrived = offset + 1;
        }
        self.world
            .seat
            .arrive(self.place, self.epoch, &mut arrivals);
    }

    async fn seek(&mut self, to: u64) {
        let sought = self.world.consumer.seek("t", 0, Start::Offset(to)).await;
        if self.retired {
            assert!(sought.is_err());
            return;
        }
        // What was answered before it still counts, and is nothing to the server that begins anew.
        self.world.answers();
        self.epoch = self.world.seat.epoch(self.place).unwrap();
        self.begin = to;
        self.next = to;
        self.server.clear();
        self.forget();
    }

    fn forget(&mut self) {
        self.known.clear();
        self.arrived = self.begin;
        self.lost = false;
        self.most = self.begin;
        self.retired = false;
    }

    /// The first that is open.
    fn low(&self) -> u64 {
        let open = self.known.iter().find(|(_, known)| !known.acked);
        let end = self.arrived.max(self.begin);
        open.map_or(end, |(&offset, _)| offset)
    }

    fn check(&mut self) {
        self.most = self.most.max(self.low());
        let held: BTreeMap<_, _> = self.world.seat.held(self.place).into_iter().collect();
        let open = self.known.iter().filter(|(_, known)| !known.acked);
        let open: BTreeMap<_, _> = open
            .map(|(&offset, known)| (offset, known.ticket))
            .collect();
        assert_eq!(held, open);
        let out = self
            .known
            .values()
            .filter(|it| !it.acked && it.out.is_some());
        assert_eq!(self.world.seat.in_hand(self.place), out.count());
    }

    /// Everything comes in the end, and is acknowledged.
    async fn finish(&mut self) {
        self.step(Op::Retire(false)).await;
        for round in 0.. {
            assert!(round < 1000, "it never ends");
            self.step(Op::Answers).await;
            let open = |(_, stored): &(&u64, &Stored)| !stored.acked;
            let open = self.server.iter().filter(open).count();
            if open == 0 {
                break;
            }
            for _ in 0..open {
                self.step(Op::Again(round)).await;
            }
            self.step(Op::Poll(100)).await;
            for n in 0..self.deliveries.len() {
                self.step(Op::Ack(n)).await;
            }
            self.step(Op::Pass(1)).await;
        }
        let offsets: BTreeSet<_> = self.known.keys().collect();
        assert!(offsets.into_iter().all(|offset| self.server[offset].acked));
        if !self.known.is_empty() {
            let committed = self.world.consumer.committed("t", 0).await.unwrap();
            assert_eq!(committed, Some(self.arrived));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(256),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_seat_is_as_its_book(ops in prop::collection::vec(op(), 1..150)) {
        // guarantee: K4
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut sim = Sim::new().await;
            for op in ops {
                sim.step(op).await;
            }
            sim.finish().await;
        });
    }
}
