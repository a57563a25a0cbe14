//! What is stored: lost, unexpected, changed, out of order.

use super::*;

#[test]
fn what_was_acknowledged_and_never_came_is_lost() {
    let mut story = Story::with(&[0, 1]);
    story.takes(10, 0);
    story.acks(10, 0);
    story.drained();
    story.has(&[Kind::Lost]);

    let mut story = Story::with(&[0]);
    story.call(1, push(record(7, None)), unknown());
    story.call(1, push(record(8, None)), Outcome::Refused("full".into()));
    story.takes(10, 0);
    story.acks(10, 0);
    story.drained();
    story.is_clean();
}

#[test]
fn a_push_without_a_place_is_lost_all_the_same() {
    let mut story = Story::with(&[]);
    story.call(1, push(record(100, None)), Outcome::Done);
    story.drained();
    story.has(&[Kind::Lost]);
}

#[test]
fn what_is_skipped_by_a_seek_is_not_lost() {
    let mut story = Story::with(&[0, 1]);
    story.seeks(10, 1);
    story.takes(10, 1);
    story.acks(10, 1);
    story.drained();
    story.is_clean();
}

#[test]
fn what_retention_takes_is_lost() {
    let mut story = Story::with(&[]);
    story.happens(What::Lost {
        process: 10,
        place: (0, 0),
        from: 3,
        missed: 4,
    });
    story.has(&[Kind::Lost]);
}

#[test]
fn a_lag_after_the_end_is_stuck() {
    let mut story = Story::with(&[]);
    story.happens(What::Drained { group: 0, lag: 1 });
    story.has(&[Kind::Stuck]);
}

#[test]
fn what_nobody_pushed_is_unexpected() {
    let mut story = Story::with(&[]);
    story.takes(10, 0);
    story.has(&[Kind::Unexpected]);

    let mut story = Story::with(&[]);
    story.call(1, push(record(100, None)), Outcome::Refused("full".into()));
    story.takes(10, 0);
    story.has(&[Kind::Unexpected]);

    let mut story = Story::with(&[]);
    story.call(1, push(record(100, None)), unknown());
    story.takes(10, 0);
    story.is_clean();
}

#[test]
fn a_record_that_is_not_what_it_was_is_changed() {
    let mut story = Story::with(&[0]);
    let mut other = taken(0, 1, 1);
    other.record.sum += 1;
    story.call(10, POLL, took(&[other]));
    story.has(&[Kind::Changed]);
}

#[test]
fn one_place_holds_one_record() {
    let mut story = Story::with(&[0]);
    story.call(1, push(record(7, None)), at(0));
    story.has(&[Kind::Changed, Kind::Reordered]);
}

#[test]
fn one_push_is_stored_once() {
    let mut story = Story::with(&[0]);
    story.takes(10, 0);
    let mut twin = taken(5, 1, 1);
    twin.record = record(100, None);
    story.call(10, POLL, took(&[twin]));
    story.has(&[Kind::StoredTwice]);
}

#[test]
fn a_key_has_one_partition() {
    let mut story = Story::default();
    for (value, partition) in [(1, 0), (2, 1)] {
        let call = story.begin(1, push(record(value, Some(3))));
        story.end(
            call,
            Outcome::Stored {
                partition,
                offset: 0,
            },
        );
    }
    story.has(&[Kind::Changed]);
}

#[test]
fn offsets_follow_the_order_of_acknowledgement() {
    let mut story = Story::default();
    story.stored(1, 5);
    story.stored(2, 4);
    story.has(&[Kind::Reordered]);

    // Side by side they may be stored in either order.
    let mut story = Story::default();
    let one = story.begin(1, push(record(1, None)));
    let two = story.begin(2, push(record(2, None)));
    story.end(one, at(5));
    story.end(two, at(4));
    story.is_clean();
}
