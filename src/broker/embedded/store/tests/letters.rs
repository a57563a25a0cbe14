//! Mailboxes.

use super::super::{Mail, MailBounds};
use super::*;

async fn put(store: &Store, key: &'static str, seq: u64, keep_from: u64) -> Result<(), Error> {
    ask(store, |done| Op::Mail {
        box_id: 0,
        key: key.into(),
        seq,
        value: format!("{key} {seq}").into(),
        time: seq * 10,
        keep_from,
        done: Some(done),
    })
    .await
}

async fn seqs(store: &Store, key: &'static str, after: u64, limit: usize) -> Vec<u64> {
    let mail = store
        .mail_after(0, key.into(), after, limit)
        .await
        .expect("read");
    for message in &mail {
        let Mail { seq, time, value } = message;
        assert_eq!(*value, format!("{key} {seq}"));
        assert_eq!(*time, seq * 10);
    }
    mail.into_iter().map(|message| message.seq).collect()
}

#[tokio::test(start_paused = true)]
async fn a_key_has_its_own_chain_of_messages() {
    let (store, disk) = store(SyncPolicy::Always, 1).await;
    assert_eq!(store.mailbox("push").await.expect("made"), 0);
    assert_eq!(store.mailbox("other").await.expect("made"), 1);
    for seq in 1..=20 {
        put(&store, "alice", seq, 0).await.expect("stored");
        put(&store, "alice\0", seq * 2, 0).await.expect("stored");
    }
    let twice = put(&store, "alice", 20, 0).await;
    assert!(matches!(twice, Err(Error::Damaged { .. })), "{twice:?}");
    store.close().await.expect("closed");

    let (store, _) = open(&disk, SyncPolicy::Always).await.expect("opens");
    assert_eq!(store.mailbox("other").await.expect("known"), 1);
    assert_eq!(store.mailbox("third").await.expect("made"), 2);
    assert_eq!(seqs(&store, "alice", 0, 100).await, Vec::from_iter(1..=20));
    assert_eq!(seqs(&store, "alice", 17, 2).await, [18, 19]);
    assert_eq!(seqs(&store, "alice", 20, 2).await, [0_u64; 0]);
    assert_eq!(seqs(&store, "alice", u64::MAX, 2).await, [0_u64; 0]);
    assert_eq!(seqs(&store, "alice", 3, 0).await, [0_u64; 0]);
    assert_eq!(seqs(&store, "alice\0", 37, 100).await, [38, 40]);
    assert_eq!(seqs(&store, "bob", 0, 100).await, [0_u64; 0]);
    assert_eq!(
        store.mail_bounds(0, "bob".into()).await.expect("read"),
        None
    );
    let bounds = store.mail_bounds(0, "alice".into()).await.expect("read");
    let bytes = (1..=20)
        .map(|seq| format!("alice {seq}").len() as u64)
        .sum();
    let expected = MailBounds {
        first: 1,
        last: 20,
        stored: 20,
        messages: 20,
        bytes,
    };
    assert_eq!(bounds, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn trimmed_mail_is_gone_and_its_numbers_are_not_used_again() {
    let (store, disk) = store(SyncPolicy::Always, 1).await;
    for seq in 1..=10 {
        put(&store, "k", seq, seq.saturating_sub(3))
            .await
            .expect("stored");
    }
    assert_eq!(seqs(&store, "k", 0, 100).await, [7, 8, 9, 10]);
    let trim = |keep_from| {
        ask(&store, move |done| Op::TrimMail {
            box_id: 0,
            key: "k".into(),
            keep_from,
            done: Some(done),
        })
    };
    trim(9).await.expect("trimmed");
    assert_eq!(seqs(&store, "k", 0, 100).await, [9, 10]);
    // Only the number is stored.
    put(&store, "k", 15, u64::MAX).await.expect("stored");
    assert_eq!(seqs(&store, "k", 0, 100).await, [0_u64; 0]);
    put(&store, "k", 17, 0).await.expect("stored");
    put(&store, "k", 19, 0).await.expect("stored");
    assert_eq!(seqs(&store, "k", 0, 100).await, [17, 19]);
    trim(u64::MAX).await.expect("trimmed");
    store.close().await.expect("closed");
    let (store, _) = open(&disk, SyncPolicy::Always).await.expect("opens");
    let bounds = store.mail_bounds(0, "k".into()).await.expect("read");
    let expected = MailBounds {
        first: 20,
        last: 19,
        stored: 19,
        messages: 0,
        bytes: 0,
    };
    assert_eq!(bounds, Some(expected));
    assert_eq!(seqs(&store, "k", 0, 100).await, [0_u64; 0]);
    assert!(put(&store, "k", 19, 0).await.is_err());
    put(&store, "k", 20, 0).await.expect("stored");
    assert_eq!(seqs(&store, "k", 0, 100).await, [20]);
}
