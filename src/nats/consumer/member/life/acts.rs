//! What the leases have decided, done.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::nats::lease::{Action, End, Key, Part};

use super::super::super::feed::Feed;
use super::super::{Owned, State};
use super::{Done, Life, Over};

/// Longer is for ever.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

impl Life {
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Write(write) => {
                let bucket = self.bucket.clone();
                self.doing.push(Box::pin(async move {
                    let (wrote, error) = bucket.write(&write).await;
                    Done::Wrote(write, wrote, error)
                }));
            }
            Action::Read(key) => self.read(key),
            Action::Sweep(member) => {
                let bucket = self.bucket.clone();
                self.doing.push(Box::pin(async move {
                    bucket.sweep(member).await;
                    Done::Swept
                }));
            }
            Action::Own(part) => self.own(part),
            Action::Drain(part) => {
                let until = Instant::now() + self.engine.session_timeout.min(FAR);
                match self.parts.get_mut(&part) {
                    Some(owned) if owned.state == State::Granted => {
                        owned.state = State::Retired(until);
                        self.engine.attentive.store(true, Ordering::Release);
                        self.seat.retire(owned.place);
                    }
                    Some(_) => self.close(&part),
                    None => self.leases.drained(&part),
                }
            }
            Action::Keep(part) => {
                if let Some(owned) = self.parts.get_mut(&part) {
                    if matches!(owned.state, State::Retired(_)) {
                        owned.state = State::Granted;
                        self.seat.keep(owned.place);
                    }
                }
            }
            Action::Lose(part) => {
                if let Some(owned) = self.parts.remove(&part) {
                    self.lose(owned);
                }
            }
            Action::End(end) => {
                for (_part, owned) in std::mem::take(&mut self.parts) {
                    self.lose(owned);
                }
                self.watch.abort();
                self.seat.trust(None);
                self.over = Some(match end {
                    End::Expired => Over::Expired,
                    End::Left => Over::Left,
                });
            }
        }
    }

    fn read(&mut self, key: Key) {
        let bucket = self.bucket.clone();
        self.doing
            .push(Box::pin(async move { Done::Read(bucket.read(key).await) }));
    }

    /// Somebody else may have it: nothing more is said of it.
    pub(super) fn lose(&mut self, owned: Owned) {
        if let Some(feed) = owned.feed {
            feed.abort();
        }
        self.engine.unfeed(owned.place);
        let remains = self.seat.revoke(owned.place);
        drop(remains);
    }

    fn own(&mut self, part: Part) {
        let place = self.seat.place(&part.topic, part.partition);
        let feed = Feed {
            engine: Arc::clone(&self.engine),
            seat: Arc::clone(&self.seat),
            part: part.clone(),
            place,
            note: self.leases.note_of(&part).cloned().unwrap_or_default(),
            fresh: Vec::new(),
            told: false,
            member: self.asking.clone(),
            orders: self.engine.feed(place),
            expires: self.terms.expires(),
        };
        let owned = Owned {
            place,
            feed: Some(tokio::spawn(feed.run())),
            state: State::Opening,
        };
        self.parts.insert(part, owned);
    }
}
