//! Whose a partition is, and where its committed offset stands.

use super::*;

#[test]
fn a_partition_has_one_owner() {
    let mut story = Story::with(&[0, 1, 2]);
    story.takes(10, 0);
    story.takes_again(11, 1, 2, 1);
    story.acks(10, 0);
    story.acks_under(11, 1, 2, Outcome::Done);
    story.has(&[Kind::TwoOwners]);

    let mut story = Story::with(&[0, 1, 2]);
    story.takes(10, 0);
    story.acks(10, 0);
    story.takes_again(11, 1, 2, 1);
    story.acks_under(11, 1, 2, Outcome::Done);
    story.is_clean();
}

#[test]
fn of_three_owners_each_pair_is_looked_at() {
    let mut story = Story::with(&[0, 1, 2, 3]);
    story.takes(10, 0);
    story.acks(10, 0);
    story.takes_again(11, 1, 2, 1);
    story.takes_again(12, 2, 3, 1);
    story.acks_under(11, 1, 2, Outcome::Done);
    story.acks_under(12, 2, 3, Outcome::Done);
    story.has(&[Kind::TwoOwners]);
}

#[test]
fn who_owns_it_is_not_fenced() {
    let mut story = Story::with(&[0, 1]);
    story.takes(10, 0);
    story.acks_under(10, 0, 1, Outcome::Fenced);
    story.takes(10, 1);
    story.has(&[Kind::FencedWrongly]);
}

#[test]
fn the_committed_offset_does_not_go_back() {
    let mut story = Story::with(&[0, 1]);
    story.call(10, POLL, took(&[taken(0, 1, 1), taken(1, 1, 1)]));
    story.acks(10, 0);
    story.acks(10, 1);
    story.sees_committed(10, 2);
    story.sees_committed(11, 1);
    story.has(&[Kind::CommittedBack]);
}

#[test]
fn looks_side_by_side_may_differ() {
    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    let place = (0, 0);
    let early = story.begin(11, Op::Committed { place });
    story.acks(10, 0);
    story.sees_committed(10, 1);
    story.end(early, Outcome::At(None));
    story.is_clean();
}

#[test]
fn after_a_seek_the_committed_offset_may_go_back() {
    let mut story = Story::with(&[0, 1]);
    story.call(10, POLL, took(&[taken(0, 1, 1), taken(1, 1, 1)]));
    story.acks(10, 0);
    story.acks(10, 1);
    story.sees_committed(10, 2);
    story.seeks(10, 0);
    story.sees_committed(10, 2);
    story.commits(10);
    story.sees_committed(10, 0);
    story.is_clean();
}

#[test]
fn after_a_kill_the_committed_offset_is_what_was_stored() {
    let mut story = Story::with(&[0, 1]);
    story.call(10, POLL, took(&[taken(0, 1, 1), taken(1, 1, 1)]));
    let at = spot(0, 1);
    story.call(10, Op::CommitTo { at }, Outcome::Done);
    story.acks(10, 1);
    story.sees_committed(10, 2);
    story.happens(What::Killed);
    story.join(13, false);
    story.sees_committed(13, 1);
    story.is_clean();
    story.happens(What::Killed);
    story.join(14, false);
    story.sees_committed(14, 0);
    story.has(&[Kind::CommittedBack]);
}

#[test]
fn the_committed_offset_passes_nothing() {
    let mut story = Story::with(&[0, 1]);
    story.call(10, POLL, took(&[taken(0, 1, 1), taken(1, 1, 1)]));
    story.acks(10, 1);
    story.sees_committed(10, 2);
    story.has(&[Kind::CommittedAhead]);

    let mut story = Story::with(&[0, 1]);
    story.takes(10, 0);
    story.acks(10, 0);
    story.sees_committed(10, 2);
    story.has(&[Kind::CommittedAhead]);
}
