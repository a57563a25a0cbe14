//! Leases without a server: the rules one by one here, many members among faults in `model`.

mod model;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::wire::token;
use super::*;

const TERM: Duration = Duration::from_secs(12);

fn topics(partitions: u32) -> BTreeMap<Topic, u32> {
    BTreeMap::from([("orders".into(), partitions)])
}

fn part(partition: u32) -> Part {
    Part {
        topic: "orders".into(),
        partition,
    }
}

fn writes(actions: &[Action]) -> Vec<Write> {
    let write = |action: &Action| match action {
        Action::Write(write) => Some(write.clone()),
        _ => None,
    };
    actions.iter().filter_map(write).collect()
}

/// A member of one partition's group that has joined, and the revision that the store has come to.
fn joined(now: Instant) -> (Leases, u64) {
    let mut leases = Leases::new("me".into(), Terms { term: TERM }, topics(1), []);
    let first = writes(&leases.step(now));
    leases.wrote(&first[0], Wrote::As(1), now);
    assert!(leases.step(now).is_empty(), "its own key was not seen yet");
    leases.saw(&first[0].key, 1, Some(first[0].value.clone()), now);
    (leases, 1)
}

#[test]
fn a_free_partition_is_claimed_and_owned() {
    let now = Instant::now();
    let (mut leases, revision) = joined(now);
    let claims = writes(&leases.step(now));
    assert_eq!(claims[0].key, Key::Part(part(0)));
    assert_eq!(claims[0].expected, 0);
    leases.wrote(&claims[0], Wrote::As(revision + 1), now);
    assert_eq!(leases.step(now), [Action::Own(part(0))]);
}

#[test]
fn trust_counts_from_when_the_write_was_sent() {
    let start = Instant::now();
    let (mut leases, _) = joined(start);
    assert_eq!(leases.trusted_until(), Some(start + TERM / 4 * 3));
    let later = start + TERM / 6;
    let beat = writes(&leases.step(later));
    assert_eq!(beat[0].key, Key::Member("me".into()));
    let answered = later + Duration::from_secs(1);
    leases.wrote(&beat[0], Wrote::As(5), answered);
    assert_eq!(leases.trusted_until(), Some(later + TERM / 4 * 3));
    let over = later + TERM / 4 * 3;
    // The beats after it are lost.
    assert!(
        !leases
            .step(over - Duration::from_millis(1))
            .contains(&Action::End(End::Expired))
    );
    assert!(leases.step(over).contains(&Action::End(End::Expired)));
    assert!(leases.is_over());
}

#[test]
fn a_silent_member_is_declared_gone_by_its_own_key() {
    let now = Instant::now();
    let (mut leases, _) = joined(now);
    let other = Member {
        term: TERM,
        beat: 7,
        topics: topics(1),
    };
    let lease = Lease {
        owner: Some("other".into()),
        note: Note::default(),
    };
    let name = Key::Member("other".into());
    leases.saw(&name, 3, Some(Value::Member(other)), now);
    leases.saw(&Key::Part(part(0)), 2, Some(Value::Lease(lease)), now);
    let mut clock = now;
    let mut revision = 10;
    let declared = loop {
        clock += Duration::from_millis(500);
        assert!(clock < now + TERM * 2, "never declared gone");
        let all = writes(&leases.step(clock));
        if let Some(declared) = all.iter().find(|write| write.key == name) {
            break declared.clone();
        }
        for write in all {
            assert_eq!(write.key, Key::Member("me".into()), "not its to write");
            revision += 1;
            leases.wrote(&write, Wrote::As(revision), clock);
        }
    };
    assert!(clock >= now + TERM);
    assert_eq!((declared.expected, &declared.value), (3, &Value::Gone));
    // It was not silent: then it keeps what it has.
    leases.wrote(&declared, Wrote::Conflict, clock);
    assert!(leases.step(clock).contains(&Action::Read(name)));
    assert_eq!(leases.held.len(), 0);
}

#[test]
fn a_note_is_written_and_inherited() {
    let now = Instant::now();
    let (mut leases, _) = joined(now);
    let claim = writes(&leases.step(now)).remove(0);
    leases.wrote(&claim, Wrote::As(2), now);
    leases.step(now);
    let note = Note {
        home: Some(17),
        committed: None,
        unread: Vec::new(),
    };
    leases.note(&part(0), note.clone());
    assert_eq!(leases.noted(&part(0)), Some(false));
    let write = writes(&leases.step(now)).remove(0);
    assert_eq!(write.expected, 2);
    leases.wrote(&write, Wrote::As(3), now);
    leases.step(now);
    assert_eq!(leases.noted(&part(0)), Some(true));
    assert_eq!(leases.note_of(&part(0)), Some(&note));
    assert!(leases.owns(&part(0)), "it did not change hands");
}

#[test]
fn what_is_written_is_read() {
    let member = Value::Member(Member {
        term: TERM,
        beat: 9,
        topics: BTreeMap::from([("a b.c".into(), 3), ("ü=".into(), 1)]),
    });
    let lease = Value::Lease(Lease {
        owner: Some("x y".into()),
        note: Note {
            home: Some(1),
            committed: Some(u64::MAX),
            unread: vec![(3, Some(9)), (7, None)],
        },
    });
    let keys = [Key::Member("a.b".into()), Key::Part(part(3))];
    for (key, value) in keys.into_iter().zip([member, lease]) {
        let name = key.encode("my group");
        assert_eq!(Key::decode("my group", &name), Some(key.clone()), "{name}");
        assert_eq!(Key::decode("my", &name), None);
        let text = value.encode();
        assert_eq!(Value::decode(&key, text.as_bytes()), Some(value), "{text}");
        assert_eq!(Value::decode(&key, b""), Some(Value::Gone));
        assert_eq!(Value::decode(&key, b"version 2\n"), None);
    }
    assert_eq!(token("a.b c"), "a=2Eb=20c");
}
