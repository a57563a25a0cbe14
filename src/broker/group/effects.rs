//! What a group did that others have to know.

use super::{MemberId, Place};

/// What happened in a group since it was asked last.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// They may have something to take, have lost something, or have to look at `next_due` again.
    pub(crate) wake: Vec<MemberId>,
    pub(crate) assigned: Vec<(MemberId, Place)>,
    /// With the number of deliveries that were left unacknowledged. All of this came before what was assigned.
    pub(crate) revoked: Vec<(MemberId, Place, u64)>,
    pub(crate) expired: Vec<MemberId>,
    /// Where the first record was that retention removed unacknowledged, and how many there were.
    pub(crate) lost: Vec<(MemberId, Place, u64, u64)>,
    /// With the number of records between the first unacknowledged one and the last one delivered.
    pub(crate) in_flight_full: Vec<(MemberId, Place, usize)>,
    pub(crate) given_up: Vec<GivenUp>,
    /// Committed offsets that changed.
    pub(crate) moved: Vec<(Place, u64)>,
}

/// A record that failed for the last time. It blocks the committed offset until `given_up` or `retry` is called for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GivenUp {
    pub(crate) member: MemberId,
    pub(crate) place: Place,
    pub(crate) offset: u64,
    pub(crate) generation: u64,
    pub(crate) attempts: u32,
    pub(crate) reason: String,
}

impl Effects {
    pub(super) fn wake(&mut self, member: MemberId) {
        if !self.wake.contains(&member) {
            self.wake.push(member);
        }
    }

    pub(super) fn assign(&mut self, member: MemberId, place: Place) {
        self.assigned.push((member, place));
        self.wake(member);
    }

    /// An assignment that nobody was told of yet is taken back in silence, so that order between the lists is plain.
    pub(super) fn revoke(&mut self, member: MemberId, place: Place, unacknowledged: u64) {
        let untold = self.assigned.iter().position(|&it| it == (member, place));
        match untold {
            Some(index) => drop(self.assigned.swap_remove(index)),
            None => self.revoked.push((member, place, unacknowledged)),
        }
        self.wake(member);
    }

    /// Whether nothing happened.
    pub(crate) fn is_empty(&self) -> bool {
        self.wake.is_empty()
            && self.assigned.is_empty()
            && self.revoked.is_empty()
            && self.expired.is_empty()
            && self.lost.is_empty()
            && self.in_flight_full.is_empty()
            && self.given_up.is_empty()
            && self.moved.is_empty()
    }
}
