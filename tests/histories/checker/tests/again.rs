//! What comes again: doubled, too early, never; and in which order it comes.

use super::*;

#[test]
fn what_was_acknowledged_does_not_come_again() {
    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    story.acks(10, 0);
    story.takes_again(10, 0, 1, 2);
    story.has(&[Kind::Doubled]);
}

#[test]
fn an_acknowledgement_of_unknown_outcome_allows_another_delivery() {
    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    story.acks_under(10, 0, 1, unknown());
    story.waits(100);
    story.takes_again(10, 0, 1, 2);
    story.is_clean();
}

#[test]
fn an_acknowledgement_beside_a_poll_allows_another_delivery() {
    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    story.waits(100);
    let poll = story.begin(11, POLL);
    story.acks(10, 0);
    story.end(poll, took(&[taken(0, 1, 2)]));
    story.is_clean();
}

#[test]
fn a_seek_allows_everything_behind_it() {
    let mut story = Story::with(&[0, 1]);
    story.call(10, POLL, took(&[taken(0, 1, 1), taken(1, 1, 1)]));
    story.acks(10, 0);
    story.acks(10, 1);
    story.seeks(10, 1);
    story.takes_again(10, 1, 2, 1);
    story.is_clean();
    story.takes_again(10, 0, 2, 1);
    story.has(&[Kind::Doubled, Kind::Reordered]);
}

#[test]
fn what_is_acknowledged_after_a_seek_stays_so() {
    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    story.acks(10, 0);
    story.seeks(10, 0);
    story.takes_again(10, 0, 2, 1);
    story.acks_under(10, 0, 2, Outcome::Done);
    story.waits(500);
    story.takes_again(10, 0, 2, 2);
    story.has(&[Kind::Doubled]);
}

#[test]
fn what_is_acknowledged_after_a_seek_goes_with_its_owner() {
    let mut story = Story::with(&[0, 1, 2]);
    story.call(
        10,
        POLL,
        took(&[taken(0, 1, 1), taken(1, 1, 1), taken(2, 1, 1)]),
    );
    story.seeks(10, 0);
    let under = |offset| taken(offset, 2, 1);
    story.call(10, POLL, took(&[under(0), under(1), under(2)]));
    story.acks_under(10, 1, 2, Outcome::Done);
    story.leaves(10);
    let under = |offset| taken(offset, 3, 1);
    story.call(11, POLL, took(&[under(0), under(1), under(2)]));
    story.acks_under(11, 0, 3, Outcome::Done);
    story.acks_under(11, 2, 3, Outcome::Done);
    // That 1 was acknowledged is forgotten, so 2 lies behind a gap.
    story.happens(What::Restarted);
    story.join(13, false);
    story.takes_again(13, 2, 1, 1);
    story.is_clean();
}

/// Offsets 0 and 2 are acknowledged, 1 is not; all is over then, and everything that comes is given.
fn behind_a_gap(what: What, comes: u64) -> Story {
    let mut story = Story::with(&[0, 1, 2]);
    story.call(
        10,
        POLL,
        took(&[taken(0, 1, 1), taken(1, 1, 1), taken(2, 1, 1)]),
    );
    story.acks(10, 0);
    story.acks(10, 2);
    story.happens(what);
    story.join(13, false);
    story.takes_again(13, comes, 1, 1);
    story
}

#[test]
fn a_restart_forgets_what_is_behind_a_gap() {
    behind_a_gap(What::Restarted, 1).is_clean();
    behind_a_gap(What::Restarted, 2).is_clean();
    behind_a_gap(What::Restarted, 0).has(&[Kind::Doubled]);
}

#[test]
fn a_kill_forgets_what_no_commit_stored() {
    behind_a_gap(What::Killed, 0).is_clean();

    let mut story = Story::with(&[0, 1]);
    story.call(10, POLL, took(&[taken(0, 1, 1), taken(1, 1, 1)]));
    let at = spot(0, 1);
    story.call(10, Op::CommitTo { at }, Outcome::Done);
    story.acks(10, 1);
    story.happens(What::Killed);
    story.join(13, false);
    story.takes_again(13, 1, 1, 1);
    story.is_clean();
    story.happens(What::Killed);
    story.join(14, false);
    story.takes_again(14, 0, 1, 1);
    story.has(&[Kind::Doubled]);
}

#[test]
fn a_commit_stores_what_is_surely_its_own() {
    let mut story = Story::with(&[0, 1]);
    story.takes(10, 0);
    story.commits(10);
    // Its assignment is seen to be valid after the commit.
    story.takes(10, 1);
    story.happens(What::Killed);
    story.join(13, false);
    story.takes_again(13, 0, 1, 1);
    story.has(&[Kind::Doubled]);

    let mut story = Story::with(&[0, 1]);
    story.takes(10, 0);
    story.commits(10);
    story.happens(What::Killed);
    story.join(13, false);
    story.takes_again(13, 0, 1, 1);
    story.is_clean();
}

#[test]
fn an_engine_may_forget_what_its_rules_say() {
    let mut story = Story::with(&[0, 1]);
    story.call(10, POLL, took(&[taken(0, 1, 1), taken(1, 1, 1)]));
    story.acks(10, 1);
    story.leaves(10);
    story.takes_again(11, 1, 2, 1);
    let rules = Rules {
        attempts: false,
        ..Rules::EMBEDDED
    };
    story.has_under(rules, &[Kind::Doubled]);
    let gaps_survive_moves = false;
    story.has_under(
        Rules {
            gaps_survive_moves,
            ..rules
        },
        &[],
    );
}

#[test]
fn a_commit_does_not_store_what_a_move_may_have_cost() {
    let mut story = Story::with(&[0, 1]);
    story.takes(10, 0);
    story.acks(10, 0);
    story.leaves(10);
    story.takes_again(11, 0, 2, 1);
    story.takes_again(11, 1, 2, 1);
    // It has not been acknowledged once more when this commit begins.
    let at = spot(1, 2);
    let commit = story.begin(11, Op::Ack { at });
    story.end(commit, Outcome::Done);
    story.commits(11);
    story.leaves(11);
    story.takes_again(12, 0, 3, 1);
    let rules = Rules {
        attempts: false,
        gaps_survive_moves: false,
        acks_survive_moves: false,
        ..Rules::EMBEDDED
    };
    story.has_under(rules, &[]);
}

#[test]
fn nothing_comes_again_before_it_is_called_for() {
    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    story.waits(50);
    story.takes_again(10, 0, 1, 2);
    story.has(&[Kind::Premature]);

    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    story.waits(50);
    story.takes_again(11, 0, 2, 2);
    story.has(&[Kind::Premature]);
}

#[test]
fn patience_a_nack_and_a_leave_call_for_it() {
    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    story.waits(100);
    story.takes_again(10, 0, 1, 2);
    story.nacks(10, 0);
    story.takes_again(10, 0, 1, 3);
    story.leaves(10);
    story.takes_again(11, 0, 2, 4);
    story.is_clean();
}

#[test]
fn attempts_are_counted() {
    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    story.nacks(10, 0);
    story.takes_again(10, 0, 1, 3);
    story.has(&[Kind::Miscounted]);
}

#[test]
fn what_is_not_acknowledged_comes_again() {
    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    story.nacks(10, 0);
    story.drained();
    story.has(&[Kind::NeverRedelivered]);

    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    story.acks(10, 0);
    story.happens(What::Killed);
    story.join(13, false);
    story.takes_again(13, 0, 1, 1);
    story.drained();
    story.has(&[Kind::NeverRedelivered]);
}

#[test]
fn a_fenced_acknowledgement_does_not_count() {
    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    story.acks_under(10, 0, 1, Outcome::Fenced);
    story.drained();
    story.has(&[Kind::FencedCounted]);

    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    story.waits(200);
    story.acks_under(10, 0, 1, Outcome::Fenced);
    story.takes_again(11, 0, 2, 2);
    story.acks_under(11, 0, 2, Outcome::Done);
    story.drained();
    story.is_clean();
}

#[test]
fn first_attempts_come_in_order() {
    let mut story = Story::with(&[0, 1]);
    story.takes(10, 1);
    story.takes(10, 0);
    story.has(&[Kind::Reordered]);

    // Not so where it comes again.
    let mut story = Story::with(&[0, 1]);
    story.call(10, POLL, took(&[taken(0, 1, 1), taken(1, 1, 1)]));
    story.nacks(10, 0);
    story.takes_again(10, 0, 1, 2);
    story.is_clean();
}

#[test]
fn an_ordered_key_waits() {
    let mut story = Story::ordered(&[(0, 5), (1, 5), (2, 6)]);
    story.call(
        10,
        POLL,
        took(&[keyed(0, 1, 1, Some(5)), keyed(2, 1, 1, Some(6))]),
    );
    story.acks(10, 0);
    story.call(10, POLL, took(&[keyed(1, 1, 1, Some(5))]));
    story.is_clean();

    let mut story = Story::ordered(&[(0, 5), (1, 5)]);
    story.call(
        10,
        POLL,
        took(&[keyed(0, 1, 1, Some(5)), keyed(1, 1, 1, Some(5))]),
    );
    story.has(&[Kind::Reordered]);

    // A failure holds it back as well.
    let mut story = Story::ordered(&[(0, 5), (1, 5)]);
    story.call(10, POLL, took(&[keyed(0, 1, 1, Some(5))]));
    story.nacks(10, 0);
    story.call(10, POLL, took(&[keyed(1, 1, 1, Some(5))]));
    story.has(&[Kind::Reordered]);
}
