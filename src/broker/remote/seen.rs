//! Which offsets of a partition have arrived, in little memory.

/// Stretches of offsets in which nothing is missing, in order. What lies between two of them may have been lost on its way.
pub(super) struct Seen {
    /// First and last. The first one reaches from where reading began.
    stretches: Vec<(u64, u64)>,
    /// Where reading began: what lies before is nobody's concern.
    begin: u64,
}

impl Seen {
    pub(super) fn new(begin: u64) -> Self {
        Self {
            stretches: Vec::new(),
            begin,
        }
    }

    /// An offset beyond all that arrived so far. `follows`: nothing can be missing before it.
    pub(super) fn extend(&mut self, offset: u64, follows: bool) {
        let begin = self.begin;
        match self.stretches.last_mut() {
            Some((_, last)) if follows || *last + 1 == offset => *last = offset,
            None if follows => self.stretches.push((begin, offset)),
            _ => self.stretches.push((offset, offset)),
        }
    }

    /// Whether an offset arrived before. If not, it has now.
    pub(super) fn insert(&mut self, offset: u64) -> bool {
        if offset < self.begin {
            return true;
        }
        let index = self.stretches.partition_point(|&(_, last)| last < offset);
        match self.stretches.get(index) {
            Some(&(first, _)) if first <= offset => return true,
            _ => {}
        }
        match index
            .checked_sub(1)
            .map(|before| &mut self.stretches[before])
        {
            Some((_, last)) if *last + 1 == offset => *last = offset,
            _ => self.stretches.insert(index, (offset, offset)),
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_told_from_what_was_left_out() {
        let mut seen = Seen::new(10);
        seen.extend(12, true);
        seen.extend(20, true);
        // Something between 20 and 30 was lost.
        seen.extend(30, false);
        seen.extend(31, false);
        seen.extend(40, true);
        for known in [0, 9, 10, 11, 12, 15, 20, 30, 31, 35, 40] {
            assert!(seen.insert(known), "{known}");
        }
        for lost in [25, 21, 29] {
            assert!(!seen.insert(lost), "{lost}");
            assert!(seen.insert(lost), "{lost}");
        }
        assert_eq!(seen.stretches, [(10, 21), (25, 25), (29, 29), (30, 40)]);
    }

    #[test]
    fn before_the_first_something_may_be_missing_too() {
        let mut seen = Seen::new(3);
        seen.extend(7, false);
        assert!(!seen.insert(5));
        assert!(seen.insert(5) && seen.insert(2));
        assert!(!seen.insert(6) && !seen.insert(3));
    }
}
