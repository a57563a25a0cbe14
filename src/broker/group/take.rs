//! Handing out, fairly.

use tokio::time::Instant;

use super::cursor::Pull;
use super::{Group, MemberId, Place, Source, Taken};

impl Group {
    /// Takes up to `max` deliveries for the member. Its partitions get equal shares, and what some leave goes to the
    /// others; each take begins with another one. In a partition redeliveries that are due come before new records.
    pub(crate) fn take(
        &mut self,
        member: MemberId,
        max: usize,
        now: Instant,
        source: &mut dyn Source,
    ) -> Taken {
        let mut taken = Taken {
            count: 0,
            missing: Vec::new(),
        };
        let Some(taker) = self.members.get(&member) else {
            return taken;
        };
        let (terms, turn) = (taker.terms, taker.turn);
        let mut round = std::mem::take(&mut self.round);
        let places = &taker.places;
        let (before, from) = places.split_at(turn.min(places.len()));
        let of_places = places.len();
        round.extend(from.iter().chain(before));

        let mut pull = Pull {
            place: Place {
                topic: 0,
                partition: 0,
            },
            generation: 0,
            limit: 0,
            now,
            deadline: now.checked_add(terms.ack_wait),
            max_in_flight: terms.max_in_flight,
            ordered: terms.ordered,
            source,
            missing: &mut taken.missing,
        };
        let mut left = max;
        let mut served = None;
        while left > 0 && !round.is_empty() {
            let share = (left / round.len()).max(1);
            let mut visited = 0;
            round.retain(|&place| {
                if left == 0 {
                    return false;
                }
                visited += 1;
                pull.limit = share.min(left);
                let got = self.pull(member, place, &mut pull);
                left -= got;
                got == pull.limit
            });
            served.get_or_insert(if left == 0 { visited } else { 1 });
        }
        round.clear();
        self.round = round;
        taken.count = max - left;

        let deadline = pull.deadline.filter(|_| taken.count > 0);
        if let Some(deadline) = deadline {
            self.arm(deadline);
        }
        if let Some(taker) = self.members.get_mut(&member) {
            taker.turn = (turn + served.unwrap_or(0)) % of_places.max(1);
            // Another poll of the same member may be asleep.
            if deadline.is_some_and(|deadline| taker.sleeps_beyond(deadline)) {
                self.effects.wake(member);
            }
        }
        taken
    }

    /// Takes from one partition.
    fn pull(&mut self, member: MemberId, place: Place, pull: &mut Pull<'_>) -> usize {
        let Some(partition) = self.partitions.get_mut(place) else {
            return 0;
        };
        if !partition.is_active(member) || partition.paused {
            return 0;
        }
        let Some(cursor) = &mut partition.cursor else {
            return 0;
        };
        pull.place = place;
        pull.generation = partition.generation;
        let pulled = cursor.take(pull);
        if let Some((from, missed)) = pulled.lost {
            self.effects.lost.push((member, place, from, missed));
            self.settled(place);
        }
        if let Some(in_flight) = pulled.full {
            self.effects.in_flight_full.push((member, place, in_flight));
        }
        pulled.count
    }
}
