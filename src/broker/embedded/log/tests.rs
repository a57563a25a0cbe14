//! The bounds, one by one, and everything against a plain list.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// guarantee: K8
#[test]
fn a_bound_in_records_drops_the_oldest() {
    let mut log = Log::in_memory(&TopicConfig::partitions(1).retain_records(100));
    let mut gone = Gone::default();
    assert!(push_run(&mut log, 60, 1, 1, None, &mut gone));
    assert!(push_run(&mut log, 60, 1, 2, None, &mut gone));
    assert_eq!((log.first(), log.next(), log.bytes()), (20, 120, 100));
    assert!(push(&mut log, 7, 3, None, &mut gone));
    assert_eq!((log.first(), log.next(), log.bytes()), (21, 121, 106));
    assert!(log.at(20).is_none());
    let (oldest, time) = log.at(21).unwrap();
    assert_eq!((number(oldest), time), (21, 1));
    assert_eq!(number(log.at(120).unwrap().0), 120);
    assert!(log.at(121).is_none());
    // More than there may ever be is for one by one.
    assert!(!push_run(&mut log, 101, 1, 4, None, &mut gone));
    assert_eq!((log.first(), log.next()), (21, 121));
    drop(log);
    assert_eq!(gone.numbers(), (0..21).collect::<Vec<_>>());
}

/// guarantee: K8
#[test]
fn a_bound_in_bytes_drops_no_more_than_it_must() {
    let mut log = Log::in_memory(&TopicConfig::partitions(1).retain_bytes(1000));
    let mut gone = Gone::default();
    assert!(push_run(&mut log, 50, 10, 1, None, &mut gone));
    assert!(push_run(&mut log, 50, 10, 1, None, &mut gone));
    assert_eq!((log.first(), log.bytes()), (0, 1000));
    assert!(push_run(&mut log, 40, 11, 2, None, &mut gone));
    assert_eq!((log.first(), log.bytes()), (44, 1000));
    assert!(push(&mut log, 1, 2, None, &mut gone));
    assert_eq!((log.first(), log.bytes()), (45, 991));
    assert!(push(&mut log, 9, 2, None, &mut gone));
    assert_eq!((log.first(), log.bytes()), (45, 1000));
    assert!(!push_run(&mut log, 91, 11, 2, None, &mut gone));
}

/// guarantee: K8
#[test]
fn what_is_empty_goes_with_nobody() {
    let mut log = Log::in_memory(&TopicConfig::partitions(1).retain_bytes(40));
    let mut gone = Gone::default();
    let mut mixed: VecDeque<_> = (0..40).map(|_| Record::new("t", vec![0; 1])).collect();
    mixed[39] = Record::new("t", "");
    let run = run_of(&mixed);
    assert!(log.make_room_for(&run, None, &mut gone));
    log.append_run(mixed, &run, 1);
    assert!(push(&mut log, 40, 1, None, &mut gone));
    // The one that is empty need not go.
    assert_eq!((log.first(), log.bytes()), (39, 40));
}

/// guarantee: K8
#[test]
fn a_bound_in_age_goes_by_the_record() {
    let config = TopicConfig::partitions(1).retain_for(Duration::from_micros(10));
    let mut log = Log::in_memory(&config);
    let mut gone = Gone::default();
    push(&mut log, 1, 5, None, &mut gone);
    push(&mut log, 1, 6, None, &mut gone);
    push_run(&mut log, 40, 1, 7, None, &mut gone);
    push(&mut log, 1, 9, None, &mut gone);
    log.expire(15, &mut gone);
    assert_eq!(log.first(), 0, "just as old as they may be");
    log.expire(16, &mut gone);
    assert_eq!(log.first(), 1);
    log.expire(17, &mut gone);
    assert_eq!(log.first(), 2);
    log.expire(18, &mut gone);
    assert_eq!((log.first(), log.bytes()), (42, 1));
    log.expire(u64::MAX, &mut gone);
    assert_eq!((log.first(), log.next(), log.bytes()), (43, 43, 0));
    // Numbers go on.
    push_run(&mut log, 40, 1, 30, None, &mut gone);
    assert_eq!((log.first(), log.next()), (43, 83));
    assert_eq!(log.at(43).unwrap().1, 30);
}

/// guarantee: K8
#[test]
fn where_nothing_is_dropped_only_what_is_acknowledged_goes() {
    let config = TopicConfig::partitions(1)
        .retain_records(100)
        .when_full(WhenFull::Wait);
    let mut log = Log::in_memory(&config);
    let mut gone = Gone::default();
    assert!(push_run(&mut log, 100, 1, 1, None, &mut gone));
    assert!(!push(&mut log, 1, 1, None, &mut gone), "nobody has read");
    assert!(!push(&mut log, 1, 1, Some(0), &mut gone));
    assert!(push(&mut log, 1, 1, Some(1), &mut gone));
    assert_eq!((log.first(), log.next()), (1, 101));
    assert!(
        !push_run(&mut log, 50, 1, 1, Some(50), &mut gone),
        "one too many"
    );
    assert!(push_run(&mut log, 50, 1, 1, Some(51), &mut gone));
    assert_eq!((log.first(), log.next()), (51, 151));
    // All of it may go, but no more than has to does.
    assert!(push_run(&mut log, 40, 1, 1, Some(151), &mut gone));
    assert_eq!((log.first(), log.next()), (91, 191));
}

#[test]
fn times_are_found_and_do_not_go_back() {
    let mut log = Log::in_memory(&TopicConfig::partitions(1));
    let mut gone = Gone::default();
    assert_eq!(log.find_time(0), (0, false));
    push_run(&mut log, 40, 1, 10, None, &mut gone);
    push(&mut log, 1, 20, None, &mut gone);
    push(&mut log, 1, 15, None, &mut gone);
    push_run(&mut log, 40, 1, 30, None, &mut gone);
    assert_eq!(log.find_time(0), (0, false));
    assert_eq!(log.find_time(10), (0, false));
    assert_eq!(log.find_time(11), (40, false));
    assert_eq!(log.find_time(20), (40, false));
    assert_eq!(log.find_time(21), (42, false));
    assert_eq!(log.find_time(30), (42, false));
    assert_eq!(log.find_time(31), (82, false));
    assert_eq!(log.at(41).unwrap().1, 20);
}

#[test]
fn many_keep_the_buffer_they_came_in() {
    let mut log = Log::in_memory(&TopicConfig::partitions(1).retain_records(64));
    let mut gone = Gone::default();
    let records = records(0, 64, 1);
    let run = run_of(&records);
    let at = records.as_slices().0.as_ptr();
    log.append_run(records, &run, 1);
    assert!(std::ptr::eq(log.at(0).unwrap().0, at));
    push_run(&mut log, 64, 1, 1, None, &mut gone);
    assert!(std::ptr::eq(&raw const gone.many[0][0], at));
    // Whoever pushes next may have it.
    let buffer = gone.into_buffer().unwrap();
    assert!(buffer.is_empty() && buffer.capacity() >= 64);
}

#[test]
fn singles_share_a_buffer_that_does_not_grow() {
    let mut log = Log::in_memory(&TopicConfig::partitions(1).retain_records(4));
    for time in 0..1000 {
        push(&mut log, 1, time, None, &mut Gone::default());
        assert!(log.tail.capacity() <= 8);
    }
    // Nor does it go with the only record in it.
    let mut log = Log::in_memory(&TopicConfig::partitions(1).retain_records(1));
    push(&mut log, 1, 0, None, &mut Gone::default());
    assert!(log.make_room(1, None, &mut Gone::default()).is_ok());
    assert_eq!(log.first(), log.next());
    assert!(log.tail.capacity() > 0);
}

fn run_of(records: &VecDeque<Record>) -> RunOf {
    let mut run = RunOf::default();
    records.iter().for_each(|record| run.add(record));
    run
}

/// Records that know their numbers, of this size each.
fn records(from: u64, count: usize, size: usize) -> VecDeque<Record> {
    (from..)
        .take(count)
        .map(|number| Record::new("t", vec![0; size]).partition(u32::try_from(number).unwrap()))
        .collect()
}

fn number(record: &Record) -> u64 {
    u64::from(record.partition.unwrap())
}

fn push(log: &mut Log, size: usize, time: u64, floor: Option<u64>, gone: &mut Gone) -> bool {
    let there_is_room = log.make_room(size as u64, floor, gone).is_ok();
    if there_is_room {
        let mut records = records(log.next(), 1, size);
        let time = log.not_before(time);
        log.append(records.pop_front().unwrap(), time);
    }
    there_is_room
}

/// All of them, or none.
fn push_run(
    log: &mut Log,
    count: usize,
    size: usize,
    time: u64,
    floor: Option<u64>,
    gone: &mut Gone,
) -> bool {
    let records = records(log.next(), count, size);
    let run = run_of(&records);
    let there_is_room = log.make_room_for(&run, floor, gone);
    if there_is_room {
        log.append_run(records, &run, time);
    }
    there_is_room
}

/// What a log does, in the plainest way.
struct Model {
    /// Number, size and time.
    kept: Vec<(u64, u64, u64)>,
    next: u64,
    gone: Vec<u64>,
    config: TopicConfig,
}

impl Model {
    fn bytes(&self) -> u64 {
        self.kept.iter().map(|(_, size, _)| size).sum()
    }

    fn first(&self) -> u64 {
        self.kept.first().map_or(self.next, |(number, ..)| *number)
    }

    fn push(&mut self, size: u64, time: u64, floor: Option<u64>) -> bool {
        let max_records = self.config.max_records.unwrap_or(u64::MAX);
        let max_bytes = self.config.max_bytes.unwrap_or(u64::MAX);
        while self.kept.len() as u64 >= max_records || self.bytes() + size > max_bytes {
            let drops = self.config.when_full == WhenFull::DropOldest;
            let acknowledged = floor.is_some_and(|floor| self.first() < floor);
            if self.kept.is_empty() || !drops && !acknowledged {
                return false;
            }
            self.gone.push(self.kept.remove(0).0);
        }
        self.kept.push((self.next, size, time));
        self.next += 1;
        true
    }

    fn expire(&mut self, now: u64) {
        let age = u64::try_from(self.config.max_age.unwrap().as_micros()).unwrap();
        let since = now.saturating_sub(age);
        while self.kept.first().is_some_and(|(.., time)| *time < since) {
            self.gone.push(self.kept.remove(0).0);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    /// Sizes.
    Many(Vec<usize>),
    Pass(u64),
    /// So far from the oldest record.
    Acknowledge(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..20).prop_map(Step::Push),
        3 => proptest::collection::vec(0usize..10, 2..90).prop_map(Step::Many),
        1 => (1u64..30).prop_map(Step::Pass),
        2 => (0u64..80).prop_map(Step::Acknowledge),
    ]
}

fn config() -> impl Strategy<Value = TopicConfig> {
    let bounds = (
        proptest::option::of(1u64..150),
        proptest::option::of(20u64..600),
        5u64..100,
    );
    (bounds, any::<bool>()).prop_map(|((records, bytes, age), drops)| {
        let mut config = TopicConfig::partitions(1).retain_for(Duration::from_micros(age));
        config.max_records = records;
        config.max_bytes = bytes;
        config.when_full(if drops {
            WhenFull::DropOldest
        } else {
            WhenFull::Reject
        })
    })
}

proptest! {
    /// guarantee: K2, K8
    #[test]
    fn a_log_does_what_a_list_does(config in config(), steps in proptest::collection::vec(step(), 1..60)) {
        let mut log = Log::in_memory(&config);
        let mut gone = Gone::default();
        let mut model = Model { kept: Vec::new(), next: 0, gone: Vec::new(), config };
        let (mut now, mut floor) = (0, None);
        for step in steps {
            let sizes = match step {
                Step::Push(size) => vec![size],
                Step::Many(sizes) => sizes,
                Step::Pass(time) => {
                    now += time;
                    continue;
                }
                Step::Acknowledge(by) => {
                    floor = floor.max(Some((log.first() + by).min(log.next())));
                    continue;
                }
            };
            log.expire(now, &mut gone);
            model.expire(now);
            // As a partition does it: all at once if that works, else as many as fit.
            let mut pushed = 0;
            let mut run: VecDeque<_> = (log.next()..)
                .zip(&sizes)
                .map(|(number, &size)| records(number, 1, size).remove(0).unwrap())
                .collect();
            let of = run_of(&run);
            if run.len() > 1 && log.make_room_for(&of, floor, &mut gone) {
                log.append_run(std::mem::take(&mut run), &of, now);
                pushed = sizes.len();
            }
            for record in run {
                if log.make_room(record.size() as u64, floor, &mut gone).is_err() {
                    break;
                }
                log.append(record, now);
                pushed += 1;
            }
            let expected = sizes.iter().take_while(|&&size| model.push(size as u64, now, floor));
            prop_assert_eq!(pushed, expected.count());

            prop_assert_eq!(log.first(), model.first());
            prop_assert_eq!(log.next(), model.next);
            prop_assert_eq!(log.bytes(), model.bytes());
            prop_assert_eq!(gone.numbers(), model.gone.clone());
            for &(offset, size, time) in &model.kept {
                let (record, taken) = log.at(offset).unwrap();
                prop_assert_eq!((number(record), record.size() as u64, taken), (offset, size, time));
            }
            prop_assert!(log.at(model.next).is_none());
            prop_assert!(model.first() == 0 || log.at(model.first() - 1).is_none());
            for time in now.saturating_sub(100)..now + 2 {
                let later = model.kept.iter().find(|(.., taken)| *taken >= time);
                let found = later.map_or(model.next, |(number, ..)| *number);
                prop_assert_eq!(log.find_time(time), (found, false));
            }
            prop_assert_eq!(read_in_parts(&log), model.kept.clone());
        }
    }
}

/// Number, size and time of everything, as a reader finds it.
fn read_in_parts(log: &Log) -> Vec<(u64, u64, u64)> {
    let mut read = Vec::new();
    let mut offset = log.first();
    while let Some(part) = log.part(offset, 7) {
        let times: Vec<u64> = match part.times {
            PartTimes::Together(time) => vec![time; part.records.len()],
            PartTimes::Each(times) => times.copied().collect(),
        };
        assert_eq!(times.len(), part.records.len());
        offset += times.len() as u64;
        let records = part.records.zip(times);
        read.extend(records.map(|(it, time)| (number(it), it.size() as u64, time)));
    }
    assert_eq!(offset, log.next());
    read
}

impl Gone {
    fn numbers(&self) -> Vec<u64> {
        let mut all: Vec<_> = self
            .one_by_one
            .iter()
            .chain(self.many.iter().flatten())
            .map(number)
            .collect();
        all.sort_unstable();
        all
    }
}
