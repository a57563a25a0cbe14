//! On threads: connections that come, go on from random numbers, and go, while pushes race.

use proptest::prelude::RngCore;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::*;

const MESSAGES: u32 = 3_000;
const PUSHERS: u32 = 3;

fn rng(seed: u8) -> TestRng {
    TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32])
}

/// Reads until number `end`, and holds that each number follows the one before.
async fn follow(mut connection: Connection<u32>, mut last: Option<u64>, end: u64) -> usize {
    let mut read = 0;
    while last != Some(end) {
        let Some((seq, _)) = connection.pull().await else {
            panic!("it ended at {last:?}: {:?}", connection.error());
        };
        if let Some(last) = last {
            assert_eq!(seq, last + 1, "a gap, or one twice");
        }
        last = Some(seq);
        read += 1;
    }
    assert_eq!(connection.missed(), 0);
    read
}

async fn race(router: Router<Key, u32>, seed: u8) {
    let end = u64::from(MESSAGES);
    let mut random = rng(seed);
    let mut readers = vec![
        tokio::spawn(follow(router.connect_from("ann", 0), Some(0), end)),
        tokio::spawn(follow(router.connect("ann"), None, end)),
    ];
    let pushers: Vec<_> = (0..PUSHERS)
        .map(|pusher| {
            let router = router.clone();
            tokio::spawn(async move {
                for n in 0..MESSAGES / PUSHERS {
                    let routed = router.push(&"ann", pusher * MESSAGES + n).await.unwrap();
                    assert!(routed.stored);
                    if n % 64 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    let mut came = 0;
    while came < 60 && !pushers.iter().all(tokio::task::JoinHandle::is_finished) {
        // One more each time the pushes have gone a bit on.
        let pushed = router.stats().pushed;
        if pushed < u64::from(MESSAGES / 60 * came) {
            tokio::task::yield_now().await;
            continue;
        }
        came += 1;
        let after = random.next_u64() % (pushed + 1);
        let connection = router.connect_from("ann", after);
        if came % 2 == 0 {
            // One that goes in the middle of it.
            tokio::spawn(async move {
                let mut connection = connection;
                for n in 1..50 {
                    assert_eq!(connection.pull().await.map(|(seq, _)| seq), Some(after + n));
                    if after + n == u64::from(MESSAGES) {
                        break;
                    }
                }
            });
        } else {
            readers.push(tokio::spawn(follow(connection, Some(after), end)));
        }
    }
    for pusher in pushers {
        pusher.await.unwrap();
    }
    for reader in readers {
        reader.await.unwrap();
    }
    let stats = router.stats();
    assert_eq!((stats.pushed, stats.stored, stats.dropped), (end, end, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_comes_while_pushes_race_sees_no_gap() {
    for seed in 0..3 {
        let capacity = [1, 4, 1_024][usize::from(seed)];
        let router = Router::builder()
            .connection_queue(bounded(capacity))
            .mailbox(Memory::new().retain(usize::MAX))
            .build();
        race(router, seed).await;
    }
}

/// A mailbox that stores, and gives others a chance before it says so.
struct Lazy(Memory<Key, u32>);

impl Mailbox<Key, u32> for Lazy {
    async fn append(&self, key: &Key, item: &u32) -> Result<u64, MailboxError> {
        if item % 3 == 0 {
            tokio::task::yield_now().await;
        }
        let seq = self.0.append(key, item).await;
        tokio::task::yield_now().await;
        seq
    }

    async fn after(
        &self,
        key: &Key,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, u32)>, MailboxError> {
        self.0.after(key, after, limit.min(7)).await
    }

    async fn last(&self, key: &Key) -> Result<u64, MailboxError> {
        let last = self.0.last(key).await;
        tokio::task::yield_now().await;
        last
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nor_where_the_mailbox_takes_its_time() {
    let mailbox = Lazy(Memory::new().retain(usize::MAX));
    let router = Router::builder()
        .connection_queue(bounded(2))
        .mailbox(mailbox)
        .build();
    race(router, 9).await;
}

/// Pushes that are cancelled at random: what is seen has no gap, and is what is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nor_where_pushes_are_cancelled() {
    let mailbox = Arc::new(Lazy(Memory::new().retain(usize::MAX)));
    let router = Router::builder()
        .connection_queue(bounded(2))
        .mailbox(mailbox.clone())
        .build();
    let live = tokio::spawn(futures::StreamExt::collect::<Vec<_>>(
        router.connect_from("ann", 0),
    ));
    let pushers: Vec<_> = (0..3)
        .map(|pusher: u32| {
            let router = router.clone();
            tokio::spawn(async move {
                let mut random = rng(pusher as u8);
                for n in 0..1_000 {
                    if n % 10 == 0 {
                        router.push(&"ann", pusher * 1_000 + n).await.unwrap();
                        continue;
                    }
                    let mut push = Box::pin(router.push(&"ann", pusher * 1_000 + n));
                    let mut polls = random.next_u32() % 8;
                    std::future::poll_fn(|cx| {
                        if polls == 0 {
                            return Poll::Ready(());
                        }
                        polls -= 1;
                        cx.waker().wake_by_ref();
                        push.as_mut().poll(cx).map(|routed| {
                            routed.unwrap();
                        })
                    })
                    .await;
                }
            })
        })
        .collect();
    for pusher in pushers {
        pusher.await.unwrap();
    }
    drop(router);
    let got = live.await.unwrap();
    let stored = mailbox.0.after(&"ann", 0, usize::MAX).await.unwrap();
    assert_eq!(got, stored);
    assert!(got.len() >= 300);
}

/// Keys without a mailbox whose only connection comes and goes: numbers grow, none is given out twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn numbers_of_keys_that_come_and_go() {
    let router = Router::<u32, u32>::builder()
        .connection_queue(bounded(1_024))
        .build();
    let pushers: Vec<_> = (0..2)
        .map(|_| {
            let router = router.clone();
            tokio::spawn(async move {
                let mut seqs = Vec::new();
                for n in 0..20_000 {
                    seqs.push((n % 3, router.push(&(n % 3), n).await.unwrap().seq));
                }
                seqs
            })
        })
        .collect();
    while !pushers.iter().all(tokio::task::JoinHandle::is_finished) {
        for key in 0..3 {
            let mut connections = [router.connect(key), router.connect(key)];
            tokio::task::yield_now().await;
            for connection in &mut connections {
                let got = seqs(connection);
                assert!(got.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{got:?}");
                assert_eq!(connection.missed(), 0);
            }
            if key == 1 {
                router.disconnect(&key);
            }
        }
    }
    let mut all = Vec::new();
    for pusher in pushers {
        all.extend(pusher.await.unwrap());
    }
    for key in 0..3 {
        let mut seqs: Vec<u64> = all
            .iter()
            .filter(|(k, _)| *k == key)
            .map(|(_, s)| *s)
            .collect();
        seqs.sort_unstable();
        let expected: Vec<u64> = (1..=seqs.len() as u64).collect();
        assert_eq!(seqs, expected);
    }
    let stats = router.stats();
    assert_eq!(
        (stats.pushed, stats.connections, stats.online),
        (40_000, 0, 0)
    );
}
