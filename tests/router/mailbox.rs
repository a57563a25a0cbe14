//! The mailbox in memory, and mailboxes that fail.

use std::time::Duration;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn append(mailbox: &Memory<Key, u32>, key: Key, item: u32) -> u64 {
    now(mailbox.append(&key, &item)).unwrap()
}

fn after(mailbox: &Memory<Key, u32>, key: Key, after: u64, limit: usize) -> Vec<(u64, u32)> {
    now(mailbox.after(&key, after, limit)).unwrap()
}

#[test]
fn a_thousand_unless_told_otherwise() {
    for (mailbox, kept) in [
        (Memory::new(), 1_000),
        (Memory::default().retain(1), 1),
        (Memory::new().retain(7), 7),
        (Memory::new().retain(usize::MAX), 2_000),
    ] {
        for n in 0..2_000 {
            assert_eq!(append(&mailbox, "ann", n), u64::from(n) + 1);
        }
        let items = after(&mailbox, "ann", 0, usize::MAX);
        assert_eq!((items.len(), items.last()), (kept, Some(&(2_000, 1_999))));
        assert_eq!(items[0].0, 2_001 - kept as u64);
        assert_eq!(now(mailbox.last(&"ann")).unwrap(), 2_000);
        assert_eq!(now(mailbox.last(&"bob")).unwrap(), 0);
    }
}

#[test]
fn nothing_retained_is_refused_when_built() {
    let message = panic_of(|| Memory::<Key, u32>::new().retain(0));
    assert_eq!(message, "a mailbox has to retain at least 1 message");
}

#[test]
fn any_number_and_any_limit() {
    let mailbox = Memory::new().retain(3);
    for n in 0..5 {
        append(&mailbox, "ann", n);
    }
    assert_eq!(after(&mailbox, "ann", 0, 1), [(3, 2)]);
    assert_eq!(after(&mailbox, "ann", 2, 1), [(3, 2)]);
    assert_eq!(after(&mailbox, "ann", 3, usize::MAX), [(4, 3), (5, 4)]);
    assert_eq!(after(&mailbox, "ann", 5, usize::MAX), []);
    assert_eq!(after(&mailbox, "ann", u64::MAX, usize::MAX), []);
    assert_eq!(after(&mailbox, "ann", 0, 0), []);
    assert_eq!(after(&mailbox, "bob", 0, usize::MAX), []);
}

#[tokio::test(start_paused = true)]
async fn age_removes_and_numbers_stay() {
    let mailbox = Memory::new().retain_for(HOUR);
    append(&mailbox, "ann", 1);
    tokio::time::advance(HOUR / 2).await;
    append(&mailbox, "ann", 2);
    tokio::time::advance(HOUR / 2 - Duration::from_millis(1)).await;
    assert_eq!(after(&mailbox, "ann", 0, 9), [(1, 1), (2, 2)]);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(after(&mailbox, "ann", 0, 9), [(2, 2)]);
    tokio::time::advance(HOUR).await;
    assert_eq!(after(&mailbox, "ann", 0, 9), []);
    assert_eq!(now(mailbox.last(&"ann")).unwrap(), 2);
    assert_eq!(append(&mailbox, "ann", 3), 3);
    let for_ever = Memory::new().retain_for(Duration::MAX);
    let at_once = Memory::new().retain_for(Duration::ZERO);
    append(&for_ever, "ann", 1);
    append(&at_once, "ann", 1);
    tokio::time::advance(HOUR * 1_000).await;
    assert_eq!(after(&for_ever, "ann", 0, 9), [(1, 1)]);
    assert_eq!(after(&at_once, "ann", 0, 9), []);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_goes_also_where_nobody_looks() {
    let item = Arc::new(());
    let mailbox: Memory<u32, Arc<()>> = Memory::new().retain_for(HOUR);
    for key in 0..1_000 {
        mailbox.append(&key, &item).await.unwrap();
    }
    assert_eq!(Arc::strong_count(&item), 1_001);
    tokio::time::advance(HOUR).await;
    // One for each shard, most likely.
    for key in 1_000..2_000 {
        mailbox.append(&key, &item).await.unwrap();
    }
    assert_eq!(Arc::strong_count(&item), 1_001);
}

#[test]
fn forgotten_it_begins_anew() {
    let mailbox = Memory::new();
    append(&mailbox, "ann", 1);
    append(&mailbox, "ann", 2);
    assert!(mailbox.forget(&"ann"));
    assert!(!mailbox.forget(&"ann"));
    assert_eq!(now(mailbox.last(&"ann")).unwrap(), 0);
    assert_eq!(append(&mailbox, "ann", 3), 1);
}

#[test]
fn what_is_not_stored_is_given_to_nobody() {
    let mailbox = Slow::new(0, 0);
    let router = Router::builder().mailbox(mailbox.clone()).build();
    let mut ann = router.connect("ann");
    now(router.push(&"ann", 1)).unwrap();
    mailbox.fails.store(1, Ordering::Relaxed);
    let error = now(router.push(&"ann", 2)).unwrap_err();
    assert_eq!(error.to_string(), "the mailbox failed: the disk is full");
    assert_eq!(
        format!("{error:?}"),
        r#"Mailbox(MailboxError("the disk is full"))"#
    );
    assert_eq!(error.into_item(), 2);
    assert_eq!(now(router.push(&"ann", 3)).unwrap().seq, 2);
    assert_eq!(rest(&mut ann).0, [(1, 1), (2, 3)]);
    let stats = router.stats();
    assert_eq!((stats.pushed, stats.stored, stats.failed), (2, 2, 1));
}

#[test]
fn one_key_that_fails_keeps_no_other_from_it() {
    let mailbox = Slow::new(0, 0);
    let router = Router::builder().mailbox(mailbox.clone()).build();
    let mut all: Vec<_> = ["ann", "bob", "eve"].map(|key| router.connect(key)).into();
    mailbox.fails.store(1, Ordering::Relaxed);
    assert!(now(router.push_all(1)).is_err());
    let got: usize = all.iter_mut().map(|c| seqs(c).len()).sum();
    assert_eq!(got, 2);
    mailbox.fails.store(1, Ordering::Relaxed);
    assert_eq!(
        now(router.push_many(["ann", "bob", "eve"], 2))
            .unwrap_err()
            .into_item(),
        2
    );
    let got: usize = all.iter_mut().map(|c| seqs(c).len()).sum();
    assert_eq!(got, 2);
}
