//! Random calls against a plain list of messages.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Call {
    Push(usize),
    Connect(usize),
    ConnectFrom(usize, u64),
    Pull(usize),
    Drop(usize),
    Disconnect(usize),
    Sync(usize, u64, usize),
}

fn call() -> impl Strategy<Value = Call> {
    let key = 0..KEYS.len();
    let after = prop_oneof![0..12_u64, Just(u64::MAX)];
    prop_oneof![
        8 => key.clone().prop_map(Call::Push),
        1 => key.clone().prop_map(Call::Connect),
        3 => (key.clone(), after.clone()).prop_map(|(k, a)| Call::ConnectFrom(k, a)),
        6 => (0..8_usize).prop_map(Call::Pull),
        1 => (0..8_usize).prop_map(Call::Drop),
        1 => key.clone().prop_map(Call::Disconnect),
        1 => (key, after, 0..5_usize).prop_map(|(k, a, n)| Call::Sync(k, a, n)),
    ]
}

const KEYS: [Key; 2] = ["ann", "bob"];
const RETAINED: usize = 5;

struct Reader {
    key: usize,
    connection: Connection<u32>,
    /// The last number it had, or asked to go on from; `None`: what comes from now on.
    last: u64,
    missed: u64,
    /// It was disconnected after this number.
    end: Option<u64>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_connection_sees_a_run(calls in prop::collection::vec(call(), 1..80), mailbox in any::<bool>()) {
        let mut builder = Router::builder().connection_queue(bounded(1_000));
        if mailbox {
            builder = builder.mailbox(Memory::new().retain(RETAINED));
        }
        let router = builder.build();
        let mut last = [0_u64; 2];
        let mut readers: Vec<Reader> = Vec::new();
        for (n, call) in calls.into_iter().enumerate() {
            match call {
                Call::Push(key) => {
                    let online = readers.iter().filter(|r| r.key == key && r.end.is_none()).count();
                    let routed = now(router.push(&KEYS[key], n as u32)).unwrap();
                    last[key] += 1;
                    prop_assert_eq!(routed, Routed { connections: online, seq: last[key], stored: mailbox });
                }
                Call::Connect(key) => {
                    let connection = router.connect(KEYS[key]);
                    readers.push(Reader { key, connection, last: last[key], missed: 0, end: None });
                }
                Call::ConnectFrom(key, after) => {
                    let mut connection = router.connect_from(KEYS[key], after);
                    // One that is ahead is live from its first poll on.
                    let ahead = after >= last[key];
                    let mut missed = 0;
                    if ahead {
                        prop_assert_eq!(rest(&mut connection), (vec![], false));
                    } else if !mailbox {
                        missed = last[key] - after;
                    }
                    let last = if ahead || !mailbox { last[key] } else { after };
                    readers.push(Reader { key, connection, last, missed, end: None });
                }
                Call::Pull(at) => {
                    let Some(reader) = readers.get_mut(at) else { continue };
                    match poll(&mut Box::pin(reader.connection.pull())) {
                        Poll::Ready(Some((seq, _))) => {
                            prop_assert!(seq > reader.last, "{} after {}", seq, reader.last);
                            prop_assert!(seq <= reader.end.unwrap_or(last[reader.key]));
                            let gap = seq - reader.last - 1;
                            prop_assert!(gap == 0 || mailbox && last[reader.key] - seq < RETAINED as u64);
                            reader.missed += gap;
                            reader.last = seq;
                        }
                        Poll::Ready(None) => {
                            // All there was, or it is not retained any more.
                            let end = reader.end;
                            prop_assert!(end.is_some_and(|end| reader.last == end || mailbox && last[reader.key] - end >= RETAINED as u64 || end == 0));
                        }
                        Poll::Pending => {
                            prop_assert_eq!((reader.last, reader.end), (last[reader.key], None));
                        }
                    }
                    if reader.end.is_none() {
                        prop_assert_eq!(reader.connection.missed(), reader.missed);
                    }
                }
                Call::Drop(at) => {
                    if at < readers.len() {
                        readers.swap_remove(at);
                    }
                }
                Call::Disconnect(key) => {
                    let mut gone = 0;
                    for reader in readers.iter_mut().filter(|r| r.key == key && r.end.is_none()) {
                        reader.end = Some(last[key]);
                        gone += 1;
                    }
                    prop_assert_eq!(router.disconnect(&KEYS[key]), gone);
                }
                Call::Sync(key, after, limit) => {
                    let retained = if mailbox { RETAINED as u64 } else { 0 };
                    let first = last[key].saturating_sub(retained).max(after);
                    let expected: Vec<u64> = (first..last[key]).map(|n| n + 1).take(limit).collect();
                    let read = now(router.sync(&KEYS[key], after, limit)).unwrap();
                    let read: Vec<u64> = read.into_iter().map(|(seq, _)| seq).collect();
                    prop_assert_eq!(read, expected);
                }
            }
            let living = readers.iter().filter(|r| r.end.is_none());
            for (key, name) in KEYS.iter().enumerate() {
                let online = living.clone().filter(|r| r.key == key).count();
                prop_assert_eq!(router.connections(name), online);
            }
            let stats = router.stats();
            prop_assert_eq!(stats.connections, living.count());
            prop_assert_eq!((stats.pushed, stats.dropped), (last.iter().sum::<u64>(), 0));
        }
    }
}
