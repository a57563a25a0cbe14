//! Notifications: users subscribe to the networks that report earthquakes, on as many devices as they like. Who is out of
//! reach is told by other means, and catches up later from the number that was seen last.
//!
//! `cargo run --example notifications`

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pushpull::router::{Connection, mailbox::Memory};
use pushpull::{Overflow, Router, queue};

const FEED: &str = include_str!("data/usgs-earthquakes-2021-06-excerpt.csv");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Who wants to hear of what.
    let mut subscriptions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (user, network) in [
        ("ann", "ci"),
        ("ann", "nc"),
        ("bob", "ak"),
        ("cyd", "ak"),
        ("cyd", "us"),
    ] {
        subscriptions.entry(network).or_default().insert(user);
    }

    let webhooks = Arc::new(AtomicU64::new(0));
    let called = Arc::clone(&webhooks);
    let router = Router::builder()
        // A device that does not keep up loses the newest, and is told how many.
        .connection_queue(
            queue::builder()
                .capacity(500)
                .overflow(Overflow::DropNewest),
        )
        .mailbox(Memory::new().retain(1_000))
        .on_offline(move |_user: &&str, _news: &Arc<str>| {
            called.fetch_add(1, Ordering::Relaxed); // a push service, a mail
        })
        .build();

    let phone = router.connect("ann");
    let laptop = router.connect("ann");
    let mut tablet = router.connect("cyd");
    // bob has no connection at all.

    let mut reader = csv::Reader::from_reader(FEED.as_bytes());
    let mut told = BTreeMap::<&str, u64>::new();
    for row in reader.records() {
        let row = row?;
        let Some(users) = subscriptions.get(&row[10]) else {
            continue;
        };
        let news: Arc<str> = format!("M {} {}", &row[4], &row[13]).into();
        router.push_many(users.iter().copied(), news).await?;
        for user in users {
            *told.entry(user).or_default() += 1;
        }
    }
    println!(
        "told: {told:?}; webhooks called for bob: {}",
        webhooks.load(Ordering::Relaxed)
    );
    assert_eq!(webhooks.load(Ordering::Relaxed), told["bob"]);

    // Both of ann's devices were told the same: some of it was too much for them, and they know how much.
    for device in [phone, laptop] {
        let (seen, missed) = count(device).await;
        println!("one of ann's devices: {seen} seen, {missed} missed");
        assert_eq!(seen + missed, told["ann"]);
    }

    // bob comes back and gets all of it, in order, from the mailbox; what comes now follows without a gap.
    let mut bob = router.connect_from("bob", 0);
    router.push(&"bob", "welcome back".into()).await?;
    for number in 1..=told["bob"] {
        let (seq, _news) = bob.pull().await.ok_or("the connection ended")?;
        assert_eq!(seq, number);
    }
    let (seq, news) = bob.pull().await.ok_or("the connection ended")?;
    println!("bob has caught up: number {seq} is \"{news}\"");
    assert_eq!((seq, &*news), (told["bob"] + 1, "welcome back"));

    // cyd's tablet reads a little, loses its connection, and goes on where it was.
    let (seq, _news) = tablet.pull().await.ok_or("the connection ended")?;
    drop(tablet);
    assert!(!router.is_online(&"cyd"));
    let page = router.sync(&"cyd", seq, 3).await?;
    assert_eq!(
        page.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        [2, 3, 4]
    );
    println!("cyd's next page: {:?}", page.last());
    Ok(())
}

/// Reads what a device has been sent, and says how much it missed.
async fn count(mut device: Connection<Arc<str>>) -> (u64, u64) {
    let waiting = device.stats().queued as u64;
    let mut seen = 0;
    while seen < waiting {
        device.pull().await;
        seen += 1;
    }
    (seen, device.stats().dropped)
}
