//! What answers do, and what happens without them.

use super::*;

const HERE: Place = Place {
    topic: 0,
    partition: 0,
};

#[test]
fn the_committed_offset_follows_without_gaps() {
    // guarantee: K2 K5
    let (mut world, member) = World::alone(TERMS, 5);
    let given = world.take(member, 10);
    assert_eq!(given.len(), 5);
    assert!(given.iter().all(|it| (it.attempt, it.generation) == (1, 1)));
    assert_eq!(world.group.committed(HERE), None);
    assert_eq!(world.ack(member, given[1]), DONE);
    assert_eq!(world.ack(member, given[3]), DONE);
    assert_eq!(world.ack(member, given[3]), Settle::Late);
    assert_eq!(world.ack(member, given[0]), done(2));
    assert_eq!(world.ack(member, given[0]), Settle::Late);
    assert_eq!(world.ack(member, given[2]), done(4));
    assert_eq!(world.effects().moved, [(HERE, 4)]);
    assert!(world.effects().moved.is_empty());
    assert_eq!(world.group.committed(HERE), Some(4));
    assert_eq!(world.group.position(HERE), Some(5));
    let beyond = world.group.ack(member, HERE, 5, 1);
    assert_eq!(beyond, Settle::Unknown);
}

#[test]
fn what_is_not_answered_comes_again_and_a_late_ack_counts() {
    // guarantee: K6
    let (mut world, member) = World::alone(TERMS, 3);
    let given = world.take(member, 3);
    world.group.park(member);
    world.pass(29 * SECOND);
    assert_eq!(world.group.next_due(member), Some(world.now + SECOND));
    assert!(world.offsets(member, 9).is_empty());
    assert_eq!(world.ack(member, given[1]), DONE);
    world.pass(SECOND);
    assert_eq!(world.effects().wake, [member]);
    assert_eq!(world.ack(member, given[2]), DONE);
    let again = world.take(member, 9);
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].offset, again[0].attempt), (0, 2));
    // The answer to the first delivery, after the second.
    assert_eq!(world.ack(member, given[0]), done(3));
    assert_eq!(world.ack(member, again[0]), Settle::Late);
}

#[test]
fn an_old_deadline_means_nothing_to_a_redelivery() {
    // guarantee: K6
    let (mut world, member) = World::alone(TERMS, 2);
    world.group.park(member);
    let given = world.take(member, 2);
    world.pass(20 * SECOND);
    assert_eq!(world.nack(member, given[0], Duration::ZERO), DONE);
    assert_eq!(world.take(member, 1)[0].attempt, 2);
    world.pass(10 * SECOND);
    let again = world.take(member, 9);
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].offset, again[0].attempt), (1, 2));
    world.pass(20 * SECOND);
    let again = world.take(member, 9);
    assert_eq!((again[0].offset, again[0].attempt), (0, 3));
}

#[test]
fn a_nack_waits_for_its_time_and_later_offsets_pass() {
    // guarantee: K6
    let (mut world, member) = World::alone(TERMS, 4);
    let given = world.take(member, 2);
    world.effects();
    assert_eq!(world.nack(member, given[0], 5 * SECOND), DONE);
    assert_eq!(world.nack(member, given[0], SECOND), Settle::Late);
    assert_eq!(world.effects().wake, [member]);
    assert_eq!(world.offsets(member, 1), [2]);
    assert_eq!(world.group.next_due(member), Some(world.now + 5 * SECOND));
    world.pass(5 * SECOND);
    // Redeliveries come before new records.
    assert_eq!(world.offsets(member, 9), [0, 3]);
    assert_eq!(world.group.low(HERE), Some(0));
}

#[test]
fn the_last_attempt_is_given_up_and_dealt_with() {
    // guarantee: K6
    let terms = Terms {
        max_attempts: Some(2),
        ..TERMS
    };
    let (mut world, member) = World::alone(terms, 3);
    world.group.park(member);
    let given = world.take(member, 3);
    world.nack(member, given[0], Duration::ZERO);
    world
        .group
        .nack(member, HERE, 1, 1, world.now, None, world.now);
    assert_eq!(world.offsets(member, 9), [0, 1]);
    let reason = Some("bad weather".to_owned());
    let settle = world
        .group
        .nack(member, HERE, 0, 1, world.now, reason, world.now);
    assert_eq!(settle, DONE);
    world.pass(30 * SECOND);
    let given_up = |offset, reason: &str| GivenUp {
        member,
        place: HERE,
        offset,
        generation: 1,
        attempts: 2,
        reason: reason.into(),
    };
    let expected = [
        given_up(0, "bad weather"),
        given_up(1, "not acknowledged within 30s"),
    ];
    assert_eq!(world.effects().given_up, expected);
    // It blocks until it is dealt with. The third record has failed but once.
    assert_eq!(world.offsets(member, 9), [2]);
    assert_eq!(world.group.ack(member, HERE, 2, 1), DONE);
    world.group.given_up(HERE, 0, 1);
    assert_eq!(world.effects().moved, [(HERE, 1)]);
    world.group.given_up(HERE, 0, 1);
    world.group.retry(HERE, 1, 1, world.now + SECOND);
    assert!(world.take(member, 9).is_empty());
    world.pass(SECOND);
    assert_eq!(world.take(member, 9)[0].attempt, 3);
    world.group.given_up(HERE, 1, 1);
    assert_eq!(world.group.low(HERE), Some(1));
    assert_eq!(world.group.ack(member, HERE, 1, 1), done(3));
    assert_eq!(world.effects().given_up, []);
}

#[test]
fn the_reason_of_a_nack_without_one() {
    let terms = Terms {
        max_attempts: Some(1),
        ..TERMS
    };
    let (mut world, member) = World::alone(terms, 1);
    let given = world.take(member, 1);
    world.nack(member, given[0], SECOND);
    assert_eq!(world.effects().given_up[0].reason, "nacked");
    // The member may still change its mind.
    assert_eq!(world.ack(member, given[0]), done(1));
}

#[test]
fn committing_up_to_a_position() {
    // guarantee: K5
    let (mut world, member) = World::alone(TERMS, 9);
    let given = world.take(member, 6);
    world.nack(member, given[1], SECOND);
    assert_eq!(world.group.commit_to(member, HERE, 6, 1), Settle::Unknown);
    assert_eq!(world.group.commit_to(member, HERE, 2, 2), Settle::Fenced);
    assert_eq!(
        world.group.commit_to(member + 1, HERE, 2, 0),
        Settle::Fenced
    );
    assert_eq!(world.group.committed(HERE), None);
    assert_eq!(world.group.commit_to(member, HERE, 2, 1), done(3));
    assert_eq!(world.group.commit_to(member, HERE, 1, 1), Settle::Late);
    assert_eq!(world.group.commit_to(member, HERE, 4, 0), done(5));
    world.pass(SECOND);
    // The nacked one was among them.
    assert_eq!(world.offsets(member, 9), [6, 7, 8]);
}

#[test]
fn committing_everything_leaves_what_failed() {
    // guarantee: K5 K6
    let (mut world, member) = World::alone(TERMS, 9);
    let given = world.take(member, 5);
    assert_eq!(world.group.commit_all(member), [(HERE, 5)]);
    assert_eq!(world.ack(member, given[0]), Settle::Late);
    let given = world.take(member, 4);
    world.nack(member, given[1], Duration::ZERO);
    assert_eq!(world.group.commit_all(member), [(HERE, 6)]);
    assert_eq!(world.offsets(member, 9), [6]);
    assert_eq!(world.group.commit_all(member), [(HERE, 9)]);
    assert_eq!(world.group.commit_all(member), []);
}

#[test]
fn what_is_in_flight_is_bounded_and_says_so_once() {
    // guarantee: K1
    let terms = Terms {
        max_in_flight: 3,
        ..TERMS
    };
    let (mut world, member) = World::alone(terms, 9);
    let given = world.take(member, 2);
    assert!(world.effects().in_flight_full.is_empty());
    assert_eq!(world.offsets(member, 2), [2]);
    assert_eq!(world.effects().in_flight_full, [(member, HERE, 3)]);
    assert!(world.take(member, 2).is_empty());
    assert_eq!(world.ack(member, given[1]), DONE);
    assert!(world.take(member, 2).is_empty());
    assert!(world.effects().in_flight_full.is_empty());
    world.ack(member, given[0]);
    assert_eq!(world.effects().wake, [member]);
    assert_eq!(world.offsets(member, 9), [3, 4]);
    assert_eq!(world.effects().in_flight_full, [(member, HERE, 3)]);
}

#[test]
fn a_seek_forgets_the_window_and_moves_the_committed_offset_with_the_next_answer() {
    // guarantee: K4 K5
    let (mut world, member) = World::alone(TERMS, 9);
    let given = world.take(member, 6);
    world.group.commit_all(member);
    let late = world.take(member, 1);
    assert!(world.group.seek(member, HERE, 2));
    assert!(!world.group.seek(member + 1, HERE, 2));
    assert_eq!(world.ack(member, late[0]), Settle::Fenced);
    assert_eq!(world.ack(member, given[0]), Settle::Fenced);
    assert_eq!(world.group.committed(HERE), Some(6));
    assert_eq!(world.group.position(HERE), Some(2));
    let again = world.take(member, 2);
    assert_eq!((again[0].offset, again[0].attempt), (2, 1));
    assert_eq!(again[0].generation, 2);
    assert_eq!(world.ack(member, again[1]), DONE);
    assert_eq!(world.group.committed(HERE), Some(6));
    assert_eq!(world.ack(member, again[0]), done(4));
    assert_eq!(world.group.committed(HERE), Some(4));
    assert_eq!(world.effects().moved, [(HERE, 4)]);
}

#[test]
fn what_was_given_up_before_a_seek_is_nobodys_business() {
    let terms = Terms {
        max_attempts: Some(1),
        ..TERMS
    };
    let (mut world, member) = World::alone(terms, 2);
    let given = world.take(member, 1);
    world.nack(member, given[0], SECOND);
    world.group.seek(member, HERE, 0);
    let given = world.take(member, 1);
    world.nack(member, given[0], SECOND);
    world.group.given_up(HERE, 0, 1);
    assert_eq!(world.group.low(HERE), Some(0));
    world.group.given_up(HERE, 0, 2);
    assert_eq!(world.group.low(HERE), Some(1));
}

#[test]
fn what_retention_removes_is_counted() {
    // guarantee: K1
    let (mut world, member) = World::alone(TERMS, 9);
    let given = world.take(member, 6);
    world.ack(member, given[1]);
    world.ack(member, given[4]);
    world.records.ranges.insert(HERE, (4, 9));
    assert_eq!(world.offsets(member, 1), [6]);
    let effects = world.effects();
    assert_eq!(effects.lost, [(member, HERE, 0, 3)]);
    // The fifth was acknowledged.
    assert_eq!(effects.moved, [(HERE, 5)]);
    assert_eq!(world.ack(member, given[0]), Settle::Late);
    assert_eq!(world.ack(member, given[5]), done(6));
    world.records.ranges.insert(HERE, (20, 22));
    assert_eq!(world.offsets(member, 9), [20, 21]);
    assert_eq!(world.effects().lost, [(member, HERE, 6, 14)]);
    assert_eq!(world.group.committed(HERE), Some(20));
}

#[test]
fn what_is_not_at_hand_is_named_and_comes_later() {
    // guarantee: K3
    let (mut world, member) = World::alone(TERMS, 6);
    world.records.cold.insert((HERE, 2));
    let given = world.take(member, 9);
    assert_eq!(given.len(), 2);
    let taken = world.group.take(member, 9, world.now, &mut world.records);
    assert_eq!((taken.count, taken.missing), (0, vec![(HERE, 2)]));
    for delivery in given {
        world.nack(member, delivery, Duration::ZERO);
        world.records.cold.insert((HERE, delivery.offset));
    }
    world.records.cold.remove(&(HERE, 2));
    let taken = world.group.take(member, 9, world.now, &mut world.records);
    assert_eq!(
        (taken.count, taken.missing),
        (0, vec![(HERE, 0), (HERE, 1)])
    );
    world.records.cold.clear();
    assert_eq!(world.offsets(member, 9), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_committed_offset_is_restored_and_begun_only_once() {
    let mut world = World::new();
    world.records.ranges.insert(HERE, (0, 9));
    world.group.restore(HERE, 7);
    assert_eq!(world.group.committed(HERE), Some(7));
    let member = world.member(TERMS, &[(0, 2)]);
    assert_eq!(world.group.position(place(0, 1)), Some(0));
    assert_eq!(world.group.committed(place(0, 1)), None);
    world.group.begin(HERE, 0);
    assert_eq!(world.offsets(member, 9), [7, 8]);
}

#[test]
fn pausing_stops_deliveries_and_nothing_else() {
    let (mut world, member) = World::alone(TERMS, 4);
    let given = world.take(member, 2);
    world.nack(member, given[1], Duration::ZERO);
    assert!(world.group.pause(member, HERE, true));
    assert!(!world.group.pause(member + 1, HERE, true));
    assert!(world.take(member, 9).is_empty());
    assert_eq!(world.ack(member, given[0]), done(1));
    world.effects();
    assert_eq!(world.group.next_due(member), None);
    assert!(world.group.pause(member, HERE, false));
    assert_eq!(world.effects().wake, [member]);
    assert_eq!(world.offsets(member, 9), [1, 2, 3]);
}

#[test]
fn deadlines_that_were_met_are_forgotten() {
    // Three records are not acknowledged, and the others are, one by one.
    let (mut world, member) = World::alone(TERMS, 600);
    world.group.park(member);
    let first = world.take(member, 3);
    assert_eq!(world.ack(member, first[1]), DONE);
    for _ in 3..600 {
        let given = world.take(member, 1);
        assert_eq!(world.ack(member, given[0]), DONE);
    }
    let cursor = |world: &World| {
        let partition = world.group.partitions.get(HERE).unwrap();
        partition.cursor.as_ref().unwrap().sizes()
    };
    assert!(cursor(&world).0 < 40, "{:?}", cursor(&world));
    world.pass(30 * SECOND);
    assert_eq!(world.offsets(member, 9), [0, 2]);
    // And a record that fails all the time, while another waits for long.
    world.group.commit_all(member);
    world.records.ranges.insert(HERE, (0, 602));
    let given = world.take(member, 2);
    world.nack(member, given[0], 1000 * SECOND);
    for _ in 0..200 {
        world.nack(member, given[1], Duration::ZERO);
        assert_eq!(world.offsets(member, 9), [601]);
    }
    assert!(cursor(&world).0 < 40, "{:?}", cursor(&world));
    world.pass(1000 * SECOND);
    assert_eq!(world.offsets(member, 9), [600, 601]);
}

#[test]
fn what_is_still_in_work_is_not_overdue() {
    // guarantee: K6
    let (mut world, member) = World::alone(TERMS, 3);
    let given = world.take(member, 3);
    world.group.park(member);
    world.pass(20 * SECOND);
    assert_eq!(world.extend(member, given[1]), DONE);
    // Twice, and the later one counts.
    world.pass(5 * SECOND);
    assert_eq!(world.extend(member, given[1]), DONE);
    assert_eq!(world.ack(member, given[2]), DONE);
    assert_eq!(world.extend(member, given[2]), Settle::Late);
    world.pass(5 * SECOND);
    let again = world.take(member, 9);
    assert_eq!((again.len(), again[0].offset), (1, 0));
    assert_eq!(world.ack(member, again[0]), done(1));
    world.pass(24 * SECOND);
    assert!(world.take(member, 9).is_empty());
    world.pass(SECOND);
    let again = world.take(member, 9);
    assert_eq!((again[0].offset, again[0].attempt), (1, 2));
    let beyond = world.group.extend(member, HERE, 3, 1, world.now);
    assert_eq!(beyond, Settle::Unknown);
    let fenced = world.group.extend(member, HERE, 1, 2, world.now);
    assert_eq!(fenced, Settle::Fenced);
}

#[test]
fn what_is_overdue_and_still_in_work_is_taken_back() {
    // guarantee: K6
    let (mut world, member) = World::alone(TERMS, 2);
    let given = world.take(member, 2);
    world.group.park(member);
    world.pass(30 * SECOND);
    world.effects();
    assert_eq!(world.extend(member, given[0]), DONE);
    let again = world.take(member, 9);
    assert_eq!((again.len(), again[0].offset), (1, 1));
    // Its delay counts, and not that it was overdue once.
    assert_eq!(world.nack(member, given[0], 5 * SECOND), DONE);
    assert!(world.take(member, 9).is_empty());
    // What is said to have failed is not taken back.
    assert_eq!(world.extend(member, given[0]), Settle::Late);
    world.pass(5 * SECOND);
    assert_eq!(world.offsets(member, 9), [0]);
}
