//! The feed of one partition: it asks the server for records and hands them to the seat, for as long as the partition is owned.

mod pull;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::broker::remote::{Arrival, Place};
use crate::broker::{Error, Event, Start};
use crate::nats::lease::{Note, Part};
use crate::nats::topic::TopicState;
use crate::nats::trouble::engine_error;

use super::durable::{self, Durable, Stand};
use super::engine::{Engine, Order, Seat};
use pull::Pull;

/// After something failed.
const AGAIN: Duration = Duration::from_millis(100);

/// What feeds ask of the member that they are part of.
pub(super) enum Ask {
    /// The partition is ready to be read: it is to be granted.
    Grant {
        part: Part,
        stand: Stand,
        granted: oneshot::Sender<u64>,
    },
    /// The partition is to be opened anew.
    Close(Part),
    /// Something is to be written into the lease.
    Note {
        part: Part,
        note: Note,
        written: oneshot::Sender<()>,
    },
}

pub(super) struct Feed {
    pub(super) engine: Arc<Engine>,
    pub(super) seat: Arc<Seat>,
    pub(super) part: Part,
    pub(super) place: Place,
    /// What the last owners noted.
    pub(super) note: Note,
    /// What nobody got, by what is known here, whatever the server has counted. From where to where.
    pub(super) fresh: Vec<(u64, u64)>,
    pub(super) member: mpsc::UnboundedSender<Ask>,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    /// For how long the server keeps a request.
    pub(super) expires: Duration,
    /// A failure was reported, and nothing came since.
    pub(super) told: bool,
}

/// The partition is no longer this member's.
struct Lost;

/// Why a feed stopped for the moment.
enum Stop {
    Lost,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Lost> for Stop {
    fn from(_lost: Lost) -> Self {
        Self::Lost
    }
}

impl Feed {
    /// Feeds the seat. Ends where the partition is lost; dropped when it is stopped.
    pub(super) async fn run(mut self) {
        let (topic, durable, stand) = loop {
            match self.open().await {
                Ok(open) => break open,
                Err(error) => self.failed(error).await,
            }
        };
        self.told = false;
        let (granted, epoch) = oneshot::channel();
        let ask = Ask::Grant {
            part: self.part.clone(),
            stand,
            granted,
        };
        // Where the member is gone, so is the partition.
        if self.member.send(ask).is_err() {
            return;
        }
        let Ok(epoch) = epoch.await else { return };
        let mut reading = Reading {
            pull: Pull::new(&self.engine, &durable, self.expires),
            feed: self,
            topic,
            durable,
            epoch,
            begin: stand.start,
            end: stand.start,
            pending: None,
            batch: Vec::new(),
        };
        loop {
            match reading.go_on().await {
                Stop::Lost => return,
                Stop::Failed(error) => reading.feed.failed(error).await,
            }
        }
    }

    /// Reports an error that passes, once, and rests.
    async fn failed(&mut self, error: Error) {
        if !std::mem::replace(&mut self.told, true) && !self.engine.connection.is_closed() {
            self.seat.report(Event::Failed(error));
        }
        sleep(AGAIN).await;
    }

    /// Finds or makes the durable, and has come back what the last owner had not acknowledged.
    async fn open(&mut self) -> Result<(Arc<TopicState>, Durable, Stand), Error> {
        let connection = &Arc::clone(&self.engine.connection);
        let (topic, durable) = self.engine.durable(&self.part).await?;
        let note = self.note.clone();
        let info = durable.quiet_info(connection, self.expires).await?;
        let Some(info) = info else {
            let known = note.home.or(note.committed);
            let partition = self.part.partition;
            let resolve = |start| durable::resolve(connection, &topic, partition, start, true);
            let start = match known {
                // Of another stream, which had the topic's name before.
                Some(known) if known > resolve(Start::Latest).await? => {
                    resolve(Start::Earliest).await?
                }
                Some(known) => known,
                None => resolve(self.engine.start).await?,
            };
            durable.create(connection, start).await?;
            let committed = note.committed;
            self.is_home().await?;
            return Ok((topic, durable, Stand { start, committed }));
        };
        let untouched = info.ack_floor.consumer_sequence == 0;
        if let (Some(home), true) = (note.home, untouched) {
            // A seek of the last owner's that nothing was acknowledged after.
            durable.delete(connection).await?;
            durable.create(connection, home).await?;
            let committed = note.committed;
            self.is_home().await?;
            let start = home;
            return Ok((topic, durable, Stand { start, committed }));
        }
        durable.adapt(connection, &info).await?;
        let stand = Durable::stand(&info, &note);
        self.close_unread(info.delivered.stream_sequence);
        if !durable.recall(connection, &info, |_| false).await? {
            self.remake(&durable, stand.start, stand.committed)
                .await
                .map_err(|_lost| {
                    engine_error("taking over a partition", "it was lost meanwhile")
                })??;
        }
        self.tell_lost(&topic, stand.start).await?;
        Ok((topic, durable, stand))
    }

    /// The durable is where the group was. Nobody is to bring it there again: what is acknowledged behind a gap would be lost.
    async fn is_home(&mut self) -> Result<(), Error> {
        if self.note.home.is_none() {
            return Ok(());
        }
        let note = Note {
            home: None,
            committed: self.note.committed,
            unread: Vec::new(),
        };
        self.write(note.clone())
            .await
            .map_err(|_lost| engine_error("taking over a partition", "it was lost meanwhile"))?;
        self.note = note;
        Ok(())
    }

    /// What nobody got ends where the server's deliveries do now.
    fn close_unread(&mut self, delivered: u64) {
        let before = self.note.clone();
        let unread = &mut self.note.unread;
        let open = unread.iter().filter(|(_from, to)| to.is_none());
        self.fresh = open.map(|&(from, _to)| (from, delivered)).collect();
        unread.retain(|&(from, to)| from <= to.unwrap_or(delivered));
        for (_from, to) in unread.iter_mut() {
            to.get_or_insert(delivered);
        }
        if self.note != before {
            let (written, _nobody_waits) = oneshot::channel();
            let ask = Ask::Note {
                part: self.part.clone(),
                note: self.note.clone(),
                written,
            };
            // Where the member is gone, so is the partition.
            let _gone = self.member.send(ask);
        }
    }

    /// How many deliveries of this record never came to anybody.
    fn unread(&self, offset: u64) -> u32 {
        let mut fresh = self.fresh.iter();
        if fresh.any(|&(from, to)| (from..=to).contains(&offset)) {
            return u32::MAX;
        }
        let unread = self.note.unread.iter();
        let never =
            unread.filter(|&&(from, to)| from <= offset && to.is_none_or(|to| offset <= to));
        u32::try_from(never.count()).unwrap_or(u32::MAX)
    }

    /// Reports what retention removed before the group came to it.
    async fn tell_lost(&self, topic: &TopicState, start: u64) -> Result<(), Error> {
        let connection = &self.engine.connection;
        let partition = self.part.partition;
        let missed = durable::removed(connection, topic, partition, start).await?;
        if missed > 0 {
            self.seat.report(Event::Lost {
                topic: topic.name.clone(),
                partition,
                from: start,
                missed,
            });
        }
        Ok(())
    }

    /// Makes the durable anew, to begin there, with the committed offset where it is.
    async fn remake(
        &mut self,
        durable: &Durable,
        start: u64,
        committed: Option<u64>,
    ) -> Result<Result<(), Error>, Lost> {
        let note = Note {
            home: None,
            committed,
            unread: Vec::new(),
        };
        self.note = note.clone();
        self.write(note).await?;
        let connection = &self.engine.connection;
        Ok(async {
            durable.delete(connection).await?;
            durable.create(connection, start).await
        }
        .await)
    }

    /// Writes into the lease.
    async fn write(&self, note: Note) -> Result<(), Lost> {
        let (written, done) = oneshot::channel();
        let ask = Ask::Note {
            part: self.part.clone(),
            note,
            written,
        };
        self.member.send(ask).map_err(|_gone| Lost)?;
        done.await.map_err(|_dropped| Lost)
    }
}

/// A feed of a partition that was granted.
struct Reading {
    feed: Feed,
    topic: Arc<TopicState>,
    durable: Durable,
    pull: Pull,
    epoch: u64,
    /// Where the group was, before anything was committed.
    begin: u64,
    /// Behind the last arrival.
    end: u64,
    /// A seek that is not done.
    pending: Option<(u64, u64)>,
    /// What goes to the seat next.
    batch: Vec<Arrival<async_nats::Subject>>,
}

impl Reading {
    async fn go_on(&mut self) -> Stop {
        loop {
            let step = match self.pending {
                Some((to, epoch)) => self.seek(to, epoch).await,
                None => self.read().await,
            };
            if let Err(stop) = step {
                return stop;
            }
        }
    }

    /// Reads until there is an order, or the connection was lost and is back.
    async fn read(&mut self) -> Result<(), Stop> {
        if self.pull.is_stale() {
            self.recover().await?;
        }
        let engine = Arc::clone(&self.feed.engine);
        let woken = engine.wake.feeds.notified();
        let room = self.feed.seat.room(self.feed.place);
        self.pull.ask(&engine, room).await?;
        if self.pull.is_time_to_renew() {
            self.keep_alive().await?;
        }
        let topic = &self.topic;
        let next = self
            .pull
            .next(topic, &mut self.feed.orders, woken, &mut self.batch)
            .await;
        self.hand_on();
        match next {
            pull::Next::Look => Ok(()),
            pull::Next::Ended => Err(Stop::Lost),
            pull::Next::Order(order) => self.obey(order).await,
        }
    }

    /// Gives the seat what came in.
    fn hand_on(&mut self) {
        for (from, missed) in self.pull.lost() {
            self.feed.seat.report(Event::Lost {
                topic: self.topic.name.clone(),
                partition: self.feed.part.partition,
                from,
                missed,
            });
        }
        let Some(last) = self.batch.last() else {
            return;
        };
        self.end = self.end.max(last.offset + 1);
        self.feed.told = false;
        for arrival in &mut self.batch {
            if arrival.attempts_before > 0 {
                let never = self.feed.unread(arrival.offset);
                arrival.attempts_before = arrival.attempts_before.saturating_sub(never);
            }
        }
        let (seat, place) = (&self.feed.seat, self.feed.place);
        seat.arrive(place, self.epoch, &mut self.batch);
    }

    async fn obey(&mut self, order: Order) -> Result<(), Stop> {
        match order {
            Order::Seek { to, epoch } => {
                self.pending = Some((to, epoch));
                Ok(())
            }
            Order::Commit { to, stored } => {
                let note = Note {
                    home: None,
                    committed: Some(to),
                    unread: Vec::new(),
                };
                self.feed.write(note).await?;
                // Nobody may wait for it any more.
                let _waited = stored.send(());
                Ok(())
            }
        }
    }

    /// What is held is not to be delivered again.
    async fn keep_alive(&mut self) -> Result<(), Error> {
        let client = &self.feed.engine.connection.client;
        for (_offset, ticket) in self.feed.seat.held(self.feed.place) {
            let sent = client.publish(ticket, Bytes::from_static(b"+WPI")).await;
            sent.map_err(|error| engine_error("holding records", error))?;
        }
        self.pull.renewed(self.durable.ack_wait);
        Ok(())
    }

    /// The committed offset, as the consumer has it.
    async fn committed(&self) -> Option<u64> {
        let (topic, partition) = (&self.feed.part.topic, self.feed.part.partition);
        let committed = self.feed.seat.committed(topic, partition).await;
        committed.ok().flatten()
    }

    /// Sees to it that nothing is missing: requests and messages may have been lost, and the durable may be gone.
    async fn recover(&mut self) -> Result<(), Stop> {
        self.pull.drain(&self.topic, &mut self.batch);
        self.hand_on();
        self.pull.close().await;
        self.pull = Pull::new(&self.feed.engine, &self.durable, self.feed.expires);
        let (seat, place) = (Arc::clone(&self.feed.seat), self.feed.place);
        let mut held: Vec<u64> = seat.held(place).into_iter().map(|it| it.0).collect();
        held.sort_unstable();
        let low = held.first().copied().unwrap_or(self.end);
        let connection = Arc::clone(&self.feed.engine.connection);
        let info = self.durable.quiet_info(&connection, self.feed.expires);
        let Some(info) = info.await? else {
            if connection.look_up(&self.topic.name).await?.created != self.topic.created {
                return Err(self.begin_anew().await);
            }
            let committed = self.committed().await;
            let remade = self.feed.remake(&self.durable, low, committed).await;
            remade.map_err(Stop::from)??;
            let what = format!("somebody deleted it; a new one goes on at offset {low}");
            let error = engine_error("reading from the durable of a group", what);
            seat.report(Event::Failed(error));
            self.pull.is_fresh();
            return Ok(());
        };
        let delivered = info.delivered.stream_sequence;
        if delivered >= self.end {
            // On its way here it got lost.
            let end = self.end;
            // What is done with needs no memory.
            self.feed.fresh.retain(|&(_from, to)| to >= low);
            self.feed.fresh.push((end, delivered));
        }
        let keep = |offset: u64| held.binary_search(&offset).is_ok();
        if !self.durable.recall(&connection, &info, keep).await? {
            let committed = self.committed().await;
            let remade = self.feed.remake(&self.durable, low, committed).await;
            remade.map_err(Stop::from)??;
        }
        self.pull.is_fresh();
        Ok(())
    }

    /// Has the partition opened anew: what was delivered is of a topic that is no more.
    async fn begin_anew(&mut self) -> Stop {
        let what = "the topic was deleted and created again: the group begins at its beginning";
        let error = engine_error("reading from the durable of a group", what);
        self.feed.seat.report(Event::Failed(error));
        let note = Note {
            home: Some(1),
            committed: None,
            unread: Vec::new(),
        };
        if self.feed.write(note).await.is_ok() {
            // Where the member is gone, so is the partition.
            let _gone = self.feed.member.send(Ask::Close(self.feed.part.clone()));
        }
        Stop::Lost
    }

    /// Goes on elsewhere: with a durable that begins there. Whoever owns the partition next, without anything having been
    /// acknowledged there, finds in the lease where the group was.
    async fn seek(&mut self, to: u64, epoch: u64) -> Result<(), Stop> {
        self.pull.close().await;
        let committed = self.committed().await;
        let home = committed.unwrap_or(self.begin);
        let note = Note {
            home: Some(home),
            committed,
            unread: Vec::new(),
        };
        self.feed.note = note.clone();
        self.feed.write(note).await?;
        let connection = Arc::clone(&self.feed.engine.connection);
        self.feed.engine.moves(self.feed.place, epoch);
        self.durable.delete(&connection).await?;
        self.durable.create(&connection, to).await?;
        self.pull = Pull::new(&self.feed.engine, &self.durable, self.feed.expires);
        self.end = to;
        self.epoch = epoch;
        if self.pending == Some((to, epoch)) {
            self.pending = None;
        }
        self.feed.engine.has_sought(self.feed.place, epoch);
        Ok(())
    }
}
