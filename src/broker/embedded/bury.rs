//! What becomes of a record that failed for the last time.

use std::sync::Arc;
use tokio::time::Instant;

use crate::broker::dead_letter::{self, AGAIN};
use crate::broker::{Error, Event, Position, Producer as _, Record, Topic};

use super::coordinator::{Buried, Coordinator};
use super::producer::Producer;
use super::shared::Shared;

/// Moves a record to the dead-letter topic, in a task of its own, or lets it go where there is none. It counts as
/// acknowledged once that is done.
pub(crate) fn bury(shared: &Arc<Shared>, group: &Arc<Coordinator>, buried: Buried) {
    let Some(to) = buried.member.config.dead_letter.clone() else {
        let event = Event::GivenUp {
            position: buried.position.clone(),
            reason: buried.given_up.reason.clone(),
        };
        buried.member.report(event);
        return done(shared, group, &buried);
    };
    let (shared, group) = (Arc::clone(shared), Arc::clone(group));
    tokio::spawn(async move {
        match move_it(&shared, &group, &buried, to).await {
            // Retention was quicker. The group finds and reports it as a loss.
            Ok(false) => {}
            Ok(true) => {
                let event = Event::DeadLettered {
                    position: buried.position.clone(),
                    reason: buried.given_up.reason.clone(),
                };
                done(&shared, &group, &buried);
                buried.member.report(event);
            }
            Err(error) => {
                let (place, offset) = (buried.given_up.place, buried.given_up.offset);
                let generation = buried.given_up.generation;
                let at = Instant::now() + AGAIN;
                group.step(&shared, |core| core.retry(place, offset, generation, at));
                buried.member.report(Event::Failed(error));
            }
        }
    });
}

fn done(shared: &Arc<Shared>, group: &Arc<Coordinator>, buried: &Buried) {
    let (place, offset) = (buried.given_up.place, buried.given_up.offset);
    let generation = buried.given_up.generation;
    group.step(shared, |core| core.given_up(place, offset, generation));
}

/// Whether there was still a record to move.
async fn move_it(
    shared: &Arc<Shared>,
    group: &Coordinator,
    buried: &Buried,
    to: Topic,
) -> Result<bool, Error> {
    let Some(record) = find(shared, buried).await? else {
        return Ok(false);
    };
    let (position, given_up) = (&buried.position, &buried.given_up);
    let record = dead_letter::dead_letter(record, to, position, &group.name, given_up);
    let _position: Position = Producer::new(Arc::clone(shared)).push(record).await?;
    Ok(true)
}

async fn find(shared: &Arc<Shared>, buried: &Buried) -> Result<Option<Record>, Error> {
    let (partition, offset) = (buried.position.partition, buried.position.offset);
    {
        let inner = buried.topic.partitions[partition as usize].lock();
        if offset < inner.log.first() {
            return Ok(None);
        }
        if let Some((record, _time)) = inner.log.at(offset) {
            return Ok(Some(record.clone()));
        }
    }
    #[cfg(feature = "durable")]
    if let Some(store) = &shared.store {
        let found = super::disk::read_one(store, &buried.topic, partition, offset).await?;
        return Ok(found.map(|entry| entry.record));
    }
    #[cfg(not(feature = "durable"))]
    let _ = shared;
    Ok(None)
}
