//! Those who wait together share one wait for the disk, and are told in order.

use super::*;

#[tokio::test(start_paused = true)]
async fn pushes_that_come_together_share_syncs() {
    let (store, disk) = store(SyncPolicy::Always, 4).await;
    let before = disk.syncs();
    let pushes = (0..256_u64).map(|i| {
        let place = (0, (i % 4) as u32);
        let store = store.clone();
        async move { append(&store, place, i / 4, entries(i / 4..i / 4 + 1)).await }
    });
    for stored in futures::future::join_all(pushes).await {
        stored.expect("stored");
    }
    let syncs = disk.syncs() - before;
    assert!(syncs <= 4, "{syncs} syncs for 256 pushes");
    assert_eq!(values(&store, (0, 3)).await.expect("read").len(), 64);
}

/// Positions of groups in one transaction: the last one counts, however they were submitted.
#[tokio::test(start_paused = true)]
async fn of_several_positions_the_last_one_counts() {
    let (store, disk) = store(SyncPolicy::Always, 3).await;
    let later = |place, offset| store.submit(commit_op("g", place, offset, None));
    let now = |place, offset| store.submit(commit_op("g", place, offset, Some(Box::new(|_| ()))));
    later((0, 0), 1);
    later((0, 0), 9);
    later((0, 0), 5);
    later((0, 1), 1);
    now((0, 1), 2);
    now((0, 2), 1);
    later((0, 2), 7);
    store.close().await.expect("closed");
    let (_, recovered) = open(&disk, SyncPolicy::Always).await.expect("opens");
    let found: Vec<_> = recovered
        .groups
        .iter()
        .map(|g| (g.place.1, g.committed))
        .collect();
    assert_eq!(found, [(0, 5), (1, 2), (2, 7)]);
}

/// A position that somebody waits for may be in a later transaction than a newer one that nobody waits for.
#[tokio::test(start_paused = true)]
async fn the_last_position_counts_over_transactions_too() {
    let (store, disk) = store(SyncPolicy::Always, 1).await;
    let at = (0, 0);
    for _ in 0..5000 {
        store.submit(commit_op("other", at, 0, Some(Box::new(|_| ()))));
    }
    store.submit(commit_op("g", at, 1, Some(Box::new(|_| ()))));
    store.submit(commit_op("g", at, 7, None));
    store.close().await.expect("closed");
    let (_, recovered) = open(&disk, SyncPolicy::Always).await.expect("opens");
    let found = recovered.groups.iter().find(|found| found.group == "g");
    assert_eq!(found.map(|found| found.committed), Some(7));
}

#[tokio::test(start_paused = true)]
async fn everybody_is_told_in_order_and_never_from_within_the_call() {
    let (store, _) = store(SyncPolicy::Always, 2).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let note = |i: u64| -> Done {
        let told = told.clone();
        Box::new(move |answer| told.lock().expect("whole").push((i, answer.is_ok())))
    };
    for i in 0..300 {
        let (place, base) = ((0, (i % 2) as u32), i / 2);
        match i % 3 {
            // The refused one is told in its turn like the others.
            0 if i == 150 => store.submit(append_op((0, 9), 0, entries(0..1), 0, note(i))),
            1 => store.submit(commit_op("g", place, base, Some(note(i)))),
            _ => store.submit(append_op(place, base, entries(base..base + 1), 0, note(i))),
        }
        assert!(told.lock().expect("whole").is_empty());
    }
    assert_eq!(store.backlog(), 300);
    store.sync().await.expect("synced");
    assert_eq!(store.backlog(), 0);
    let told = told.lock().expect("whole");
    let expected: Vec<_> = (0..300).map(|i| (i, i != 150)).collect();
    assert_eq!(*told, expected);
}

#[tokio::test(start_paused = true)]
async fn entries_come_back() {
    let (store, _) = store(SyncPolicy::Always, 1).await;
    for (place, stored) in [((0, 0), true), ((0, 1), false)] {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        store.submit(Op::Append {
            place,
            base: 0,
            entries: entries(0..3),
            keep_from: 0,
            done: Box::new(move |answer, entries| {
                let _ = sender.send((answer, entries));
            }),
        });
        let (answer, back) = receiver.await.expect("answered");
        assert_eq!(answer.is_ok(), stored);
        assert_eq!(back.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_one_who_is_told_is_its_own() {
    let (store, _) = store(SyncPolicy::Always, 1).await;
    store.submit(append_op(
        (0, 0),
        0,
        entries(0..1),
        0,
        Box::new(|_| panic!("not the store's")),
    ));
    append(&store, (0, 0), 1, entries(1..2))
        .await
        .expect("stored");
    assert_eq!(values(&store, (0, 0)).await.expect("read").len(), 2);
    store.close().await.expect("closed");
}

/// More than one transaction takes goes into several.
#[tokio::test(start_paused = true)]
async fn a_flood_is_stored_in_portions() {
    let (store, disk) = store(SyncPolicy::Always, 1).await;
    let before = disk.syncs();
    let at = (0, 0);
    for i in 0..10_000 {
        store.submit(append_op(
            at,
            i,
            entries(i..i + 1),
            0,
            Box::new(|answer| {
                answer.expect("stored");
            }),
        ));
    }
    for i in 0..5 {
        let large = vec![entry(vec![0; 4 * 1024 * 1024], 0)];
        store.submit(append_op(
            at,
            10_000 + i,
            large,
            9_000,
            Box::new(|answer| {
                answer.expect("stored");
            }),
        ));
    }
    store.sync().await.expect("synced");
    assert!((6..40).contains(&(disk.syncs() - before)));
    let read = store
        .read(at, 0, usize::MAX, usize::MAX)
        .await
        .expect("read");
    assert_eq!(read.len(), 1005);
}
