//! Every crash of a workload, played back on a disk that forgets what was not synced.

use super::disk::{Disk, Survives};
use super::model::{Model, round};
use super::*;

/// Runs the workload. After each round: how much the disk had seen, when it was, and the model.
async fn history(
    policy: SyncPolicy,
    rounds: u64,
    pause: Duration,
) -> (Disk, Vec<(usize, tokio::time::Instant, Model)>) {
    let (store, disk) = store(policy, 2).await;
    store.sync().await.expect("synced");
    let mut model = Model::default();
    let mut history = vec![(0, tokio::time::Instant::now(), model.clone())];
    disk.restart();
    for number in 0..rounds {
        round(&store, &mut model, number)
            .await
            .expect("acknowledged");
        history.push((disk.actions(), tokio::time::Instant::now(), model.clone()));
        if !pause.is_zero() {
            pass(pause).await;
        }
    }
    store.close().await.expect("closed");
    (disk, history)
}

fn ways(seed: u64) -> [Survives; 6] {
    [
        Survives::Nothing,
        Survives::All,
        Survives::Front,
        Survives::Back,
        Survives::Some(seed),
        Survives::Some(seed.wrapping_mul(31).wrapping_add(7)),
    ]
}

// guarantee: K1
// guarantee: K8
#[tokio::test(start_paused = true)]
async fn under_always_no_crash_costs_what_was_acknowledged() {
    let (disk, history) = history(SyncPolicy::Always, 14, Duration::ZERO).await;
    let mut crashes = 0;
    for actions in 0..=disk.actions() {
        let acked = history.iter().rfind(|(seen, ..)| *seen <= actions);
        let (_, _, acked) = acked.expect("the first is at the beginning");
        let latest = history.iter().find(|(seen, ..)| *seen >= actions);
        let (_, _, latest) = latest.unwrap_or(&history[history.len() - 1]);
        for way in ways(actions as u64) {
            let crashed = disk.crashed(actions, way);
            let what = format!("a crash after {actions} actions, {way:?} survives");
            acked.check(latest, &crashed, &what).await;
            crashes += 1;
        }
    }
    assert!(crashes > 1000, "{crashes} crashes are few");
}

// guarantee: K1
#[tokio::test(start_paused = true)]
async fn under_every_a_crash_costs_the_last_interval_at_the_most() {
    let interval = Duration::from_secs(1);
    let pause = Duration::from_millis(300);
    let (disk, history) = history(SyncPolicy::Every(interval), 20, pause).await;
    let log = disk.log();
    let mut lossy = 0;
    for actions in 1..=log.len() {
        let now = log[actions - 1].0;
        let safe = |then: tokio::time::Instant| then + interval < now;
        let acked = history.iter().rfind(|(_, then, _)| safe(*then));
        let acked = acked.map_or_else(Model::default, |(.., model)| model.clone());
        let latest = history.iter().find(|(seen, ..)| *seen > actions);
        let (_, _, latest) = latest.unwrap_or(&history[history.len() - 1]);
        for way in ways(actions as u64) {
            let crashed = disk.crashed(actions, way);
            let what = format!("a crash after {actions} actions, {way:?} survives");
            acked.check(latest, &crashed, &what).await;
        }
        lossy += usize::from(safe(history[1].1));
    }
    assert!(
        lossy > 10,
        "most crashes are early: {lossy} of {}",
        log.len()
    );
}

/// The process dies and the operating system lives: what was handed to it is there.
// guarantee: K1
#[tokio::test(start_paused = true)]
async fn under_os_a_crash_of_the_process_costs_nothing() {
    let (disk, history) = history(SyncPolicy::Os, 14, Duration::ZERO).await;
    for actions in 0..=disk.actions() {
        let acked = history.iter().rfind(|(seen, ..)| *seen <= actions);
        let (_, _, acked) = acked.expect("the first is at the beginning");
        let latest = history.iter().find(|(seen, ..)| *seen >= actions);
        let (_, _, latest) = latest.unwrap_or(&history[history.len() - 1]);
        let crashed = disk.crashed(actions, Survives::All);
        let what = format!("the process dies after {actions} actions");
        acked.check(latest, &crashed, &what).await;
    }
}
