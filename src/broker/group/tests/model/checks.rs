//! What has to hold at each step, and in the end.

use super::super::reference::{Fate, Known};
use super::*;

impl Sim {
    pub(super) fn wake_all(&mut self) {
        let polls = self.members.values_mut().filter_map(|it| it.poll.as_mut());
        polls.for_each(|poll| poll.woken = true);
    }

    pub(super) fn cancel(&mut self, id: MemberId) {
        let now = self.world.now;
        let member = self.members.get_mut(&id).unwrap();
        if member.poll.take().is_some() {
            (member.seen, member.live) = (now, true);
            self.world.group.unpark(id, now);
        }
    }

    pub(super) fn touch(&mut self, id: MemberId) {
        let now = self.world.now;
        let member = self.members.get_mut(&id).unwrap();
        (member.seen, member.live) = (now, true);
        self.world.group.touch(id, now);
        self.absorb();
    }

    /// Does what is due, and expects exactly that.
    pub(super) fn tick(&mut self) {
        let now = self.world.now;
        for (&place, book) in &mut self.books {
            let Some(owner) = book.owner else { continue };
            let terms = self.members[&owner].terms;
            for (&offset, known) in &mut book.known {
                if !matches!(known.fate, Fate::Out(Some(deadline)) if deadline <= now) {
                    continue;
                }
                if let Some(attempts) = known.fail(now, terms.max_attempts) {
                    self.failed.push(GivenUp {
                        member: owner,
                        place,
                        offset,
                        generation: book.generation,
                        attempts,
                        reason: format!("not acknowledged within {:?}", terms.ack_wait),
                    });
                }
            }
        }
        let mut expired = Vec::new();
        for (&id, member) in &mut self.members {
            if member.session_end().is_some_and(|end| end <= now) {
                member.live = false;
                expired.push(id);
            }
        }
        self.world.group.tick(now);
        let effects = self.world.group.effects();
        assert_eq!(effects.expired, expired);
        self.apply(effects);
        for (place, partition) in self.world.group.partitions.iter() {
            assert!(
                !partition.may_go(now),
                "{place:?} should have been handed over"
            );
        }
    }

    /// Takes as the rules say, and returns whether there was anything.
    pub(super) fn take(&mut self, id: MemberId, max: usize) -> bool {
        for place in self.world.group.needs_start(id) {
            self.world.group.begin(place, 0);
            self.books.get_mut(&place).unwrap().begin(0, None);
        }
        let now = self.world.now;
        let world = &mut self.world;
        let terms = self.members[&id].terms;
        world.records.given.clear();
        for place in places() {
            for offset in 0..world.records.ranges[&place].1 {
                let key = Self::key(place, offset);
                world.records.keys.insert((place, offset), key);
            }
        }
        let taken = world.group.take(id, max, now, &mut world.records);
        let effects = world.group.effects();
        let given = world.records.given.clone();
        assert_eq!(taken.count, given.len());
        assert!(taken.count <= max);
        assert!(
            taken
                .missing
                .iter()
                .all(|it| world.records.cold.contains(it))
        );
        let active: Vec<_> = places()
            .filter(|&it| world.group.is_owner(id, it))
            .collect();

        for &(member, place, from, missed) in &effects.lost {
            assert!(member == id && active.contains(&place));
            let first = world.records.ranges[&place].0;
            let lost = self.books.get_mut(&place).unwrap().cut(first);
            assert_eq!(lost, Some((from, missed)), "{place:?}");
        }
        let mut fresh = BTreeSet::new();
        for &it in &given {
            let Given { place, offset, .. } = it;
            let book = self.books.get_mut(&place).unwrap();
            let (first, end) = world.records.ranges[&place];
            assert!(active.contains(&place) && !book.paused, "{it:?} at {id}");
            assert!((first.max(book.low())..end).contains(&offset), "{it:?}");
            assert_eq!(it.generation, book.generation);
            let key = |offset| Self::key(place, offset);
            assert!(!terms.ordered || !book.is_behind(offset, key), "{it:?}");
            match book.known.get(&offset) {
                Some(known) => {
                    assert!(!fresh.contains(&place), "{it:?} after new records");
                    assert!(matches!(known.fate, Fate::Waits(at) if at <= now), "{it:?}");
                    assert_eq!(it.attempt, known.attempts + 1);
                }
                None => {
                    assert_eq!(it.attempt, 1);
                    // One that was looked at before, because of its key, may come as a redelivery does.
                    if offset >= book.next {
                        fresh.insert(place);
                        assert!(offset - book.low() < terms.max_in_flight as u64);
                        assert!(terms.ordered || offset == book.next, "{it:?}");
                    }
                }
            }
            book.next = book.next.max(offset + 1);
            book.delivered.insert(offset);
            let out = Known {
                attempts: it.attempt,
                fate: Fate::Out(now.checked_add(terms.ack_wait)),
                mine: true,
            };
            book.known.insert(offset, out);
            self.deliveries.push((id, it));
        }
        for &place in &active {
            let book = self.books.get_mut(&place).unwrap();
            let (first, end) = world.records.ranges[&place];
            let next = world.group.position(place).unwrap();
            let moved = book.next..=end.min(book.low().saturating_add(terms.max_in_flight as u64));
            if terms.ordered && next > book.next {
                assert!(moved.contains(&next));
                book.next = next;
            }
            let full = book.next - book.low() >= terms.max_in_flight as u64 && book.next < end;
            let told: Vec<_> = effects
                .in_flight_full
                .iter()
                .filter(|it| it.1 == place)
                .collect();
            if let &[&(member, _, in_flight)] = told.as_slice() {
                assert!(full && !book.full_told && member == id);
                assert_eq!(in_flight as u64, book.next - book.low());
                book.full_told = true;
            }
            assert!(told.len() < 2);
            let missing = taken.missing.iter().any(|it| it.0 == place);
            if taken.count < max && !missing && !book.paused {
                assert!(first <= book.low());
                assert!(!full || book.full_told);
            }
        }
        if taken.count < max {
            let hot = |place: &Place| taken.missing.iter().all(|it| it.0 != *place);
            for place in active.into_iter().filter(hot) {
                assert!(
                    self.takeable(id, place).is_none(),
                    "left {:?}",
                    self.takeable(id, place)
                );
            }
        }
        self.busy = !taken.missing.is_empty();
        self.apply(effects);
        taken.count > 0
    }

    /// A record of the place that the member could take now.
    fn takeable(&self, id: MemberId, place: Place) -> Option<u64> {
        let (book, world) = (&self.books[&place], &self.world);
        let terms = self.members[&id].terms;
        let (first, end) = world.records.ranges[&place];
        let low = book.low();
        let active = world.group.is_owner(id, place) && book.begun && !book.paused;
        let cold = world.records.cold.iter().any(|it| it.0 == place);
        if !active || cold || first > low {
            return None;
        }
        let room = low.saturating_add(terms.max_in_flight as u64);
        let free = |&offset: &u64| {
            !terms.ordered || !book.is_behind(offset, |offset| Self::key(place, offset))
        };
        let due = |offset: &u64| match book.known.get(offset) {
            Some(known) => matches!(known.fate, Fate::Waits(at) if at <= world.now),
            None => *offset < book.next || *offset < room,
        };
        (low..end).filter(due).find(free)
    }

    /// Applies what happened to the reference, and holds one against the other.
    pub(super) fn absorb(&mut self) {
        let effects = self.world.group.effects();
        assert!(effects.expired.is_empty() && effects.lost.is_empty());
        assert!(effects.in_flight_full.is_empty());
        self.apply(effects);
    }

    fn apply(&mut self, effects: Effects) {
        let now = self.world.now;
        for &(member, place, left) in &effects.revoked {
            let book = self.books.get_mut(&place).unwrap();
            assert_eq!(book.owner, Some(member));
            assert_eq!(book.release(now), left, "{place:?}");
        }
        for &(member, place) in &effects.assigned {
            let book = self.books.get_mut(&place).unwrap();
            assert_eq!(book.owner, None, "two owners of {place:?}");
            book.owner = Some(member);
            book.generation += 1;
        }
        for member in &effects.wake {
            if let Some(poll) = self.members.get_mut(member).and_then(|it| it.poll.as_mut()) {
                poll.woken = true;
            }
        }
        for (member, _) in &effects.assigned {
            assert!(effects.wake.contains(member));
        }
        let order = |it: &GivenUp| (it.place, it.offset);
        let (mut failed, mut given_up) = (std::mem::take(&mut self.failed), effects.given_up);
        failed.sort_by_key(order);
        given_up.sort_by_key(order);
        assert_eq!(given_up, failed);
        self.given_up.extend(given_up);
        let moved: BTreeMap<_, _> = effects.moved.into_iter().collect();
        for (&place, book) in &mut self.books {
            let told = std::mem::replace(&mut book.committed_told, book.committed);
            let expected = book.committed.filter(|_| book.committed != told);
            assert_eq!(moved.get(&place).copied(), expected, "{place:?}");
        }
        self.check();
    }

    fn check(&mut self) {
        for (&place, book) in &self.books {
            let group = &self.world.group;
            if book.begun {
                assert_eq!(group.low(place), Some(book.low()), "{place:?}");
                assert_eq!(group.position(place), Some(book.next), "{place:?}");
            }
            assert_eq!(group.committed(place), book.committed);
            let Some(partition) = group.partitions.get(place) else {
                continue;
            };
            assert_eq!(partition.out(), book.out());
            assert_eq!(partition.owner, book.owner);
            let Some(owner) = book.owner else { continue };
            assert!(group.assignment(owner).contains(&place));
            let holder = &self.members[&owner];
            assert!(holder.live && holder.topics.contains(&place.topic));
            let Some(hand_over) = partition.hand_over else {
                self.hand_overs.remove(&place);
                continue;
            };
            // It waits for something, and not for long.
            assert!(book.out() > 0 && hand_over.to != owner);
            let begun = self
                .hand_overs
                .entry(place)
                .or_insert((owner, self.world.now));
            assert_eq!(begun.0, owner);
            assert_eq!(
                hand_over.until,
                begun.1.checked_add(holder.terms.session_timeout)
            );
        }
        self.check_balance();
    }

    fn check_balance(&mut self) {
        let live = self.members.iter().filter(|(_, it)| it.live);
        let readers: BTreeMap<_, _> = live.map(|(&id, it)| (id, it.topics.clone())).collect();
        let partitions = &self.world.group.partitions;
        let targets: BTreeMap<_, _> = partitions
            .iter()
            .filter_map(|(place, partition)| Some((place, partition.target()?)))
            .collect();
        let count = |id: MemberId| targets.values().filter(|&&it| it == id).count();
        for place in places() {
            let mut reading = readers.iter().filter(|(_, it)| it.contains(&place.topic));
            let Some(&target) = targets.get(&place) else {
                assert!(reading.next().is_none(), "nobody has {place:?}");
                continue;
            };
            assert!(readers[&target].contains(&place.topic));
            assert!(reading.all(|(&id, _)| count(id) + 1 >= count(target)));
        }
        let moves: Vec<_> = targets
            .iter()
            .filter_map(|(place, &to)| Some((*place, *self.targets.get(place)?, to)))
            .filter(|(_, from, to)| from != to)
            .collect();
        if self.readers == readers {
            assert!(moves.is_empty(), "{moves:?}");
        }
        let alike = readers
            .values()
            .all(|it| Some(it) == readers.values().next());
        // Who could have kept a partition does not get another for it.
        let kept = |place: Place, id: &MemberId| {
            readers.get(id).is_some_and(|it| it.contains(&place.topic))
        };
        for (place, from, _) in moves.iter().filter(|it| alike && kept(it.0, &it.1)) {
            let gains = targets
                .iter()
                .any(|(at, to)| to == from && self.targets.get(at) != Some(to));
            assert!(!gains, "{from} lost {place:?} for another");
        }
        (self.targets, self.readers) = (targets, readers);
    }

    /// Lets those who wait in a poll go on as far as they were woken.
    pub(super) fn run_woken(&mut self) {
        loop {
            let woken = self
                .members
                .iter()
                .find_map(|(&id, it)| it.poll.filter(|poll| poll.woken).map(|poll| (id, poll)));
            let Some((id, poll)) = woken else { break };
            self.tick();
            let now = self.world.now;
            if self.take(id, poll.max) {
                self.cancel(id);
                self.absorb();
                continue;
            }
            let until = self.world.group.next_due(id);
            let sleeps = until.is_none_or(|until| until > now);
            assert!(self.busy || sleeps, "no sleep for {id}");
            let poll = self.members.get_mut(&id).unwrap().poll.as_mut().unwrap();
            poll.busy = self.busy;
            (poll.until, poll.woken) = (until.filter(|&until| until > now), false);
        }
        for (&id, member) in &self.members {
            let Some(poll) = member.poll else { continue };
            assert!(member.live, "{id} expired in its poll");
            if poll.busy {
                continue;
            }
            let left = places().find_map(|place| self.takeable(id, place));
            assert_eq!(left, None, "{id} sleeps");
        }
    }

    /// Nobody looks at the clock but those who wait, each at their own time.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.world.now + time;
        loop {
            let polls = self.members.values_mut().filter_map(|it| it.poll.as_mut());
            let first = polls.filter_map(|poll| poll.until).min();
            let Some(first) = first.filter(|&first| first <= end) else {
                break;
            };
            self.world.now = self.world.now.max(first);
            for member in self.members.values_mut() {
                let poll = member.poll.as_mut();
                if let Some(poll) = poll.filter(|it| it.until.is_some_and(|it| it <= first)) {
                    poll.woken = true;
                }
            }
            self.run_woken();
        }
        self.world.now = end;
        let asleep = |it: &Reader| it.poll.is_some_and(|poll| !poll.busy);
        for (&id, _) in self.members.iter().filter(|(_, it)| asleep(it)) {
            let mut others = self.members.iter().filter(|&(&other, _)| other != id);
            let late = others.find(|(_, it)| it.session_end().is_some_and(|at| at <= end));
            assert_eq!(
                late.map(|it| it.0),
                None,
                "{id} slept through the end of a session"
            );
            for (place, partition) in self.world.group.partitions.iter() {
                let concerned = partition.target() == Some(id) || partition.owner == Some(id);
                let due = self.books[&place]
                    .known
                    .values()
                    .any(|it| matches!(it.fate, Fate::Out(Some(deadline)) if deadline <= end));
                assert!(
                    !concerned || !(due || partition.may_go(end)),
                    "{id} slept: {place:?}"
                );
            }
        }
    }

    /// Everybody does their work, and then nothing is left that was neither delivered nor lost.
    pub(super) fn finish(mut self) {
        self.tick();
        self.world.records.cold.clear();
        let calm = Terms {
            max_in_flight: 1000,
            ..TERMS
        };
        let id = self.world.group.join(calm, self.world.now);
        self.world.group.subscribe(id, &TOPICS, self.world.now);
        let topics = TOPICS.iter().map(|it| it.0).collect();
        let member = Reader {
            terms: calm,
            topics,
            live: true,
            seen: self.world.now,
            dead: false,
            poll: None,
        };
        self.members.insert(id, member);
        self.absorb();
        // Those who never expire would keep what they have for ever.
        let dead = self.members.iter().filter(|(_, it)| it.dead);
        for id in dead.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.members.remove(&id);
            self.world.group.leave(id, self.world.now);
            self.absorb();
        }
        let settled = |sim: &Self, place: Place| {
            sim.world.group.low(place) == Some(sim.world.records.ranges[&place].1)
        };
        for round in 0.. {
            if places().all(|place| settled(&self, place)) {
                break;
            }
            assert!(round < 200, "it does not end");
            self.round();
        }
        for (place, book) in &self.books {
            for offset in 0..self.world.records.ranges[place].1 {
                let accounts = [&book.delivered, &book.lost, &book.skipped];
                assert!(
                    accounts.iter().any(|it| it.contains(&offset)),
                    "gap at {offset}"
                );
            }
        }
    }

    fn round(&mut self) {
        self.world.now += SECOND / 2;
        self.tick();
        let actors: Vec<_> = self.members.keys().copied().collect();
        for id in actors {
            self.cancel(id);
            self.touch(id);
            for place in places() {
                if self.world.group.pause(id, place, false) {
                    self.books.get_mut(&place).unwrap().paused = false;
                }
            }
            self.absorb();
            let begin = self.deliveries.len();
            self.take(id, 1000);
            let deliveries = self.deliveries.split_off(begin);
            for (id, given) in deliveries {
                self.answer(&Op::Ack(0), id, given);
            }
            // Left over from before, where nothing is overdue by itself.
            self.act(&Op::CommitAll(0), id);
            self.absorb();
        }
        self.resolve(false);
    }
}
