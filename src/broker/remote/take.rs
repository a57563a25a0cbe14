//! Deliveries: what a poll does, and how the group gets at the records.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::select;
use tokio::time::{Instant, sleep_until};

use crate::broker::group::{Source, later};
use crate::broker::{Delivery, Error, Position, Record, Topic};
use crate::coop;

use super::seat::State;
use super::window::Window;
use super::{Engine, Place, Seat};

/// For how many deliveries room is made at once.
const AHEAD: usize = 4096;

/// What a look for deliveries came to.
enum Look {
    Found(Vec<Delivery>),
    /// Nothing, and nothing before this moment unless the member is told.
    Nothing(Option<Instant>),
}

impl<E: Engine> Seat<E> {
    /// Takes up to `max` deliveries, or none when `wait` is over.
    pub(crate) async fn poll(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        std::future::poll_fn(|cx| coop::spend(cx, |_| Poll::Ready(()))).await;
        let mut parked = None;
        let deadline = later(Instant::now(), wait);
        loop {
            let told = std::pin::pin!(self.signal.notified());
            let due = match self.look(max)? {
                Look::Found(deliveries) => return Ok(deliveries),
                Look::Nothing(due) => due,
            };
            if max == 0 || Instant::now() >= deadline {
                return Ok(Vec::new());
            }
            parked.get_or_insert_with(|| Parked::new(self));
            let until = due.map_or(deadline, |due| due.min(deadline));
            select(told, std::pin::pin!(sleep_until(until))).await;
        }
    }

    /// Takes a delivery that is at hand. Whatever is in its way is left to [`poll`](Self::poll) to find out.
    pub(crate) fn take_one(&self) -> Option<Delivery> {
        match self.look(1) {
            Ok(Look::Found(deliveries)) => deliveries.into_iter().next(),
            _ => None,
        }
    }

    /// Takes what there is now.
    fn look(&self, max: usize) -> Result<Look, Error> {
        self.open()?;
        let now = Instant::now();
        let look = self.step(|state, after| {
            state.lapse(now);
            state.group.touch(self.member, now);
            state.group.tick(now);
            if max == 0 {
                return Look::Nothing(None);
            }
            let State {
                group,
                topics,
                windows,
                touched,
                ..
            } = &mut *state;
            let mut reader = Reader {
                topics,
                windows,
                touched,
                deliveries: Vec::new(),
            };
            let taken = group.take(self.member, max, now, &mut reader);
            let deliveries = reader.deliveries;
            after.nudge |= self.looked(state);
            if taken.count == 0 {
                return Look::Nothing(state.group.next_due(self.member));
            }
            Look::Found(deliveries)
        });
        Ok(look)
    }
}

/// A member that waits, in a poll or for the engine: it is not silent.
pub(super) struct Parked<'a, E: Engine>(&'a Seat<E>);

impl<'a, E: Engine> Parked<'a, E> {
    pub(super) fn new(seat: &'a Seat<E>) -> Self {
        seat.step(|state, _| state.group.park(seat.member));
        Self(seat)
    }
}

impl<E: Engine> Drop for Parked<'_, E> {
    fn drop(&mut self) {
        self.0.step(|state, _| {
            state.group.unpark(self.0.member, Instant::now());
        });
    }
}

/// Reads the windows.
struct Reader<'a, T> {
    topics: &'a [Topic],
    windows: &'a BTreeMap<Place, Window<T>>,
    /// Which windows were looked at.
    touched: &'a mut Vec<Place>,
    deliveries: Vec<Delivery>,
}

impl<T> Source for Reader<'_, T> {
    fn range(&mut self, place: Place) -> (u64, u64) {
        let Some(window) = self.windows.get(&place) else {
            return (0, 0);
        };
        if window.ahead() > 0 {
            self.touched.push(place);
        }
        (window.first, window.end())
    }

    fn key(&mut self, place: Place, index: u64) -> Option<u64> {
        let held = self.windows.get(&place)?.get(index)?;
        let mut hasher = DefaultHasher::new();
        held.record.key.hash(&mut hasher);
        Some(hasher.finish())
    }

    fn give(&mut self, place: Place, index: u64, attempt: u32, generation: u64) -> bool {
        self.give_run(place, index, 1, attempt, generation) == 1
    }

    fn give_run(
        &mut self,
        place: Place,
        from: u64,
        count: usize,
        attempt: u32,
        generation: u64,
    ) -> usize {
        let window = self.windows.get(&place);
        let topic = self.topics.get(place.topic as usize);
        let (Some(window), Some(topic)) = (window, topic) else {
            return 0;
        };
        let start = usize::try_from(from.saturating_sub(window.first)).unwrap_or(usize::MAX);
        let start = start.min(window.records.len());
        let end = start.saturating_add(count).min(window.records.len());
        if self.deliveries.len() == self.deliveries.capacity() {
            self.deliveries.reserve(count.min(AHEAD));
        }
        let records = window.records.range(start..end);
        self.deliveries.extend(records.map(|held| {
            Delivery {
                record: Record {
                    topic: topic.clone(),
                    key: held.record.key.clone(),
                    partition: held.record.partition,
                    value: held.record.value.clone(),
                    headers: held.record.headers.clone(),
                    id: held.record.id.clone(),
                },
                position: Position::new(topic.clone(), place.partition, held.offset)
                    .with_generation(generation),
                attempt,
                time: held.time,
            }
        }));
        end - start
    }
}
