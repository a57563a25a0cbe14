//! One record of a key at a time.

use super::*;

const HERE: Place = Place {
    topic: 0,
    partition: 0,
};

const ORDERED: Terms = Terms {
    ordered: true,
    ..TERMS
};

/// A partition whose records have these keys, and a member that keeps their order.
fn keyed(terms: Terms, keys: &[u64]) -> (World, MemberId) {
    let (mut world, member) = World::alone(terms, keys.len() as u64);
    for (offset, &key) in (0..).zip(keys) {
        world.records.keys.insert((HERE, offset), key);
    }
    (world, member)
}

#[test]
fn a_record_waits_for_those_before_it_of_its_key() {
    // guarantee: K6
    let (mut world, member) = keyed(ORDERED, &[7, 7, 8, 7, 8, 9]);
    let given = world.take(member, 9);
    let offsets: Vec<_> = given.iter().map(|it| it.offset).collect();
    assert_eq!(offsets, [0, 2, 5]);
    assert_eq!(world.group.position(HERE), Some(6));
    world.effects();
    assert_eq!(world.ack(member, given[1]), DONE);
    assert_eq!(world.effects().wake, [member]);
    assert_eq!(world.offsets(member, 9), [4]);
    // Never delivered, so there is nothing to answer.
    assert_eq!(world.group.ack(member, HERE, 1, 1), Settle::Unknown);
    assert_eq!(world.group.commit_to(member, HERE, 3, 1), Settle::Unknown);
    assert_eq!(world.ack(member, given[0]), done(1));
    assert_eq!(world.take(member, 9)[0].attempt, 1);
    assert!(world.take(member, 9).is_empty());
    assert_eq!(world.group.ack(member, HERE, 1, 1), done(3));
    assert_eq!(world.offsets(member, 9), [3]);
}

#[test]
fn a_redelivery_blocks_its_key() {
    // guarantee: K6
    let (mut world, member) = keyed(ORDERED, &[7, 7, 8]);
    let given = world.take(member, 9);
    world.nack(member, given[0], 5 * SECOND);
    assert!(world.take(member, 9).is_empty());
    world.pass(5 * SECOND);
    assert_eq!(world.offsets(member, 9), [0]);
    assert_eq!(world.ack(member, given[0]), done(1));
    assert_eq!(world.offsets(member, 9), [1]);
}

#[test]
fn committing_does_not_skip_what_was_never_delivered() {
    // guarantee: K1
    let (mut world, member) = keyed(ORDERED, &[7, 7, 8]);
    assert_eq!(world.offsets(member, 9), [0, 2]);
    assert_eq!(world.group.commit_to(member, HERE, 2, 1), done(1));
    assert_eq!(world.offsets(member, 9), [1]);
    assert_eq!(world.group.commit_all(member), [(HERE, 3)]);
}

#[test]
fn what_is_behind_stays_within_the_window() {
    let terms = Terms {
        max_in_flight: 3,
        ..ORDERED
    };
    let (mut world, member) = keyed(terms, &[7, 7, 7, 8]);
    assert_eq!(world.offsets(member, 9), [0]);
    assert_eq!(world.group.position(HERE), Some(3));
    assert_eq!(world.effects().in_flight_full, [(member, HERE, 3)]);
    assert_eq!(world.group.ack(member, HERE, 0, 1), done(1));
    assert_eq!(world.offsets(member, 9), [1, 3]);
}

#[test]
fn what_is_lost_frees_its_key() {
    // guarantee: K1
    let (mut world, member) = keyed(ORDERED, &[7, 7, 7, 8]);
    assert_eq!(world.offsets(member, 9), [0, 3]);
    world.records.ranges.insert(HERE, (2, 4));
    assert_eq!(world.offsets(member, 9), [2]);
    assert_eq!(world.effects().lost, [(member, HERE, 0, 2)]);
}

#[test]
fn a_key_that_is_not_at_hand_stops_the_take() {
    let (mut world, member) = keyed(ORDERED, &[7, 8, 9]);
    world.records.cold.insert((HERE, 1));
    let taken = world.group.take(member, 9, world.now, &mut world.records);
    assert_eq!((taken.count, taken.missing), (1, vec![(HERE, 1)]));
    world.records.cold.clear();
    assert_eq!(world.offsets(member, 9), [1, 2]);
}

#[test]
fn members_of_both_kinds_follow_each_other() {
    // guarantee: K6 K7
    let (mut world, a) = keyed(TERMS, &[7, 7, 7, 8, 9]);
    let given = world.take(a, 4);
    assert_eq!(given.len(), 4);
    world.ack(a, given[1]);
    let b = world.member(ORDERED, &[(0, 1)]);
    world.group.leave(a, world.now);
    world.records.cold.insert((HERE, 3));
    assert!(world.take(b, 9).is_empty());
    world.records.cold.clear();
    // 1 was acknowledged, 2 is behind 0.
    let at_b = world.take(b, 9);
    let seen: Vec<_> = at_b.iter().map(|it| (it.offset, it.attempt)).collect();
    assert_eq!(seen, [(0, 2), (3, 2), (4, 1)]);
    let c = world.member(TERMS, &[(0, 1)]);
    world.group.leave(b, world.now);
    let at_c = world.take(c, 9);
    let mut seen: Vec<_> = at_c.iter().map(|it| (it.offset, it.attempt)).collect();
    seen.sort_unstable();
    assert_eq!(seen, [(0, 3), (2, 2), (3, 3), (4, 2)]);
    let d = world.member(ORDERED, &[(0, 1)]);
    world.group.leave(c, world.now);
    assert_eq!(world.offsets(d, 9), [0, 3, 4]);
    world.group.ack(d, HERE, 0, 4);
    assert_eq!(world.offsets(d, 9), [2]);
    assert_eq!(world.group.commit_all(d), [(HERE, 5)]);
}

#[test]
fn a_record_that_is_not_at_hand_does_not_take_its_key() {
    let (mut world, member) = keyed(ORDERED, &[7, 8, 8]);
    world.records.warm_keys = true;
    world.records.cold.insert((HERE, 1));
    let taken = world.group.take(member, 9, world.now, &mut world.records);
    assert_eq!((taken.count, taken.missing), (1, vec![(HERE, 1)]));
    world.records.cold.clear();
    assert_eq!(world.offsets(member, 9), [1]);
    assert_eq!(world.group.commit_all(member), [(HERE, 2)]);
    assert_eq!(world.offsets(member, 9), [2]);
}

#[test]
fn what_was_dealt_with_in_between_has_no_turn() {
    let once = Terms {
        max_attempts: Some(1),
        ..TERMS
    };
    let (mut world, a) = keyed(once, &[7, 7, 7]);
    let given = world.take(a, 9);
    world.nack(a, given[1], Duration::ZERO);
    let b = world.member(ORDERED, &[(0, 1)]);
    world.group.leave(a, world.now);
    assert_eq!(world.offsets(b, 9), [0]);
    world.group.given_up(HERE, 1, 1);
    assert_eq!(world.group.commit_all(b), [(HERE, 2)]);
    assert_eq!(world.offsets(b, 9), [2]);
}
