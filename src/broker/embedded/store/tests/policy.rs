//! When the disk is waited for.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn always_waits_for_the_disk() {
    let (store, disk) = store(SyncPolicy::Always, 1).await;
    for i in 0..3 {
        let before = disk.syncs();
        append(&store, (0, 0), i, entries(i..i + 1))
            .await
            .expect("stored");
        assert!(disk.syncs() > before);
    }
    let before = disk.syncs();
    store.sync().await.expect("synced");
    assert_eq!(disk.syncs(), before, "everything is synced already");
}

#[tokio::test(start_paused = true)]
async fn every_waits_for_the_disk_once_an_interval_and_also_when_idle() {
    let (store, disk) = store(SyncPolicy::Every(SECOND), 1).await;
    store.sync().await.expect("synced");
    let before = disk.syncs();
    for i in 0..5 {
        append(&store, (0, 0), i, entries(i..i + 1))
            .await
            .expect("stored");
        pass(SECOND / 10).await;
    }
    assert_eq!(disk.syncs(), before);
    pass(SECOND * 6 / 10).await;
    assert!(disk.syncs() > before, "the interval is over");
    let before = disk.syncs();
    pass(SECOND * 10).await;
    assert_eq!(disk.syncs(), before, "nothing is left to be synced");

    append(&store, (0, 0), 5, entries(5..6))
        .await
        .expect("stored");
    assert_eq!(disk.syncs(), before);
    store.sync().await.expect("synced");
    assert!(disk.syncs() > before, "on demand");
}

#[tokio::test(start_paused = true)]
async fn an_interval_of_nothing_is_always_and_one_without_end_is_never() {
    let (store, disk) = store(SyncPolicy::Every(Duration::ZERO), 1).await;
    let before = disk.syncs();
    append(&store, (0, 0), 0, entries(0..1))
        .await
        .expect("stored");
    assert!(disk.syncs() > before);

    let (store, disk) = super::store(SyncPolicy::Every(Duration::MAX), 1).await;
    let before = disk.syncs();
    append(&store, (0, 0), 0, entries(0..1))
        .await
        .expect("stored");
    pass(SECOND * 1_000_000).await;
    assert_eq!(disk.syncs(), before);
    store.close().await.expect("closed");
    let (store, _) = open(
        &disk.crashed(disk.actions(), disk::Survives::Nothing),
        SyncPolicy::Os,
    )
    .await
    .expect("opens");
    assert_eq!(values(&store, (0, 0)).await.expect("read").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn os_writes_at_once_and_syncs_on_demand_alone() {
    let (store, disk) = store(SyncPolicy::Os, 1).await;
    let before = disk.syncs();
    append(&store, (0, 0), 0, entries(0..1))
        .await
        .expect("stored");
    pass(SECOND * 1000).await;
    assert_eq!(disk.syncs(), before);
    // The process goes, the operating system stays.
    let (other, _) = open(
        &disk.crashed(disk.actions(), disk::Survives::All),
        SyncPolicy::Os,
    )
    .await
    .expect("opens");
    assert_eq!(values(&other, (0, 0)).await.expect("read").len(), 1);

    store.sync().await.expect("synced");
    assert_eq!(disk.syncs(), before + 1);
    let (other, _) = open(
        &disk.crashed(disk.actions(), disk::Survives::Nothing),
        SyncPolicy::Os,
    )
    .await
    .expect("opens");
    assert_eq!(values(&other, (0, 0)).await.expect("read").len(), 1);

    append(&store, (0, 0), 1, entries(1..2))
        .await
        .expect("stored");
    store.close().await.expect("closed");
    let (other, _) = open(
        &disk.crashed(disk.actions(), disk::Survives::Nothing),
        SyncPolicy::Os,
    )
    .await
    .expect("opens");
    assert_eq!(values(&other, (0, 0)).await.expect("read").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_sync_on_demand_is_told_and_ends_the_store() {
    for policy in [SyncPolicy::Os, SyncPolicy::Every(SECOND)] {
        let (store, disk) = store(policy, 1).await;
        append(&store, (0, 0), 0, entries(0..1))
            .await
            .expect("stored");
        disk.fail(disk::Trouble::Sync, 0);
        let failed = store.sync().await;
        assert!(matches!(failed, Err(Error::Storage { .. })), "{failed:?}");
        let later = append(&store, (0, 0), 1, entries(1..2)).await;
        assert!(matches!(later, Err(Error::Storage { .. })), "{later:?}");
        assert!(store.sync().await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_sync_at_the_close_is_told() {
    for policy in [SyncPolicy::Os, SyncPolicy::Every(SECOND)] {
        let (store, disk) = store(policy, 1).await;
        append(&store, (0, 0), 0, entries(0..1))
            .await
            .expect("stored");
        disk.fail(disk::Trouble::Sync, 0);
        let failed = store.close().await;
        assert!(matches!(failed, Err(Error::Storage { .. })), "{failed:?}");
    }
}

/// The sync that nobody asked for fails: nothing is reported as stored from then on.
#[tokio::test(start_paused = true)]
async fn a_failed_sync_of_the_interval_ends_the_store() {
    let (store, disk) = store(SyncPolicy::Every(SECOND), 1).await;
    append(&store, (0, 0), 0, entries(0..1))
        .await
        .expect("stored");
    disk.fail(disk::Trouble::Sync, 0);
    pass(SECOND * 2).await;
    assert!(disk.has_failed());
    let later = append(&store, (0, 0), 1, entries(1..2)).await;
    assert!(matches!(later, Err(Error::Storage { .. })), "{later:?}");
    assert!(store.sync().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn positions_that_nobody_waits_for_wait_a_little() {
    let (store, disk) = store(SyncPolicy::Always, 1).await;
    let before = disk.actions();
    for i in 0..100 {
        store.submit(commit_op("g", (0, 0), i, None));
        pass(Duration::from_micros(900)).await;
    }
    assert_eq!(disk.actions(), before);
    assert_eq!(store.backlog(), 0);
    pass(Duration::from_millis(20)).await;
    let after = disk.syncs();
    assert!(disk.actions() > before);
    // They go along with what is written anyway.
    store.submit(commit_op("g", (0, 0), 100, None));
    append(&store, (0, 0), 0, entries(0..1))
        .await
        .expect("stored");
    pass(SECOND).await;
    assert_eq!(disk.syncs(), after + 1);
    store.close().await.expect("closed");
    let (_, recovered) = open(&disk, SyncPolicy::Always).await.expect("opens");
    assert_eq!(recovered.groups[0].committed, 100);
}

#[tokio::test(start_paused = true)]
async fn close_writes_what_came_before_and_refuses_what_comes_after() {
    let (store, disk) = store(SyncPolicy::Every(SECOND), 1).await;
    let stored = append(&store, (0, 0), 0, entries(0..1));
    let (stored, closed) = tokio::join!(stored, store.close());
    stored.expect("stored");
    closed.expect("closed");
    let refused = append(&store, (0, 0), 1, entries(1..2)).await;
    assert!(matches!(refused, Err(Error::Closed { .. })), "{refused:?}");
    let refused = store.read((0, 0), 0, 1, 1).await;
    assert!(matches!(refused, Err(Error::Closed { .. })), "{refused:?}");
    assert!(matches!(store.sync().await, Err(Error::Closed { .. })));
    store.close().await.expect("closed already");
    let (store, _) = open(
        &disk.crashed(disk.actions(), disk::Survives::Nothing),
        SyncPolicy::Os,
    )
    .await
    .expect("opens");
    assert_eq!(values(&store, (0, 0)).await.expect("read").len(), 1);
}

/// Nobody closes it: what was submitted is stored, what was acknowledged is synced.
#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_writes_and_syncs() {
    let (store, disk) = store(SyncPolicy::Every(Duration::MAX), 1).await;
    append(&store, (0, 0), 0, entries(0..1))
        .await
        .expect("stored");
    let (sender, told) = tokio::sync::oneshot::channel();
    store.submit(append_op(
        (0, 0),
        1,
        entries(1..2),
        0,
        Box::new(move |answer| {
            let _ = sender.send(answer);
        }),
    ));
    store.submit(commit_op("g", (0, 0), 2, None));
    drop(store.clone());
    drop(store);
    told.await.expect("told").expect("stored");
    pass(SECOND).await;
    let (store, recovered) = open(
        &disk.crashed(disk.actions(), disk::Survives::Nothing),
        SyncPolicy::Os,
    )
    .await
    .expect("opens");
    assert_eq!(values(&store, (0, 0)).await.expect("read").len(), 2);
    assert_eq!(recovered.groups[0].committed, 2);
}

/// The runtime ends under the store, as it does when `main` returns.
#[test]
fn the_end_of_the_runtime_is_a_close_too() {
    for workers in [0, 2] {
        let runtime = || {
            let mut builder = if workers == 0 {
                tokio::runtime::Builder::new_current_thread()
            } else {
                tokio::runtime::Builder::new_multi_thread()
            };
            builder.enable_time().build().expect("a runtime")
        };
        let first = runtime();
        let (store, disk) = first.block_on(store(SyncPolicy::Every(Duration::MAX), 1));
        first
            .block_on(append(&store, (0, 0), 0, entries(0..1)))
            .expect("stored");
        store.submit(commit_op("g", (0, 0), 1, None));
        drop(first);

        // Handles that are left are told, though nobody is there to tell them.
        let second = runtime();
        let refused = second.block_on(append(&store, (0, 0), 1, entries(1..2)));
        assert!(matches!(refused, Err(Error::Closed { .. })), "{refused:?}");
        let (sender, told) = std::sync::mpsc::channel();
        let caller = std::thread::current().id();
        store.submit(commit_op(
            "g",
            (0, 0),
            1,
            Some(Box::new(move |_| {
                let _ = sender.send(std::thread::current().id() != caller);
            })),
        ));
        assert!(told.recv().expect("told"), "not from within the call");
        second.block_on(store.close()).expect("closed already");
        let left = disk.crashed(disk.actions(), disk::Survives::Nothing);
        let (other, recovered) = second
            .block_on(open(&left, SyncPolicy::Always))
            .expect("opens");
        assert_eq!(
            second.block_on(values(&other, (0, 0))).expect("read").len(),
            1
        );
        assert_eq!(recovered.groups[0].committed, 1);
    }
}
