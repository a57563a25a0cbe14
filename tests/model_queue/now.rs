//! The calls that do not wait.

use std::collections::VecDeque;

use pushpull::queue::{Overflow, PullError};

use crate::oracle::{Offer, Refusal};
use crate::world::{Item, World, answer, pick, refusal, refusal_of};

impl World<'_> {
    pub(crate) fn try_push(&mut self, at: u8, weight: usize) {
        let Some((_, tx)) = self.tx(at) else { return };
        let item = self.item(weight);
        let (id, weight) = (item.id, self.weight(&item));
        let got = tx.try_push(item).map_err(refusal);
        let policy = no_wait(self.oracle.policy);
        assert_eq!(got, answer(self.oracle.offer(id, weight, policy)));
    }

    pub(crate) fn try_push_many(&mut self, at: u8, weights: &[usize]) {
        let Some((_, tx)) = self.tx(at) else { return };
        let mut items: VecDeque<Item> = weights.iter().map(|w| self.item(*w)).collect();
        let mut left = items.iter().map(|i| (i.id, self.weight(i))).collect();
        let got = tx.try_push_many(&mut items).map_err(|e| refusal_of(&e));
        let want = self.try_many(&mut left);
        assert_eq!(got, want);
        assert!(
            items
                .iter()
                .map(|i| i.id)
                .eq(left.iter().map(|(id, _)| *id))
        );
    }

    pub(crate) fn try_many(&mut self, left: &mut VecDeque<(u32, usize)>) -> Result<usize, Refusal> {
        let mut moved = 0;
        while let Some((id, weight)) = left.front().copied() {
            if self.moves_runs() {
                let run = self.oracle.enter_run(left);
                moved += run;
                if run > 0 {
                    continue;
                }
            }
            let before = self.oracle.count.refused;
            match self.oracle.offer(id, weight, no_wait(self.oracle.policy)) {
                Offer::In => {
                    moved += 1;
                    left.pop_front();
                }
                Offer::Refused(Refusal::Full) if moved > 0 => {
                    self.oracle.count.refused = before;
                    break;
                }
                Offer::Refused(refusal) => return Err(refusal),
                Offer::Wait => unreachable!("it does not wait"),
            }
        }
        Ok(moved)
    }

    /// Whether `push_many` moves whole runs.
    pub(crate) fn moves_runs(&self) -> bool {
        !self.oracle.weighted && matches!(self.oracle.policy, Overflow::Wait | Overflow::Reject)
    }

    pub(crate) fn force(&mut self, at: u8, weight: usize) {
        let Some((_, tx)) = self.tx(at) else { return };
        let item = self.item(weight);
        let (id, weight) = (item.id, self.weight(&item));
        let got = tx.force_push(item).map_err(refusal);
        let got = got.map(|oldest| oldest.map(|item| item.id));
        assert_eq!(got, self.oracle.force(id, weight));
    }

    pub(crate) fn try_reserve(&mut self, at: u8) {
        let Some((_, tx)) = self.tx(at) else { return };
        let got = tx.try_reserve().map_err(|e| refusal_of(&e));
        let want = answer(self.oracle.reserve(false));
        assert_eq!(got.as_ref().map(drop), want.as_ref().copied());
        self.permits.extend(got.ok());
    }

    pub(crate) fn permit_push(&mut self, at: u8, weight: usize) {
        let Some(at) = pick(&self.permits, at) else {
            return;
        };
        let item = self.item(weight);
        let (id, weight) = (item.id, self.weight(&item));
        let got = self.permits.swap_remove(at).push(item).map_err(refusal);
        assert_eq!(got, answer(self.oracle.redeem(id, weight)));
    }

    pub(crate) fn try_pull(&mut self, at: u8) {
        let Some((_, rx)) = self.rx(at) else { return };
        let got = rx.try_pull().map(|item| item.id);
        let want = if self.oracle.items.is_empty() {
            Err(self.empty())
        } else {
            Ok(self.oracle.take(1)[0])
        };
        assert_eq!(got, want);
    }

    pub(crate) fn try_pull_many(&mut self, at: u8, limit: usize) {
        let Some((_, rx)) = self.rx(at) else { return };
        let mut out = Vec::new();
        let got = rx.try_pull_many(&mut out, limit);
        let run = limit.min(self.oracle.items.len());
        let want = if run == 0 { Err(self.empty()) } else { Ok(run) };
        assert_eq!(got, want);
        assert!(out.iter().map(|item| item.id).eq(self.oracle.take(run)));
    }

    pub(crate) fn empty(&self) -> PullError {
        if self.oracle.finished() {
            PullError::Closed
        } else {
            PullError::Empty
        }
    }
}

fn no_wait(policy: Overflow) -> Overflow {
    match policy {
        Overflow::Wait => Overflow::Reject,
        other => other,
    }
}
