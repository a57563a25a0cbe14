//! Bits flip and files are cut: what is read is right, or it is told that it is not.

use super::super::codec::seal;
use super::super::rows::{MAIL, RUNS, Row, STATE};
use super::disk::{Disk, Survives};
use super::model::{Model, round};
use super::*;

const ROUNDS: u64 = 30;

/// A disk after a clean close and one after a crash, and the model before the last round and after it.
async fn workload() -> (Disk, Disk, Model, Model) {
    let (store, disk) = store(SyncPolicy::Always, 2).await;
    let (mut before, mut model) = (Model::default(), Model::default());
    for number in 0..ROUNDS {
        before = model.clone();
        round(&store, &mut model, number).await.expect("stored");
    }
    let crashed = disk.crashed(disk.actions(), Survives::All);
    store.close().await.expect("closed");
    (disk, crashed, before, model)
}

/// Opens and reads everything. It is as the model says, or an error says that it is not.
async fn told(disk: &Disk, least: &Model, model: &Model, what: &str) -> Option<Error> {
    let outcome = match open(disk, SyncPolicy::Always).await {
        Ok((store, recovered)) => {
            let outcome = least.compare(model, &store, &recovered, what).await;
            // Nor may giving it up panic.
            let _ = store.close().await;
            outcome
        }
        Err(error) => Err(error),
    };
    let error = outcome.err()?;
    match &error {
        Error::Damaged { path, place } => {
            assert_eq!(path.to_str(), Some(PATH), "{what}");
            assert!(!place.is_empty(), "{what}");
        }
        Error::Storage { .. } => {}
        other => panic!("{what}: {other}"),
    }
    Some(error)
}

/// Places worth a visit: all of the header, and of the rest what is not empty.
fn places(bytes: &[u8], step: usize) -> impl Iterator<Item = usize> + '_ {
    let rest = (320..bytes.len()).filter(|at| bytes[*at] != 0);
    (0..320).chain(rest.step_by(step))
}

// guarantee: K8
#[tokio::test(start_paused = true)]
async fn a_flipped_bit_is_told_or_harmless() {
    let (disk, _, _, model) = workload().await;
    let bytes = disk.bytes();
    assert!(
        told(&disk, &model, &model, "the file as it is")
            .await
            .is_none()
    );
    let (mut visited, mut damaged) = (0, 0);
    for at in places(&bytes, 97) {
        let bit = at % 8;
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        let what = format!("bit {bit} of byte {at} flipped");
        let error = told(&Disk::with(flipped), &model, &model, &what).await;
        visited += 1;
        damaged += usize::from(error.is_some());
    }
    assert!(visited > 800, "{visited} places are few");
    assert!(damaged > visited / 10, "{damaged} of {visited} mattered");
}

/// After a crash, damage to the last transaction cannot be told from one that was not finished. Nothing older is lost.
// guarantee: K8
#[tokio::test(start_paused = true)]
async fn a_flipped_bit_after_a_crash_costs_the_last_transaction_at_the_most() {
    let (_, disk, before, model) = workload().await;
    let bytes = disk.bytes();
    for at in places(&bytes, 331) {
        let bit = at % 8;
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        let what = format!("bit {bit} of byte {at} flipped");
        told(&Disk::with(flipped), &before, &model, &what).await;
    }
}

/// A page that was written, forgotten and found again has the right checksums and the wrong content.
// guarantee: K8
#[tokio::test(start_paused = true)]
async fn a_page_from_the_past_is_told_or_harmless() {
    let (store, disk) = store(SyncPolicy::Always, 2).await;
    let mut model = Model::default();
    let mut past = Vec::new();
    for number in 0..ROUNDS {
        round(&store, &mut model, number).await.expect("stored");
        past.push(disk.bytes());
    }
    store.close().await.expect("closed");
    let bytes = disk.bytes();
    let mut damaged = 0;
    for (number, then) in past.iter().enumerate().step_by(3) {
        for page in (4096..bytes.len().min(then.len())).step_by(4096) {
            let range = page..page + 4096;
            if then[range.clone()] == bytes[range.clone()] {
                continue;
            }
            let mut stale = bytes.clone();
            stale[range.clone()].copy_from_slice(&then[range]);
            let what = format!("page {page} as it was in round {number}");
            let error = told(&Disk::with(stale), &model, &model, &what).await;
            damaged += usize::from(error.is_some());
        }
    }
    assert!(damaged > 10, "{damaged} mattered");
}

// guarantee: K8
#[tokio::test(start_paused = true)]
async fn a_file_that_is_cut_is_told() {
    let (disk, crashed, before, model) = workload().await;
    for (disk, least) in [(disk, &model), (crashed, &before)] {
        let bytes = disk.bytes();
        let ends = (0..600).chain((600..bytes.len()).step_by(bytes.len() / 300));
        for len in ends.chain(bytes.len() - 300..bytes.len()) {
            let what = format!("cut to {len} of {} bytes", bytes.len());
            let cut = Disk::with(bytes[..len].to_vec());
            let error = told(&cut, least, &model, &what).await;
            assert!(error.is_some(), "{what}");
        }
    }
}

/// The error says where.
// guarantee: K8
#[tokio::test(start_paused = true)]
async fn damage_to_a_record_names_topic_partition_and_offset() {
    let (store, disk) = store(SyncPolicy::Always, 2).await;
    append(&store, (0, 1), 0, entries(0..3))
        .await
        .expect("stored");
    let needle = entry("a needle in a haystack", 0);
    append(&store, (0, 1), 3, vec![needle])
        .await
        .expect("stored");
    store.close().await.expect("closed");
    let mut bytes = disk.bytes();
    let needle = b"a needle in a haystack";
    let mut found = 0;
    for at in 0..bytes.len() - needle.len() {
        if &bytes[at..at + needle.len()] == needle {
            bytes[at] = b'A';
            found += 1;
        }
    }
    assert!(found > 0);
    let damaged = "the store `/the/store/broker.redb` is damaged: partition 1 of topic `orders`, from offset 3: a checksum \
        does not match";
    let error = open(&Disk::with(bytes.clone()), SyncPolicy::Always).await;
    let error = error.map(|_| ()).expect_err("all of it is checked");
    assert_eq!(error.to_string(), damaged);

    // A large store is not read when it opens.
    let (store, _) = open_checked(&Disk::with(bytes), SyncPolicy::Always, 0)
        .await
        .expect("opens");
    let error = store.read((0, 1), 0, 10, 1000).await.expect_err("damaged");
    assert_eq!(error.to_string(), damaged);
    // Elsewhere it is whole.
    append(&store, (0, 0), 0, entries(0..1))
        .await
        .expect("stored");
    assert_eq!(values(&store, (0, 0)).await.expect("read").len(), 1);
}

/// Changes rows behind the store's back, each of which is right by itself.
fn tamper<K: redb::Key + 'static>(
    disk: &Disk,
    table: redb::TableDefinition<'_, K, &'static [u8]>,
    change: impl FnOnce(&mut redb::Table<'_, K, &'static [u8]>),
) {
    let database = redb::Database::builder()
        .create_with_backend(disk.clone())
        .expect("opens");
    let transaction = database.begin_write().expect("begins");
    change(&mut transaction.open_table(table).expect("there"));
    transaction.commit().expect("committed");
}

// guarantee: K8
#[tokio::test(start_paused = true)]
async fn rows_that_are_gone_are_noticed() {
    let (store, disk) = store(SyncPolicy::Always, 2).await;
    let mut model = Model::default();
    for number in 0..5 {
        round(&store, &mut model, number).await.expect("stored");
    }
    store.close().await.expect("closed");
    for gone in 1..=5 {
        let disk = Disk::with(disk.bytes());
        tamper(&disk, MAIL, |mail| {
            let row = mail.remove((0, &b"key"[..], gone)).expect("removed");
            assert!(row.is_some());
        });
        let what = format!("message {gone} is gone");
        let error = told(&disk, &model, &model, &what).await.expect("noticed");
        let error = error.to_string();
        assert!(error.contains("key \"key\" of mailbox #0"), "{error}");
    }
    let (_, recovered) = open(&disk, SyncPolicy::Always).await.expect("opens");
    let bounds = recovered.topics[0].partitions[1];
    let more = Disk::with(disk.bytes());
    tamper(&more, RUNS, |runs| {
        let key = (0, 1, bounds.next);
        runs.insert(key, &b"more"[..]).expect("written");
    });
    let error = told(&more, &model, &model, "there is more").await;
    let error = error.expect("noticed").to_string();
    assert!(error.contains("it ends at offset"), "{error}");
    for offset in bounds.first..bounds.next {
        let disk = Disk::with(disk.bytes());
        let mut removed = false;
        tamper(&disk, RUNS, |runs| {
            removed = runs.remove((0, 1, offset)).expect("removed").is_some();
        });
        let what = format!("the run from {offset} is gone");
        let error = told(&disk, &model, &model, &what).await;
        assert_eq!(error.is_some(), removed, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_format_of_another_release_is_named() {
    let disk = empty_disk();
    tamper(&disk, STATE, |state| {
        let key = Row::Format.bytes();
        let row = seal(&key, 7_u32.to_le_bytes().to_vec());
        state.insert(&*key, &*row).expect("written");
    });
    let refused = open(&disk, SyncPolicy::Always).await.map(|_| ());
    let refused = refused.expect_err("unknown");
    assert!(
        refused.to_string().contains("format version 7"),
        "{refused}"
    );
}

// guarantee: K8
#[tokio::test(start_paused = true)]
async fn a_position_that_is_gone_or_out_of_date_is_noticed() {
    let (store, disk) = store(SyncPolicy::Always, 1).await;
    commit(&store, "g", (0, 0), 1).await.expect("stored");
    commit(&store, "g", (0, 0), 2).await.expect("stored");
    store.close().await.expect("closed");
    let key = Row::Group("g", (0, 0)).bytes();
    let changes: [Option<u64>; 3] = [None, Some(1), Some(2)];
    for change in changes {
        let disk = Disk::with(disk.bytes());
        tamper(&disk, STATE, |state| match change {
            None => drop(state.remove(&*key).expect("removed")),
            Some(offset) => {
                let row = seal(&key, offset.to_le_bytes().to_vec());
                drop(state.insert(&*key, &*row).expect("written"));
            }
        });
        let opened = open(&disk, SyncPolicy::Always).await.map(|_| ());
        let whole = change == Some(2);
        assert_eq!(opened.is_ok(), whole, "{change:?}: {opened:?}");
        assert!(whole || matches!(opened, Err(Error::Damaged { .. })));
    }
}

/// A database of `redb` that is somebody else's.
#[tokio::test(start_paused = true)]
async fn a_foreign_database_is_no_store() {
    let disk = Disk::default();
    drop(
        redb::Database::builder()
            .create_with_backend(disk.clone())
            .expect("made"),
    );
    let refused = open(&disk, SyncPolicy::Always).await.map(|_| ());
    assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
}
