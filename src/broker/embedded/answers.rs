//! What becomes of a delivery: acknowledged, refused, committed.

use tokio::time::Instant;

use crate::broker::{Error, Position, Settled, Verdict};

use super::group::{Place, Settle};
use super::seat::{Seat, later};

impl Seat {
    pub(crate) fn settle(&self, position: &Position, verdict: Verdict) -> Settled {
        let settled = self.settle_now(position, verdict);
        match settled {
            #[cfg(feature = "durable")]
            Ok(Some((place, offset))) => match &self.shared.store {
                Some(store) => Settled::later(super::disk::committed(
                    store,
                    &self.group.name,
                    place,
                    offset,
                )),
                None => Settled::now(Ok(())),
            },
            settled => Settled::now(settled.map(|_stored| ())),
        }
    }

    /// Answers what is to be stored before the caller goes on.
    fn settle_now(
        &self,
        position: &Position,
        verdict: Verdict,
    ) -> Result<Option<(Place, u64)>, Error> {
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
        let (settle, low, next) = self.group.step(&self.shared, |group| {
            group.touch(id, now);
            let settle = match verdict {
                Verdict::Ack => group.ack(id, place, offset, generation),
                Verdict::Nack { delay, reason } => {
                    let at = later(now, delay.unwrap_or_default());
                    group.nack(id, place, offset, generation, at, reason, now)
                }
                Verdict::CommitTo => group.commit_to(id, place, offset, generation),
            };
            (settle, group.low(place), group.position(place))
        });
        match settle {
            Settle::Done { .. } | Settle::Late => {
                Ok(low.filter(|_low| commits).map(|low| (place, low)))
            }
            Settle::Fenced => Err(Error::Fenced {
                topic: topic.name.clone(),
                partition: position.partition,
                offset,
            }),
            Settle::Unknown => Err(Error::OffsetOutOfRange {
                topic: topic.name.clone(),
                partition: position.partition,
                offset,
                first: low.unwrap_or(0),
                next: next.unwrap_or(0),
            }),
        }
    }

    /// Acknowledges everything that was delivered, and waits until that is stored.
    pub(crate) async fn commit(&self) -> Result<(), Error> {
        self.open()?;
        let lows: Vec<(Place, u64)> = self.group.step(&self.shared, |group| {
            group.touch(self.id, Instant::now());
            group.commit_all(self.id);
            let places = group.assignment(self.id).into_iter();
            places
                .filter_map(|place| Some((place, group.low(place)?)))
                .collect()
        });
        #[cfg(feature = "durable")]
        if let Some(store) = &self.shared.store {
            let all: Vec<_> = lows
                .into_iter()
                .map(|(place, low)| super::disk::committed(store, &self.group.name, place, low))
                .collect();
            for stored in all {
                stored.await?;
            }
            return Ok(());
        }
        drop(lows);
        Ok(())
    }
}
