//! How far a group has come at least: everything before is surely acknowledged, or surely stored as acknowledged.

use std::collections::{BTreeSet, HashMap};

pub(super) struct Floor {
    /// All offsets of the partition.
    offsets: Vec<u64>,
    /// How many of them, from the first on, are surely acknowledged.
    low: usize,
    /// Those behind that are, too.
    beyond: BTreeSet<u64>,
    /// As `low`, and it would outlive a kill.
    kept: usize,
    /// What a commit that has begun will keep, by its beginning.
    storing: HashMap<usize, usize>,
    /// `kept` as it grew, and when.
    grown: Vec<(usize, usize)>,
    /// What a restart or kill left, and when.
    left: Vec<(usize, u64)>,
}

impl Floor {
    pub(super) fn new(offsets: Vec<u64>) -> Self {
        Self {
            offsets,
            low: 0,
            beyond: BTreeSet::new(),
            kept: 0,
            storing: HashMap::new(),
            grown: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Everything before this offset is acknowledged.
    pub(super) fn low(&self) -> u64 {
        self.end(self.low)
    }

    /// Everything before this offset is stored as acknowledged.
    pub(super) fn kept(&self) -> u64 {
        self.end(self.kept)
    }

    /// Everything before this offset was stored as acknowledged at this moment.
    pub(super) fn kept_at(&self, index: usize) -> u64 {
        let until = self.grown.partition_point(|(at, _)| *at < index);
        let last = until.checked_sub(1).and_then(|last| self.grown.get(last));
        self.end(last.map_or(0, |(_, kept)| *kept))
    }

    /// The lowest floor that was left by restarts and kills between these moments.
    pub(super) fn left_between(&self, from: usize, to: usize) -> Option<u64> {
        let between = self.left.iter().filter(|(at, _)| from < *at && *at < to);
        between.map(|(_, low)| *low).min()
    }

    fn end(&self, count: usize) -> u64 {
        count
            .checked_sub(1)
            .map_or(0, |last| self.offsets[last] + 1)
    }

    pub(super) fn acknowledged(&mut self, offset: u64) {
        if offset >= self.low() {
            self.beyond.insert(offset);
            while self
                .offsets
                .get(self.low)
                .is_some_and(|next| self.beyond.remove(next))
            {
                self.low += 1;
            }
        }
    }

    /// A commit begins that acknowledges these surely.
    pub(super) fn storing(&mut self, from: usize, covered: &[u64]) {
        let mut end = self.low;
        let done =
            |offset: &u64| self.beyond.contains(offset) || covered.binary_search(offset).is_ok();
        while self.offsets.get(end).is_some_and(done) {
            end += 1;
        }
        self.storing.insert(from, end);
    }

    /// That commit has returned.
    pub(super) fn stored(&mut self, from: usize, to: usize) {
        let end = self.storing.remove(&from).unwrap_or(0);
        if end > self.kept {
            self.kept = end;
            self.grown.push((to, end));
        }
    }

    /// Somebody went on at this offset, and what was acknowledged behind a gap is forgotten.
    pub(super) fn sought(&mut self, target: u64) {
        let before = self.offsets.partition_point(|offset| *offset < target);
        self.low = self.low.min(before);
        self.kept = self.kept.min(before);
        self.beyond.clear();
        self.storing.clear();
        self.grown.clear();
    }

    /// What is acknowledged behind a gap may be forgotten.
    pub(super) fn forget_beyond(&mut self) {
        self.beyond.clear();
    }

    /// What is acknowledged behind a gap is forgotten, and the rest is stored.
    pub(super) fn restarted(&mut self, index: usize) {
        self.beyond.clear();
        self.kept = self.low;
        self.grown.push((index, self.kept));
        self.left.push((index, self.low()));
    }

    /// What is not stored may be forgotten.
    pub(super) fn lost(&mut self) {
        self.beyond.clear();
        self.storing.clear();
        self.low = self.kept;
    }

    /// What is not stored is forgotten.
    pub(super) fn killed(&mut self, index: usize, commits_survive: bool) {
        if !commits_survive {
            self.kept = 0;
            self.grown.clear();
        }
        self.lost();
        self.left.push((index, self.low()));
    }
}
