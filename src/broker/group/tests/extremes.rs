//! Bounds as large and as small as they get.

use super::*;

const HERE: Place = Place {
    topic: 0,
    partition: 0,
};

#[test]
fn waits_without_end() {
    let terms = Terms {
        ack_wait: Duration::MAX,
        session_timeout: Duration::MAX,
        max_in_flight: usize::MAX,
        ..TERMS
    };
    let (mut world, a) = World::alone(terms, 5);
    assert_eq!(world.take(a, usize::MAX).len(), 5);
    let b = world.member(terms, &[(0, 1), (1, 1)]);
    world.group.subscribe(b, &[(0, 1)], world.now);
    world.group.subscribe(a, &[(0, 1), (1, 1)], world.now);
    assert!(!world.group.is_owner(a, HERE));
    assert_eq!(world.group.next_due(b), None);
    world.pass(Duration::from_secs(1 << 40));
    assert!(world.effects().expired.is_empty());
    assert_eq!(world.group.assignment(b), []);
    world.group.commit_all(a);
    assert_eq!(world.group.assignment(b), [HERE]);
}

#[test]
fn no_waits_at_all() {
    let terms = Terms {
        ack_wait: Duration::ZERO,
        session_timeout: Duration::ZERO,
        max_attempts: Some(0),
        max_in_flight: 0,
        ..TERMS
    };
    let (mut world, member) = World::alone(terms, 5);
    assert!(world.take(member, 9).is_empty());
    assert_eq!(world.effects().in_flight_full, [(member, HERE, 0)]);
    assert!(world.take(member, 0).is_empty());
    world.group.tick(world.now);
    assert_eq!(world.effects().expired, [member]);

    let terms = Terms {
        max_in_flight: 2,
        session_timeout: SECOND,
        ..terms
    };
    let (mut world, member) = World::alone(terms, 5);
    assert_eq!(world.offsets(member, 9), [0, 1]);
    world.group.tick(world.now);
    assert_eq!(world.effects().given_up.len(), 2);
}

#[test]
fn deliveries_that_are_due_at_once_come_once_a_take() {
    let terms = Terms {
        ack_wait: Duration::ZERO,
        ..TERMS
    };
    let (mut world, member) = World::alone(terms, 3);
    for attempt in 1..5 {
        let given = world.take(member, 9);
        assert_eq!(given.len(), 3);
        assert!(given.iter().all(|it| it.attempt == attempt));
        world.group.tick(world.now);
    }
}

#[test]
fn the_last_offsets_there_are() {
    for ordered in [false, true] {
        let terms = Terms { ordered, ..TERMS };
        let (mut world, member) = World::alone(terms, 0);
        let keys = [1, 2, 3];
        for (offset, key) in (u64::MAX - 3..u64::MAX).zip(keys) {
            world.records.keys.insert((HERE, offset), key);
        }
        world.group.seek(member, HERE, u64::MAX - 3);
        world.group.commit_all(member); // else the seek would go with its owner
        world.records.ranges.insert(HERE, (0, u64::MAX));
        let given = world.take(member, 9);
        assert_eq!(given.len(), 3);
        assert_eq!(world.group.position(HERE), Some(u64::MAX));
        let settle = world.group.commit_to(member, HERE, u64::MAX, 0);
        assert_eq!(settle, Settle::Unknown);
        world.nack(member, given[2], Duration::ZERO);
        assert_eq!(world.offsets(member, 9), [u64::MAX - 1]);
        world.group.leave(member, world.now);
        let other = world.member(TERMS, &[(0, 1)]);
        assert_eq!(world.take(other, 9).len(), 3);
        assert_eq!(world.group.commit_all(other), [(HERE, u64::MAX)]);
        assert!(world.take(other, 9).is_empty());
        world.group.seek(other, HERE, 0);
        world.records.ranges.insert(HERE, (u64::MAX, u64::MAX));
        assert!(world.take(other, 9).is_empty());
        assert_eq!(world.effects().lost, [(other, HERE, 0, u64::MAX)]);
    }
}

#[test]
fn a_seek_beyond_the_end() {
    let (mut world, member) = World::alone(TERMS, 5);
    world.group.seek(member, HERE, 7);
    assert!(world.take(member, 9).is_empty());
    world.records.ranges.insert(HERE, (0, 9));
    assert_eq!(world.offsets(member, 9), [7, 8]);
}
