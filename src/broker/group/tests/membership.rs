//! Who owns what, and how that changes.

use super::*;

/// How many partitions each has.
fn counts(world: &World, members: &[MemberId]) -> Vec<usize> {
    let count = |&member: &MemberId| world.group.assignment(member).len();
    members.iter().map(count).collect()
}

/// Topic 0 with so many partitions of so many records.
fn topic(partitions: u32, records: u64) -> World {
    let mut world = World::new();
    for partition in 0..partitions {
        let here = place(0, partition);
        world.records.ranges.insert(here, (0, records));
    }
    world
}

#[test]
fn partitions_are_balanced_and_move_no_more_than_they_must() {
    // guarantee: K7
    let mut world = topic(7, 0);
    let a = world.member(TERMS, &[(0, 7)]);
    assert_eq!(counts(&world, &[a]), [7]);
    assert_eq!(world.effects().assigned.len(), 7);
    let b = world.member(TERMS, &[(0, 7)]);
    assert_eq!(counts(&world, &[a, b]), [4, 3]);
    let effects = world.effects();
    assert_eq!((effects.assigned.len(), effects.revoked.len()), (3, 3));
    let c = world.member(TERMS, &[(0, 7)]);
    assert_eq!(counts(&world, &[a, b, c]), [3, 2, 2]);
    assert_eq!(world.effects().revoked.len(), 2);
    world.group.leave(b, world.now);
    assert_eq!(counts(&world, &[a, c]), [4, 3]);
    let effects = world.effects();
    assert_eq!(effects.assigned.len(), 2);
    assert!(effects.revoked.iter().all(|&(member, ..)| member == b));
    // Nothing changes by saying the same again.
    world.group.subscribe(a, &[(0, 7)], world.now);
    let effects = world.effects();
    assert_eq!((effects.assigned.len(), effects.revoked.len()), (0, 0));
}

#[test]
fn members_that_read_different_topics() {
    let mut world = World::new();
    let a = world.member(TERMS, &[(0, 4), (1, 2)]);
    let b = world.member(TERMS, &[(1, 2)]);
    assert_eq!(
        world.group.assignment(a),
        (0..4).map(|it| place(0, it)).collect::<Vec<_>>()
    );
    assert_eq!(counts(&world, &[a, b]), [4, 2]);
    let c = world.member(TERMS, &[(0, 4), (1, 2)]);
    assert_eq!(counts(&world, &[a, b, c]), [2, 2, 2]);
    world.group.subscribe(c, &[], world.now);
    assert_eq!(counts(&world, &[a, b, c]), [4, 2, 0]);
    // Nobody reads it any more, but where the group was is known.
    world.group.restore(place(2, 0), 5);
    world.group.leave(a, world.now);
    assert_eq!(counts(&world, &[b, c]), [2, 0]);
    assert_eq!(world.group.position(place(0, 3)), Some(0));
    assert_eq!(world.group.position(place(2, 0)), Some(5));
}

#[test]
fn a_partition_is_handed_over_when_everything_is_answered() {
    // guarantee: K5 K7
    let mut world = topic(2, 9);
    let a = world.member(TERMS, &[(0, 2)]);
    let given = world.take(a, 4);
    world.effects();
    let b = world.member(TERMS, &[(0, 2)]);
    let mut effects = world.effects();
    effects.wake.sort_unstable();
    assert_eq!(
        (effects.wake, effects.assigned, effects.revoked),
        (vec![a, b], vec![], vec![])
    );
    let moving = place(0, 1);
    assert_eq!(counts(&world, &[a, b]), [2, 0]);
    assert!(!world.group.is_owner(a, moving));
    assert!(!world.group.is_owner(b, moving));
    assert!(!world.group.pause(a, moving, true));
    assert!(!world.group.seek(a, moving, 0));
    // Nothing new of it, neither here nor there.
    assert!(world.take(a, 9).iter().all(|it| it.place == place(0, 0)));
    assert!(world.take(b, 9).is_empty());

    let of_moving: Vec<_> = given.iter().filter(|it| it.place == moving).collect();
    assert_eq!(of_moving.len(), 2);
    assert_eq!(world.ack(a, *of_moving[0]), done(1));
    assert!(world.effects().assigned.is_empty());
    assert_eq!(world.nack(a, *of_moving[1], Duration::ZERO), DONE);
    let effects = world.effects();
    assert_eq!(effects.revoked, [(a, moving, 0)]);
    assert_eq!(effects.assigned, [(b, moving)]);
    assert!(effects.wake.contains(&b));
    assert!(world.group.is_owner(b, moving));
    let at_b = world.take(b, 1);
    assert_eq!(
        (at_b[0].offset, at_b[0].attempt, at_b[0].generation),
        (1, 2, 2)
    );
    assert_eq!(world.ack(a, *of_moving[1]), Settle::Fenced);
    assert_eq!(world.ack(b, at_b[0]), done(2));
}

#[test]
fn a_hand_over_waits_no_longer_than_a_session() {
    // guarantee: K5 K7
    let mut world = topic(1, 3);
    let a = world.member(TERMS, &[(0, 1)]);
    let given = world.take(a, 2);
    world.group.park(a);
    let b = world.member(TERMS, &[(0, 1), (1, 1)]);
    assert_eq!(counts(&world, &[a, b]), [1, 1]);
    // B wants nothing of topic 1 any more, and A reads a second topic: the first partition is to move.
    world.group.subscribe(b, &[(0, 1)], world.now);
    world.group.subscribe(a, &[(0, 1), (2, 1)], world.now);
    world.group.park(b);
    world.effects();
    let due = world.now + TERMS.session_timeout;
    assert_eq!(world.group.next_due(b), Some(due));
    world.pass(9 * SECOND);
    assert!(world.effects().assigned.is_empty());
    world.pass(SECOND);
    let effects = world.effects();
    assert_eq!(effects.revoked, [(a, place(0, 0), 2)]);
    assert_eq!(effects.assigned, [(b, place(0, 0))]);
    assert_eq!(world.ack(a, given[0]), Settle::Fenced);
    let again = world.take(b, 9);
    let attempts: Vec<_> = again.iter().map(|it| (it.offset, it.attempt)).collect();
    assert_eq!(attempts, [(0, 2), (1, 2), (2, 1)]);
}

#[test]
fn a_hand_over_is_called_off_when_the_other_leaves() {
    let mut world = topic(2, 3);
    let a = world.member(TERMS, &[(0, 2)]);
    let given = world.take(a, 2);
    let b = world.member(TERMS, &[(0, 2)]);
    assert!(!world.group.is_owner(a, place(0, 1)));
    let c = world.member(TERMS, &[(0, 2)]);
    world.group.leave(b, world.now);
    assert!(!world.group.is_owner(a, place(0, 1)));
    world.effects();
    world.group.leave(c, world.now);
    assert_eq!(world.effects().wake, [a]);
    assert!(world.group.is_owner(a, place(0, 1)));
    // Under the same generation.
    assert!(given.iter().all(|&it| world.ack(a, it) != Settle::Fenced));
}

#[test]
fn leaving_and_expiring_hand_over_at_once() {
    // guarantee: K5 K7
    let mut world = topic(2, 3);
    let a = world.member(TERMS, &[(0, 2)]);
    let given = world.take(a, 6);
    let b = world.member(TERMS, &[(0, 2)]);
    world.group.park(b);
    world.pass(9 * SECOND);
    assert!(world.effects().expired.is_empty());
    assert_eq!(world.group.next_due(b), Some(world.now + SECOND));
    world.pass(SECOND);
    let effects = world.effects();
    assert_eq!(effects.expired, [a]);
    assert_eq!(effects.revoked.len(), 2);
    assert!(effects.wake.contains(&a) && effects.wake.contains(&b));
    assert_eq!(counts(&world, &[a, b]), [0, 2]);
    assert_eq!(world.ack(a, given[0]), Settle::Fenced);
    assert_eq!(
        world.take(b, 9).iter().filter(|it| it.attempt == 2).count(),
        6
    );
    // Its subscription is remembered. What is out at B stays there for now.
    world.group.touch(a, world.now);
    assert_eq!(counts(&world, &[a, b]), [0, 2]);
    world.group.commit_all(b);
    assert_eq!(counts(&world, &[a, b]), [1, 1]);
    let effects = world.effects();
    assert_eq!((effects.revoked.len(), effects.assigned.len()), (1, 1));
    world.group.leave(b, world.now);
    assert_eq!(counts(&world, &[a, b]), [2, 0]);
}

#[test]
fn whoever_waits_in_a_poll_does_not_expire_and_learns_of_sessions() {
    // guarantee: K7
    let mut world = topic(2, 0);
    let a = world.member(TERMS, &[(0, 2)]);
    let b = world.member(TERMS, &[(0, 2)]);
    for member in [a, a, b] {
        world.group.park(member);
        assert!(world.group.next_due(member).is_none() || member == a);
    }
    world.group.next_due(a);
    world.pass(1000 * SECOND);
    assert!(world.effects().expired.is_empty());
    world.group.unpark(b, world.now);
    // A sleeps without a timer for the end of B's session.
    assert_eq!(world.effects().wake, [a]);
    assert_eq!(world.group.next_due(a), Some(world.now + 10 * SECOND));
    // Now it has one, and later ends need no other.
    world.pass(SECOND);
    world.group.park(b);
    world.group.unpark(b, world.now);
    assert!(world.effects().wake.is_empty());
    world.group.unpark(a, world.now);
    world.effects();
    world.pass(10 * SECOND);
    assert_eq!(world.effects().expired, [b]);
    assert_eq!(counts(&world, &[a, b]), [2, 0]);
}

#[test]
fn attempts_survive_and_last_ones_too() {
    // guarantee: K6 K7
    let terms = Terms {
        max_attempts: Some(3),
        ..TERMS
    };
    let mut world = topic(1, 1);
    let a = world.member(terms, &[(0, 1)]);
    let b = world.member(terms, &[(0, 1)]);
    let given = world.take(a, 1);
    world.nack(a, given[0], Duration::ZERO);
    assert_eq!(world.take(a, 1)[0].attempt, 2);
    world.group.leave(a, world.now);
    let given = world.take(b, 1);
    assert_eq!(given[0].attempt, 3);
    world.nack(b, given[0], Duration::ZERO);
    let given_up = world.effects().given_up;
    assert_eq!((given_up[0].member, given_up[0].attempts), (b, 3));
    // Someone else owns it by the time it is dealt with.
    world.group.leave(b, world.now);
    let c = world.member(terms, &[(0, 1)]);
    assert!(world.take(c, 1).is_empty());
    world.group.given_up(place(0, 0), 0, given_up[0].generation);
    assert_eq!(world.group.committed(place(0, 0)), Some(1));
}

#[test]
fn unsubscribing_gives_up_at_once() {
    // guarantee: K4 K5
    let mut world = topic(1, 5);
    let a = world.member(TERMS, &[(0, 1)]);
    let given = world.take(a, 3);
    world.ack(a, given[0]);
    world.effects();
    world.group.subscribe(a, &[(1, 1)], world.now);
    assert_eq!(world.effects().revoked, [(a, place(0, 0), 2)]);
    assert_eq!(world.ack(a, given[1]), Settle::Fenced);
    world.group.subscribe(a, &[(0, 1)], world.now);
    assert_eq!(world.group.committed(place(0, 0)), Some(1));
    assert_eq!(world.ack(a, given[1]), Settle::Fenced);
    assert_eq!(world.offsets(a, 9), [1, 2, 3, 4]);
}

#[test]
fn a_take_is_fair() {
    // guarantee: K3
    let mut world = topic(4, 100);
    let a = world.member(TERMS, &[(0, 4)]);
    let of = |given: &[Given]| {
        let mut counts = [0; 4];
        given
            .iter()
            .for_each(|it| counts[it.place.partition as usize] += 1);
        counts
    };
    // One by one they take turns.
    let mut all = Vec::new();
    (0..8).for_each(|_| all.extend(world.take(a, 1)));
    assert_eq!(of(&all), [2, 2, 2, 2]);
    assert_eq!(of(&world.take(a, 40)), [10, 10, 10, 10]);
    let mut counts = of(&world.take(a, 42));
    counts.sort_unstable();
    assert_eq!(counts, [10, 10, 11, 11]);
    // What one leaves goes to the others.
    world.records.ranges.insert(place(0, 1), (0, 24));
    world.records.ranges.insert(place(0, 3), (0, 0));
    let counts = of(&world.take(a, 60));
    assert_eq!(counts.iter().sum::<usize>(), 60);
    assert!(
        counts[1] <= 2 && counts[3] == 0 && counts[0].abs_diff(counts[2]) <= 3,
        "{counts:?}"
    );
}

#[test]
fn a_member_that_is_gone_can_do_nothing() {
    let (mut world, member) = World::alone(TERMS, 5);
    let given = world.take(member, 1);
    world.group.leave(member, world.now);
    world.effects();
    world.group.touch(member, world.now);
    world.group.subscribe(member, &[(0, 1)], world.now);
    world.group.park(member);
    world.group.unpark(member, world.now);
    world.group.leave(member, world.now);
    assert_eq!(world.ack(member, given[0]), Settle::Fenced);
    assert_eq!(world.group.commit_all(member), []);
    assert!(world.take(member, 1).is_empty());
    assert_eq!(world.group.next_due(member), None);
    let effects = world.effects();
    assert!(effects.assigned.is_empty() && effects.wake.is_empty());
}

#[test]
fn assignments_that_nobody_was_told_of_are_taken_back_in_silence() {
    let mut world = World::new();
    let a = world.member(TERMS, &[(0, 2)]);
    world.effects();
    let b = world.member(TERMS, &[(0, 2)]);
    world.group.leave(b, world.now);
    let effects = world.effects();
    assert!(effects.revoked.iter().all(|&(member, ..)| member == a));
    assert_eq!(effects.assigned, [(a, place(0, 1))]);
}
