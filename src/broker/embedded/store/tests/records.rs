//! Records go in and come out as they were.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::run::{Encoder, Run};
use super::*;
use crate::broker::Topic;

#[tokio::test(start_paused = true)]
async fn what_was_appended_is_read_back_after_reopening() {
    let (store, disk) = store(SyncPolicy::Always, 2).await;
    let full = Entry {
        record: Record::new("orders", "two apples")
            .key("alice")
            .id("17")
            .partition(1)
            .header("source", "web")
            .header("source", ""),
        time: 1_700_000_000_000_001,
    };
    append(&store, (0, 1), 0, vec![full.clone(), entry("", 5)])
        .await
        .expect("stored");
    append(&store, (0, 0), 0, entries(0..3))
        .await
        .expect("stored");
    commit(&store, "billing", (0, 1), 2).await.expect("stored");

    for reopened in [false, true] {
        let store = if reopened {
            store.close().await.expect("closed");
            let (store, recovered) = open(&disk, SyncPolicy::Always).await.expect("opens");
            let [topic] = &recovered.topics[..] else {
                panic!("one topic: {recovered:?}");
            };
            assert_eq!((topic.topic, &*topic.name), (0, "orders"));
            assert_eq!(topic.config, TopicConfig::partitions(2));
            let [zero, one] = topic.partitions[..] else {
                panic!("two partitions: {topic:?}");
            };
            assert_eq!((zero.first, zero.next, zero.records), (0, 3, 3));
            assert_eq!((one.first, one.next, one.time), (0, 2, 5));
            assert_eq!(one.bytes, full.record.size() as u64);
            let [group] = &recovered.groups[..] else {
                panic!("one position: {recovered:?}");
            };
            assert_eq!(
                (&*group.group, group.place, group.committed),
                ("billing", (0, 1), 2)
            );
            store
        } else {
            store.clone()
        };
        let read = store.read((0, 1), 0, 10, 1000).await.expect("read");
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].0, read[0].1.time), (0, full.time));
        assert_eq!(read[0].1.record, full.record);
        assert_eq!(read[1].1.record, Record::new("orders", ""));
    }
}

#[tokio::test(start_paused = true)]
async fn every_setting_of_a_topic_is_remembered() {
    use crate::broker::WhenFull;
    let (store, disk) = store(SyncPolicy::Always, 1).await;
    let config = TopicConfig::partitions(3)
        .retain_records(7)
        .retain_bytes(u64::MAX)
        .retain_for(Duration::MAX)
        .when_full(WhenFull::Reject)
        .max_record_bytes(usize::MAX);
    create(&store, 1, "naïve", config).await.expect("made");
    let other = TopicConfig::partitions(4);
    let again = create(&store, 1, "naïve", other).await;
    assert!(matches!(
        again,
        Err(Error::TopicExists { partitions: 3, .. })
    ));
    // With as many partitions it gets the new settings and keeps its records.
    append(&store, (1, 2), 0, entries(0..3))
        .await
        .expect("stored");
    let config = config.retain_records(8);
    create(&store, 1, "naïve", config).await.expect("renewed");
    store.close().await.expect("closed");
    let (_, recovered) = open(&disk, SyncPolicy::Always).await.expect("opens");
    assert_eq!(recovered.topics[1].name, "naïve");
    assert_eq!(recovered.topics[1].config, config);
    let next = recovered.topics[1]
        .partitions
        .iter()
        .map(|found| found.next);
    assert!(next.eq([0, 0, 3]));
}

#[tokio::test(start_paused = true)]
async fn reads_keep_to_their_bounds_but_give_one_record_at_least() {
    let (store, _) = store(SyncPolicy::Always, 1).await;
    for i in 0..5 {
        append(&store, (0, 0), i * 100, entries(i * 100..i * 100 + 100))
            .await
            .expect("stored");
    }
    let offsets = async |from, records, bytes| {
        let read = store.read((0, 0), from, records, bytes).await;
        let read = read.expect("read");
        read.into_iter()
            .map(|(offset, _)| offset)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        offsets(0, usize::MAX, usize::MAX).await,
        Vec::from_iter(0..500)
    );
    assert_eq!(offsets(95, 10, usize::MAX).await, Vec::from_iter(95..105));
    assert_eq!(offsets(499, 10, usize::MAX).await, [499]);
    assert_eq!(offsets(500, 10, usize::MAX).await, [0_u64; 0]);
    assert_eq!(offsets(u64::MAX, 10, usize::MAX).await, [0_u64; 0]);
    assert_eq!(offsets(120, 0, usize::MAX).await, [0_u64; 0]);
    assert_eq!(offsets(120, 10, 0).await, [120]);
    let some = offsets(98, 500, 100).await;
    assert!((2..12).contains(&some.len()), "{some:?}");

    let foreign = store.read((7, 0), 0, 1, 1).await;
    assert!(matches!(foreign, Err(Error::Damaged { .. })), "{foreign:?}");
    let beyond = append(&store, (0, 7), 0, entries(0..1)).await;
    assert!(
        matches!(beyond, Err(Error::UnknownTopic { .. })),
        "{beyond:?}"
    );
    // The refusal is that operation's alone.
    append(&store, (0, 0), 500, entries(500..501))
        .await
        .expect("stored");
    let twice = append(&store, (0, 0), 500, entries(500..501)).await;
    assert!(matches!(twice, Err(Error::Damaged { .. })), "{twice:?}");
    append(&store, (0, 0), 501, entries(501..502))
        .await
        .expect("stored");
}

#[tokio::test(start_paused = true)]
async fn trimming_moves_the_first_offset_and_never_the_next_one() {
    let (store, disk) = store(SyncPolicy::Always, 1).await;
    let at = (0, 0);
    append(&store, at, 0, entries(0..10)).await.expect("stored");
    append(&store, at, 10, entries(10..20))
        .await
        .expect("stored");
    trim(&store, at, 13).await.expect("trimmed");
    trim(&store, at, 4)
        .await
        .expect("an older bound changes nothing");
    let left = values(&store, at).await.expect("read");
    assert_eq!(left.first().map(|(offset, _)| *offset), Some(13));
    assert_eq!(left.len(), 7);
    store.close().await.expect("closed");

    // The run that is cut through is counted as far as it is retained.
    let (store, recovered) = open(&disk, SyncPolicy::Always).await.expect("opens");
    let found = recovered.topics[0].partitions[0];
    let bytes = (13..20).map(|i| format!("value {i}").len() as u64).sum();
    assert_eq!((found.first, found.next), (13, 20));
    assert_eq!((found.records, found.bytes), (7, bytes));

    // Retention may take everything, and even what has only just come.
    ask(&store, |done| append_op(at, 20, entries(20..30), 28, done))
        .await
        .expect("stored");
    assert_eq!(values(&store, at).await.expect("read").len(), 2);
    trim(&store, at, u64::MAX).await.expect("trimmed");
    assert_eq!(values(&store, at).await.expect("read"), []);
    store.close().await.expect("closed");
    let (store, recovered) = open(&disk, SyncPolicy::Always).await.expect("opens");
    let found = recovered.topics[0].partitions[0];
    assert_eq!((found.first, found.next), (30, 30));
    assert_eq!((found.records, found.bytes, found.time), (0, 0, 29));
    append(&store, at, 30, entries(30..31))
        .await
        .expect("stored");
    assert_eq!(values(&store, at).await.expect("read").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn offsets_may_have_gaps() {
    let (store, disk) = store(SyncPolicy::Always, 1).await;
    let at = (0, 0);
    append(&store, at, 5, entries(5..7)).await.expect("stored");
    append(&store, at, 100, entries(100..102))
        .await
        .expect("stored");
    store.close().await.expect("closed");
    let (store, _) = open(&disk, SyncPolicy::Always).await.expect("opens");
    let offsets = |read: Vec<(u64, Entry)>| Vec::from_iter(read.into_iter().map(|(at, _)| at));
    let read = store.read(at, 0, 10, 1000).await.expect("read");
    assert_eq!(offsets(read), [5, 6, 100, 101]);
    let read = store.read(at, 50, 10, 1000).await.expect("read");
    assert_eq!(offsets(read), [100, 101]);
    assert_eq!(store.find_time(at, 50).await.expect("read"), Some(100));
    trim(&store, at, 50).await.expect("trimmed");
    assert_eq!(values(&store, at).await.expect("read").len(), 2);
    trim(&store, at, 101).await.expect("trimmed");
    assert_eq!(values(&store, at).await.expect("read").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_time_leads_to_the_first_record_taken_then_or_later() {
    let (store, _) = store(SyncPolicy::Always, 1).await;
    let at = (0, 0);
    assert_eq!(store.find_time(at, 0).await.expect("read"), None);
    // Times go up by ten, three times each, over runs of different lengths.
    let mut base = 0;
    for len in [1, 7, 30, 2, 90, 1] {
        let run = (base..base + len).map(|i| entry("v", i / 3 * 10)).collect();
        append(&store, at, base, run).await.expect("stored");
        base += len;
    }
    trim(&store, at, 4).await.expect("trimmed");
    for time in 0..460 {
        let expected = (4..base).find(|i| i / 3 * 10 >= time);
        let found = store.find_time(at, time).await.expect("read");
        assert_eq!(found, expected, "time {time}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_and_large_records_become_rows_of_bounded_length() {
    let (store, disk) = store(SyncPolicy::Always, 1).await;
    let at = (0, 0);
    let sizes = [
        100_usize,
        300_000,
        0,
        262_144 - 256,
        5,
        1_000_000,
        131_072,
        131_072,
    ];
    let large = |(i, len): (usize, &usize)| entry(vec![i as u8; *len], i as u64);
    append(&store, at, 0, sizes.iter().enumerate().map(large).collect())
        .await
        .expect("stored");
    append(&store, at, 8, entries(8..40_000))
        .await
        .expect("stored");
    store.close().await.expect("closed");
    let (store, _) = open(&disk, SyncPolicy::Always).await.expect("opens");
    let read = values(&store, at).await.expect("read");
    assert_eq!(read.len(), 40_000);
    for (i, len) in sizes.iter().enumerate() {
        assert_eq!(read[i].1, vec![i as u8; *len], "record {i}");
    }
    for (offset, value) in &read[8..] {
        assert_eq!(value, &format!("value {offset}"));
    }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let text = "\\PC{0,12}";
    let bytes = || vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    (
        (option::of(bytes()), bytes(), option::of(text)),
        vec((text, bytes()), 0..4),
        (option::of(Just(3_u32)), any::<u64>()),
    )
        .prop_map(|((key, value, id), headers, (partition, time))| {
            let mut record = Record::new("orders", value);
            record.key = key;
            record.id = id;
            record.headers = headers;
            record.partition = partition;
            Entry { record, time }
        })
}

proptest! {
    #[test]
    fn a_run_gives_back_what_it_took(
        entries in vec(any_entry(), 1..40),
        base in 0..u64::MAX / 2,
        place in any::<(u32, u32)>(),
    ) {
        let mut encoder = Encoder::new(base, base / 2);
        for entry in &entries {
            prop_assert!(encoder.push(entry));
        }
        let place = (place.0, 3);
        let (row, head) = encoder.finish(place);
        let run = Run::open(place, base, &row).map_err(TestCaseError::fail)?;
        prop_assert_eq!(run.head, head);
        prop_assert_eq!(head.count as usize, entries.len());
        let size: usize = entries.iter().map(|entry| entry.record.size()).sum();
        prop_assert_eq!(head.size, size as u64);
        for (record, entry) in run.records().zip(&entries) {
            let (_, bytes) = record.map_err(TestCaseError::fail)?;
            let decoded = run.decode(&Bytes::copy_from_slice(bytes), &Topic::from("orders"), 3);
            let decoded = decoded.ok_or_else(|| TestCaseError::fail("undecodable"))?;
            prop_assert_eq!(&decoded.record, &entry.record);
            prop_assert_eq!(decoded.time, entry.time);
            prop_assert_eq!(run.time(bytes), Some(entry.time));
        }
    }

    /// No bytes, however put together, are taken for a run that was written, nor do they panic.
    #[test]
    fn a_run_that_was_touched_is_refused(
        entries in vec(any_entry(), 1..4),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut encoder = Encoder::new(7, 7);
        for entry in &entries {
            encoder.push(entry);
        }
        let (row, _) = encoder.finish((1, 2));
        let mut flipped = row.clone();
        flipped[at.index(row.len())] ^= 1_u8 << bit;
        prop_assert!(Run::open((1, 2), 7, &flipped).is_err());
        prop_assert!(Run::open((1, 2), 7, &row[..cut.index(row.len())]).is_err());
        prop_assert!(Run::open((1, 2), 8, &row).is_err());
        prop_assert!(Run::open((2, 2), 7, &row).is_err());
    }
}
