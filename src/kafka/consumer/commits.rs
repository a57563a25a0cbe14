//! Committed offsets on their way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::link::Reply;
use crate::broker::Error;
use crate::broker::remote::Place;
use crate::kafka::fault;

/// How often offsets are committed while nobody waits for it.
const PACE: Duration = Duration::from_millis(100);

/// What is to be committed, what is on its way, and who waits. One commit at a time.
pub(super) struct Commits {
    wanted: BTreeMap<Place, u64>,
    on_the_way: BTreeMap<Place, u64>,
    /// A commit has not come back, also if nothing of it is wanted any more.
    off: bool,
    /// What the cluster has, as far as is known.
    known: BTreeMap<Place, u64>,
    due: Instant,
    /// For the next commit, with the moment when they have waited for long enough.
    waiting: Vec<(Reply, Instant)>,
    /// For the one on its way.
    riding: Vec<(Reply, Instant)>,
}

impl Commits {
    pub(super) fn new() -> Self {
        Self {
            wanted: BTreeMap::new(),
            on_the_way: BTreeMap::new(),
            off: false,
            known: BTreeMap::new(),
            due: Instant::now(),
            waiting: Vec::new(),
            riding: Vec::new(),
        }
    }

    pub(super) fn want(&mut self, place: Place, offset: u64) {
        self.wanted.insert(place, offset);
    }

    /// Somebody waits until all that is wanted by now is committed.
    pub(super) fn wait(&mut self, reply: Reply, until: Instant) {
        self.waiting.push((reply, until));
        if !self.off {
            self.due = Instant::now();
        }
    }

    /// What the cluster has of a partition.
    pub(super) fn known(&self, place: Place) -> Option<u64> {
        self.known.get(&place).copied()
    }

    pub(super) fn learn(&mut self, place: Place, committed: Option<u64>) {
        match committed {
            Some(committed) => self.known.insert(place, committed),
            None => self.known.remove(&place),
        };
    }

    /// A partition has gone: what was not committed by now will not be. Answers whether there was something.
    pub(super) fn forget(&mut self, place: Place) -> bool {
        self.known.remove(&place);
        let wanted = self.wanted.remove(&place).is_some();
        self.on_the_way.remove(&place).is_some() || wanted
    }

    /// Everybody who waits is told that it came to nothing.
    pub(super) fn fail(&mut self, error: &Error) {
        for (reply, _) in self.waiting.drain(..).chain(self.riding.drain(..)) {
            drop(reply.send(Err(error.clone())));
        }
    }

    /// Those who have waited for long enough are told so.
    pub(super) fn give_up(&mut self, now: Instant) {
        for (reply, until) in std::mem::take(&mut self.waiting) {
            if now < until {
                self.waiting.push((reply, until));
            } else {
                let late = RDKafkaErrorCode::OperationTimedOut;
                drop(reply.send(Err(fault::engine("committing", late))));
            }
        }
    }

    /// Nothing of this is wanted any more.
    pub(super) fn abandon(&mut self, why: &Error) {
        self.wanted.clear();
        self.on_the_way.clear();
        self.known.clear();
        self.fail(why);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.wanted.is_empty() && !self.off
    }

    pub(super) fn is_on_the_way(&self) -> bool {
        self.off
    }

    /// When the next commit is due, if there is one.
    pub(super) fn due(&self) -> Option<Instant> {
        let something = !self.wanted.is_empty() || !self.waiting.is_empty();
        (!self.off && something).then_some(self.due)
    }

    /// Whether answers should be taken now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.off && now >= self.due
    }

    /// What is to be committed now. Nothing: all who waited have what they waited for.
    pub(super) fn take_off(&mut self, now: Instant) -> Vec<(Place, u64)> {
        if self.wanted.is_empty() {
            for (reply, _) in self.waiting.drain(..) {
                drop(reply.send(Ok(())));
            }
            return Vec::new();
        }
        self.due = now + PACE;
        self.off = true;
        self.on_the_way = std::mem::take(&mut self.wanted);
        self.riding.append(&mut self.waiting);
        self.on_the_way.iter().map(|(&at, &to)| (at, to)).collect()
    }

    /// The commit has come back. What failed is wanted again, unless it has moved since. Answers the failure.
    pub(super) fn landed(
        &mut self,
        failed: &BTreeMap<Place, RDKafkaErrorCode>,
        now: Instant,
    ) -> Option<RDKafkaErrorCode> {
        self.off = false;
        for (place, offset) in std::mem::take(&mut self.on_the_way) {
            if failed.contains_key(&place) {
                self.wanted.entry(place).or_insert(offset);
            } else {
                self.known.insert(place, offset);
            }
        }
        let Some(&code) = failed.values().next() else {
            for (reply, _) in self.riding.drain(..) {
                drop(reply.send(Ok(())));
            }
            if !self.waiting.is_empty() {
                self.due = now;
            }
            return None;
        };
        for (reply, until) in std::mem::take(&mut self.riding) {
            if now < until {
                self.waiting.push((reply, until));
            } else {
                drop(reply.send(Err(fault::engine("committing", code))));
            }
        }
        self.due = now + PACE;
        Some(code)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use rdkafka::error::RDKafkaErrorCode;
    use tokio::sync::oneshot;

    use super::Commits;
    use crate::broker::remote::Place;

    const A: Place = Place {
        topic: 0,
        partition: 0,
    };
    const B: Place = Place {
        topic: 0,
        partition: 1,
    };

    #[test]
    fn what_failed_goes_again_unless_it_has_moved() {
        let now = Instant::now();
        let mut commits = Commits::new();
        commits.want(A, 3);
        commits.want(B, 4);
        let (reply, mut told) = oneshot::channel();
        commits.wait(reply, now + Duration::from_secs(9));
        assert_eq!(commits.take_off(now), [(A, 3), (B, 4)]);
        commits.want(B, 5);
        let code = RDKafkaErrorCode::RequestTimedOut;
        let failed = BTreeMap::from([(A, code), (B, code)]);
        assert_eq!(commits.landed(&failed, now), Some(code));
        assert!(told.try_recv().is_err());
        assert_eq!(commits.take_off(now), [(A, 3), (B, 5)]);
        assert_eq!(commits.landed(&BTreeMap::new(), now), None);
        assert!(told.try_recv().unwrap().is_ok());
        assert_eq!((commits.known(A), commits.known(B)), (Some(3), Some(5)));
        assert!(commits.is_idle());
    }

    // guarantee: K1
    #[test]
    fn one_that_is_forgotten_is_still_on_its_way() {
        let now = Instant::now();
        let mut commits = Commits::new();
        commits.want(A, 3);
        commits.take_off(now);
        assert!(commits.forget(A));
        assert!(commits.is_on_the_way() && !commits.is_idle());
        commits.want(B, 4);
        let (reply, mut told) = oneshot::channel();
        commits.wait(reply, now + Duration::from_secs(9));
        assert!(!commits.is_due(now + Duration::from_secs(1)));
        assert_eq!(commits.landed(&BTreeMap::new(), now), None);
        assert!(told.try_recv().is_err(), "this one has not gone yet");
        assert_eq!((commits.known(A), commits.known(B)), (None, None));
        assert_eq!(commits.take_off(now), [(B, 4)]);
        commits.landed(&BTreeMap::new(), now);
        assert!(told.try_recv().unwrap().is_ok());
    }

    #[test]
    fn one_who_waits_is_told_of_what_was_wanted_before() {
        let now = Instant::now();
        let mut commits = Commits::new();
        let (reply, mut told) = oneshot::channel();
        commits.wait(reply, now);
        assert!(commits.take_off(now).is_empty());
        assert!(told.try_recv().unwrap().is_ok(), "there was nothing to do");

        commits.want(A, 1);
        commits.take_off(now);
        commits.want(A, 2);
        let (reply, mut told) = oneshot::channel();
        commits.wait(reply, now);
        commits.landed(&BTreeMap::new(), now);
        assert!(told.try_recv().is_err(), "its own is still to come");
        commits.take_off(now);
        let code = RDKafkaErrorCode::RequestTimedOut;
        commits.landed(&BTreeMap::from([(A, code)]), now);
        assert!(told.try_recv().unwrap().is_err(), "it has waited enough");
    }
}
