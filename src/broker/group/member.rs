//! One member of a group.

use std::cell::Cell;
use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{Place, Terms};

pub(super) struct Member {
    pub(super) terms: Terms,
    /// Its subscription: topics, and how many partitions they have.
    pub(super) topics: BTreeMap<u32, u32>,
    /// What it owns, in order; also what is on its way to others.
    pub(super) places: Vec<Place>,
    /// Which of the places is the first in the next take.
    pub(super) turn: usize,
    pub(super) seen: Instant,
    /// Polls that wait.
    pub(super) parked: usize,
    /// Its session has not ended.
    pub(super) live: bool,
    /// What it was told last when it asked for the next time that matters to it.
    pub(super) told: Cell<Option<Instant>>,
}

impl Member {
    pub(super) fn new(terms: Terms, now: Instant) -> Self {
        Self {
            terms,
            topics: BTreeMap::new(),
            places: Vec::new(),
            turn: 0,
            seen: now,
            parked: 0,
            live: true,
            told: Cell::new(None),
        }
    }

    /// When the session ends if nothing is heard of it until then. `None`: not by itself.
    pub(super) fn session_end(&self) -> Option<Instant> {
        if !self.live || self.parked > 0 {
            return None;
        }
        self.seen.checked_add(self.terms.session_timeout)
    }

    /// Whether it waits in a poll without a timer for this time.
    pub(super) fn sleeps_beyond(&self, at: Instant) -> bool {
        self.parked > 0 && self.told.get().is_none_or(|told| told > at)
    }

    pub(super) fn wants(&self, topic: u32) -> bool {
        self.live && self.topics.contains_key(&topic)
    }

    pub(super) fn gain(&mut self, place: Place) {
        if let Err(index) = self.places.binary_search(&place) {
            self.places.insert(index, place);
        }
    }

    pub(super) fn lose(&mut self, place: Place) {
        if let Ok(index) = self.places.binary_search(&place) {
            self.places.remove(index);
        }
    }
}
