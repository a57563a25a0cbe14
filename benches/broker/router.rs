//! Messages to one key of many, and to all, beside as many bare queues and beside one.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use pushpull::queue::{self, Consumer, Producer};
use pushpull::router::{Connection, Router};

use crate::Held;
use crate::harness::{Case, Contender};
use crate::memory::runtime;

const KEYS: usize = 100_000;
const ALL: usize = 10_000;
/// How many pushes there are between two readings of the clock.
const LAP: usize = 1024;

pub(crate) fn cases() -> Vec<Held> {
    let one = Case::new(format!("push to 1 of {KEYS} keys"), "CT", to_one());
    let all = Case::new(format!("push_all, {ALL} keys"), "CT", to_all());
    vec![
        Held {
            case: one,
            target: Some(3.0),
        },
        Held {
            // An item is a message to one key.
            case: all.items(20 * ALL as u64),
            target: None,
        },
    ]
}

/// A router and a connection of each key.
struct Routed {
    router: Router<usize, u64>,
    connections: Vec<Connection<u64>>,
}

impl Routed {
    /// Each connection has brought a message before: first allocations are over.
    async fn new(keys: usize) -> Self {
        let router = Router::builder().build();
        let mut connections: Vec<_> = (0..keys).map(|key| router.connect(key)).collect();
        for (key, connection) in connections.iter_mut().enumerate() {
            router.push(&key, 0).await.expect("open");
            connection.pull().await.expect("open");
        }
        Self {
            router,
            connections,
        }
    }
}

/// As many queues as keys; a message comes with a number here as well.
struct Queues {
    producers: Vec<Producer<(u64, u64)>>,
    consumers: Vec<Consumer<(u64, u64)>>,
}

impl Queues {
    async fn new(count: usize) -> Self {
        let (producers, consumers): (Vec<_>, Vec<_>) =
            (0..count).map(|_| queue::bounded(LAP)).unzip();
        for (producer, consumer) in producers.iter().zip(&consumers) {
            Producer::push(producer, (0, 0)).await.expect("open");
            Consumer::pull(consumer).await.expect("open");
        }
        Self {
            producers,
            consumers,
        }
    }
}

/// Calls `lap` with so many keys, picked at random, and sums up what the laps took.
async fn laps(items: u64, keys: usize, mut lap: impl AsyncFnMut(&[usize]) -> Duration) -> Duration {
    let mut left = usize::try_from(items).expect("so many fit");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ items;
    let mut took = Duration::ZERO;
    let mut picked = Vec::with_capacity(LAP);
    while left > 0 {
        picked.clear();
        picked.extend((0..left.min(LAP)).map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % keys as u64).expect("a key")
        }));
        took += lap(&picked).await;
        left -= picked.len();
    }
    took
}

fn to_one() -> Vec<Contender> {
    let routed = Mutex::new(None);
    let ours = move |items| {
        let mut routed = routed.lock().expect("no round has panicked");
        let Routed {
            router,
            connections,
        } = routed.get_or_insert_with(|| runtime().block_on(Routed::new(KEYS)));
        runtime().block_on(laps(items, KEYS, async |keys| {
            let start = Instant::now();
            for (number, key) in (0..).zip(keys) {
                let routed = router.push(key, number).await.expect("open");
                assert_eq!(routed.connections, 1, "not what is connected");
            }
            let took = start.elapsed();
            for key in keys {
                connections[*key].pull().await.expect("open");
            }
            took
        }))
    };
    vec![
        Contender::ours(ours),
        Contender::peer("1 of as many bare queues", bare(KEYS)),
        Contender::peer("a hot bare queue", bare(1)),
    ]
}

fn bare(count: usize) -> impl Fn(u64) -> Duration + Send + Sync + 'static {
    let queues = Mutex::new(None);
    move |items| {
        let mut queues = queues.lock().expect("no round has panicked");
        let queues = queues.get_or_insert_with(|| runtime().block_on(Queues::new(count)));
        runtime().block_on(laps(items, count, async |keys| {
            let start = Instant::now();
            for (number, key) in (0..).zip(keys) {
                let pushed = queues.producers[*key].push((number, number));
                pushed.await.expect("open");
            }
            let took = start.elapsed();
            for key in keys {
                queues.consumers[*key].pull().await.expect("open");
            }
            took
        }))
    }
}

fn to_all() -> Vec<Contender> {
    let routed = Mutex::new(None);
    let queues = Mutex::new(None);
    vec![
        Contender::ours(move |items| {
            let mut routed = routed.lock().expect("no round has panicked");
            let Routed {
                router,
                connections,
            } = routed.get_or_insert_with(|| runtime().block_on(Routed::new(ALL)));
            runtime().block_on(async {
                let mut took = Duration::ZERO;
                for number in 0..items.div_ceil(ALL as u64) {
                    let start = Instant::now();
                    let routed = router.push_all(number).await.expect("open");
                    took += start.elapsed();
                    assert_eq!(routed.connections, ALL, "not what is connected");
                    for connection in connections.iter_mut() {
                        connection.pull().await.expect("open");
                    }
                }
                took
            })
        }),
        Contender::peer("as many bare queues", move |items| {
            let mut queues = queues.lock().expect("no round has panicked");
            let queues = queues.get_or_insert_with(|| runtime().block_on(Queues::new(ALL)));
            runtime().block_on(async {
                let mut took = Duration::ZERO;
                for number in 0..items.div_ceil(ALL as u64) {
                    let start = Instant::now();
                    for producer in &queues.producers {
                        producer.push((number, number)).await.expect("open");
                    }
                    took += start.elapsed();
                    for consumer in &queues.consumers {
                        consumer.pull().await.expect("open");
                    }
                }
                took
            })
        }),
    ]
}
