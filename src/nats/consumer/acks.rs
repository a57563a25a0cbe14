//! What was answered, on its way to the server.
//!
//! Acknowledgements are published, and nobody waits for them. Whoever wants to be sure sends the last one of each partition
//! once more as a request: the server takes them in their order, so with its answer it has all. That holds for those that went
//! over one connection. Where it was lost in between, the committed offset has to show on the server; what got lost is
//! delivered again then, and answered again.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Subject;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::broker::Error;
use crate::broker::remote::Place;
use crate::nats::lease::Part;
use crate::nats::trouble::engine_error;

use super::engine::{Engine, Order, Seat, until};

const ACTION: &str = "acknowledging";
/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(50);

#[derive(Default)]
pub(super) struct Acks {
    queue: VecDeque<Answer>,
    /// The last acknowledgement that was sent in each partition since all was known to be stored, and its epoch.
    sent: HashMap<Place, (u64, Subject)>,
    /// The committed offsets since then, and the epochs that they belong to.
    committed: HashMap<Place, (u64, u64)>,
    /// The connection over which the first of them went.
    connection: Option<u64>,
    /// Places that are to be committed by themselves.
    notes: Vec<oneshot::Receiver<()>>,
}

enum Answer {
    /// With its epoch.
    Ack(Place, u64, Subject),
    /// A place that was sought, and of which nothing was acknowledged.
    Place(Place, u64),
}

impl Acks {
    /// Takes what the consumer has answered.
    pub(super) fn take(&mut self, engine: &Engine, seat: &Seat) {
        let answers = seat.answers();
        let acks = answers.done.into_iter();
        self.queue
            .extend(acks.map(|(place, epoch, _offset, ticket)| Answer::Ack(place, epoch, ticket)));
        for (place, epoch, offset) in answers.committed {
            self.committed.insert(place, (offset, epoch));
            if engine.sought_to(place) == Some((epoch, offset)) {
                self.queue.push_back(Answer::Place(place, offset));
            }
        }
    }

    /// Sends what was taken. What was not sent when this is dropped is still there.
    pub(super) async fn send(&mut self, engine: &Engine, seat: &Seat) -> Result<(), Error> {
        let client = &engine.connection.client;
        while let Some(answer) = self.queue.front() {
            match answer {
                // Behind a seek it would answer for a delivery there, and so it would with somebody else's.
                Answer::Ack(place, epoch, _) if !engine.is_current(seat, *place, *epoch) => {}
                Answer::Ack(place, epoch, subject) => {
                    let sent = client.publish(subject.clone(), Bytes::new()).await;
                    sent.map_err(|error| engine_error(ACTION, error))?;
                    if self.connection.is_none() {
                        self.connection = Some(connects(engine));
                    }
                    self.sent.insert(*place, (*epoch, subject.clone()));
                }
                Answer::Place(place, to) => {
                    let (stored, note) = oneshot::channel();
                    // Without a feed it is somebody else's by now.
                    if engine.order(*place, Order::Commit { to: *to, stored }) {
                        self.notes.push(note);
                    }
                }
            }
            self.queue.pop_front();
        }
        Ok(())
    }

    /// Waits until the server has what was sent.
    pub(super) async fn sync(&mut self, engine: &Engine, seat: &Seat) -> Result<(), Error> {
        all(&mut self.notes).await;
        let client = &engine.connection.client;
        let within = engine.connection.options.request_timeout;
        for (&place, (epoch, subject)) in &self.sent {
            while engine.is_current(seat, place, *epoch) {
                let asked = client.request(subject.clone(), Bytes::new());
                let Err(error) = asked.await else { break };
                engine.connection.check()?;
                if !engine.is_running() {
                    return Err(engine_error(ACTION, error));
                }
                // The durable may be on its way to another place, or the server to its feet.
                sleep(AGAIN).await;
            }
        }
        let one = self
            .connection
            .is_none_or(|first| first == connects(engine));
        if !one {
            let end = Instant::now() + within;
            for (place, (offset, epoch)) in self.committed.clone() {
                self.shows(engine, seat, place, offset, epoch, end).await?;
            }
        }
        self.sent.clear();
        self.committed.clear();
        self.connection = None;
        Ok(())
    }

    /// Waits until the server shows that all before this offset is acknowledged.
    async fn shows(
        &mut self,
        engine: &Engine,
        seat: &Seat,
        place: Place,
        offset: u64,
        epoch: u64,
        end: Instant,
    ) -> Result<(), Error> {
        let part = Part {
            topic: seat.topic(place),
            partition: place.partition,
        };
        let (_topic, durable) = engine.durable(&part).await?;
        loop {
            self.take(engine, seat);
            self.send(engine, seat).await?;
            let durable = &durable;
            let shown = until(Instant::now() + AGAIN * 2, || async move {
                // What was lost meanwhile is no longer this consumer's to store.
                let gone = seat.epoch(place) != Some(epoch);
                let info = durable.info(&engine.connection).await?;
                Ok(gone || info.is_some_and(|info| info.ack_floor.stream_sequence + 1 >= offset))
            });
            if shown.await? {
                return Ok(());
            }
            if Instant::now() >= end {
                let late = "the server has not taken all acknowledgements";
                return Err(engine_error(ACTION, late));
            }
        }
    }
}

/// Waits for all of these. Those that were waited for are gone when this is dropped.
async fn all(notes: &mut Vec<oneshot::Receiver<()>>) {
    while let Some(note) = notes.last_mut() {
        // Dropped where the partition was lost.
        let _stored = note.await;
        notes.pop();
    }
}

fn connects(engine: &Engine) -> u64 {
    let statistics = engine.connection.client.statistics();
    statistics.connects.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_stopped_waiting_for_notes_can_wait_again() {
        let (first, note) = oneshot::channel();
        let (second, other) = oneshot::channel();
        let mut notes = vec![note, other];
        second.send(()).unwrap();
        assert!(all(&mut notes).now_or_never().is_none());
        assert!(all(&mut notes).now_or_never().is_none());
        drop(first);
        assert!(all(&mut notes).now_or_never().is_some());
        assert!(notes.is_empty());
    }
}
