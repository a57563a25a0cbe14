//! What becomes of a record that failed for the last time.

use tokio::time::Instant;

use crate::broker::dead_letter::{AGAIN, dead_letter};
use crate::broker::group::GivenUp;
use crate::broker::{Event, Position, Record, Topic};

use super::{Engine, Seat};

pub(super) struct Buried {
    position: Position,
    record: Record,
    given_up: GivenUp,
}

impl Buried {
    pub(super) fn new(topic: Topic, offset: u64, record: Record, given_up: GivenUp) -> Self {
        Self {
            position: Position::new(topic, given_up.place.partition, offset),
            record,
            given_up,
        }
    }
}

impl<E: Engine> Seat<E> {
    /// Moves a record to the dead-letter topic, in a task of its own, or lets it go where there is none. It counts as
    /// acknowledged once that is done.
    pub(super) fn bury(&self, buried: Buried) {
        let Buried {
            position,
            record,
            given_up,
        } = buried;
        let Some(to) = self.config.dead_letter.clone() else {
            self.report(Event::GivenUp {
                position,
                reason: given_up.reason.clone(),
            });
            return self.buried(&given_up);
        };
        let runtime = crate::sync::lock(&self.state).runtime.clone();
        let (Some(seat), Some(runtime)) = (self.this.upgrade(), runtime) else {
            return;
        };
        let letter = dead_letter(record, to, &position, &self.config.group, &given_up);
        runtime.spawn(async move {
            match seat.engine.bury(letter).await {
                Ok(()) => {
                    seat.buried(&given_up);
                    seat.report(Event::DeadLettered {
                        position,
                        reason: given_up.reason,
                    });
                }
                Err(error) => {
                    let (place, index) = (given_up.place, given_up.offset);
                    let at = Instant::now() + AGAIN;
                    seat.step(|state, _| {
                        state.group.retry(place, index, given_up.generation, at);
                    });
                    seat.report(Event::Failed(error));
                }
            }
        });
    }

    fn buried(&self, given_up: &GivenUp) {
        let (place, index) = (given_up.place, given_up.offset);
        self.step(|state, _| {
            let window = state.windows.get(&place);
            if window.is_none_or(|window| window.epoch != given_up.generation) {
                return;
            }
            state.group.given_up(place, index, given_up.generation);
            state.answer::<E>(place, index);
        });
    }
}
