//! What a consumer reads, and where in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use crate::broker::check::{check_consumer, check_topic, check_topics};
use crate::broker::group::later;
use crate::broker::{Error, Start, Topic};
use crate::sync::lock;

use super::feed::epoch;
use super::seat::State;
use super::take::Parked;
use super::window::Window;
use super::{Engine, Place, Seat};

impl<E: Engine> Seat<E> {
    pub(crate) fn subscription(&self) -> Vec<Topic> {
        lock(&self.state).subscription.keys().cloned().collect()
    }

    /// Reads these topics: only these, or also these.
    pub(crate) async fn read(self: &Arc<Self>, names: Vec<Topic>, only: bool) -> Result<(), Error> {
        let _turn = self.changing.lock().await;
        self.prepare().await?;
        let mut topics = match only {
            true => BTreeMap::new(),
            false => lock(&self.state).subscription.clone(),
        };
        for name in names {
            check_topic(&name)?;
            let partitions = self.engine.partitions(&name).await?;
            topics.insert(name, partitions);
        }
        self.apply(topics).await
    }

    /// Reads these topics no more.
    pub(crate) async fn drop_topics(self: &Arc<Self>, names: Vec<Topic>) -> Result<(), Error> {
        let _turn = self.changing.lock().await;
        self.prepare().await?;
        let mut topics = lock(&self.state).subscription.clone();
        for name in names {
            if topics.remove(&name).is_none() {
                return Err(Error::NotSubscribed { topic: name });
            }
        }
        self.apply(topics).await
    }

    /// Looks whether the settings make sense, and sees to the dead-letter topic.
    async fn prepare(&self) -> Result<(), Error> {
        self.open()?;
        check_consumer(&self.config)?;
        let Some(dead_letter) = &self.config.dead_letter else {
            return Ok(());
        };
        check_topic(dead_letter)?;
        self.engine.prepare(dead_letter).await
    }

    async fn apply(self: &Arc<Self>, topics: BTreeMap<Topic, u32>) -> Result<(), Error> {
        check_topics(&self.config, |topic| topics.contains_key(topic))?;
        let Ok(runtime) = Handle::try_current() else {
            return Err(Error::InvalidConfig {
                reason: "a consumer subscribes within a tokio runtime: its dead letters and its session need tasks".into(),
            });
        };
        let reads = topics.clone();
        let before = self.step(|state, _| {
            state.group.touch(self.member, Instant::now());
            for topic in reads.keys() {
                state.number(topic);
            }
            let State {
                group,
                topics: names,
                windows,
                ..
            } = &mut *state;
            for &place in windows.keys() {
                if !reads.contains_key(&names[place.topic as usize]) {
                    group.revoke(place);
                }
            }
            let over = self.has_left();
            state.watch.get_or_insert_with(|| {
                let task = runtime.spawn(watch(Weak::clone(&self.this)));
                if over {
                    task.abort();
                }
                task.abort_handle()
            });
            state.runtime = Some(runtime);
            std::mem::replace(&mut state.subscription, reads)
        });
        // A member that waits for its first assignment is not silent.
        let parked = Parked::new(self);
        let applied = self.engine.subscribe(self, topics).await;
        drop(parked);
        if applied.is_err() {
            lock(&self.state).subscription = before;
        }
        applied
    }

    /// A partition by name, if this consumer has subscribed to its topic.
    fn find(&self, name: &str, partition: u32) -> Result<Place, Error> {
        let state = lock(&self.state);
        let Some((topic, &partitions)) = state.subscription.get_key_value(name) else {
            check_topic(name)?;
            return Err(Error::NotSubscribed { topic: name.into() });
        };
        if partition >= partitions {
            return Err(Error::UnknownPartition {
                topic: topic.clone(),
                partition,
                partitions,
                record: None,
            });
        }
        let place = state.known(name, partition);
        place.ok_or_else(|| not_assigned(name, partition))
    }

    /// The same, where the engine is asked about topics that this consumer has not subscribed to.
    async fn find_anywhere(&self, name: &str, partition: u32) -> Result<Place, Error> {
        let found = self.find(name, partition);
        if let Err(Error::NotSubscribed { topic }) = &found {
            self.engine.partitions(topic).await?;
        }
        found
    }

    /// The partition, if it is this consumer's at the moment.
    fn owned(&self, name: &str, place: Place) -> Result<(), Error> {
        self.open()?;
        let state = lock(&self.state);
        let here = state.windows.contains_key(&place) && state.group.is_owner(self.member, place);
        match here {
            true => Ok(()),
            false => Err(not_assigned(name, place.partition)),
        }
    }

    pub(crate) fn assignment(&self) -> Vec<(Topic, u32)> {
        let state = lock(&self.state);
        let places = state.group.assignment(self.member).into_iter();
        let named = |place: Place| (state.topics[place.topic as usize].clone(), place.partition);
        let mut named: Vec<_> = places.map(named).collect();
        named.sort_unstable();
        named
    }

    pub(crate) fn position(&self, name: &str, partition: u32) -> Result<u64, Error> {
        let place = self.find(name, partition)?;
        self.owned(name, place)?;
        let position = lock(&self.state).position(place);
        position.ok_or_else(|| not_assigned(name, partition))
    }

    pub(crate) async fn committed(&self, name: &str, partition: u32) -> Result<Option<u64>, Error> {
        let place = self.find_anywhere(name, partition).await?;
        {
            let state = lock(&self.state);
            let window = state.windows.get(&place);
            if let Some(window) = window.filter(|_| state.group.is_owned(self.member, place)) {
                return Ok(window.committed);
            }
        }
        self.engine.committed(&name.into(), partition).await
    }

    pub(crate) async fn lag(&self, name: &str, partition: u32) -> Result<u64, Error> {
        let place = self.find_anywhere(name, partition).await?;
        let low = {
            let state = lock(&self.state);
            let window = state.windows.get(&place);
            window
                .filter(|_| state.group.is_owned(self.member, place))
                .map(Window::low)
        };
        self.engine.lag(&name.into(), partition, low).await
    }

    pub(crate) async fn seek(&self, name: &str, partition: u32, start: Start) -> Result<(), Error> {
        self.open()?;
        let place = self.find_anywhere(name, partition).await?;
        self.owned(name, place)?;
        let to = {
            let _waits = Parked::new(self);
            self.engine.resolve(&name.into(), partition, start).await?
        };
        let epoch = epoch();
        let done = self.step(|state, after| {
            state.group.touch(self.member, Instant::now());
            let window = state.windows.get_mut(&place)?;
            // Not the index of any record before, nor the one behind: what is committed there is another place.
            let first = window.end() + 1;
            if !state.group.reseat(self.member, place, first, epoch) {
                return None;
            }
            let mut sought = Window::new(epoch, first, to, window.committed);
            sought.moved = window.moved;
            let old = std::mem::replace(window, sought);
            after.dropped.extend(old.records);
            Some(())
        });
        done.ok_or_else(|| not_assigned(name, partition))?;
        self.engine.seek(place, to, epoch);
        Ok(())
    }

    pub(crate) fn pause(&self, name: &str, partition: u32, paused: bool) -> Result<(), Error> {
        let place = self.find(name, partition)?;
        self.owned(name, place)?;
        let done = self.step(|state, after| {
            after.signal |= !paused;
            state.group.pause(self.member, place, paused)
        });
        match done {
            true => Ok(()),
            false => Err(not_assigned(name, partition)),
        }
    }

    /// Leaves the group when everything that was acknowledged is stored.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.leave();
        self.engine.leave().await
    }
}

fn not_assigned(name: &str, partition: u32) -> Error {
    Error::NotAssigned {
        topic: name.into(),
        partition,
    }
}

/// Ends the session of a consumer that is silent: nobody else is there to see it.
async fn watch<E: Engine>(seat: Weak<Seat<E>>) {
    loop {
        let next = {
            let Some(seat) = seat.upgrade() else {
                return;
            };
            let now = Instant::now();
            seat.step(|state, _| {
                state.group.tick(now);
                // A session that begins meanwhile lasts longer than this sleep.
                let end = state.group.session_end(seat.member);
                end.unwrap_or_else(|| later(now, seat.config.session_timeout))
            })
        };
        sleep_until(next).await;
    }
}
