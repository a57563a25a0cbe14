//! The n-th write fails, the n-th sync fails, the disk is full from the n-th write on: for every n.

use super::disk::{Disk, Survives, Trouble};
use super::model::{Model, round};
use super::*;

const ROUNDS: u64 = 14;

/// Runs the workload until it fails; then nothing may be reported as stored, and what was is there.
// guarantee: K1
async fn fails_everywhere(trouble: Trouble, policy: SyncPolicy) {
    let mut told = 0;
    for after in 0.. {
        let (store, disk) = store(policy, 2).await;
        store.sync().await.expect("synced");
        disk.restart();
        disk.fail(trouble, after);
        let what = format!("{trouble:?} after {after}, {policy:?}");
        let mut model = Model::default();
        let mut failed = None;
        for number in 0..ROUNDS {
            if let Err(error) = round(&store, &mut model, number).await {
                failed = Some(error);
                break;
            }
            if policy != SyncPolicy::Always {
                pass(Duration::from_millis(300)).await;
            }
        }
        if let Some(error) = failed {
            told += 1;
            let path = match &error {
                Error::Storage { path, source, .. } => {
                    assert!(std::error::Error::source(&error).is_some());
                    assert!(!source.to_string().is_empty());
                    path
                }
                other => panic!("{what}: {other}"),
            };
            assert_eq!(path.to_str(), Some(PATH));
            // It stays so, for whatever comes.
            let later = commit(&store, "g", (0, 0), 1).await;
            assert!(
                matches!(later, Err(Error::Storage { .. })),
                "{what}: {later:?}"
            );
            let later = create(&store, 9, "more", TopicConfig::partitions(1)).await;
            assert!(
                matches!(later, Err(Error::Storage { .. })),
                "{what}: {later:?}"
            );
            assert!(store.sync().await.is_err(), "{what}");
            assert!(disk.has_failed(), "{what}");
        }
        let ended = store.close().await;
        let struck = disk.has_failed();
        if policy == SyncPolicy::Always || ended.is_ok() {
            // Under `Every`, what a failed sync was to save is lost with it, and that is told.
            for way in [
                Survives::Nothing,
                Survives::All,
                Survives::Some(after as u64),
            ] {
                let crashed = disk.crashed(disk.actions(), way);
                let what = format!("{what}, {way:?} survives");
                if policy == SyncPolicy::Always || !struck {
                    model.check(&model, &crashed, &what).await;
                }
            }
        }
        if !struck {
            break;
        }
    }
    assert!(
        told > 10,
        "{trouble:?}, {policy:?}: {told} failures are few"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_never_a_success() {
    fails_everywhere(Trouble::Write, SyncPolicy::Always).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_sync_is_never_a_success() {
    fails_everywhere(Trouble::Sync, SyncPolicy::Always).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_never_a_success() {
    fails_everywhere(Trouble::Full, SyncPolicy::Always).await;
}

#[tokio::test(start_paused = true)]
async fn under_the_other_policies_failures_are_told_as_well() {
    fails_everywhere(Trouble::Write, SyncPolicy::Os).await;
}

/// Reading fails too: it is told, and no record is taken for missing.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_told() {
    let (store, disk) = store(SyncPolicy::Always, 2).await;
    let mut model = Model::default();
    for number in 0..ROUNDS {
        round(&store, &mut model, number).await.expect("stored");
    }
    store.close().await.expect("closed");
    for after in 0.. {
        let disk = Disk::with(disk.bytes());
        disk.fail(Trouble::Read, after);
        let what = format!("reads fail after {after}");
        let outcome = match open(&disk, SyncPolicy::Always).await {
            Ok((store, recovered)) => model.compare(&model, &store, &recovered, &what).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => assert!(!disk.has_failed(), "{what}"),
            Err(Error::Storage { .. }) => continue,
            Err(other) => panic!("{what}: {other}"),
        }
        assert!(after > 10, "{after} reads are few");
        break;
    }
}
