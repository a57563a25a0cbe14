//! What becomes of a delivery: acknowledged, refused, committed.

use tokio::time::Instant;

use crate::broker::{Error, Position, Settled, Verdict};

use super::seat::Seat;
use crate::broker::group::{Place, Settle, later};

impl Seat {
    pub(crate) fn settle(&self, position: &Position, verdict: Verdict) -> Settled {
        match self.settle_now(position, verdict) {
            Ok(Some(stored)) => stored,
            settled => Settled::now(settled.map(|_stored| ())),
        }
    }

    /// Has the group's position written. To be called within a step, so that positions come to the disk in their order.
    fn keep(&self, place: Place, low: u64) -> Option<Settled> {
        #[cfg(feature = "durable")]
        if let Some(store) = &self.shared.store {
            let stored = super::disk::committed(store, &self.group.name, place, low);
            return Some(Settled::later(stored));
        }
        let _ = (place, low);
        None
    }

    /// Answers what is to be stored before the caller goes on.
    fn settle_now(&self, position: &Position, verdict: Verdict) -> Result<Option<Settled>, Error> {
        // A foreign position is named before anything else is found wrong with it.
        let topic = self.shared.find(&position.topic)?;
        topic.partition(position.partition)?;
        let place = Place {
            topic: topic.id,
            partition: position.partition,
        };
        let (offset, generation) = (position.offset, position.generation());
        let (id, now) = (self.id, Instant::now());
        let commits = matches!(verdict, Verdict::CommitTo);
        let (settle, next, stored) = self.group.step(&self.shared, |group| {
            // Within the step: what closing finds done is stored by it, and nothing is done after that.
            self.shared.open()?;
            group.touch(id, now);
            let settle = match verdict {
                Verdict::Ack => group.ack(id, place, offset, generation),
                Verdict::Nack { delay, reason } => {
                    let at = later(now, delay.unwrap_or_default());
                    group.nack(id, place, offset, generation, at, reason, now)
                }
                Verdict::Extend => group.extend(id, place, offset, generation, now),
                Verdict::CommitTo => group.commit_to(id, place, offset, generation),
            };
            let good = matches!(settle, Settle::Done { .. } | Settle::Late);
            let stored = group
                .low(place)
                .filter(|_low| commits && good)
                .and_then(|low| self.keep(place, low));
            Ok((settle, group.position(place), stored))
        })?;
        match settle {
            Settle::Done { .. } | Settle::Late => Ok(stored),
            Settle::Fenced => Err(Error::Fenced {
                topic: topic.name.clone(),
                partition: position.partition,
                offset,
            }),
            Settle::Unknown => Err(Error::NotDelivered {
                topic: topic.name.clone(),
                partition: position.partition,
                offset,
                position: next.unwrap_or(0),
            }),
        }
    }

    /// Acknowledges everything that was delivered, and waits until that is stored.
    pub(crate) async fn commit(&self) -> Result<(), Error> {
        self.open()?;
        let stored: Vec<Settled> = self.group.step(&self.shared, |group| {
            group.touch(self.id, Instant::now());
            group.commit_all(self.id);
            let places = group.assignment(self.id).into_iter();
            places
                .filter_map(|place| self.keep(place, group.low(place)?))
                .collect()
        });
        for stored in stored {
            stored.await?;
        }
        Ok(())
    }
}
