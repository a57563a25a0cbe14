//! What becomes of a delivery: acknowledged, refused, committed.

use std::sync::Arc;

use tokio::time::Instant;

use crate::broker::group::{self, later};
use crate::broker::{Error, Position, Settle, Settled, Verdict, check};

use super::seat::State;
use super::take::Parked;
use super::{Engine, Place, Seat};

/// What an answer came to.
enum Answered {
    Yes,
    /// And the caller waits until that is stored.
    ToBeStored,
    /// The seat knows nothing of the partition: the engine says whether there is one.
    Foreign,
}

impl<E: Engine> Settle for Seat<E> {
    fn settle(&self, position: &Position, verdict: Verdict) -> Settled {
        match self.settle_now(position, verdict) {
            Ok(Answered::Yes) => Settled::now(Ok(())),
            Ok(Answered::ToBeStored) => {
                let (engine, seat) = (Arc::clone(&self.engine), self.this.upgrade());
                Settled::later(async move {
                    let _waits = seat.as_deref().map(Parked::new);
                    engine.stored().await
                })
            }
            Ok(Answered::Foreign) => {
                let (engine, position) = (Arc::clone(&self.engine), position.clone());
                Settled::later(async move { foreign(&*engine, position).await })
            }
            Err(error) => Settled::now(Err(error)),
        }
    }
}

/// Names what is wrong with a position that was never this consumer's.
async fn foreign<E: Engine>(engine: &E, position: Position) -> Result<(), Error> {
    let partitions = engine.partitions(&position.topic).await?;
    if position.partition >= partitions {
        return Err(Error::UnknownPartition {
            topic: position.topic,
            partition: position.partition,
            partitions,
            record: None,
        });
    }
    Err(fenced(&position))
}

fn fenced(position: &Position) -> Error {
    Error::Fenced {
        topic: position.topic.clone(),
        partition: position.partition,
        offset: position.offset,
    }
}

impl<E: Engine> Seat<E> {
    fn settle_now(&self, position: &Position, verdict: Verdict) -> Result<Answered, Error> {
        let now = Instant::now();
        self.step(|state, _| {
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            let Some((place, index)) = self.index(state, position)? else {
                return Ok(Answered::Foreign);
            };
            state.lapse(now);
            state.group.touch(self.member, now);
            let commits = matches!(verdict, Verdict::CommitTo);
            let settle = match index {
                Index::Fenced => group::Settle::Fenced,
                _ if !state.group.is_owned(self.member, place) => group::Settle::Fenced,
                _ if commits => self.commit_to(state, place, position.offset),
                Index::Done => group::Settle::Late,
                Index::Unknown => group::Settle::Unknown,
                Index::At(index) => {
                    let generation = position.generation();
                    self.answer(state, place, index, generation, verdict, now)
                }
            };
            match settle {
                group::Settle::Done { .. } | group::Settle::Late if commits => {
                    Ok(Answered::ToBeStored)
                }
                group::Settle::Done { .. } | group::Settle::Late => Ok(Answered::Yes),
                group::Settle::Fenced => Err(fenced(position)),
                group::Settle::Unknown => Err(Error::NotDelivered {
                    topic: position.topic.clone(),
                    partition: position.partition,
                    offset: position.offset,
                    position: state.position(place).unwrap_or(0),
                }),
            }
        })
    }

    fn answer(
        &self,
        state: &mut State<E::Ticket>,
        place: Place,
        index: u64,
        generation: u64,
        verdict: Verdict,
        now: Instant,
    ) -> group::Settle {
        let (id, group) = (self.member, &mut state.group);
        match verdict {
            Verdict::Ack => {
                let settle = group.ack(id, place, index, generation);
                if matches!(settle, group::Settle::Done { .. }) {
                    state.answer::<E>(place, index);
                }
                settle
            }
            Verdict::Nack { delay, reason } => {
                let at = later(now, delay.unwrap_or_default());
                group.nack(id, place, index, generation, at, reason, now)
            }
            Verdict::Extend => group.extend(id, place, index, generation, now),
            Verdict::CommitTo => group.commit_to(id, place, index, generation),
        }
    }

    fn commit_to(&self, state: &mut State<E::Ticket>, place: Place, offset: u64) -> group::Settle {
        if state
            .position(place)
            .is_none_or(|position| offset >= position)
        {
            return group::Settle::Unknown;
        }
        let Some(window) = state.windows.get(&place) else {
            return group::Settle::Fenced;
        };
        let (end, strays) = window.until(offset);
        let (first, epoch) = (window.first, window.epoch);
        let mut settle = group::Settle::Late;
        if let Some(last) = end.checked_sub(1).filter(|&last| last >= first) {
            settle = state.group.commit_to(self.member, place, last, epoch);
        }
        for stray in strays {
            // One that was not delivered yet stays so.
            let _ = state.group.ack(self.member, place, stray, epoch);
        }
        state.answer_all::<E>(place);
        settle
    }

    /// Acknowledges everything that was delivered, and waits until that is stored.
    pub(crate) async fn commit(&self) -> Result<(), Error> {
        self.open()?;
        self.step(|state, _| {
            let now = Instant::now();
            state.lapse(now);
            state.group.touch(self.member, now);
            state.group.commit_all(self.member);
            for place in state.group.assignment(self.member) {
                state.answer_all::<E>(place);
            }
        });
        let _waits = Parked::new(self);
        self.engine.stored().await
    }

    /// Which record is meant. `None`: the seat does not know the partition.
    fn index(
        &self,
        state: &State<E::Ticket>,
        position: &Position,
    ) -> Result<Option<(Place, Index)>, Error> {
        let Some(place) = state.known(&position.topic, position.partition) else {
            check::check_topic(&position.topic)?;
            return Ok(None);
        };
        let Some(window) = state.windows.get(&place) else {
            let known = state.subscription.get(&position.topic);
            return Ok(known
                .filter(|&&partitions| position.partition < partitions)
                .map(|_| (place, Index::Fenced)));
        };
        // A position that belongs to no assignment can be committed.
        if position.generation() != window.epoch && position.generation() != 0 {
            return Ok(Some((place, Index::Fenced)));
        }
        let index = match window.find(position.offset) {
            Some(index) => Index::At(index),
            None if window.has_passed(position.offset) => Index::Done,
            None => Index::Unknown,
        };
        Ok(Some((place, index)))
    }
}

/// Where a position is in its partition's window.
enum Index {
    At(u64),
    /// Before it.
    Done,
    Unknown,
    /// It was delivered under another assignment.
    Fenced,
}

impl<T> State<T> {
    /// The offset of the record that is taken next.
    pub(super) fn position(&self, place: Place) -> Option<u64> {
        let window = self.windows.get(&place)?;
        Some(window.offset_at(self.group.position(place)?))
    }
}
